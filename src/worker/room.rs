//! The disks that a task needs before it begins: while one of them is full, no task leaves its queue.

use std::path::{Path, PathBuf};

use super::children::Nursery;
use crate::storage::is_full;
use crate::ui::Printer;

/// Looks whether there is room, and says when that changes.
#[derive(Debug)]
pub(super) struct RoomLook {
    folders: Vec<PathBuf>,
    /// The full one of which that has been said.
    full: Option<PathBuf>,
    printer: Printer,
}

impl RoomLook {
    /// At the folders in which this worker and the environments of its tasks are.
    pub(super) fn new(nursery: &Nursery) -> Self {
        let places = &nursery.places;
        let in_container = nursery.options.docker.is_some();
        let environments = nursery.settings.path("agent.venvs_dir");
        let own = [&places.runs, &places.system, &places.temporary].map(PathBuf::clone);
        Self {
            folders: own
                .into_iter()
                .chain(environments.filter(|_| !in_container))
                .collect(),
            full: None,
            printer: Printer::default(),
        }
    }

    /// True where each folder has room.
    pub(super) fn is_there(&mut self) -> bool {
        let full = self.folders.iter().find(|folder| has_no_room(folder));
        match (full, &self.full) {
            (Some(folder), None) => {
                self.printer.warning(&format!(
                    "no room in `{}`; no task is taken until there is (hint: free space there)",
                    folder.display()
                ));
            }
            (None, Some(_)) => self.printer.line("There is room again: tasks are taken"),
            _ => {}
        }
        self.full = full.cloned();
        self.full.is_none()
    }

    /// The answer to the last look.
    pub(super) fn was_full(&self) -> bool {
        self.full.is_some()
    }
}

/// Also of a folder that is not made yet.
fn has_no_room(folder: &Path) -> bool {
    let mut folders = folder.ancestors();
    folders.find(|folder| folder.exists()).is_some_and(is_full)
}
