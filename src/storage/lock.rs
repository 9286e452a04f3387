//! Locks between processes, on files; the operating system frees them when their holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag};
use tokio::time::{Instant, sleep};

/// How long a lock that is held elsewhere is left alone before the next try.
const PAUSE: Duration = Duration::from_millis(100);

/// A lock that is held until this value is dropped, or the process dies.
///
/// A program that is being started has a copy of each descriptor until it runs, and a copy holds a lock that was only
/// closed. So it is given up by name.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Where that fails, closing does the same a little later.
        let _ = self.file.unlock();
    }
}

/// Whom a lock keeps out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LockKind {
    /// Those who want to change what it guards.
    Shared,
    /// Everybody.
    Exclusive,
}

impl FileLock {
    /// Waits for the lock on the file at `path`, which is created where it does not exist; none after `limit`.
    ///
    /// The file itself stays: removing it would let two holders in.
    pub async fn acquire(path: &Path, kind: LockKind, limit: Duration) -> io::Result<Option<Self>> {
        Self::open(path)?.wait(kind, limit).await
    }

    /// Takes the lock if nobody keeps it from us now, without waiting.
    pub fn try_acquire(path: &Path, kind: LockKind) -> io::Result<Option<Self>> {
        Self::open(path)?.try_now(kind)
    }

    /// The same on what is open: a file, or a folder.
    pub fn try_on(file: File, kind: LockKind) -> io::Result<Option<Self>> {
        Self { file }.try_now(kind)
    }

    /// What is locked.
    pub fn file(&self) -> &File {
        &self.file
    }

    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        Ok(Self { file })
    }

    fn try_now(self, kind: LockKind) -> io::Result<Option<Self>> {
        Ok(self.is_taken(kind)?.then_some(self))
    }

    fn is_taken(&self, kind: LockKind) -> io::Result<bool> {
        let tried = match kind {
            LockKind::Shared => self.file.try_lock_shared(),
            LockKind::Exclusive => self.file.try_lock(),
        };
        match tried {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Gives the lock up and waits for it as another kind; somebody else may have had it in between.
    pub async fn exchange(self, kind: LockKind, limit: Duration) -> io::Result<Option<Self>> {
        self.file.unlock()?;
        self.wait(kind, limit).await
    }

    /// Keeps the lock as long as this process lives, and every program that it becomes or starts.
    pub fn keep(self) -> io::Result<()> {
        nix::fcntl::fcntl(&self.file, FcntlArg::F_SETFD(FdFlag::empty()))?;
        std::mem::forget(self);
        Ok(())
    }

    async fn wait(self, kind: LockKind, limit: Duration) -> io::Result<Option<Self>> {
        let begun = Instant::now();
        loop {
            if self.is_taken(kind)? {
                return Ok(Some(self));
            }
            if begun.elapsed() >= limit {
                return Ok(None);
            }
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_free(path: &Path, kind: LockKind) -> bool {
        FileLock::acquire(path, kind, Duration::ZERO)
            .await
            .expect("tried")
            .is_some()
    }

    #[tokio::test]
    async fn shared_holders_keep_out_exclusive_ones_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("lock");
        let shared = FileLock::acquire(&path, LockKind::Shared, Duration::ZERO)
            .await
            .expect("tried")
            .expect("free");
        assert!(is_free(&path, LockKind::Shared).await);
        assert!(!is_free(&path, LockKind::Exclusive).await);
        let exclusive = shared
            .exchange(LockKind::Exclusive, Duration::ZERO)
            .await
            .expect("tried")
            .expect("free");
        assert!(!is_free(&path, LockKind::Shared).await);
        assert!(
            FileLock::try_acquire(&path, LockKind::Shared)
                .expect("tried")
                .is_none()
        );
        drop(exclusive);
        assert!(is_free(&path, LockKind::Exclusive).await);
        assert!(
            FileLock::try_acquire(&path, LockKind::Exclusive)
                .expect("tried")
                .is_some()
        );
    }

    /// As it is in a program that was forked and does not run yet.
    #[tokio::test]
    async fn a_copy_of_the_descriptor_holds_nothing_that_was_given_up() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("lock");
        let lock = FileLock::try_acquire(&path, LockKind::Exclusive)
            .expect("tried")
            .expect("free");
        let _copy = lock.file().try_clone().expect("copied");
        assert!(!is_free(&path, LockKind::Exclusive).await);
        drop(lock);
        assert!(is_free(&path, LockKind::Exclusive).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_ends_the_wait() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("lock");
        let _held = FileLock::acquire(&path, LockKind::Exclusive, Duration::ZERO)
            .await
            .expect("tried")
            .expect("free");
        let started = Instant::now();
        let second = FileLock::acquire(&path, LockKind::Exclusive, Duration::from_mins(5)).await;
        assert!(second.expect("tried").is_none());
        assert!(started.elapsed() >= Duration::from_mins(5));
    }
}
