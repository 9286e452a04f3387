//! A task without a container: code and environment are made here, and its program runs beside its supervisor.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tokio::sync::Notify;

use super::{Shape, Supervision};
use crate::process::{Command, Output, Step, forget_own_code, reached};
use crate::storage::{is_full, with_least_room};
use crate::task::diagnosis::{Death, Diagnosis};
use crate::task::failure::PrepareError;
use crate::task::journal::Phase;
use crate::task::launch::Program;
use crate::task::outcome::{FinalStatus, Outcome};
use crate::task::prepare::Preparation;
use crate::task::program::Prepared;
use crate::task::stop::Stop;
use crate::task::streams::Streams;
use crate::ui::is_quiet;

/// ENOSPC, as programs show it.
const NO_SPACE: &str = "No space left on device";
/// So many bytes of an output are its last lines.
const LAST_LINES: usize = 64 << 10;

impl Supervision {
    /// Makes everything ready, and runs the program to its end.
    pub(super) async fn prepare_and_run(
        &self,
        stop: &Stop,
        streams: &Streams,
        begun: &Notify,
    ) -> Outcome {
        self.enter(Phase::Preparing);
        match self.prepare(stop, streams, begun).await {
            Ok(prepared) => {
                reached(Step::Prepared);
                self.launch(&prepared, stop, streams).await
            }
            Err(PrepareError::Cancelled) => Outcome::Aborted,
            Err(PrepareError::Failed(failure)) => {
                let failure = match self.full_folder() {
                    Some(folder) => failure.for_want_of_room(&folder),
                    None => *failure,
                };
                let mut text = format!("\nclearml_agent: ERROR: {}", failure.message);
                if let Some(hint) = &failure.hint {
                    text = format!("{text}\nhint: {hint}");
                }
                self.preparation_output(streams).line(format!("{text}\n"));
                if let Some(code) = failure.code {
                    return Outcome::Exited(code);
                }
                if let Some(reason) = &failure.status_reason {
                    self.tell_at_once(reason).await;
                }
                let why = failure.reason();
                // In the plain shape the whole message is in the console.
                if self.shape != Shape::Plain {
                    return Outcome::Failed { code: 1, why };
                }
                Outcome::NotStarted {
                    reason: failure.status_reason.unwrap_or(why),
                    message: failure.message,
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
            .then(|| Output::console(is_quiet()).ok())
            .flatten();
        let activity = streams.output.activity();
        stdout.map_or_else(
            || streams.output.clone(),
            |stdout| stdout.with_activity(activity.clone()),
        )
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
        // A program may run for days; what has prepared it is not used again.
        forget_own_code();
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
            Ok(code) if stop.cause().is_none() => {
                let death = Death {
                    code: *code,
                    process: Some(identity.pid),
                    folders: self.written_to(&prepared.command),
                    full: self.has_no_room(),
                };
                diagnosis.cause_in_time(death).await
            }
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

    /// A folder without room into which code or environment were to come.
    fn full_folder(&self) -> Option<PathBuf> {
        let Preparation { python, source, .. } = &self.preparation;
        let output = self.journal.entry().output;
        let folders = [
            Some(python.venvs_dir.as_path()),
            Some(source.cache_folder.as_path()),
            output.parent(),
        ];
        let temporary = std::env::temp_dir();
        let folders = folders.into_iter().flatten().chain([temporary.as_path()]);
        let full = folders.clone().find(|folder| is_full(folder));
        // A tool that has removed what it could not finish has made room again.
        let said = || says_that_a_disk_is_full(&output).then(|| with_least_room(folders))?;
        full.or_else(said).map(Path::to_owned)
    }

    /// The folder of the output where the disk had no room for what the program has printed last.
    fn has_no_room(&self) -> Option<PathBuf> {
        let entry = self.journal.entry();
        let length = entry.output.metadata().ok()?.len();
        let is_so = entry.progress.full_at == Some(length);
        is_so.then(|| entry.output.parent().map(Path::to_owned))?
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
}

/// True where the last lines of git, pip, uv and the like say so, with the words of the operating system.
fn says_that_a_disk_is_full(output: &Path) -> bool {
    let Ok(file) = File::open(output) else {
        return false;
    };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut last = vec![0; LAST_LINES];
    let start = length.saturating_sub(LAST_LINES as u64);
    let read = file.read_at(&mut last, start).unwrap_or(0);
    String::from_utf8_lossy(&last[..read]).contains(NO_SPACE)
}
