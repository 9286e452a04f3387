//! Finds the runs that earlier workers have left, before the first look at the queues.

use super::WorkerName;
use crate::storage::Places;
use crate::task::{Entry, JournalError, Phase, RunFolder};

/// What is to be done about the runs on this machine.
#[derive(Debug, Default)]
pub(super) struct Inheritance {
    /// Runs of this worker: they hold its place until they are settled.
    pub(super) own: Vec<RunFolder>,
    /// Runs of workers that are gone, without a supervisor: to be settled beside the work.
    pub(super) abandoned: Vec<RunFolder>,
    /// Runs that nobody but another release can settle.
    pub(super) strange: Vec<(RunFolder, JournalError)>,
}

impl Inheritance {
    /// Sorts the runs for `worker`.
    pub(super) fn of(places: &Places, worker: &str) -> Self {
        let mut inheritance = Self::default();
        for run in RunFolder::all(places) {
            match run.read() {
                Ok(entry) if has_worker(&run) => {
                    tracing::debug!(task = entry.task, "watched by another worker");
                }
                Ok(entry) if entry.is_of(worker) => inheritance.own.push(run),
                Ok(_) if run.is_supervised() => {}
                Ok(_) => inheritance.abandoned.push(run),
                Err(error) if error.is_gone() => {}
                Err(error) => inheritance.strange.push((run, error)),
            }
        }
        inheritance
    }
}

/// Runs of `execute` that nobody supervises or watches, and that had begun: each with what its journal says.
pub fn left_by_execute(places: &Places) -> Vec<(RunFolder, Entry)> {
    let runs = RunFolder::all(places).into_iter();
    let left = runs.filter(|run| !has_worker(run) && !run.is_supervised());
    left.filter_map(|run| {
        let entry = run.read().ok()?;
        // A worker's runs wait for a worker, which has their place.
        (entry.queue.is_empty() && entry.owner.is_none() && entry.phase != Phase::Pulled)
            .then_some((run, entry))
    })
    .collect()
}

/// The processes that supervise runs, each with the worker that has started it.
pub fn supervisors(places: &Places) -> Vec<(i32, String)> {
    let entries = RunFolder::all(places)
        .into_iter()
        .filter_map(|run| run.supervised());
    entries
        .filter_map(|entry| Some((entry.supervisor?.pid, entry.parent.unwrap_or(entry.worker))))
        .collect()
}

/// Supervisors that keep the slot of a worker of this name that is gone: their slots count as free.
pub fn vacant_slots(places: &Places, name: &WorkerName) -> Vec<i32> {
    let orphans: Vec<Entry> = RunFolder::all(places)
        .into_iter()
        .filter(|run| !has_worker(run))
        .filter_map(|run| run.supervised())
        .filter(|entry| name.could_be(&entry.worker))
        .collect();
    let supervisors = orphans
        .iter()
        .filter_map(|entry| entry.supervisor)
        .map(|process| process.pid);
    let holders: Vec<i32> = places
        .slots
        .all()
        .into_iter()
        .map(|instance| instance.pid)
        .collect();
    supervisors.filter(|pid| holders.contains(pid)).collect()
}

fn has_worker(run: &RunFolder) -> bool {
    run.watcher()
        .is_some_and(|watcher| watcher.process.is_alive())
}
