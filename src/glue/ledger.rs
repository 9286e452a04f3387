//! What was submitted, on disk: a file for each task, so that a glue that comes after a crash knows what is under way.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cluster::JobId;
use crate::api::{QueueId, TaskId};
use crate::process::since_epoch;
use crate::storage::{FileLock, LockKind, Places, read_private, write_private};

const VERSION: u32 = 1;
/// Stands in the ledger while a glue works with it.
const OPEN: &str = "open";

/// How far a task is on its way to its job; each is written before the step that it names is taken.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Phase {
    /// It has left its queue.
    Taken,
    /// It is in the holding queue, or about to be; a job may be submitted for it.
    Held,
    /// It has a job.
    Submitted(JobId),
    /// It goes back into its queue, for this reason.
    Returning(String),
}

/// What is known of a task under way.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Entry {
    version: u32,
    /// The task.
    pub(super) task: String,
    /// The queue that it came from.
    pub(super) queue: String,
    /// How far it is.
    pub(super) phase: Phase,
    /// Since when, in seconds since the epoch.
    pub(super) since: u64,
    /// What was last said of its waiting.
    #[serde(default)]
    pub(super) said: Option<String>,
}

impl Entry {
    /// A task that has just left `queue`.
    pub(super) fn new(task: &TaskId, queue: &QueueId) -> Self {
        Self {
            version: VERSION,
            task: task.to_string(),
            queue: queue.to_string(),
            phase: Phase::Taken,
            since: since_epoch().as_secs(),
            said: None,
        }
    }

    /// The same, for which this was said.
    pub(super) fn saying(&self, text: String) -> Self {
        Self {
            said: Some(text),
            ..self.clone()
        }
    }

    /// Its job, where it has one.
    pub(super) fn job(&self) -> Option<&JobId> {
        match &self.phase {
            Phase::Submitted(job) => Some(job),
            Phase::Taken | Phase::Held | Phase::Returning(_) => None,
        }
    }
}

/// Why there is no ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another glue has it.
    #[error(
        "another process has the ledger `{0}`: a glue of this name works on this machine (hint: end it, or give this one another name with CLEARML_WORKER_ID)"
    )]
    Busy(PathBuf),
    /// The file system said no.
    #[error("could not use the ledger `{folder}`")]
    Storage {
        /// Where it is.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The ledger of one glue, which this process alone has.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    entries: Vec<Entry>,
    was_closed: bool,
    _lock: FileLock,
}

impl Ledger {
    /// The ledger in `folder`, made where there is none.
    pub fn open(folder: PathBuf) -> Result<Self, LedgerError> {
        let storage = |source| LedgerError::Storage {
            folder: folder.clone(),
            source,
        };
        let is_new = !folder.exists();
        Places::create(&folder).map_err(storage)?;
        let file = fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("lock"))
            .map_err(storage)?;
        let lock = FileLock::try_on(file, LockKind::Exclusive).map_err(storage)?;
        let lock = lock.ok_or_else(|| LedgerError::Busy(folder.clone()))?;
        let entries = read(&folder).map_err(storage)?;
        let open = folder.join(OPEN);
        let was_closed = !is_new && !open.exists();
        write_private(&open, b"").map_err(storage)?;
        Ok(Self {
            folder,
            entries,
            was_closed,
            _lock: lock,
        })
    }

    /// Whether the glue before this one has ended in order; not so where the ledger is new, since another one may have been lost.
    pub(super) fn was_closed(&self) -> bool {
        self.was_closed
    }

    /// This glue ends in order: no task has left a queue without an entry here.
    pub(super) fn close(&self) {
        // Otherwise the next one looks in vain.
        let _ = fs::remove_file(self.folder.join(OPEN));
    }

    /// All that is under way.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What is known of this task.
    pub(super) fn entry(&self, task: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.task == task)
    }

    /// Writes the entry in place of what was known of its task.
    pub(super) fn put(&mut self, entry: Entry) -> io::Result<()> {
        let written = write_private(&self.file(&entry.task), &serde_json::to_vec(&entry)?);
        let mut entries = self.entries.iter_mut();
        match entries.find(|one| one.task == entry.task) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
        written
    }

    /// The entry of a task that has come into another phase.
    pub(super) fn advance(&mut self, task: &str, phase: Phase) -> io::Result<()> {
        let Some(entry) = self.entry(task) else {
            return Ok(());
        };
        self.put(Entry {
            phase,
            since: since_epoch().as_secs(),
            ..entry.clone()
        })
    }

    /// Nothing is under way for this task any more.
    pub(super) fn forget(&mut self, task: &str) {
        self.entries.retain(|entry| entry.task != task);
        // What cannot be removed is looked at again by the next glue, and forgotten then.
        let _ = fs::remove_file(self.file(task));
    }

    fn file(&self, task: &str) -> PathBuf {
        self.folder.join(task).with_extension("json")
    }
}

/// What cannot be read is no entry of ours.
fn read(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let Some(bytes) = read_private(&path)? else {
            continue;
        };
        match serde_json::from_slice::<Entry>(&bytes) {
            Ok(entry) if entry.version == VERSION => entries.push(entry),
            Ok(_) | Err(_) => tracing::warn!("`{}` is no entry of this release", path.display()),
        }
    }
    entries.sort_by(|a, b| (a.since, &a.task).cmp(&(b.since, &b.task)));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_found_again_as_it_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let [task, queue] = ["0a", "0b"];
        let (task, queue) = (task.parse().unwrap(), queue.parse().unwrap());
        let mut ledger = Ledger::open(path.clone()).unwrap();
        ledger.put(Entry::new(&task, &queue)).unwrap();
        assert!(matches!(
            Ledger::open(path.clone()),
            Err(LedgerError::Busy(_))
        ));
        let job = JobId("17".to_owned());
        ledger.advance("0a", Phase::Submitted(job.clone())).unwrap();
        drop(ledger);
        fs::write(path.join("strange.json"), "{").unwrap();
        let mut ledger = Ledger::open(path.clone()).unwrap();
        assert_eq!(ledger.entries().len(), 1);
        assert_eq!(ledger.entries()[0].job(), Some(&job));
        assert!(!ledger.was_closed());
        ledger.forget("0a");
        ledger.close();
        drop(ledger);
        let ledger = Ledger::open(path).unwrap();
        assert!(ledger.entries().is_empty());
        assert!(ledger.was_closed());
    }
}
