//! The lock of the instance files, shared with the official agent (D-130).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::storage::age;

pub(super) const LOCK: &str = "_.clearmlagent_global.lock";
/// How long a foreign lock file is honoured (D-130).
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(50);

/// Keeps two agents from choosing the same slot (D-130).
///
/// Where somebody else's file cannot be removed, there is none to drop.
pub(super) struct RegistrationLock(Option<PathBuf>);

impl RegistrationLock {
    pub(super) async fn acquire(folder: &Path) -> io::Result<Self> {
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
    age(path).is_none_or(|age| age >= LOCK_PATIENCE)
}
