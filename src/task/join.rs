//! The nodes behind the first of a task that runs on several: they come along once the first has taken it (C-305).

use std::time::Duration;

use tokio::time::Instant;

use super::failure::{PrepareError, failure};
use super::prepare::fetch_task;
use super::server::TaskServer;
use crate::api::{Task, TaskStatus};

/// So long the first node may need.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks at the task.
const LOOK: Duration = Duration::from_secs(1);

/// Waits until the first node has taken the task out of its queue, which a node behind it leaves alone.
pub async fn join_task(server: &TaskServer) -> Result<Task, PrepareError> {
    let deadline = Instant::now() + PATIENCE;
    let mut was_waiting = false;
    loop {
        let task = fetch_task(server).await?;
        match task.status {
            Some(TaskStatus::InProgress) => return Ok(task),
            // A short one is over between two looks.
            Some(TaskStatus::Completed) if was_waiting => return Ok(task),
            // It is stopped for a moment on its way from one queue to another.
            Some(TaskStatus::Queued | TaskStatus::Stopped) if Instant::now() < deadline => {
                was_waiting = true;
            }
            _ => break,
        }
        tokio::time::sleep(LOOK).await;
    }
    let id = server.task();
    let message = format!("The first node of this job has not taken task id={id}.");
    let hint = "see what that node has printed; the ranks of the nodes are in RANK or SLURM_PROCID";
    Err(failure(message, Some(hint)))
}
