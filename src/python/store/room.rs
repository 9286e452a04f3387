//! Where the packages of a container's environment are: in the store, because hard links reach into no other mount, and
//! because making files in a container is slow. The environment has a link to them.
//!
//! ```text
//! <store>/rooms/<id>/lease   held by the program for which it was made, to its end
//!                    tree/   `lib` of the environment
//! ```
//!
//! The next container takes a room that nobody holds any more, if it was made from the same entry.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::check_out::{ORIGIN, origin_of, remove_environment};
use super::entry::{Entry, lease_of, tree_of};
use super::folders::{Store, TEMPORARY, folders};
use crate::storage::{FileLock, LockKind, Places, temporary_name};

const ROOMS: &str = "rooms";
/// The part of an environment that is in a room.
pub(super) const LIBRARIES: &str = "lib";
/// So many wait for a task with their packages.
const WAITING: usize = 4;

/// A room that this process holds.
#[derive(Debug)]
pub(super) struct Room {
    folder: PathBuf,
    lease: FileLock,
}

impl Room {
    /// What is in it, with the paths of the environment.
    pub(super) fn tree(&self) -> PathBuf {
        tree_of(&self.folder)
    }

    /// It is that of this process and of all that it becomes.
    pub(super) fn keep(self) -> io::Result<()> {
        self.lease.keep()
    }

    /// A room that nobody holds; none where somebody does, or it has gone meanwhile.
    fn free(folder: &Path) -> Option<Self> {
        let lease = FileLock::try_acquire(&lease_of(folder), LockKind::Exclusive).ok()??;
        // Who removes a room first takes it out of its place.
        tree_of(folder).exists().then(|| Self {
            folder: folder.to_owned(),
            lease,
        })
    }

    fn remove(self, store: &Path) -> io::Result<()> {
        let name = self.folder.file_name().unwrap_or_default();
        let outside = store.join(TEMPORARY).join(name);
        fs::rename(&self.folder, &outside)?;
        // The inodes of the entry know of it.
        remove_environment(&tree_of(&outside))?;
        fs::remove_dir_all(outside)
    }
}

/// What is in the room of this environment, if it has one, is as it is in `entry` now.
pub(super) fn now_from(environment: &Path, rooms: &Path, entry: &Path) {
    let libraries = fs::read_link(environment.join(LIBRARIES));
    let libraries = libraries.ok().filter(|path| path.starts_with(rooms));
    if let Some(tree) = libraries.as_deref().and_then(Path::parent) {
        // Without it, it is made anew for the next.
        let _ = fs::write(tree.join(ORIGIN), entry.as_os_str().as_encoded_bytes());
    }
}

impl Store {
    /// The folder of all rooms.
    pub(super) fn rooms(&self) -> PathBuf {
        self.path().join(ROOMS)
    }

    /// A room for an environment from this entry, as the last one has left it, or empty.
    pub(super) fn room(&self, entry: &Entry) -> io::Result<Room> {
        let is_for = |room: &Room| origin_of(&room.tree()).as_ref() == Some(&entry.folder);
        let mut waiting = Vec::new();
        let mut found = None;
        for folder in folders(&self.rooms())? {
            match Room::free(&folder) {
                Some(room) if found.is_none() && is_for(&room) => found = Some(room),
                Some(room) => waiting.push(room),
                None => {}
            }
        }
        for room in waiting.into_iter().skip(WAITING) {
            // It is tried again by the next.
            let _ = room.remove(self.path());
        }
        if let Some(room) = found {
            return Ok(room);
        }
        // Complete and held before anybody sees it.
        let name = temporary_name("", "");
        let folder = self.path().join(TEMPORARY).join(&name);
        Places::create(&folder)?;
        let lease = FileLock::try_acquire(&lease_of(&folder), LockKind::Exclusive)?;
        let lease = lease.ok_or_else(|| io::Error::from(io::ErrorKind::WouldBlock))?;
        Places::create(&tree_of(&folder))?;
        let origin = entry.folder.as_os_str().as_encoded_bytes();
        fs::write(tree_of(&folder).join(ORIGIN), origin)?;
        let rooms = self.rooms();
        Places::create(&rooms)?;
        let place = rooms.join(name);
        fs::rename(&folder, &place)?;
        Ok(Room {
            folder: place,
            lease,
        })
    }

    /// Removes all rooms that nobody holds.
    pub(super) fn remove_rooms(&self) {
        for folder in folders(&self.rooms()).unwrap_or_default() {
            if let Some(room) = Room::free(&folder) {
                let _ = room.remove(self.path());
            }
        }
    }
}
