//! Makes an environment from an entry (E-243, E-248).

use std::collections::HashSet;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::entry::{Description, Entry, files_of, tree_of};
use super::folders::{Store, blocking};
use super::key::StoreKey;
use super::manifest::{Change, FileRecord, Manifest};
use super::place::Placing;
use super::refresh::refresh;
use super::room::{LIBRARIES, Room};
use super::times::{OwnTimes, Stretch};
use crate::python::relocate::relocate;
use crate::storage::LockKind;

/// Names the entry from which the environment was made, in the environment.
pub(super) const ORIGIN: &str = ".clearml-store";
/// More threads than this only wait for the file system.
const THREADS: usize = 8;

/// What became of a lookup.
#[derive(Debug)]
pub(in crate::python) enum CheckOut {
    /// There is no such entry.
    Missing,
    /// The environment is there, as it was when this entry was made.
    Taken {
        entry: PathBuf,
        description: Description,
    },
    /// The entry has changed since it was made, and is not used any more; the text says so.
    Changed(String),
}

impl Store {
    /// Makes `target` from the entry for `key`, unless that is older than `limit`. What is in `target` goes, but for what
    /// came from the same entry and is unchanged; where there is no entry it stays.
    pub(in crate::python) async fn check_out(
        &self,
        key: &StoreKey,
        limit: Option<Duration>,
        target: &Path,
        cancel: &CancellationToken,
    ) -> io::Result<CheckOut> {
        let Some(entry) = self.find(key)? else {
            return Ok(CheckOut::Missing);
        };
        if limit.is_some_and(|limit| entry.age() > limit) {
            return Ok(CheckOut::Missing);
        }
        let Some(lease) = entry.lease(LockKind::Shared)? else {
            return Ok(CheckOut::Missing);
        };
        let (to, stop) = (target.to_owned(), cancel.clone());
        let this = self.clone();
        let (made, entry, room) = blocking(move || {
            let room = this.options.has_rooms().then(|| this.room(&entry));
            let room = room.transpose()?;
            let made = make(&entry, &to, room.as_ref(), &stop);
            if !matches!(made, Ok(None)) {
                let _ = fs::remove_dir_all(&to);
            }
            Ok((made?, entry, room))
        })
        .await?;
        if let Some(change) = made {
            entry.mark_damaged();
            return Ok(CheckOut::Changed(entry.notice(&change)));
        }
        entry.touch();
        drop(lease);
        if let Some(room) = room {
            // The program needs it to its end, when nobody is left here to guard it.
            room.keep()?;
        }
        Ok(CheckOut::Taken {
            entry: entry.folder,
            description: entry.description,
        })
    }
}

impl Entry {
    /// What the console says about an entry that is given up.
    pub(super) fn notice(&self, change: &Change) -> String {
        format!(
            "WARNING: cached environment {} is not used any more: {} {}",
            self.folder.display(),
            change.path,
            change.what
        )
    }

    pub(super) fn manifest(&self) -> io::Result<Manifest> {
        Ok(serde_json::from_slice(&fs::read(files_of(&self.folder))?)?)
    }

    /// Compares every file with what it was when the entry was made.
    pub(super) fn compare(&self, cancel: &CancellationToken) -> io::Result<Option<Change>> {
        let manifest = self.manifest()?;
        let stretch = Stretch::begin(&self.folder)?;
        let own = OwnTimes::read(&self.folder);
        let tree = tree_of(&self.folder);
        let change = for_all(&manifest.files, cancel, |record| record.change(&tree, &own))?;
        if change.is_none() {
            stretch.end_compared()?;
        }
        Ok(change)
    }
}

/// With a `room`, the packages are there.
fn make(
    entry: &Entry,
    target: &Path,
    room: Option<&Room>,
    cancel: &CancellationToken,
) -> io::Result<Option<Change>> {
    let manifest = entry.manifest()?;
    let (tree, placing) = (tree_of(&entry.folder), Placing::new());
    let mut kept = match origin_of(target) {
        Some(origin) if origin == entry.folder && room.is_none() => {
            refresh(&manifest, &tree, target)?
        }
        _ => {
            remove_environment(target)?;
            HashSet::new()
        }
    };
    fs::create_dir_all(target)?;
    if let Some(room) = room {
        kept = refresh(&manifest, &tree, &room.tree())?;
        let libraries = room.tree().join(LIBRARIES);
        fs::create_dir_all(&libraries)?;
        symlink(&libraries, target.join(LIBRARIES))?;
        kept.insert(LIBRARIES.to_owned());
    }
    // First of all, so that whoever removes what is half made knows whose links these are.
    fs::write(
        target.join(ORIGIN),
        entry.folder.as_os_str().as_encoded_bytes(),
    )?;
    let stretch = Stretch::begin(&entry.folder)?;
    let own = OwnTimes::read(&entry.folder);
    for folder in &manifest.folders {
        if kept.contains(&folder.path) {
            continue;
        }
        // Whatever the umask of this task is.
        let path = target.join(&folder.path);
        DirBuilder::new().mode(folder.mode).create(&path)?;
        if fs::metadata(&path)?.mode() & 0o7777 != folder.mode {
            fs::set_permissions(&path, Permissions::from_mode(folder.mode))?;
        }
    }
    for link in &manifest.links {
        if kept.contains(&link.path) {
            continue;
        }
        symlink(&link.target, target.join(&link.path))?;
    }
    let place = |record: &FileRecord| {
        let change = record.change(&tree, &own)?;
        if change.is_none() && !kept.contains(&record.path) {
            let from = tree.join(&record.path);
            let file = fs::symlink_metadata(&from)?;
            let may_share = record.sha256.is_some();
            placing.place(&from, &target.join(&record.path), &file, may_share)?;
        }
        Ok(change)
    };
    let change = for_all(&manifest.files, cancel, place)?;
    if change.is_some() {
        return Ok(change);
    }
    stretch.end_compared()?;
    relocate(target)?;
    Ok(None)
}

/// Does `work` for all, on several processors; the first answer ends it.
pub(super) fn for_all<T: Sync, A: Send>(
    items: &[T],
    cancel: &CancellationToken,
    work: impl Fn(&T) -> io::Result<Option<A>> + Sync,
) -> io::Result<Option<A>> {
    let threads = thread::available_parallelism().map_or(1, |count| count.get().min(THREADS));
    let ended = AtomicBool::new(false);
    let part = |items: &[T]| {
        for item in items {
            if ended.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if cancel.is_cancelled() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let answer = work(item);
            if !matches!(answer, Ok(None)) {
                ended.store(true, Ordering::Relaxed);
                return answer;
            }
        }
        Ok(None)
    };
    let size = items.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks(size)
            .map(|chunk| scope.spawn(|| part(chunk)))
            .collect();
        let mut found = Ok(None);
        for answer in parts {
            let answer = answer
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a thread has ended early")));
            if !matches!(answer, Ok(None)) {
                found = answer;
            }
        }
        found
    })
}

/// The entry from which an environment was made.
pub(super) fn origin_of(environment: &Path) -> Option<PathBuf> {
    let origin = fs::read_to_string(environment.join(ORIGIN)).ok()?;
    Some(PathBuf::from(origin))
}

/// Removes an environment, if there is one, and notes it where its files are shared with an entry: the inodes know it too.
pub(in crate::python) fn remove_environment(folder: &Path) -> io::Result<()> {
    let stretch = origin_of(folder).and_then(|entry| {
        // The folder says where to write: only where there is an entry is anything written.
        let entry = Entry::read(&entry)?;
        // What the task has changed must not hide behind what is noted now.
        match entry.compare(&CancellationToken::new()) {
            Ok(None) => Stretch::begin(&entry.folder).ok(),
            Ok(Some(_)) => {
                entry.mark_damaged();
                None
            }
            Err(_) => None,
        }
    });
    match fs::symlink_metadata(folder) {
        Ok(file) if file.is_dir() => fs::remove_dir_all(folder)?,
        Ok(_) => fs::remove_file(folder)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if let Some(stretch) = stretch {
        // If it is not noted, the files are read before they are used again.
        let _ = stretch.end();
    }
    Ok(())
}
