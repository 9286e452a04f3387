//! Refusals in the server's own numbering, and what can go wrong at the start.

use std::{net::SocketAddr, path::PathBuf};

/// A call that the API refuses: HTTP status, subcode and text of the envelope.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("code {code}/{subcode}: {message}")]
pub struct ApiError {
    /// HTTP status and `meta.result_code`.
    pub code: u16,
    /// `meta.result_subcode`; 0 if there is none.
    pub subcode: u16,
    /// `meta.result_msg`.
    pub message: String,
    /// What the call wrote before it failed stays written.
    pub(crate) keeps_changes: bool,
}

impl ApiError {
    pub(crate) fn new(code: u16, subcode: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            subcode,
            message: message.into(),
            keeps_changes: false,
        }
    }

    pub(crate) fn keeping_changes(mut self) -> Self {
        self.keeps_changes = true;
        self
    }

    pub(crate) fn bad_request(subcode: u16, message: impl Into<String>) -> Self {
        Self::new(400, subcode, message)
    }

    pub(crate) fn validation(message: impl AsRef<str>) -> Self {
        Self::bad_request(12, format!("Validation error ({})", message.as_ref()))
    }

    pub(crate) fn invalid_task(id: &str, company: &str) -> Self {
        Self::bad_request(101, format!("Invalid task id: id={id}, company={company}"))
    }

    pub(crate) fn invalid_queue(id: &str, company: &str) -> Self {
        Self::bad_request(701, format!("Invalid queue id: id={id}, company={company}"))
    }

    pub(crate) fn invalid_project(id: &str) -> Self {
        Self::bad_request(401, format!("Invalid project id: id={id}"))
    }

    pub(crate) fn invalid_model(id: &str) -> Self {
        Self::bad_request(201, format!("Invalid model id: id={id}"))
    }

    pub(crate) fn unknown_endpoint(name: &str, version: crate::version::Version) -> Self {
        Self::new(
            404,
            0,
            format!("Unable to find endpoint for name {name} and version {version}"),
        )
    }
}

impl From<rusqlite::Error> for ApiError {
    fn from(error: rusqlite::Error) -> Self {
        Self::new(500, 100, format!("General data error ({error})"))
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(
            500,
            101,
            format!("Inconsistent data encountered in document ({error})"),
        )
    }
}

/// Why the server did not start, or did not come back.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not of this machine.
    #[error("cannot listen on {address}")]
    Listen {
        /// The wanted address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database file cannot be made or opened.
    #[error("cannot open the database {}", path.display())]
    OpenDatabase {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// SQLite refuses the database.
    #[error("cannot use the database")]
    Database(#[from] rusqlite::Error),
    /// The first contents of the database could not be written.
    #[error("cannot prepare the database")]
    Prepare(#[from] ApiError),
    /// No thread or event loop could be made.
    #[error("cannot start the event loop")]
    Runtime(#[source] std::io::Error),
}
