//! The loop: what became of what is under way, then the next tasks.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::cluster::{Cause, Cluster, Job, JobEnd, JobId, JobState, NotSubmitted, Work};
use super::holding::Holding;
use super::ledger::{Entry, Ledger, Phase};
use super::verdict::{Seen, Standing, Verdict, judge, may_run_again};
use crate::api::{ApiError, QueueId, TaskId, TaskStatus};
use crate::ui::Printer;

/// How long a step that has begun may take when the glue is told to end.
const LAST_STEP: Duration = Duration::from_secs(10);

/// So many intervals pass before a cluster is asked again that has refused a job for now.
const REST: u32 = 6;

/// How a glue works.
#[derive(Debug)]
pub struct GlueOptions {
    /// Queues with their names, the most important first.
    pub queues: Vec<(QueueId, String)>,
    /// Most tasks under way at once; none: the cluster decides.
    pub limit: Option<usize>,
    /// Between two rounds.
    pub interval: Duration,
    /// A task whose job waits again goes back into the holding queue (C-642).
    pub holds_again: bool,
    /// Tasks that were lost with their machine, or for another job, run again.
    pub requeues_lost: bool,
}

/// The glue between a ClearML server and a cluster.
#[derive(Debug)]
pub struct Glue<C> {
    cluster: C,
    holding: Holding,
    ledger: Ledger,
    options: GlueOptions,
    printer: Printer,
    /// No queue is asked from then on.
    leaving: CancellationToken,
    /// Why the cluster takes nothing, which has been said.
    fault: Option<String>,
    /// It has refused a job for now, which has been said; none is submitted before.
    rests_until: Option<tokio::time::Instant>,
    /// That the limit is reached was said.
    is_full: bool,
    /// What a glue before this one has left was looked for.
    knows_all: bool,
    /// Task, how it stood, how its job was, and since when.
    observed: Vec<(String, Standing, Seen, tokio::time::Instant)>,
}

impl<C: Cluster> Glue<C> {
    /// A glue that has done nothing yet.
    pub fn new(cluster: C, holding: Holding, ledger: Ledger, options: GlueOptions) -> Self {
        Self {
            cluster,
            holding,
            ledger,
            options,
            printer: Printer::default(),
            leaving: CancellationToken::new(),
            fault: None,
            rests_until: None,
            is_full: false,
            knows_all: false,
            observed: Vec::new(),
        }
    }

    /// Works until a signal ends it. Jobs go on, and the next glue of this name takes them over (C-647).
    pub async fn run(mut self) -> std::io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        loop {
            let leaving = self.leaving.clone();
            let mut round = Box::pin(self.round());
            tokio::select! {
                () = &mut round => {}
                _ = interrupt.recv() => leaving.cancel(),
                _ = terminate.recv() => leaving.cancel(),
            }
            if leaving.is_cancelled() {
                // An answer that is on its way may be a task.
                let _ = tokio::time::timeout(LAST_STEP, round).await;
                return Ok(());
            }
            drop(round);
            tokio::select! {
                () = tokio::time::sleep(self.options.interval) => {}
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
            }
        }
    }

    async fn round(&mut self) {
        match self.look().await {
            Ok(true) => {
                if self.fault.take().is_some() {
                    self.printer
                        .line("The cluster answers again: tasks are taken");
                }
            }
            // Nothing is known of the jobs: what is under way is left alone, and others may have the tasks.
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "could not look after what is under way");
                return;
            }
        }
        while self.has_room() {
            match self.schedule_next().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.printer.warning(&format!(
                        "could not take a task: {}",
                        error.reference_text()
                    ));
                    return;
                }
            }
        }
        // Once each time.
        if let Some(limit) = self.options.limit
            && self.fault.is_none()
            && !self.rests()
            && !self.leaving.is_cancelled()
            && !std::mem::replace(&mut self.is_full, true)
        {
            let under_way = self.ledger.entries().len();
            let seconds = self.options.interval.as_secs_f64();
            self.printer.line(format!(
                "Maximum {} limit reached {under_way}/{limit}, sleeping for {seconds} seconds",
                C::UNIT
            ));
        }
    }

    /// What a glue before this one has left (C-647): from the ledger, and where that is gone, from the cluster and the server.
    async fn take_over(&mut self) -> Result<bool, ApiError> {
        let known = match self.cluster.known().await {
            Ok(known) => known,
            Err(error) => {
                self.is_away(&error.0);
                return Ok(false);
            }
        };
        for known in known {
            let task = known.task.as_str();
            let mut entries = self.ledger.entries().iter();
            if entries.all(|entry| entry.task != task) {
                self.put(Entry::new(&known.task, &known.queue));
                self.note(task, Phase::Submitted(known.job));
            }
        }
        self.find_held().await?;
        self.knows_all = true;
        let entries = self.ledger.entries().to_vec();
        if !entries.is_empty() {
            let under_way = entries.len();
            self.printer
                .line(format!("Taking over {under_way} tasks that are under way"));
        }
        for entry in entries {
            if let (Ok(task), Ok(queue), Some(job)) =
                (entry.task.parse(), entry.queue.parse(), entry.job())
            {
                self.complete(&task, &queue, job).await?;
            }
        }
        Ok(true)
    }

    /// Tasks in the holding queue that have no job yet, and bear the mark of this glue.
    async fn find_held(&mut self) -> Result<(), ApiError> {
        if self.cluster.marks("").is_empty() {
            return Ok(());
        }
        for task in self.holding.waiting().await? {
            let mut entries = self.ledger.entries().iter();
            if entries.any(|entry| entry.task == task.as_str()) {
                continue;
            }
            let properties = self.holding.session().tasks().properties(&task).await?;
            let Some(name) = self.cluster.marked(&properties) else {
                continue;
            };
            let mut queues = self.options.queues.iter();
            if let Some((queue, _)) = queues.find(|(_, queue)| *queue == name).cloned() {
                self.put(Entry::new(&task, &queue));
                self.note(task.as_str(), Phase::Held);
            }
        }
        Ok(())
    }

    async fn complete(&self, task: &TaskId, queue: &QueueId, job: &JobId) -> Result<(), ApiError> {
        if let Some(work) = self.work(task, queue).await? {
            self.cluster.complete(&work, job).await;
        }
        Ok(())
    }

    fn rests(&self) -> bool {
        let now = tokio::time::Instant::now();
        self.rests_until.is_some_and(|until| now < until)
    }

    fn has_room(&self) -> bool {
        let under_way = self.ledger.entries().len();
        let takes = self.fault.is_none() && !self.rests() && !self.leaving.is_cancelled();
        takes && self.options.limit.is_none_or(|limit| under_way < limit)
    }

    /// Looks after what is under way; false where the cluster does not answer.
    async fn look(&mut self) -> Result<bool, ApiError> {
        if !self.knows_all && !self.take_over().await? {
            return Ok(false);
        }
        let entries = self.ledger.entries().to_vec();
        let tasks: Vec<TaskId> = entries
            .iter()
            .filter_map(|entry| entry.task.parse().ok())
            .collect();
        let names: Vec<String> = tasks
            .iter()
            .map(|task| self.cluster.job_name(task))
            .collect();
        // First the jobs: what an agent in one of them has said before its end is known to the server then.
        let jobs = match self.cluster.jobs(&names).await {
            Ok(jobs) => jobs,
            Err(error) => {
                self.is_away(&error.0);
                return Ok(false);
            }
        };
        let standings = self.holding.standings(&tasks).await?;
        for ((entry, task), standing) in entries.iter().zip(&tasks).zip(standings) {
            let Some(seen) = self.seen(entry, task, &jobs).await else {
                continue;
            };
            let since = self.observe(entry, &standing, &seen);
            if let Phase::Returning(why) = &entry.phase {
                self.return_again(entry, task, &standing, why).await?;
                continue;
            }
            let verdict = match entry.phase {
                // Killed between the queue and the ledger's next word.
                Phase::Taken if standing == Standing::QueuedElsewhere => Verdict::Hold,
                _ => judge(&standing, &seen, since),
            };
            self.act(entry, (task, &standing), verdict, &seen).await?;
        }
        let entries = self.ledger.entries().iter();
        let kept: Vec<JobId> = entries.filter_map(Entry::job).cloned().collect();
        self.cluster.clear(&kept).await;
        Ok(true)
    }

    fn is_away(&mut self, why: &str) {
        if self.fault.replace(why.to_owned()).is_none() {
            self.printer.warning(&format!(
                "the cluster does not answer: {why}; no task is taken until it does"
            ));
        }
    }

    /// The task's job; none where the cluster could not be asked.
    async fn seen(&mut self, entry: &Entry, task: &TaskId, jobs: &[Job]) -> Option<Seen> {
        let name = self.cluster.job_name(task);
        // The newest: a task may have had one before.
        let job = match entry.job() {
            Some(id) => jobs.iter().find(|job| job.id == *id),
            None => jobs
                .iter()
                .rfind(|job| job.name == name && !is_over(&job.state)),
        };
        if let (Some(job), None) = (job, entry.job()) {
            self.note(&entry.task, Phase::Submitted(job.id.clone()));
            if let Ok(queue) = entry.queue.parse() {
                // It is tried again with each glue that takes it over.
                let _ = self.complete(task, &queue, &job.id).await;
            }
        }
        match (job, entry.job()) {
            (Some(job), _) => Some(Seen::Job(job.state.clone())),
            (None, None) => Some(Seen::None),
            (None, Some(id)) => {
                let end = self.cluster.end_of(id).await.ok()?;
                Some(Seen::Job(JobState::Ended(end)))
            }
        }
    }

    /// How long task and job have been as they are.
    fn observe(&mut self, entry: &Entry, standing: &Standing, seen: &Seen) -> Duration {
        let now = tokio::time::Instant::now();
        let known = self.observed.iter().find(|(task, ..)| *task == entry.task);
        if let Some((_, stood, was, since)) = known
            && stood == standing
            && was == seen
        {
            return now - *since;
        }
        self.observed.retain(|(task, ..)| *task != entry.task);
        self.observed
            .push((entry.task.clone(), standing.clone(), seen.clone(), now));
        Duration::ZERO
    }

    async fn act(
        &mut self,
        entry: &Entry,
        (task, standing): (&TaskId, &Standing),
        verdict: Verdict,
        seen: &Seen,
    ) -> Result<(), ApiError> {
        let queue: QueueId = match entry.queue.parse() {
            Ok(queue) => queue,
            Err(error) => {
                tracing::warn!(%error, task = entry.task, "an entry without a queue");
                return Ok(());
            }
        };
        match verdict {
            Verdict::Wait => {}
            Verdict::Say(why) => {
                if entry.said.as_ref() != Some(&why) {
                    let text = self.cluster.waiting(&why);
                    self.holding.say(task, &text).await?;
                    self.put(entry.saying(why));
                }
            }
            Verdict::Hold => {
                let runs = *standing == Standing::Is(TaskStatus::InProgress);
                if runs && !self.options.holds_again {
                    return Ok(());
                }
                self.holding.hold(task, runs).await?;
                if entry.phase == Phase::Taken {
                    self.note(&entry.task, Phase::Held);
                }
            }
            Verdict::Submit => self.submit(task, &queue).await?,
            Verdict::Cancel => {
                if let Some(job) = entry.job() {
                    self.cancel(job, task).await;
                }
            }
            Verdict::Lost(end) => self.is_lost(entry, task, &queue, &end).await?,
            Verdict::Forget => {
                tracing::info!(%task, ?seen, "nothing is under way any more");
                self.forget(&entry.task);
            }
        }
        Ok(())
    }

    /// Back into its queue; who is killed on the way goes on with it.
    async fn give_back(
        &mut self,
        task: &TaskId,
        queue: &QueueId,
        why: &str,
    ) -> Result<(), ApiError> {
        self.note(task.as_str(), Phase::Returning(why.to_owned()));
        self.holding.give_back(task, queue, why).await?;
        self.forget(task.as_str());
        Ok(())
    }

    async fn return_again(
        &mut self,
        entry: &Entry,
        task: &TaskId,
        standing: &Standing,
        why: &str,
    ) -> Result<(), ApiError> {
        let is_on_its_way = matches!(
            standing,
            Standing::Held
                | Standing::Moving
                | Standing::Interrupted
                | Standing::Is(TaskStatus::Stopped)
        );
        if is_on_its_way && let Ok(queue) = entry.queue.parse() {
            return self.give_back(task, &queue, why).await;
        }
        self.forget(&entry.task);
        Ok(())
    }

    async fn cancel(&self, job: &JobId, task: &TaskId) {
        self.printer
            .line(format!("Cancelling {} {job} of task '{task}'", C::JOB));
        if let Err(error) = self.cluster.cancel(job).await {
            // It is tried again.
            tracing::warn!(%error, %job, "could not cancel");
        }
    }

    async fn is_lost(
        &mut self,
        entry: &Entry,
        task: &TaskId,
        queue: &QueueId,
        end: &JobEnd,
    ) -> Result<(), ApiError> {
        let job = entry.job().map(JobId::to_string).unwrap_or_default();
        let reason = self.cluster.reason(&job, end);
        if self.options.requeues_lost && may_run_again(end.cause) {
            self.printer
                .line(format!("Task '{task}' goes back into its queue: {reason}"));
            return self.give_back(task, queue, &reason).await;
        }
        self.printer
            .line(format!("Task '{task}' has failed: {reason}"));
        let lines = match entry.job() {
            Some(job) if end.cause == Cause::NeverStarts => {
                self.cancel(job, task).await;
                None
            }
            Some(job) => self.cluster.last_lines(task, job).await,
            None => None,
        };
        let lines = lines.unwrap_or_default();
        self.holding.fail(task, &reason, &lines).await?;
        self.forget(&entry.task);
        Ok(())
    }

    /// The first task of the first queue that has one (C-612); false where there is none.
    async fn schedule_next(&mut self) -> Result<bool, ApiError> {
        for (queue, name) in self.options.queues.clone() {
            let queues = self.holding.session().queues();
            let Some(next) = queues.next_task(&queue, false).await? else {
                continue;
            };
            let task = next.entry.task;
            self.printer
                .line(format!("Received task {task} from queue {name}"));
            for line in self.cluster.announcement(&task) {
                self.printer.line(line);
            }
            self.put(Entry::new(&task, &queue));
            self.holding.mark(&task, &self.cluster.marks(&name)).await;
            self.holding.hold(&task, false).await?;
            self.note(task.as_str(), Phase::Held);
            self.submit(&task, &queue).await?;
            return Ok(true);
        }
        Ok(false)
    }

    async fn work(&self, task: &TaskId, queue: &QueueId) -> Result<Option<Work>, ApiError> {
        let fields = self.holding.session().tasks().document(task).await?;
        let mut queues = self.options.queues.iter();
        let name = queues.find(|(id, _)| id == queue);
        Ok(fields.map(|fields| Work {
            task: task.clone(),
            fields,
            queue: queue.clone(),
            queue_name: name.map_or_else(|| queue.to_string(), |(_, name)| name.clone()),
        }))
    }

    async fn submit(&mut self, task: &TaskId, queue: &QueueId) -> Result<(), ApiError> {
        let Some(work) = self.work(task, queue).await? else {
            self.forget(task.as_str());
            return Ok(());
        };
        match self.cluster.submit(&work).await {
            Ok(job) => {
                if self.rests_until.take().is_some() {
                    self.printer.line("The cluster takes jobs again");
                }
                self.printer
                    .line(format!("Task '{task}' is {} {job}", C::JOB));
                let properties = self.cluster.properties(&job);
                self.note(task.as_str(), Phase::Submitted(job));
                self.holding.mark(task, &properties).await;
            }
            Err(NotSubmitted::NotYet(why)) => {
                tracing::info!(%task, why, "an older job is in the way");
            }
            Err(NotSubmitted::Refused(why)) => {
                self.printer
                    .line(format!("Task '{task}' has failed: {why}"));
                self.holding.fail(task, &why, "").await?;
                self.forget(task.as_str());
            }
            Err(NotSubmitted::Later(why)) => {
                let until = tokio::time::Instant::now() + self.options.interval * REST;
                if self.rests_until.replace(until).is_none() {
                    self.printer.warning(&format!(
                        "the cluster takes no job at present: {why}; it is asked again from time to time"
                    ));
                }
                self.give_back(task, queue, &why).await?;
            }
            // It is found by its name, or submitted again.
            Err(NotSubmitted::Unknown(why)) => self.is_away(&why),
        }
        Ok(())
    }

    fn note(&mut self, task: &str, phase: Phase) {
        let written = self.ledger.advance(task, phase);
        self.is_noted(written);
    }

    fn put(&mut self, entry: Entry) {
        let written = self.ledger.put(entry);
        self.is_noted(written);
    }

    fn is_noted(&self, written: std::io::Result<()>) {
        if let Err(error) = written {
            self.printer.warning(&format!(
                "could not write the ledger: {error}; what is under way goes on (hint: make room in the state folder)"
            ));
        }
    }

    fn forget(&mut self, task: &str) {
        self.is_full = false;
        self.ledger.forget(task);
        self.observed.retain(|(one, ..)| one != task);
    }
}

fn is_over(state: &JobState) -> bool {
    matches!(state, JobState::Ended(_) | JobState::Ending)
}
