//! One question, one answer, each a line of JSON.

use serde::{Deserialize, Serialize};

use crate::api::QueueId;

/// Version of questions and answers.
pub(super) const VERSION: u32 = 1;
/// Longest question in bytes.
pub(super) const LONGEST_QUESTION: u64 = 4096;
/// Longest answer in bytes.
pub(super) const LONGEST_ANSWER: u64 = 1 << 26;

/// What can be asked of a worker.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Take no more tasks, and leave when those that run have ended.
    Drain,
    /// Say what you do.
    Status,
}

/// A question.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Question {
    /// Version of the asker.
    pub(super) version: u32,
    /// What it wants.
    pub(super) ask: Ask,
}

/// An answer: what the worker does after it has done what was asked, or why it did not.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Answer {
    /// Version of the worker.
    pub(super) version: u32,
    /// The worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<WorkerStatus>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

impl Answer {
    /// Nothing was done.
    pub(super) fn refusal(error: impl Into<String>) -> Self {
        Self {
            version: VERSION,
            status: None,
            error: Some(error.into()),
        }
    }
}

/// What a worker does.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct WorkerStatus {
    /// Its id.
    pub worker: String,
    /// Its process.
    pub pid: u32,
    /// Version of the agent.
    pub version: String,
    /// The official release whose behaviour it has.
    pub reference_version: String,
    /// Its queues, most important first.
    pub queues: Vec<QueueStatus>,
    /// Its tasks, oldest first.
    pub tasks: Vec<TaskStatus>,
    /// Seconds since it began.
    pub uptime_seconds: f64,
    /// Seconds since the server last answered.
    pub last_server_contact_seconds: Option<f64>,
    /// Bytes of output that the server does not have yet.
    pub spool_bytes: u64,
    /// It takes no more tasks, and leaves when it has none.
    pub draining: bool,
    /// Seconds until the queues are asked again; none while they are asked, or while there is no reason to ask.
    pub next_poll_seconds: Option<f64>,
    /// The engine of its containers, as of the last look at the queues; none without containers.
    #[serde(default)]
    pub container_engine: Option<DependencyStatus>,
    /// The cluster on which its tasks run, as of the last look at it; for a glue alone, and none before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<DependencyStatus>,
    /// Most tasks at once; for a glue alone, and none where the cluster decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Something without which a worker takes no task.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DependencyStatus {
    /// It answers; while it does not, no task is taken.
    pub answers: bool,
    /// Why it does not.
    pub reason: Option<String>,
}

impl From<Result<(), String>> for DependencyStatus {
    fn from(answer: Result<(), String>) -> Self {
        Self {
            answers: answer.is_ok(),
            reason: answer.err(),
        }
    }
}

/// A queue.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct QueueStatus {
    /// Its id.
    pub id: String,
    /// Its name when the worker began.
    pub name: Option<String>,
}

impl QueueStatus {
    /// Of the queue that had this name.
    pub fn new(id: &QueueId, name: Option<&str>) -> Self {
        Self {
            id: id.to_string(),
            name: name.map(str::to_owned),
        }
    }
}

/// A task that a worker has.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TaskStatus {
    /// Its id.
    pub task: String,
    /// The queue that it came from.
    pub queue: String,
    /// Where it is: `pulled`, `preparing`, `running`, `ended`, `announced`; with a glue `taken`, `held`, `submitted`, `waiting`,
    /// `running`, `ending`, `ended`, `returning`.
    pub phase: String,
    /// When that began.
    pub since: Option<String>,
    /// Bytes of its output that the server does not have yet.
    pub spool_bytes: u64,
    /// Its job or pod, as the cluster names it; for a glue alone, from its submission on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// As version 0.1.0 answers.
    fn old() -> Value {
        json!({
            "worker": "host:0", "pid": 4711, "version": "0.1.0", "reference_version": "3.0.3",
            "queues": [{ "id": "0a1b", "name": "default" }],
            "tasks": [{
                "task": "0123", "queue": "0a1b", "phase": "running", "since": "2026-01-31T12:00:00.000Z", "spool_bytes": 0,
            }],
            "uptime_seconds": 3600.25, "last_server_contact_seconds": 2.117, "spool_bytes": 0,
            "draining": false, "next_poll_seconds": null, "container_engine": null,
        })
    }

    /// What an older worker says is read, and what is said of a daemon has not changed.
    #[test]
    fn an_answer_without_a_job_or_a_cluster_is_read() {
        let answer = json!({ "version": 1, "status": old() });
        let answer: Answer = serde_json::from_value(answer).expect("an answer");
        let status = answer.status.expect("a status");
        assert_eq!(status.tasks[0].job, None);
        assert_eq!((&status.cluster, status.limit), (&None, None));
        assert_eq!(serde_json::to_value(&status).expect("JSON"), old());
        let mut oldest = old();
        oldest
            .as_object_mut()
            .expect("an object")
            .remove("container_engine");
        assert!(serde_json::from_value::<WorkerStatus>(oldest).is_ok());
    }

    /// An older asker knows nothing of them, and reads the rest.
    #[test]
    fn what_a_glue_says_beyond_that_is_more_and_not_other() {
        let mut status: WorkerStatus = serde_json::from_value(old()).expect("a status");
        status.tasks[0].job = Some("17".to_owned());
        status.cluster = Some(Err("no way".to_owned()).into());
        status.limit = Some(3);
        let said = serde_json::to_value(&status).expect("JSON");
        assert_eq!(said["tasks"][0]["job"], "17");
        assert_eq!(
            said["cluster"],
            json!({ "answers": false, "reason": "no way" })
        );
        assert_eq!(said["limit"], 3);
        for (name, value) in old().as_object().expect("an object") {
            let is_same = name == "tasks" || said[name] == *value;
            assert!(is_same, "{name}");
        }
    }
}
