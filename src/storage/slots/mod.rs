//! Instance slots: one file for each running agent of this machine, shared with the official agent (D-126 to D-134).

mod instance;
mod lock;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use instance::Instance;
use instance::{PREFIX, SUFFIX};
use lock::RegistrationLock;

use super::create_temporary;

/// How long an agent may take from its file to its first word to the server.
const TIME_TO_REGISTER: Duration = Duration::from_mins(1);

/// The folder of the instance files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SlotFolder {
    path: PathBuf,
    is_shared: bool,
}

/// A slot that this process holds; the file goes when this is dropped (D-133).
#[derive(Debug)]
pub struct Slot {
    path: PathBuf,
    /// Worker id under which the slot was taken.
    pub worker: String,
    /// Number of the slot.
    pub number: u32,
    /// An agent of another container may have the same id (D-129).
    pub has_twin: bool,
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

impl SlotFolder {
    /// One in which the agents of this machine, or of this container, register.
    pub fn own(path: PathBuf) -> Self {
        Self {
            path,
            is_shared: false,
        }
    }

    /// One in which agents of other containers register as well: their processes cannot be seen here (D-081, C-075).
    pub fn shared(path: PathBuf) -> Self {
        Self {
            path,
            is_shared: true,
        }
    }

    /// True where agents of other containers register as well.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All instance files, whether their agents live or not (D-127).
    pub fn all(&self) -> Vec<Instance> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| Instance::read(&entry.path()))
            .collect()
    }

    /// Those of the agents that live, or may live in another container.
    pub fn living(&self) -> Vec<Instance> {
        let mut living = self.all();
        living.retain(|instance| self.may_live(instance));
        living
    }

    fn may_live(&self, instance: &Instance) -> bool {
        instance.is_alive() || (self.is_shared && instance.names_a_process())
    }

    /// Removes the files of agents that had the number of this process before it.
    ///
    /// To be called before this process takes a slot: in a container that is started again the numbers are the same. In
    /// a shared folder another container's agent may have the number, unless the worker `was_here`.
    pub fn forget_namesakes(&self, was_here: impl Fn(&str) -> bool) {
        let own = nix::unistd::getpid().as_raw();
        for other in self.all() {
            if other.pid == own && (!self.is_shared || was_here(&other.worker)) {
                other.forget();
            }
        }
    }

    /// Removes the files of agents of other containers of which the server does not know either (D-127).
    pub fn forget_unregistered(&self, is_registered: impl Fn(&str) -> bool) {
        for instance in self.strangers() {
            if !is_registered(&instance.worker) {
                instance.forget();
            }
        }
    }

    /// Files of agents that are not seen from here, and that have had the time to register: the server knows whether they
    /// live. None in a folder that is not shared.
    ///
    /// A file of this process's number that it does not hold is another container's, or that of an agent that had this number
    /// before.
    pub fn strangers(&self) -> Vec<Instance> {
        if !self.is_shared {
            return Vec::new();
        }
        let own = nix::unistd::getpid().as_raw();
        let mut strangers = self.all();
        strangers.retain(|instance| {
            let is_here = instance.is_alive() && instance.pid != own;
            let may_register = instance.age().is_none_or(|age| age < TIME_TO_REGISTER);
            instance.is_readable && !is_here && !may_register && !is_held(&instance.path)
        });
        strangers
    }
}

/// The files of the slots that this process holds.
static HELD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn held() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_held(path: &Path) -> bool {
    held().contains(path)
}

impl Slot {
    /// Takes the smallest free slot (D-128); `worker_id` makes the id in it, which must be free as well (D-129).
    ///
    /// `vacant` are processes whose files do not count: supervisors that keep the slot of a worker that is gone.
    pub async fn claim(
        folder: &SlotFolder,
        worker_id: impl Fn(u32) -> String,
        vacant: &[i32],
    ) -> Result<Self, SlotError> {
        let mut has_twin = false;
        let claimed = Self::claim_with(folder, vacant, |living| {
            let number = Self::free(living);
            let worker = worker_id(number);
            has_twin = living.iter().any(|other| other.worker == worker);
            if has_twin && !folder.is_shared {
                return Err(SlotError::Duplicate(worker));
            }
            Ok((worker, number))
        });
        let mut slot = claimed.await??;
        slot.has_twin = has_twin;
        Ok(slot)
    }

    /// Takes the id and the slot that `choose` finds for itself among the living agents.
    ///
    /// Nobody registers between the choice and its registration, the official agent included (D-130). A choice that
    /// fails takes nothing.
    pub async fn claim_with<E>(
        folder: &SlotFolder,
        vacant: &[i32],
        choose: impl FnOnce(&[Instance]) -> Result<(String, u32), E>,
    ) -> Result<Result<Self, E>, SlotError> {
        let storage = |source| SlotError::Storage {
            folder: folder.path.clone(),
            source,
        };
        let lock = RegistrationLock::acquire(&folder.path)
            .await
            .map_err(storage)?;
        let mut living = Vec::new();
        for instance in folder.all() {
            if !folder.may_live(&instance) {
                instance.forget();
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
    pub fn inherit(folder: &SlotFolder, worker: String, number: u32) -> io::Result<Self> {
        let slot = Self::write(folder, worker, number)?;
        for former in folder.all() {
            if former.worker == slot.worker && !folder.may_live(&former) {
                former.forget();
            }
        }
        Ok(slot)
    }

    fn write(folder: &SlotFolder, worker: String, number: u32) -> io::Result<Self> {
        let prefix = format!("{PREFIX}{}_", nix::unistd::getpid());
        let (path, mut file) = create_temporary(&folder.path, &prefix, SUFFIX)?;
        held().insert(path.clone());
        let slot = Self {
            path,
            worker,
            number,
            has_twin: false,
        };
        write!(file, "{}\n{number}", slot.worker)?;
        Ok(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.path);
        held().remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::lock::LOCK;
    use super::*;

    fn name(slot: u32) -> String {
        format!("host:{slot}")
    }

    fn folder() -> (SlotFolder, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("folder");
        (SlotFolder::own(folder.path().to_owned()), folder)
    }

    /// A living process that looks like an agent to the slot table: this one does (its path names the package).
    fn occupy(folder: &SlotFolder, worker: &str, number: u32) {
        let path = folder.path.join(format!(
            "{PREFIX}{}_abcdefgh{number}{SUFFIX}",
            std::process::id()
        ));
        fs::write(path, format!("{worker}\n{number}")).expect("written");
    }

    /// D-126, D-128, D-133
    #[tokio::test]
    async fn the_smallest_free_slot_is_taken_and_given_back() {
        let (folder, _guard) = folder();
        occupy(&folder, "host:gpuall", 0);
        let slot = Slot::claim(&folder, name, &[]).await.expect("claimed");
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
        let (folder, _guard) = folder();
        let mut child = std::process::Command::new("true").spawn().expect("started");
        let pid = child.id();
        child.wait().expect("ended");
        let stale = folder
            .path()
            .join(format!("{PREFIX}{pid}_abcdefgh{SUFFIX}"));
        fs::write(&stale, "host:0\n0").expect("written");
        let slot = Slot::claim(&folder, name, &[]).await.expect("claimed");
        assert_eq!(slot.number, 0);
        assert!(!stale.exists());
    }

    /// D-129
    #[tokio::test]
    async fn a_fixed_id_is_taken_once() {
        let (folder, _guard) = folder();
        occupy(&folder, "my-worker", 0);
        let fixed = |_| "my-worker".to_owned();
        let error = Slot::claim(&folder, fixed, &[]).await.expect_err("refused");
        assert_eq!(
            error.to_string(),
            "Instance with the same WORKER_ID [my-worker] is already running"
        );
    }

    #[tokio::test]
    async fn the_slot_that_a_supervisor_keeps_goes_to_the_next_worker() {
        let (folder, _guard) = folder();
        occupy(&folder, "host:0", 0);
        let supervisor = i32::try_from(std::process::id()).expect("a pid");
        let slot = Slot::claim(&folder, name, &[supervisor])
            .await
            .expect("claimed");
        assert_eq!(slot.worker, "host:0");
    }

    /// A file of a process that does not exist here, as an agent of another container leaves it.
    fn elsewhere(folder: &SlotFolder, worker: &str, number: u32, age: Duration) -> PathBuf {
        let mut child = std::process::Command::new("true").spawn().expect("started");
        let pid = child.id();
        child.wait().expect("ended");
        let path = folder
            .path
            .join(format!("{PREFIX}{pid}_other{number}{SUFFIX}"));
        fs::write(&path, format!("{worker}\n{number}")).expect("written");
        let then = std::time::SystemTime::now() - age;
        let file = fs::File::open(&path);
        file.and_then(|file| file.set_modified(then))
            .expect("dated back");
        path
    }

    /// C-075, D-081, D-127, D-129
    #[tokio::test]
    async fn agents_of_other_containers_count() {
        let (folder, _guard) = folder();
        let folder = SlotFolder::shared(folder.path);
        let hour = Duration::from_hours(1);
        let theirs = elsewhere(&folder, "fixed", 0, hour);
        let slot = Slot::claim(&folder, name, &[]).await.expect("claimed");
        assert_eq!(
            (slot.worker.as_str(), slot.number, slot.has_twin),
            ("host:1", 1, false)
        );
        let fixed = |_| "fixed".to_owned();
        let twin = Slot::claim(&folder, fixed, &[]).await.expect("claimed");
        assert_eq!((twin.number, twin.has_twin), (2, true));
        assert!(theirs.exists());
        assert_eq!(folder.living().len(), 3);
        assert_eq!(SlotFolder::own(folder.path.clone()).living().len(), 2);
    }

    /// D-127: who has ended in another container is gone from the server; who has just begun is not there yet.
    #[test]
    fn files_of_agents_that_nobody_knows_are_removed() {
        let (own, _guard) = folder();
        let shared = SlotFolder::shared(own.path.clone());
        let hour = Duration::from_hours(1);
        let known = elsewhere(&shared, "known", 0, hour);
        let gone = elsewhere(&shared, "gone", 1, hour);
        let fresh = elsewhere(&shared, "fresh", 2, Duration::ZERO);
        // Of an agent that had the number of this process in a container of the past.
        occupy(&shared, "past", 3);
        let past = shared.all().into_iter().find(|one| one.worker == "past");
        let past = past.expect("there").path;
        let then = std::time::SystemTime::now() - hour;
        let dated = fs::File::open(&past).and_then(|file| file.set_modified(then));
        dated.expect("dated back");
        let is_registered = |worker: &str| worker == "known";
        own.forget_unregistered(is_registered);
        assert!(gone.exists() && past.exists());
        shared.forget_unregistered(is_registered);
        assert!(known.exists() && fresh.exists());
        assert!(!gone.exists() && !past.exists());
    }

    /// D-127: a lease is never registered, and lasts as long as its task.
    #[test]
    fn a_slot_that_this_process_holds_is_no_stranger() {
        let (own, _guard) = folder();
        let shared = SlotFolder::shared(own.path);
        let lease = Slot::inherit(&shared, "host:lease:gpu0".to_owned(), 0);
        let lease = lease.expect("written");
        let then = std::time::SystemTime::now() - Duration::from_hours(1);
        let dated = fs::File::open(&lease.path).and_then(|file| file.set_modified(then));
        dated.expect("dated back");
        assert_eq!(shared.strangers(), []);
        shared.forget_unregistered(|_| false);
        assert!(lease.path.exists());
    }

    /// D-131: the first process of a container that was started again has the number of the one that was killed.
    #[tokio::test]
    async fn an_agent_does_not_take_its_own_number_for_another_agent() {
        let (folder, _guard) = folder();
        occupy(&folder, "fixed", 0);
        occupy(&folder, "ours", 1);
        let shared = SlotFolder::shared(folder.path.clone());
        shared.forget_namesakes(|worker| worker == "ours");
        let left: Vec<String> = folder.all().into_iter().map(|one| one.worker).collect();
        assert_eq!(left, ["fixed"]);
        folder.forget_namesakes(|_| false);
        let slot = Slot::claim(&folder, |_| "fixed".to_owned(), &[]).await;
        assert_eq!(slot.expect("claimed").number, 0);
    }

    /// D-130: another user's lock file stays, and nobody waits for it for ever.
    #[tokio::test]
    async fn a_lock_that_cannot_be_removed_is_passed_over() {
        let (folder, _guard) = folder();
        // In its place a folder, which cannot be removed as a file can.
        let lock = folder.path().join(LOCK);
        fs::create_dir(&lock).expect("made");
        let long_ago = std::time::SystemTime::now() - Duration::from_mins(1);
        fs::File::open(&lock)
            .and_then(|lock| lock.set_modified(long_ago))
            .expect("dated back");
        let slot = Slot::claim(&folder, name, &[]).await.expect("claimed");
        assert_eq!(slot.number, 0);
        assert!(lock.exists());
    }

    /// D-130: what is chosen is registered before anybody else can choose, and a choice that fails leaves nothing.
    #[tokio::test]
    async fn a_choice_is_made_among_the_living() {
        let (folder, _guard) = folder();
        occupy(&folder, "host:gpu1", 4);
        let seen = |living: &[Instance]| living.len();
        let refused = Slot::claim_with(&folder, &[], |living| Err(seen(living)));
        assert_eq!(refused.await.expect("locked").expect_err("refused"), 1);
        let chosen = Slot::claim_with(&folder, &[], |living| {
            assert!(folder.path().join(LOCK).exists());
            Ok::<_, ()>(("host:gpu0".to_owned(), Slot::free(living) + 7))
        });
        let slot = chosen.await.expect("locked").expect("chosen");
        assert_eq!((slot.worker.as_str(), slot.number), ("host:gpu0", 7));
        assert_eq!(folder.all().len(), 2);
        assert!(!folder.path().join(LOCK).exists());
    }

    /// D-128: whose file cannot be read has a slot all the same.
    #[tokio::test]
    async fn an_agent_of_another_user_has_a_slot() {
        let (folder, _guard) = folder();
        occupy(&folder, "host:0", 0);
        occupy(&folder, "host:2", 2);
        let mut all = folder.all();
        assert_eq!(Slot::free(&all), 1);
        let other = all.iter_mut().find(|one| one.number == 2).expect("there");
        other.is_readable = false;
        assert_eq!(Slot::free(&all), 2);
    }
}
