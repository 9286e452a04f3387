//! One bare mirror for each remote under `<vcs_cache>/mirrors/`, shared by all agents of the machine (E-056 to E-059).
//!
//! Objects never leave a mirror while it stands (no gc), because checkouts share them. Entries of an official agent
//! lie beside `mirrors/` in another layout and are left alone.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::{Repository, RepositoryInitOptions};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::credentials::CredentialSource;
use super::fetch::{self, Fetcher};
use super::request::{CodeRequest, Revision, SourceOptions};
use super::rewrite::Remote;
use super::{SourceError, blocking, checkout};
use crate::process::Output;
use crate::storage::{FileLock, LockKind};

/// How long a mirror that somebody else fills is waited for (E-057).
const LOCK_LIMIT: Duration = Duration::from_mins(5);

/// No object goes while checkouts may share it. A pack comes whole or not at all, where loose objects of a fetch that
/// was killed may lack what they name.
const MIRROR_SETTINGS: &str = "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[fetch]\n\tunpackLimit = 1\n[transfer]\n\tunpackLimit = 1\n";

/// A mirror that holds the wanted revision, if the remote has it.
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) path: PathBuf,
    /// Keeps the mirror from being replaced until the checkout is done.
    _lock: Option<FileLock>,
}

/// What became of the wish for the shared mirror.
enum Obtained {
    Mirror(Mirror),
    /// Somebody else has been filling it for too long.
    TimedOut,
    /// The cache cannot be written, or its file system has no locks.
    Unusable(io::Error),
}

/// Where mirrors are kept, and what they are kept for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) remote: &'a Remote,
    pub(super) revision: &'a Revision,
    /// Folder for a mirror of this run alone; goes with the checkout.
    pub(super) private_folder: &'a Path,
}

impl Mirror {
    /// Gives a mirror with the wanted revision, fetching where that is needed.
    pub(super) async fn prepare(
        wanted: &Wanted<'_>,
        options: &SourceOptions,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Self, SourceError> {
        let fetcher = Fetcher::new(wanted.remote, options, output, cancel)?;
        let private = wanted
            .private_folder
            .join(format!(".{}.mirror", wanted.remote.url.folder_name()));
        if !options.cache_enabled {
            return Self::private(private, wanted, &fetcher, output).await;
        }
        output.line(format!(
            "INFO: acquiring [timeout={}s] lock for repo cache folder",
            LOCK_LIMIT.as_secs()
        ));
        let path = place(options, wanted.remote);
        let reason =
            match Self::shared(path.clone(), wanted, &fetcher, options, output, cancel).await? {
                Obtained::Mirror(mirror) => return Ok(mirror),
                Obtained::TimedOut => format!("timeout {} sec", LOCK_LIMIT.as_secs()),
                Obtained::Unusable(error) => error.to_string(),
            };
        output.line(format!(
            "Could not lock cache folder \"{}\" ({reason}), using temp vcs cache.",
            path.display()
        ));
        Self::private(private, wanted, &fetcher, output).await
    }

    async fn private(
        path: PathBuf,
        wanted: &Wanted<'_>,
        fetcher: &Fetcher<'_>,
        output: &Output,
    ) -> Result<Self, SourceError> {
        output.line(format!("cloning: {}", wanted.remote.task_url));
        output.line("");
        fill(&path, wanted, fetcher, output).await?;
        Ok(Self { path, _lock: None })
    }

    /// The mirror that all agents of the machine share.
    async fn shared(
        path: PathBuf,
        wanted: &Wanted<'_>,
        fetcher: &Fetcher<'_>,
        options: &SourceOptions,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Obtained, SourceError> {
        let folder = options.cache_folder.join("mirrors");
        if let Err(error) = fs::create_dir_all(&folder) {
            return Ok(Obtained::Unusable(error));
        }
        let lock_path = path.with_extension("lock");
        let is_warm_already = is_warm(&path, wanted);
        // What is there already is used even while somebody fetches more into it.
        let limit = if is_warm_already {
            Duration::ZERO
        } else {
            LOCK_LIMIT
        };
        let lock = match obtain(
            FileLock::acquire(&lock_path, LockKind::Shared, limit),
            cancel,
        )
        .await?
        {
            Ok(lock) => lock,
            Err(error) => return Ok(Obtained::Unusable(error)),
        };
        if is_warm_already || (lock.is_some() && is_warm(&path, wanted)) {
            announce_hit(&path, output);
            return Ok(Obtained::Mirror(Self { path, _lock: lock }));
        }
        let Some(lock) = lock else {
            return Ok(Obtained::TimedOut);
        };
        let lock = match obtain(lock.exchange(LockKind::Exclusive, LOCK_LIMIT), cancel).await? {
            Ok(Some(lock)) => lock,
            Ok(None) => return Ok(Obtained::TimedOut),
            Err(error) => return Ok(Obtained::Unusable(error)),
        };
        // Whoever held the lock until now may have fetched it.
        if is_warm(&path, wanted) {
            announce_hit(&path, output);
        } else if is_filled(&path) {
            output.line(format!("Using cached repository in \"{}\"", path.display()));
            let pulled = fill(&path, wanted, fetcher, output).await;
            match pulled {
                Err(error @ SourceError::Unreachable { .. }) => {
                    output.line(format!("git pull failed: {error}"));
                    if !options.clone_on_pull_fail {
                        return Err(error);
                    }
                    output.line(format!(
                        "pulling git failed, re-cloning: {}",
                        wanted.remote.task_url
                    ));
                    replace(&path, wanted, fetcher, output).await?;
                }
                pulled => pulled?,
            }
        } else {
            output.line(format!("cloning: {}", wanted.remote.task_url));
            output.line("");
            if let Err(error) = fill(&path, wanted, fetcher, output).await {
                // An empty mirror would count as a clone that is there.
                let _ = fs::remove_dir_all(&path);
                return Err(error);
            }
        }
        let lock = obtain(lock.exchange(LockKind::Shared, LOCK_LIMIT), cancel).await?;
        Ok(Obtained::Mirror(Self {
            path,
            _lock: lock.ok().flatten(),
        }))
    }
}

/// Waits for a lock as long as the task is wanted.
async fn obtain(
    lock: impl Future<Output = io::Result<Option<FileLock>>>,
    cancel: &CancellationToken,
) -> Result<io::Result<Option<FileLock>>, SourceError> {
    tokio::select! {
        lock = lock => Ok(lock),
        () = cancel.cancelled() => Err(SourceError::Cancelled),
    }
}

/// E-056: the remote without password decides, so that a changed password does not mean another copy.
fn entry_name(remote: &Remote) -> String {
    let digest = Sha256::digest(remote.url.to_string());
    let mut id = String::new();
    for byte in digest.iter().take(16) {
        // Writing to a string cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    // A file name has 255 bytes at most.
    let name: String = remote.url.folder_name().chars().take(50).collect();
    format!("{}.{id}.git", name.trim_end_matches(".git"))
}

/// Where the mirror of `remote` is, or would be.
pub(super) fn place(options: &SourceOptions, remote: &Remote) -> PathBuf {
    let folder = options.cache_folder.join("mirrors");
    folder.join(entry_name(remote))
}

/// True where the code of `request` would be taken from the mirror at `path` without a network call.
pub(super) fn is_cached(path: &Path, remote: &Remote, request: &CodeRequest) -> bool {
    let wanted = Wanted {
        remote,
        revision: &request.revision(),
        private_folder: path,
    };
    is_warm(path, &wanted)
}

/// True where no network call is needed: the very commit is there.
///
/// A password in the task's URL is checked by the server each time: what others fetched is not for who guesses a URL.
fn is_warm(path: &Path, wanted: &Wanted<'_>) -> bool {
    let is_embedded = wanted
        .remote
        .credentials
        .as_ref()
        .is_some_and(|pair| pair.source == CredentialSource::Url);
    match wanted.revision {
        Revision::Commit(id) if !is_embedded => has_commit(path, *id),
        _ => false,
    }
}

fn has_commit(path: &Path, id: git2::Oid) -> bool {
    Repository::open_bare(path)
        .and_then(|repository| repository.find_object(id, None)?.peel_to_commit().map(drop))
        .is_ok()
}

/// True where a fetch has been completed once.
fn is_filled(path: &Path) -> bool {
    let any =
        |repository: Repository| Ok(repository.references()?.names().flatten().next().is_some());
    Repository::open_bare(path).and_then(any).unwrap_or(false)
}

fn announce_hit(path: &Path, output: &Output) {
    output.line(format!("Using cached repository in \"{}\"", path.display()));
    output.line("the commit is in the cache, nothing to pull");
}

async fn fill(
    path: &Path,
    wanted: &Wanted<'_>,
    fetcher: &Fetcher<'_>,
    output: &Output,
) -> Result<(), SourceError> {
    output.line("pulling git");
    let (folder, url) = (path.to_owned(), wanted.remote.url.to_string());
    blocking(move || initialise(&folder, &url)).await?;
    fetch(path, wanted, fetcher).await?;
    output.line("pulling git completed");
    Ok(())
}

/// A commit is asked for by its id first; what the server does not give so, comes with all branches (E-033, E-034).
async fn fetch(path: &Path, wanted: &Wanted<'_>, fetcher: &Fetcher<'_>) -> Result<(), SourceError> {
    let Revision::Commit(id) = wanted.revision else {
        return fetcher.fetch_branches(path, wanted.revision).await;
    };
    let is_alone = fetcher.may_fetch_commits();
    if is_alone && fetcher.fetch_commit(path, *id).await? && has_commit(path, *id) {
        return Ok(());
    }
    fetcher.fetch_branches(path, wanted.revision).await?;
    if !is_alone && !has_commit(path, *id) {
        // Whether it came is for the checkout to say.
        fetcher.fetch_commit(path, *id).await?;
    }
    Ok(())
}

/// Puts a new mirror in the place of one that cannot be fetched into any more; checkouts that share its objects find
/// those that the remote still has.
async fn replace(
    path: &Path,
    wanted: &Wanted<'_>,
    fetcher: &Fetcher<'_>,
    output: &Output,
) -> Result<(), SourceError> {
    let (fresh, old) = (path.with_extension("new"), path.with_extension("old"));
    for leftover in [&fresh, &old] {
        remove_folder(leftover)?;
    }
    if let Err(error) = fill(&fresh, wanted, fetcher, output).await {
        let _ = fs::remove_dir_all(&fresh);
        return Err(error);
    }
    fs::rename(path, &old).map_err(SourceError::file("replace", path))?;
    fs::rename(&fresh, path).map_err(SourceError::file("replace", path))?;
    remove_folder(&old)
}

/// Removes a folder with all that is in it; one that is not there is no error.
pub(super) fn remove_folder(path: &Path) -> Result<(), SourceError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SourceError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Makes the mirror, or brings the address in one that is there up to date.
pub(super) fn initialise(path: &Path, url: &str) -> Result<(), SourceError> {
    if let Ok(repository) = Repository::open_bare(path)
        && let Ok(is_same) = repository
            .find_remote("origin")
            .map(|remote| remote.url().is_ok_and(|own| own == url))
    {
        let update = || {
            if is_same {
                Ok(())
            } else {
                repository.remote_set_url("origin", url)
            }
        };
        return update().map_err(SourceError::git("configure the mirror"));
    }
    // What a crash left is no repository; nothing can share objects with it.
    remove_folder(path)?;
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false).mkpath(true);
    Repository::init_opts(path, &options).map_err(SourceError::git("make the mirror"))?;
    let settings = checkout::remote_settings(url, &fetch::REFSPECS) + MIRROR_SETTINGS;
    checkout::append_settings(path, &settings)
        .map_err(SourceError::file("write", path.join("config")))
}
