//! A mark that a worker is at work. One that nobody holds is that of a worker that was killed, and tells what it has left.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::api::{QueueId, WorkerId};
use crate::storage::{FileLock, LockKind, Places};

/// Worker ids are legible in names of files.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b':');
/// Whoever looks at the mark of another worker holds it for a moment.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// Gone when this is dropped; a worker that is killed leaves it.
#[derive(Debug)]
pub(super) struct Presence {
    mark: Option<HeldMark>,
    says: Mark,
}

/// What workers of this server have left that were killed on this machine, with this user's state.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Found {
    /// Where tasks may have been given out that nobody has begun.
    pub(super) queues: Vec<QueueId>,
    /// They have not taken their leave; the one of this very id is not among them.
    pub(super) workers: Vec<WorkerId>,
}

/// What a mark says.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Mark {
    worker: String,
    server: String,
    queues: Vec<String>,
}

/// A mark that no other process holds.
#[derive(Debug)]
struct HeldMark {
    path: PathBuf,
    lock: FileLock,
}

impl Presence {
    /// Marks `worker` as present in this folder; without a mark it works all the same. The last worker of this id may have
    /// left something as well.
    pub(super) fn begin(
        folder: &Path,
        worker: &WorkerId,
        server: &str,
        queues: &[QueueId],
    ) -> (Self, Found) {
        let path = folder.join(name(worker.as_str()));
        let was_there = path.exists();
        let held = Places::create(folder).and_then(|()| HeldMark::of(&path));
        let mark = held
            .inspect_err(|error| tracing::debug!(%error, "no mark of this worker"))
            .ok();
        let says = Mark {
            worker: worker.to_string(),
            server: server.to_owned(),
            queues: queues.iter().map(ToString::to_string).collect(),
        };
        let mut presence = Self { mark, says };
        let mut found = Found::default();
        if was_there {
            let left = presence.mark.as_ref().and_then(HeldMark::read);
            let left = left.filter(|left| left.server == server);
            presence.add(left.iter().flat_map(|left| &left.queues));
            found.queues = presence.queues();
        }
        presence.write();
        (presence, found)
    }

    /// Takes over the marks of other workers of this server that nobody holds, but for those whose place somebody has.
    pub(super) fn take_over(&mut self, is_in_use: impl Fn(&str) -> bool) -> Found {
        let mut found = Found::default();
        let Some(own) = &self.mark else { return found };
        let mut dead = others(&own.path, &self.says.server);
        dead.retain(|(_, left)| !is_in_use(&left.worker));
        if dead.is_empty() {
            return found;
        }
        self.add(dead.iter().flat_map(|(_, left)| &left.queues));
        // Before the others go: who is killed here leaves a mark that says as much.
        self.write();
        for (held, left) in dead {
            held.remove();
            found.workers.extend(left.worker.parse::<WorkerId>());
            found
                .queues
                .extend(left.queues.iter().flat_map(|id| id.parse()));
        }
        found
    }

    fn add<'a>(&mut self, queues: impl Iterator<Item = &'a String>) {
        self.says.queues.extend(queues.cloned());
        self.says.queues.sort();
        self.says.queues.dedup();
    }

    fn queues(&self) -> Vec<QueueId> {
        let queues = self.says.queues.iter();
        queues.flat_map(|queue| queue.parse()).collect()
    }

    fn write(&self) {
        if let Some(mark) = &self.mark {
            mark.write(&self.says);
        }
    }

    /// Leaves the mark: the next worker is to look for what this one has not seen to its end.
    pub(super) fn leave_mark(&mut self) {
        self.mark = None;
    }
}

/// The marks of other workers of this server that nobody holds.
fn others(own: &Path, server: &str) -> Vec<(HeldMark, Mark)> {
    let folder = own.parent().unwrap_or(own);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path != own);
    let held = paths.filter_map(|path| HeldMark::try_of(&path).ok().flatten());
    held.filter_map(|held| {
        let Some(mark) = held.read() else {
            // Nobody learns anything from it.
            held.remove();
            return None;
        };
        (mark.server == server).then_some((held, mark))
    })
    .collect()
}

/// True where a worker of this id has worked here, with this user's state, and was killed.
pub fn was_here(places: &Places, worker: &str) -> bool {
    places.workers.join(name(worker)).exists()
}

fn name(worker: &str) -> String {
    utf8_percent_encode(worker, NAME).to_string()
}

impl HeldMark {
    fn of(path: &Path) -> io::Result<Self> {
        for _ in 0..TRIES {
            if let Some(held) = Self::try_of(path)? {
                return Ok(held);
            }
            sleep(PAUSE);
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// None while somebody else has it.
    fn try_of(path: &Path) -> io::Result<Option<Self>> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path)?;
        let Some(lock) = FileLock::try_on(file, LockKind::Exclusive)? else {
            return Ok(None);
        };
        // Its last holder may have removed it in between.
        let is_the_same = fs::metadata(path).is_ok_and(|there| {
            lock.file()
                .metadata()
                .is_ok_and(|held| (held.dev(), held.ino()) == (there.dev(), there.ino()))
        });
        let path = path.to_owned();
        Ok(is_the_same.then_some(Self { path, lock }))
    }

    fn read(&self) -> Option<Mark> {
        let (mut file, mut bytes) = (self.lock.file(), Vec::new());
        file.rewind().ok()?;
        file.read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn write(&self, mark: &Mark) {
        let written = serde_json::to_vec(mark)
            .map_err(io::Error::from)
            .and_then(|bytes| {
                let mut file = self.lock.file();
                file.rewind()?;
                file.write_all(&bytes)?;
                file.set_len(bytes.len() as u64)
            });
        if let Err(error) = written {
            tracing::debug!(%error, "the mark of this worker says nothing");
        }
    }

    fn remove(self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(mark) = self.mark.take() {
            mark.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "http://h:8008";

    fn begin(folder: &Path, worker: &str, queue: &str) -> (Presence, Found) {
        let worker = worker.parse().expect("an id");
        Presence::begin(folder, &worker, SERVER, &[queue.parse().expect("an id")])
    }

    fn found(queues: &[&str], workers: &[&str]) -> Found {
        Found {
            queues: queues.iter().map(|id| id.parse().expect("an id")).collect(),
            workers: workers
                .iter()
                .map(|id| id.parse().expect("an id"))
                .collect(),
        }
    }

    fn kill(mut presence: Presence) {
        presence.leave_mark();
    }

    #[test]
    fn a_worker_that_was_killed_is_told_from_one_that_has_left() {
        let outer = tempfile::tempdir().expect("folder");
        let folder = outer.path().join("workers");
        let id = "host:gpu0,1";
        for _ in 0..2 {
            let (presence, left) = begin(&folder, id, "q");
            assert_eq!(left, Found::default());
            drop(presence);
        }
        kill(begin(&folder, id, "q").0);
        let (presence, left) = begin(&folder, id, "other");
        assert_eq!(left, found(&["other", "q"], &[]));
        drop(presence);
        assert_eq!(begin(&folder, id, "q").1, Found::default());
        assert_eq!(fs::read_dir(outer.path()).expect("read").count(), 1);
    }

    #[test]
    fn the_mark_of_another_worker_that_was_killed_is_taken_over() {
        let folder = tempfile::tempdir().expect("folder");
        let begin = |worker, queue| begin(folder.path(), worker, queue).0;
        let alive = begin("alive:0", "a");
        kill(begin("dead:1", "d"));
        let elsewhere = "elsewhere:2".parse().expect("an id");
        kill(Presence::begin(folder.path(), &elsewhere, "http://other", &[]).0);
        let mut next = begin("next:1", "n");
        assert_eq!(
            next.take_over(|worker| worker == "dead:1"),
            Found::default()
        );
        assert_eq!(next.take_over(|_| false), found(&["d"], &["dead:1"]));
        assert_eq!(next.take_over(|_| false), Found::default());
        // Killed as well, with what it had found.
        kill(next);
        let mut last = begin("last:1", "l");
        assert_eq!(last.take_over(|_| false), found(&["d", "n"], &["next:1"]));
        drop((alive, last));
        let names = fs::read_dir(folder.path()).expect("read").flatten();
        let names: Vec<_> = names.map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["elsewhere:2"]);
    }
}
