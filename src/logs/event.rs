//! One log event as the server stores it.

use serde::{Deserialize, Serialize};

/// Level of an event: output of the task is `Debug`, notices of the agent are `Info` (D-219).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// The task's console.
    Debug,
    /// A task is stopped.
    Error,
    /// The agent's notices.
    Info,
    /// A task was reset under our hands.
    Warning,
}

/// A piece of console with its time; the time is fixed before the first attempt to send it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LogEvent {
    /// Level.
    pub level: Level,
    /// Text, its line feeds included.
    pub message: String,
    /// Milliseconds since the epoch, rising within a task (D-225).
    pub timestamp: u64,
}
