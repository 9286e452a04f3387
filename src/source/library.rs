//! Fetching by libgit2, from a path of this machine or along a road to a server.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git2::{
    AutotagOption, Direction, ErrorClass, ErrorCode, FetchOptions, Oid, RemoteCallbacks,
    RemoteUpdateFlags, Repository,
};
use tokio_util::sync::CancellationToken;

use super::error::FetchFailure;
use super::fetch::commit_refspec;
use super::transport::pave;
use crate::ui::Activity;

/// Between two words about how far it has come.
const TELLING: Duration = Duration::from_millis(100);

/// What to bring into a mirror.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) mirror: PathBuf,
    /// A path of this machine, which must exist.
    pub(super) path: Option<String>,
    /// One commit with its history and the tags in it; none means all branches and tags.
    pub(super) commit: Option<Oid>,
    /// That many commits of each history; none means all.
    pub(super) depth: Option<i32>,
}

impl Fetch {
    /// Fetches; blocks.
    pub(super) fn carry_out(
        &self,
        activity: &Activity,
        cancel: &CancellationToken,
    ) -> Result<(), git2::Error> {
        pave();
        let repository = Repository::open_bare(&self.mirror)?;
        let mut remote = repository.find_remote("origin")?;
        // libgit2 looks for the path itself, whatever `url.<base>.insteadOf` says of the URL.
        if let Some(path) = &self.path
            && !Path::new(path).exists()
        {
            return Err(git2::Error::new(
                ErrorCode::NotFound,
                ErrorClass::Repository,
                format!("'{path}' does not exist"),
            ));
        }
        let mut callbacks = RemoteCallbacks::new();
        let mut told = Instant::now();
        callbacks.transfer_progress(|progress| {
            // It is called for each object.
            if told.elapsed() > TELLING {
                told = Instant::now();
                activity.progress(format!(
                    "{} of {} objects, {} MB",
                    progress.received_objects(),
                    progress.total_objects(),
                    progress.received_bytes() / 1_000_000
                ));
            }
            !cancel.is_cancelled()
        });
        let mut options = FetchOptions::new();
        options.remote_callbacks(callbacks);
        if let Some(depth) = self.depth {
            options.depth(depth);
        }
        remote.connect(Direction::Fetch)?;
        if let Some(id) = self.commit {
            options.download_tags(AutotagOption::Auto);
            remote.download(&[commit_refspec(id)], Some(&mut options))?;
            remote.update_tips(None, RemoteUpdateFlags::empty(), AutotagOption::Auto, None)?;
            return remote.disconnect();
        }
        options.download_tags(AutotagOption::None);
        remote.download(&[] as &[&str], Some(&mut options))?;
        let default_branch = remote.default_branch().ok();
        // Before the new names: a branch `a` that has gone stands in the way of a branch `a/b`.
        remote.prune(None)?;
        remote.update_tips(None, RemoteUpdateFlags::empty(), AutotagOption::None, None)?;
        remote.disconnect()?;
        if let Some(branch) = default_branch.as_ref().and_then(|name| name.as_str().ok()) {
            repository.set_head(branch)?;
        }
        Ok(())
    }
}

/// libgit2's transports keep the message of an error and lose its code.
pub(super) fn failure(error: &git2::Error) -> FetchFailure {
    match error.code() {
        ErrorCode::NotFound => FetchFailure::DoesNotExist,
        ErrorCode::Owner => FetchFailure::ForeignOwner,
        _ => FetchFailure::of_message(error.message()),
    }
}
