//! The worker's life: register, adopt, poll, hand over, wait, take leave.

use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};

use super::answers::Answers;
use super::children::{Nursery, Placement, RunEnd, WatchedRun};
use super::crew::{Crew, Ended, Member, Order};
use super::gpus::Lease;
use super::options::{DaemonEnd, DaemonOptions};
use super::poller::{Poller, Pulled};
use super::recovery::Inheritance;
use super::requests::{Request, Requests, listen};
use super::service;
use super::state::{About, KnownRun, State};
use super::strays::{Search, Suspects, return_to_queue};
use super::survival::{caught, pause, surviving};
use crate::api::TaskId;
use crate::storage::{Slot, SlotError};
use crate::task::{
    CurrentTask, Ending, FinalStatus, Phase, ReportOptions, RunFolder, RunOptions, StatusReporter,
    Taken, TaskServer,
};
use crate::ui::Printer;

/// How long the farewell may take (D-300).
const FAREWELL: Duration = Duration::from_secs(3);
/// How long a supervisor may take to end its task: its own limit and a little more.
const ENDING: Duration = Duration::from_secs(7);
/// The same for tasks that are workers of their own (D-261).
const ENDING_SEVERAL: Duration = Duration::from_secs(20);

/// How long a worker that drains waits for the answer to its last question for tasks.
const LAST_ANSWER: Duration = Duration::from_secs(30);
/// What a worker that leaves does not find out any more.
const UNANSWERED: &str = "the server has not answered a question for tasks; a task that it has given out meanwhile is in no \
     queue any more and must be enqueued again";
/// How long a worker that is told twice to end waits for its supervisors (D-301).
const HURRY: Duration = Duration::from_millis(500);

/// A worker that polls.
#[derive(Debug)]
pub struct Daemon {
    options: DaemonOptions,
    poller: Poller,
    printer: Printer,
    crew: Crew,
    /// Until it begins.
    search: Option<Search>,
    /// What the server is being told of tasks that could not be run.
    marks: Vec<JoinHandle<()>>,
    nursery: Rc<Nursery>,
    current: watch::Sender<Option<CurrentTask>>,
    state: State,
    /// The configuration is read again after each look; a file that is just being written does not end that.
    reloads: bool,
    /// Why the configuration could not be read again, so that it is said once.
    unreadable: Option<String>,
}

/// What to do after something was waited for.
enum Next {
    Continue,
    Leave(DaemonEnd),
}

impl Daemon {
    /// A daemon that has not begun.
    pub fn new(mut options: DaemonOptions) -> Self {
        let gpus = options.gpus.take();
        let nursery = &options.nursery;
        let state = State::new(About {
            worker: nursery.worker.clone(),
            queues: options.queue_names.clone(),
            has_one_task: options.capacity.is_one(),
            report_interval: options.report.interval,
        });
        let (suspects, search) = Search::new(options.session.clone(), nursery.places.clone());
        let mut poller = Poller::new(
            options.session.clone(),
            nursery.worker.clone(),
            nursery.queues.clone(),
            options.polling.clone(),
            state.clone(),
            gpus,
            options.is_talkative,
        );
        poller.suspects = Some(suspects);
        Self {
            search: Some(search),
            marks: Vec::new(),
            poller,
            printer: Printer::default(),
            crew: Crew::new(),
            nursery: Rc::new(nursery.clone()),
            current: watch::Sender::new(None),
            state,
            reloads: options.nursery.settings.is_on("agent.reload_config"),
            unreadable: None,
            options,
        }
    }

    /// Works until a signal ends it. Must run on a `LocalSet` of the main thread.
    pub async fn run(mut self) -> std::io::Result<DaemonEnd> {
        let mut requests = listen(self.options.ignores_hangup)?;
        let answers = Answers::begin(
            &self.nursery.places.control,
            self.options.metrics.take(),
            self.options.report.gpus.clone(),
            &self.state,
        )?;
        self.register().await;
        service::is_ready();
        self.tell_what_it_does();
        let state = self.state.clone();
        let report = ReportOptions {
            taken: Taken::new(move || {
                service::is_alive();
                state.report_taken();
            }),
            ..self.options.report.clone()
        };
        let session = self.options.session.clone();
        let current = self.current.subscribe();
        let mut reporter = spawn_local(surviving(move || {
            let reporter = StatusReporter::new(session.clone(), report.clone());
            Box::pin(reporter.run(current.clone()))
        }));
        self.search.take().map(|search| spawn_local(search.run()));
        self.adopt();
        let end = self.work_on(&mut requests).await;
        if self.may_miss_a_task() {
            self.printer.warning(UNANSWERED);
        }
        service::is_stopping();
        if matches!(end, DaemonEnd::Drained | DaemonEnd::Terminated) {
            self.current = watch::Sender::new(None);
            tokio::select! {
                () = self.farewell(&mut reporter) => {}
                // D-301
                _ = requests.recv() => {}
            }
        }
        reporter.abort();
        drop(answers);
        self.printer
            .line(format!("\nLeaving process id {}", std::process::id()));
        let is_over = !matches!(end, DaemonEnd::Crashed | DaemonEnd::HandedOver);
        if let (true, Some(log_file)) = (is_over, &self.options.log_file) {
            log_file.daemon_ends();
        }
        Ok(end)
    }

    /// For the server, for the status of a service, and for those who ask.
    fn tell_what_it_does(&self) {
        let runs = self.crew.members().iter().map(|member| KnownRun {
            run: member.run.clone(),
            current: member.current.clone(),
        });
        self.state.runs(runs.collect());
        if !self.options.capacity.is_one() {
            return;
        }
        let current = self
            .crew
            .members()
            .iter()
            .find_map(|one| one.current.clone());
        (self.options.task_runs)(!self.crew.members().is_empty());
        self.current.send_if_modified(|reported| {
            let is_news = *reported != current;
            *reported = current;
            is_news
        });
    }

    /// Works; a mistake of the program in one round costs a pause (D-170), or ends the worker where that is wanted.
    async fn work_on(&mut self, requests: &mut Requests) -> DaemonEnd {
        let mut crashes = 0;
        loop {
            if let Ok(end) = caught(Box::pin(self.work(requests))).await {
                return end;
            }
            if self.options.crashes_on_exception {
                return DaemonEnd::Crashed;
            }
            crashes += 1;
            tokio::time::sleep(pause(crashes)).await;
        }
    }

    async fn work(&mut self, requests: &mut Requests) -> DaemonEnd {
        let mut has_polled = false;
        loop {
            let next = if self.state.is_draining() {
                if !self.crew.members().is_empty() {
                    self.wait(None, requests).await
                } else if self.may_miss_a_task() {
                    self.wait(Some(FAREWELL), requests).await
                } else {
                    return DaemonEnd::Drained;
                }
            } else if self.options.capacity.is_used_up(self.crew.members().len()) {
                self.wait_for_room(requests).await
            } else {
                if !has_polled && !self.poller.is_talkative {
                    self.printer.line("Starting infinite task polling loop...");
                }
                has_polled = true;
                Box::pin(self.take_a_task(requests)).await
            };
            if let Next::Leave(end) = next {
                return end;
            }
        }
    }

    /// An answer of a queue was lost, and it is not known yet whether a task was in it.
    fn may_miss_a_task(&self) -> bool {
        let suspects = self.poller.suspects.as_ref();
        suspects.is_some_and(Suspects::are_open)
    }

    async fn take_a_task(&mut self, requests: &mut Requests) -> Next {
        let pulled = match Box::pin(self.poll(requests)).await {
            Ok(pulled) => pulled,
            Err(request) => return self.leave(request, requests).await,
        };
        self.reload();
        match pulled {
            Some(pulled) if self.state.is_draining() => {
                self.return_to_queue(&pulled).await;
                Next::Continue
            }
            None if self.state.is_draining() => Next::Continue,
            Some(pulled) => {
                if let Some(log_file) = &self.options.log_file {
                    log_file.task_begins();
                }
                self.hand_over(pulled, requests).await
            }
            None => self.rest(requests).await,
        }
    }

    /// What has changed in the files is for the next task (F-015); a file that cannot be read changes nothing.
    fn reload(&mut self) {
        if !self.reloads {
            return;
        }
        match (self.options.reread.0)() {
            Ok(settings) => {
                Rc::make_mut(&mut self.nursery).settings = settings;
                self.unreadable = None;
            }
            Err(error) => {
                let text = error.to_string();
                if self.unreadable.as_ref() != Some(&text) {
                    self.printer
                        .warning(&format!("the configuration was not read again: {text}"));
                    self.unreadable = Some(text);
                }
            }
        }
    }

    /// One look at the queues. A question that is on its way is not forgotten when a signal comes: its answer
    /// may be a task, which goes back to the front of its queue then. A worker that drains has time for the answer.
    async fn poll(&mut self, requests: &mut Requests) -> Result<Option<Pulled>, Option<Request>> {
        let session = self.options.session.clone();
        let leaving = self.poller.leaving.clone();
        let draining = self.state.draining();
        let mut round = Box::pin(self.poller.round());
        let mut request = tokio::select! {
            pulled = &mut round => return Ok(pulled),
            request = requests.recv() => Some(request),
            () = draining.cancelled() => None,
        };
        leaving.cancel();
        if request.is_none() {
            tokio::select! {
                pulled = &mut round => return Ok(pulled),
                () = tokio::time::sleep(LAST_ANSWER) => {}
                late = requests.recv() => request = Some(late),
            }
        }
        match tokio::time::timeout(FAREWELL, round).await {
            Ok(Some(pulled)) => {
                return_to_queue(&session.with_deadline(FAREWELL), &pulled).await;
            }
            Ok(None) => {}
            Err(_) => self.printer.warning(UNANSWERED),
        }
        request.map_or(Ok(None), Err)
    }

    /// A failure is not fatal: status reports register the worker as well (D-105).
    async fn register(&self) {
        let nursery = &self.nursery;
        let workers = self.options.session.workers();
        match workers.register(&nursery.worker, &nursery.queues).await {
            Ok(()) => self.state.registered(),
            Err(error) => self.printer.warning(&format!(
                "could not register the worker: {}",
                error.reference_text()
            )),
        }
    }

    /// Takes over the runs of an earlier worker of this id; nothing is pulled while they take up its room.
    fn adopt(&mut self) {
        let inheritance = Inheritance::of(&self.nursery.places, self.nursery.worker.as_str());
        for run in inheritance.abandoned {
            self.settle_abandoned(run);
        }
        for run in inheritance.own {
            let lease = self.lease_of(&run);
            let Ok(mut watched) = self.nursery.adopt(run) else {
                continue;
            };
            watched.lease = lease;
            self.crew.add(watched, self.nursery.clone());
            let adopted = self.crew.members().last();
            if let Some(current) = adopted.and_then(|member| member.current.as_ref()) {
                self.printer
                    .line(format!("Adopted running task '{}'", current.task));
            }
        }
        self.tell_what_it_does();
    }

    /// The GPUs of a run that an earlier worker has left.
    fn lease_of(&self, run: &RunFolder) -> Option<Lease> {
        let entry = run.read().ok()?;
        let pool = &self.poller.gpus.as_ref()?.pool;
        entry.parent.as_ref()?;
        let lease = pool.inherit(entry.options.gpus.as_deref()?, entry.slot);
        lease
            .inspect_err(|error| tracing::warn!(%error, "could not hold the GPUs of a task"))
            .ok()
    }

    /// A run that nobody has begun goes back to its queue: it is no task of this worker.
    fn settle_abandoned(&self, run: RunFolder) {
        let nursery = self.nursery.clone();
        let session = self.options.session.clone();
        spawn_local(async move {
            if let Some(pulled) = untouched(&run) {
                // Whoever has the lock does it.
                let Ok(journal) = run.open() else { return };
                if return_to_queue(&session, &pulled).await {
                    journal.remove();
                }
                return;
            }
            match nursery.adopt(run) {
                Ok(mut watched) => {
                    // The next worker of its name tries again.
                    let _ = watched.settled(&nursery).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "could not settle the run of a worker that is gone");
                }
            }
        });
    }

    async fn hand_over(&mut self, mut pulled: Pulled, requests: &mut Requests) -> Next {
        let place = match self.place(&mut pulled).await {
            Ok(place) => place,
            Err(SlotError::Duplicate(worker)) => {
                // Its former run ends as soon as it has seen that it was enqueued again.
                self.printer.warning(&format!(
                    "task '{}' still runs as worker {worker}; it goes back to its queue until that has ended",
                    pulled.task
                ));
                self.return_to_queue(&pulled).await;
                return self.rest(requests).await;
            }
            Err(error) => {
                let hint = "set `TMPDIR` to a folder that can be written";
                self.give_up_on(&pulled.task, error.to_string(), hint);
                return self.rest(requests).await;
            }
        };
        match self.nursery.hand_over(&pulled, place) {
            Ok(watched) => {
                self.crew.add(watched, self.nursery.clone());
                self.tell_what_it_does();
                Next::Continue
            }
            Err(error) => {
                let reason = format!("the agent could not start the task's supervisor: {error}");
                let hint = "make room on the disk, or raise the limit of processes";
                self.give_up_on(&pulled.task, reason, hint);
                // A full disk must not fail a whole queue at once.
                self.rest(requests).await
            }
        }
    }

    /// True where the task is in its queue again.
    async fn return_to_queue(&self, pulled: &Pulled) -> bool {
        let session = self.options.session.clone().with_deadline(FAREWELL);
        return_to_queue(&session, pulled).await
    }

    /// Where a task is a worker of its own: its id and slot.
    async fn place(&self, pulled: &mut Pulled) -> Result<Option<Placement>, SlotError> {
        if let Some(lease) = pulled.lease.take() {
            return Ok(Some(Placement {
                worker: lease.worker(),
                number: lease.number(),
                claim: None,
                options: RunOptions {
                    gpus: Some(lease.gpus().to_owned()),
                    ..self.nursery.options.clone()
                },
                lease: Some(lease),
            }));
        }
        let Some(worker) = self
            .options
            .capacity
            .own_worker(&self.nursery.worker, &pulled.task)
        else {
            return Ok(None);
        };
        let slot = Slot::claim(&self.nursery.places.slots, |_| worker.clone(), &[]).await?;
        Ok(Some(Placement {
            worker,
            number: slot.number,
            claim: Some(slot),
            lease: None,
            options: self.nursery.options.clone(),
        }))
    }

    /// A task that cannot be handed over must not stay as it is: it has left its queue (D-172).
    fn give_up_on(&mut self, task: &TaskId, reason: String, hint: &str) {
        self.printer.error(&reason, Some(hint));
        self.mark_as_failed(task.clone(), reason, None);
    }

    /// Beside the work: a server that is away holds up nobody. What is left of the run goes when the server knows.
    fn mark_as_failed(&mut self, task: TaskId, reason: String, run: Option<WatchedRun>) {
        self.state.task_ends(Ending::Failed);
        let worker = self.nursery.worker.clone();
        let server = TaskServer::new(self.options.session.clone(), task.clone(), worker);
        let printer = self.printer;
        self.marks.retain(|mark| !mark.is_finished());
        self.marks.push(spawn_local(async move {
            if let Err(error) = server.settle(&FinalStatus::Failed(reason)).await {
                printer.warning(&format!(
                    "could not mark task '{task}' as failed: {}",
                    error.reference_text()
                ));
            }
            if let Some(output) = run.and_then(|run| run.abandon()) {
                printer.warning(&format!(
                    "what task '{task}' has printed is kept in {}",
                    output.display()
                ));
            }
        }));
    }

    /// No supervisor comes to its work: the task must not stay as it is, and the worker has others to run.
    fn abandon(&mut self, ended: Ended, reason: String) {
        match ended.current {
            Some(current) => self.mark_as_failed(current.task, reason, Some(ended.run)),
            None => drop(ended.run.abandon()),
        }
    }

    /// No task is taken until one has ended (D-258).
    async fn wait_for_room(&mut self, requests: &mut Requests) -> Next {
        let interval = self.options.polling_interval;
        let Some(limit) = self.options.capacity.limit() else {
            return self.wait(None, requests).await;
        };
        if self.poller.is_talkative {
            self.printer.line(format!(
                "Reached max number of services {limit}, sleeping for {:.1} seconds",
                interval.as_secs_f64()
            ));
        }
        self.wait(Some(interval), requests).await
    }

    async fn rest(&mut self, requests: &mut Requests) -> Next {
        let interval = self.options.polling_interval;
        if self.poller.is_talkative {
            let why = match self.poller.shortage {
                None => "No tasks in Queues".to_owned(),
                Some(shortage) => shortage.to_string(),
            };
            self.printer.line(format!(
                "{why}, sleeping for {:.1} seconds",
                interval.as_secs_f64()
            ));
        }
        self.wait(Some(interval), requests).await
    }

    /// Waits for the end of a task, a signal, or the end of `time`.
    async fn wait(&mut self, time: Option<Duration>, requests: &mut Requests) -> Next {
        let draining = self.state.draining();
        let is_draining = self.state.is_draining();
        let time_is_over = async {
            match time {
                Some(time) => {
                    self.state.rests(time);
                    tokio::time::sleep(time).await;
                }
                None => std::future::pending().await,
            }
        };
        let request = tokio::select! {
            ended = self.crew.next_end() => {
                self.has_ended(ended).await;
                return Next::Continue;
            }
            () = time_is_over => return Next::Continue,
            () = draining.cancelled(), if !is_draining => return Next::Continue,
            request = requests.recv() => request,
        };
        let is_one = self.options.capacity.is_one();
        if let (true, Some(Request::Interrupt), Some(member)) = (is_one, request, self.crew.sole())
            && !member.is_interrupted
        {
            member.is_interrupted = true;
            self.printer
                .line("User abort: ending the task; press Ctrl-C again to end the agent");
            member.order(Order::Interrupt);
            return Next::Continue;
        }
        self.leave(request, requests).await
    }

    async fn has_ended(&mut self, ended: Ended) {
        match &ended.end {
            RunEnd::Hopeless(status) => {
                let reason = format!(
                    "the task's supervisor failed at its start, again and again ({status})"
                );
                let hint = "what it said about it is above";
                self.printer.error(&reason, Some(hint));
                self.abandon(ended, reason);
            }
            RunEnd::NotAllowed(reason) => {
                self.printer.line(reason);
                let reason = reason.clone();
                self.abandon(ended, reason);
            }
            RunEnd::Untouched => {
                if let Some(pulled) = untouched(&ended.run.run)
                    && self.return_to_queue(&pulled).await
                {
                    // Nothing has been printed.
                    let _ = ended.run.abandon();
                }
            }
            RunEnd::Settled(ending) => self.state.task_ends(*ending),
            RunEnd::Left => {}
        }
        self.tell_what_it_does();
    }

    /// Ends all tasks, or leaves them to the next worker.
    async fn leave(&mut self, request: Option<Request>, requests: &mut Requests) -> Next {
        if request == Some(Request::HandOver) {
            return Next::Leave(DaemonEnd::HandedOver);
        }
        let mut end = DaemonEnd::Terminated;
        let mut patience = ENDING;
        if !self.options.capacity.is_one() {
            patience = ENDING_SEVERAL;
            let supervisors = self.crew.members().iter().filter_map(Member::supervisor);
            for process in supervisors {
                self.printer
                    .line(format!("Terminating child process {}", process.pid));
            }
        }
        self.crew.order(Order::Terminate);
        let mut deadline = tokio::time::Instant::now() + self.options.grace + patience;
        while !self.crew.members().is_empty() {
            tokio::select! {
                ended = self.crew.next_end() => self.has_ended(ended).await,
                () = tokio::time::sleep_until(deadline) => {
                    if end == DaemonEnd::Terminated && !self.options.capacity.is_one() {
                        self.kill_the_rest();
                    }
                    break;
                }
                _ = requests.recv() => {
                    if end == DaemonEnd::Hurried {
                        break;
                    }
                    // They stop waiting for the server.
                    self.crew.order(Order::Terminate);
                    end = DaemonEnd::Hurried;
                    deadline = tokio::time::Instant::now() + HURRY;
                }
            }
        }
        let marks = std::mem::take(&mut self.marks);
        let told = async {
            for mark in marks {
                // It has nothing to return.
                let _ = mark.await;
            }
        };
        if tokio::time::timeout(FAREWELL, told).await.is_err() {
            self.printer
                .warning("the server could not be told of all tasks that could not be run");
        }
        Next::Leave(end)
    }

    /// Supervisors that have not obeyed in time, and their programs with them; the next worker settles their runs
    /// (D-261, D-273).
    fn kill_the_rest(&self) {
        for process in self.crew.members().iter().filter_map(Member::supervisor) {
            self.printer.warning(&format!(
                "child process {} does not end, killing it",
                process.pid
            ));
            // It may have ended in the meantime.
            let _ = process.signal(Signal::SIGKILL);
        }
    }

    /// A report that is on its way must not arrive behind the farewell.
    async fn farewell(&self, reporter: &mut JoinHandle<()>) {
        let nursery = &self.nursery;
        let workers = self.options.session.workers();
        let told = async {
            // It ends by itself: nobody has tasks for it any more.
            let _ = reporter.await;
            workers.unregister(&nursery.worker, &nursery.queues).await
        };
        let reason = match tokio::time::timeout(FAREWELL, told).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.reference_text(),
            Err(_) => format!("no answer within {} s", FAREWELL.as_secs()),
        };
        self.printer
            .warning(&format!("could not unregister the worker: {reason}"));
    }
}

/// The task of a run that nobody has begun, and of which nothing has been said to the server.
fn untouched(run: &RunFolder) -> Option<Pulled> {
    let entry = run.read().ok()?;
    let is_untouched = entry.phase == Phase::Pulled && entry.supervisor.is_none();
    is_untouched.then_some(())?;
    Some(Pulled {
        task: entry.task.parse().ok()?,
        queue: entry.queue.parse().ok()?,
        owner: None,
        lease: None,
    })
}
