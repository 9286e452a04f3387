//! One entry: what it is known by, and the lease that keeps it from being removed while it is read.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::key::{StoreInputs, StoreKey};
use crate::process::since_epoch;
use crate::storage::{FileLock, LockKind, write_private};

const DESCRIPTION: &str = "entry.json";
const FILES: &str = "files.json";
const LEASE: &str = "lease";
const TIMES: &str = "times";
const TREE: &str = "tree";
/// Made where a file of the entry has changed: it is not used any more.
const DAMAGED: &str = "damaged";

/// What an entry holds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// An environment with the packages of a task.
    Environment,
    /// An environment with nothing but the wanted pip.
    Base,
}

impl EntryKind {
    /// As it is written in keys and lists.
    pub fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Base => "base",
        }
    }
}

/// The description of an entry, on disk.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(in crate::python) struct Description {
    pub(super) format: u32,
    pub(super) kind: EntryKind,
    /// What the environment was asked for by, and what it holds: each of them finds it (E-245).
    pub(super) inputs: Vec<StoreInputs>,
    pub(super) keys: Vec<StoreKey>,
    /// Seconds since the epoch.
    pub(super) created: u64,
    pub(super) bytes: u64,
    pub(super) files: u64,
    /// What `freeze` said of it.
    pub(in crate::python) frozen: Option<Vec<String>>,
}

/// The form of the files of an entry that this agent reads.
pub(super) const FORMAT: u32 = 1;

/// An entry by its folder.
#[derive(Clone, Debug)]
pub(in crate::python) struct Entry {
    pub(super) folder: PathBuf,
    pub(super) description: Description,
}

impl Entry {
    /// Reads the description; none where the folder holds no entry that can be used.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        if folder.join(DAMAGED).exists() {
            return None;
        }
        let bytes = fs::read(folder.join(DESCRIPTION)).ok()?;
        let description: Description = serde_json::from_slice(&bytes).ok()?;
        (description.format == FORMAT).then(|| Self {
            folder: folder.to_owned(),
            description,
        })
    }

    pub(super) fn write(&self) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(&self.description)?;
        write_private(&self.folder.join(DESCRIPTION), &bytes)
    }

    pub(super) fn is_for(&self, key: &StoreKey) -> bool {
        self.description.keys.contains(key)
    }

    /// When it was last taken or made.
    pub(super) fn last_used(&self) -> SystemTime {
        let metadata = fs::metadata(lease_of(&self.folder));
        metadata
            .and_then(|metadata| metadata.modified())
            .unwrap_or(UNIX_EPOCH)
    }

    pub(super) fn age(&self) -> Duration {
        let created = UNIX_EPOCH + Duration::from_secs(self.description.created);
        created.elapsed().unwrap_or_default()
    }

    /// Shared, it keeps the entry from being removed; exclusive, nobody reads it. None where others have it.
    pub(super) fn lease(&self, kind: LockKind) -> io::Result<Option<FileLock>> {
        let lease = match FileLock::try_acquire(&lease_of(&self.folder), kind) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            lease => lease?,
        };
        // Who removes an entry first takes it out of its place.
        Ok(lease.filter(|_| self.folder.join(DESCRIPTION).exists()))
    }

    /// The newest stay when room is made.
    pub(super) fn touch(&self) {
        let file = File::options().append(true).open(lease_of(&self.folder));
        // A wrong order of removal is no reason to do without the entry.
        let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
    }

    /// Nobody takes it from now on.
    pub(super) fn mark_damaged(&self) {
        let _ = File::create(self.folder.join(DAMAGED));
    }
}

pub(super) fn lease_of(folder: &Path) -> PathBuf {
    folder.join(LEASE)
}

pub(super) fn times_of(folder: &Path) -> PathBuf {
    folder.join(TIMES)
}

pub(super) fn tree_of(folder: &Path) -> PathBuf {
    folder.join(TREE)
}

pub(super) fn files_of(folder: &Path) -> PathBuf {
    folder.join(FILES)
}

pub(super) fn now() -> u64 {
    since_epoch().as_secs()
}
