//! Watches the task on the server while it runs: aborts, resets, deletion (D 5.4), liveness (D-202).

use std::time::{Duration, Instant};

use serde_json::Value;

use super::outcome::{Outcome, StopReason};
use super::server::TaskServer;
use super::stop::Stop;
use crate::api::{ApiError, Task, TaskId, TaskStatus};
use crate::logs::{Level, Speaker, UploadHandle};

/// Observations of a reset task that are tolerated, since the server may be in the middle of a change (D-231).
const TOLERATED_RESETS: u32 = 4;

/// How a task is watched.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// Between two looks (D-214).
    pub interval: Duration,
    /// Between two pings; none: no pings (D-202).
    pub ping: Option<Duration>,
    /// The longest time that a program gets to react to an abort (D-251).
    pub callback_limit: Duration,
}

/// What the server's answer means for a running task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Continue,
    Reset,
    Stop(StopReason),
}

/// The watcher of one running task.
#[derive(Debug)]
pub(super) struct Watch {
    server: TaskServer,
    options: WatchOptions,
    log: UploadHandle,
    console: Speaker,
    stop: Stop,
}

impl Watch {
    /// A watcher that ends the task through `stop`.
    pub(super) fn new(
        server: TaskServer,
        options: WatchOptions,
        log: UploadHandle,
        console: Speaker,
        stop: Stop,
    ) -> Self {
        Self {
            server,
            options,
            log,
            console,
            stop,
        }
    }

    /// Watches until the task is to be stopped, and says why.
    pub(super) async fn run(self) {
        let mut resets = 0;
        let mut pinged: Option<Instant> = None;
        loop {
            // A question that was not answered says nothing about the task (D-234).
            let verdict = self
                .server
                .status()
                .await
                .map_or(Verdict::Continue, |task| judge(task.as_ref()));
            if self.server.is_taken() {
                self.console.say(taken(self.server.task()));
                self.stop
                    .because(Outcome::Stopped(StopReason::StatusChanged));
                return;
            }
            let reason = match verdict {
                Verdict::Continue => {
                    resets = 0;
                    None
                }
                Verdict::Reset if resets < TOLERATED_RESETS => {
                    resets += 1;
                    self.warn_of_reset(resets);
                    None
                }
                Verdict::Reset => Some(StopReason::Reset),
                Verdict::Stop(reason) => Some(reason),
            };
            if let Some(reason) = reason {
                self.let_the_program_react(reason).await;
                self.notice(Level::Error, reason.event());
                self.stop.because(Outcome::Stopped(reason));
                return;
            }
            if let Some(interval) = self.options.ping
                && pinged.is_none_or(|at| at.elapsed() >= interval)
            {
                pinged = Some(Instant::now());
                if let Err(error) = self.server.ping().await {
                    tracing::info!(%error, "could not ping the task");
                }
            }
            tokio::time::sleep(self.options.interval).await;
        }
    }

    fn warn_of_reset(&self, resets: u32) {
        self.notice(
            Level::Warning,
            format!(
                "Warning: Task {} was reset! if state is consistent we shall terminate ({resets}/{TOLERATED_RESETS}).",
                self.server.task()
            ),
        );
    }

    /// Waits for the abort callback that the program has registered, if it has (D-251).
    async fn let_the_program_react(&self, reason: StopReason) {
        if reason == StopReason::NotFound {
            return;
        }
        let Some(limit) = self
            .callback()
            .await
            .ok()
            .and_then(|callback| callback.limit(self.options.callback_limit))
        else {
            return;
        };
        let started = Instant::now();
        let seconds = limit.as_secs();
        self.notice(
            Level::Info,
            format!("### Task abort callback timeout set, waiting for max {seconds} sec ###\n"),
        );
        loop {
            let elapsed = started.elapsed();
            if self
                .callback()
                .await
                .is_ok_and(|callback| callback.completed)
            {
                let elapsed = elapsed.as_secs_f64();
                self.notice(
                    Level::Info,
                    format!("### Task abort callback completed in {elapsed:.2} seconds ###\n"),
                );
                return;
            }
            if elapsed >= limit {
                let elapsed = elapsed.as_secs_f64();
                let elapsed = format!("elapsed: {elapsed:.2}");
                self.notice(
                    Level::Info,
                    format!(
                        "### Task abort callback timed out [timeout: {seconds}, {elapsed}] ###\n"
                    ),
                );
                return;
            }
            tokio::time::sleep(self.options.interval.min(limit.saturating_sub(elapsed))).await;
        }
    }

    /// A line for the task's log and for the agent's console (D-226).
    fn notice(&self, level: Level, line: String) {
        self.console.say(line.trim_end());
        self.log.notice(level, line);
    }

    async fn callback(&self) -> Result<Callback, ApiError> {
        let task = self.server.abort_callback().await?;
        Ok(task.as_ref().map(Callback::of).unwrap_or_default())
    }
}

/// Said on the agent's console alone: the task's own is another run's.
pub(super) fn taken(task: &TaskId) -> String {
    format!(
        "Task '{task}' was begun again by another run; this one ends, and leaves the task to it"
    )
}

/// What a program has registered for the case of an abort (D-250).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Callback {
    timeout: f64,
    poll: f64,
    completed: bool,
}

/// True where the task's abort callback has done its work (D-238).
pub(super) fn has_completed_callback(task: &Task) -> bool {
    Callback::of(task).completed
}

impl Callback {
    fn of(task: &Task) -> Self {
        let number = |key: &str| task.runtime.get(key).and_then(number).unwrap_or(0.0);
        Self {
            timeout: number("_abort_callback_timeout"),
            poll: number("_abort_poll_freq"),
            completed: number("_abort_callback_completed") > 0.0,
        }
    }

    /// How long to wait; none where nothing was registered or it was withdrawn.
    fn limit(self, longest: Duration) -> Option<Duration> {
        if self.timeout <= 0.0 {
            return None;
        }
        let wanted =
            Duration::try_from_secs_f64(self.timeout + self.poll.max(0.0)).unwrap_or(longest);
        Some(wanted.min(longest))
    }
}

/// Runtime values are numbers or their text, as the SDK of the day writes them.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// True where the task was stopped from outside and is still there, so that somebody may react.
pub(super) fn is_stopped(task: Option<&Task>) -> bool {
    matches!(judge(task), Verdict::Stop(reason) if reason != StopReason::NotFound)
}

/// The table of D 5.4.
fn judge(task: Option<&Task>) -> Verdict {
    let Some(task) = task else {
        return Verdict::Stop(StopReason::NotFound);
    };
    match &task.status {
        Some(TaskStatus::InProgress) => {
            let stopping = task
                .status_message
                .as_deref()
                .is_some_and(|message| message.contains("stopping"));
            if stopping {
                Verdict::Stop(StopReason::Stopped)
            } else {
                Verdict::Continue
            }
        }
        Some(
            TaskStatus::Closed | TaskStatus::Stopped | TaskStatus::Published | TaskStatus::Queued,
        ) => Verdict::Stop(StopReason::StatusChanged),
        Some(TaskStatus::Failed) => Verdict::Stop(StopReason::Exception),
        Some(TaskStatus::Created) => Verdict::Reset,
        _ => Verdict::Continue,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(status: &str, message: &str) -> Verdict {
        let task = serde_json::from_value(json!({"status": status, "status_message": message}))
            .expect("a task");
        judge(Some(&task))
    }

    /// D-228, D-229, D-230, D-231, D-232, D-233
    #[test]
    fn the_servers_answer_decides_whether_a_task_goes_on() {
        assert_eq!(verdict("in_progress", ""), Verdict::Continue);
        assert_eq!(
            verdict("in_progress", "task is stopping now"),
            Verdict::Stop(StopReason::Stopped)
        );
        for status in ["closed", "stopped", "published", "queued"] {
            assert_eq!(
                verdict(status, ""),
                Verdict::Stop(StopReason::StatusChanged),
                "{status}"
            );
        }
        assert_eq!(verdict("failed", ""), Verdict::Stop(StopReason::Exception));
        assert_eq!(verdict("created", ""), Verdict::Reset);
        assert_eq!(verdict("completed", "stopping"), Verdict::Continue);
        assert_eq!(verdict("publishing", ""), Verdict::Continue);
        assert_eq!(verdict("something new", ""), Verdict::Continue);
        assert_eq!(judge(None), Verdict::Stop(StopReason::NotFound));
    }

    /// D-250, D-251
    #[test]
    fn a_callback_waits_for_its_timeout_and_poll_but_not_for_ever() {
        let limit = |runtime: Value| {
            let task: Task = serde_json::from_value(json!({ "runtime": runtime })).expect("a task");
            Callback::of(&task)
                .limit(Duration::from_mins(30))
                .map(|limit| limit.as_secs())
        };
        assert_eq!(limit(json!({})), None);
        assert_eq!(limit(json!({"_abort_callback_timeout": -1})), None);
        assert_eq!(
            limit(json!({"_abort_callback_timeout": "180", "_abort_poll_freq": 10})),
            Some(190)
        );
        assert_eq!(limit(json!({"_abort_callback_timeout": 1e9})), Some(1800));
    }
}
