//! `daemon --dynamic-gpus`: which GPUs are in the pool, and how many a queue's tasks get (D-264 to D-266).

use super::Failed;
use super::daemon::Arguments;

use crate::api::{QueueId, Session, WorkerId};
use crate::monitor::{GpuList, GpuReading, gpu_list};
use crate::settings::{AgentSettings, Environment, env_vars};
use crate::storage::SlotFolder;
use crate::task::Devices;
use crate::worker::{
    Demand, Gpu, GpuPool, GpuQueues, InvalidGpus, KnownGpu, PoolOptions, contradiction, demands,
    pool,
};

/// What the command line asks for.
#[derive(Debug)]
pub(super) struct DynamicGpus {
    /// The pool, in the order in which its GPUs are given.
    pub gpus: Vec<Gpu>,
    /// The GPUs of the machine.
    pub known: Vec<KnownGpu>,
    /// The names or ids of the queues.
    pub queues: Vec<String>,
    /// What the tasks of each of them get.
    pub demands: Vec<Demand>,
}

impl DynamicGpus {
    /// The pool that `devices` name: without a list, all GPUs of the machine.
    pub(super) async fn of(
        arguments: &Arguments,
        devices: &Devices,
        environment: &Environment,
    ) -> Result<Self, Failed> {
        let is_in_cluster = environment.is_set(&env_vars::KUBERNETES_SERVICE_HOST)
            || environment.is_set(&env_vars::KUBERNETES_PORT);
        if is_in_cluster {
            return Err(refused(&InvalidGpus::Cluster));
        }
        let known = match gpu_list().await {
            GpuList::Known(readings) => readings.iter().map(known).collect(),
            GpuList::NoDriver | GpuList::Unknown(_) => Vec::new(),
        };
        let gpus = match devices {
            Devices::Listed(list) if list != "all" => {
                pool(list).map_err(|error| refused(&error))?
            }
            Devices::None => return Err(refused(&InvalidGpus::CpuOnly)),
            Devices::Listed(_) | Devices::Unrestricted => {
                known.iter().map(|known| known.gpu).collect()
            }
        };
        if gpus.is_empty() {
            return Err(refused(&InvalidGpus::Missing));
        }
        let queues = arguments.queue.clone().unwrap_or_default();
        let demands = demands(&queues, gpus.len()).map_err(|error| refused(&error))?;
        let (queues, demands) = demands.into_iter().unzip();
        Ok(Self {
            gpus,
            known,
            queues,
            demands,
        })
    }

    /// Fails where a queue is named twice, once by its id, with different demands; `ids` are those of the queues.
    pub(super) fn check(&self, ids: &[QueueId]) -> Result<(), Failed> {
        let demands: Vec<_> = ids.iter().zip(self.demands.iter().copied()).collect();
        match contradiction(&demands) {
            Some(id) => Err(refused(&InvalidGpus::Twice(id.to_string()))),
            None => Ok(()),
        }
    }

    /// What the tasks of a queue get, as the table of queues shows it (D-136); `ids` are those of the queues.
    pub(super) fn shown(&self, ids: &[QueueId], queue: &QueueId) -> String {
        let mut demands = ids.iter().zip(&self.demands);
        let of_queue = demands.find(|(id, _)| *id == queue);
        let shown = of_queue.map(|(_, demand)| format!("({}.0, {}.0)", demand.least, demand.most));
        shown.unwrap_or_default()
    }

    /// The pool of `worker`, from which the queues of these ids get GPUs; `former` are the ids of all workers that had
    /// a file on this machine before.
    pub(super) fn into_queues(
        self,
        session: Session,
        (worker, slots): (WorkerId, SlotFolder),
        ids: Vec<QueueId>,
        former: Vec<String>,
        agent: &AgentSettings,
    ) -> GpuQueues {
        let options = PoolOptions {
            gpus: self.gpus,
            known: self.known,
            idle_threshold: agent.gpu_idle_threshold,
            former,
        };
        let pool = GpuPool::new(session, worker, slots, options);
        GpuQueues::new(pool, ids.into_iter().zip(self.demands).collect())
    }

    /// The pool as `--gpus` takes it.
    pub(super) fn list(&self) -> String {
        let texts: Vec<String> = self.gpus.iter().map(ToString::to_string).collect();
        texts.join(",")
    }
}

fn known(reading: &GpuReading) -> KnownGpu {
    let uuids = [Some(&reading.uuid), reading.part_uuid.as_ref()];
    let uuids = uuids.into_iter().flatten();
    KnownGpu {
        gpu: Gpu {
            index: reading.index,
            part: reading.part,
        },
        uuids: uuids.filter(|uuid| !uuid.is_empty()).cloned().collect(),
    }
}

fn refused(error: &InvalidGpus) -> Failed {
    Failed::message(error.to_string(), error.hint())
}
