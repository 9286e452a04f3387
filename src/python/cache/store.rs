//! The folder of cached environments: lookup, check-in, and what goes when there is no room (E-242..E-250).

use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

use super::super::options::CacheOptions;
use super::key::CacheKey;
use super::{copy, relocate};

/// Not part of the environment: the code of the task (E-245).
const CODE_FOLDERS: [&str; 2] = ["task_repository", "code"];
const LOCK_FILE: &str = ".clearml.lock";
const LOCK_RETRY: Duration = Duration::from_millis(250);
const HALF_MADE: &str = "_temp.";
const ABANDONED_AFTER: Duration = Duration::from_hours(24);
const GIBIBYTE: f64 = 1024.0 * 1024.0 * 1024.0;

/// The cache in one folder.
#[derive(Clone, Debug)]
pub(in crate::python) struct Cache {
    options: CacheOptions,
}

/// What became of a check-in.
#[derive(Debug, Eq, PartialEq)]
pub(in crate::python) enum CheckIn {
    /// The environment is an entry now, or was one.
    Kept,
    /// There is no room; the text says so (E-247).
    NoRoom(String),
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

    /// The line that precedes a lookup (E-243).
    pub(in crate::python) fn lock_notice(&self) -> String {
        format!(
            "INFO: acquiring lock [timeout={:?}s] for cache folder: {}",
            self.options.lock_timeout,
            self.options.path.display()
        )
    }

    /// Whether there is an entry for `key`; nothing is locked, so that it may go the moment after.
    pub(in crate::python) fn has(&self, key: &CacheKey) -> bool {
        let entries = self.entries().unwrap_or_default();
        entries.iter().any(|entry| entry.is_for(key))
    }

    /// Copies the entry for `key` to `target`, which does not exist; the entry's folder, or none where there is none.
    pub(in crate::python) async fn check_out(
        &self,
        key: &CacheKey,
        target: &Path,
        cancel: &CancellationToken,
    ) -> io::Result<Option<PathBuf>> {
        fs::create_dir_all(&self.options.path)?;
        let lock = self.lock(Lock::Shared, cancel).await?;
        let Some(entry) = self.entries()?.into_iter().find(|entry| entry.is_for(key)) else {
            return Ok(None);
        };
        let (from, to, cancel) = (entry.path.clone(), target.to_owned(), cancel.clone());
        let copied = blocking(move || {
            // The newest stay when room is made.
            File::open(&from)?.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
            copy::tree(&from, &to, &CODE_FOLDERS, &cancel)?;
            relocate::relocate(&to)
        })
        .await;
        drop(lock);
        if let Err(error) = copied {
            let _ = fs::remove_dir_all(target);
            return Err(error);
        }
        Ok(Some(entry.path))
    }

    /// Makes `environment` the entry for `keys` (E-245).
    pub(in crate::python) async fn check_in(
        &self,
        keys: &[CacheKey],
        environment: &Path,
        cancel: &CancellationToken,
    ) -> io::Result<CheckIn> {
        if keys.is_empty() {
            return Ok(CheckIn::Kept);
        }
        fs::create_dir_all(&self.options.path)?;
        let _lock = self.lock(Lock::Exclusive, cancel).await?;
        let entries = self.entries()?;
        if let Some(known) = entries
            .iter()
            .find(|entry| keys.iter().any(|key| entry.is_for(key)))
        {
            let target = self.options.path.join(name_of(keys, Some(&known.name)));
            if target != known.path && !target.exists() {
                fs::rename(&known.path, target)?;
            }
            return Ok(CheckIn::Kept);
        }
        let this = self.clone();
        let environment = environment.to_owned();
        let target = self.options.path.join(name_of(keys, None));
        let cancel = cancel.clone();
        blocking(move || {
            this.remove_abandoned();
            if !this.make_room(entries)? {
                return Ok(CheckIn::NoRoom(format!(
                    "Could not add cache entry, not enough free space on drive, free space threshold {:?} GB",
                    this.options.free_space_threshold_gb
                )));
            }
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let half_made = tempfile::Builder::new()
                .prefix(&format!("{HALF_MADE}{}.", since.as_secs()))
                .tempdir_in(&this.options.path)?;
            let place = half_made.path().join("environment");
            copy::tree(&environment, &place, &CODE_FOLDERS, &cancel)?;
            fs::rename(&place, target)?;
            Ok(CheckIn::Kept)
        })
        .await
    }

    /// Removes the oldest entries until one more fits; false where there is no room even so (E-247).
    fn make_room(&self, mut entries: Vec<Entry>) -> io::Result<bool> {
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.modified));
        let allowed = self.options.max_entries.saturating_sub(1);
        while entries.len() > allowed {
            remove_last(&mut entries)?;
        }
        loop {
            if self.options.free_space_threshold_gb <= 0.0
                || free_space_gb(&self.options.path)? > self.options.free_space_threshold_gb
            {
                return Ok(true);
            }
            if entries.is_empty() {
                return Ok(false);
            }
            remove_last(&mut entries)?;
        }
    }

    /// Entries that an interrupted check-in left (E-249).
    fn remove_abandoned(&self) {
        for entry in fs::read_dir(&self.options.path)
            .into_iter()
            .flatten()
            .flatten()
        {
            let is_half_made = entry.file_name().to_string_lossy().starts_with(HALF_MADE);
            let age = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .ok()
                .and_then(|modified| modified.elapsed().ok());
            if is_half_made && age.is_some_and(|age| age > ABANDONED_AFTER) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
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
                    modified: metadata.modified()?,
                });
            }
        }
        Ok(entries)
    }

    /// Takes the folder's lock; waits for it no longer than the settings say (E-243).
    async fn lock(&self, lock: Lock, cancel: &CancellationToken) -> io::Result<File> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .open(self.options.path.join(LOCK_FILE))?;
        let limit = Duration::try_from_secs_f64(self.options.lock_timeout).unwrap_or_default();
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let taken = match lock {
                Lock::Shared => file.try_lock_shared(),
                Lock::Exclusive => file.try_lock(),
            };
            match taken {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::Error(error)) => return Err(error),
                Err(fs::TryLockError::WouldBlock) => {}
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(io::ErrorKind::Interrupted.into()),
                () = tokio::time::sleep(LOCK_RETRY) => {}
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Lock {
    Shared,
    Exclusive,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    path: PathBuf,
    modified: SystemTime,
}

impl Entry {
    fn is_for(&self, key: &CacheKey) -> bool {
        key.names(&self.name)
    }
}

/// Name of an entry: its keys, sorted, joined with dots (E-242).
fn name_of(keys: &[CacheKey], old: Option<&str>) -> String {
    let mut parts: Vec<String> = keys.iter().map(ToString::to_string).collect();
    parts.extend(
        old.into_iter()
            .flat_map(|old| old.split('.'))
            .map(str::to_owned),
    );
    parts.sort();
    parts.dedup();
    parts.join(".")
}

fn remove_last(entries: &mut Vec<Entry>) -> io::Result<()> {
    match entries.pop() {
        Some(entry) => fs::remove_dir_all(entry.path),
        None => Ok(()),
    }
}

fn free_space_gb(path: &Path) -> io::Result<f64> {
    let figures = nix::sys::statvfs::statvfs(path)?;
    #[expect(clippy::cast_precision_loss, reason = "a figure in gigabytes")]
    let bytes = figures.blocks_available() as f64 * figures.fragment_size() as f64;
    Ok(bytes / GIBIBYTE)
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
