//! Notices when the server goes away and comes back: one word each, however many calls try meanwhile (D-167).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::ApiError;

/// Failures that last this long are an outage, also when every call tries only once.
const LASTING: Duration = Duration::from_secs(5);

/// What a session tells its [`Listener`].
#[derive(Debug)]
pub enum SessionEvent<'a> {
    /// A try failed; the next one comes after `wait`.
    Retrying {
        /// The call, for instance `auth.login`.
        call: &'static str,
        /// The number of the retry, from 1.
        retry: u32,
        /// How long the session waits before it.
        wait: Duration,
        /// Why.
        error: &'a ApiError,
        /// True until the first login succeeded; each of these tries deserves a line.
        starting: bool,
    },
    /// The server refuses the credentials; said once until [`SessionEvent::Accepted`].
    Refused {
        /// What it said.
        error: &'a ApiError,
        /// True until the first login succeeded.
        starting: bool,
    },
    /// The server takes the credentials again.
    Accepted {
        /// How long it did not.
        refused: Duration,
    },
    /// The server does not answer; said once until [`SessionEvent::Up`].
    Down {
        /// The failure that decided it.
        error: &'a ApiError,
    },
    /// The server answers again.
    Up {
        /// How long it was away.
        away: Duration,
    },
}

/// Called by the session, from whichever task makes the call; must return quickly.
#[derive(Clone)]
pub struct Listener(Arc<dyn Fn(&SessionEvent<'_>) + Send + Sync>);

impl Listener {
    /// Calls `hear` for each event.
    pub fn new(hear: impl Fn(&SessionEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

#[derive(Debug, Clone, Copy)]
enum Reachability {
    Up,
    /// Failed, but not yet often or long enough to speak of.
    Wavering(Instant),
    Down(Instant),
}

/// Follows all calls of a session.
#[derive(Debug)]
pub(super) struct Outages {
    listener: Option<Listener>,
    state: Mutex<Reachability>,
    refused: Mutex<Option<Instant>>,
}

impl Outages {
    pub(super) fn new(listener: Option<Listener>) -> Self {
        Self {
            listener,
            state: Mutex::new(Reachability::Up),
            refused: Mutex::default(),
        }
    }

    /// True where the last try of a call was answered, and before the first one.
    pub(super) fn is_answering(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*state, Reachability::Up)
    }

    /// The server answered, whatever it said.
    pub(super) fn answered(&self) {
        let before = self.replace(|_| Reachability::Up);
        if let Reachability::Down(since) = before {
            self.tell(&SessionEvent::Up {
                away: since.elapsed(),
            });
        }
    }

    /// The `tries`-th try of a call found no server.
    ///
    /// A second failure in a row of one call decides, if no other call was answered in between: a server
    /// that fails one kind of call only is not away.
    pub(super) fn failed(&self, tries: u32, error: &ApiError) {
        let now = Instant::now();
        let decided = |since: Instant| tries > 1 || now - since >= LASTING;
        let before = self.replace(|state| match state {
            Reachability::Up => Reachability::Wavering(now),
            Reachability::Wavering(since) if decided(since) => Reachability::Down(since),
            other => other,
        });
        if matches!(before, Reachability::Wavering(since) if decided(since)) {
            self.tell(&SessionEvent::Down { error });
        }
    }

    /// A login was refused.
    pub(super) fn refused(&self, error: &ApiError, starting: bool) {
        let mut refusal = self.refusal();
        // It counts from the first.
        if refusal.is_none() {
            *refusal = Some(Instant::now());
            drop(refusal);
            self.tell(&SessionEvent::Refused { error, starting });
        }
    }

    /// A login went well.
    pub(super) fn accepted(&self) {
        let before = self.refusal().take();
        if let Some(since) = before {
            self.tell(&SessionEvent::Accepted {
                refused: since.elapsed(),
            });
        }
    }

    fn refusal(&self) -> MutexGuard<'_, Option<Instant>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, event: &SessionEvent<'_>) {
        if let Some(Listener(hear)) = &self.listener {
            hear(event);
        }
    }

    fn replace(&self, next: impl FnOnce(Reachability) -> Reachability) -> Reachability {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *state;
        *state = next(before);
        before
    }
}
