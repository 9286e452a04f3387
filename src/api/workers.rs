//! Calls of the service `workers`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::endpoint::Endpoint;
use super::error::ApiError;
use super::id::{QueueId, TaskId, WorkerId};
use super::lenient;
use super::session::Session;

const REGISTER: Endpoint = Endpoint::new("workers.register");
const UNREGISTER: Endpoint = Endpoint::new("workers.unregister");
const STATUS_REPORT: Endpoint = Endpoint::new("workers.status_report");
const GET_ALL: Endpoint = Endpoint::new("workers.get_all");
const GET_ALL_2_5: Endpoint = Endpoint::new("workers.get_all").version(2, 5);
const GET_RUNTIME: Endpoint = Endpoint::new("workers.get_runtime_properties");
const SET_RUNTIME: Endpoint = Endpoint::new("workers.set_runtime_properties").post();

/// What the machine does, averaged over the time since the last report (A-117, D-186 to D-196).
///
/// Memory in MiB, rates in MiB/s, temperatures in °C, the rest in percent. What is unknown is left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct MachineStats {
    /// The hottest core; a list of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_temperature: Option<Vec<f64>>,
    /// The mean over all cores; a list of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_usage: Option<Vec<f64>>,
    /// Percent free of the watched file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_free_home: Option<f64>,
    /// Read from all disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_read: Option<f64>,
    /// Written to all disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_write: Option<f64>,
    /// A GPU's share of the whole device; enterprise servers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_fraction: Option<Vec<f64>>,
    /// One entry a GPU, like the other GPU lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_memory_free: Option<Vec<f64>>,
    /// Used memory of each GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_memory_used: Option<Vec<f64>>,
    /// Temperature of each GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_temperature: Option<Vec<f64>>,
    /// Load of each GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_usage: Option<Vec<f64>>,
    /// Available memory, not only unused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_free: Option<f64>,
    /// Used memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used: Option<f64>,
    /// Received on all interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_rx: Option<f64>,
    /// Sent on all interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_tx: Option<f64>,
}

/// The arguments of `workers.status_report` (D-177 to D-184). `machine_stats` and `tags` are sent as
/// `null` when missing, the others not at all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusReport {
    /// What the machine does; none in the reports between samples (D-174).
    pub machine_stats: Option<MachineStats>,
    /// Milliseconds since the epoch, whole seconds (D-178).
    pub timestamp: u64,
    /// Who reports.
    pub worker: WorkerId,
    /// The worker's tags.
    pub tags: Option<Vec<String>>,
    /// True for `daemon`, false for `execute`.
    pub is_daemon: bool,
    /// The running task; its absence clears it at the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The queue that the task came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// The queues that the worker listens to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queues: Option<Vec<QueueId>>,
}

/// An id with a name, as answers nest them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct NamedId {
    /// The id.
    #[serde(default, deserialize_with = "lenient::text")]
    pub id: Option<String>,
    /// The name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
}

/// A queue as a worker's entry shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct QueueOfWorker {
    /// The queue's id.
    pub id: QueueId,
    /// The queue's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
}

/// A worker that the server knows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Worker {
    /// The worker's id.
    pub id: WorkerId,
    /// Where it reports from.
    #[serde(default, deserialize_with = "lenient::text")]
    pub ip: Option<String>,
    /// What it runs.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub task: NamedId,
    /// Whose worker it is.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub user: NamedId,
    /// What it listens to.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub queues: Vec<QueueOfWorker>,
    /// When it reported last, as ISO 8601 text.
    #[serde(default, deserialize_with = "lenient::text")]
    pub last_report_time: Option<String>,
    /// Its tags.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub tags: Vec<String>,
}

/// A property that the web page or a manager sets on a worker; enterprise servers only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuntimeProperty {
    /// For instance `force`.
    pub key: String,
    /// Always text.
    pub value: String,
    /// Seconds that it has left; none where it stays.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub expiry: Option<f64>,
}

/// The calls about workers.
#[derive(Debug, Clone, Copy)]
pub struct Workers<'a>(&'a Session);

#[derive(Serialize)]
struct Registration<'a> {
    worker: &'a WorkerId,
    queues: &'a [QueueId],
}

#[derive(Serialize)]
struct LastSeen<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_pattern: Option<&'a str>,
}

#[derive(Deserialize)]
struct WorkerList {
    #[serde(default, deserialize_with = "lenient::or_default")]
    workers: Vec<Worker>,
}

impl Session {
    /// The calls about workers.
    pub fn workers(&self) -> Workers<'_> {
        Workers(self)
    }
}

impl Workers<'_> {
    /// `workers.register`.
    pub async fn register(&self, worker: &WorkerId, queues: &[QueueId]) -> Result<(), ApiError> {
        let arguments = Registration { worker, queues };
        self.0.call::<Value>(&REGISTER, &arguments).await.map(drop)
    }

    /// `workers.unregister`; the server accepts unknown workers.
    pub async fn unregister(&self, worker: &WorkerId, queues: &[QueueId]) -> Result<(), ApiError> {
        let arguments = Registration { worker, queues };
        self.0
            .call::<Value>(&UNREGISTER, &arguments)
            .await
            .map(drop)
    }

    /// `workers.status_report`.
    pub async fn status_report(&self, report: &StatusReport) -> Result<(), ApiError> {
        self.0.call::<Value>(&STATUS_REPORT, report).await.map(drop)
    }

    /// `workers.get_all` with everything that the server ever heard of, as it said it, for `list`.
    pub async fn all_as_answered(&self) -> Result<Value, ApiError> {
        let arguments = LastSeen {
            last_seen: Some(0),
            worker_pattern: None,
        };
        self.0.call(&GET_ALL, &arguments).await
    }

    /// `workers.get_all`; `last_seen` in seconds, none for the server's default.
    pub async fn all(
        &self,
        last_seen: Option<u64>,
        worker_pattern: Option<&str>,
    ) -> Result<Vec<Worker>, ApiError> {
        let arguments = LastSeen {
            last_seen,
            worker_pattern,
        };
        let list: WorkerList = self.0.call(&GET_ALL_2_5, &arguments).await?;
        Ok(list.workers)
    }

    /// `workers.get_runtime_properties`; the open-source server refuses it, see [`ApiError::is_unknown_call`].
    pub async fn runtime_properties(
        &self,
        worker: &WorkerId,
    ) -> Result<Vec<RuntimeProperty>, ApiError> {
        #[derive(Serialize)]
        struct Arguments<'a> {
            worker: &'a WorkerId,
        }
        #[derive(Deserialize)]
        struct Data {
            #[serde(default, deserialize_with = "lenient::or_default")]
            runtime_properties: Vec<RuntimeProperty>,
        }
        let data: Data = self.0.call(&GET_RUNTIME, &Arguments { worker }).await?;
        Ok(data.runtime_properties)
    }

    /// `workers.set_runtime_properties`, always by POST.
    pub async fn set_runtime_properties(
        &self,
        worker: &WorkerId,
        properties: &[RuntimeProperty],
    ) -> Result<(), ApiError> {
        #[derive(Serialize)]
        struct Arguments<'a> {
            runtime_properties: &'a [RuntimeProperty],
            worker: &'a WorkerId,
        }
        let arguments = Arguments {
            runtime_properties: properties,
            worker,
        };
        self.0
            .call::<Value>(&SET_RUNTIME, &arguments)
            .await
            .map(drop)
    }
}
