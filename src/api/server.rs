//! Calls of the services `server` and `debug`.

use serde::Deserialize;
use serde_json::Value;

use super::endpoint::Endpoint;
use super::error::ApiError;
use super::lenient;
use super::session::Session;

const INFO: Endpoint = Endpoint::new("server.info");
const PING: Endpoint = Endpoint::new("debug.ping");

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct ServerInfo {
    /// The server's version, for instance `2.3.0`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub version: Option<String>,
    /// The build number.
    #[serde(default, deserialize_with = "lenient::text")]
    pub build: Option<String>,
    /// The commit.
    #[serde(default, deserialize_with = "lenient::text")]
    pub commit: Option<String>,
}

/// The server's own calls.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a>(&'a Session);

impl Session {
    /// The server's own calls.
    pub fn server_calls(&self) -> Server<'_> {
        Server(self)
    }
}

impl Server<'_> {
    /// `server.info`.
    pub async fn info(&self) -> Result<ServerInfo, ApiError> {
        self.0.call_bare(&INFO).await
    }

    /// `debug.ping`: whether the server answers at all.
    pub async fn ping(&self) -> Result<(), ApiError> {
        self.0.call_bare::<Value>(&PING).await.map(drop)
    }
}
