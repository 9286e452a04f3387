//! One run from the moment it was taken from its queue to its final status, whoever died in between.
//!
//! The supervisor owns the task's output, status, abort and clean-up. Every step is in the journal before
//! it is taken, so that a supervisor that comes after a crash knows what is left to do.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};
use tokio_util::sync::CancellationToken;

use super::container::{ContainedRun, Containment};
use super::definition::register_secrets;
use super::diagnosis::{Death, Diagnosis};
use super::failure::PrepareError;
use super::journal::{Entry, Journal, Phase};
use super::launch::Program;
use super::outcome::{FinalStatus, Outcome, Settlement, StopReason};
use super::prepare::Preparation;
use super::program::Prepared;
use super::requeue::{self, WayBack};
use super::server::TaskServer;
use super::signals::Signals;
use super::stand_in::{HeldPlace, StandIn};
use super::stop::Stop;
use super::streams::Streams;
use super::watch::{Watch, WatchOptions, has_completed_callback};
use crate::api::{ApiError, QueueId, TaskStatus};
use crate::logs::{Echo, Level, LineRules, Spool, Upload, UploadEnd, UploadOptions};
use crate::monitor::VisibleGpus;
use crate::process::{
    Command, Output, ProcessIdentity, Step, become_subreaper, kill_followers, kill_inheritors,
    reached,
};
use crate::storage::Places;

/// Who runs the task, and so what is said and where the preparation prints (E 1.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// For a daemon: everything is uploaded, the hand-over is announced.
    Daemon,
    /// As for a daemon that runs several tasks; only what the agent says itself is printed (D-256, D-257).
    Service,
    /// `execute --full-monitoring`: a worker for one task.
    Full,
    /// `execute`: the preparation stays on the console.
    Plain,
}

/// What a supervisor is told.
#[derive(Debug)]
pub struct Supervision {
    /// The run; this process holds it.
    pub journal: Journal,
    /// The task on the server.
    pub server: TaskServer,
    /// How code and environment are made.
    pub preparation: Preparation,
    /// The container that does all this; none where the task runs on the machine itself.
    pub containment: Option<Containment>,
    /// Who runs the task.
    pub shape: Shape,
    /// Treatment of control characters.
    pub rules: LineRules,
    /// How the server is watched.
    pub watch: WatchOptions,
    /// The GPUs that the task may use.
    pub gpus: VisibleGpus,
    /// Host name for the task's runtime (D-206).
    pub host: String,
    /// Stands in for a worker that is gone; none where the worker is this process.
    pub stand_in: Option<StandIn>,
    /// How long a program that is to stop may take to end by itself; none by default (D-236).
    pub grace: Duration,
    /// A task that was lost with its agent goes back into its queue, where that is known.
    pub requeues_lost: bool,
    /// Ends every wait for the server.
    pub give_up: CancellationToken,
}

/// How supervision ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Supervised {
    /// The server has everything; nothing of the run is left.
    Settled(Outcome),
    /// The same, but for the container, which the engine has not removed: the journal is left for the next supervisor.
    Uncleared(Outcome),
    /// The server could not be told in time; the journal is left for the next supervisor.
    Unsettled(Outcome),
}

impl Supervised {
    /// How the task ended.
    pub fn outcome(&self) -> &Outcome {
        match self {
            Self::Settled(outcome) | Self::Uncleared(outcome) | Self::Unsettled(outcome) => outcome,
        }
    }
}

/// Why a supervisor could not do its work at all.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// The output file is of no use.
    #[error("could not use the output file of the task")]
    Output(#[from] std::io::Error),
}

/// What an earlier supervisor of the run has left.
#[derive(Debug)]
enum Inherited {
    /// The task has not been touched.
    Nothing,
    /// A container that may still run.
    Container,
    /// How the task ended.
    Outcome(Outcome),
}

/// The worker's place, while this process holds it.
type Hold = tokio::sync::watch::Sender<Option<HeldPlace>>;

impl Supervision {
    /// Runs the task, or finishes what an earlier supervisor has left. Must run on a `LocalSet` of the main thread.
    pub async fn run(self) -> Result<Supervised, SuperviseError> {
        let signals = Signals::listen();
        // Who signs the journal must hold the slot: the worker lets go of it then.
        let own = self.stand_in.as_ref().filter(|one| one.is_own_worker);
        let (hold, held) = tokio::sync::watch::channel(own.map(StandIn::hold));
        let inherited = self.take_over();
        reached(Step::Signed);
        if let Err(error) = become_subreaper() {
            tracing::warn!(%error, "programs that detach themselves may survive their task");
        }
        let stop = Stop::default();
        let signals = spawn_local(signals.obey(stop.clone(), self.grace, self.give_up.clone()));
        let this = Rc::new(self);
        let finished = CancellationToken::new();
        let stand_in = this.clone().stand_in(hold.clone(), finished.clone());
        if !matches!(inherited, Inherited::Nothing) {
            this.learn_secrets().await;
        }
        let streams = this.streams()?;
        let outcome = match inherited {
            Inherited::Outcome(outcome) => outcome,
            Inherited::Container => this.resume(&stop, &streams).await,
            Inherited::Nothing => this.work(&stop, &streams, &hold).await,
        };
        if !matches!(
            this.journal.entry().phase,
            Phase::Ended { .. } | Phase::Announced { .. }
        ) {
            this.enter(Phase::Ended {
                outcome: outcome.clone(),
            });
            reached(Step::Ended);
        }
        stop.program_ended().cancel();
        let clear = async {
            match &this.containment {
                Some(containment) => containment.clear(&this.journal).await,
                None => true,
            }
        };
        let settle = this.settle(&outcome, &streams);
        let (is_clear, told) = if stop.is_leaving() {
            // The engine may take the time that there is for the server.
            tokio::join!(clear, settle)
        } else {
            (clear.await, settle.await)
        };
        signals.abort();
        finished.cancel();
        // It has nothing to return; a panic in it must not keep the run from being settled.
        let _ = stand_in.await;
        let Streams {
            echo, log, upload, ..
        } = streams;
        drop(log);
        let uploaded = upload
            .await
            .is_ok_and(|end| matches!(end, Ok(UploadEnd::Complete)));
        echo.drain();
        leave(&held).await;
        if told.is_err() || !uploaded {
            return Ok(Supervised::Unsettled(outcome));
        }
        if !is_clear {
            // Whoever clears up later has nothing to say: the task may run again somewhere by then.
            this.journal.update(|entry| entry.is_told = true);
            return Ok(Supervised::Uncleared(outcome));
        }
        this.journal.remove();
        reached(Step::Removed);
        Ok(Supervised::Settled(outcome))
    }

    /// Takes the journal, and ends what a supervisor that has died has left running outside of containers.
    fn take_over(&self) -> Inherited {
        let entry = self.journal.entry();
        let inherited = match (&entry.phase, entry.supervisor) {
            (Phase::Ended { outcome } | Phase::Announced { outcome }, _) => {
                Inherited::Outcome(outcome.clone())
            }
            // Whoever died, the task has not been touched.
            (Phase::Pulled, _) | (_, None) => Inherited::Nothing,
            (Phase::Contained, Some(earlier)) => {
                if entry.is_of_this_boot() {
                    kill_followers(earlier);
                }
                Inherited::Container
            }
            (_, Some(_)) if !entry.is_of_this_boot() => Inherited::Outcome(Outcome::Restarted),
            (_, Some(earlier)) => {
                kill_followers(earlier);
                if let Phase::Running { program } = entry.phase {
                    kill_followers(program);
                }
                // What has left session and group as well; both are in the environment of every program.
                kill_inheritors(&[
                    ("CLEARML_TASK_ID", self.server.task().as_str()),
                    (
                        "CLEARML_CONFIG_FILE",
                        &entry.configuration.display().to_string(),
                    ),
                ]);
                Inherited::Outcome(Outcome::Lost)
            }
        };
        let is_known = matches!(entry.phase, Phase::Ended { .. } | Phase::Announced { .. });
        self.journal.update(|entry| {
            entry.supervisor = ProcessIdentity::of_this_process();
            // What an earlier supervisor has announced is not said again.
            if let (Inherited::Outcome(outcome), false) = (&inherited, is_known) {
                let outcome = outcome.clone();
                entry.phase = Phase::Ended { outcome };
            }
        });
        inherited
    }

    /// What the task's own URLs hold was known to the process that died, and must not be in what is left to be sent.
    async fn learn_secrets(&self) {
        match self.server.fetch().await {
            Ok(task) => register_secrets(&task),
            Err(error) => tracing::debug!(%error, "the task's URLs are not known"),
        }
    }

    fn enter(&self, phase: Phase) {
        self.journal.update(|entry| entry.phase = phase);
    }

    fn streams(&self) -> std::io::Result<Streams> {
        let entry = self.journal.entry();
        if let Some(folder) = entry.output.parent() {
            // It may have gone with a reboot; the task is to be settled all the same.
            Places::create(folder)?;
        }
        let output = Output::append(&entry.output)?;
        let entry = self.in_place(entry)?;
        let acknowledged = Arc::new(AtomicU64::new(entry.progress.acknowledged));
        // What several tasks print at once is of no use to anybody.
        let echoed = (self.shape != Shape::Service).then_some(entry.output.as_path());
        let echo = Echo::start(
            echoed,
            entry.progress.acknowledged,
            self.rules,
            acknowledged.clone(),
        )?;
        let spool = Spool::open(&entry.output, entry.progress.acknowledged)?;
        let journal = self.journal.clone();
        let options = UploadOptions {
            rules: self.rules,
            progress: entry.progress,
            give_up: self.give_up.clone(),
            spends_file: !entry.keeps_output,
            heading: self.server.node().heading(),
            acknowledged,
        };
        let record =
            move |progress: &_| journal.update(|entry| entry.progress = Clone::clone(progress));
        let (upload, log) = Upload::new(spool, self.server.clone(), record, options);
        Ok(Streams {
            output,
            echo,
            log,
            upload: spawn_local(upload.run()),
        })
    }

    /// An output file that has lost its end gets its length back: what the engine still has of a container's output is written
    /// where it was, and what is lost is not sent as a hole.
    fn in_place(&self, entry: Entry) -> std::io::Result<Entry> {
        let base = entry.container.as_ref().map_or(0, |one| one.base);
        let place = entry.progress.acknowledged.max(base);
        let file = std::fs::File::options().append(true).open(&entry.output)?;
        if file.metadata()?.len() >= place {
            return Ok(entry);
        }
        file.set_len(place)?;
        self.journal
            .update(|entry| entry.progress.acknowledged = place);
        Ok(self.journal.entry())
    }

    fn stand_in(self: Rc<Self>, hold: Hold, finished: CancellationToken) -> JoinHandle<()> {
        let stand_in = self.stand_in.clone();
        spawn_local(async move {
            if let Some(stand_in) = stand_in {
                stand_in.run(hold, finished).await;
            }
        })
    }

    async fn work(&self, stop: &Stop, streams: &Streams, hold: &Hold) -> Outcome {
        if let Some(stand_in) = &self.stand_in {
            let waits = || {
                let text = "Another worker has the GPUs of this task, waiting for them";
                streams.log.notice(Level::Info, format!("{text}\n"));
            };
            if !stand_in.hold_gpus(hold, stop.token(), waits).await {
                return stop.cause().cloned().unwrap_or(Outcome::Aborted);
            }
        }
        if let Err(error) = self.announce(streams).await {
            let cause = stop.cause().cloned();
            return cause.unwrap_or_else(|| self.not_announced(&error, streams));
        }
        reached(Step::Announced);
        let begun = Rc::new(Notify::new());
        let watch = self.watch(stop, streams, begun.clone());
        let outcome = match &self.containment {
            None => self.prepare_and_run(stop, streams, &begun).await,
            Some(containment) => {
                self.enter(Phase::Preparing);
                // The announcement has set the status.
                begun.notify_one();
                let handed_over = self.when_handed_over(&watch, streams);
                Box::pin(containment.run(&self.contained(stop, streams), handed_over)).await
            }
        };
        watch.abort();
        stop.cause().cloned().unwrap_or(outcome)
    }

    /// Goes on with a container that an earlier supervisor has started.
    async fn resume(&self, stop: &Stop, streams: &Streams) -> Outcome {
        let Some(containment) = &self.containment else {
            return Outcome::Lost;
        };
        let begun = Rc::new(Notify::new());
        begun.notify_one();
        let watch = self.watch(stop, streams, begun);
        let handed_over = self.when_handed_over(&watch, streams);
        let run = self.contained(stop, streams);
        let outcome = Box::pin(containment.resume(&run, handed_over)).await;
        watch.abort();
        stop.cause().cloned().unwrap_or(outcome)
    }

    fn contained<'a>(&'a self, stop: &'a Stop, streams: &'a Streams) -> ContainedRun<'a> {
        ContainedRun {
            server: &self.server,
            journal: &self.journal,
            streams,
            stop,
            grace: self.grace,
            gpus: &self.gpus,
        }
    }

    /// Once an agent in the container has taken over, nobody watches from outside (C-322).
    fn when_handed_over(&self, watch: &JoinHandle<()>, streams: &Streams) -> impl FnOnce() {
        let watch = watch.abort_handle();
        move || {
            watch.abort();
            self.is_handed_over(streams);
        }
    }

    /// Watches the task on the server, from when it has `begun`.
    fn watch(&self, stop: &Stop, streams: &Streams, begun: Rc<Notify>) -> JoinHandle<()> {
        let watch = Watch::new(
            self.server.clone(),
            self.watch,
            streams.log.clone(),
            streams.echo.speaker(),
            stop.clone(),
        );
        spawn_local(async move {
            begun.notified().await;
            watch.run().await;
        })
    }

    /// What is said before anything is done (D-162, D-205 to D-208).
    async fn announce(&self, streams: &Streams) -> Result<(), ApiError> {
        if self.shape == Shape::Plain {
            return Ok(());
        }
        let entry = self.journal.entry();
        let task = self.server.task();
        if matches!(self.shape, Shape::Daemon | Shape::Service) {
            self.server.started("pulled by agent").await?;
            let worker = entry.parent.as_ref().unwrap_or(&entry.worker);
            let pulled = format!("task {task} pulled from {} by worker {worker}", entry.queue);
            streams.echo.say(pulled.as_str());
            streams.log.notice(Level::Info, pulled + "\n");
        }
        streams.echo.say(format!("Running task '{task}'"));
        if let Err(error) = self.server.record_host(&self.host).await {
            streams.echo.say(format!(
                "Warning: failed obtaining/setting hostname for task '{task}': {error}"
            ));
        }
        self.server.started("launch by agent").await?;
        let output = entry.output.display();
        streams.echo.say(format!(
            "Storing stdout and stderr log to '{output}', '{output}'"
        ));
        if self.shape == Shape::Service && self.containment.is_none() {
            self.is_handed_over(streams);
        }
        Ok(())
    }

    /// D-248, C-320: the worker goes on from here.
    fn is_handed_over(&self, streams: &Streams) {
        let task = self.server.task();
        streams
            .echo
            .say(format!("Service bootstrap completed: task '{task}'"));
        streams
            .echo
            .say("Service started, docker running in the background");
    }

    /// The task has left its queue and cannot be started: it must not stay as it is (D-172, D-207).
    fn not_announced(&self, error: &ApiError, streams: &Streams) -> Outcome {
        if error.is_unknown_task() {
            return Outcome::Stopped(StopReason::NotFound);
        }
        let task = self.server.task();
        let message = format!(
            "could not set status=in_progress task id '{task}': {}",
            error.reference_text()
        );
        streams
            .output
            .line(format!("\nclearml_agent: ERROR: {message}\n"));
        Outcome::not_started(message)
    }

    async fn prepare_and_run(&self, stop: &Stop, streams: &Streams, begun: &Notify) -> Outcome {
        self.enter(Phase::Preparing);
        match self.prepare(stop, streams, begun).await {
            Ok(prepared) => {
                reached(Step::Prepared);
                self.launch(&prepared, stop, streams).await
            }
            Err(PrepareError::Cancelled) => Outcome::Aborted,
            Err(PrepareError::Failed(failure)) => {
                let mut text = format!("\nclearml_agent: ERROR: {}", failure.message);
                if let Some(hint) = &failure.hint {
                    text = format!("{text}\nhint: {hint}");
                }
                self.preparation_output(streams).line(format!("{text}\n"));
                if let Some(code) = failure.code {
                    return Outcome::Exited(code);
                }
                // In the plain shape the whole message becomes the reason.
                if let (Some(why), false) = (failure.of_environment(), self.shape == Shape::Plain) {
                    return Outcome::Failed { code: 1, why };
                }
                match failure.status_reason {
                    None => Outcome::not_started(failure.message),
                    Some(reason) => {
                        self.tell_at_once(&reason).await;
                        Outcome::NotStarted {
                            message: failure.message,
                            reason,
                        }
                    }
                }
            }
        }
    }

    /// Where two processes share a task, the one that prepares says why, and the other one how it ended (E-016, E-017).
    async fn tell_at_once(&self, reason: &str) {
        if self.shape == Shape::Plain {
            return;
        }
        let status = FinalStatus::Failed(reason.to_owned());
        if let Err(error) = self.server.settle(&status).await {
            tracing::info!(%error, "could not mark the task as failed");
        }
    }

    async fn prepare(
        &self,
        stop: &Stop,
        streams: &Streams,
        begun: &Notify,
    ) -> Result<Prepared, PrepareError> {
        let output = self.preparation_output(streams);
        self.preparation
            .run(&self.server, &output, stop.token(), || begun.notify_one())
            .await
    }

    /// Only the program's own output is uploaded in the plain shape (E-002).
    fn preparation_output(&self, streams: &Streams) -> Output {
        let stdout = (self.shape == Shape::Plain)
            .then(|| Output::stdout().ok())
            .flatten();
        stdout.unwrap_or_else(|| streams.output.clone())
    }

    async fn launch(&self, prepared: &Prepared, stop: &Stop, streams: &Streams) -> Outcome {
        if self.shape == Shape::Plain {
            let output = self.journal.entry().output;
            streams.echo.say(format!(
                "Storing stdout and stderr log into [{}]",
                output.display()
            ));
        }
        let diagnosis = Diagnosis::begin(self.gpus.clone());
        let program = match Program::start(&prepared.command, &streams.output) {
            Ok(program) => program,
            Err(error) => {
                let name = prepared
                    .command
                    .words()
                    .into_iter()
                    .next()
                    .unwrap_or_default();
                let message = format!("could not start `{name}`: {error}");
                streams
                    .output
                    .line(format!("\nclearml_agent: ERROR: {message}\n"));
                return Outcome::not_started(message);
            }
        };
        let identity = program.identity();
        reached(Step::Launched);
        self.enter(Phase::Running { program: identity });
        reached(Step::Running);
        let abort_command = prepared.abort_command.clone().map(|command| {
            let (server, output) = (self.server.clone(), streams.output.clone());
            command.stand_by(server, self.watch.interval, output)
        });
        let asked = || {
            streams.echo.say(format!(
                "Waiting up to {:.1} seconds for the program to end",
                self.grace.as_secs_f64()
            ));
        };
        let code = program.wait(stop, self.grace, asked).await;
        let cause = match &code {
            Ok(code) if stop.cause().is_none() => diagnosis.cause(&Death {
                code: *code,
                process: Some(identity.pid),
                folders: self.written_to(&prepared.command),
            }),
            _ => None,
        };
        reached(Step::Exited);
        if let Some(abort_command) = abort_command {
            abort_command.end().await;
        }
        if self.shape != Shape::Service {
            streams
                .echo
                .say(format!("\nLeaving process id {}", identity.pid));
        }
        match code {
            // Nobody but the program's own user can have interrupted it there (E-275).
            Ok(-2) if self.shape == Shape::Plain => Outcome::Exited(-1),
            Ok(code) => match cause {
                Some(cause) => Outcome::Failed {
                    code,
                    why: cause.to_string(),
                },
                None => Outcome::Exited(code),
            },
            Err(error) => Outcome::not_started(error.to_string()),
        }
    }

    /// Where a program writes as a rule: its folder, its output, temporary files.
    fn written_to(&self, command: &Command) -> Vec<PathBuf> {
        let folder = command.start_folder().map(Path::to_owned);
        let temporary = command.variable("TMPDIR").filter(|path| !path.is_empty());
        let temporary = temporary.map_or_else(|| "/tmp".into(), PathBuf::from);
        let output = self.journal.entry().output;
        let places = [folder, output.parent().map(Path::to_owned)];
        places.into_iter().flatten().chain([temporary]).collect()
    }

    /// Says everything that is to be said about the end, the status last.
    async fn settle(&self, outcome: &Outcome, streams: &Streams) -> Result<(), ApiError> {
        streams.log.drain().await;
        if self.journal.entry().is_told {
            return Ok(());
        }
        if matches!(self.journal.entry().phase, Phase::Announced { .. }) {
            let call = self.settlement(outcome).call;
            return self.bring_about(outcome, call, streams).await;
        }
        let outcome = &self.seen_with_callback(outcome).await;
        let mut settlement = self.settlement(outcome);
        if let Some(queue) = self.queue_to_return_to(outcome) {
            self.journal
                .update(|entry| entry.way_back = Some(WayBack::Wanted));
            settlement.event = Some(requeue::announcement(outcome, &queue));
        }
        if *outcome == Outcome::Stopped(StopReason::Stopped) && self.failed_meanwhile().await {
            settlement.event = Some("Process aborted by user - Task status was Failed".to_owned());
            settlement.call = None;
        }
        if *outcome == Outcome::Aborted && self.shape == Shape::Plain {
            streams.echo.say(format!(
                "\nUser abort - stopping task {}",
                self.server.task()
            ));
        }
        if self.shape != Shape::Plain {
            streams.echo.say(format!(
                "DONE: Running task '{}'{}",
                self.server.task(),
                settlement.exit
            ));
        }
        if let Some(event) = settlement.event {
            let event = event + &self.server.node().suffix();
            // Whoever looks at this console has read why the task was not started, with the hint.
            let is_said =
                self.shape == Shape::Plain && matches!(outcome, Outcome::NotStarted { .. });
            // Among the lines of several tasks nobody would know which one is meant.
            if !is_said && self.shape != Shape::Service {
                streams.echo.say(event.as_str());
            }
            streams.log.notice(Level::Debug, event);
            streams.log.drain().await;
        }
        if !self.give_up.is_cancelled() && settlement.call.is_some() {
            self.enter(Phase::Announced {
                outcome: outcome.clone(),
            });
        }
        reached(Step::Delivered);
        let told = self.bring_about(outcome, settlement.call, streams).await;
        reached(Step::Settled);
        told
    }

    /// Where a task goes that was lost with its agent; none where it stays here.
    fn queue_to_return_to(&self, outcome: &Outcome) -> Option<QueueId> {
        let is_wanted =
            self.requeues_lost && outcome.loss().is_some() && self.server.node().is_first();
        self.journal
            .entry()
            .queue
            .parse()
            .ok()
            .filter(|_| is_wanted)
    }

    /// Sets the status, or puts the task back into its queue where that was announced.
    async fn bring_about(
        &self,
        outcome: &Outcome,
        call: Option<FinalStatus>,
        streams: &Streams,
    ) -> Result<(), ApiError> {
        let entry = self.journal.entry();
        if let (Some(_), Some(loss), Ok(queue)) =
            (entry.way_back, outcome.loss(), entry.queue.parse())
        {
            let Err(refusal) = requeue::put_back(&self.server, &self.journal, &queue, loss).await?
            else {
                return Ok(());
            };
            let why = requeue::refused(&queue, &refusal);
            streams.echo.say(why.as_str());
            streams.log.notice(Level::Warning, why);
            streams.log.drain().await;
            self.journal.update(|entry| entry.way_back = None);
        }
        match call {
            Some(call) => self.server.settle(&call).await,
            None => Ok(()),
        }
    }

    /// A program that its own abort callback has killed was aborted, it has not failed (D-238).
    async fn seen_with_callback(&self, outcome: &Outcome) -> Outcome {
        if matches!(outcome, Outcome::Exited(-9 | 137))
            && let Ok(Some(task)) = self.server.abort_callback().await
            && has_completed_callback(&task)
        {
            return Outcome::Stopped(StopReason::Stopped);
        }
        outcome.clone()
    }

    /// In the plain shape nobody else knows why a task was not started, so the status says it (E-008).
    fn settlement(&self, outcome: &Outcome) -> Settlement {
        let settlement = outcome.settlement();
        match (self.shape, outcome) {
            (Shape::Plain, Outcome::NotStarted { message, reason }) => Settlement {
                event: Some(format!("clearml_agent: ERROR: {message}")),
                call: Some(FinalStatus::Failed(reason.clone())),
                ..settlement
            },
            _ => settlement,
        }
    }

    /// The program may have marked its own task failed while it was stopped (D-243).
    async fn failed_meanwhile(&self) -> bool {
        let task = self
            .server
            .with_deadline(Duration::from_secs(5))
            .status_only()
            .await;
        task.is_ok_and(|task| task.is_some_and(|task| task.status == Some(TaskStatus::Failed)))
    }
}

/// A supervisor that stood in for its worker takes leave for it.
async fn leave(held: &tokio::sync::watch::Receiver<Option<HeldPlace>>) {
    let place = held.borrow().as_ref().map(HeldPlace::farewell);
    if let Some(farewell) = place {
        farewell.await;
    }
}
