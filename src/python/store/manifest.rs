//! The list of an entry's files, by which a change of one of them is found.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::times::OwnTimes;

/// Everything below the tree of an entry; folders stand before what is in them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Manifest {
    pub(super) folders: Vec<FolderRecord>,
    pub(super) links: Vec<LinkRecord>,
    pub(super) files: Vec<FileRecord>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct FolderRecord {
    pub(super) path: String,
    pub(super) mode: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct LinkRecord {
    pub(super) path: String,
    pub(super) target: String,
}

/// One file as it was when the entry was made.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct FileRecord {
    pub(super) path: String,
    pub(super) size: u64,
    /// Nanoseconds since the epoch.
    pub(super) mtime: i64,
    pub(super) mode: u32,
    pub(super) inode: u64,
    /// SHA-256 of the content as in a wheel's `RECORD`, where environments share the file's inode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
}

/// What is wrong with a file of an entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Change {
    pub(super) path: String,
    pub(super) what: &'static str,
}

impl FileRecord {
    pub(super) fn of(path: String, file: &Metadata, sha256: Option<String>) -> Self {
        Self {
            path,
            size: file.len(),
            mtime: mtime(file),
            mode: file.mode() & 0o7777,
            inode: file.ino(),
            sha256,
        }
    }

    /// Compares the file in `tree` with its record; none where it is what it was.
    ///
    /// Whoever writes into a file in place changes its size or time of modification. Who sets that time back changes the
    /// time of the inode, which nobody can set: where that is not a time at which this agent itself has made or removed
    /// links, the content is read and compared.
    pub(super) fn change(&self, tree: &Path, own: &OwnTimes) -> io::Result<Option<Change>> {
        let path = tree.join(&self.path);
        let changed = |what| {
            Ok(Some(Change {
                path: self.path.clone(),
                what,
            }))
        };
        let file = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return changed("is missing"),
            file => file?,
        };
        if !file.is_file() {
            return changed("is no file any more");
        }
        if file.len() != self.size {
            return changed("has another size");
        }
        if mtime(&file) != self.mtime {
            return changed("was modified");
        }
        if file.mode() & 0o7777 != self.mode {
            return changed("has another mode");
        }
        let Some(sha256) = &self.sha256 else {
            return Ok(None);
        };
        if file.ino() != self.inode {
            return changed("was replaced");
        }
        if !own.contain(ctime(&file)) && hash(&path)? != *sha256 {
            return changed("has another content");
        }
        Ok(None)
    }
}

pub(super) fn mtime(file: &Metadata) -> i64 {
    nanoseconds(file.mtime(), file.mtime_nsec())
}

pub(super) fn ctime(file: &Metadata) -> i64 {
    nanoseconds(file.ctime(), file.ctime_nsec())
}

fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// As a wheel's `RECORD` writes it.
pub(super) fn hash(path: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    io::copy(&mut File::open(path)?, &mut digest)?;
    Ok(URL_SAFE_NO_PAD.encode(digest.finalize()))
}
