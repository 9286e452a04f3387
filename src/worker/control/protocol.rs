//! One question, one answer, each a line of JSON.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::super::state::State;
use crate::REFERENCE_VERSION;
use crate::task::{Entry, RunFolder};
use crate::ui::timestamp;

/// Version of questions and answers.
pub(super) const VERSION: u32 = 1;
/// Longest question in bytes.
pub(super) const LONGEST_QUESTION: u64 = 4096;
/// Longest answer in bytes.
pub(super) const LONGEST_ANSWER: u64 = 1 << 20;

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
    pub container_engine: Option<EngineStatus>,
}

/// The engine of a worker's containers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EngineStatus {
    /// It answers; while it does not, no task is taken.
    pub answers: bool,
    /// Why it does not.
    pub reason: Option<String>,
}

/// A queue.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct QueueStatus {
    /// Its id.
    pub id: String,
    /// Its name when the worker began.
    pub name: Option<String>,
}

/// A task that a worker runs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TaskStatus {
    /// Its id.
    pub task: String,
    /// The queue that it came from.
    pub queue: String,
    /// Where it is: `pulled`, `preparing`, `running`, `ended`, `announced`.
    pub phase: String,
    /// When that began.
    pub since: Option<String>,
    /// Bytes of its output that the server does not have yet.
    pub spool_bytes: u64,
}

impl TaskStatus {
    /// What the journal says; none where the run is settled.
    fn of(run: &RunFolder) -> Option<Self> {
        let entry = run.read().ok()?;
        Some(Self {
            since: Some(entry.since)
                .filter(|since| *since > 0)
                .and_then(timestamp),
            phase: entry.phase.name().to_owned(),
            spool_bytes: spool_bytes(&entry),
            task: entry.task,
            queue: entry.queue,
        })
    }
}

/// Length of the output less what the server has.
fn spool_bytes(entry: &Entry) -> u64 {
    let length = std::fs::metadata(&entry.output).map_or(0, |output| output.len());
    length.saturating_sub(entry.progress.acknowledged)
}

/// The tasks of these runs, as far as they are not settled; reads files without holding up the worker.
pub(in crate::worker) async fn tasks(runs: Vec<RunFolder>) -> Vec<TaskStatus> {
    let read =
        tokio::task::spawn_blocking(move || runs.iter().filter_map(TaskStatus::of).collect());
    read.await.unwrap_or_default()
}

impl WorkerStatus {
    /// What is known and what the journals say.
    pub(in crate::worker) async fn of(state: &State) -> Self {
        let runs = state.known().runs.into_iter().map(|known| known.run);
        let tasks = tasks(runs.collect()).await;
        let (about, known) = (state.about(), state.known());
        let now = Instant::now();
        let queues = about.queues.iter().map(|(id, name)| QueueStatus {
            id: id.to_string(),
            name: name.clone(),
        });
        Self {
            worker: about.worker.to_string(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            reference_version: REFERENCE_VERSION.to_owned(),
            queues: queues.collect(),
            spool_bytes: tasks.iter().map(|task| task.spool_bytes).sum(),
            tasks,
            uptime_seconds: seconds(known.started.elapsed()),
            last_server_contact_seconds: known.contact.map(|contact| seconds(contact.elapsed())),
            draining: known.is_draining,
            next_poll_seconds: known
                .next_poll
                .map(|next| seconds(next.saturating_duration_since(now))),
            container_engine: known.engine.map(|answer| EngineStatus {
                answers: answer.is_ok(),
                reason: answer.err(),
            }),
        }
    }
}

/// To the millisecond.
fn seconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
