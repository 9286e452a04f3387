//! The folders in which the agent keeps what must outlive a process.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use directories::ProjectDirs;

/// Where this agent keeps its state and its temporary files.
#[derive(Clone, Debug)]
pub struct Places {
    /// Journals of running tasks; survives a reboot.
    pub runs: PathBuf,
    /// Sockets by which running workers are asked.
    pub control: PathBuf,
    /// Slot files, which the official agent reads as well (D-126).
    pub slots: PathBuf,
    /// Capture files and children's configuration (D-077).
    pub temporary: PathBuf,
}

impl Places {
    /// The folders for this user: `temporary` overrides the system's for capture files (D-077).
    pub fn new(temporary: Option<PathBuf>) -> io::Result<Self> {
        let directories = ProjectDirs::from("", "", "clearml-agent").ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "the user has no home folder")
        })?;
        let state = directories
            .state_dir()
            .unwrap_or_else(|| directories.data_local_dir());
        let system = std::env::temp_dir();
        Ok(Self {
            runs: state.join("runs"),
            control: state.join("control"),
            temporary: temporary.unwrap_or_else(|| system.clone()),
            slots: system,
        })
    }

    /// Creates a folder for the owner alone, with its parents.
    pub fn create(folder: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
    }
}
