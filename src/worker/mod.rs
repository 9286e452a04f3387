//! The daemon: identity, polling, hand-over of tasks to supervisors, status reports, farewell.
//!
//! The worker never builds an environment and never reads a task's output. It can be killed at any
//! moment without a task noticing.

mod answers;
mod capacity;
mod children;
mod crew;
mod daemon;
mod engine;
mod gpu_idle;
mod gpus;
mod identity;
mod keys;
mod log_file;
mod options;
mod poller;
mod prefetch;
mod presence;
mod recovery;
mod requests;
mod room;
mod schedule;
mod state;
mod strays;
mod survival;
mod tasks;
mod watched;

pub use capacity::Capacity;
pub use children::{Nursery, placed};
pub use daemon::Daemon;
pub use gpus::{
    Demand, Gpu, GpuPool, GpuQueues, InvalidGpus, KnownGpu, Lease, PoolOptions, Shortage,
    contradiction, demands, gpus_are_free, pool, speaks_for, without_ranges,
};
pub use identity::WorkerName;
pub use log_file::LogFile;
pub use options::{DaemonEnd, DaemonOptions, Reread};
pub use poller::{PollOptions, force_of};
pub use prefetch::PrefetchOptions;
pub use presence::was_here;
pub use recovery::{left_by_execute, supervisors, vacant_slots};
pub use schedule::{Clock, Force, Hour, InvalidHours, Schedule, forced_by_tag};
