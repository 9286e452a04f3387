//! `clearml-agent execute`: one task, in one of three shapes (E 1.1).

pub(super) use crate::cli::Execute as Arguments;

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio_util::sync::CancellationToken;

use super::connect::{self, Patience};
use super::daemon::worker_name;
use super::left_runs::{settle_left_runs, warn_of_living_runs};
use super::options::{self, PreparationWishes};
use super::store::is_in_container;
use super::{ExitStatus, Failed, container, plan, slot, unavailable};
use crate::api::{NameMatch, Session, Task, TaskId, WorkerId};
use crate::monitor::VisibleGpus;
use crate::process::{Output, replace_self, run_below_first_process};
use crate::settings::{AgentSettings, Settings, env_vars};
use crate::storage::{Places, create_temporary};
use crate::task::{
    CurrentTask, DequeuePolicy, Devices, Entry, Failure, FinalStatus, Node, Outcome, PrepareError,
    RunFolder, RunOptions, Shape, StatusReporter, Supervised, Supervision, TaskServer, USER_ABORT,
    fetch_task, join_task, run_beside, take_task,
};
use crate::ui::{Printer, is_quiet};
use crate::visible;
use crate::worker::{WorkerName, placed};

/// So long the task of a job that has begun again may be on its way into a queue.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long the farewell may take (D-300).
const FAREWELL: Duration = Duration::from_secs(3);

/// What all shapes have found out before they begin.
struct Assignment {
    session: Session,
    settings: Settings,
    agent: AgentSettings,
    task: TaskId,
    places: Places,
    run: RunOptions,
    devices: Devices,
}

/// The first process of a container waits here for the one that does the work, and then is the program (E-001); how that
/// ended. None in all others.
pub(super) fn attended(arguments: &Arguments) -> Option<ExitStatus> {
    if !arguments.disable_monitoring || arguments.plan {
        return None;
    }
    match run_below_first_process() {
        Ok(ended) => ended.map(ExitStatus),
        Err(error) => {
            tracing::warn!(%error, "the program will be the container's first process, which signals do not end");
            None
        }
    }
}

/// Runs one task.
pub(super) async fn execute(
    settings: Settings,
    arguments: Arguments,
    debug: bool,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let printer = if arguments.json {
        printer.beside_data()
    } else {
        printer
    };
    for notice in settings.notices() {
        printer.line(notice);
    }
    if arguments.id.is_empty() {
        return Err(Failed::message(
            "Worker execute must have valid task id",
            "name the task with `--id`",
        ));
    }
    unavailable::check_execute(&arguments, settings.environment().get("PATH"))?;
    if arguments.plan {
        return plan::plan(settings, &arguments, debug, printer).await;
    }
    let (session, settings) = connect::begin(settings, Patience::Long, false, printer).await?;
    let run = RunOptions {
        docker: arguments.docker.clone(),
        ..options::run_options(
            &settings,
            &arguments.tasks,
            arguments.standalone_mode,
            debug,
        )
    };
    let detected = options::detected(&settings, &run).await;
    let settings = options::for_devices(settings.completed(&detected).with_folders(0), &run);
    let devices = options::devices(&settings, &run).devices;
    let agent = settings.agent()?;
    let places = options::usable_places(&agent)?;
    let task = resolve(&session, &arguments.id).await?;
    let assignment = Assignment {
        session,
        settings,
        agent,
        task,
        places,
        run,
        devices,
    };
    if arguments.disable_monitoring {
        Box::pin(assignment.become_the_program(&arguments, printer)).await
    } else if assignment.run.docker.is_some() {
        Box::pin(assignment.in_a_container(&arguments, printer)).await
    } else if arguments.full_monitoring {
        Box::pin(assignment.like_a_worker(&arguments, printer)).await
    } else {
        Box::pin(assignment.plain(&arguments, printer)).await
    }
}

impl Assignment {
    /// Prepares, then replaces this process by the program (E-001).
    async fn become_the_program(
        mut self,
        arguments: &Arguments,
        printer: Printer,
    ) -> Result<ExitStatus, Failed> {
        let worker = self.own_worker()?;
        let task = self.take(arguments, &worker, printer).await?;
        let preparation = options::preparation(&self.settings, self.wishes(task, None))?;
        let server = self.server(&worker);
        let output = Output::console(is_quiet())?;
        let interrupted = cancelled_by_interrupt()?;
        match preparation.run(&server, &output, &interrupted, || {}).await {
            Ok(prepared) if prepared.is_child => {
                let interval = options::watch(&self.agent).interval;
                let abort_command = prepared
                    .abort_command
                    .map(|command| command.stand_by(server, interval, output));
                let ended = run_beside(&prepared.command).await;
                if let Some(abort_command) = abort_command {
                    abort_command.end().await;
                }
                Ok(match ended {
                    Ok(code) => ExitStatus(code),
                    Err(error) => {
                        printer.warning(&format!("could not start the program: {error}"));
                        ExitStatus(255)
                    }
                })
            }
            Ok(prepared) => {
                let Err(error) = replace_self(&mut prepared.command.to_std_with_streams());
                let name = prepared
                    .command
                    .words()
                    .into_iter()
                    .next()
                    .unwrap_or_default();
                Err(Failed::message(
                    format!("could not start `{name}`: {error}"),
                    "check the task's `binary`",
                ))
            }
            Err(PrepareError::Cancelled) => Ok(ExitStatus::INTERRUPTED),
            Err(PrepareError::Failed(failure)) => {
                // The status is for who started this process, but these reasons only this one knows (E-016, E-017).
                if let Some(reason) = &failure.status_reason {
                    settle(&server, FinalStatus::Failed(reason.clone())).await;
                }
                Err(failed(*failure))
            }
        }
    }

    /// Acts as a daemon for this one task (E-003).
    async fn like_a_worker(
        self,
        arguments: &Arguments,
        printer: Printer,
    ) -> Result<ExitStatus, Failed> {
        let name = match worker_name(&self.agent, &self.devices) {
            // All nodes of a job have the same variables.
            WorkerName::Fixed(id) if !self.node().is_first() => {
                WorkerName::Fixed(format!("{id}:rank{}", self.node().rank()))
            }
            name => name,
        };
        let slot = slot::claim(&self.places, &name, &self.session, printer).await?;
        let worker: WorkerId = slot.worker.parse()?;
        let settings = placed(&self.settings, worker.as_str(), slot.number);
        let ended = Self { settings, ..self };
        let ended = ended.supervise_fully(arguments, worker, printer).await;
        drop(slot);
        ended
    }

    /// The same without a slot, and the task in a container (E-004, C-306).
    async fn in_a_container(
        self,
        arguments: &Arguments,
        printer: Printer,
    ) -> Result<ExitStatus, Failed> {
        let worker = self.own_worker()?;
        self.supervise_fully(arguments, worker, printer).await
    }

    async fn supervise_fully(
        self,
        arguments: &Arguments,
        worker: WorkerId,
        printer: Printer,
    ) -> Result<ExitStatus, Failed> {
        let propagates = self.agent.propagate_exit_code;
        let mut signals = Signals::listen()?;
        let outcome = self
            .supervise(arguments, worker, Shape::Full, &mut signals, printer)
            .await?;
        // Whoever ends the worker itself is told so; how the task ended is another matter (E-278, D-061).
        Ok(match (signals.has_terminate().await, propagates) {
            (true, _) => ExitStatus::INTERRUPTED,
            (false, true) => ExitStatus(outcome.exit_code()),
            (false, false) => ExitStatus::SUCCESS,
        })
    }

    /// Prepares on the console, uploads what the program prints, sets the final status (E-002).
    async fn plain(self, arguments: &Arguments, printer: Printer) -> Result<ExitStatus, Failed> {
        let worker = self.own_worker()?;
        let mut signals = Signals::listen()?;
        let outcome = self
            .supervise(arguments, worker, Shape::Plain, &mut signals, printer)
            .await?;
        Ok(ExitStatus(outcome.exit_code()))
    }

    async fn supervise(
        mut self,
        arguments: &Arguments,
        worker: WorkerId,
        shape: Shape,
        signals: &mut Signals,
        printer: Printer,
    ) -> Result<Outcome, Failed> {
        check_log_file(arguments)?;
        if !arguments.require_queue {
            settle_left_runs(&self.places, &self.task, printer).await;
        }
        if self.node().is_first() {
            warn_of_living_runs(&self.places, &self.task, printer);
        }
        let task = tokio::select! {
            taken = self.take(arguments, &worker, printer) => Some(taken?),
            () = signals.any() => None,
        };
        let server = self.server(&worker);
        let Some(task) = task else {
            // Refused, and rightly so, unless the task has just been taken from its queue.
            let server = server.with_deadline(FAREWELL);
            settle(&server, FinalStatus::Stopped(USER_ABORT.to_owned())).await;
            return Ok(Outcome::Aborted);
        };
        let ended = self
            .supervise_taken(arguments, task, &worker, shape, printer)
            .await;
        if let Err(failed) = &ended {
            // It has left its queue and must not stay as it is (E-008).
            settle(&server, FinalStatus::Failed(failed.text())).await;
        }
        self.farewell(&worker).await;
        ended
    }

    async fn supervise_taken(
        &self,
        arguments: &Arguments,
        task: Task,
        worker: &WorkerId,
        shape: Shape,
        printer: Printer,
    ) -> Result<Outcome, Failed> {
        let run = self.create_run(arguments, worker)?;
        let journal = run.open()?;
        if arguments.require_queue {
            // Whoever has queued the task again knows of the run before, which has nothing to say any more.
            settle_left_runs(&self.places, &self.task, printer).await;
        }
        let configuration = journal.entry().configuration;
        // The program sees the worker's file where it runs below one, else the user's own (E-254).
        let (settings, shown) = match shape {
            Shape::Plain => (self.settings.clone(), None),
            Shape::Daemon | Shape::Service | Shape::Full => (
                self.settings.located(&configuration),
                Some((configuration, worker.clone())),
            ),
        };
        let preparation = options::preparation(&settings, self.wishes(task, shown))?;
        let (current, reported) = watch::channel(None);
        let report = options::report(&self.agent, &self.run, &self.devices, worker.clone(), None);
        let reporter = spawn_local(StatusReporter::new(self.session.clone(), report).run(reported));
        current.send_replace(Some(CurrentTask {
            task: self.task.clone(),
            queue: None,
        }));
        let parent = container::Parent {
            worker: worker.as_str(),
            is_own_worker: false,
            is_service: false,
            uses_owner_token: false,
        };
        let containment = container::containment(&settings, &self.run, &parent)?;
        let give_up = CancellationToken::new();
        let session = self.session.clone().with_cancellation(give_up.clone());
        let supervision = Supervision {
            journal: journal.clone(),
            server: TaskServer::new(session, self.task.clone(), worker.clone()).on(self.node()),
            preparation,
            containment,
            shape,
            rules: options::rules(&self.agent),
            watch: options::watch(&self.agent),
            gpus: VisibleGpus::of(self.devices.text()),
            grace: self.agent.stop_grace_period,
            requeues_lost: self.agent.requeue_on_agent_loss,
            host: connect::host_name(),
            stand_in: None,
            give_up,
            is_confined: !self.is_in_a_group_of_others(),
        };
        let supervised = Box::pin(supervision.run()).await;
        reporter.abort();
        match supervised {
            Ok(Supervised::Settled(outcome)) => Ok(outcome),
            Ok(Supervised::Uncleared(outcome)) => {
                printer.warning("the container could not be removed in time; the next agent on this machine will do it");
                Ok(outcome)
            }
            Ok(Supervised::Unsettled(outcome)) => {
                printer.warning("the server could not be told how the task ended; the next agent on this machine will");
                Ok(outcome)
            }
            Err(error) => {
                journal.remove();
                Err(error.into())
            }
        }
    }

    /// A container, or a job of Slurm, which ends what is in its group.
    fn is_in_a_group_of_others(&self) -> bool {
        is_in_container() || self.settings.environment().get("SLURM_JOB_ID").is_some()
    }

    /// A job that Slurm has begun again may be faster than whoever queues its task again.
    fn patience(&self) -> Duration {
        let restarts = &env_vars::SLURM_RESTART_COUNT;
        let restarts = self.settings.environment().text(restarts);
        let is_restarted = restarts.is_some_and(|count| count != "0");
        if is_restarted {
            PATIENCE
        } else {
            Duration::ZERO
        }
    }

    fn server(&self, worker: &WorkerId) -> TaskServer {
        let server = TaskServer::new(self.session.clone(), self.task.clone(), worker.clone());
        server.on(self.node())
    }

    fn node(&self) -> Node {
        Node::of(self.settings.environment())
    }

    /// Fetches the task, or a clone of it, and takes it out of its queue (E-014, E-015, E-020).
    async fn take(
        &mut self,
        arguments: &Arguments,
        worker: &WorkerId,
        printer: Printer,
    ) -> Result<Task, Failed> {
        let policy = match (arguments.clone, arguments.require_queue) {
            (true, _) => DequeuePolicy::Never,
            (false, true) => DequeuePolicy::Required {
                patience: self.patience(),
            },
            (false, false) => DequeuePolicy::IfQueued,
        };
        if arguments.clone {
            self.duplicate(worker, printer).await?;
        }
        let server = self.server(worker);
        let taken = if arguments.require_queue && !arguments.clone && !self.node().is_first() {
            join_task(&server).await
        } else {
            take_task(&server, policy).await
        };
        taken.map_err(not_taken)
    }

    /// E-014
    async fn duplicate(&mut self, worker: &WorkerId, printer: Printer) -> Result<(), Failed> {
        printer.line(format!("Cloning task id={}", self.task));
        let original = fetch_task(&self.server(worker)).await.map_err(not_taken)?;
        let name = format!("Clone of {}", original.name.unwrap_or_default());
        let new = self.session.tasks().duplicate(&self.task, &name).await;
        self.task = new.map_err(|error| {
            let reason = error.reference_text();
            Failed::new(
                anyhow::Error::msg(format!("Cloning failed: {reason}")),
                error.hint(),
            )
        })?;
        printer.line(format!("Task cloned, new task id={}", self.task));
        Ok(())
    }

    /// The journal makes sure that the task is settled, also when this process is killed.
    fn create_run(&self, arguments: &Arguments, worker: &WorkerId) -> Result<RunFolder, Failed> {
        let (configuration, _) =
            create_temporary(&self.places.temporary, ".clearml_agent.", ".cfg")?;
        self.settings.write(&configuration)?;
        let output = match &arguments.log_file {
            Some(path) => std::path::absolute(path)?,
            None => create_temporary(&self.places.temporary, ".clearml_agent_out.", ".txt")?.0,
        };
        let mut entry = Entry::new(
            self.task.to_string(),
            worker.to_string(),
            String::new(),
            configuration,
            output.clone(),
        );
        entry.keeps_output = self.run.debug;
        entry.options = self.run.clone();
        if arguments.log_file.is_some() {
            entry.keeps_output = true;
            // What an earlier run has printed stays in the file and is not this task's.
            entry.progress.acknowledged = output.metadata().map_or(0, |file| file.len());
        }
        let run = RunFolder::create(&self.places, &entry)?;
        run.watch()?;
        Ok(run)
    }

    fn wishes(&self, task: Task, shown: Option<(PathBuf, WorkerId)>) -> PreparationWishes {
        let (configuration, worker) = shown.unzip();
        PreparationWishes {
            configuration: configuration.unwrap_or_else(|| own_configuration(&self.settings)),
            worker,
            options: self.run.clone(),
            task: Some(Box::new(task)),
        }
    }

    fn own_worker(&self) -> Result<WorkerId, Failed> {
        own_worker(&self.agent, &self.devices)
    }

    async fn farewell(&self, worker: &WorkerId) {
        let session = self.session.clone().with_deadline(FAREWELL);
        if let Err(error) = session.workers().unregister(worker, &[]).await {
            tracing::info!(%error, "could not unregister the worker");
        }
    }
}

/// D-113
pub(super) async fn resolve(session: &Session, id: &str) -> Result<TaskId, Failed> {
    if TaskId::is_written_in(id) {
        return Ok(id.parse()?);
    }
    let hint = "copy the task's id from the web page";
    match session.tasks().by_name(id).await? {
        NameMatch::One(task) => task
            .id
            .ok_or_else(|| Failed::message("the server named a task without an id", hint)),
        NameMatch::None { near } => Err(Failed::message(
            listed(
                format!("Could not find task with name/id \"{id}\""),
                ". Did you mean this?",
                &near,
            ),
            hint,
        )),
        NameMatch::Several(tasks) => Err(Failed::message(
            listed(
                format!("Found multiple tasks with name \"{id}\""),
                ":",
                &tasks,
            ),
            hint,
        )),
    }
}

fn listed(text: String, intro: &str, tasks: &[Task]) -> String {
    const MOST: usize = 10;
    if tasks.is_empty() {
        return text;
    }
    let lines = tasks.iter().take(MOST).map(|task| {
        let id = task.id.as_ref().map(TaskId::as_str).unwrap_or_default();
        let name = task.name.as_deref().unwrap_or_default();
        format!("\n* ({id}) {}", visible::line(name))
    });
    text + intro + &lines.collect::<String>()
}

/// The user's own file (E-254).
pub(super) fn own_configuration(settings: &Settings) -> PathBuf {
    settings
        .location()
        .map_or_else(|| settings.home().join("clearml.conf"), PathBuf::from)
}

/// E-022
pub(super) fn own_worker(agent: &AgentSettings, devices: &Devices) -> Result<WorkerId, Failed> {
    let id = match worker_name(agent, devices) {
        WorkerName::Fixed(id) => id,
        WorkerName::Slotted { name, .. }
        | WorkerName::OnDevices { name, .. }
        | WorkerName::OverPool { name, .. } => {
            format!("{name}:{}", std::process::id())
        }
    };
    Ok(id.parse()?)
}

/// Before anything is said to the server: whoever names the file is here to name another one.
fn check_log_file(arguments: &Arguments) -> Result<(), Failed> {
    let Some(path) = &arguments.log_file else {
        return Ok(());
    };
    Output::append(path).map(drop).map_err(|error| {
        Failed::message(
            format!(
                "could not write to the log file `{}`: {error}",
                path.display()
            ),
            "name a file that can be written with `--log-file`",
        )
    })
}

/// Ctrl-C ends the preparation with everything that it has started (E-279).
pub(super) fn cancelled_by_interrupt() -> Result<CancellationToken, Failed> {
    let token = CancellationToken::new();
    let mut interrupts = signal(SignalKind::interrupt())?;
    let cancel = token.clone();
    spawn_local(async move {
        interrupts.recv().await;
        cancel.cancel();
    });
    Ok(token)
}

/// The signals that end a run, from before the task is touched.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// True where SIGTERM has come meanwhile.
    async fn has_terminate(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => true,
            () = std::future::ready(()) => false,
        }
    }
}

async fn settle(server: &TaskServer, status: FinalStatus) {
    if let Err(error) = server.settle(&status).await {
        tracing::info!(%error, "could not set the task's status");
    }
}

pub(super) fn failed(failure: Failure) -> Failed {
    Failed::new(anyhow::Error::msg(failure.message), failure.hint.as_deref())
}

/// Nobody stops a task that is only being looked up.
pub(super) fn not_taken(error: PrepareError) -> Failed {
    match error {
        PrepareError::Failed(failure) => failed(*failure),
        PrepareError::Cancelled => Failed::new(anyhow::Error::msg("interrupted"), None),
    }
}
