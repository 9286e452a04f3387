//! What a supervisor does as a worker: in place of one that is gone, or because its task has none but itself.
//!
//! It keeps the slot and reports the status.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::journal::RunFolder;
use super::status_reports::{CurrentTask, ReportOptions, StatusReporter};
use crate::api::{QueueId, Session, WorkerId};
use crate::storage::{Instance, Slot, SlotFolder};

/// How often a new worker is looked for.
const LOOK: Duration = Duration::from_millis(250);
/// How often GPUs are looked at that somebody else has.
const LOOK_FOR_GPUS: Duration = Duration::from_secs(1);
/// How long the farewell of a worker that is gone may take (D-300).
const FAREWELL: Duration = Duration::from_secs(3);

/// Everything that the stand-in says and holds.
#[derive(Clone, Debug)]
pub struct StandIn {
    /// The run, which names its worker.
    pub run: RunFolder,
    /// The way to the server.
    pub session: Session,
    /// What the worker reported.
    pub report: ReportOptions,
    /// The task that runs.
    pub current: CurrentTask,
    /// Folder of the slot files.
    pub slots: SlotFolder,
    /// Number of the worker's slot.
    pub slot: u32,
    /// The task is a worker of its own, and nobody comes to take its place over (D-256).
    pub is_own_worker: bool,
    /// The worker speaks for itself: it is an agent in the task's container (C-302).
    pub is_silent: bool,
    /// The GPUs in the worker's id are the task's alone (D-275).
    pub gpus: Option<GpuCheck>,
}

/// Whether no living agent but this worker, by its id, has one of its GPUs; the process that watches the run may hold
/// them for it.
pub type GpuCheck = fn(worker: &str, living: &[Instance], watcher: Option<i32>) -> bool;

/// A worker's place that is held for it; letting go unregisters the worker.
#[derive(Debug)]
pub struct HeldPlace {
    slot: Option<Slot>,
    is_silent: bool,
    session: Session,
    worker: WorkerId,
    queues: Vec<QueueId>,
}

impl StandIn {
    /// Waits for the worker to go, stands in, steps back when a new one has come, and so on until `finished`.
    ///
    /// `held` has the worker's place while there is no worker.
    pub async fn run(
        self,
        held: tokio::sync::watch::Sender<Option<HeldPlace>>,
        finished: CancellationToken,
    ) {
        if self.is_silent {
            return;
        }
        loop {
            if !self.is_own_worker {
                tokio::select! {
                    () = self.worker_ended() => {}
                    () = finished.cancelled() => return,
                }
                if self.has_worker() {
                    continue;
                }
                held.send_replace(Some(self.hold()));
            }
            let (keep, current) = tokio::sync::watch::channel(Some(self.current.clone()));
            if self.is_own_worker {
                // A worker that shows up is reported at once.
                keep.send_replace(Some(self.current.clone()));
            }
            let reporter = StatusReporter::new(self.session.clone(), self.report.clone());
            let reports = reporter.run(current);
            tokio::pin!(reports);
            tokio::select! {
                () = &mut reports => {}
                () = self.new_worker() => {}
                () = finished.cancelled() => {
                    drop(keep);
                    // A report that is on its way must not arrive behind the farewell.
                    let _ = tokio::time::timeout(FAREWELL, reports).await;
                    return;
                }
            }
            held.send_replace(None);
        }
    }

    async fn worker_ended(&self) {
        if let Some(watcher) = self.run.watcher() {
            watcher.process.ended().await;
        }
    }

    fn has_worker(&self) -> bool {
        self.run
            .watcher()
            .is_some_and(|watcher| watcher.process.is_alive())
    }

    async fn new_worker(&self) {
        if self.is_own_worker {
            return std::future::pending().await;
        }
        while !self.has_worker() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes the worker's slot; letting go of what comes back gives it up. One with GPUs is taken in
    /// [`Self::hold_gpus`].
    pub(super) fn hold(&self) -> HeldPlace {
        let worker = self.report.worker.to_string();
        let slot = match self.gpus {
            None => Slot::inherit(&self.slots, worker, self.slot)
                .inspect_err(|error| tracing::warn!(%error, "could not keep the worker's slot"))
                .ok(),
            Some(_) => None,
        };
        HeldPlace {
            slot,
            is_silent: self.is_silent,
            session: self.session.clone(),
            worker: self.report.worker.clone(),
            queues: self.report.queues.clone().unwrap_or_default(),
        }
    }
}

impl StandIn {
    /// Takes the worker's slot as soon as nobody else has its GPUs; false where `stop` comes first.
    ///
    /// They are held for this supervisor, unless its worker was killed before it came here; `waits` is called then.
    pub(super) async fn hold_gpus(
        &self,
        held: &tokio::sync::watch::Sender<Option<HeldPlace>>,
        stop: &CancellationToken,
        waits: impl FnOnce(),
    ) -> bool {
        let Some(are_free) = self.gpus else {
            return true;
        };
        let mut waits = Some(waits);
        let worker = self.report.worker.as_str();
        loop {
            let watcher = self.run.watcher().map(|watcher| watcher.process.pid);
            let claimed = Slot::claim_with(&self.slots, &[], |living| {
                let is_mine = are_free(worker, living, watcher);
                is_mine.then(|| (worker.to_owned(), self.slot)).ok_or(())
            });
            match claimed.await {
                Ok(Ok(slot)) => {
                    held.send_modify(|held| {
                        if let Some(held) = held {
                            held.slot = Some(slot);
                        }
                    });
                    return true;
                }
                Ok(Err(())) => {}
                Err(error) => {
                    tracing::warn!(%error, "could not keep the worker's slot");
                    return true;
                }
            }
            if let Some(waits) = waits.take() {
                waits();
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_FOR_GPUS) => {}
                () = stop.cancelled() => return false,
            }
        }
    }
}

impl HeldPlace {
    /// Takes leave of the server for the worker: the task has ended and no new worker has come.
    pub fn farewell(&self) -> impl Future<Output = ()> + use<> {
        let session = self.session.clone().with_deadline(FAREWELL);
        let (worker, queues) = (self.worker.clone(), self.queues.clone());
        let is_silent = self.is_silent;
        async move {
            if is_silent {
                return;
            }
            if let Err(error) = session.workers().unregister(&worker, &queues).await {
                tracing::info!(%error, "could not unregister the worker");
            }
        }
    }
}
