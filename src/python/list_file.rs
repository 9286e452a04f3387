//! A list for one installer call, in memory: whoever is killed meanwhile leaves nothing behind (E-159).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, memfd_create};

/// A file that has a path for the programs that this process starts, for as long as the value lives.
///
/// It may hold passwords: no other user can read it, and it is on no disk.
#[derive(Debug)]
pub(super) struct ListFile {
    path: PathBuf,
    _file: File,
}

impl ListFile {
    /// Holds `text`.
    pub(super) fn new(text: &str) -> io::Result<Self> {
        // By the kernel's own call: the C library of the oldest systems does not have it.
        let mut file = File::from(memfd_create(c"requirements.txt", MemfdFlags::CLOEXEC)?);
        file.write_all(text.as_bytes())?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        Ok(Self {
            path: path.into(),
            _file: file,
        })
    }

    /// Where the programs find it.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-159
    #[test]
    fn a_program_reads_the_list_until_it_is_dropped() {
        let list = ListFile::new("six==1.16.0\n").expect("made");
        let path = list.path().to_owned();
        let read = || {
            let output = std::process::Command::new("cat").arg(&path).output();
            output.expect("cat runs").stdout
        };
        assert_eq!(read(), b"six==1.16.0\n");
        // Each reader begins at the beginning.
        assert_eq!(read(), b"six==1.16.0\n");
        drop(list);
        assert_ne!(read(), b"six==1.16.0\n");
    }
}
