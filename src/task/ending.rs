//! How a task ended, in the one word that its supervisor has for its worker: an exit code.

use super::outcome::{FinalStatus, Outcome};

/// How a task ended, as far as its worker knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// Its program said that all is well.
    Completed,
    /// Its program failed, or was never started.
    Failed,
    /// Somebody stopped it.
    Stopped,
    /// Its supervisor was killed, or its machine restarted, and the program with it.
    Lost,
    /// Nobody has told the worker: its supervisor was of an earlier release, or ended before it was asked.
    Unknown,
}

impl Ending {
    /// All, in the order in which they are counted.
    pub const ALL: [Self; 5] = [
        Self::Completed,
        Self::Failed,
        Self::Stopped,
        Self::Lost,
        Self::Unknown,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
        }
    }

    /// That of this outcome.
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Lost | Outcome::Restarted => return Self::Lost,
            // Its own agent knows more.
            Outcome::Reported(_) => return Self::Unknown,
            _ => {}
        }
        match outcome.settlement().call {
            Some(FinalStatus::Completed(_)) => Self::Completed,
            Some(FinalStatus::Failed(_)) => Self::Failed,
            Some(FinalStatus::Stopped(_)) | None => Self::Stopped,
        }
    }

    /// With which a supervisor ends that has settled its run; 1 and 2 mean that it has not.
    pub fn code(self) -> u8 {
        match self {
            Self::Completed => 0,
            Self::Failed => 3,
            Self::Stopped => 4,
            Self::Lost => 5,
            Self::Unknown => 6,
        }
    }

    /// What this exit code of a supervisor means.
    pub fn of_code(code: Option<i32>) -> Self {
        let is_it = |ending: &Self| code == Some(i32::from(ending.code()));
        Self::ALL.into_iter().find(is_it).unwrap_or(Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::StopReason;

    #[test]
    fn the_worker_learns_how_a_task_ended() {
        let cases = [
            (Outcome::Exited(0), "completed"),
            (Outcome::Exited(3), "failed"),
            (Outcome::not_started("no"), "failed"),
            (Outcome::Exited(-2), "stopped"),
            (Outcome::Aborted, "stopped"),
            (Outcome::Stopped(StopReason::Stopped), "stopped"),
            (Outcome::Stopped(StopReason::Reset), "stopped"),
            (Outcome::Lost, "lost"),
            (Outcome::Restarted, "lost"),
        ];
        for (outcome, name) in cases {
            let code = Ending::of(&outcome).code();
            assert_eq!(Ending::of_code(Some(i32::from(code))).name(), name);
        }
        assert_eq!(Ending::of_code(Some(101)), Ending::Unknown);
        assert_eq!(Ending::of_code(None), Ending::Unknown);
    }
}
