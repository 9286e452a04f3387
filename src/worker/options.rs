//! What a daemon is told, and how it ends.

use std::net::TcpListener;
use std::time::Duration;

use super::capacity::Capacity;
use super::children::Nursery;
use super::gpus::GpuQueues;
use super::log_file::LogFile;
use super::poller::PollOptions;
use super::prefetch::PrefetchOptions;
use crate::api::{QueueId, Session};
use crate::container::engine::EndpointSource;
use crate::settings::{Settings, SettingsError};
use crate::storage::Slot;
use crate::task::ReportOptions;

/// Makes the settings of the next task's supervisor, all layers read again (F-015).
pub struct Reread(pub(super) Box<dyn Fn() -> Result<Settings, SettingsError>>);

impl Reread {
    /// By this function.
    pub fn new(read: impl Fn() -> Result<Settings, SettingsError> + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl std::fmt::Debug for Reread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reread")
    }
}

/// What a daemon is told.
#[derive(Debug)]
pub struct DaemonOptions {
    /// The way to the server.
    pub session: Session,
    /// Its place on this machine; given back at the end.
    pub slot: Slot,
    /// How supervisors are started.
    pub nursery: Nursery,
    /// How long a program may take to end by itself.
    pub grace: Duration,
    /// How many tasks run at once.
    pub capacity: Capacity,
    /// Where tasks get their GPUs from, with [`Capacity::Gpus`].
    pub gpus: Option<GpuQueues>,
    /// Names of the queues, as far as they are known.
    pub queue_names: Vec<(QueueId, Option<String>)>,
    /// Where tasks run in containers, what says where their engine is.
    pub engine: Option<EndpointSource>,
    /// What is fetched for waiting tasks while one runs.
    pub prefetch: PrefetchOptions,
    /// Where a monitoring system asks.
    pub metrics: Option<TcpListener>,
    /// Used after each look at the queues where `agent.reload_config` says so.
    pub reread: Reread,
    /// What it reports.
    pub report: ReportOptions,
    /// How the queues are asked.
    pub polling: PollOptions,
    /// Between two looks at idle queues (D-027).
    pub polling_interval: Duration,
    /// Idle messages are printed (D-137).
    pub is_talkative: bool,
    /// Called when a task begins and when it has ended.
    pub task_runs: fn(bool),
    /// What it writes to in the background.
    pub log_file: Option<LogFile>,
    /// A mistake of the program ends it (D-084).
    pub crashes_on_exception: bool,
    /// A terminal that is closed is nothing to it (D-298).
    pub ignores_hangup: bool,
}

/// How a daemon ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DaemonEnd {
    /// Ended by a mistake of the program, as `agent.crash_on_exception` wants it; its tasks go on (D-084).
    Crashed,
    /// Told to end when its tasks have ended, which they have.
    Drained,
    /// Handed over to the next worker; its task goes on (SIGUSR1).
    HandedOver,
    /// Told twice to end: a server that does not answer was not told (D-301).
    Hurried,
    /// Told to end; its task has been aborted (D-058).
    Terminated,
}
