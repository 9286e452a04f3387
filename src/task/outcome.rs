//! How a task ended, and the one function that turns it into the server's calls and the console's line (D 5.6).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The reason of a task whose agent was told to end by a signal (D-295).
pub const USER_ABORT: &str = "user abort";
/// The code of a program that SIGINT has ended.
const INTERRUPTED: i32 = -2;
/// The reason of a task whose supervisor was killed.
const LOST: &str = "the agent process was lost";
/// The reason of a task whose machine was restarted.
const RESTARTED: &str = "agent host restarted";

/// Why a running task is stopped from outside; the numbers are those of the log event (D-228 to D-232).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum StopReason {
    /// The task was marked failed.
    Exception = 4,
    /// The task was deleted.
    NotFound = 5,
    /// The task was reset.
    Reset = 2,
    /// The task's status was changed by somebody else.
    StatusChanged = 3,
    /// A user pressed abort: `tasks.stop`.
    Stopped = 1,
}

impl StopReason {
    /// The line that goes to the task's log before it is stopped (D-235).
    pub fn event(self) -> String {
        let who = if self == Self::Exception {
            "Task failed"
        } else {
            "User aborted"
        };
        format!("{who}: stopping task ({}) {self}\n", self as u8)
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exception => "exception",
            Self::NotFound => "not_found",
            Self::Reset => "reset",
            Self::StatusChanged => "status_changed",
            Self::Stopped => "stopped",
        })
    }
}

/// The single end of a task.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Outcome {
    /// The agent was told to end: SIGTERM, Ctrl-C, `--stop`.
    Aborted,
    /// The program ended by itself; death by signal n is -n.
    Exited(i32),
    /// It did not end well, and the exit code alone does not say why.
    Failed {
        /// The code.
        code: i32,
        /// Why, in words for the user.
        why: String,
    },
    /// The agent's own process was killed, and the program with it.
    Lost,
    /// The program was never started.
    NotStarted {
        /// What was said on the console.
        message: String,
        /// The reason of the task's status where no daemon gives one (E-008).
        reason: String,
    },
    /// It ran in a container whose own agent has said everything about it (C-322).
    Reported(i32),
    /// The machine was restarted, and the program did not outlive that.
    Restarted,
    /// The task was stopped from outside.
    Stopped(StopReason),
}

/// The calls and lines that settle a task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settlement {
    /// Last line of the task's log, without a line feed; none where the user has set the status.
    pub event: Option<String>,
    /// Status to set.
    pub call: Option<FinalStatus>,
    /// The agent's own line about the end (D-248), without the task's id in front.
    pub exit: ExitLine,
}

/// A final status with its reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FinalStatus {
    /// `tasks.completed`.
    Completed(String),
    /// `tasks.failed`.
    Failed(String),
    /// `tasks.stopped`.
    Stopped(String),
}

/// What the agent's console says after the task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExitLine {
    /// `(failed)`: the code is known to who has reported it.
    Failed,
    /// `exit status <code>`.
    Status(i32),
    /// `(user aborted)`.
    UserAborted,
}

impl Outcome {
    /// The program was never started, because of `message`; its first line is the reason.
    pub fn not_started(message: impl Into<String>) -> Self {
        let message = message.into();
        let reason = message.lines().next().unwrap_or_default().trim().to_owned();
        Self::NotStarted { message, reason }
    }

    /// What is to be said and set for this end (D-239 to D-244, D-246).
    pub fn settlement(&self) -> Settlement {
        let settle = |event: &str, call, exit| Settlement {
            event: Some(event.to_owned()),
            call: Some(call),
            exit,
        };
        match self {
            Self::Exited(0) => settle(
                "Process completed successfully",
                FinalStatus::Completed("worker execution done".to_owned()),
                ExitLine::Status(0),
            ),
            Self::Exited(INTERRUPTED) => settle(
                "Process terminated by user",
                FinalStatus::Stopped(USER_ABORT.to_owned()),
                ExitLine::Status(INTERRUPTED),
            ),
            Self::Exited(code) => failed(*code),
            Self::Failed { code, why } => Settlement {
                event: Some(format!(
                    "Process failed, exit code {code}: {}",
                    why.lines().next().unwrap_or_default()
                )),
                call: Some(FinalStatus::Failed(format!(
                    "worker execution exit code {code}: {why}"
                ))),
                ..failed(*code)
            },
            Self::NotStarted { .. } => failed(1),
            Self::Lost => gone(LOST),
            Self::Restarted => gone(RESTARTED),
            Self::Aborted => settle(
                "Process terminated by user",
                FinalStatus::Stopped(USER_ABORT.to_owned()),
                ExitLine::UserAborted,
            ),
            Self::Stopped(StopReason::Stopped) => settle(
                "Process aborted by user",
                FinalStatus::Stopped("task was stopped by tasks.stop".to_owned()),
                ExitLine::UserAborted,
            ),
            Self::Reported(code) => Settlement {
                event: None,
                call: None,
                exit: match *code {
                    0 => ExitLine::Status(0),
                    INTERRUPTED => ExitLine::UserAborted,
                    _ => ExitLine::Failed,
                },
            },
            Self::Stopped(_) => Settlement {
                event: None,
                call: None,
                exit: ExitLine::UserAborted,
            },
        }
    }

    /// Why the task is gone with its agent, where it is: nobody has ended it, and its own code has not failed.
    pub fn loss(&self) -> Option<&'static str> {
        match self {
            Self::Lost => Some(LOST),
            Self::Restarted => Some(RESTARTED),
            _ => None,
        }
    }

    /// The exit code of `execute` (D-060, E-276).
    pub fn exit_code(&self) -> u8 {
        let code = match self {
            Self::Exited(code) | Self::Failed { code, .. } | Self::Reported(code) => *code,
            Self::Lost | Self::NotStarted { .. } | Self::Restarted => 1,
            Self::Aborted | Self::Stopped(_) => -2,
        };
        code.to_le_bytes()[0]
    }
}

fn gone(reason: &str) -> Settlement {
    Settlement {
        event: Some(format!(
            "Process failed, {reason} (hint: enqueue the task again; `agent.requeue_on_agent_loss: true` does that by itself)"
        )),
        call: Some(FinalStatus::Failed(reason.to_owned())),
        exit: ExitLine::Status(1),
    }
}

fn failed(code: i32) -> Settlement {
    Settlement {
        event: Some(format!("Process failed, exit code {code}")),
        call: Some(FinalStatus::Failed(format!(
            "worker execution exit code {code}"
        ))),
        exit: ExitLine::Status(code),
    }
}

impl fmt::Display for ExitLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed => f.write_str(" (failed)"),
            Self::Status(code) => write!(f, ", exit status {code}"),
            Self::UserAborted => f.write_str(" (user aborted)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D-239, D-241
    #[test]
    fn exit_codes_become_statuses() {
        let done = Outcome::Exited(0).settlement();
        assert_eq!(
            done.event.as_deref(),
            Some("Process completed successfully")
        );
        assert_eq!(
            done.call,
            Some(FinalStatus::Completed("worker execution done".to_owned()))
        );
        let killed = Outcome::Exited(-9).settlement();
        assert_eq!(
            killed.event.as_deref(),
            Some("Process failed, exit code -9")
        );
        assert_eq!(
            killed.call,
            Some(FinalStatus::Failed(
                "worker execution exit code -9".to_owned()
            ))
        );
        assert_eq!(killed.exit.to_string(), ", exit status -9");
    }

    /// D-240
    #[test]
    fn a_program_that_was_interrupted_was_stopped() {
        let ended = Outcome::Exited(-2).settlement();
        assert_eq!(ended.event.as_deref(), Some("Process terminated by user"));
        assert_eq!(
            ended.call,
            Some(FinalStatus::Stopped("user abort".to_owned()))
        );
        assert_eq!(ended.exit.to_string(), ", exit status -2");
    }

    /// D-246: a script that ends with 254 has failed; it was not aborted.
    #[test]
    fn code_254_of_a_script_is_a_failure() {
        let ended = Outcome::Exited(254).settlement();
        assert_eq!(
            ended.call,
            Some(FinalStatus::Failed(
                "worker execution exit code 254".to_owned()
            ))
        );
    }

    /// D-242, D-244
    #[test]
    fn a_status_that_a_user_has_set_stays() {
        let aborted = Outcome::Stopped(StopReason::Stopped).settlement();
        assert_eq!(
            aborted.call,
            Some(FinalStatus::Stopped(
                "task was stopped by tasks.stop".to_owned()
            ))
        );
        for reason in [
            StopReason::Reset,
            StopReason::StatusChanged,
            StopReason::Exception,
            StopReason::NotFound,
        ] {
            let settlement = Outcome::Stopped(reason).settlement();
            assert_eq!(
                (settlement.event, settlement.call),
                (None, None),
                "{reason}"
            );
        }
    }

    /// D-248: of a service, whose agent has said the rest.
    #[test]
    fn a_service_that_has_failed_is_not_called_done() {
        for (code, expected) in [
            (0, ", exit status 0"),
            (1, " (failed)"),
            (-2, " (user aborted)"),
        ] {
            let ended = Outcome::Reported(code).settlement();
            assert_eq!((ended.event, ended.call), (None, None));
            assert_eq!(ended.exit.to_string(), expected);
        }
    }

    /// D-235
    #[test]
    fn the_stop_event_names_number_and_reason() {
        assert_eq!(
            StopReason::Stopped.event(),
            "User aborted: stopping task (1) stopped\n"
        );
        assert_eq!(
            StopReason::Exception.event(),
            "Task failed: stopping task (4) exception\n"
        );
    }

    /// D-060
    #[test]
    fn death_by_signal_is_256_minus_the_signal() {
        assert_eq!(Outcome::Exited(-9).exit_code(), 247);
        assert_eq!(Outcome::Exited(3).exit_code(), 3);
        assert_eq!(Outcome::Aborted.exit_code(), 254);
    }
}
