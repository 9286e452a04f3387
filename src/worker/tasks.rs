//! What the journals say of a worker's tasks, for those who ask.

use crate::control::TaskStatus;
use crate::task::{Entry, RunFolder};
use crate::ui::timestamp;

/// The tasks of these runs, as far as they are not settled; reads files without holding up the worker.
pub(super) async fn tasks(runs: Vec<RunFolder>) -> Vec<TaskStatus> {
    let read = tokio::task::spawn_blocking(move || runs.iter().filter_map(status).collect());
    read.await.unwrap_or_default()
}

/// What the journal says; none where the run is settled.
fn status(run: &RunFolder) -> Option<TaskStatus> {
    let entry = run.read().ok()?;
    Some(TaskStatus {
        since: Some(entry.since)
            .filter(|since| *since > 0)
            .and_then(timestamp),
        phase: entry.phase.name().to_owned(),
        spool_bytes: spool_bytes(&entry),
        task: entry.task,
        queue: entry.queue,
        job: None,
    })
}

/// Length of the output less what the server has.
fn spool_bytes(entry: &Entry) -> u64 {
    let length = std::fs::metadata(&entry.output).map_or(0, |output| output.len());
    length.saturating_sub(entry.progress.acknowledged)
}
