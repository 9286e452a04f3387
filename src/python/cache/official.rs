//! The folder of cached environments of the official agent: lookup and copy (E-242, E-243).

use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::super::options::CacheOptions;
use super::copy;
use super::key::CacheKey;
use crate::python::relocate::relocate;
use crate::storage::{FileLock, LockKind};

/// Not part of the environment: the code of the task (E-245).
const CODE_FOLDERS: [&str; 2] = ["task_repository", "code"];
const LOCK_FILE: &str = ".clearml.lock";

/// The cache in one folder.
#[derive(Clone, Debug)]
pub(in crate::python) struct Cache {
    options: CacheOptions,
}

impl Cache {
    pub(in crate::python) fn new(options: &CacheOptions) -> Self {
        Self {
            options: options.clone(),
        }
    }

    pub(in crate::python) fn path(&self) -> &Path {
        &self.options.path
    }

    /// True where an official agent has left anything.
    pub(in crate::python) fn has_entries(&self) -> bool {
        self.entries().is_ok_and(|entries| !entries.is_empty())
    }

    /// The entry for `key`.
    pub(in crate::python) fn entry(&self, key: &CacheKey) -> Option<PathBuf> {
        let mut entries = self.entries().ok()?.into_iter();
        entries
            .find(|entry| entry.is_for(key))
            .map(|entry| entry.path)
    }

    /// The line that precedes a lookup (E-243).
    pub(in crate::python) fn lock_notice(&self) -> String {
        format!(
            "INFO: acquiring lock [timeout={:?}s] for cache folder: {}",
            self.options.lock_timeout,
            self.options.path.display()
        )
    }

    /// Copies the entry for `key` to `target`, which does not exist; the entry's folder, or none where there is none.
    pub(in crate::python) async fn check_out(
        &self,
        key: &CacheKey,
        target: &Path,
        cancel: &CancellationToken,
    ) -> io::Result<Option<PathBuf>> {
        let lock = self.lock(cancel).await?;
        let Some(entry) = self.entry(key) else {
            return Ok(None);
        };
        let (from, to, cancel) = (entry.clone(), target.to_owned(), cancel.clone());
        let copied = blocking(move || {
            // The newest stay when room is made.
            File::open(&from)?.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
            copy::tree(&from, &to, &CODE_FOLDERS, &cancel)?;
            relocate(&to)
        })
        .await;
        drop(lock);
        if let Err(error) = copied {
            let _ = fs::remove_dir_all(target);
            return Err(error);
        }
        Ok(Some(entry))
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.options.path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let metadata = entry.metadata()?;
            if metadata.is_dir() && !name.starts_with(['_', '.']) {
                entries.push(Entry {
                    name,
                    path: entry.path(),
                });
            }
        }
        Ok(entries)
    }

    /// Takes the folder's lock, which the official agent takes too; waits for it no longer than the settings say (E-243).
    async fn lock(&self, cancel: &CancellationToken) -> io::Result<FileLock> {
        let path = self.options.path.join(LOCK_FILE);
        let limit = Duration::try_from_secs_f64(self.options.lock_timeout).unwrap_or_default();
        tokio::select! {
            lock = FileLock::acquire(&path, LockKind::Shared, limit) => {
                lock?.ok_or_else(|| io::ErrorKind::TimedOut.into())
            }
            () = cancel.cancelled() => Err(io::ErrorKind::Interrupted.into()),
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    path: PathBuf,
}

impl Entry {
    fn is_for(&self, key: &CacheKey) -> bool {
        key.names(&self.name)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests;
