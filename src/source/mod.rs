//! A task's code: git URLs, credentials, mirrors, checkout, diff, scripts without a repository.
//!
//! libgit2 does all that stays on this machine; the installed `git` program does the network, because the user's ssh
//! configuration, credential helpers and proxies are its own (E-292). Where there is no such program, libgit2 does that
//! too, over connections of ours.

mod apply;
mod askpass;
mod checkout;
mod credentials;
mod diff;
mod entry_point;
mod error;
mod fetch;
mod filters;
mod future;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod git;
mod http_transport;
mod known_files;
mod library;
mod literal;
mod mirror;
mod pip_link;
mod prepare;
mod preview;
mod reach;
mod request;
mod rewrite;
mod ssh_transport;
mod submodules;
mod task_init;
#[cfg(test)]
mod tests;
mod transport;
mod url;

pub use askpass::{ASKPASS_MODE, askpass};
pub use credentials::{CredentialRules, CredentialSource, Credentials, Delivery, HostCredentials};
pub use diff::DiffField;
pub use entry_point::Interpreter;
pub use error::{FetchFailure, RevisionKind, SourceError};
pub use http_transport::HttpClients;
pub use known_files::KnownFiles;
pub use pip_link::{PipLink, installer_variables};
pub use prepare::fetch_code;
pub use preview::{CodePreview, RepositoryPreview, ScriptKind};
pub use reach::{Reached, reach};
pub use request::{CheckedOut, Code, CodeRequest, SourceOptions};
pub use rewrite::{Remote, UrlRules};
pub use task_init::add_task_init;
pub use url::GitUrl;

/// Runs libgit2's and the file system's work where it keeps nobody else waiting.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down.
        Err(_) => Err(SourceError::Cancelled),
    }
}
