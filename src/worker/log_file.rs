//! The file that a daemon in the background writes to (D-141, D-145, D-146).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::storage::create_temporary;

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
        let (path, file) = create_temporary(folder, ".clearml_agent_daemon_out", ".txt")?;
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
