//! Whether a repository can be read with the credentials that tasks would have, without fetching it.

use tokio_util::sync::CancellationToken;

use super::fetch::Fetcher;
use super::request::SourceOptions;
use super::{GitUrl, SourceError};
use crate::process::Output;

/// A repository that can be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reached {
    /// Where it was read, without a password.
    pub url: String,
    /// Its default branch; none where it is empty.
    pub branch: Option<String>,
}

/// Asks the server of `url` for its default branch, as a task with this repository would fetch from it.
pub async fn reach(
    url: &str,
    options: &SourceOptions,
    cancel: &CancellationToken,
) -> Result<Reached, SourceError> {
    let remote = options.rules.resolve(&GitUrl::parse(url.trim()));
    let nowhere = Output::nowhere().map_err(SourceError::file("open", "/dev/null"))?;
    let fetcher = Fetcher::new(&remote, options, &nowhere, cancel)?;
    Ok(Reached {
        branch: fetcher.default_branch().await?,
        url: remote.url.to_string(),
    })
}
