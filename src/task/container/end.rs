//! From the end of a container to the outcome of its task (C 3.2).

use nix::sys::signal::Signal;

use crate::container::engine::{End, EngineError};
use crate::task::outcome::Outcome;

/// The agent inside was ended by a user.
const ABORTED: i64 = 254;
/// `docker run`: the engine could not make the container.
const NOT_MADE: i32 = 125;
/// `docker run`: the command in it cannot be executed.
const NOT_EXECUTABLE: i32 = 126;
/// `docker run`: there is no such command in it.
const NO_COMMAND: i32 = 127;
const KILLED: i64 = 137;
const TERMINATED: i64 = 143;
/// What shells and engines add to the number of a signal that has ended a program.
const BY_SIGNAL: i32 = 128;
const LAST_SIGNAL: i32 = 64;
/// What an engine says of a container that it finds dead when it comes back.
const FOUND_DEAD: i64 = 255;

/// How the task ended whose container ended so; `has_begun` where its program was reached.
pub(super) fn outcome(end: &End, has_begun: bool) -> Outcome {
    let code = i32::try_from(end.code).unwrap_or(NOT_MADE);
    let failed = |why: &str| Outcome::Failed {
        code,
        why: why.to_owned(),
    };
    match end.code {
        ABORTED => Outcome::Exited(-2),
        _ if end.is_out_of_memory && end.code != 0 => failed(
            "out of memory: the container used all that its limit allows (`--memory` in the container's arguments)",
        ),
        0 if !has_begun => Outcome::Failed {
            code: 1,
            why: "the container ended without running the task: does the entrypoint of its image run the arguments that it gets?".to_owned(),
        },
        _ if ended_with_engine(end) => {
            failed("the container engine was restarted, and the container ended with it")
        }
        KILLED if !has_begun => failed("the container was killed before the task ran"),
        _ if !end.error.is_empty() => failed(&end.error),
        _ => Outcome::Exited(code),
    }
}

/// What can be done about it.
pub(super) fn hint(end: &End) -> Option<&'static str> {
    ended_with_engine(end).then_some(
        "with `\"live-restore\": true` in the engine's `daemon.json` containers outlive their engine",
    )
}

/// What can be done where somebody has ended it.
pub(super) const OUTSIDE: &str = "an abort of the task on the server ends its container as well, and the status says that it was aborted";

/// By which signal a container has ended with this code to which the engine was asked to send these.
pub(super) fn killer(code: i32, sent: &[i32]) -> Option<String> {
    let signal = sent.iter().find(|signal| code == BY_SIGNAL + **signal)?;
    Some(match Signal::try_from(*signal) {
        Ok(signal) => signal.to_string(),
        Err(_) => format!("signal {signal}"),
    })
}

/// True where a container that has ended with this code may have been ended by a signal.
pub(super) fn is_by_signal(code: i32) -> bool {
    (BY_SIGNAL + 1..=BY_SIGNAL + LAST_SIGNAL).contains(&code)
}

/// True where the container may have ended so because its machine was restarted since: by its loss of power, or by the engine
/// that stopped it. Other codes are those of a program that had ended before.
pub(super) fn is_by_restart(end: &End) -> bool {
    !end.is_out_of_memory && matches!(end.code, KILLED | TERMINATED | FOUND_DEAD)
}

fn ended_with_engine(end: &End) -> bool {
    end.engine_was_away && !end.is_out_of_memory && matches!(end.code, KILLED | TERMINATED)
}

/// How the task ended whose container could not be made or started, with the code of `docker run`.
pub(super) fn not_started(error: &EngineError) -> Outcome {
    let why = error.to_string();
    let code =
        if why.contains("executable file not found") || why.contains("no such file or directory") {
            NO_COMMAND
        } else if why.contains("permission denied") && why.contains("exec") {
            NOT_EXECUTABLE
        } else {
            NOT_MADE
        };
    Outcome::Failed { code, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::outcome::FinalStatus;

    fn end(code: i64) -> End {
        End {
            code,
            is_out_of_memory: false,
            error: String::new(),
            engine_was_away: false,
        }
    }

    /// C-305
    #[test]
    fn codes_become_outcomes() {
        assert_eq!(outcome(&end(0), true), Outcome::Exited(0));
        assert_eq!(outcome(&end(3), true), Outcome::Exited(3));
        assert_eq!(outcome(&end(137), true), Outcome::Exited(137));
        assert_eq!(outcome(&end(1), false), Outcome::Exited(1));
        let aborted = outcome(&end(254), true).settlement();
        assert_eq!(
            aborted.call,
            Some(FinalStatus::Stopped("user abort".to_owned()))
        );
    }

    #[test]
    fn a_program_that_had_ended_before_was_not_ended_by_a_restart() {
        for (code, is_by_restart) in [
            (0, false),
            (1, false),
            (137, true),
            (143, true),
            (255, true),
        ] {
            assert_eq!(super::is_by_restart(&end(code)), is_by_restart, "{code}");
        }
        let end = End {
            is_out_of_memory: true,
            ..end(137)
        };
        assert!(!super::is_by_restart(&end));
    }

    #[test]
    fn who_was_sent_another_signal_was_not_ended_by_it() {
        let cases = [
            (137, &[15, 9][..], Some("SIGKILL")),
            (143, &[15], Some("SIGTERM")),
            (165, &[37], Some("signal 37")),
            (137, &[10], None),
            (1, &[15], None),
            (137, &[], None),
        ];
        for (code, sent, expected) in cases {
            assert_eq!(killer(code, sent).as_deref(), expected, "{code} {sent:?}");
        }
        assert!(is_by_signal(137) && !is_by_signal(128) && !is_by_signal(254));
    }

    /// C-205
    #[test]
    fn a_container_that_ran_no_task_has_failed() {
        assert!(matches!(
            outcome(&end(0), false),
            Outcome::Failed { code: 1, .. }
        ));
    }

    #[test]
    fn memory_is_named() {
        let end = End {
            is_out_of_memory: true,
            ..end(137)
        };
        let call = outcome(&end, true).settlement().call;
        let Some(FinalStatus::Failed(reason)) = call else {
            panic!("{call:?}")
        };
        assert!(
            reason.starts_with("worker execution exit code 137: out of memory"),
            "{reason}"
        );
    }

    #[test]
    fn errors_of_the_engine_have_the_codes_of_docker_run() {
        for (message, code) in [
            (
                "exec: \"bash\": executable file not found in $PATH: unknown",
                127,
            ),
            ("exec: \"/x\": permission denied: unknown", 126),
            ("port is already allocated", 125),
        ] {
            let error = EngineError::Refused {
                status: 400,
                message: message.to_owned(),
            };
            let outcome = not_started(&error);
            assert!(
                matches!(outcome, Outcome::Failed { code: it, .. } if it == code),
                "{outcome:?}"
            );
        }
    }
}
