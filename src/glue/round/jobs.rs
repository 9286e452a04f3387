//! The jobs of one look.

use std::collections::HashMap;

use crate::glue::cluster::{Job, JobEnd, JobId, JobState};
use crate::glue::ledger::Entry;

/// What one look has found, of thousands of jobs as well.
pub(super) struct Jobs {
    by_id: HashMap<JobId, Job>,
    /// Those that are not over, the newest last: a task may have had one before.
    by_name: HashMap<String, Vec<Job>>,
    /// What became of those that are missing.
    pub(super) ends: HashMap<JobId, JobEnd>,
}

impl Jobs {
    pub(super) fn of(jobs: &[Job]) -> Self {
        let mut by_name: HashMap<String, Vec<Job>> = HashMap::new();
        for job in jobs {
            if !matches!(job.state, JobState::Ended(_) | JobState::Ending) {
                let living = by_name.entry(job.name.clone()).or_default();
                living.push(job.clone());
            }
        }
        let by_id = jobs.iter().rev().map(|job| (job.id.clone(), job.clone()));
        Self {
            by_id: by_id.collect(),
            by_name,
            ends: HashMap::new(),
        }
    }

    /// How far the job of an entry is.
    pub(super) fn state_for(&self, entry: &Entry) -> Option<&JobState> {
        Some(&self.by_id.get(entry.job()?)?.state)
    }

    /// The job of this number; a controller that has lost its state gives the same numbers again.
    pub(super) fn own(&self, id: &JobId, name: &str) -> Option<&Job> {
        self.by_id.get(id).filter(|job| job.name == name)
    }

    /// Jobs that were submitted, and are not here any more.
    pub(super) fn missing(&self, entries: &[Entry], names: &[String]) -> Vec<JobId> {
        let jobs = entries.iter().map(Entry::job).zip(names);
        jobs.filter_map(|(job, name)| job.filter(|id| self.own(id, name).is_none()))
            .cloned()
            .collect()
    }

    /// Those of a name that are not over, the newest last.
    pub(super) fn living(&self, name: &str) -> &[Job] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }
}
