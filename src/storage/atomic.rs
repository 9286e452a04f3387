//! Files that are either the old or the new text, never a part of it, and for the owner's eyes alone.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FallocateFlags, RenameFlags, fallocate, renameat_with};
use rustix::io::Errno;

use super::temporary_name;

/// For the owner alone.
const PRIVATE: u32 = 0o600;

/// Replaces the file at `path` (0600) in one step; after a crash it holds the old or the new bytes.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, PRIVATE)
}

/// The same for a file that is to be the spare one after an [`exchange`]: it has room for as much.
pub fn write_roomy(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_by(path, |fresh| {
        let file = create_new(fresh)?;
        // The room behind the bytes is not part of the file. Some file systems keep none.
        if let Err(error @ (Errno::NOSPC | Errno::DQUOT)) =
            fallocate(&file, FallocateFlags::KEEP_SIZE, 0, SPARE as u64)
        {
            return Err(error.into());
        }
        fill(file, bytes)
    })
}

/// The same for a file that others may use: `mode` is what it has in the end, and at no time does it allow more.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_by(path, |fresh| {
        let file = create_new(fresh)?;
        if mode != PRIVATE {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        fill(file, bytes)
    })
}

fn replace_by(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_string_lossy();
    let fresh = folder.join(temporary_name(&format!(".{name}."), ".new"));
    let written = write(&fresh).and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        // A half-written file is of no use; the error that led here is the one to report.
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// Room on the disk that [`exchange`] lives on, in bytes.
const SPARE: usize = 16 * 1024;

/// Keeps room for a later [`exchange`], in a file of its own.
pub fn make_spare(spare: &Path) -> io::Result<()> {
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(PRIVATE)
        .open(spare)?;
    file.write_all(&[b' '; SPARE])
}

/// Gives the room back that an [`exchange`] has taken from the spare file, where there is some again.
pub fn refill_spare(spare: &Path) {
    let is_short = |file: fs::Metadata| file.len() < SPARE as u64;
    if spare.metadata().is_ok_and(is_short) {
        // The next write tries again.
        let _ = make_spare(spare);
    }
}

/// As [`write_private`] where the disk is full: the bytes get the place of `spare`, and that of the old ones is spare.
///
/// The file stays as long as the spare one was: blanks are behind the bytes. Who has opened the file before may read both
/// texts mixed after the next exchange, and reads it again.
pub fn exchange(spare: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(spare)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(SPARE);
    let mut padded = bytes.to_vec();
    padded.resize(length.max(bytes.len()), b' ');
    file.write_all(&padded)?;
    file.sync_data()?;
    // By the kernel's own call: the C library has it from glibc 2.28 on.
    renameat_with(CWD, spare, CWD, path, RenameFlags::EXCHANGE)?;
    Ok(())
}

/// Makes the file at `path` (0600) in one step. Fails with `AlreadyExists` where there is one that is not empty, also
/// where it appears at the last moment; an empty one is replaced.
pub fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Behind a link is the file that is meant.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    // Made with mode 0600.
    let mut fresh = tempfile::Builder::new()
        .prefix(".clearml-agent.")
        .tempfile_in(folder)?;
    fresh.write_all(bytes)?;
    fresh.as_file().sync_data()?;
    let Err(refused) = fresh.persist_noclobber(&path) else {
        return Ok(());
    };
    if refused.error.kind() != io::ErrorKind::AlreadyExists {
        return Err(refused.error);
    }
    let aside = move_empty_aside(&path)?;
    let created = refused.file.persist_noclobber(&path);
    // It was empty; what stays after a crash does no harm.
    let _ = fs::remove_file(aside);
    Ok(created.map(drop)?)
}

/// Takes an empty file out of the way, so that whatever was written to it meanwhile is found out and put back.
fn move_empty_aside(path: &Path) -> io::Result<PathBuf> {
    let is_empty = |path: &Path| Ok::<_, io::Error>(path.metadata()?.len() == 0 && path.is_file());
    if !is_empty(path)? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let aside = path.with_file_name(temporary_name(".clearml-agent.", ".empty"));
    fs::rename(path, &aside)?;
    if is_empty(&aside)? {
        return Ok(aside);
    }
    fs::hard_link(&aside, path).and_then(|()| fs::remove_file(&aside))?;
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The file's bytes, or none where there is no such file.
pub fn read_private(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(path)
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_new_text_replaces_the_old_one_and_is_private() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("journal.json");
        write_private(&path, b"old").expect("written");
        write_private(&path, b"new").expect("written");
        assert_eq!(read_private(&path).expect("read"), Some(b"new".to_vec()));
        assert_eq!(
            fs::metadata(&path).expect("there").permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }
    /// F-131, F-132
    #[test]
    fn only_an_empty_file_is_replaced_by_a_new_one() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("clearml.conf");
        let mode = || fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        create_private(&path, b"new").expect("made");
        assert_eq!(
            (fs::read(&path).expect("read"), mode()),
            (b"new".to_vec(), 0o600)
        );
        let error = create_private(&path, b"newer").expect_err("there is one");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("read"), b"new");
        fs::write(&path, b"").expect("emptied");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        create_private(&path, b"newest").expect("replaced");
        assert_eq!(
            (fs::read(&path).expect("read"), mode()),
            (b"newest".to_vec(), 0o600)
        );
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_text_takes_the_place_of_a_spare_file_again_and_again() {
        let folder = tempfile::tempdir().expect("folder");
        let [spare, path] = ["spare", "journal.json"].map(|name| folder.path().join(name));
        make_spare(&spare).expect("made");
        write_roomy(&path, b"{\"a\": 1}").expect("written");
        let room = path.metadata().expect("there").blocks() * 512;
        assert!(room >= SPARE as u64, "{room}");
        for number in 2..5 {
            let text = format!("{{\"a\": {number}}}");
            exchange(&spare, &path, text.as_bytes()).expect("exchanged");
            let read = fs::read_to_string(&path).expect("read");
            assert_eq!(read.trim_end_matches(' '), text);
        }
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2);
        // What was exchanged may be shorter than the room that was kept.
        fs::write(&spare, b"{}").expect("written");
        refill_spare(&spare);
        assert_eq!(spare.metadata().expect("there").len(), SPARE as u64);
    }

    #[test]
    fn a_link_to_an_empty_file_stays_a_link() {
        let folder = tempfile::tempdir().expect("folder");
        let (path, target) = (folder.path().join("link"), folder.path().join("target"));
        fs::write(&target, b"").expect("written");
        std::os::unix::fs::symlink(&target, &path).expect("linked");
        create_private(&path, b"new").expect("made");
        assert!(path.is_symlink());
        assert_eq!(fs::read(&target).expect("read"), b"new");
    }
}
