//! What the tasks of each queue get, and where it comes from.

use super::{Demand, GpuPool};
use crate::api::QueueId;

/// The queues of a worker with dynamic GPUs.
#[derive(Debug)]
pub struct GpuQueues {
    pub(in crate::worker) pool: GpuPool,
    demands: Vec<(QueueId, Demand)>,
}

impl GpuQueues {
    /// Queues with their demands; of two for the same queue the first one counts.
    pub fn new(pool: GpuPool, demands: Vec<(QueueId, Demand)>) -> Self {
        Self { pool, demands }
    }

    /// What a task of this queue gets.
    pub(in crate::worker) fn demand(&self, queue: &QueueId) -> Option<Demand> {
        let mut demands = self.demands.iter();
        demands
            .find(|(known, _)| known == queue)
            .map(|(_, demand)| *demand)
    }
}
