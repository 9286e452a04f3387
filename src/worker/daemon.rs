//! The worker's life: register, adopt, poll, hand over, wait, take leave.

use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};

use super::children::{Nursery, RunEnd, WatchedRun};
use super::control::ControlSocket;
use super::log_file::LogFile;
use super::poller::{PollOptions, Poller, Pulled};
use super::recovery::Inheritance;
use super::state::{About, State};
use super::{gpu_idle, http, service};
use crate::api::{QueueId, Session, TaskId};
use crate::settings::{Settings, SettingsError};
use crate::storage::Slot;
use crate::task::{
    CurrentTask, Ending, FinalStatus, ReportOptions, RunFolder, StatusReporter, Taken, TaskServer,
};
use crate::ui::Printer;

/// How long the farewell may take (D-300).
const FAREWELL: Duration = Duration::from_secs(3);
/// How long a supervisor may take to end its task: its own limit and a little more.
const ENDING: Duration = Duration::from_secs(7);

/// Makes the settings of the next task's supervisor, all layers read again (F-015).
pub struct Reread(Box<dyn Fn() -> Result<Settings, SettingsError>>);

impl Reread {
    /// By this function.
    pub fn new(read: impl Fn() -> Result<Settings, SettingsError> + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl std::fmt::Debug for Reread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reread")
    }
}

/// What a daemon is told.
#[derive(Debug)]
pub struct DaemonOptions {
    /// The way to the server.
    pub session: Session,
    /// Its place on this machine; given back at the end.
    pub slot: Slot,
    /// How supervisors are started.
    pub nursery: Nursery,
    /// Names of the queues, as far as they are known.
    pub queue_names: Vec<(QueueId, Option<String>)>,
    /// Where a monitoring system asks.
    pub metrics: Option<std::net::TcpListener>,
    /// Used after each look at the queues where `agent.reload_config` says so.
    pub reread: Reread,
    /// What it reports.
    pub report: ReportOptions,
    /// How the queues are asked.
    pub polling: PollOptions,
    /// Between two looks at idle queues (D-027).
    pub polling_interval: Duration,
    /// Idle messages are printed (D-137).
    pub is_talkative: bool,
    /// Called when a task begins and when it has ended.
    pub task_runs: fn(bool),
    /// What it writes to in the background.
    pub log_file: Option<LogFile>,
    /// A terminal that is closed is nothing to it (D-298).
    pub ignores_hangup: bool,
}

/// How a daemon ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DaemonEnd {
    /// Told to end when its tasks have ended, which they have.
    Drained,
    /// Handed over to the next worker; its task goes on (SIGUSR1).
    HandedOver,
    /// Told twice to end: the server was not told (D-301).
    Hurried,
    /// Told to end; its task has been aborted (D-058).
    Terminated,
}

/// A worker that polls.
#[derive(Debug)]
pub struct Daemon {
    options: DaemonOptions,
    poller: Poller,
    printer: Printer,
    current: watch::Sender<Option<CurrentTask>>,
    state: State,
    /// The configuration is read again after each look; a file that is just being written does not end that.
    reloads: bool,
    /// Why the configuration could not be read again, so that it is said once.
    unreadable: Option<String>,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Request {
    /// Ctrl-C: ends the task, or the idle daemon (D-296, D-297).
    Interrupt,
    /// Leave the task to the next worker.
    HandOver,
    /// End (D-294, D-295, D-298).
    Terminate,
}

/// What to do after something was waited for.
enum Next {
    Continue,
    Leave(DaemonEnd),
}

impl Daemon {
    /// A daemon that has not begun.
    pub fn new(options: DaemonOptions) -> Self {
        let nursery = &options.nursery;
        let state = State::new(About {
            worker: nursery.worker.clone(),
            queues: options.queue_names.clone(),
            report_interval: options.report.interval,
        });
        let poller = Poller::new(
            options.session.clone(),
            nursery.worker.clone(),
            nursery.queues.clone(),
            options.polling.clone(),
            state.clone(),
            options.is_talkative,
        );
        Self {
            poller,
            printer: Printer::default(),
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
        let _control = self.listen_to_its_user();
        let monitoring = self.serve_metrics()?;
        self.register().await;
        service::is_ready();
        self.state.tell_service();
        let state = self.state.clone();
        let report = ReportOptions {
            taken: Taken::new(move || {
                service::is_alive();
                state.report_taken();
            }),
            ..self.options.report.clone()
        };
        let reporter = StatusReporter::new(self.options.session.clone(), report);
        let mut reporter = spawn_local(reporter.run(self.current.subscribe()));
        let end = self.work(&mut requests).await;
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
        monitoring.iter().for_each(JoinHandle::abort);
        self.printer
            .line(format!("\nLeaving process id {}", std::process::id()));
        if let (true, Some(log_file)) = (end != DaemonEnd::HandedOver, &self.options.log_file) {
            log_file.daemon_ends();
        }
        Ok(end)
    }

    /// Without it the worker cannot be asked, which is no reason not to work.
    fn listen_to_its_user(&self) -> Option<ControlSocket> {
        let folder = &self.options.nursery.places.control;
        match ControlSocket::listen(folder, self.state.clone()) {
            Ok(socket) => Some(socket),
            Err(error) => {
                self.printer.warning(&format!(
                    "no control socket in `{}`, `--drain` and `--status --json` will not find this worker: {error}",
                    folder.display()
                ));
                None
            }
        }
    }

    /// What is there for a monitoring system, and only for one.
    fn serve_metrics(&mut self) -> std::io::Result<Vec<JoinHandle<()>>> {
        let Some(listener) = self.options.metrics.take() else {
            return Ok(Vec::new());
        };
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let gpus = self.options.report.gpus.clone();
        Ok(vec![
            spawn_local(http::serve(listener, self.state.clone())),
            spawn_local(gpu_idle::count(gpus, self.state.clone())),
        ])
    }

    /// A run is watched from here on.
    fn begin(&self, run: &RunFolder, current: Option<CurrentTask>) {
        (self.options.task_runs)(true);
        self.state.run_begins(run, current.clone());
        self.current.send_replace(current);
    }

    /// A run is not watched any more; settled where it has an ending.
    fn finish(&self, run: &RunFolder, ending: Option<Ending>) {
        (self.options.task_runs)(false);
        self.state.run_ends(run, ending);
        self.current.send_replace(None);
    }

    async fn work(&mut self, requests: &mut mpsc::UnboundedReceiver<Request>) -> DaemonEnd {
        if let Next::Leave(end) = self.adopt(requests).await {
            return end;
        }
        if !self.poller.is_talkative {
            self.printer.line("Starting infinite task polling loop...");
        }
        loop {
            if self.state.is_draining() {
                return DaemonEnd::Drained;
            }
            let pulled = match self.poll(requests).await {
                Ok(pulled) => pulled,
                Err(end) => return end,
            };
            self.reload();
            let next = match pulled {
                Some(pulled) => {
                    if let Some(log_file) = &self.options.log_file {
                        log_file.task_begins();
                    }
                    self.hand_over(&pulled, requests).await
                }
                None => self.rest(requests).await,
            };
            if let Next::Leave(end) = next {
                return end;
            }
        }
    }

    /// What has changed in the files is for the next task (F-015); a file that cannot be read changes nothing.
    fn reload(&mut self) {
        if !self.reloads {
            return;
        }
        match (self.options.reread.0)() {
            Ok(settings) => {
                self.options.nursery.settings = settings;
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
    /// may be a task, which goes back to the front of its queue then.
    async fn poll(
        &mut self,
        requests: &mut mpsc::UnboundedReceiver<Request>,
    ) -> Result<Option<Pulled>, DaemonEnd> {
        let session = self.options.session.clone();
        let leaving = self.poller.leaving.clone();
        let draining = self.state.draining();
        let round = self.poller.round();
        tokio::pin!(round);
        let end = tokio::select! {
            pulled = &mut round => return Ok(pulled),
            request = requests.recv() => ended_by(request),
            () = draining.cancelled() => DaemonEnd::Drained,
        };
        leaving.cancel();
        match tokio::time::timeout(FAREWELL, round).await {
            Ok(Some(pulled)) => give_back(&session.with_deadline(FAREWELL), &pulled).await,
            Ok(None) => {}
            Err(_) => self.printer.warning(
                "the server has not answered a question for tasks; a task that it has given out meanwhile is in no \
                 queue any more and must be enqueued again",
            ),
        }
        Err(end)
    }

    /// A failure is not fatal: status reports register the worker as well (D-105).
    async fn register(&self) {
        let nursery = &self.options.nursery;
        let workers = self.options.session.workers();
        match workers.register(&nursery.worker, &nursery.queues).await {
            Ok(()) => self.state.registered(),
            Err(error) => self.printer.warning(&format!(
                "could not register the worker: {}",
                error.reference_text()
            )),
        }
    }

    /// Takes over the runs of an earlier worker of this id; pulls nothing while one of them holds the place.
    async fn adopt(&mut self, requests: &mut mpsc::UnboundedReceiver<Request>) -> Next {
        let inheritance = Inheritance::of(
            &self.options.nursery.places,
            self.options.nursery.worker.as_str(),
        );
        for run in inheritance.abandoned {
            self.settle_abandoned(run);
        }
        for run in inheritance.own {
            let current = current(&run);
            let Ok(mut watched) = self.options.nursery.adopt(run) else {
                continue;
            };
            if let Some(current) = &current {
                self.printer
                    .line(format!("Adopted running task '{}'", current.task));
            }
            self.begin(&watched.run, current);
            let next = self.watch(&mut watched, requests).await;
            if let Next::Leave(_) = next {
                return next;
            }
        }
        Next::Continue
    }

    fn settle_abandoned(&self, run: RunFolder) {
        let nursery = self.options.nursery.clone();
        spawn_local(async move {
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

    async fn hand_over(
        &mut self,
        pulled: &Pulled,
        requests: &mut mpsc::UnboundedReceiver<Request>,
    ) -> Next {
        let mut watched = match self.options.nursery.hand_over(pulled) {
            Ok(watched) => watched,
            Err(error) => {
                let reason = format!("the agent could not start the task's supervisor: {error}");
                let hint = "make room on the disk, or raise the limit of processes";
                self.give_up_on(&pulled.task, reason, hint).await;
                self.state.task_ends(Ending::Failed);
                // A full disk must not fail a whole queue at once.
                return self.rest(requests).await;
            }
        };
        let current = CurrentTask {
            task: pulled.task.clone(),
            queue: Some(pulled.queue.clone()),
        };
        self.begin(&watched.run, Some(current));
        self.watch(&mut watched, requests).await
    }

    /// A task that cannot be handed over must not stay as it is: it has left its queue (D-172).
    async fn give_up_on(&self, task: &TaskId, reason: String, hint: &str) {
        self.printer.error(&reason, Some(hint));
        let nursery = &self.options.nursery;
        let server = TaskServer::new(
            self.options.session.clone(),
            task.clone(),
            nursery.worker.clone(),
        );
        if let Err(error) = server.settle(&FinalStatus::Failed(reason)).await {
            self.printer.warning(&format!(
                "could not mark task '{task}' as failed: {}",
                error.reference_text()
            ));
        }
    }

    /// No supervisor comes to its work: the task must not stay as it is, and the worker has others to run.
    async fn abandon(&self, run: &WatchedRun, status: ExitStatus) {
        let Some(current) = current(&run.run) else {
            run.abandon();
            return;
        };
        let reason =
            format!("the task's supervisor failed at its start, again and again ({status})");
        let hint = "what it said about it is above";
        self.give_up_on(&current.task, reason, hint).await;
        if let Some(output) = run.abandon() {
            self.printer.warning(&format!(
                "what task '{}' has printed is kept in {}",
                current.task,
                output.display()
            ));
        }
    }

    /// Waits for the run's end; signals are passed on.
    async fn watch(
        &self,
        run: &mut WatchedRun,
        requests: &mut mpsc::UnboundedReceiver<Request>,
    ) -> Next {
        let (next, ending) = self.watched(run, requests).await;
        self.finish(&run.run, ending);
        next
    }

    async fn watched(
        &self,
        run: &mut WatchedRun,
        requests: &mut mpsc::UnboundedReceiver<Request>,
    ) -> (Next, Option<Ending>) {
        let mut is_interrupted = false;
        loop {
            let request = tokio::select! {
                end = run.settled(&self.options.nursery) => {
                    let ending = match end {
                        RunEnd::Settled(ending) => ending,
                        RunEnd::Hopeless(status) => {
                            self.abandon(run, status).await;
                            Ending::Failed
                        }
                    };
                    return (Next::Continue, Some(ending));
                }
                request = requests.recv() => request,
            };
            match request {
                Some(Request::Interrupt) if !is_interrupted => {
                    is_interrupted = true;
                    self.printer
                        .line("User abort: ending the task; press Ctrl-C again to end the agent");
                    run.signal(Signal::SIGINT).await;
                }
                Some(Request::HandOver) => return (Next::Leave(DaemonEnd::HandedOver), None),
                Some(Request::Interrupt | Request::Terminate) | None => {
                    return (Next::Leave(end(run, requests).await), None);
                }
            }
        }
    }

    async fn rest(&self, requests: &mut mpsc::UnboundedReceiver<Request>) -> Next {
        let interval = self.options.polling_interval;
        self.state.rests(interval);
        let draining = self.state.draining();
        if self.poller.is_talkative {
            self.printer.line(format!(
                "No tasks in Queues, sleeping for {:.1} seconds",
                interval.as_secs_f64()
            ));
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => Next::Continue,
            request = requests.recv() => Next::Leave(ended_by(request)),
            () = draining.cancelled() => Next::Leave(DaemonEnd::Drained),
        }
    }

    /// A report that is on its way must not arrive behind the farewell.
    async fn farewell(&self, reporter: &mut JoinHandle<()>) {
        let nursery = &self.options.nursery;
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

/// Ends the run; what its supervisor cannot tell the server in time is left to the next worker.
async fn end(run: &mut WatchedRun, requests: &mut mpsc::UnboundedReceiver<Request>) -> DaemonEnd {
    run.signal(Signal::SIGTERM).await;
    tokio::select! {
        _ = run.supervisor_ended() => DaemonEnd::Terminated,
        () = tokio::time::sleep(ENDING) => DaemonEnd::Terminated,
        _ = requests.recv() => {
            // It stops waiting for the server.
            run.signal(Signal::SIGTERM).await;
            DaemonEnd::Hurried
        }
    }
}

/// What a request means to an idle daemon.
fn ended_by(request: Option<Request>) -> DaemonEnd {
    match request {
        Some(Request::HandOver) => DaemonEnd::HandedOver,
        Some(Request::Interrupt | Request::Terminate) | None => DaemonEnd::Terminated,
    }
}

/// Puts a task that nobody has begun back to the front of its queue.
async fn give_back(session: &Session, pulled: &Pulled) {
    let queues = session.queues();
    let answer = match queues.add_task(&pulled.queue, &pulled.task).await {
        Ok(_) => queues.move_task_to_front(&pulled.queue, &pulled.task).await,
        Err(error) => Err(error),
    };
    if let Err(error) = answer {
        let text = error.reference_text();
        Printer::default().warning(&format!(
            "could not put task '{}' back into queue {}: {text}",
            pulled.task, pulled.queue
        ));
    }
}

fn current(run: &RunFolder) -> Option<CurrentTask> {
    let entry = run.read().ok()?;
    Some(CurrentTask {
        task: entry.task.parse().ok()?,
        queue: entry.queue.parse().ok(),
    })
}

/// Signals as requests, for ever.
fn listen(ignores_hangup: bool) -> std::io::Result<mpsc::UnboundedReceiver<Request>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let kinds = [
        (SignalKind::interrupt(), Some(Request::Interrupt)),
        (SignalKind::terminate(), Some(Request::Terminate)),
        (
            SignalKind::hangup(),
            (!ignores_hangup).then_some(Request::Terminate),
        ),
        (SignalKind::user_defined1(), Some(Request::HandOver)),
    ];
    for (kind, request) in kinds {
        let mut signal = signal(kind)?;
        let sender = sender.clone();
        spawn_local(async move {
            while signal.recv().await.is_some() {
                if let Some(request) = request
                    && sender.send(request).is_err()
                {
                    return;
                }
            }
        });
    }
    Ok(receiver)
}
