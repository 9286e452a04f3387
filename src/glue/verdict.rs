//! What is to be done about a task under way, by what the server says of the task and the cluster of its job.

use std::time::Duration;

use super::cluster::{Cause, JobEnd, JobState};
use crate::api::TaskStatus;

/// The server may not know yet what the agent in the job has told it last.
const IN_FLIGHT: Duration = Duration::from_secs(10);
/// An agent in a job ends an aborted task itself, and well within this time.
const OBEYS: Duration = Duration::from_mins(2);

/// What the server says of a task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// It was deleted.
    Deleted,
    /// It waits in the holding queue.
    Held,
    /// It is between two queues: the glue has taken it out of one.
    Moving,
    /// It waits in another queue, or in none.
    QueuedElsewhere,
    /// It is in progress, and another worker than the one in its job has reported it since.
    RunsElsewhere,
    /// Its agent was told to end by a signal, and has stopped it (D-295).
    Interrupted,
    /// It has this status.
    Is(TaskStatus),
}

/// What the cluster says of its job.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Seen {
    /// This.
    Job(JobState),
    /// None was submitted, as far as is known.
    None,
}

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Nothing now.
    Wait,
    /// The task's status says why it waits.
    Say(String),
    /// It is to be put into the holding queue (again), so that its job may take it.
    Hold,
    /// A job is to be submitted.
    Submit,
    /// The job is to be ended; it is looked at again.
    Cancel,
    /// The job died without a word, as this says.
    Lost(JobEnd),
    /// Nothing is under way any more.
    Forget,
}

/// Task and job wait, or run: there is nothing to do, and nothing to find out.
pub(super) fn is_steady(standing: &Standing, job: Option<&JobState>) -> bool {
    match job {
        Some(JobState::Pending(_)) => *standing == Standing::Held,
        Some(JobState::Running) => matches!(
            standing,
            Standing::Held | Standing::Is(TaskStatus::InProgress)
        ),
        Some(JobState::Ending | JobState::Ended(_)) | None => false,
    }
}

/// Decides; `since` is how long the pair has been as it is.
pub(super) fn judge(standing: &Standing, seen: &Seen, since: Duration) -> Verdict {
    match (standing, seen) {
        (Standing::Moving, _) | (Standing::Interrupted, Seen::Job(JobState::Pending(_))) => {
            Verdict::Hold
        }
        (Standing::Held, Seen::None) => Verdict::Submit,
        (Standing::Held, Seen::Job(JobState::Pending(reason))) if reason.is_empty() => {
            Verdict::Wait
        }
        (Standing::Held, Seen::Job(JobState::Pending(reason))) => Verdict::Say(reason.clone()),
        // The cluster has put the job back: the agent in it is to find its task in a queue again.
        (Standing::Is(TaskStatus::InProgress), Seen::Job(JobState::Pending(_))) => {
            if since < IN_FLIGHT {
                Verdict::Wait
            } else {
                Verdict::Hold
            }
        }
        // Between the two answers it may have begun, and ended well.
        (_, Seen::Job(JobState::Pending(_))) if since.is_zero() => Verdict::Wait,
        (_, Seen::Job(JobState::Pending(_))) => Verdict::Cancel,
        // It ends itself, and says so.
        (Standing::Is(TaskStatus::Stopped) | Standing::Deleted, Seen::Job(JobState::Running))
            if since >= OBEYS =>
        {
            Verdict::Cancel
        }
        (_, Seen::Job(JobState::Running | JobState::Ending)) => Verdict::Wait,
        (
            Standing::Held | Standing::Is(TaskStatus::InProgress),
            Seen::Job(JobState::Ended(end)),
        ) => {
            if since < IN_FLIGHT {
                Verdict::Wait
            } else {
                Verdict::Lost(end.clone())
            }
        }
        // Its agent could not know why.
        (Standing::Interrupted, Seen::Job(JobState::Ended(end)))
            if ends_from_outside(end.cause) =>
        {
            Verdict::Lost(end.clone())
        }
        (_, Seen::None | Seen::Job(JobState::Ended(_))) => Verdict::Forget,
    }
}

/// An agent that was told to end has left its job long since: what runs there is the job begun anew, which is to find its task.
pub(super) fn has_begun_anew(standing: &Standing, seen: &Seen, since: Duration) -> bool {
    let runs = *seen == Seen::Job(JobState::Running);
    *standing == Standing::Interrupted && runs && since >= IN_FLIGHT
}

/// Whether the cluster ends jobs so, with a signal first.
fn ends_from_outside(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::NodeFailed
            | Cause::OutOfMemory
            | Cause::OutOfRoom
            | Cause::Preempted
            | Cause::TimeLimit
    )
}

/// Whether a task whose job has ended so may run again without anybody's asking.
pub(super) fn may_run_again(cause: Cause) -> bool {
    matches!(cause, Cause::NodeFailed | Cause::Preempted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(10);

    fn end(cause: Cause) -> JobEnd {
        let word = format!("{cause:?}");
        JobEnd { cause, word }
    }

    fn ended() -> Seen {
        Seen::Job(JobState::Ended(end(Cause::OutOfMemory)))
    }

    fn pending() -> Seen {
        Seen::Job(JobState::Pending("Resources".to_owned()))
    }

    const RUNNING: Seen = Seen::Job(JobState::Running);

    /// C-642
    #[test]
    fn a_task_that_waits_for_its_job_is_told_why() {
        let verdict = judge(&Standing::Held, &pending(), LONG);
        assert_eq!(verdict, Verdict::Say("Resources".to_owned()));
        let unknown = Seen::Job(JobState::Pending(String::new()));
        for seen in [unknown, RUNNING] {
            assert_eq!(judge(&Standing::Held, &seen, LONG), Verdict::Wait);
        }
    }

    /// C-645
    #[test]
    fn a_job_that_died_without_a_word_has_lost_its_task() {
        let lost = Verdict::Lost(end(Cause::OutOfMemory));
        let in_progress = Standing::Is(TaskStatus::InProgress);
        for standing in [Standing::Held, in_progress] {
            assert_eq!(judge(&standing, &ended(), Duration::ZERO), Verdict::Wait);
            assert_eq!(judge(&standing, &ended(), LONG), lost);
        }
        let completed = Standing::Is(TaskStatus::Completed);
        assert_eq!(judge(&completed, &ended(), LONG), Verdict::Forget);
        assert_eq!(judge(&Standing::Deleted, &ended(), LONG), Verdict::Forget);
    }

    /// C-645: an agent that got a signal has stopped its task; a person may have, too.
    #[test]
    fn the_end_of_a_job_is_no_abort() {
        let lost = Verdict::Lost(end(Cause::OutOfMemory));
        assert_eq!(judge(&Standing::Interrupted, &ended(), LONG), lost);
        let stopped = Standing::Is(TaskStatus::Stopped);
        assert_eq!(judge(&stopped, &ended(), LONG), Verdict::Forget);
        let cancelled = Seen::Job(JobState::Ended(end(Cause::Cancelled)));
        let verdict = judge(&Standing::Interrupted, &cancelled, LONG);
        assert_eq!(verdict, Verdict::Forget);
    }

    /// An agent ends within seconds of its signal; what is still there then is another one.
    #[test]
    fn an_interrupted_task_whose_job_runs_on_has_begun_anew() {
        let interrupted = Standing::Interrupted;
        assert!(!has_begun_anew(&interrupted, &RUNNING, Duration::ZERO));
        assert!(has_begun_anew(&interrupted, &RUNNING, LONG));
        assert!(!has_begun_anew(&interrupted, &ended(), LONG));
        let stopped = Standing::Is(TaskStatus::Stopped);
        assert!(!has_begun_anew(&stopped, &RUNNING, LONG));
    }

    /// C-643
    #[test]
    fn a_task_that_nobody_wants_any_more_ends_its_waiting_job() {
        for standing in [
            Standing::Deleted,
            Standing::QueuedElsewhere,
            Standing::Is(TaskStatus::Stopped),
            Standing::Is(TaskStatus::Created),
        ] {
            assert_eq!(judge(&standing, &pending(), LONG), Verdict::Cancel);
        }
        let stopped = Standing::Is(TaskStatus::Stopped);
        assert_eq!(judge(&stopped, &RUNNING, Duration::ZERO), Verdict::Wait);
        assert_eq!(judge(&stopped, &RUNNING, LONG), Verdict::Cancel);
    }

    #[test]
    fn a_job_that_the_cluster_begins_again_finds_its_task_in_a_queue() {
        let in_progress = Standing::Is(TaskStatus::InProgress);
        assert_eq!(
            judge(&in_progress, &pending(), Duration::ZERO),
            Verdict::Wait
        );
        assert_eq!(judge(&in_progress, &pending(), LONG), Verdict::Hold);
        let interrupted = Standing::Interrupted;
        let verdict = judge(&interrupted, &pending(), Duration::ZERO);
        assert_eq!(verdict, Verdict::Hold);
        assert!(may_run_again(Cause::Preempted) && !may_run_again(Cause::OutOfMemory));
    }

    #[test]
    fn a_glue_that_was_killed_before_it_submitted_goes_on() {
        assert_eq!(judge(&Standing::Held, &Seen::None, LONG), Verdict::Submit);
        let created = Standing::Is(TaskStatus::Created);
        assert_eq!(judge(&created, &Seen::None, LONG), Verdict::Forget);
    }
}
