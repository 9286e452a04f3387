//! One run from the moment it was taken from its queue to its final status, whoever died in between.
//!
//! The supervisor owns the task's output, status, abort and clean-up. Every step is in the journal before
//! it is taken, so that a supervisor that comes after a crash knows what is left to do.

mod lost_output;
mod on_machine;
mod settling;
mod standing;

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking, spawn_local};
use tokio_util::sync::CancellationToken;

use super::container::{ContainedRun, Containment};
use super::journal::{Journal, Phase};
use super::outcome::{Outcome, StopReason};
use super::prepare::Preparation;
use super::server::TaskServer;
use super::signals::Signals;
use super::stand_in::{HeldPlace, StandIn};
use super::stop::Stop;
use super::streams::Streams;
use super::watch::{Watch, WatchOptions};
use crate::api::ApiError;
use crate::logs::{Echo, Headroom, Level, LineRules, Spool, Upload, UploadEnd, UploadOptions};
use crate::monitor::VisibleGpus;
use crate::process::{
    Output, OwnCgroup, ProcessIdentity, Step, become_subreaper, kill_cgroup, kill_followers,
    kill_inheritors, reached,
};
use crate::storage::Places;
use crate::ui::is_quiet;
use standing::{ANNOUNCEMENTS, Standing};

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
    /// The run gets a cgroup of its own where that is allowed; not where the group that it is in has a meaning to others.
    pub is_confined: bool,
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
    pub async fn run(mut self) -> Result<Supervised, SuperviseError> {
        self.server = self.server.fenced(&self.journal, self.watch.interval);
        let is_old = self.journal.entry().is_old();
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
        let signals = signals.obey(
            stop.clone(),
            self.grace,
            self.server.clone(),
            self.give_up.clone(),
            self.stand_in.is_none(),
        );
        let signals = spawn_local(signals);
        let this = Rc::new(self);
        let finished = CancellationToken::new();
        let stand_in = this.clone().stand_in(hold.clone(), finished.clone());
        let (inherited, standing) = if is_old || !matches!(inherited, Inherited::Nothing) {
            this.caught_up(inherited).await
        } else {
            (inherited, Standing::Ours)
        };
        let streams = this.streams()?;
        // It is left when all has been said: that may take the kernel a while.
        let cgroup = OnceCell::new();
        let outcome = match inherited {
            Inherited::Outcome(outcome) => outcome,
            Inherited::Container => this.resume(&stop, &streams).await,
            Inherited::Nothing => this.work(&stop, &streams, &hold, &cgroup).await,
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
        let settle = this.settle(&outcome, standing, &streams);
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
        if let Some(cgroup) = &entry.cgroup
            && !kill_cgroup(cgroup)
        {
            tracing::warn!(cgroup = %cgroup.display(), "what an earlier supervisor has left does not end");
        }
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
        let entry = lost_output::in_place(&self.journal)?;
        let acknowledged = Arc::new(AtomicU64::new(entry.progress.acknowledged));
        // What several tasks print at once is of no use to anybody.
        let is_echoed = self.shape != Shape::Service && !is_quiet();
        let echoed = is_echoed.then_some(entry.output.as_path());
        let echo = Echo::start(
            echoed,
            entry.progress.acknowledged,
            self.rules,
            acknowledged.clone(),
            output.activity().clone(),
        )?;
        let spool = Spool::open(&entry.output, entry.progress.acknowledged)?;
        let journal = self.journal.clone();
        let has_ended = matches!(entry.phase, Phase::Ended { .. } | Phase::Announced { .. });
        // The output of a container waits in the engine's log for room.
        let headroom = match self.containment {
            None => Some(Headroom::open(&entry.output)?.after(has_ended)),
            Some(_) => None,
        };
        let options = UploadOptions {
            rules: self.rules,
            progress: entry.progress,
            give_up: self.give_up.clone(),
            spends_file: !entry.keeps_output,
            heading: self.server.node().heading(),
            headroom,
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

    fn stand_in(self: Rc<Self>, hold: Hold, finished: CancellationToken) -> JoinHandle<()> {
        let stand_in = self.stand_in.clone();
        spawn_local(async move {
            if let Some(stand_in) = stand_in {
                stand_in.run(hold, finished).await;
            }
        })
    }

    async fn work(
        &self,
        stop: &Stop,
        streams: &Streams,
        hold: &Hold,
        cgroup: &OnceCell<OwnCgroup>,
    ) -> Outcome {
        let confined = self.confine();
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
        if let Some(group) = confined.await {
            // It is the first one.
            let _ = cgroup.set(group);
        }
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

    /// Moves this process into a cgroup of its own, beside what else is to be done; none where that is not allowed.
    fn confine(&self) -> impl Future<Output = Option<OwnCgroup>> + use<> {
        let run = self.journal.folder().name();
        let path = self
            .is_confined
            .then(|| OwnCgroup::path_for(&run))
            .flatten();
        if path.is_some() {
            self.journal.update(|entry| entry.cgroup.clone_from(&path));
        }
        let entering = path.map(|path| spawn_blocking(move || OwnCgroup::enter(path)));
        async {
            match entering?.await.ok()? {
                Ok(group) => Some(group),
                Err(error) => {
                    tracing::debug!(%error, "no cgroup for the program");
                    None
                }
            }
        }
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
            self.server.started(ANNOUNCEMENTS[0]).await?;
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
        self.server.started(ANNOUNCEMENTS[1]).await?;
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
}

/// A supervisor that stood in for its worker takes leave for it.
async fn leave(held: &tokio::sync::watch::Receiver<Option<HeldPlace>>) {
    let place = held.borrow().as_ref().map(HeldPlace::farewell);
    if let Some(farewell) = place {
        farewell.await;
    }
}
