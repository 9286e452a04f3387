//! What goes when there is no room, or when a person asks for it (E-247).

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::entry::{Entry, EntryKind};
use super::folders::{ENTRIES, Listed, Store, blocking, entries};
use crate::python::options::StoreOptions;
use crate::storage::FileLock;

const GIBIBYTE: f64 = 1024.0 * 1024.0 * 1024.0;

/// What a person lets go.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PruneLimits {
    /// Everything.
    pub all: bool,
    /// What was not used for so long.
    pub unused_for: Option<Duration>,
    /// The oldest, until the rest is no larger than so many bytes.
    pub max_bytes: Option<u64>,
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// Gone.
    pub removed: Vec<Listed>,
    /// Left alone, because a task is being made from it.
    pub in_use: Vec<Listed>,
}

/// Removes entries, those first that were not used for longest; without `limits`, what is above those of the settings.
pub async fn prune(
    options: &StoreOptions,
    limits: PruneLimits,
    dry_run: bool,
) -> io::Result<Pruned> {
    let store = Store::new(options);
    // Whoever is not the first to come makes nothing that its owner could not use.
    if !store.path().join(ENTRIES).exists() {
        return Ok(Pruned::default());
    }
    let lock = store.lock(&CancellationToken::new()).await?;
    blocking(move || {
        if !dry_run {
            store.remove_left_overs(&lock);
            store.remove_rooms();
        }
        let mut pruned = Pruned::default();
        for entry in store.superfluous(limits)? {
            // Before it goes: its file says when it was used.
            let listed = Listed::from(entry.clone());
            if dry_run || store.remove(&entry, &lock)? {
                pruned.removed.push(listed);
            } else {
                pruned.in_use.push(listed);
            }
        }
        Ok(pruned)
    })
    .await
}

impl Store {
    fn superfluous(&self, limits: PruneLimits) -> io::Result<Vec<Entry>> {
        let entries = oldest_first(self.path())?;
        let is_chosen = limits != PruneLimits::default();
        let max_bytes = if is_chosen {
            limits.max_bytes
        } else {
            self.max_bytes()
        };
        let mut missing = if is_chosen { 0 } else { self.missing_space()? };
        let mut bytes: u64 = entries.iter().map(|entry| entry.description.bytes).sum();
        let mut counts = [EntryKind::Environment, EntryKind::Base].map(|kind| {
            let same = entries
                .iter()
                .filter(|entry| entry.description.kind == kind);
            (kind, same.count())
        });
        let mut superfluous = Vec::new();
        for entry in entries {
            let unused = entry.last_used().elapsed().unwrap_or_default();
            let count = counts
                .iter_mut()
                .find(|(kind, _)| *kind == entry.description.kind);
            let is_above = |count: usize| !is_chosen && count > self.options.max_entries;
            let goes = limits.all
                || limits.unused_for.is_some_and(|limit| unused > limit)
                || max_bytes.is_some_and(|limit| bytes > limit)
                || missing > 0
                || count.as_ref().is_some_and(|(_, count)| is_above(*count));
            if goes {
                bytes = bytes.saturating_sub(entry.description.bytes);
                missing = missing.saturating_sub(entry.description.bytes);
                if let Some((_, count)) = count {
                    *count = count.saturating_sub(1);
                }
                superfluous.push(entry);
            }
        }
        Ok(superfluous)
    }

    fn max_bytes(&self) -> Option<u64> {
        let limit = self.options.max_size_gb;
        (limit > 0.0).then(|| bytes(limit))
    }

    /// How many bytes more should be free.
    fn missing_space(&self) -> io::Result<u64> {
        let threshold = self.options.free_space_threshold_gb;
        if threshold <= 0.0 {
            return Ok(0);
        }
        Ok(bytes(threshold - free_space_gb(self.path())?))
    }

    /// Removes the oldest entries until one more of `incoming` bytes fits; a text where there is no room even so. The store is locked.
    pub(super) fn make_room(
        &self,
        kind: EntryKind,
        incoming: u64,
        lock: &FileLock,
    ) -> io::Result<Option<String>> {
        let mut entries = oldest_first(self.path())?;
        loop {
            let same = entries.iter().filter(|one| one.description.kind == kind);
            let is_above = same.count() >= self.options.max_entries.max(1);
            let bytes: u64 = entries.iter().map(|entry| entry.description.bytes).sum();
            let goes = if self
                .max_bytes()
                .is_some_and(|limit| bytes.saturating_add(incoming) > limit)
            {
                if entries.is_empty() {
                    return Ok(Some(format!(
                        "Could not add cache entry, it is larger than agent.store.max_size_gb: {:?} GB",
                        self.options.max_size_gb
                    )));
                }
                Some(0)
            } else if is_above {
                position(&entries, kind)
            } else {
                let threshold = self.options.free_space_threshold_gb;
                if threshold <= 0.0 || free_space_gb(self.path())? > threshold {
                    return Ok(None);
                }
                if entries.is_empty() {
                    return Ok(Some(format!(
                        "Could not add cache entry, not enough free space on drive, free space threshold {threshold:?} GB"
                    )));
                }
                Some(0)
            };
            let Some(place) = goes else {
                return Ok(None);
            };
            // One that is being read stays; it does not count.
            self.remove(&entries.remove(place), lock)?;
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of gigabytes; a negative one is zero"
)]
fn bytes(gigabytes: f64) -> u64 {
    (gigabytes * GIBIBYTE).ceil() as u64
}

fn position(entries: &[Entry], kind: EntryKind) -> Option<usize> {
    entries
        .iter()
        .position(|entry| entry.description.kind == kind)
}

fn oldest_first(store: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = entries(store)?;
    entries.sort_by_key(Entry::last_used);
    Ok(entries)
}

/// True where the settings leave room for an environment that nobody is waiting for yet.
pub fn has_room_to_spare(options: &StoreOptions) -> bool {
    let threshold = options.free_space_threshold_gb;
    // A store that is not there yet has the room that its first user finds.
    let free = free_space_gb(&options.path);
    threshold <= 0.0 || free.map_or(true, |free| free > threshold)
}

pub(in crate::python) fn free_space_gb(path: &Path) -> io::Result<f64> {
    let figures = nix::sys::statvfs::statvfs(path)?;
    #[expect(clippy::cast_precision_loss, reason = "a figure in gigabytes")]
    let bytes = figures.blocks_available() as f64 * figures.fragment_size() as f64;
    Ok(bytes / GIBIBYTE)
}
