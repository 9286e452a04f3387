//! A command of the site that gets its time when a task is stopped, before the program is ended (D-252, E-268).

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::{JoinHandle, spawn_local};
use tokio_util::sync::CancellationToken;

use super::server::TaskServer;
use super::watch::is_stopped;
use crate::process::{Command, Output};
use crate::settings::{Environment, env_vars};

/// How long the command may take where nothing is said.
const TIMEOUT: Duration = Duration::from_mins(3);
/// What the server is told about how often the task is looked at, in seconds.
const POLL: &str = "10";

/// The command, and where it runs.
#[derive(Clone, Debug)]
pub struct AbortCommand {
    text: String,
    timeout: Duration,
    folder: PathBuf,
}

/// A command that waits for its moment.
#[derive(Debug)]
pub struct StandBy {
    watch: JoinHandle<()>,
    runs: Rc<Cell<bool>>,
}

impl StandBy {
    /// The program has ended: a command that runs is waited for, any other is not needed any more.
    pub async fn end(self) {
        if self.runs.get() {
            // It has nothing to return.
            let _ = self.watch.await;
        } else {
            self.watch.abort();
        }
    }
}

impl AbortCommand {
    /// What the variables ask for; the command runs in `folder`.
    pub(super) fn of(environment: &Environment, folder: PathBuf) -> Option<Self> {
        let text = environment.text(&env_vars::ABORT_CALLBACK_CMD)?.to_owned();
        let seconds = environment.text(&env_vars::ABORT_CALLBACK_TIMEOUT);
        let seconds = seconds.and_then(|seconds| seconds.parse().ok());
        Some(Self {
            text,
            timeout: seconds.map_or(TIMEOUT, Duration::from_secs),
            folder,
        })
    }

    /// Variables of the program: it must not register the command once more.
    pub(super) fn variables(&self, command: Command) -> Command {
        command
            .env_remove("CLEARML_AGENT_ABORT_CALLBACK_CMD")
            .env("CLEARML_AGENT_ABORT_CALLBACK_CMD_REGISTERED", &self.text)
    }

    /// Tells the server that an abort has to wait.
    pub(super) async fn register(&self, server: &TaskServer, output: &Output) {
        let seconds = self.timeout.as_secs();
        output.line(format!(
            "INFO: registering bash callback, timout {seconds}s: [{}]",
            self.text
        ));
        let limits = [
            ("_abort_callback_timeout", Value::from(seconds.to_string())),
            ("_abort_poll_freq", Value::from(POLL)),
        ];
        match server.add_to_runtime(limits).await {
            Ok(()) => output.line("INFO: bash on_abort monitor thread started"),
            Err(error) => output.line(format!(
                "WARNING: could not register the bash callback: {error}"
            )),
        }
    }

    /// Waits beside the program for the task to be stopped on the server, looking every `interval`, then runs the
    /// command. Must be called on a `LocalSet` of the main thread, which starts it.
    pub fn stand_by(self, server: TaskServer, interval: Duration, output: Output) -> StandBy {
        let runs = Rc::new(Cell::new(false));
        let begun = runs.clone();
        let watch = spawn_local(self.watch(server, interval, output, begun));
        StandBy { watch, runs }
    }

    async fn watch(
        self,
        server: TaskServer,
        interval: Duration,
        output: Output,
        runs: Rc<Cell<bool>>,
    ) {
        loop {
            tokio::time::sleep(interval).await;
            // A question that was not answered says nothing.
            if server
                .status()
                .await
                .is_ok_and(|task| is_stopped(task.as_ref()))
            {
                break;
            }
        }
        runs.set(true);
        let limit = CancellationToken::new();
        let command = Command::new("bash")
            .args(["-c", &self.text])
            .folder(&self.folder);
        let run = command.run(&output, &limit);
        tokio::pin!(run);
        let ended = tokio::select! {
            ended = &mut run => ended,
            () = tokio::time::sleep(self.timeout) => {
                limit.cancel();
                run.await
            }
        };
        match ended {
            Ok(finished) if finished.is_success() => {}
            Ok(finished) => output.line(format!(
                "WARNING: the bash callback failed with code {}",
                finished.code()
            )),
            Err(error) => output.line(format!("WARNING: the bash callback: {error}")),
        }
        let done = [("_abort_callback_completed", Value::from(1))];
        if let Err(error) = server.add_to_runtime(done).await {
            tracing::info!(%error, "could not say that the abort callback has completed");
        }
    }
}
