//! The loop: what became of what is under way, then the next tasks.

mod act;
mod jobs;
mod submit;
mod takeover;

use std::collections::HashMap;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::jobs::Jobs;
use super::cluster::{Cluster, JobId, JobState};
use super::holding::Holding;
use super::ledger::{Entry, Ledger, Phase};
use super::state::{About, GlueState};
use super::verdict::{Seen, Standing, Verdict, has_begun_anew, is_steady, judge};
use crate::api::{ApiError, QueueId, TaskId};
use crate::task::Strays;
use crate::ui::Printer;

/// How long a step that has begun may take when the glue is told to end.
const LAST_STEP: Duration = Duration::from_secs(10);

/// What is under way is looked at again after so long, however many tasks there are to take.
const LOOKS_AFTER: Duration = Duration::from_secs(10);

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
    /// Between two status reports, by which its health is told.
    pub report_interval: Duration,
}

/// Why a glue has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GlueEnd {
    /// It was told to take no more tasks, and nothing is under way any more.
    Drained,
    /// A signal.
    Terminated,
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
    /// How often it has not answered.
    silences: usize,
    /// It has refused a job for now, which has been said; none is submitted before.
    rests_until: Option<tokio::time::Instant>,
    /// That the limit is reached was said.
    is_full: bool,
    /// All that there is to know is in the ledger.
    is_written: bool,
    /// What a glue before this one has left was looked for.
    knows_all: bool,
    /// Tasks whose jobs may lack something.
    incomplete: Vec<String>,
    /// Queues whose last answer may have been a task.
    strays: Strays,
    /// Tasks that a glue whose ledger is gone may have left between two queues, and since when they are known.
    halfway: Option<(tokio::time::Instant, HashMap<TaskId, QueueId>)>,
    /// By task: how it stood, how its job was, and since when.
    observed: HashMap<String, (Standing, Seen, tokio::time::Instant)>,
    /// For those who ask.
    state: GlueState,
}

impl<C: Cluster> Glue<C> {
    /// A glue that has done nothing yet.
    pub fn new(cluster: C, holding: Holding, ledger: Ledger, options: GlueOptions) -> Self {
        let about = About {
            worker: holding.worker().clone(),
            queues: options.queues.clone(),
            limit: options.limit,
            report_interval: options.report_interval,
            session: holding.session().clone(),
        };
        Self {
            state: GlueState::new(about, ledger.entries()),
            cluster,
            holding,
            ledger,
            options,
            printer: Printer::default(),
            leaving: CancellationToken::new(),
            fault: None,
            silences: 0,
            rests_until: None,
            is_full: false,
            is_written: true,
            knows_all: false,
            incomplete: Vec::new(),
            strays: Strays::default(),
            halfway: None,
            observed: HashMap::new(),
        }
    }

    /// What it does, for those who ask.
    pub fn state(&self) -> GlueState {
        self.state.clone()
    }

    /// Works until a signal ends it, or until nothing is under way after it was told to drain. Jobs go on, and the next glue of
    /// this name takes them over (C-647).
    pub async fn run(mut self) -> std::io::Result<GlueEnd> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let draining = self.state.draining();
        while !self.is_drained() {
            let leaving = self.leaving.clone();
            let mut round = Box::pin(self.round());
            let mut is_behind = false;
            tokio::select! {
                behind = &mut round => is_behind = behind,
                _ = interrupt.recv() => leaving.cancel(),
                _ = terminate.recv() => leaving.cancel(),
            }
            if leaving.is_cancelled() {
                // An answer that is on its way may be a task.
                if tokio::time::timeout(LAST_STEP, round).await.is_ok() {
                    self.close();
                }
                return Ok(GlueEnd::Terminated);
            }
            drop(round);
            let rest = if is_behind {
                Duration::ZERO
            } else {
                self.options.interval
            };
            self.state.rests(rest, self.rests_until);
            let may_be_told = !draining.is_cancelled();
            tokio::select! {
                () = tokio::time::sleep(rest) => continue,
                () = draining.cancelled(), if may_be_told => continue,
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            self.close();
            return Ok(GlueEnd::Terminated);
        }
        self.close();
        self.printer
            .line("Drained: nothing is under way any more, and no task is taken");
        Ok(GlueEnd::Drained)
    }

    /// The next glue need not look for tasks that have left their queues for this one.
    fn close(&self) {
        if self.misses_nothing() && self.is_written {
            self.ledger.close();
        }
    }

    /// What the glue before this one has left is known, and no task is looked for that may have got lost on its way.
    fn misses_nothing(&self) -> bool {
        self.knows_all && self.strays.count() == 0 && self.halfway.is_none()
    }

    fn is_drained(&self) -> bool {
        let is_empty = self.ledger.entries().is_empty() && self.misses_nothing();
        self.state.is_draining() && is_empty
    }

    /// Whether there was no time to ask for all tasks.
    async fn round(&mut self) -> bool {
        let silences = self.silences;
        match self.look().await {
            // It has answered at first, and then not any more.
            Ok(true) if self.silences > silences => return false,
            Ok(true) => {
                self.state.looked(Ok(()), !self.ledger.entries().is_empty());
                if self.fault.take().is_some() {
                    self.printer
                        .line("The cluster answers again: tasks are taken");
                }
            }
            // Nothing is known of the jobs: what is under way is left alone, and others may have the tasks.
            Ok(false) => return false,
            Err(error) => {
                tracing::warn!(%error, "could not look after what is under way");
                return false;
            }
        }
        let begun = tokio::time::Instant::now();
        while self.has_room() {
            if begun.elapsed() >= LOOKS_AFTER {
                return true;
            }
            self.state.poll_begins();
            let scheduled = self.schedule_next().await;
            self.state.asked(scheduled.is_ok());
            match scheduled {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    self.printer.warning(&format!(
                        "could not take a task: {}",
                        error.reference_text()
                    ));
                    return false;
                }
            }
        }
        // Once each time.
        if let Some(limit) = self.options.limit
            && self.fault.is_none()
            && !self.rests()
            && !self.leaving.is_cancelled()
            && !self.state.is_draining()
            && !std::mem::replace(&mut self.is_full, true)
        {
            let under_way = self.ledger.entries().len();
            let seconds = self.options.interval.as_secs_f64();
            self.printer.line(format!(
                "Maximum {} limit reached {under_way}/{limit}, sleeping for {seconds} seconds",
                C::UNIT
            ));
        }
        false
    }

    fn rests(&self) -> bool {
        let now = tokio::time::Instant::now();
        self.rests_until.is_some_and(|until| now < until)
    }

    fn has_room(&self) -> bool {
        let under_way = self.ledger.entries().len();
        let leaves = self.leaving.is_cancelled() || self.state.is_draining();
        let takes = self.fault.is_none() && !self.rests() && !leaves;
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
        let Some((mut jobs, mut standings)) = self.compare(&entries, &tasks, &names).await? else {
            return Ok(false);
        };
        let mut pairs = entries.iter().zip(&standings);
        if self.cluster.may_be_old()
            && !pairs.all(|(entry, standing)| is_steady(standing, jobs.state_for(entry)))
        {
            // Nothing is done about a job by what was said of it some time ago.
            self.cluster.look_anew();
            let Some(anew) = self.compare(&entries, &tasks, &names).await? else {
                return Ok(false);
            };
            (jobs, standings) = anew;
        }
        for ((entry, task), standing) in entries.iter().zip(&tasks).zip(standings) {
            let Some(seen) = self.seen(entry, task, &jobs) else {
                continue;
            };
            let since = self.observe(entry, &standing, &seen);
            if let Phase::Returning(why) = &entry.phase {
                let returned = self.return_again(entry, task, &standing, why).await;
                goes_on(task, returned)?;
                continue;
            }
            if !C::NAMES_ARE_UNIQUE {
                self.cancel_others(entry, task, &jobs).await;
            }
            let verdict = match entry.phase {
                // Killed between the queue and the ledger's next word.
                Phase::Taken if standing == Standing::QueuedElsewhere => Verdict::Hold,
                _ if C::BEGINS_ANEW && has_begun_anew(&standing, &seen, since) => Verdict::Hold,
                _ => match judge(&standing, &seen, since) {
                    Verdict::Submit if since < C::SETTLING => Verdict::Wait,
                    verdict => verdict,
                },
            };
            let acted = self.act(entry, (task, &standing), verdict, &seen).await;
            goes_on(task, acted)?;
        }
        self.complete().await;
        self.find_strays().await;
        self.finish_moves().await?;
        let entries = self.ledger.entries().iter();
        let kept: Vec<JobId> = entries.filter_map(Entry::job).cloned().collect();
        self.cluster.clear(&kept).await;
        Ok(true)
    }

    /// First the jobs: what an agent in one of them has said before its end is known to the server then. None where the cluster
    /// does not answer.
    async fn compare(
        &mut self,
        entries: &[Entry],
        tasks: &[TaskId],
        names: &[String],
    ) -> Result<Option<(Jobs, Vec<Standing>)>, ApiError> {
        let mut jobs = match self.cluster.jobs(names).await {
            Ok(jobs) => Jobs::of(&jobs),
            Err(error) => {
                self.is_away(&error.0);
                return Ok(None);
            }
        };
        let missing = jobs.missing(entries, names);
        if !missing.is_empty() {
            jobs.ends = self.cluster.ends_of(&missing).await;
        }
        let standings = self.holding.standings(tasks).await?;
        Ok(Some((jobs, standings)))
    }

    fn is_away(&mut self, why: &str) {
        self.silences += 1;
        self.state.looked(Err(why.to_owned()), false);
        if self.fault.replace(why.to_owned()).is_none() {
            self.printer.warning(&format!(
                "the cluster does not answer: {why}; no task is taken until it does"
            ));
        }
    }

    /// The task's job; none where the cluster could not be asked.
    fn seen(&mut self, entry: &Entry, task: &TaskId, jobs: &Jobs) -> Option<Seen> {
        let name = self.cluster.job_name(task);
        let job = match entry.job() {
            Some(id) => jobs.own(id, &name),
            None => jobs.living(&name).last(),
        };
        if let (Some(job), None) = (job, entry.job()) {
            self.note(&entry.task, Phase::Submitted(job.id.clone()));
            self.incomplete.push(entry.task.clone());
        }
        match (job, entry.job()) {
            (Some(job), _) => Some(Seen::Job(job.state.clone())),
            (None, None) => Some(Seen::None),
            (None, Some(id)) => {
                let end = jobs.ends.get(id)?;
                Some(Seen::Job(JobState::Ended(end.clone())))
            }
        }
    }

    /// How long task and job have been as they are.
    fn observe(&mut self, entry: &Entry, standing: &Standing, seen: &Seen) -> Duration {
        self.state.sees(&entry.task, seen);
        let now = tokio::time::Instant::now();
        if let Some((stood, was, since)) = self.observed.get(&entry.task)
            && stood == standing
            && was == seen
        {
            return now - *since;
        }
        let observed = (standing.clone(), seen.clone(), now);
        self.observed.insert(entry.task.clone(), observed);
        Duration::ZERO
    }

    fn note(&mut self, task: &str, phase: Phase) {
        let written = self.ledger.advance(task, phase);
        if let Some(entry) = self.ledger.entry(task) {
            self.state.is(entry);
        }
        self.is_noted(written);
    }

    fn put(&mut self, entry: Entry) {
        self.state.is(&entry);
        let written = self.ledger.put(entry);
        self.is_noted(written);
    }

    fn is_noted(&mut self, written: std::io::Result<()>) {
        if let Err(error) = written {
            self.is_written = false;
            self.printer.warning(&format!(
                "could not write the ledger: {error}; what is under way goes on (hint: make room in the state folder)"
            ));
        }
    }

    fn forget(&mut self, task: &str) {
        self.is_full = false;
        self.ledger.forget(task);
        self.observed.remove(task);
        self.state.forget(task);
    }
}

/// What the server refuses for one task is no reason to leave the others alone.
fn goes_on(task: &TaskId, done: Result<(), ApiError>) -> Result<(), ApiError> {
    match done {
        Err(error) if error.refusal().is_some() => {
            tracing::warn!(%error, %task, "could not do what is to be done about a task");
            Ok(())
        }
        done => done,
    }
}
