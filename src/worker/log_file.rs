//! The file that a daemon in the background writes to (D-141, D-145, D-146).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::storage::{age, create_temporary, temporaries};

const PREFIX: &str = ".clearml_agent_daemon_out";
const SUFFIX: &str = ".txt";

/// So long the file of a daemon that was killed stays, so that somebody can look at it.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// Removes the files to which nobody has printed for long, and nobody can any more.
fn remove_abandoned(folder: &Path) {
    for path in temporaries(folder, PREFIX, SUFFIX) {
        let is_old = age(&path).is_some_and(|age| age > KEPT);
        if is_old && File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(&path);
        }
    }
}

/// A log file in the place of stdout and stderr.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    /// Only the present task is in it.
    is_for_one_task: bool,
    /// It outlives the daemon.
    is_kept: bool,
}

impl LogFile {
    /// Makes the file, for its owner alone.
    ///
    /// With `is_for_one_task` each task begins an empty file; with `is_kept` it is still there when the daemon is not.
    pub fn create(folder: &Path, is_for_one_task: bool, is_kept: bool) -> io::Result<Self> {
        remove_abandoned(folder);
        let (path, file) = create_temporary(folder, PREFIX, SUFFIX)?;
        // Whoever prints to it holds it as well, also when the daemon is gone.
        if let Err(error) = file.lock() {
            tracing::debug!(%error, "could not lock the log file");
        }
        Ok(Self {
            path,
            file,
            is_for_one_task,
            is_kept,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sends everything that this process and its children print from now on to the file.
    pub fn take_over(&self) -> io::Result<()> {
        // Nobody may have read what was printed until now; that is no reason to end.
        let _ = io::stdout().flush();
        nix::unistd::dup2_stdout(&self.file)?;
        nix::unistd::dup2_stderr(&self.file)?;
        Ok(())
    }

    /// A task begins.
    pub(super) fn task_begins(&self) {
        if self.is_for_one_task
            && let Err(error) = self.file.set_len(0)
        {
            tracing::warn!(%error, "could not empty the log file");
        }
    }

    /// The daemon was told to end.
    pub(super) fn daemon_ends(&self) {
        if !self.is_kept {
            // Gone already is as good.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D-145: a file that a killed daemon has left is kept for a while; one that somebody prints to stays.
    #[test]
    fn old_files_of_killed_daemons_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let make = || LogFile::create(folder.path(), false, true).expect("made");
        let (living, recent, old) = (make(), make(), make());
        let long_ago = std::time::SystemTime::now() - KEPT - Duration::from_mins(1);
        for log in [&living, &old] {
            log.file.set_modified(long_ago).expect("set");
        }
        let killed = |log: LogFile| {
            // A program that another test is starting may have a copy of the descriptor.
            log.file.unlock().expect("unlocked");
            log.path().to_owned()
        };
        let (recent, old) = (killed(recent), killed(old));
        drop(make());
        assert!(!old.exists() && recent.exists() && living.path().exists());
    }
}
