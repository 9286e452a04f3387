//! A small disk that a test may fill.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A disk of its own, unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts one of this size (`8m`) at `folder`.
    pub(crate) fn new(folder: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let options = format!("size={size}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "none"])
            .arg(&folder)
            .status();
        assert!(mount.unwrap().success(), "the tests run as root");
        Self(folder)
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// Takes all the room that is left.
    pub(crate) fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        // It ends with the room.
        let _ = io::copy(&mut io::repeat(b'x'), &mut file);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What still uses it keeps it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
