//! How a running worker is watched and told what to do: by its user through a socket, by a monitoring system over HTTP, by the
//! service manager that has started it.
//!
//! A worker is what takes tasks from queues: a daemon, or the glue of a cluster. What it knows of itself is behind [`Watched`].

mod answers;
mod ask;
mod folder;
mod http;
mod protocol;
pub mod service;
mod socket;
mod visitors;
mod vitals;
mod watched;

pub use answers::Answers;
pub use ask::{AskError, ask, listening};
pub use protocol::{Ask, DependencyStatus, QueueStatus, TaskStatus, WorkerStatus};
pub use vitals::Vitals;
pub use watched::Watched;
