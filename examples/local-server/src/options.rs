//! What the caller decides about a server.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use rand::{Rng, distr::Alphanumeric};

/// Settings of one server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address of the API; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address of the placeholder of the web application; `None`: a free port beside the API.
    pub web_listen: Option<SocketAddr>,
    /// Address of the file store; `None`: a free port beside the API.
    pub files_listen: Option<SocketAddr>,
    /// Where everything is kept, files included.
    pub database: Database,
    /// Which server to be.
    pub edition: Edition,
    /// Life of a token for which the client asks no other.
    pub token_lifetime: Duration,
    /// The first user's keys; `None`: those of the database, or new random ones.
    pub credentials: Option<Credentials>,
    /// Keeps every request for [`crate::LocalServer::requests`]; a long-lived server leaves it off.
    pub record: bool,
    /// Writes one line for each request to the `tracing` log.
    pub verbose: bool,
    /// A worker that says nothing for so long is forgotten, unless it registers with another time.
    pub worker_timeout: Duration,
    /// A running task that says nothing for so long is stopped.
    pub task_timeout: Duration,
}

impl Default for Options {
    /// A free port of 127.0.0.1, in memory, open source, all requests recorded.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            web_listen: None,
            files_listen: None,
            database: Database::Memory,
            edition: Edition::OpenSource,
            token_lifetime: Duration::from_hours(30 * 24),
            credentials: None,
            record: true,
            verbose: false,
            worker_timeout: Duration::from_mins(10),
            task_timeout: Duration::from_hours(2),
        }
    }
}

/// Where the server keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// In a file, made if it is missing, readable by its owner alone.
    File(PathBuf),
    /// In memory: gone with the server.
    Memory,
}

/// The two kinds of ClearML server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edition {
    /// As recorded: no runtime properties, no vaults, no impersonation, no cluster reports.
    #[default]
    OpenSource,
    /// With them, after the written description alone: no recording of such a server exists.
    Enterprise,
}

/// Keys of one user.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Public half.
    pub access_key: String,
    /// Secret half.
    pub secret_key: String,
}

impl Credentials {
    /// Keys that nobody else has, in the form the real server gives out.
    pub fn random() -> Self {
        let text = |length| -> String {
            rand::rng()
                .sample_iter(&Alphanumeric)
                .take(length)
                .map(char::from)
                .collect()
        };
        Self {
            access_key: text(20).to_uppercase(),
            secret_key: text(50),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}
