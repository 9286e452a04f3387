//! Files that are either the old or the new text, never a part of it, and for the owner's eyes alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::temporary_name;

/// Replaces the file at `path` (0600) in one step; after a crash it holds the old or the new bytes.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_string_lossy();
    let fresh = folder.join(temporary_name(&format!(".{name}."), ".new"));
    let written = write_new(&fresh, bytes).and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        // A half-written file is of no use; the error that led here is the one to report.
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// The file's bytes, or none where there is no such file.
pub fn read_private(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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
}
