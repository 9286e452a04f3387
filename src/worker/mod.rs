//! The daemon: identity, polling, hand-over of tasks to supervisors, status reports, farewell.
//!
//! The worker never builds an environment and never reads a task's output. It can be killed at any
//! moment without a task noticing.

mod capacity;
mod children;
mod crew;
mod daemon;
mod gpus;
mod identity;
mod log_file;
mod poller;
mod recovery;
mod requests;
mod schedule;
mod service;
mod survival;

pub use capacity::Capacity;
pub use children::{Nursery, placed};
pub use daemon::{Daemon, DaemonEnd, DaemonOptions, Reread};
pub use gpus::{
    Demand, Gpu, GpuPool, GpuQueues, InvalidGpus, KnownGpu, Lease, PoolOptions, Shortage, demands,
    gpus_are_free, pool, without_ranges,
};
pub use identity::WorkerName;
pub use log_file::LogFile;
pub use poller::{PollOptions, force_of};
pub use recovery::vacant_slots;
pub use schedule::{Clock, Force, Hour, InvalidHours, Schedule, forced_by_tag};
