//! The worker's life: register, adopt, poll, hand over, wait, take leave.

mod adoption;
mod failing;
mod leaving;

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};

use super::answers::Answers;
use super::children::{Nursery, Placement, RunEnd};
use super::crew::{Crew, Ended, Order};
use super::engine::EngineLook;
use super::options::{DaemonEnd, DaemonOptions};
use super::poller::{Poller, Pulled};
use super::prefetch::Prefetch;
use super::presence::Presence;
use super::requests::{Request, Requests, listen};
use super::room::RoomLook;
use super::state::{About, KnownRun, State};
use super::strays::{Search, Suspects, return_to_queue};
use super::survival::{caught, pause, surviving};
use crate::control::service;
use crate::process::{Step, forget_own_code, reached};
use crate::storage::{Slot, SlotError};
use crate::task::{CurrentTask, ReportOptions, RunFolder, RunOptions, StatusReporter, Taken};
use crate::ui::Printer;
use adoption::untouched;
use failing::hopeless;
use leaving::FAREWELL;

/// How long a worker that drains waits for the answer to its last question for tasks.
const LAST_ANSWER: Duration = Duration::from_secs(30);
/// What others have left is looked for after each task, and while there is none after so many looks at the queues: once a
/// minute as a rule.
const RESTS_PER_TIDYING: u32 = 12;
/// What a worker that leaves does not find out any more.
const UNANSWERED: &str = "the server has not answered a question for tasks; a task that it has given out meanwhile is in no \
     queue until an agent starts on this machine";

/// A worker that polls.
#[derive(Debug)]
pub struct Daemon {
    options: DaemonOptions,
    poller: Poller,
    printer: Printer,
    crew: Crew,
    /// Until it begins.
    search: Option<Search>,
    /// Once it works.
    presence: Option<Presence>,
    /// Where things are fetched in advance.
    prefetch: Option<Prefetch>,
    /// How often it has rested since it has tidied up.
    rests: u32,
    /// What the server is being told of tasks that could not be run.
    marks: Vec<JoinHandle<()>>,
    nursery: Rc<Nursery>,
    current: watch::Sender<Option<CurrentTask>>,
    state: State,
    /// What the start or the last task needed is out of the memory.
    is_settled: bool,
    /// The configuration is read again after each look; a file that is just being written does not end that.
    reloads: bool,
    /// Why the configuration could not be read again, so that it is said once.
    unreadable: Option<String>,
    /// Runs of other releases, of which has been told.
    strange: Vec<RunFolder>,
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
        poller.room = Some(RoomLook::new(nursery));
        poller.engine = options.engine.take().map(EngineLook::new);
        Self {
            search: Some(search),
            presence: None,
            prefetch: None,
            rests: 0,
            marks: Vec::new(),
            poller,
            printer: Printer::default(),
            crew: Crew::new(),
            nursery: Rc::new(nursery.clone()),
            current: watch::Sender::new(None),
            state,
            is_settled: false,
            reloads: options.nursery.settings.is_on("agent.reload_config"),
            unreadable: None,
            strange: Vec::new(),
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
        let (presence, left) = Presence::begin(
            &self.nursery.places.workers,
            &self.nursery.worker,
            self.options.session.server(),
            &self.nursery.queues,
        );
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
        self.presence = Some(presence);
        self.poller.suspect(&left.queues);
        self.poller.engine_is_there().await;
        let prefetch = self.options.prefetch.clone();
        self.prefetch = Some(Prefetch::begin(prefetch, self.nursery.clone()));
        self.adopt();
        let end = self.work_on(&mut requests).await;
        if self.may_miss_a_task() {
            self.printer.warning(UNANSWERED);
            self.presence.iter_mut().for_each(Presence::leave_mark);
        }
        service::is_stopping();
        if let Some(prefetch) = self.prefetch.take() {
            prefetch.finish().await;
        }
        let is_told = match end {
            DaemonEnd::Drained | DaemonEnd::Terminated => true,
            DaemonEnd::Hurried => self.options.session.is_answering(),
            DaemonEnd::Crashed | DaemonEnd::HandedOver => false,
        };
        if is_told {
            self.current = watch::Sender::new(None);
            tokio::select! {
                () = self.farewell(&mut reporter, end) => {}
                // D-301
                _ = requests.recv() => {}
            }
        }
        reporter.abort();
        answers.finish().await;
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
        if let Some(prefetch) = &self.prefetch {
            prefetch.task_runs(self.crew.members().first().map(|member| member.run.clone()));
        }
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
                reached(Step::Pulled);
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
                self.is_settled = false;
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
        let engine = self.poller.engine.as_ref();
        let room = self.poller.room.as_ref();
        let is_held_up =
            engine.is_some_and(EngineLook::was_away) || room.is_some_and(RoomLook::was_full);
        if self.poller.is_talkative && !is_held_up {
            let why = match self.poller.shortage {
                None => "No tasks in Queues".to_owned(),
                Some(shortage) => shortage.to_string(),
            };
            self.printer.line(format!(
                "{why}, sleeping for {:.1} seconds",
                interval.as_secs_f64()
            ));
        }
        self.rests += 1;
        if !self.is_settled || self.rests >= RESTS_PER_TIDYING {
            // Its own are in its crew.
            let _ = self.tidy_up();
            self.rests = 0;
        }
        if !self.is_settled {
            forget_own_code();
            self.is_settled = true;
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
                let reason = hopeless(*status);
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
}
