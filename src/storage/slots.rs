//! Instance slots: one file for each running agent of this machine, shared with the official agent (D-126 to D-134).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal;
use nix::unistd::Pid;

use super::create_temporary;

const PREFIX: &str = ".clearmlagent_";
const SUFFIX: &str = ".tmp";
const LOCK: &str = "_.clearmlagent_global.lock";
/// How long a foreign lock file is honoured (D-130).
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(50);

/// A slot that this process holds; the file goes when this is dropped (D-133).
#[derive(Debug)]
pub struct Slot {
    path: PathBuf,
    /// Worker id under which the slot was taken.
    pub worker: String,
    /// Number of the slot.
    pub number: u32,
}

/// One instance file as another agent reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Instance {
    /// Process that the file names.
    pub pid: i32,
    /// Worker id.
    pub worker: String,
    /// Slot.
    pub number: u32,
    /// False for a file of another user: of its agent only the process is known.
    is_readable: bool,
    path: PathBuf,
}

/// Why no slot could be had.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// D-129
    #[error("Instance with the same WORKER_ID [{0}] is already running")]
    Duplicate(String),
    /// The temporary folder cannot be written.
    #[error("could not register this agent in `{folder}`")]
    Storage {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Slot {
    /// Takes the smallest free slot (D-128); `worker_id` makes the id in it, which must be free as well (D-129).
    ///
    /// `vacant` are processes whose files do not count: supervisors that keep the slot of a worker that is gone.
    pub async fn claim(
        folder: &Path,
        worker_id: impl Fn(u32) -> String,
        vacant: &[i32],
    ) -> Result<Self, SlotError> {
        let claimed = Self::claim_with(folder, vacant, |living| {
            let number = Self::free(living);
            let worker = worker_id(number);
            if living.iter().any(|other| other.worker == worker) {
                return Err(SlotError::Duplicate(worker));
            }
            Ok((worker, number))
        });
        claimed.await?
    }

    /// Takes the id and the slot that `choose` finds for itself among the living agents.
    ///
    /// Nobody registers between the choice and its registration, the official agent included (D-130). A choice that
    /// fails takes nothing.
    pub async fn claim_with<E>(
        folder: &Path,
        vacant: &[i32],
        choose: impl FnOnce(&[Instance]) -> Result<(String, u32), E>,
    ) -> Result<Result<Self, E>, SlotError> {
        let storage = |source| SlotError::Storage {
            folder: folder.to_owned(),
            source,
        };
        let lock = RegistrationLock::acquire(folder).await.map_err(storage)?;
        let mut living = Vec::new();
        for instance in Instance::all(folder) {
            if !instance.is_alive() {
                // Somebody else may have removed it first.
                let _ = fs::remove_file(&instance.path);
            } else if !vacant.contains(&instance.pid) {
                living.push(instance);
            }
        }
        let (worker, number) = match choose(&living) {
            Ok(chosen) => chosen,
            Err(reason) => return Ok(Err(reason)),
        };
        let slot = Self::write(folder, worker, number).map_err(storage)?;
        drop(lock);
        Ok(Ok(slot))
    }

    /// The smallest slot that none of these has (D-128).
    pub fn free(living: &[Instance]) -> u32 {
        let readable = living.iter().filter(|other| other.is_readable);
        let mut taken: BTreeSet<u32> = readable.map(|other| other.number).collect();
        let free = |taken: &BTreeSet<u32>| (0..=u32::MAX).find(|number| !taken.contains(number));
        // Which slots other users have cannot be read; that they have some can.
        for _ in living.iter().filter(|other| !other.is_readable) {
            taken.extend(free(&taken));
        }
        free(&taken).unwrap_or_default()
    }

    /// Takes over exactly this slot: its worker is gone, and its task is not.
    pub fn inherit(folder: &Path, worker: String, number: u32) -> io::Result<Self> {
        let slot = Self::write(folder, worker, number)?;
        for former in Instance::all(folder) {
            if former.worker == slot.worker && !former.is_alive() {
                // Somebody else may have removed it first.
                let _ = fs::remove_file(&former.path);
            }
        }
        Ok(slot)
    }

    fn write(folder: &Path, worker: String, number: u32) -> io::Result<Self> {
        let prefix = format!("{PREFIX}{}_", nix::unistd::getpid());
        let (path, mut file) = create_temporary(folder, &prefix, SUFFIX)?;
        write!(file, "{worker}\n{number}")?;
        Ok(Self {
            path,
            worker,
            number,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.path);
    }
}

impl Instance {
    /// All instance files in `folder`, readable or not (D-127).
    pub fn all(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| Self::read(&entry.path()))
            .collect()
    }

    fn read(path: &Path) -> Option<Self> {
        let name = path
            .file_name()?
            .to_str()?
            .strip_prefix(PREFIX)?
            .strip_suffix(SUFFIX)?;
        let pid = name.split('_').next()?.parse().unwrap_or(0);
        let content = fs::read_to_string(path);
        let is_readable = !content
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        let content = content.unwrap_or_default();
        let (worker, number) = content.rsplit_once('\n').unwrap_or_default();
        let number = number.trim().parse();
        // What makes no sense counts as dead (D-127): process 0 is nobody.
        let pid = if number.is_ok() || !is_readable {
            pid
        } else {
            0
        };
        Some(Self {
            pid,
            worker: worker.to_owned(),
            number: number.unwrap_or(0),
            is_readable,
            path: path.to_owned(),
        })
    }

    /// Removes the file of an agent that has ended.
    pub fn forget(&self) {
        // It may have done so itself.
        let _ = fs::remove_file(&self.path);
    }

    /// True while the process lives and looks like an agent (D-131).
    pub fn is_alive(&self) -> bool {
        if self.pid <= 0
            || signal::kill(Pid::from_raw(self.pid), None)
                .is_err_and(|e| e == nix::errno::Errno::ESRCH)
        {
            return false;
        }
        match fs::read(format!("/proc/{}/cmdline", self.pid)) {
            Ok(words) => {
                // Of a zombie nothing is left to read.
                let words = String::from_utf8_lossy(&words);
                words.contains("clearml-agent") || words.contains("clearml_agent")
            }
            Err(_) => true,
        }
    }
}

/// Keeps two agents from choosing the same slot (D-130).
///
/// Where somebody else's file cannot be removed, there is none to drop.
struct RegistrationLock(Option<PathBuf>);

impl RegistrationLock {
    async fn acquire(folder: &Path) -> io::Result<Self> {
        let path = folder.join(LOCK);
        let started = Instant::now();
        loop {
            match File::create_new(&path) {
                Ok(_) => return Ok(Self(Some(path))),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Err(_) if started.elapsed() >= LOCK_PATIENCE => {
                    tracing::warn!("lock file timed out 10sec - clearing lock");
                    // Its owner is dead, or it is another user's; a fresh one is somebody's who did the same before.
                    if is_old(&path) && fs::remove_file(&path).is_err() {
                        return Ok(Self(None));
                    }
                    tokio::time::sleep(LOCK_POLL).await;
                }
                Err(_) => tokio::time::sleep(LOCK_POLL).await,
            }
        }
    }
}

impl Drop for RegistrationLock {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Gone already is as good.
            let _ = fs::remove_file(path);
        }
    }
}

/// True for a file that was there before anybody began to wait for it.
fn is_old(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|modified| modified.elapsed().ok());
    age.is_none_or(|age| age >= LOCK_PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(slot: u32) -> String {
        format!("host:{slot}")
    }

    /// A living process that looks like an agent to the slot table: this one does (its path names the package).
    fn occupy(folder: &Path, worker: &str, number: u32) {
        let path = folder.join(format!(
            "{PREFIX}{}_abcdefgh{number}{SUFFIX}",
            std::process::id()
        ));
        fs::write(path, format!("{worker}\n{number}")).expect("written");
    }

    /// D-126, D-128, D-133
    #[tokio::test]
    async fn the_smallest_free_slot_is_taken_and_given_back() {
        let folder = tempfile::tempdir().expect("folder");
        occupy(folder.path(), "host:gpuall", 0);
        let slot = Slot::claim(folder.path(), name, &[])
            .await
            .expect("claimed");
        assert_eq!((slot.worker.as_str(), slot.number), ("host:1", 1));
        assert_eq!(fs::read_to_string(&slot.path).expect("read"), "host:1\n1");
        let path = slot.path.clone();
        drop(slot);
        assert!(!path.exists());
        assert!(!folder.path().join(LOCK).exists());
    }

    /// D-127
    #[tokio::test]
    async fn files_of_the_dead_are_removed() {
        let folder = tempfile::tempdir().expect("folder");
        let mut child = std::process::Command::new("true").spawn().expect("started");
        let pid = child.id();
        child.wait().expect("ended");
        let stale = folder
            .path()
            .join(format!("{PREFIX}{pid}_abcdefgh{SUFFIX}"));
        fs::write(&stale, "host:0\n0").expect("written");
        let slot = Slot::claim(folder.path(), name, &[])
            .await
            .expect("claimed");
        assert_eq!(slot.number, 0);
        assert!(!stale.exists());
    }

    /// D-129
    #[tokio::test]
    async fn a_fixed_id_is_taken_once() {
        let folder = tempfile::tempdir().expect("folder");
        occupy(folder.path(), "my-worker", 0);
        let fixed = |_| "my-worker".to_owned();
        let error = Slot::claim(folder.path(), fixed, &[])
            .await
            .expect_err("refused");
        assert_eq!(
            error.to_string(),
            "Instance with the same WORKER_ID [my-worker] is already running"
        );
    }

    #[tokio::test]
    async fn the_slot_that_a_supervisor_keeps_goes_to_the_next_worker() {
        let folder = tempfile::tempdir().expect("folder");
        occupy(folder.path(), "host:0", 0);
        let supervisor = i32::try_from(std::process::id()).expect("a pid");
        let slot = Slot::claim(folder.path(), name, &[supervisor])
            .await
            .expect("claimed");
        assert_eq!(slot.worker, "host:0");
    }

    /// D-130: another user's lock file stays, and nobody waits for it for ever.
    #[tokio::test]
    async fn a_lock_that_cannot_be_removed_is_passed_over() {
        let folder = tempfile::tempdir().expect("folder");
        // In its place a folder, which cannot be removed as a file can.
        let lock = folder.path().join(LOCK);
        fs::create_dir(&lock).expect("made");
        let long_ago = std::time::SystemTime::now() - Duration::from_mins(1);
        File::open(&lock)
            .and_then(|lock| lock.set_modified(long_ago))
            .expect("dated back");
        let slot = Slot::claim(folder.path(), name, &[])
            .await
            .expect("claimed");
        assert_eq!(slot.number, 0);
        assert!(lock.exists());
    }

    /// D-130: what is chosen is registered before anybody else can choose, and a choice that fails leaves nothing.
    #[tokio::test]
    async fn a_choice_is_made_among_the_living() {
        let folder = tempfile::tempdir().expect("folder");
        occupy(folder.path(), "host:gpu1", 4);
        let seen = |living: &[Instance]| living.len();
        let refused = Slot::claim_with(folder.path(), &[], |living| Err(seen(living)));
        assert_eq!(refused.await.expect("locked").expect_err("refused"), 1);
        let chosen = Slot::claim_with(folder.path(), &[], |living| {
            assert!(folder.path().join(LOCK).exists());
            Ok::<_, ()>(("host:gpu0".to_owned(), Slot::free(living) + 7))
        });
        let slot = chosen.await.expect("locked").expect("chosen");
        assert_eq!((slot.worker.as_str(), slot.number), ("host:gpu0", 7));
        assert_eq!(Instance::all(folder.path()).len(), 2);
        assert!(!folder.path().join(LOCK).exists());
    }

    /// D-128: whose file cannot be read has a slot all the same.
    #[tokio::test]
    async fn an_agent_of_another_user_has_a_slot() {
        let folder = tempfile::tempdir().expect("folder");
        occupy(folder.path(), "host:0", 0);
        occupy(folder.path(), "host:2", 2);
        let mut all = Instance::all(folder.path());
        assert_eq!(Slot::free(&all), 1);
        let other = all.iter_mut().find(|one| one.number == 2).expect("there");
        other.is_readable = false;
        assert_eq!(Slot::free(&all), 2);
    }
}
