//! The temporary folder of one run's installers: what they leave when they are killed goes with it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const PREFIX: &str = ".clearml_agent_installer.";

/// A folder for `TMPDIR` of pip, removed with the value; one that a killed agent has left goes with the next.
#[derive(Debug)]
pub(super) struct InstallerFolder {
    folder: TempDir,
    /// Held as long as the folder is in use.
    _lock: File,
}

impl InstallerFolder {
    /// Makes one where this process has its temporary files.
    pub(super) fn create() -> io::Result<Self> {
        let place = std::env::temp_dir();
        remove_abandoned(&place);
        Self::create_in(&place)
    }

    fn create_in(place: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
        let lock = File::open(folder.path())?;
        lock.lock()?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Folders whose agents are gone. One that cannot be removed is somebody else's business.
fn remove_abandoned(place: &Path) {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    for path in named.map(|entry| entry.path()) {
        if is_abandoned(&path) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// A folder that is as new as this may not have been locked yet.
fn is_abandoned(path: &PathBuf) -> bool {
    const YOUNG: std::time::Duration = std::time::Duration::from_secs(1);
    let modified = path.metadata().and_then(|folder| folder.modified()).ok();
    let is_old = modified
        .and_then(|modified| modified.elapsed().ok())
        .is_some_and(|age| age > YOUNG);
    is_old && File::open(path).is_ok_and(|folder| folder.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-159: what a killed agent leaves goes with the next, what is in use stays.
    #[test]
    fn abandoned_folders_go_and_used_ones_stay() {
        let place = tempfile::tempdir().expect("folder");
        let used = InstallerFolder::create_in(place.path()).expect("made");
        let abandoned = place.path().join(format!("{PREFIX}gone"));
        fs::create_dir(&abandoned).expect("folder");
        fs::write(abandoned.join("pip-install-x"), "").expect("file");
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        for folder in [used.path(), &abandoned] {
            let times = fs::FileTimes::new().set_modified(long_ago);
            let folder = File::open(folder).expect("folder");
            folder.set_times(times).expect("time");
        }
        remove_abandoned(place.path());
        assert!(used.path().exists() && !abandoned.exists());
        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }
}
