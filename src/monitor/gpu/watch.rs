//! Reads the GPUs again and again, in a thread of its own: a driver that hangs must not hold up the agent.

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{GpuReading, VisibleGpus, amd, is_amd_host, nvml};

/// How often reading may fail before it is given up for good (D-200).
const MOST_FAILURES: u32 = 3;

/// The readings of the GPUs that a worker reports; ends where there is no GPU.
#[derive(Debug)]
pub struct GpuWatch(Receiver<Vec<GpuReading>>);

impl GpuWatch {
    /// The next readings; none when there will be no more.
    pub async fn next(&mut self) -> Option<Vec<GpuReading>> {
        self.0.recv().await
    }
}

/// Reads these GPUs at every interval until the watch is dropped.
pub fn watch_gpus(visible: VisibleGpus, interval: Duration) -> GpuWatch {
    let (sender, receiver) = channel(1);
    if visible != VisibleGpus::None {
        let thread = std::thread::Builder::new().name("gpu".to_owned());
        // Without a thread there are no figures of GPUs, and everything else goes on.
        let _ = thread.spawn(move || watch(&visible, interval, &sender));
    }
    GpuWatch(receiver)
}

fn watch(visible: &VisibleGpus, interval: Duration, readers: &Sender<Vec<GpuReading>>) {
    let mut failures = 0;
    while failures < MOST_FAILURES {
        match all_readings() {
            None => return,
            Some(Ok(readings)) => {
                failures = 0;
                if readers.blocking_send(visible.keep(readings)).is_err() {
                    return;
                }
            }
            Some(Err(error)) => {
                failures += 1;
                tracing::info!(error, "could not read the GPUs");
            }
        }
        if readers.is_closed() {
            return;
        }
        std::thread::sleep(interval);
    }
}

/// None where there will never be anything.
fn all_readings() -> Option<Result<Vec<GpuReading>, String>> {
    if is_amd_host() {
        return Some(Ok(amd::readings()));
    }
    Some(nvml::readings()?.map_err(|error| error.to_string()))
}
