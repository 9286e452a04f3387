//! The states of a task.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A task's state at the server; a newer server may know more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum TaskStatus {
    /// A draft; what a reset leaves.
    Created,
    /// Waits in a queue.
    Queued,
    /// Runs.
    InProgress,
    /// Aborted.
    Stopped,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Closed by hand.
    Closed,
    /// About to be published.
    Publishing,
    /// Published.
    Published,
    /// A state of which nothing is known here.
    Other(String),
}

impl TaskStatus {
    /// The server's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Created => "created",
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Stopped => "stopped",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Closed => "closed",
            Self::Publishing => "publishing",
            Self::Published => "published",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for TaskStatus {
    fn from(word: String) -> Self {
        match word.as_str() {
            "created" => Self::Created,
            "queued" => Self::Queued,
            "in_progress" => Self::InProgress,
            "stopped" => Self::Stopped,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "closed" => Self::Closed,
            "publishing" => Self::Publishing,
            "published" => Self::Published,
            _ => Self::Other(word),
        }
    }
}

impl From<TaskStatus> for String {
    fn from(status: TaskStatus) -> Self {
        status.as_str().to_owned()
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    ///
    #[test]
    fn every_state_survives_both_ways_and_new_ones_do_not_break() {
        for word in [
            "created",
            "queued",
            "in_progress",
            "stopped",
            "completed",
            "failed",
            "closed",
            "publishing",
            "published",
        ] {
            let status: TaskStatus = serde_json::from_value(word.into()).unwrap();
            assert!(!matches!(status, TaskStatus::Other(_)), "{word}");
            assert_eq!(serde_json::to_value(&status).unwrap(), word);
        }
        let unknown: TaskStatus = serde_json::from_value("paused".into()).unwrap();
        assert_eq!(unknown, TaskStatus::Other("paused".into()));
    }
}
