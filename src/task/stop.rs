//! One way to end a task early: the first cause counts, everybody else sees the token.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::outcome::Outcome;

/// Cancelled once, with its cause.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    token: CancellationToken,
    cause: Arc<OnceLock<Outcome>>,
}

impl Stop {
    /// Ends the task because of `cause`, unless another cause was first.
    pub(super) fn because(&self, cause: Outcome) {
        // The first cause is the one that is reported.
        let _ = self.cause.set(cause);
        self.token.cancel();
    }

    /// The token that everything which the task waits for listens to.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Why the task is ended; none while it may run.
    pub(super) fn cause(&self) -> Option<&Outcome> {
        self.cause.get()
    }
}
