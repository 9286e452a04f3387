//! What the glue asks of a cluster.

use std::fmt;
use std::future::Future;

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

impl Work {
    /// The job's name, by which it is found again where nobody could note its id.
    pub fn job_name(task: &TaskId) -> String {
        format!("{PREFIX}{task}")
    }
}

const PREFIX: &str = "clearml-id-";

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
    /// It waits, for this reason.
    Pending(String),
    /// It has what it needs.
    Running,
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
    /// It had more time than it was given.
    TimeLimit,
    /// The machine has failed.
    NodeFailed,
    /// Another job came first.
    Preempted,
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
    /// How a job is called: `Slurm job`.
    const JOB: &'static str;

    /// Makes a job of the task.
    fn submit(&self, work: &Work) -> impl Future<Output = Result<JobId, NotSubmitted>>;

    /// The jobs with these names that the cluster knows, those that have ended lately as well.
    fn jobs(&self, names: &[String]) -> impl Future<Output = Result<Vec<Job>, Unreachable>>;

    /// What became of a job that is not among them any more.
    fn end_of(&self, job: &JobId) -> impl Future<Output = Result<JobEnd, Unreachable>>;

    /// Ends a job, whatever it does.
    fn cancel(&self, job: &JobId) -> impl Future<Output = Result<(), Unreachable>>;

    /// The last lines that the job itself has printed, where they can be had.
    fn last_lines(&self, task: &TaskId) -> Option<String>;

    /// What a user can do about such an end.
    fn hint(&self, cause: Cause) -> Option<&'static str>;
}
