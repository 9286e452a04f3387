//! The folder of the store: its entries, its lock, and what is left over in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::entry::{Entry, EntryKind, lease_of};
use super::key::StoreKey;
use crate::python::options::StoreOptions;
use crate::storage::{FileLock, LockKind, Places, temporary_name};

pub(super) const ENTRIES: &str = "entries";
pub(super) const TEMPORARY: &str = "temporary";
const LOCK: &str = "lock";

/// The store in one folder.
#[derive(Clone, Debug)]
pub(in crate::python) struct Store {
    pub(super) options: StoreOptions,
}

/// An entry as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Its folder.
    pub path: PathBuf,
    /// What it holds.
    pub kind: EntryKind,
    /// The keys by which it is found.
    pub keys: Vec<StoreKey>,
    /// Seconds since the epoch.
    pub created: u64,
    /// Seconds since the epoch.
    pub last_used: u64,
    /// Size of its files.
    pub bytes: u64,
    /// Their number.
    pub files: u64,
    /// What is installed in it, as `freeze` says it.
    pub packages: Vec<String>,
}

/// The entries of the store in this folder, those first that were used last.
pub fn list(store: &Path) -> io::Result<Vec<Listed>> {
    let mut entries = entries(store)?;
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.last_used()));
    Ok(entries.into_iter().map(Listed::from).collect())
}

impl From<Entry> for Listed {
    fn from(entry: Entry) -> Self {
        let last_used = entry
            .last_used()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let last_used = last_used.as_secs();
        let description = entry.description;
        Self {
            path: entry.folder,
            kind: description.kind,
            keys: description.keys,
            created: description.created,
            last_used,
            bytes: description.bytes,
            files: description.files,
            packages: description.frozen.unwrap_or_default(),
        }
    }
}

impl Store {
    pub(in crate::python) fn new(options: &StoreOptions) -> Self {
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

    /// The entry for `key` that was used last.
    pub(super) fn find(&self, key: &StoreKey) -> io::Result<Option<Entry>> {
        let entries = entries(self.path())?.into_iter();
        let fitting = entries.filter(|entry| entry.is_for(key));
        Ok(fitting.max_by_key(Entry::last_used))
    }

    /// Waits for the lock under which entries are added and removed, no longer than the settings say (E-243).
    pub(super) async fn lock(&self, cancel: &CancellationToken) -> io::Result<FileLock> {
        for folder in [ENTRIES, TEMPORARY] {
            Places::create(&self.path().join(folder))?;
        }
        let limit = Duration::try_from_secs_f64(self.options.lock_timeout).unwrap_or_default();
        let path = self.path().join(LOCK);
        tokio::select! {
            lock = FileLock::acquire(&path, LockKind::Exclusive, limit) => {
                lock?.ok_or_else(|| io::ErrorKind::TimedOut.into())
            }
            () = cancel.cancelled() => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    /// A folder in which an entry is made, with the lease that says that its maker lives. The store is locked.
    pub(super) fn begin(&self, _locked: &FileLock) -> io::Result<(PathBuf, FileLock)> {
        let folder = self.path().join(TEMPORARY).join(temporary_name("", ""));
        Places::create(&folder)?;
        let lease = FileLock::try_acquire(&lease_of(&folder), LockKind::Exclusive)?;
        lease
            .map(|lease| (folder, lease))
            .ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    /// Makes a finished folder an entry. The store is locked.
    pub(super) fn publish(&self, folder: &Path, _locked: &FileLock) -> io::Result<PathBuf> {
        let name = folder.file_name().unwrap_or_default();
        let entry = self.path().join(ENTRIES).join(name);
        fs::rename(folder, &entry)?;
        Ok(entry)
    }

    /// Removes an entry that nobody reads; false where somebody does. The store is locked.
    pub(super) fn remove(&self, entry: &Entry, _locked: &FileLock) -> io::Result<bool> {
        let Some(_lease) = entry.lease(LockKind::Exclusive)? else {
            return Ok(false);
        };
        let name = entry.folder.file_name().unwrap_or_default();
        let outside = self.path().join(TEMPORARY).join(name);
        fs::rename(&entry.folder, &outside)?;
        // What cannot be removed now is removed with the left-overs.
        let _ = fs::remove_dir_all(outside);
        Ok(true)
    }

    /// Removes what killed agents have left, and entries that are not used any more. The store is locked (E-249).
    pub(super) fn remove_left_overs(&self, locked: &FileLock) {
        for folder in folders(&self.path().join(TEMPORARY)).unwrap_or_default() {
            // Whoever works in it holds its lease.
            if let Ok(Some(_lease)) = FileLock::try_acquire(&lease_of(&folder), LockKind::Exclusive)
            {
                let _ = fs::remove_dir_all(folder);
            }
        }
        for folder in folders(&self.path().join(ENTRIES)).unwrap_or_default() {
            if Entry::read(&folder).is_none() {
                let _ = self.remove_unreadable(&folder, locked);
            }
        }
    }

    fn remove_unreadable(&self, folder: &Path, _locked: &FileLock) -> io::Result<()> {
        let lease = FileLock::try_acquire(&lease_of(folder), LockKind::Exclusive)?;
        if lease.is_some() {
            let name = folder.file_name().unwrap_or_default();
            let outside = self.path().join(TEMPORARY).join(name);
            fs::rename(folder, &outside)?;
            fs::remove_dir_all(outside)?;
        }
        Ok(())
    }
}

/// All entries that can be used.
pub(super) fn entries(store: &Path) -> io::Result<Vec<Entry>> {
    let folders = folders(&store.join(ENTRIES))?;
    Ok(folders
        .iter()
        .filter_map(|folder| Entry::read(folder))
        .collect())
}

pub(super) fn folders(parent: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(parent) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Runs what reads and writes files beside the runtime's thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
