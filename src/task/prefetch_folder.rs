//! Where a worker says what is to be fetched for a waiting task, and by which others see that it is being done.
//!
//! ```text
//! <state>/prefetch/<slot>/order.json    the task, and how it will be run
//!                         clearml.conf  the configuration of the worker's tasks
//!                         lock          held while something is fetched for the task of the order
//!                         log           what was printed, until the next order
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::run_options::RunOptions;
use crate::api::TaskId;
use crate::settings::Settings;
use crate::storage::{FileLock, LockKind, Places, write_private};

const ORDER: &str = "order.json";
const LOCK: &str = "lock";
/// How long a task waits for what is being fetched for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a worker wants to have fetched.
#[derive(Debug, Deserialize, Serialize)]
pub struct PrefetchOrder {
    /// The task that waits.
    pub task: String,
    /// The worker that will run it, or another one that is like it.
    pub worker: String,
    /// How it will be run.
    pub options: RunOptions,
    /// The folder in which environments are made, before they go to the store.
    pub environments: PathBuf,
}

/// The folder of one worker.
#[derive(Clone, Debug)]
pub struct PrefetchFolder(PathBuf);

impl PrefetchFolder {
    /// That of the worker with this slot.
    pub fn of_slot(places: &Places, slot: u32) -> Self {
        Self(places.prefetch.join(slot.to_string()))
    }

    /// The one at this path.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The configuration.
    pub fn configuration(&self) -> PathBuf {
        self.0.join("clearml.conf")
    }

    /// What was printed.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Writes an order down, in the place of an earlier one.
    pub fn write(&self, order: &PrefetchOrder, settings: &Settings) -> io::Result<()> {
        Places::create(&self.0)?;
        match fs::remove_file(self.log()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        settings.write(&self.configuration())?;
        write_private(&self.0.join(ORDER), &serde_json::to_vec(order)?)
    }

    /// The order.
    pub fn read(&self) -> io::Result<PrefetchOrder> {
        Ok(serde_json::from_slice(&fs::read(self.0.join(ORDER))?)?)
    }

    /// Says that the order is being carried out, until the lock is dropped; none where somebody else does that.
    pub async fn hold(&self) -> io::Result<Option<FileLock>> {
        // Who looks whether it is held has it for a moment.
        let limit = Duration::from_secs(5);
        FileLock::acquire(&self.0.join(LOCK), LockKind::Exclusive, limit).await
    }

    /// Removes it with everything in it.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// Waits until nobody fetches anything for this task any more; `begins` is called where somebody does.
///
/// What cannot be read is not waited for, nor is what takes long, because it gets no processor or its network hangs: the
/// task fetches everything itself then.
pub(super) async fn others_are_done(prefetch: &Path, task: &TaskId, begins: impl FnOnce()) {
    const LOOK: Duration = Duration::from_millis(50);
    let folders = fs::read_dir(prefetch).into_iter().flatten().flatten();
    let Some(folder) = folders
        .map(|folder| PrefetchFolder(folder.path()))
        .find(|folder| folder.is_busy_with(task))
    else {
        return;
    };
    begins();
    let end = Instant::now() + PATIENCE;
    while folder.is_busy_with(task) && Instant::now() < end {
        sleep(LOOK).await;
    }
}

impl PrefetchFolder {
    fn is_busy_with(&self, task: &TaskId) -> bool {
        let is_for_it = self.read().is_ok_and(|order| order.task == task.as_str());
        let tried = || FileLock::try_acquire(&self.0.join(LOCK), LockKind::Shared);
        is_for_it && matches!(tried(), Ok(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_fetched_for_a_task_is_waited_for() {
        let root = tempfile::tempdir().expect("folder");
        let folder = PrefetchFolder::at(&root.path().join("0"));
        let order = PrefetchOrder {
            task: "a".repeat(32),
            worker: "host:0".to_owned(),
            options: RunOptions::default(),
            environments: root.path().join("environments"),
        };
        fs::create_dir(folder.path()).expect("folder");
        let bytes = serde_json::to_vec(&order).expect("json");
        write_private(&folder.path().join(ORDER), &bytes).expect("written");
        let task: TaskId = order.task.parse().expect("an id");
        let other: TaskId = "b".repeat(32).parse().expect("an id");
        others_are_done(root.path(), &task, || panic!("nobody fetches")).await;
        let lock = folder.hold().await.expect("tried").expect("free");
        others_are_done(root.path(), &other, || panic!("not for it")).await;
        let begin = Instant::now();
        others_are_done(root.path(), &task, || {}).await;
        assert!(begin.elapsed() >= PATIENCE);
        let begin = Instant::now();
        let mut lock = Some(lock);
        let mut begun = 0;
        others_are_done(root.path(), &task, || {
            begun += 1;
            lock.take();
        })
        .await;
        assert_eq!((begun, begin.elapsed()), (1, Duration::ZERO));
    }
}
