//! The folders in which the agent keeps what must outlive a process.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use directories::ProjectDirs;

use super::SlotFolder;
use super::machine::own_part;

/// Where this agent keeps its state and its temporary files.
#[derive(Clone, Debug)]
pub struct Places {
    /// Journals of running tasks; survives a reboot.
    pub runs: PathBuf,
    /// A mark of each worker that runs.
    pub workers: PathBuf,
    /// What workers fetch for waiting tasks, a folder for each worker.
    pub prefetch: PathBuf,
    /// Sockets by which running workers are asked.
    pub control: PathBuf,
    /// Slot files, which the official agent reads as well (D-126).
    pub slots: SlotFolder,
    /// The system's folder for temporary files, which is that of tools and programs.
    pub system: PathBuf,
    /// Capture files and children's configuration (D-077, C-801).
    pub temporary: PathBuf,
}

impl Places {
    /// The folders for this user: `temporary` overrides the system's for files of tasks (D-077, C-801), and slot files are in
    /// `shared`, where agents of other containers keep theirs as well (D-081).
    pub fn new(temporary: Option<PathBuf>, shared: Option<PathBuf>) -> io::Result<Self> {
        let directories = ProjectDirs::from("", "", "clearml-agent").ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "the user has no home folder")
        })?;
        let state = directories
            .state_dir()
            .unwrap_or_else(|| directories.data_local_dir());
        let state = own_part(state.to_owned());
        let system = std::env::temp_dir();
        Ok(Self {
            runs: state.join("runs"),
            workers: state.join("workers"),
            prefetch: state.join("prefetch"),
            control: state.join("control"),
            temporary: temporary.unwrap_or_else(|| system.clone()),
            slots: shared.map_or_else(|| SlotFolder::own(system.clone()), SlotFolder::shared),
            system,
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
