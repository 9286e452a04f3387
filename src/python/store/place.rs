//! Puts one file into another place: by sharing its content, by sharing the file, or by copying it.

use std::fs::{self, File, FileTimes, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the file system has been seen to do, so that it is not asked for every file.
#[derive(Debug)]
pub(super) struct Placing {
    shares_content: AtomicBool,
}

/// How a file came to its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Placed {
    /// It is a file of its own.
    Own,
    /// It is the same file under another name.
    Shared,
}

impl Placing {
    pub(super) fn new() -> Self {
        Self {
            shares_content: AtomicBool::new(true),
        }
    }

    /// Makes `to` the same as `from`, whose description is `file`; `may_share` allows one file for both.
    pub(super) fn place(
        &self,
        from: &Path,
        to: &Path,
        file: &Metadata,
        may_share: bool,
    ) -> io::Result<Placed> {
        // An empty file has no content to share.
        if file.len() > 0 && self.shares_content.load(Ordering::Relaxed) {
            match reflink_copy::reflink(from, to) {
                Ok(()) => {
                    dress(&File::open(to)?, file)?;
                    return Ok(Placed::Own);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
                Err(_) => {
                    self.shares_content.store(false, Ordering::Relaxed);
                    let _ = fs::remove_file(to);
                }
            }
        }
        // Another device, too many links, a file of somebody else: then it is copied.
        if may_share && fs::hard_link(from, to).is_ok() {
            return Ok(Placed::Shared);
        }
        copy(from, to, file)?;
        Ok(Placed::Own)
    }
}

fn copy(from: &Path, to: &Path, file: &Metadata) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = File::options()
        .write(true)
        .create_new(true)
        .mode(file.mode() & 0o7777 | 0o200)
        .open(to)?;
    io::copy(&mut source, &mut target)?;
    dress(&target, file)
}

/// Gives the file the mode and the time that it is to have. Python tells by the time whether compiled files are current.
fn dress(target: &File, file: &Metadata) -> io::Result<()> {
    let mode = file.mode() & 0o7777;
    if target.metadata()?.mode() & 0o7777 != mode {
        target.set_permissions(Permissions::from_mode(mode))?;
    }
    target.set_times(FileTimes::new().set_modified(file.modified()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placed_file_is_the_same_with_time_and_mode() {
        let folder = tempfile::tempdir().expect("folder");
        let (from, own, shared) = (
            folder.path().join("from"),
            folder.path().join("own"),
            folder.path().join("shared"),
        );
        fs::write(&from, "text").expect("file");
        fs::set_permissions(&from, Permissions::from_mode(0o555)).expect("mode");
        let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let times = FileTimes::new().set_modified(then);
        File::open(&from).unwrap().set_times(times).expect("times");
        let file = fs::metadata(&from).expect("there");
        let placing = Placing::new();
        assert_eq!(
            placing.place(&from, &own, &file, false).expect("placed"),
            Placed::Own
        );
        placing.place(&from, &shared, &file, true).expect("placed");
        for path in [&own, &shared] {
            let placed = fs::metadata(path).expect("placed");
            assert_eq!(placed.modified().expect("time"), then);
            assert_eq!(placed.mode() & 0o777, 0o555);
            assert_eq!(fs::read_to_string(path).expect("read"), "text");
        }
        assert_ne!(fs::metadata(&own).unwrap().ino(), file.ino());
    }
}
