//! A task that was lost with its agent goes back into the queue that it came from, where that is wanted.
//!
//! Two calls: the task is stopped, with a reason of its own, and put into its queue. Neither is forced, and before each the
//! server is asked how the task stands, so that whoever is killed between them, or misses an answer, may begin again: a task
//! that somebody else has taken, queued, or given a status of its own is left to him.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::journal::Journal;
use super::outcome::{FinalStatus, Outcome, StopReason};
use super::server::{TaskServer, is_server_fault};
use super::watch::is_stopped;
use crate::api::{ApiError, Enqueue, QueueId, Task, TaskStatus};

/// How often a queue is asked to take the task.
const TRIES: usize = 3;
/// Between two of these tries.
const PAUSE: Duration = Duration::from_secs(1);

/// What is asked of the task.
const STANDING: [&str; 3] = ["status", "status_reason", "status_message"];

/// How far a task is on its way back into its queue.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum WayBack {
    /// It was announced; the server may still call the task in progress.
    Wanted,
    /// The server calls it stopped, or more has been done.
    Stopped,
}

/// The last line of the task's log.
pub(super) fn announcement(outcome: &Outcome, queue: &QueueId) -> String {
    let loss = outcome.loss().unwrap_or_default();
    format!("Process failed, {loss}: the task goes back into queue {queue}\n")
}

/// The line behind it where the queue does not take the task.
pub(super) fn refused(queue: &QueueId, error: &ApiError) -> String {
    format!(
        "The task could not be put back into queue {queue}: {} (hint: enqueue it again)\n",
        error.reference_text()
    )
}

/// What the server says of a lost task before anything is said about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Seen {
    /// It is in progress, as far as is known.
    Running,
    /// Somebody has asked for its end, which the lost agent did not see.
    Aborted,
    /// It has another status already.
    Ended,
}

/// How the task stands. Where the server does not say it, [`put_back`] asks again.
pub(super) async fn seen(server: &TaskServer) -> Seen {
    match server.standing(&STANDING).await {
        Ok(Some(task)) if task.status != Some(TaskStatus::InProgress) => Seen::Ended,
        Ok(Some(task)) if is_stopped(Some(&task)) => Seen::Aborted,
        Ok(Some(_)) | Err(_) => Seen::Running,
        Ok(None) => Seen::Ended,
    }
}

/// Puts the task back; the inner error is the queue's refusal. With the outer one the server could not be asked, and all is to
/// be done again.
pub(super) async fn put_back(
    server: &TaskServer,
    journal: &Journal,
    queue: &QueueId,
    loss: &str,
) -> Result<Result<(), ApiError>, ApiError> {
    let reason = format!("{loss}, the task goes back into its queue");
    if journal.entry().way_back == Some(WayBack::Wanted) {
        let task = server.standing(&STANDING).await?;
        if let Some(task) = task.filter(|task| task.status == Some(TaskStatus::InProgress)) {
            let aborted = Outcome::Stopped(StopReason::Stopped).settlement().call;
            // Somebody has aborted it since it was announced.
            let aborted = aborted.filter(|_| is_stopped(Some(&task)));
            let status = aborted.unwrap_or_else(|| FinalStatus::Stopped(reason.clone()));
            match server.set(&status).await {
                // Who was faster is seen below.
                Err(error) if error.refusal().is_some() && !is_server_fault(&error) => {}
                told => told?,
            }
        }
        journal.update(|entry| entry.way_back = Some(WayBack::Stopped));
    }
    let mut tries = 0;
    loop {
        let task = server.standing(&STANDING).await?;
        let is_ours = |task: &Task| {
            task.status == Some(TaskStatus::Stopped)
                && task.status_reason.as_deref() == Some(reason.as_str())
        };
        if !task.is_some_and(|task| is_ours(&task)) {
            return Ok(Ok(()));
        }
        let mut enqueue = Enqueue::new(server.task().clone(), queue.clone());
        enqueue.status_reason = Some(format!("put back into the queue: {loss}"));
        let Err(error) = server.session().tasks().enqueue(&enqueue).await else {
            return Ok(Ok(()));
        };
        tries += 1;
        if tries >= TRIES {
            // Nobody knows whether the queue would take it where it was not the API that has answered.
            return if error.refusal().is_some() {
                Ok(Err(error))
            } else {
                Err(error)
            };
        }
        tokio::time::sleep(PAUSE).await;
    }
}
