//! Keeps a run from speaking of a task of which another run has begun meanwhile.
//!
//! The server knows tasks, not their runs. Whoever was dead or cut off for a while may find that somebody has stopped the task,
//! put it into a queue again, and that it runs elsewhere: it must not be given a status then, nor lines, and a second program
//! must not go on. The time at which a task came into progress tells one run from the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::DateTime;

use super::journal::Journal;
use crate::api::{Task, TaskStatus, WorkerId};
use crate::process::Moment;

/// What tells whose run the server speaks of.
pub(super) const RUN_FIELDS: [&str; 5] = [
    "status",
    "status_message",
    "started",
    "last_worker",
    "last_worker_report",
];

/// After so many looks without an answer anything may have happened to the task.
const LOOKS: u32 = 3;
/// A look that is late by half: the process, or the server, has slept. The next lines wait for one.
const LATE: [u32; 2] = [3, 2];
/// However often the task is looked at.
const SHORTEST_SILENCE: Duration = Duration::from_secs(1);
/// Whoever sees that a fifth of a second took so long was stopped, or has waited for an answer: anything may have happened.
const NAP: Duration = Duration::from_secs(2);
/// Every run begins with the same words: whether the task has the begin of this one is asked once in this time.
const BEGINS: Duration = Duration::from_secs(30);
/// Behind it is the worker that has changed a task.
pub(super) const SIGNATURE: &str = "Changed by clearml-agent ";
/// A program may begin its own task anew; that nobody else has done it is believed after several of another worker's reports
/// would have been seen.
const REPORTS: Duration = Duration::from_mins(2);

/// What one run knows of the others; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Fence(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    journal: Journal,
    worker: WorkerId,
    late: Duration,
    silence: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// When the server last said that nothing has changed.
    answered: Option<Moment>,
    message: Option<String>,
    /// When the server last said when the task began.
    told: Option<Moment>,
    /// A begin that is not known to be this run's, and since when.
    strange: Option<(i64, Moment)>,
    /// When whoever sends lines was last at work.
    awake: Option<Moment>,
    /// When a nap was noticed, behind which nobody was asked yet.
    woken: Option<Moment>,
    is_closed: bool,
}

impl Fence {
    /// For the run of `journal`, in the name of `worker`, whose task is looked at once in `interval`.
    pub(super) fn new(journal: Journal, worker: WorkerId, interval: Duration) -> Self {
        Self(Arc::new(Inner {
            journal,
            worker,
            late: (interval * LATE[0] / LATE[1]).max(SHORTEST_SILENCE),
            silence: (interval * LOOKS).max(SHORTEST_SILENCE),
            seen: Mutex::default(),
        }))
    }

    /// The task was brought into progress by this run, with this message; `started` where it was not yet.
    pub(super) fn begun(&self, started: Option<&str>, message: Option<&str>) {
        let mut seen = self.seen();
        seen.answered = Some(Moment::now());
        seen.told = seen.answered;
        seen.message = message.map(str::to_owned);
        drop(seen);
        if let Some(started) = started.and_then(milliseconds) {
            self.learn(started);
        }
    }

    /// True where the next look at the task is to say when it began.
    pub(super) fn wants_begin(&self) -> bool {
        let told = self.seen().told;
        told.is_some_and(|told| told.elapsed() > BEGINS)
    }

    /// True where the run is to be told from others before anything is said of the task, of which its message and its begin are
    /// known.
    pub(super) fn is_in_doubt_with(&self, task: &Task) -> bool {
        let mut seen = self.seen();
        if task.started.is_some() {
            seen.told = Some(Moment::now());
        }
        let known = self.0.journal.entry().started;
        let is_known = known.is_some() && begin(task).is_none_or(|begin| known == Some(begin));
        let is_same = seen.message == task.status_message;
        let is_quiet = seen.strange.is_none() && seen.woken.is_none();
        if is_known && is_same && is_quiet && !self.is_silent(&seen) {
            seen.answered = Some(Moment::now());
            return false;
        }
        true
    }

    /// True where nothing was heard of the task for so long that another run may have begun, and lines wait for a look.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.awake();
        let seen = self.seen();
        let is_late = seen.answered.is_none_or(|at| at.elapsed() > self.0.late);
        !seen.is_closed && (is_late || seen.woken.is_some())
    }

    /// Whoever sends lines is at work, as he is several times a second.
    pub(super) fn awake(&self) {
        let mut seen = self.seen();
        let now = Moment::now();
        let before = seen.awake.replace(now);
        if before.is_some_and(|before| now.since(before) > NAP) {
            seen.woken = Some(now);
        }
    }

    /// True where that is to be known as it is now: before a final status.
    pub(super) fn is_stale(&self) -> bool {
        let seen = self.seen();
        let is_fresh = |at: Moment| at.elapsed() < SHORTEST_SILENCE;
        !seen.is_closed && !seen.answered.is_some_and(is_fresh)
    }

    /// A request has failed: the next one asks first.
    pub(super) fn doubt(&self) {
        self.seen().answered = None;
    }

    /// True once it is known that the task is another run's.
    pub(super) fn is_closed(&self) -> bool {
        self.seen().is_closed
    }

    /// From now on nothing is said of the task.
    pub(super) fn close(&self) {
        self.seen().is_closed = true;
    }

    /// What the server said of the task, with [`RUN_FIELDS`], to a question of the time `asked`.
    pub(super) fn look(&self, asked: Moment, task: &Task) {
        let mut seen = self.seen();
        // What was asked before a nap says nothing of the time since.
        seen.woken = seen.woken.filter(|woken| *woken > asked);
        let was_silent = self.is_silent(&seen);
        seen.answered = Some(Moment::now());
        seen.message.clone_from(&task.status_message);
        let known = self.0.journal.entry().started;
        if was_silent && known.is_some() && task.status == Some(TaskStatus::Queued) {
            // Who was not heard of for so long is not asked either. What has not begun is still queued.
            seen.is_closed = true;
        }
        let Some(begin) = begin(task) else {
            return;
        };
        if known == Some(begin) {
            seen.strange = None;
            return;
        }
        // What began before the silence was not begun by somebody who has made use of it.
        let is_news = seen.strange.is_none_or(|(strange, _)| strange != begin);
        let is_anothers = was_silent && is_news || self.is_of_another(task);
        match (known, seen.strange) {
            (Some(_), _) if is_anothers => seen.is_closed = true,
            // The answer in which it stood was lost.
            (None, _) if task.status == Some(TaskStatus::InProgress) => self.learn(begin),
            (None, _) => {}
            (Some(_), Some((strange, since))) if strange == begin => {
                if since.elapsed() > REPORTS {
                    self.learn(begin);
                }
            }
            (Some(_), _) => seen.strange = Some((begin, Moment::now())),
        }
    }

    /// True where the task is in progress, and not by this run: `task` as a run finds it that nobody has watched over.
    pub(super) fn is_begun_by_another(&self, task: &Task) -> bool {
        match (self.0.journal.entry().started, begin(task)) {
            // Whoever runs a task that is in progress already does not bring it there. An agent in a container may have a name
            // of its own.
            (Some(known), Some(begin)) if known == begin => {
                self.0.journal.entry().container.is_none() && self.is_reported_by_another(task)
            }
            (Some(_), Some(_)) => true,
            (None, Some(_)) => self.is_reported_by_another(task),
            (_, None) => false,
        }
    }

    /// Another worker was the last one to report it, or has signed its status. Who takes a task reports it before the server
    /// has it in progress.
    fn is_of_another(&self, task: &Task) -> bool {
        let own = self.0.worker.as_str();
        let is_another = |worker: &str| !worker.is_empty() && worker != own;
        let signed = task.status_message.as_deref().unwrap_or_default();
        let signed = signed.strip_prefix(SIGNATURE).unwrap_or_default();
        is_another(signed) || is_another(task.last_worker.as_deref().unwrap_or_default())
    }

    /// Another worker has reported it since it came into progress.
    fn is_reported_by_another(&self, task: &Task) -> bool {
        let worker = task.last_worker.as_deref().unwrap_or_default();
        let reported = task.last_worker_report.as_deref().and_then(milliseconds);
        !worker.is_empty() && worker != self.0.worker.as_str() && reported >= begin(task)
    }

    fn learn(&self, started: i64) {
        if self.0.journal.entry().started != Some(started) {
            self.0.journal.update(|entry| entry.started = Some(started));
        }
    }

    fn is_silent(&self, seen: &Seen) -> bool {
        seen.answered.is_none_or(|at| at.elapsed() > self.0.silence)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn begin(task: &Task) -> Option<i64> {
    milliseconds(task.started.as_deref()?)
}

/// A time of the server as it keeps it: its answers to a change have more digits than what it reads back.
fn milliseconds(time: &str) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(time).ok()?;
    Some(time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::storage::{Places, SlotFolder};
    use crate::task::{Entry, RunFolder};

    const BEGIN: &str = "2026-11-21T01:29:56.371224+00:00";
    const ANOTHER: &str = "2026-11-21T02:00:00+00:00";

    /// A fence of a run that began at [`BEGIN`], with the folder of its journal.
    fn fence() -> (Fence, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let places = Places {
            runs: path.join("runs"),
            workers: path.join("workers"),
            control: path.join("control"),
            prefetch: path.join("prefetch"),
            slots: SlotFolder::own(path.to_owned()),
            system: path.to_owned(),
            temporary: path.to_owned(),
        };
        let [configuration, output] = ["configuration", "output"].map(|name| path.join(name));
        let text = str::to_owned;
        let entry = Entry::new(
            text("t1"),
            text("host:0"),
            text("q1"),
            configuration,
            output,
        );
        let run = RunFolder::create(&places, &entry).expect("a run");
        let worker = "host:0".parse().expect("a worker");
        let fence = Fence::new(run.open().expect("open"), worker, Duration::from_secs(5));
        fence.begun(Some(BEGIN), Some("launch by agent"));
        (fence, folder)
    }

    fn task(started: &str, worker: &str, reported: &str) -> Task {
        let task = json!({
            "status": "in_progress", "started": started, "last_worker": worker, "last_worker_report": reported,
        });
        serde_json::from_value(task).expect("a task")
    }

    /// As each run has it in its first seconds.
    fn launched(started: &str) -> Task {
        let mut task = task(started, "", "");
        task.status_message = Some("launch by agent".to_owned());
        task
    }

    /// Each run begins with the same words.
    #[test]
    fn a_run_with_the_same_message_is_told_by_its_begin() {
        let (fence, _folder) = fence();
        assert!(!fence.is_in_doubt_with(&launched(BEGIN)));
        assert!(fence.is_in_doubt_with(&launched(ANOTHER)));
        assert!(!fence.wants_begin());
        fence.seen().told = Some(Moment::now().before(BEGINS * 2));
        assert!(fence.wants_begin());
    }

    fn look(fence: &Fence, task: &Task) {
        fence.look(Moment::now(), task);
    }

    fn fall_silent(fence: &Fence) {
        fence.seen().answered = None;
    }

    /// an answer has microseconds, a stored task milliseconds.
    #[test]
    fn a_run_knows_its_own_task() {
        let (fence, _folder) = fence();
        fall_silent(&fence);
        look(
            &fence,
            &task("2026-11-21T01:29:56.371000+00:00", "host:0", BEGIN),
        );
        assert!(!fence.is_closed() && !fence.is_in_doubt());
    }

    /// As the clock of a process goes that was stopped for a while.
    #[test]
    fn a_look_that_is_late_comes_before_the_next_lines() {
        let (fence, _folder) = fence();
        assert!(!fence.is_in_doubt());
        let eight = Duration::from_secs(8);
        fence.seen().answered = Some(Moment::now().before(eight));
        assert!(fence.is_in_doubt());
        look(&fence, &task(ANOTHER, "host:0", ANOTHER));
        assert!(!fence.is_closed(), "it may be the program's own");
        fence.seen().answered = Some(Moment::now().before(eight));
        look(&fence, &task(ANOTHER, "elsewhere:0", ANOTHER));
        assert!(fence.is_closed());
    }

    /// An answer that was on its way when the process fell asleep is older than the nap.
    #[test]
    fn the_next_lines_after_a_nap_wait_for_a_question_behind_it() {
        let (fence, _folder) = fence();
        assert!(!fence.is_in_doubt());
        let asked = Moment::now();
        fence.seen().awake = Some(asked.before(NAP * 2));
        assert!(fence.is_in_doubt());
        fence.look(asked, &task(BEGIN, "host:0", BEGIN));
        assert!(fence.is_in_doubt() && fence.is_in_doubt_with(&launched(BEGIN)));
        look(&fence, &task(BEGIN, "host:0", BEGIN));
        assert!(!fence.is_in_doubt());
    }

    #[test]
    fn another_begin_in_a_silence_is_another_runs() {
        let (fence, _folder) = fence();
        fall_silent(&fence);
        look(&fence, &task(ANOTHER, "host:0", BEGIN));
        assert!(fence.is_closed());
    }

    /// a task is queued until somebody brings it into progress, though it has left its queue.
    #[test]
    fn a_task_that_has_not_begun_is_its_workers_and_one_that_had_is_not() {
        let (fence, _folder) = fence();
        let mut queued = task("", "", "");
        queued.status = Some(TaskStatus::Queued);
        fence.0.journal.update(|entry| entry.started = None);
        fall_silent(&fence);
        look(&fence, &queued);
        assert!(!fence.is_closed());
        fence.begun(Some(BEGIN), None);
        fall_silent(&fence);
        look(&fence, &queued);
        assert!(fence.is_closed());
    }

    #[test]
    fn another_begin_that_another_worker_reports_is_another_runs() {
        let (fence, _folder) = fence();
        look(&fence, &task(BEGIN, "elsewhere:0", BEGIN));
        assert!(!fence.is_closed(), "it began with this run");
        look(&fence, &task(ANOTHER, "elsewhere:0", BEGIN));
        assert!(fence.is_closed());
    }

    #[test]
    fn another_begin_that_another_worker_has_signed_is_another_runs() {
        let (fence, _folder) = fence();
        let mut task = task(ANOTHER, "host:0", ANOTHER);
        task.status_message = Some(format!("{SIGNATURE}host:0"));
        look(&fence, &task);
        assert!(!fence.is_closed());
        task.status_message = Some(format!("{SIGNATURE}elsewhere:0"));
        look(&fence, &task);
        assert!(fence.is_closed());
    }

    #[test]
    fn another_run_that_is_over_was_another_run() {
        let (fence, _folder) = fence();
        fall_silent(&fence);
        let mut task = task(ANOTHER, "elsewhere:0", ANOTHER);
        task.status = Some(TaskStatus::Completed);
        look(&fence, &task);
        assert!(fence.is_closed());
    }

    /// D-233: a program may end its own task, and begin it anew.
    #[test]
    fn a_begin_that_nobody_else_reports_becomes_the_runs_own() {
        let (fence, _folder) = fence();
        let anew = task(ANOTHER, "host:0", ANOTHER);
        look(&fence, &anew);
        assert!(fence.is_in_doubt_with(&anew), "it is looked at each time");
        fall_silent(&fence);
        look(&fence, &anew);
        assert!(!fence.is_closed());
        let long_ago = Moment::now().before(REPORTS * 2);
        fence.seen().strange = begin(&anew).map(|begin| (begin, long_ago));
        look(&fence, &anew);
        assert_eq!(fence.0.journal.entry().started, begin(&anew));
        fall_silent(&fence);
        look(&fence, &anew);
        assert!(!fence.is_closed());
    }

    #[test]
    fn a_begin_whose_answer_was_lost_is_learned() {
        let (fence, _folder) = fence();
        fence.0.journal.update(|entry| entry.started = None);
        assert!(fence.is_in_doubt_with(&launched(BEGIN)));
        look(&fence, &task(ANOTHER, "", ""));
        assert!(!fence.is_closed() && fence.0.journal.entry().started.is_some());
    }
}
