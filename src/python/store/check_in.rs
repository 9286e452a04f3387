//! Keeps an environment for later tasks (E-245, E-247, E-250).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::check_out::{ORIGIN, for_all};
use super::entry::{Description, Entry, EntryKind, FORMAT, files_of, now, tree_of};
use super::folders::{Store, blocking};
use super::key::{StoreInputs, StoreKey};
use super::manifest::{self, FileRecord, FolderRecord, LinkRecord, Manifest};
use super::place::{Placed, Placing};
use super::record::{delivered, is_compiled, may_be_shared};
use super::room::{self, LIBRARIES};
use super::times::Stretch;
use crate::storage::{FileLock, LockKind};

/// Not part of the environment: the code of the task, and where the environment came from (E-245).
const LEFT_OUT: [&str; 3] = ["task_repository", "code", ORIGIN];

/// What is to be kept.
#[derive(Clone, Debug)]
pub(in crate::python) struct NewEntry {
    pub(in crate::python) kind: EntryKind,
    /// Each of them finds the entry; there is at least one.
    pub(in crate::python) inputs: Vec<StoreInputs>,
    /// What `freeze` says of it, where that was asked.
    pub(in crate::python) frozen: Option<Vec<String>>,
    pub(in crate::python) environment: PathBuf,
    /// An entry that is older is replaced.
    pub(in crate::python) limit: Option<Duration>,
    /// The entry from which this run has made the environment: its files were compared then.
    pub(in crate::python) taken: Option<PathBuf>,
}

/// What became of a check-in.
#[derive(Debug, Eq, PartialEq)]
pub(in crate::python) enum CheckIn {
    /// The environment is an entry now, or was one; with what is to be said about entries that were given up.
    Kept(Vec<String>),
    /// There is no room; the text says so (E-247).
    NoRoom(String),
}

impl Store {
    /// Makes an environment the entry for its inputs.
    pub(in crate::python) async fn check_in(
        &self,
        new: NewEntry,
        cancel: &CancellationToken,
    ) -> io::Result<CheckIn> {
        let keys: Vec<StoreKey> = new.inputs.iter().map(StoreInputs::key).collect();
        if keys.is_empty() {
            return Ok(CheckIn::Kept(Vec::new()));
        }
        let mut notices = Vec::new();
        let lock = self.lock(cancel).await?;
        let (this, stop) = (self.clone(), cancel.clone());
        let (begun, new, keys) = blocking(move || {
            this.remove_left_overs(&lock);
            let begun = this.know_or_begin(&new, &keys, &lock, &stop)?;
            Ok((begun, new, keys))
        })
        .await?;
        let (folder, lease) = match begun {
            Begun::Known => return Ok(CheckIn::Kept(notices)),
            Begun::NoRoom(text) => return Ok(CheckIn::NoRoom(text)),
            Begun::Folder {
                folder,
                lease,
                notice,
            } => {
                notices.extend(notice);
                (HalfMade(folder), lease)
            }
        };
        let stop = cancel.clone();
        let environment = new.environment.clone();
        let kind = new.kind;
        let this = self.clone();
        let (folder, new, keys, bytes) = blocking(move || {
            let bytes = fill(&this, &folder.0, &new, &keys, &stop)?;
            Ok((folder, new, keys, bytes))
        })
        .await?;
        let lock = self.lock(cancel).await?;
        let this = self.clone();
        blocking(move || {
            // Somebody may have been faster.
            if let Some(mut known) = this.known(&keys)? {
                known.learn(&new, &keys)?;
            } else {
                if let Some(text) = this.make_room(kind, bytes, &lock)? {
                    return Ok(CheckIn::NoRoom(text));
                }
                let entry = this.publish(&folder.0, &lock)?;
                // Whoever removes the environment knows whose links these are.
                let origin = environment.join(ORIGIN);
                let _ = fs::write(origin, entry.as_os_str().as_encoded_bytes());
                room::now_from(&environment, &this.rooms(), &entry);
            }
            drop(lease);
            Ok(CheckIn::Kept(notices))
        })
        .await
    }

    fn known(&self, keys: &[StoreKey]) -> io::Result<Option<Entry>> {
        for key in keys {
            if let Some(entry) = self.find(key)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Gives an entry that is known its new keys, or begins a new one (E-245).
    fn know_or_begin(
        &self,
        new: &NewEntry,
        keys: &[StoreKey],
        lock: &FileLock,
        cancel: &CancellationToken,
    ) -> io::Result<Begun> {
        let mut notice = None;
        if let Some(mut known) = self.known(keys)? {
            let is_old = new.limit.is_some_and(|limit| known.age() > limit);
            let is_compared = new.taken.as_ref() == Some(&known.folder);
            let change = match known.lease(LockKind::Shared)? {
                _ if is_compared => None,
                Some(_lease) if !is_old => known.compare(cancel)?,
                _ => None,
            };
            notice = change.as_ref().map(|change| known.notice(change));
            if !is_old && change.is_none() {
                known.learn(new, keys)?;
                return Ok(Begun::Known);
            }
            known.mark_damaged();
            self.remove(&known, lock)?;
        }
        if let Some(text) = self.make_room(new.kind, 0, lock)? {
            return Ok(Begun::NoRoom(text));
        }
        let (folder, lease) = self.begin(lock)?;
        Ok(Begun::Folder {
            folder,
            lease,
            notice,
        })
    }
}

/// How a check-in goes on.
enum Begun {
    Known,
    NoRoom(String),
    Folder {
        folder: PathBuf,
        lease: FileLock,
        notice: Option<String>,
    },
}

/// A folder that goes with this value, unless it has become an entry.
struct HalfMade(PathBuf);

impl Drop for HalfMade {
    fn drop(&mut self) {
        // There is nothing left at this place once it was published.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Entry {
    /// Takes up keys that are new to it.
    fn learn(&mut self, new: &NewEntry, keys: &[StoreKey]) -> io::Result<()> {
        let mut is_new = false;
        for (inputs, key) in new.inputs.iter().zip(keys) {
            if !self.is_for(key) {
                self.description.keys.push(key.clone());
                self.description.inputs.push(inputs.clone());
                is_new = true;
            }
        }
        if is_new {
            self.write()?;
        }
        self.touch();
        Ok(())
    }
}

/// Writes the whole entry into `folder`, the description last; its size in bytes.
fn fill(
    store: &Store,
    folder: &Path,
    new: &NewEntry,
    keys: &[StoreKey],
    cancel: &CancellationToken,
) -> io::Result<u64> {
    let tree = tree_of(folder);
    fs::create_dir(&tree)?;
    let mut found = Manifest::default();
    walk(&new.environment, "", &store.rooms(), &mut found)?;
    for folder in &found.folders {
        fs::create_dir(tree.join(&folder.path))?;
    }
    for link in &found.links {
        std::os::unix::fs::symlink(&link.target, tree.join(&link.path))?;
    }
    let stretch = Stretch::begin(folder)?;
    let (delivered, placing) = (delivered(&new.environment), Placing::new());
    let records = Mutex::new(Vec::with_capacity(found.files.len()));
    let place = |record: &FileRecord| {
        let from = new.environment.join(&record.path);
        let to = tree.join(&record.path);
        let file = fs::symlink_metadata(&from)?;
        let hash = delivered
            .get(&record.path)
            .filter(|(_, size)| *size == file.len() && may_be_shared(&record.path, *size))
            .map(|(hash, _)| hash.clone());
        let hash = match hash {
            None if is_compiled(&record.path) => Some(manifest::hash(&from)?),
            hash => hash,
        };
        let placed = placing.place(&from, &to, &file, hash.is_some())?;
        // What was copied into a store with rooms is shared by those that come.
        let is_shared = placed == Placed::Shared || store.options.has_rooms();
        let hash = hash.filter(|_| is_shared);
        let record = FileRecord::of(record.path.clone(), &fs::symlink_metadata(&to)?, hash);
        records
            .lock()
            .map_err(|_| io::Error::other("a thread has ended early"))?
            .push(record);
        Ok(None::<()>)
    };
    for_all(&found.files, cancel, place)?;
    stretch.end()?;
    found.files = records
        .into_inner()
        .map_err(|_| io::Error::other("a thread has ended early"))?;
    found.files.sort_by(|a, b| a.path.cmp(&b.path));
    let bytes = serde_json::to_vec(&found)?;
    crate::storage::write_private(&files_of(folder), &bytes)?;
    let entry = Entry {
        folder: folder.to_owned(),
        description: Description {
            format: FORMAT,
            kind: new.kind,
            inputs: new.inputs.clone(),
            keys: keys.to_vec(),
            created: now(),
            bytes: found.files.iter().map(|file| file.size).sum(),
            files: found.files.len() as u64,
            frozen: new.frozen.clone(),
        },
    };
    entry.write()?;
    entry.touch();
    Ok(entry.description.bytes)
}

/// Notes everything below the environment; what is neither file, folder nor link is left out. A link to a room among
/// `rooms` is the folder there.
fn walk(environment: &Path, below: &str, rooms: &Path, found: &mut Manifest) -> io::Result<()> {
    for entry in fs::read_dir(environment.join(below))? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            let text = format!("the name {} is no UTF-8", entry.path().display());
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, text));
        };
        if below.is_empty() && LEFT_OUT.contains(&name) {
            continue;
        }
        let path = if below.is_empty() {
            name.to_owned()
        } else {
            format!("{below}/{name}")
        };
        let mut file = entry.metadata()?;
        if below.is_empty() && name == LIBRARIES && file.is_symlink() {
            let leads_there = fs::read_link(entry.path())?.starts_with(rooms);
            file = if leads_there {
                fs::metadata(entry.path())?
            } else {
                file
            };
        }
        if file.is_dir() {
            let mode = file.mode() & 0o7777;
            found.folders.push(FolderRecord {
                path: path.clone(),
                mode,
            });
            walk(environment, &path, rooms, found)?;
        } else if file.is_symlink() {
            let target = fs::read_link(entry.path())?.to_string_lossy().into_owned();
            found.links.push(LinkRecord { path, target });
        } else if file.is_file() {
            found.files.push(FileRecord::of(path, &file, None));
        }
    }
    Ok(())
}
