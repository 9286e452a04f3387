//! What can go wrong with the configuration; the texts are those of F-020.

use std::io;
use std::path::PathBuf;

use super::environment::InvalidTruth;
use super::hocon::{Origin, ParseError};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A document that cannot be read: file, line and column are in the text.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The file of `--config-file` is not there (F-005).
    #[error("Could not open configuration file: {}", .0.display())]
    NoSuchFile(PathBuf),
    /// A file that the operating system does not let us read (F-024).
    #[error("{}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Nothing names a server.
    #[error(
        "Could not find host server definition (missing `~/clearml.conf` or Environment CLEARML_API_HOST)\n\
         To get started with ClearML: setup your own `clearml-server`, or create a free account at \
         https://app.clear.ml and run `clearml-agent init`"
    )]
    NoConfiguration,
    /// A server but no credentials for it.
    #[error("no credentials for the API server {host}")]
    NoCredentials {
        /// The server.
        host: String,
    },
    /// A registered variable of type boolean holds another word (F-072).
    #[error(transparent)]
    InvalidTruth(#[from] InvalidTruth),
    /// A variable that holds words of a shell line, and not all of its last one (C-034). It may hold secrets: not shown.
    #[error("{variable} has a quote that is not closed")]
    OpenQuote {
        /// The variable.
        variable: &'static str,
    },
    /// A value that is not of the type its key needs.
    #[error("{key} must be {expected} ({origin})")]
    WrongType {
        /// The key.
        key: String,
        /// What it must be.
        expected: &'static str,
        /// Where the value was written.
        origin: Box<Origin>,
    },
    /// A retry count that is neither null nor a whole number.
    #[error("Bad configuration. All retry count values must be null or int")]
    RetryCount {
        /// The key.
        key: String,
        /// Where the value was written.
        origin: Box<Origin>,
    },
    /// `api.http.max_req_size` is missing or zero.
    #[error("missing max request size")]
    NoRequestSize,
    /// The variable holds none of its values.
    #[error("{variable}: {value:?} is none of {expected}")]
    InvalidVariable {
        /// The variable.
        variable: &'static str,
        /// Its text; never a secret, no such variable is one.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A key that is to be explained and that nobody knows.
    #[error("unknown key {key}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The known one that it looks most like.
        nearest: Option<&'static str>,
    },
    /// `TRAINS_ENV` names no environment (F-006).
    #[error("Invalid environment {0}")]
    InvalidEnvironment(String),
}

impl SettingsError {
    /// What a user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Parse(error) => error.hint(),
            Self::NoConfiguration => Some("run `clearml-agent init`".to_owned()),
            Self::NoCredentials { .. } => Some(
                "run `clearml-agent init`, or set CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY"
                    .to_owned(),
            ),
            Self::Unreadable { path, .. } => Some(format!(
                "give the user of the agent the right to read {}",
                path.display()
            )),
            Self::NoSuchFile(_) => {
                Some("check the path after --config-file, or run `clearml-agent init`".to_owned())
            }
            Self::InvalidTruth(error) => {
                Some(format!("set {} to true or false, or unset it", error.variable))
            }
            Self::RetryCount { key, origin } => Some(format!("look at {key} ({origin})")),
            Self::NoRequestSize => Some("set api.http.max_req_size to a number of bytes".to_owned()),
            Self::InvalidEnvironment(_) => {
                Some("TRAINS_ENV is one of default, demo, local".to_owned())
            }
            Self::UnknownKey { nearest, .. } => Some(match nearest {
                Some(key) => format!("did you mean {key}?"),
                None => "docs/configuration.md lists all keys".to_owned(),
            }),
            Self::OpenQuote { .. } => Some("close the quote, or put a backslash before it".to_owned()),
            Self::WrongType { .. } | Self::InvalidVariable { .. } => None,
        }
    }

    /// The line that precedes the error on the terminal, where F-020 has two lines.
    pub fn preamble(&self) -> Option<String> {
        match self {
            Self::Parse(error) => error.preamble(),
            _ => None,
        }
    }
}
