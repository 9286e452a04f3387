//! How long the GPUs of a worker have waited for a program; looked at once a second, where somebody reads it.

use std::time::{Duration, Instant};

use super::state::State;
use super::tasks::tasks;
use crate::monitor::{GpuReading, VisibleGpus, watch_gpus};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Counts until it is dropped; ends where there is no GPU.
pub(super) async fn count(visible: VisibleGpus, state: State) {
    let Some(readings) = watch_gpus(visible, LOOK).next().await else {
        return;
    };
    state.has_gpus(readings.iter().map(name).collect());
    let mut looked = Instant::now();
    loop {
        tokio::time::sleep(LOOK).await;
        let runs = state.known().runs.into_iter().map(|known| known.run);
        let is_used = tasks(runs.collect())
            .await
            .iter()
            .any(|task| task.phase == "running");
        let before = std::mem::replace(&mut looked, Instant::now());
        if !is_used {
            state.gpus_waited(looked - before);
        }
    }
}

/// As in the option `--gpus`.
fn name(reading: &GpuReading) -> String {
    match reading.part {
        Some(part) => format!("{}:{part}", reading.index),
        None => reading.index.to_string(),
    }
}
