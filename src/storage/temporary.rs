//! Names in the temporary folder: the official agent's prefixes with eight random characters (D-312).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789_";
const RANDOM_CHARACTERS: usize = 8;

/// `prefix`, eight random characters of `[a-z0-9_]`, `suffix` (D-312).
pub fn temporary_name(prefix: &str, suffix: &str) -> String {
    let mut bits = RandomState::new().build_hasher().finish();
    let random: String = (0..RANDOM_CHARACTERS)
        .map(|_| {
            let size = ALPHABET.len() as u64;
            let index = usize::try_from(bits % size).unwrap_or_default();
            bits /= size;
            char::from(ALPHABET[index])
        })
        .collect();
    format!("{prefix}{random}{suffix}")
}

/// How long the file or folder has been as it is; none where it is gone, or was made in the future.
pub fn age(path: &Path) -> Option<Duration> {
    let metadata = std::fs::metadata(path).ok()?;
    metadata.modified().ok()?.elapsed().ok()
}

/// This user's files of such names in `folder`, the newest first.
pub fn temporaries(folder: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let user = nix::unistd::geteuid().as_raw();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let random = name.to_str().and_then(|name| name.strip_prefix(prefix));
            let random = random.and_then(|rest| rest.strip_suffix(suffix));
            random.is_some_and(|random| random.len() == RANDOM_CHARACTERS)
        })
        .filter_map(|entry| {
            // Not of what a link leads to: anybody may have put one there.
            let metadata = entry.metadata().ok()?;
            let is_own = metadata.is_file() && metadata.uid() == user;
            is_own.then(|| Some((metadata.modified().ok()?, entry.path())))?
        })
        .collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, path)| path).collect()
}

/// A new empty file (0600) of such a name in `folder`.
pub fn create_temporary(folder: &Path, prefix: &str, suffix: &str) -> io::Result<(PathBuf, File)> {
    loop {
        let path = folder.join(temporary_name(prefix, suffix));
        match OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
        {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}
