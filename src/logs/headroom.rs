//! Room on the disk for what a program prints.
//!
//! A program writes to the output file itself. Where the disk is full its write fails: some programs end with that, others
//! go on, and what they have printed is gone. So some room is kept in advance, and it is noted where that was used up.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::storage::is_full;

/// The room behind the end of an output file.
#[derive(Debug)]
pub struct Headroom {
    file: File,
    folder: PathBuf,
    /// Offset up to which the disk has room for the file.
    kept: u64,
    /// Where the file ended when it was looked at last.
    end: u64,
}

impl Headroom {
    /// Bytes that are kept behind the end of the file.
    const KEPT: u64 = 512 * 1024;

    /// For the file at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self {
            file: File::options().write(true).open(path)?,
            folder,
            kept: 0,
            end: u64::MAX,
        })
    }

    /// The same where the program has ended, which has no use for room: only what was found earlier is said.
    #[must_use]
    pub fn after(mut self, has_ended: bool) -> Self {
        if has_ended {
            self.kept = u64::MAX;
        }
        self
    }

    /// Where the file lies.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps room for what comes next; where the disk has none, the place in the file behind which lines may be missing.
    pub(super) fn look(&mut self) -> Option<u64> {
        let end = self.file.metadata().ok()?.len();
        let stands = std::mem::replace(&mut self.end, end) == end;
        if self.kept >= end.saturating_add(Self::KEPT / 2) {
            return None;
        }
        match self.keep(end, Self::KEPT) {
            Ok(()) => {
                self.kept = end + Self::KEPT;
                None
            }
            // What was kept before is not used up.
            Err(Errno::ENOSPC | Errno::EDQUOT) if end < self.kept => None,
            // The next byte may still have its place.
            Err(Errno::ENOSPC | Errno::EDQUOT) => self.keep(end, 1).is_err().then_some(end),
            // A file system that keeps no room is full for a file that does not grow.
            Err(_) => (stands && is_full(&self.folder)).then_some(end),
        }
    }

    fn keep(&self, start: u64, length: u64) -> nix::Result<()> {
        let [start, length] =
            [start, length].map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        fallocate(
            &self.file,
            FallocateFlags::FALLOC_FL_KEEP_SIZE,
            start,
            length,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn room_is_kept_and_the_file_is_not_longer_for_it() {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        let mut headroom = Headroom::open(file.path()).expect("opened");
        file.write_all(&[b'x'; 5000]).expect("written");
        assert_eq!(headroom.look(), None);
        let taken = file.as_file().metadata().expect("there");
        assert_eq!(taken.len(), 5000);
        assert!(taken.blocks() * 512 >= Headroom::KEPT, "{taken:?}");
    }

    #[test]
    fn nothing_is_kept_for_a_program_that_has_ended() {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        file.write_all(&[b'x'; 5000]).expect("written");
        let headroom = Headroom::open(file.path()).expect("opened");
        assert_eq!(headroom.after(true).look(), None);
        let taken = file.as_file().metadata().expect("there");
        assert!(taken.blocks() * 512 < Headroom::KEPT, "{taken:?}");
    }
}
