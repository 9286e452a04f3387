//! One way to end a task early: the first cause counts, everybody else sees the token.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::outcome::Outcome;

/// Cancelled once, with its cause.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    token: CancellationToken,
    hurry: CancellationToken,
    program_ended: CancellationToken,
    cause: Arc<OnceLock<Outcome>>,
}

impl Stop {
    /// Ends the task because of `cause`, unless another cause was first.
    pub(super) fn because(&self, cause: Outcome) {
        // The first cause is the one that is reported.
        let _ = self.cause.set(cause);
        self.token.cancel();
    }

    /// Ends the time that the program has been given to end by itself.
    pub(super) fn hurry(&self) {
        self.hurry.cancel();
    }

    /// Cancelled by [`Stop::hurry`].
    pub(super) fn hurried(&self) -> &CancellationToken {
        &self.hurry
    }

    /// Nothing of the program runs any more, or it never has.
    pub(super) fn program_ended(&self) -> &CancellationToken {
        &self.program_ended
    }

    /// The token that everything which the task waits for listens to.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// The agent itself was told to end: there is little time for everything.
    pub(super) fn is_leaving(&self) -> bool {
        self.cause() == Some(&Outcome::Aborted)
    }

    /// Why the task is ended; none while it may run.
    pub(super) fn cause(&self) -> Option<&Outcome> {
        self.cause.get()
    }
}
