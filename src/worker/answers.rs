//! All who may ask a daemon what it does; how long its GPUs wait is counted only where somebody reads it.

use std::io;
use std::net::TcpListener;
use std::path::Path;

use tokio::task::{JoinHandle, spawn_local};

use super::gpu_idle;
use super::state::State;
use crate::control;
use crate::monitor::VisibleGpus;

/// Answers until it is dropped.
#[derive(Debug)]
pub(super) struct Answers {
    answers: control::Answers,
    gpus: Counting,
}

#[derive(Debug)]
struct Counting(Option<JoinHandle<()>>);

impl Answers {
    /// Listens in the folder `control`, and to `metrics` if there is such a thing. Must run on a `LocalSet`.
    pub(super) fn begin(
        control: &Path,
        metrics: Option<TcpListener>,
        gpus: VisibleGpus,
        state: &State,
    ) -> io::Result<Self> {
        let is_read = metrics.is_some();
        let answers = control::Answers::begin(control, metrics, state)?;
        let counting = is_read.then(|| spawn_local(gpu_idle::count(gpus, state.clone())));
        Ok(Self {
            answers,
            gpus: Counting(counting),
        })
    }

    /// Ends with the last answer to those who have asked already.
    pub(super) async fn finish(self) {
        drop(self.gpus);
        self.answers.finish().await;
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}
