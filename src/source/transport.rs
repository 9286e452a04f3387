//! libgit2 on the network: its own protocol, over connections that are ours (E-072).
//!
//! libgit2 asks one list for the maker of a connection, whoever fetches. Each fetch lays its road down in its own thread
//! before it connects, and the maker takes it from there.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use git2::transport::Transport;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::error::FetchFailure;
use super::http_transport::{HttpRoad, HttpTransport};
use super::ssh_transport::{SshRoad, SshTransport};
use crate::process::register_git_transport;

/// A way to one server.
#[derive(Debug)]
pub(super) enum Road {
    Http(HttpRoad),
    Ssh(SshRoad),
}

/// How long an answer is waited for, and by whom.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    pub(super) runtime: Handle,
    pub(super) cancel: CancellationToken,
    /// The longest silence.
    pub(super) limit: Duration,
    /// What the matter is, as the road saw it; libgit2 keeps the words of an error and loses its kind.
    pub(super) failure: Arc<OnceLock<FetchFailure>>,
}

thread_local! {
    static ROAD: RefCell<Option<Road>> = const { RefCell::new(None) };
}

/// Makes libgit2 take our roads; every connection is made behind this call, so that none is made while the list changes.
pub(super) fn pave() {
    static PAVED: Once = Once::new();
    PAVED.call_once(|| {
        for scheme in ["http", "https", "ssh"] {
            if let Err(error) = register_git_transport(scheme, connection) {
                tracing::warn!(%error, scheme, "libgit2 takes no connections of ours");
            }
        }
    });
}

/// Does `work`, whose connection goes along `road`; for a thread in which blocking is allowed.
pub(super) fn along<T>(road: Road, work: impl FnOnce() -> T) -> T {
    pave();
    ROAD.set(Some(road));
    let done = work();
    // One that was not used must not wait for somebody else's connection.
    ROAD.take();
    done
}

fn connection(remote: &git2::Remote<'_>) -> Result<Transport, git2::Error> {
    match ROAD.take() {
        Some(Road::Http(road)) => Transport::smart(remote, true, HttpTransport::new(road)),
        Some(Road::Ssh(road)) => Transport::smart(remote, false, SshTransport::new(road)),
        None => Err(git2::Error::from_str("no way leads to this remote")),
    }
}

impl Patience {
    /// Waits for `work` until it is done, the task is stopped, or nothing has come for too long.
    pub(super) fn wait<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let limited = async {
            tokio::select! {
                // `Interrupted` would be tried again.
                () = self.cancel.cancelled() => Err(io::Error::other("the task was stopped")),
                done = tokio::time::timeout(self.limit, work) => done.unwrap_or_else(|_| {
                    Err(self.failed(
                        FetchFailure::NoConnection,
                        format!("the server has been silent for {} seconds", self.limit.as_secs()),
                    ))
                }),
            }
        };
        self.runtime.block_on(limited)
    }

    /// An error with these words, whose kind is remembered; the first one counts.
    pub(super) fn failed(&self, cause: FetchFailure, words: impl Into<String>) -> io::Error {
        // A later failure is what came of the first.
        let _ = self.failure.set(cause);
        io::Error::other(words.into())
    }
}

/// The words of `error` for libgit2.
pub(super) fn as_git_error(error: &io::Error) -> git2::Error {
    git2::Error::new(
        git2::ErrorCode::GenericError,
        git2::ErrorClass::Net,
        error.to_string(),
    )
}
