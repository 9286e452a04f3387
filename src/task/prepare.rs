//! From the task's fields to a command that can be started: code, environment, variables (E 1.2).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::failure::{PrepareError, failure};
use super::prefetch_folder::others_are_done;
use super::program::Prepared;
use super::server::TaskServer;
use super::timeline::{Earlier, Timeline};
use crate::api::{Retry, Task, TaskStatus};
use crate::process::Output;
use crate::python::{Optimization, PythonOptions};
use crate::settings;
use crate::source::SourceOptions;

/// Between two looks at a task that is to be queued.
const LOOK: Duration = Duration::from_secs(2);
/// Said where somebody fetches for this very task already.
const PREFETCHED: &str = "The environment of this task is being made already, waiting for it";

/// How code and environment of a task are made.
#[derive(Clone, Debug)]
pub struct Preparation {
    /// Code.
    pub source: SourceOptions,
    /// Environment.
    pub python: PythonOptions,
    /// The agent's own variables.
    pub variables: settings::Environment,
    /// The configuration file that the program sees (E-254).
    pub configuration: PathBuf,
    /// What nobody has said before: the name of the configuration file (F-005), which of its sections were applied (F-091).
    pub introduction: Vec<String>,
    /// The configuration as it is printed first.
    pub printout: String,
    /// Variables that the program gets beside the agent's own.
    pub exported: Vec<(String, String)>,
    /// Variables of the agent that the program does not get (D-313).
    pub hidden: Vec<String>,
    /// `-O` of the interpreter (E-024).
    pub optimization: Optimization,
    /// The root of the checkout instead of the script's folders is on `PYTHONPATH` (E-107).
    pub root_on_python_path: bool,
    /// More of `PYTHONPATH` (E-108).
    pub extra_python_path: Option<String>,
    /// The task's `Environment` section is applied (E-260).
    pub apply_task_environment: bool,
    /// The site's script that makes the environment (E-234).
    pub custom_build_script: Option<String>,
    /// `--timings`: how long each step took is said in a table.
    pub says_timings: bool,
    /// In a container: what has taken its time before.
    pub earlier: Option<Earlier>,
    /// Where workers say for which tasks something is being fetched in advance; none where that is not looked at.
    pub prefetch: Option<PathBuf>,
    /// The task, where the caller has fetched it and taken it from its queue already.
    pub task: Option<Box<Task>>,
}

/// What is done about the queue that a task may be in (E-014, E-015).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DequeuePolicy {
    /// Taken out if it is in one.
    IfQueued,
    /// A clone is in none.
    Never,
    /// A task in no queue is not run.
    Required {
        /// How long somebody may still put it into one.
        patience: Duration,
    },
}

impl Preparation {
    /// Prepares the task; everything is said on `output`. Programs that run meanwhile die when `cancel` is cancelled.
    ///
    /// `begun` is called once the server has the task as running: before, its status is that of an earlier run.
    pub async fn run(
        &self,
        server: &TaskServer,
        output: &Output,
        cancel: &CancellationToken,
        begun: impl FnOnce(),
    ) -> Result<Prepared, PrepareError> {
        let server = server.cancelled_by(cancel);
        let prepared = self.prepare(&server, output, cancel, begun).await;
        if cancel.is_cancelled() {
            Err(PrepareError::Cancelled)
        } else {
            prepared
        }
    }

    async fn prepare(
        &self,
        server: &TaskServer,
        output: &Output,
        cancel: &CancellationToken,
        begun: impl FnOnce(),
    ) -> Result<Prepared, PrepareError> {
        let mut timeline = Timeline::begin_behind(self.earlier.as_ref());
        for line in &self.introduction {
            output.line(line);
        }
        let task = match &self.task {
            Some(task) => Task::clone(task),
            None => take_task(server, DequeuePolicy::IfQueued).await?,
        };
        output.line(&self.printout);
        server.started_because("worker started execution").await?;
        begun();
        timeline.passed("task");
        if let Some(prefetch) = &self.prefetch {
            let waits = || output.line(PREFETCHED);
            let _doing = output.doing("waiting for what is being fetched");
            tokio::select! {
                () = others_are_done(prefetch, server.task(), waits) => {}
                () = cancel.cancelled() => return Err(PrepareError::Cancelled),
            }
            timeline.passed("prefetch");
        }
        let wanted = self.wanted(server, task, output)?;
        let made = self.make(&wanted, &mut timeline, output, cancel).await?;
        if let Some(frozen) = &made.frozen {
            let packages = frozen.packages().to_vec();
            if frozen.is_written_to_the_task()
                && let Err(error) = server.report_packages(packages, frozen.conda()).await
            {
                output.line(format!(
                    "Could not set task requirements: {}",
                    error.reference_text()
                ));
            }
            timeline.passed("report of packages");
            let doing = output.doing("keeping the environment");
            made.environment.keep(frozen, output, cancel).await?;
            drop(doing);
            timeline.passed("store");
        }
        let prepared = self.program(server, &wanted, &made, output, cancel).await?;
        timeline.passed("program");
        if self.says_timings {
            output.line(timeline.table());
        }
        output.line(timeline.summary());
        output.line("Environment setup completed successfully\n\nStarting Task Execution:\n");
        Ok(prepared)
    }
}

/// Fetches the task and takes it out of its queue (E-014, E-015, E-020).
pub async fn take_task(server: &TaskServer, policy: DequeuePolicy) -> Result<Task, PrepareError> {
    let begun = Instant::now();
    loop {
        let task = fetch_task(server).await?;
        if policy == DequeuePolicy::Never {
            return Ok(task);
        }
        // Whether the task was queued matters to `--require-queue` alone (E-015).
        let retry = match policy {
            DequeuePolicy::Required { .. } => Retry::WhenNotSent,
            DequeuePolicy::IfQueued | DequeuePolicy::Never => Retry::Always,
        };
        let queued = match server.dequeue(retry).await {
            Ok(queued) => queued,
            // The server may have done it.
            Err(error) if error.is_ambiguous() && task.status == Some(TaskStatus::Queued) => {
                fetch_task(server).await?.status == Some(TaskStatus::InProgress)
            }
            Err(_) => false,
        };
        match policy {
            DequeuePolicy::Required { patience } if !queued => {
                if begun.elapsed() >= patience {
                    break;
                }
            }
            _ => return Ok(task),
        }
        tokio::time::sleep(LOOK).await;
    }
    let id = server.task();
    let message = format!("Execution required enqueued task, but task id={id} is not queued.");
    let hint = "enqueue the task, or leave `--require-queue` out";
    Err(failure(message, Some(hint)))
}

/// The task with everything that running it needs (E-020).
pub async fn fetch_task(server: &TaskServer) -> Result<Task, PrepareError> {
    server.fetch().await.map_err(|error| {
        if !error.is_unknown_task() {
            return error.into();
        }
        let message = format!(
            "Could not find task id={} (for host: {})",
            server.task(),
            server.session().server()
        );
        let hint = "check the id on the web page, and the server in the configuration";
        failure(message, Some(hint))
    })
}
