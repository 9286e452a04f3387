//! A container from its start to its end, also one that an earlier supervisor has started.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::console::{Console, Lines, TaskOutput};
use super::start::{DRAIN, END, NotContained, remove_labelled};
use super::{Contained, ContainedRun, Containment, RUN_LABEL, end};
use crate::api::TaskStatus;
use crate::container::engine::{End, Engine, EngineError, State};
use crate::logs::Level;
use crate::process::{Step, forget_own_code, reached};
use crate::task::diagnosis::{Death, Diagnosis};
use crate::task::journal::{Journal, Phase};
use crate::task::outcome::Outcome;
use crate::task::server::TaskServer;

/// What a container that is to stop gets in any case, as from the official agent (C-311).
const LEAST_GRACE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(1);
/// How long an abort waits for a container that the engine was asked to make: one that comes later would stay.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an agent that leaves waits for each step of the engine: all of them, and the last words to the server, have five
/// seconds.
const URGENCY: Duration = Duration::from_secs(1);

impl Containment {
    /// Runs the task in a new container, to its end; `handed_over` is called where an agent in it takes over.
    pub(in crate::task) async fn run(
        &self,
        run: &ContainedRun<'_>,
        handed_over: impl FnOnce(),
    ) -> Outcome {
        let making = self.make(run);
        tokio::pin!(making);
        let made = tokio::select! {
            biased;
            () = run.stop.token().cancelled() => {
                let is_asked_for = matches!(run.journal.entry().phase, Phase::Contained);
                if is_asked_for {
                    let patience = if run.stop.is_leaving() { URGENCY } else { PATIENCE };
                    let answered = tokio::select! {
                        made = timeout(patience, &mut making) => made.is_ok(),
                        () = run.stop.hurried().cancelled() => false,
                    };
                    run.journal.update(|entry| {
                        if let Some(contained) = &mut entry.container {
                            contained.is_late = !answered;
                        }
                    });
                }
                // What was made is found by its label.
                return Outcome::Aborted;
            }
            made = &mut making => made,
        };
        match made {
            Ok((mut order, mut contained)) => {
                let started = tokio::select! {
                    // What was made is found by its label.
                    () = run.stop.token().cancelled() => Ok(true),
                    started = self.begin(&mut order, &mut contained, run) => started,
                };
                if contained.id.is_none() && started.is_ok() {
                    // Between two containers.
                    return Outcome::Aborted;
                }
                self.attend(&order.engine, &contained, started, run, handed_over)
                    .await
            }
            Err(failure) => said(failure, run),
        }
    }

    /// Goes on with a container that an earlier supervisor has made.
    pub(in crate::task) async fn resume(
        &self,
        run: &ContainedRun<'_>,
        handed_over: impl FnOnce(),
    ) -> Outcome {
        let contained = run.journal.entry().container;
        let Some(contained) = contained.filter(|contained| contained.id.is_some()) else {
            // Whether it was made or not, nothing of the task has run.
            return Outcome::Lost;
        };
        let is_said = Cell::new(false);
        let say = |line: String| {
            if !is_said.replace(true) {
                run.streams.echo.say(line.as_str());
                run.streams.log.notice(Level::Warning, format!("{line}\n"));
            }
        };
        let engine = loop {
            let found = tokio::select! {
                // Who comes later clears up.
                () = run.stop.token().cancelled() => return Outcome::Aborted,
                found = self.engine_for(say) => found,
            };
            match found {
                Ok(engine) => break engine,
                // Its container may run: there is nothing to do but to wait.
                Err(failure) if failure.is_passing => {}
                Err(failure) => return said(failure, run),
            }
        };
        let id = contained.id.as_deref().unwrap_or_default();
        let started = tokio::select! {
            // What was made is found by its label.
            () = run.stop.token().cancelled() => Ok(true),
            started = start(&engine, id) => started.map_err(|error| NotContained::by_engine(&error)),
        };
        self.attend(&engine, &contained, started, run, handed_over)
            .await
    }

    async fn attend(
        &self,
        engine: &Engine,
        contained: &Contained,
        started: Result<bool, NotContained>,
        run: &ContainedRun<'_>,
        handed_over: impl FnOnce(),
    ) -> Outcome {
        let entry = run.journal.entry();
        let id = contained.id.as_deref().unwrap_or_default();
        let died_with_machine = match started {
            Ok(runs) => !runs && !entry.is_of_this_boot(),
            Err(failure) => return said(failure, run),
        };
        reached(Step::Started);
        // What has prepared it is not used again.
        forget_own_code();
        let diagnosis = Diagnosis::begin(run.gpus.clone());
        let begun = CancellationToken::new();
        let lines = Lines::new(&entry.task, self.is_own_worker, begun.clone());
        let destination = match TaskOutput::open(&entry.output, contained.base) {
            Ok(destination) => destination,
            Err(error) => return unreadable(&entry.output, &error),
        };
        let ending = async {
            let ending = until_ended(engine, id, run, &begun);
            tokio::pin!(ending);
            tokio::select! {
                end = &mut ending => return end,
                () = begun.cancelled() => {}
            }
            if self.is_own_worker {
                handed_over();
            }
            ending.await
        };
        let output = &run.streams.output;
        let patience = || {
            if run.stop.is_leaving() {
                URGENCY
            } else {
                DRAIN
            }
        };
        let mut console = Console::new(destination, lines);
        let end = console
            .follow(engine, id, contained.has_terminal, ending, patience, output)
            .await;
        reached(Step::Exited);
        let hint = end.as_ref().ok().and_then(end::hint);
        let outcome = match end {
            Ok(end) if died_with_machine && end::is_by_restart(&end) => Outcome::Restarted,
            Err(EngineError::NoContainer) if died_with_machine => Outcome::Restarted,
            end => ended(end, begun.is_cancelled()),
        };
        // The container itself has said why.
        let why = console.listener.error();
        let why = why.filter(|_| matches!(outcome, Outcome::Exited(1..)));
        let is_said = why.is_some();
        let outcome = match why {
            Some(why) => Outcome::Failed {
                code: i32::from(outcome.exit_code()),
                why: why.to_owned(),
            },
            None => outcome,
        };
        if self.is_own_worker
            && begun.is_cancelled()
            && let Some(code) = reported(run.server).await
        {
            return Outcome::Reported(match outcome.exit_code() {
                0 => code,
                own => i32::from(own),
            });
        }
        let full_disk = if run.stop.is_leaving() {
            None
        } else {
            timeout(END, engine.full_disk()).await.ok().flatten()
        };
        let (outcome, hint) = if run.stop.cause().is_none() {
            let (outcome, more) =
                explained(outcome, &diagnosis, full_disk.as_deref(), engine, id).await;
            (outcome, hint.or(more))
        } else {
            (outcome, hint)
        };
        if let (Outcome::Failed { why, .. }, None, false) = (&outcome, run.stop.cause(), is_said) {
            output.line(format!("\nclearml_agent: ERROR: {why}"));
            if let Some(hint) = hint {
                output.line(format!("hint: {hint}"));
            }
        }
        if let Some(folder) = full_disk {
            output.line(format!(
                "\nclearml_agent: WARNING: the disk of the container engine is full (`{}`): what the container has written \
                 or printed may be missing\nhint: free space there: `docker system df` shows what takes it",
                folder.display()
            ));
        }
        outcome
    }

    /// Removes what is left of the container, once it is written how it ended; false where that could not be done.
    pub(in crate::task) async fn clear(&self, journal: &Journal) -> bool {
        let Some(contained) = journal.entry().container else {
            return true;
        };
        // Keys do not wait for the engine. They are forgotten as well: the next run of the worker has files of these names.
        contained.remove_files();
        journal.update(|entry| {
            if let Some(contained) = &mut entry.container {
                contained.copies.clear();
            }
        });
        let name = journal.folder().name();
        let is_gone = remove_labelled(&self.source, (RUN_LABEL, &name)).await;
        journal.update(|entry| match &mut entry.container {
            // Whoever looks next finds it.
            Some(contained) if contained.is_late => contained.is_late = false,
            _ if is_gone => entry.container = None,
            _ => {}
        });
        journal.entry().container.is_none()
    }
}

/// How the task ended whose container has ended with this code, and nobody but the machine may know why. Its memory is the
/// engine's matter.
fn diagnosed(diagnosis: &Diagnosis, code: i32, full_disk: Option<&Path>) -> Outcome {
    let death = Death {
        code,
        process: None,
        folders: full_disk.into_iter().map(Path::to_owned).collect(),
        full: None,
    };
    match diagnosis.cause(&death) {
        Some(cause) => Outcome::Failed {
            code,
            why: cause.to_string(),
        },
        None => Outcome::Exited(code),
    }
}

/// How the task ended, with what machine and engine know of the reason, and what can be done about it.
async fn explained(
    outcome: Outcome,
    diagnosis: &Diagnosis,
    full_disk: Option<&Path>,
    engine: &Engine,
    id: &str,
) -> (Outcome, Option<&'static str>) {
    let Outcome::Exited(code) = outcome else {
        return (outcome, None);
    };
    let outcome = diagnosed(diagnosis, code, full_disk);
    if outcome != Outcome::Exited(code) {
        return (outcome, None);
    }
    let Some(signal) = killer(engine, id, code).await else {
        return (outcome, None);
    };
    let why = format!("somebody has ended the container by its engine, with {signal}");
    (Outcome::Failed { code, why }, Some(end::OUTSIDE))
}

/// The signal by which somebody has ended the container with this code, where the engine was asked to send it.
async fn killer(engine: &Engine, id: &str, code: i32) -> Option<String> {
    if !end::is_by_signal(code) {
        return None;
    }
    let sent = timeout(END, engine.signals(id)).await.ok()?;
    let sent = sent
        .inspect_err(|error| tracing::info!(%error, "the engine does not say what it has sent"));
    end::killer(code, &sent.ok()?)
}

/// Starts a container that was only made; an earlier supervisor may have done it. False where it has ended already, or is gone:
/// who waits for it finds out what that means.
pub(super) async fn start(engine: &Engine, id: &str) -> Result<bool, EngineError> {
    loop {
        let started = match engine.state(id).await {
            Ok(State::Created) => engine.start(id).await,
            Ok(State::Running) => return Ok(true),
            Ok(State::Ended(_)) | Err(EngineError::NoContainer) => return Ok(false),
            Err(error) => Err(error),
        };
        match started {
            // It may have been started before the engine went away.
            Err(error) if error.is_passing() => sleep(PAUSE).await,
            started => return started.map(|()| true),
        }
    }
}

/// Waits for the end, and brings it about once the task is to stop (C-310 to C-313).
///
/// An agent that leaves gives nothing to a container in which the program has not `begun`: what is installed there is of no use.
async fn until_ended(
    engine: &Engine,
    id: &str,
    run: &ContainedRun<'_>,
    begun: &CancellationToken,
) -> Result<End, EngineError> {
    let stop = run.stop;
    tokio::select! {
        end = engine.wait(id) => return end,
        () = stop.token().cancelled() => {}
    }
    let grace = run.grace.max(LEAST_GRACE);
    let asked = async {
        loop {
            match timeout(grace + END, engine.stop(id, grace)).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "could not stop the container, trying again");
                }
                Err(_) => tracing::warn!("the engine does not stop the container, trying again"),
            }
            sleep(PAUSE).await;
        }
    };
    let is_leaving = stop.is_leaving();
    let is_late = async {
        match (is_leaving, begun.is_cancelled()) {
            (true, true) => sleep(grace + URGENCY).await,
            (true, false) => sleep(URGENCY).await,
            (false, _) => std::future::pending().await,
        }
    };
    let patience = if is_leaving { URGENCY } else { END };
    let is_killed = tokio::select! {
        biased;
        () = stop.hurried().cancelled() => true,
        () = is_late => true,
        () = asked => false,
    };
    if is_killed {
        match timeout(patience, engine.kill(id)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not kill the container"),
            Err(_) => tracing::warn!("the engine does not kill the container"),
        }
    }
    let late = || EngineError::Lost("the container that was killed does not end".to_owned());
    timeout(patience, engine.wait(id))
        .await
        .unwrap_or_else(|_| Err(late()))
}

fn ended(end: Result<End, EngineError>, has_begun: bool) -> Outcome {
    match end {
        Ok(end) => end::outcome(&end, has_begun),
        Err(EngineError::NoContainer) => Outcome::Failed {
            code: 137,
            why: "somebody has removed the container".to_owned(),
        },
        Err(error) => Outcome::Failed {
            code: 125,
            why: error.to_string(),
        },
    }
}

/// The final status that the agent in the container has set itself, as a code: its own is 0 whatever became of the program
/// (C-305). None where it has set none.
async fn reported(server: &TaskServer) -> Option<i32> {
    let task = server.with_deadline(END).status_only().await.ok()?;
    match task.and_then(|task| task.status) {
        Some(TaskStatus::InProgress) => None,
        Some(TaskStatus::Failed) => Some(1),
        Some(TaskStatus::Stopped) => Some(-2),
        _ => Some(0),
    }
}

fn said(failure: NotContained, run: &ContainedRun<'_>) -> Outcome {
    let mut text = format!("\nclearml_agent: ERROR: {}", failure.message());
    if let Some(hint) = &failure.hint {
        text = format!("{text}\nhint: {hint}");
    }
    run.streams.output.line(format!("{text}\n"));
    match failure.outcome {
        // Whoever reads the status knows why, as with what the engine refuses.
        Outcome::NotStarted { reason, .. } => Outcome::Failed {
            code: 1,
            why: reason,
        },
        outcome => outcome,
    }
}

fn unreadable(output: &Path, error: &std::io::Error) -> Outcome {
    Outcome::Failed {
        code: 125,
        why: format!("could not open `{}`: {error}", output.display()),
    }
}
