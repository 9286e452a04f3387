//! What is known on disk about a run, so that whoever comes after a crash can finish it.
//!
//! A run has a folder of its own: the journal, which its supervisor alone writes once it lives, a
//! lock that the supervisor holds as long as it lives, and the note of the worker that watches it.

mod format;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::container::Contained;
use super::ending::Ending;
use super::outcome::Outcome;
use super::requeue::WayBack;
use super::run_options::RunOptions;
use crate::logs::Progress;
use crate::process::{ProcessIdentity, milliseconds_since_epoch};
use crate::storage::{
    FileLock, LockKind, Places, age, exchange, make_spare, read_private, refill_spare,
    temporary_name, write_private, write_roomy,
};

const JOURNAL: &str = "journal.json";
const LOCK: &str = "lock";
const WORKER: &str = "worker.json";
const ENDING: &str = "ending";
const SPARE: &str = "spare";
/// How often a journal is looked at that is to be signed.
const LOOK: Duration = Duration::from_millis(20);

/// Where a run is; each phase is written before the step that it names is taken.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Phase {
    /// Taken from its queue; nothing has been said to the server.
    Pulled,
    /// Code and environment are being made.
    Preparing,
    /// The program runs.
    Running {
        /// The program, which leads its own process group.
        program: ProcessIdentity,
    },
    /// The program runs in a container, which outlives its supervisor, or is about to.
    Contained,
    /// The program has ended, or will never start; the server may not know yet.
    Ended {
        /// How.
        outcome: Outcome,
    },
    /// The log has its last line; the status may not be set yet.
    Announced {
        /// How the program ended.
        outcome: Outcome,
    },
}

impl Phase {
    /// All the words of [`Self::name`], in their order.
    pub const NAMES: [&'static str; 5] = ["pulled", "preparing", "running", "ended", "announced"];

    /// The word for it, for programs that ask.
    pub fn name(&self) -> &'static str {
        let place = match self {
            Self::Pulled => 0,
            Self::Preparing => 1,
            Self::Running { .. } | Self::Contained => 2,
            Self::Ended { .. } => 3,
            Self::Announced { .. } => 4,
        };
        Self::NAMES[place]
    }
}

/// What a journal says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Entry {
    /// Format; see `journal/format.rs`.
    pub version: u32,
    /// The boot of the machine in which the run began.
    pub boot: String,
    /// Task.
    pub task: String,
    /// Worker id under which the task runs.
    pub worker: String,
    /// The worker that has started it where the task is a worker of its own (D-256).
    #[serde(default)]
    pub parent: Option<String>,
    /// Queue that it came from.
    pub queue: String,
    /// The user with whose rights it runs; none: those of the worker (D-278).
    #[serde(default)]
    pub owner: Option<Owner>,
    /// All queues of the worker, for status reports on its behalf.
    pub queues: Vec<String>,
    /// Slot of the worker (D-126).
    pub slot: u32,
    /// The resolved configuration (0600); removed with the run (D-150).
    pub configuration: PathBuf,
    /// The user's file behind it, where the keys are looked for that have replaced those of the run.
    #[serde(default)]
    pub origin: Option<PathBuf>,
    /// The cgroup of the supervisor and of all that it has started, where it may have one.
    #[serde(default)]
    pub cgroup: Option<PathBuf>,
    /// The task's output (0600); removed with the run (D-208).
    pub output: PathBuf,
    /// The user has named the output file and keeps it (E-028).
    #[serde(default)]
    pub keeps_output: bool,
    /// What the command line of the agent asked for.
    #[serde(default)]
    pub options: RunOptions,
    /// The task's container, from before it is made until it has been removed.
    #[serde(default)]
    pub container: Option<Contained>,
    /// The task goes back into its queue, and is so far on its way.
    #[serde(default)]
    pub way_back: Option<WayBack>,
    /// When the server had the task come into progress with this run, in milliseconds since the epoch; none before, and where
    /// the answer was lost.
    #[serde(default)]
    pub started: Option<i64>,
    /// The server knows everything about the run; only its container is left.
    #[serde(default)]
    pub is_told: bool,
    /// The supervisor, once it lives.
    pub supervisor: Option<ProcessIdentity>,
    /// Where the run is.
    pub phase: Phase,
    /// When that phase began, in milliseconds since the epoch; 0 where an earlier release has written the journal.
    #[serde(default)]
    pub since: u64,
    /// How far the log has come.
    pub progress: Progress,
    /// What another release has written and this one does not know: it is kept.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// The user who owns a task.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Owner {
    /// Id of the user; none where the server did not say.
    pub user: Option<String>,
    /// The user's company, where the server said.
    pub company: Option<String>,
}

/// The worker that watches over a run at present.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Watcher {
    /// Its process.
    pub process: ProcessIdentity,
}

/// The folder of a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunFolder(PathBuf);

/// A journal that this process may write: it holds the run's lock.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: RunFolder,
    entry: Mutex<Entry>,
    /// False while the disk does not take it.
    is_written: AtomicBool,
    /// Held until the process ends, whatever the reason.
    _lock: FileLock,
}

/// Why a journal could not be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another supervisor has the run.
    #[error("another process supervises the run in `{0}`")]
    Busy(PathBuf),
    /// The file system said no.
    #[error("could not use the journal in `{folder}`")]
    Storage {
        /// The run's folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A newer release has written the file, and this one must not go by it.
    #[error(
        "`{journal}` is of a newer release (format {version}, this one reads up to {newest})",
        newest = format::VERSION
    )]
    Newer {
        /// The file.
        journal: PathBuf,
        /// Its format.
        version: u64,
    },
    /// The file is damaged, or has words of another release in it.
    #[error("`{journal}` cannot be read as a journal: {why}")]
    Unreadable {
        /// The file.
        journal: PathBuf,
        /// What is wrong in it.
        why: String,
    },
}

impl JournalError {
    /// What can be done about a journal that stays.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Newer { .. } | Self::Unreadable { .. } => Some(
                "the clearml-agent that has written it settles the task; remove the file's folder where nobody waits for that",
            ),
            Self::Busy(_) | Self::Storage { .. } => None,
        }
    }

    /// True where the run has been removed meanwhile.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Storage { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// A supervisor that a living worker starts has its first look well before that, in milliseconds.
const AGE: u64 = 5_000;
/// A run without a journal is nobody's after that.
const TIME_TO_WRITE: Duration = Duration::from_mins(1);

impl RunFolder {
    /// Makes the folder of a new run with its first entry.
    pub fn create(places: &Places, entry: &Entry) -> io::Result<Self> {
        let folder = places
            .runs
            .join(temporary_name(&format!("{}.", entry.task), ""));
        Places::create(&folder)?;
        let run = Self(folder);
        // Before it is seen, so that no other worker takes it for one that nobody watches.
        run.watch()?;
        run.write(entry)?;
        Ok(run)
    }

    /// The folder that holds the journal file at `journal`.
    pub fn of_journal(journal: &Path) -> Option<Self> {
        journal.parent().map(|folder| Self(folder.to_owned()))
    }

    /// All runs of this machine's user.
    pub fn all(places: &Places) -> Vec<Self> {
        Self::of_folder(&places.runs)
    }

    fn of_folder(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut runs: Vec<Self> = entries
            .map(|entry| Self(entry.path()))
            .filter(|run| run.journal().exists())
            .collect();
        runs.sort_by(|a, b| a.0.cmp(&b.0));
        runs
    }

    /// Removes the folders of runs that somebody had begun to write down, or to remove, when he was killed.
    pub fn sweep(places: &Places) {
        let entries = fs::read_dir(&places.runs).into_iter().flatten().flatten();
        for run in entries.map(|entry| Self(entry.path())) {
            let is_old = age(&run.0).is_some_and(|age| age > TIME_TO_WRITE);
            if is_old && !run.journal().exists() {
                // Who has been slow finds it gone, and fails its task with that reason.
                let _ = fs::remove_dir_all(&run.0);
            }
        }
    }

    /// For what is not complete yet.
    pub fn draft(&self) -> PathBuf {
        self.0.join("draft")
    }

    /// The journal's path.
    pub fn journal(&self) -> PathBuf {
        self.0.join(JOURNAL)
    }

    /// What the run calls itself.
    pub(super) fn name(&self) -> String {
        let name = self.0.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// A folder of this name for what belongs to the run, removed with it.
    pub(super) fn own(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What the journal says now.
    pub fn read(&self) -> Result<Entry, JournalError> {
        match self.read_once() {
            // On a full disk it may have been written meanwhile.
            Err(JournalError::Unreadable { .. }) => self.read_once(),
            read => read,
        }
    }

    fn read_once(&self) -> Result<Entry, JournalError> {
        let journal = self.journal();
        let bytes = read_private(&journal).map_err(|source| self.storage(source))?;
        let bytes = bytes.ok_or_else(|| self.storage(io::ErrorKind::NotFound.into()))?;
        format::entry(&bytes, journal)
    }

    /// True while a supervisor lives that has this run.
    pub fn is_supervised(&self) -> bool {
        matches!(self.try_lock(), Ok(None))
    }

    /// What the journal says, while a supervisor lives that has this run.
    pub fn supervised(&self) -> Option<Entry> {
        self.is_supervised().then(|| self.read().ok())?
    }

    /// True while another run of the same task has a supervisor on this machine.
    pub(super) fn has_living_sibling(&self, task: &str) -> bool {
        let folder = self.0.parent().unwrap_or(&self.0);
        let siblings = Self::of_folder(folder).into_iter();
        siblings
            .filter(|run| run != self)
            .filter_map(|run| run.supervised())
            .any(|entry| entry.task == task)
    }

    /// Takes the run for this process.
    pub fn open(self) -> Result<Journal, JournalError> {
        let lock = self.try_lock().map_err(|source| self.storage(source))?;
        let Some(lock) = lock else {
            return Err(JournalError::Busy(self.0));
        };
        let entry = self.read()?;
        // Without it the run goes on all the same.
        let _ = make_spare(&self.0.join(SPARE));
        Ok(Journal(Arc::new(Inner {
            folder: self,
            entry: Mutex::new(entry),
            is_written: AtomicBool::new(true),
            _lock: lock,
        })))
    }

    /// The worker that watches, or the last one that did.
    pub fn watcher(&self) -> Option<Watcher> {
        let bytes = read_private(&self.0.join(WORKER)).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    /// Waits until a supervisor has signed the journal, or the run is gone.
    pub async fn signed(&self) {
        while self.read().is_ok_and(|entry| entry.supervisor.is_none()) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Makes this process the run's worker.
    pub fn watch(&self) -> io::Result<()> {
        let process = ProcessIdentity::of_this_process().ok_or(io::ErrorKind::NotFound)?;
        write_private(
            &self.0.join(WORKER),
            &serde_json::to_vec(&Watcher { process })?,
        )
    }

    /// A file in which the supervisor says how the task ended before it removes the run: for a worker that has not
    /// started it. It can be read when it has no name any more.
    pub fn hear_ending(&self) -> io::Result<File> {
        File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(self.0.join(ENDING))
    }

    /// Only where somebody listens.
    fn tell_ending(&self, ending: Ending) {
        let file = File::options().write(true).open(self.0.join(ENDING));
        // A worker that does not hear of it counts the task all the same.
        let _ = file.and_then(|mut file| file.write_all(&[ending.code()]));
    }

    /// Removes the run with everything that belongs to it.
    pub fn remove(&self, entry: &Entry) {
        let output = (!entry.keeps_output).then_some(&entry.output);
        if let Some(container) = &entry.container {
            container.remove_files();
        }
        for path in output.into_iter().chain([&entry.configuration]) {
            // What is gone already needs no removing.
            let _ = fs::remove_file(path);
        }
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "could not remove the run's folder");
        }
    }

    /// Removes what a supervisor that was killed while it removed the run has left.
    pub fn clear(&self) {
        // As a rule it is gone.
        let _ = fs::remove_dir_all(&self.0);
    }

    /// None while somebody else has the run.
    fn try_lock(&self) -> io::Result<Option<FileLock>> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.0.join(LOCK))?;
        FileLock::try_on(file, LockKind::Exclusive)
    }

    fn write(&self, entry: &Entry) -> io::Result<()> {
        let bytes = serde_json::to_vec(entry)?;
        let spare = self.0.join(SPARE);
        match write_roomy(&self.journal(), &bytes) {
            Ok(()) => {
                refill_spare(&spare);
                Ok(())
            }
            Err(error) => exchange(&spare, &self.journal(), &bytes).map_err(|_| error),
        }
    }

    fn storage(&self, source: io::Error) -> JournalError {
        JournalError::Storage {
            folder: self.0.clone(),
            source,
        }
    }
}

impl Entry {
    /// True where it is a run of this worker, also where the task is a worker of its own below it.
    pub fn is_of(&self, worker: &str) -> bool {
        self.worker == worker || self.parent.as_deref() == Some(worker)
    }

    /// The first entry of a run.
    pub fn new(
        task: String,
        worker: String,
        queue: String,
        configuration: PathBuf,
        output: PathBuf,
    ) -> Self {
        Self {
            version: format::VERSION,
            boot: boot(),
            task,
            worker,
            parent: None,
            queue,
            owner: None,
            queues: Vec::new(),
            slot: 0,
            configuration,
            origin: None,
            cgroup: None,
            output,
            keeps_output: false,
            options: RunOptions::default(),
            container: None,
            way_back: None,
            started: None,
            is_told: false,
            supervisor: None,
            phase: Phase::Pulled,
            since: milliseconds_since_epoch(),
            progress: Progress::default(),
            unknown: Map::new(),
        }
    }

    /// True where nobody has begun the task, and nothing of it was said to the server.
    pub fn is_untouched(&self) -> bool {
        self.phase == Phase::Pulled && self.supervisor.is_none()
    }

    /// True where it is so long since the phase began that the task may have been given to somebody else meanwhile.
    pub fn is_old(&self) -> bool {
        milliseconds_since_epoch().saturating_sub(self.since) > AGE
    }

    /// False after a reboot: no process of the run can be alive.
    pub fn is_of_this_boot(&self) -> bool {
        self.boot == boot()
    }
}

impl Journal {
    /// What the journal says now.
    pub fn entry(&self) -> Entry {
        self.lock().clone()
    }

    /// The run's folder.
    pub fn folder(&self) -> &RunFolder {
        &self.0.folder
    }

    /// Changes the entry on disk before it returns; false where the disk did not take it.
    ///
    /// A disk that is full does not end the task: the run goes on with what is in memory.
    pub fn update(&self, change: impl FnOnce(&mut Entry)) -> bool {
        let mut entry = self.lock();
        let before = entry.phase.clone();
        change(&mut entry);
        if entry.phase != before {
            entry.since = milliseconds_since_epoch();
        }
        let written = self.0.folder.write(&entry);
        let is_written = written.is_ok();
        let is_news = self.0.is_written.swap(is_written, Ordering::Relaxed) != is_written;
        match written {
            Err(error) if is_news => tracing::warn!(
                "could not write the journal in `{}`: {error}; the task goes on (hint: make room there, so that a task that is \
                 lost with its supervisor is settled as it ended)",
                self.0.folder.0.display()
            ),
            _ => {}
        }
        is_written
    }

    /// Removes the run: it is settled.
    pub fn remove(&self) {
        let entry = self.lock();
        if let Phase::Ended { outcome } | Phase::Announced { outcome } = &entry.phase {
            self.0.folder.tell_ending(Ending::of(outcome));
        }
        self.0.folder.remove(&entry);
    }

    fn lock(&self) -> MutexGuard<'_, Entry> {
        self.0.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kernel's name for the time since the machine was started.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::SlotFolder;

    fn places(folder: &Path) -> Places {
        Places {
            runs: folder.join("runs"),
            workers: folder.join("workers"),
            control: folder.join("control"),
            prefetch: folder.join("prefetch"),
            slots: SlotFolder::own(folder.to_owned()),
            system: folder.to_owned(),
            temporary: folder.to_owned(),
        }
    }

    fn entry() -> Entry {
        Entry::new(
            "t1".to_owned(),
            "host:0".to_owned(),
            "q1".to_owned(),
            "c".into(),
            "o".into(),
        )
    }

    #[test]
    fn a_run_has_one_supervisor_at_a_time() {
        let folder = tempfile::tempdir().expect("folder");
        let places = places(folder.path());
        let run = RunFolder::create(&places, &entry()).expect("created");
        assert!(!run.is_supervised());
        let journal = run.clone().open().expect("opened");
        assert!(run.is_supervised());
        assert!(matches!(run.clone().open(), Err(JournalError::Busy(_))));
        drop(journal);
        assert!(!run.is_supervised());
    }

    #[test]
    fn what_was_written_is_there_after_the_writer_is_gone() {
        let folder = tempfile::tempdir().expect("folder");
        let places = places(folder.path());
        let journal = RunFolder::create(&places, &entry())
            .expect("created")
            .open()
            .expect("opened");
        let outcome = Outcome::Exited(3);
        journal.update(|entry| {
            entry.phase = Phase::Ended {
                outcome: outcome.clone(),
            }
        });
        drop(journal);
        let runs = RunFolder::all(&places);
        assert_eq!(runs.len(), 1);
        let read = runs[0].read().expect("read");
        assert_eq!(read.phase, Phase::Ended { outcome });
        assert!(read.is_of_this_boot());
    }

    #[test]
    fn a_phase_keeps_the_time_at_which_it_began() {
        let folder = tempfile::tempdir().expect("folder");
        let first = Entry {
            since: 1,
            ..entry()
        };
        let journal = RunFolder::create(&places(folder.path()), &first)
            .expect("created")
            .open()
            .expect("opened");
        journal.update(|entry| entry.progress.acknowledged = 7);
        assert_eq!(journal.entry().since, 1);
        journal.update(|entry| entry.phase = Phase::Preparing);
        assert!(journal.entry().since > 1);
    }

    #[test]
    fn a_worker_hears_of_the_end_of_a_run_that_it_has_not_started() {
        use std::os::unix::fs::FileExt;

        let folder = tempfile::tempdir().expect("folder");
        let places = places(folder.path());
        let run = RunFolder::create(&places, &entry()).expect("created");
        let journal = run.clone().open().expect("opened");
        let heard = run.hear_ending().expect("a file");
        let outcome = Outcome::Exited(3);
        journal.update(|entry| entry.phase = Phase::Announced { outcome });
        journal.remove();
        assert!(run.hear_ending().is_err());
        let mut code = [0];
        heard.read_exact_at(&mut code, 0).expect("a code");
        assert_eq!(Ending::of_code(Some(code[0].into())), Ending::Failed);
    }
}
