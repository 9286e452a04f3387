//! Calls of the service `events`: console lines to the server and back.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::endpoint::Endpoint;
use super::error::ApiError;
use super::id::{TaskId, WorkerId};
use super::lenient;
use super::session::Session;

const ADD_BATCH: Endpoint = Endpoint::new("events.add_batch").post().once();
const GET_TASK_LOG: Endpoint = Endpoint::new("events.get_task_log").version(2, 9);

/// How the web page colours a line (D-219).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LogLevel {
    /// The program's output.
    Debug,
    /// The agent's notices.
    Info,
    /// The agent's warnings.
    Warning,
    /// Why a task is stopped.
    Error,
}

/// Lines of a task's console, as they are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogEvent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    /// How the lines are shown.
    pub level: LogLevel,
    /// Whose console.
    pub task: &'a TaskId,
    /// Who sends.
    pub worker: &'a WorkerId,
    /// One or more lines, at most 65 536 characters.
    pub msg: &'a str,
    /// Milliseconds since the epoch; the server sorts by it.
    pub timestamp: u64,
}

impl<'a> LogEvent<'a> {
    /// An event of the type `log`.
    pub fn new(
        level: LogLevel,
        task: &'a TaskId,
        worker: &'a WorkerId,
        msg: &'a str,
        timestamp: u64,
    ) -> Self {
        Self {
            kind: "log",
            level,
            task,
            worker,
            msg,
            timestamp,
        }
    }
}

/// One JSON object a line, without a newline at the end.
pub fn json_lines(events: &[LogEvent<'_>]) -> Bytes {
    // Escapes of lines and colours included; grown by doubling it would be copied, and twice as large.
    let length = events.iter().map(|event| event.msg.len() * 9 / 8 + 256);
    let mut lines = Vec::with_capacity(length.sum());
    for event in events {
        if !lines.is_empty() {
            lines.push(b'\n');
        }
        serde_json::to_writer(&mut lines, event)
            .expect("text and numbers always become JSON, and memory takes every write");
    }
    lines.into()
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Added {
    /// How many events were stored.
    #[serde(default, deserialize_with = "lenient::count")]
    pub added: u64,
    /// How many were refused.
    #[serde(default, deserialize_with = "lenient::count")]
    pub errors: u64,
    /// Why, as the server said it.
    #[serde(default)]
    pub errors_info: Value,
}

/// Which part of a task's console to read back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskLogQuery {
    /// Whose console.
    pub task: TaskId,
    /// How many events at most.
    pub batch_size: u32,
    /// True: from the newest back; false: from the oldest on.
    pub navigate_earlier: bool,
    /// Where to start, exclusive, in milliseconds since the epoch; none: at the end or beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_timestamp: Option<u64>,
}

/// An event of a task's console, as the server stores it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StoredLogEvent {
    /// Milliseconds since the epoch.
    #[serde(default, deserialize_with = "lenient::count")]
    pub timestamp: u64,
    /// Who sent it.
    #[serde(default, deserialize_with = "lenient::text")]
    pub worker: Option<String>,
    /// Its level, in whichever case.
    #[serde(default, deserialize_with = "lenient::text")]
    pub level: Option<String>,
    /// Its lines.
    #[serde(default, deserialize_with = "lenient::text")]
    pub msg: Option<String>,
}

/// A part of a task's console.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LogPage {
    /// The events, in the order that was asked for.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub events: Vec<StoredLogEvent>,
    /// How many the task has altogether.
    #[serde(default, deserialize_with = "lenient::count")]
    pub total: u64,
}

/// The calls about events.
#[derive(Debug, Clone, Copy)]
pub struct Events<'a>(&'a Session);

impl Session {
    /// The calls about events.
    pub fn events(&self) -> Events<'_> {
        Events(self)
    }
}

impl Events<'_> {
    /// `events.add_batch`, always by POST: prepared JSON lines, see [`json_lines`].
    ///
    /// Events have no identity at the server, so an ambiguous failure is handed to the caller, who reads back
    /// what arrived. An empty batch is not sent.
    pub async fn add_batch(&self, lines: Bytes) -> Result<Added, ApiError> {
        if lines.is_empty() {
            return Ok(Added {
                added: 0,
                errors: 0,
                errors_info: Value::Null,
            });
        }
        self.0.call_lines(&ADD_BATCH, lines).await
    }

    /// `events.get_task_log`.
    pub async fn task_log(&self, query: &TaskLogQuery) -> Result<LogPage, ApiError> {
        self.0.call(&GET_TASK_LOG, query).await
    }
}
