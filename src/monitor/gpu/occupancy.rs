//! Who uses which GPU at one moment, as the driver says it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{GpuReading, amd, is_amd_host, nvml};

/// A driver that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What somebody does on one GPU, or on one part of a GPU that is shared out.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuUse {
    /// Index in the order of the bus.
    pub index: u32,
    /// Index of the part in its GPU; none for a whole GPU.
    pub part: Option<u32>,
    /// Percent; none where the driver does not tell, as for parts.
    pub load: Option<f64>,
    /// Programs that compute on it; none where the driver does not tell.
    pub processes: Option<Vec<u32>>,
}

/// An answer of the driver.
#[derive(Clone, Debug, PartialEq)]
pub enum GpuList<T> {
    /// There is no driver.
    NoDriver,
    /// It has said this in place of an answer.
    Unknown(String),
    /// One entry for each GPU or part.
    Known(Vec<T>),
}

/// One question at a time: a thread that a driver keeps does not come back.
static ASKS: AtomicBool = AtomicBool::new(false);

/// The GPUs of the machine.
pub async fn gpu_list() -> GpuList<GpuReading> {
    asked(|| {
        if is_amd_host() {
            return GpuList::Known(amd::readings());
        }
        answer(nvml::readings())
    })
    .await
}

/// Who uses them.
pub async fn gpu_uses() -> GpuList<GpuUse> {
    asked(|| {
        if is_amd_host() {
            return GpuList::Known(amd::readings().iter().map(use_of_amd).collect());
        }
        answer(nvml::uses())
    })
    .await
}

/// AMD's kernel module tells the load and no programs.
fn use_of_amd(reading: &GpuReading) -> GpuUse {
    GpuUse {
        index: reading.index,
        part: reading.part,
        load: reading.usage,
        processes: None,
    }
}

fn answer<T>(answer: Option<Result<Vec<T>, impl std::fmt::Display>>) -> GpuList<T> {
    match answer {
        None => GpuList::NoDriver,
        Some(Err(error)) => GpuList::Unknown(error.to_string()),
        Some(Ok(list)) => GpuList::Known(list),
    }
}

/// In a thread of its own, which nobody waits for longer than patience lasts.
async fn asked<T: Send + 'static>(ask: impl FnOnce() -> GpuList<T> + Send + 'static) -> GpuList<T> {
    let hangs = || GpuList::Unknown("the driver does not answer".to_owned());
    if ASKS.swap(true, Ordering::AcqRel) {
        return hangs();
    }
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("gpu-use".to_owned());
    let started = thread.spawn(move || {
        let answer = ask();
        ASKS.store(false, Ordering::Release);
        // Whoever has lost patience does not want to know.
        let _ = sender.send(answer);
    });
    if let Err(error) = started {
        ASKS.store(false, Ordering::Release);
        return GpuList::Unknown(error.to_string());
    }
    match tokio::time::timeout(PATIENCE, receiver).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => hangs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_driver_that_hangs_is_asked_once() {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let hangs = GpuList::Unknown("the driver does not answer".to_owned());
        let first = asked(move || {
            let _ = wait.recv();
            GpuList::Known(vec![1])
        });
        assert_eq!(first.await, hangs);
        assert_eq!(asked(|| GpuList::Known(vec![2])).await, hangs);
        go.send(()).expect("it waits");
        tokio::time::resume();
        while ASKS.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        assert_eq!(
            asked(|| GpuList::Known(vec![3])).await,
            GpuList::Known(vec![3])
        );
    }
}
