//! What the glue asks of a cluster.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{QueueId, TaskId};

/// The name that a cluster has given to a job.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(transparent)]
pub struct JobId(pub String);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A task that is to become a job.
#[derive(Clone, Debug)]
pub struct Work {
    /// The task.
    pub task: TaskId,
    /// All its fields, for templates (C 7.2).
    pub fields: Value,
    /// The queue that it came from.
    pub queue: QueueId,
    /// That queue's name, or its id where it has none.
    pub queue_name: String,
}

/// What the names of jobs begin with.
pub const JOB_PREFIX: &str = "clearml-id-";

/// A job that the cluster knows as one of this glue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Known {
    /// Its task.
    pub task: TaskId,
    /// The queue that the task came from.
    pub queue: QueueId,
    /// The job.
    pub job: JobId,
}

/// What is said of a task that waits (C-642).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Waiting {
    /// In its status.
    pub status: String,
    /// In its console.
    pub console: String,
}

/// A job as the cluster has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// The name with which it was submitted.
    pub name: String,
    /// How far it is.
    pub state: JobState,
}

/// How far a job is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JobState {
    /// It waits, for this reason; an empty one is not known yet.
    Pending(String),
    /// It has what it needs.
    Running,
    /// It was told to end, and has not ended yet.
    Ending,
    /// It is over.
    Ended(JobEnd),
}

/// How a job has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JobEnd {
    /// What that means for its task.
    pub cause: Cause,
    /// The cluster's own word.
    pub word: String,
}

/// What the end of a job means for a task that was not ended by its agent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The job's script has ended.
    Done,
    /// Somebody has cancelled it.
    Cancelled,
    /// It had more memory than it was given.
    OutOfMemory,
    /// It used more room on disk than it was given.
    OutOfRoom,
    /// It had more time than it was given.
    TimeLimit,
    /// The machine has failed.
    NodeFailed,
    /// Another job came first.
    Preempted,
    /// It waits for what never comes.
    NeverStarts,
    /// The cluster does not know it any more.
    Gone,
}

/// Why a task did not become a job.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotSubmitted {
    /// It never will; the task has failed with this reason.
    #[error("{0}")]
    Refused(String),
    /// The cluster takes none now: the task goes back into its queue.
    #[error("{0}")]
    Later(String),
    /// An older job of the task is in its place, and about to leave it: the task waits where it is.
    #[error("{0}")]
    NotYet(String),
    /// Nobody knows whether it has become one.
    #[error("{0}")]
    Unknown(String),
}

/// The cluster has not answered.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// A scheduler of jobs.
pub trait Cluster {
    /// The cluster itself may begin a job anew, which finds its task as its first run has left it.
    const BEGINS_ANEW: bool = false;
    /// It takes no second job of a name while there is one.
    const NAMES_ARE_UNIQUE: bool = true;
    /// So long a job may be on its way whose submission had no answer; none is submitted for the same task meanwhile.
    const SETTLING: Duration = Duration::ZERO;
    /// How a job is called: `Slurm job`.
    const JOB: &'static str;
    /// What a limit counts: `job`.
    const UNIT: &'static str = "job";

    /// The name of a task's job, by which it is found again where nobody could note its id.
    fn job_name(&self, task: &TaskId) -> String {
        format!("{JOB_PREFIX}{task}")
    }

    /// Lines about a task that has just been taken.
    fn announcement(&self, _task: &TaskId) -> Vec<String> {
        Vec::new()
    }

    /// User properties of a task that is about to be held, by which a glue without a ledger knows its own.
    fn marks(&self, _queue_name: &str) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Whether the user properties of a task have been written by this glue; the name of the queue that it came from.
    fn marked(&self, _properties: &[(String, String)]) -> Option<String> {
        None
    }

    /// User properties of a task whose job was just submitted.
    fn properties(&self, _job: &JobId) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Makes a job of the task.
    fn submit(&self, work: &Work) -> impl Future<Output = Result<JobId, NotSubmitted>>;

    /// Whether something of this job may be missing, which a glue was killed before it made.
    fn may_lack(&self, _job: &JobId) -> bool {
        false
    }

    /// Makes a job whole that a glue has submitted which may have been killed meanwhile; false where it is to be tried again.
    fn complete(&self, _work: &Work, _job: &JobId) -> impl Future<Output = bool> {
        std::future::ready(true)
    }

    /// All jobs of this glue, for one that has no ledger any more.
    fn known(&self) -> impl Future<Output = Result<Vec<Known>, Unreachable>> {
        std::future::ready(Ok(Vec::new()))
    }

    /// The jobs with these names that the cluster knows, those that have ended lately as well.
    fn jobs(&self, names: &[String]) -> impl Future<Output = Result<Vec<Job>, Unreachable>>;

    /// Whether the jobs of the last look are those that the cluster had said of itself, some time ago perhaps.
    fn may_be_old(&self) -> bool {
        false
    }

    /// The next look asks the cluster.
    fn look_anew(&self) {}

    /// What became of these jobs, which are not among them any more; those of which that is not to be known now are left out.
    fn ends_of(&self, jobs: &[JobId]) -> impl Future<Output = HashMap<JobId, JobEnd>>;

    /// Ends a job, whatever it does.
    fn cancel(&self, job: &JobId) -> impl Future<Output = Result<(), Unreachable>>;

    /// Removes what has ended, but not these, of which something is still to be found out.
    fn clear(&self, _kept: &[JobId]) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// The last lines that the job itself has printed, where they can be had.
    fn last_lines(&self, task: &TaskId, job: &JobId) -> impl Future<Output = Option<String>>;

    /// What is said of a task whose job waits for this reason.
    fn waiting(&self, why: &str) -> Waiting {
        let text = format!("{} waits: {why}", Self::JOB);
        Waiting {
            status: text.clone(),
            console: text,
        }
    }

    /// Why a task has failed whose job has ended so.
    fn reason(&self, job: &str, end: &JobEnd) -> String {
        let advice = self.advice(end.cause);
        format!("{} {job} ended: {}{advice}", Self::JOB, end.word)
    }

    /// [`Cluster::hint`] as it stands behind a reason; empty where there is none.
    fn advice(&self, cause: Cause) -> String {
        let hint = self.hint(cause);
        hint.map_or_else(String::new, |hint| format!(" (hint: {hint})"))
    }

    /// What a user can do about such an end.
    fn hint(&self, cause: Cause) -> Option<&'static str>;
}
