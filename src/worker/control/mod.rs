//! The socket by which a running worker is asked and told, on its own machine and by its own user alone.

mod ask;
mod folder;
mod protocol;
mod serve;

pub use ask::{AskError, ask, listening};
pub(super) use protocol::tasks;
pub use protocol::{Ask, EngineStatus, QueueStatus, TaskStatus, WorkerStatus};
pub(super) use serve::ControlSocket;
