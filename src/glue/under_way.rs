//! Where a task under way is, as it is told to those who ask.

use super::cluster::JobState;
use super::ledger::{Entry, Phase};
use super::verdict::Seen;
use crate::control::TaskStatus;
use crate::process::milliseconds_since_epoch;
use crate::ui::timestamp;

/// All phases of a task, in their order.
pub(super) const PHASES: [&str; 8] = [
    "taken",
    "held",
    "submitted",
    "waiting",
    "running",
    "ending",
    "ended",
    "returning",
];

/// A task under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    /// When it came, among the others.
    pub(super) order: u64,
    entry: Entry,
    /// What the cluster has said of its job last.
    seen: Option<Seen>,
    phase: &'static str,
    /// In milliseconds since the epoch.
    since: u64,
}

impl UnderWay {
    /// The `order`-th of this glue, of which the ledger has this.
    pub(super) fn new(order: u64, entry: &Entry) -> Self {
        let mut new = Self {
            order,
            entry: entry.clone(),
            seen: None,
            phase: "",
            since: 0,
        };
        new.find_phase();
        new
    }

    /// What the ledger has of it now.
    pub(super) fn is(&mut self, entry: &Entry) {
        if self.entry.job() != entry.job() {
            self.seen = None;
        }
        self.entry = entry.clone();
        self.find_phase();
    }

    /// What the cluster has of its job now.
    pub(super) fn sees(&mut self, seen: &Seen) {
        self.seen = Some(seen.clone());
        self.find_phase();
    }

    fn find_phase(&mut self) {
        let noted = self.entry.since.saturating_mul(1000);
        let (phase, since) = match (&self.entry.phase, &self.seen) {
            (Phase::Taken, _) => ("taken", noted),
            (Phase::Held, _) => ("held", noted),
            (Phase::Returning(_), _) => ("returning", noted),
            (Phase::Submitted(_), None | Some(Seen::None)) => ("submitted", noted),
            (Phase::Submitted(_), Some(Seen::Job(state))) => {
                (name(state), milliseconds_since_epoch())
            }
        };
        if self.phase != phase {
            self.phase = phase;
            self.since = since;
        }
    }

    /// For those who ask.
    pub(super) fn status(&self) -> TaskStatus {
        TaskStatus {
            task: self.entry.task.clone(),
            queue: self.entry.queue.clone(),
            phase: self.phase.to_owned(),
            since: timestamp(self.since),
            spool_bytes: 0,
            job: self.entry.job().map(ToString::to_string),
        }
    }
}

fn name(state: &JobState) -> &'static str {
    match state {
        JobState::Pending(_) => "waiting",
        JobState::Running => "running",
        JobState::Ending => "ending",
        JobState::Ended(_) => "ended",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glue::cluster::{Cause, JobEnd, JobId};

    fn entry(phase: Phase) -> Entry {
        let (task, queue) = ("0a".parse().unwrap(), "0b".parse().unwrap());
        let mut entry = Entry::new(&task, &queue);
        entry.phase = phase;
        entry
    }

    fn pending(why: &str) -> Seen {
        Seen::Job(JobState::Pending(why.to_owned()))
    }

    #[test]
    fn a_task_is_where_the_ledger_and_then_its_job_says() {
        let job = || Phase::Submitted(JobId("17".to_owned()));
        let end = JobEnd {
            cause: Cause::Done,
            word: "Completed".to_owned(),
        };
        let steps = [
            (Phase::Taken, None),
            (Phase::Held, Some(Seen::None)),
            (job(), None),
            (job(), Some(pending("Priority"))),
            (job(), Some(Seen::Job(JobState::Running))),
            (job(), Some(Seen::Job(JobState::Ending))),
            (job(), Some(Seen::Job(JobState::Ended(end)))),
            (Phase::Returning("no room".to_owned()), None),
        ];
        let mut task = UnderWay::new(1, &entry(Phase::Taken));
        for ((phase, seen), expected) in steps.into_iter().zip(PHASES) {
            let has_job = phase == job();
            task.is(&entry(phase));
            if let Some(seen) = seen {
                task.sees(&seen);
            }
            let status = task.status();
            assert_eq!(status.phase, expected);
            assert_eq!(status.job.as_deref(), has_job.then_some("17"), "{expected}");
            assert!(status.since.is_some());
        }
    }

    /// It waits for one reason after the other, and has waited all the time.
    #[test]
    fn a_phase_begins_once() {
        let mut task = UnderWay::new(1, &entry(Phase::Submitted(JobId("17".to_owned()))));
        task.sees(&pending("Priority"));
        task.since = 8;
        task.sees(&pending("Resources"));
        assert_eq!((task.phase, task.since), ("waiting", 8));
        task.sees(&Seen::Job(JobState::Running));
        assert!(task.since > 8);
    }

    /// What was seen of the first one says nothing of the second.
    #[test]
    fn another_job_begins_anew() {
        let submitted = |job: &str| entry(Phase::Submitted(JobId(job.to_owned())));
        let mut task = UnderWay::new(1, &submitted("17"));
        task.sees(&Seen::Job(JobState::Running));
        task.is(&submitted("17"));
        assert_eq!(task.phase, "running");
        task.is(&submitted("18"));
        assert_eq!(task.phase, "submitted");
    }
}
