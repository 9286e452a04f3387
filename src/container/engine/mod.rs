//! The engine of docker or podman, over its API.

mod about;
mod console;
mod containers;
mod credentials;
mod endpoint;
mod error;
mod images;
mod reference;
mod room;
mod signals;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bollard::Docker;

pub use about::{About, podman_gives_devices};
pub use console::ConsoleStream;
pub use containers::{Created, End, Label, State};
pub use endpoint::{Endpoint, EndpointSource};
pub use error::EngineError;
pub use images::Logins;

/// How long the engine may take to begin an answer.
const PATIENCE: Duration = Duration::from_mins(2);
/// The oldest API that is spoken: that of engine 19.03.
const OLDEST: (usize, usize) = (1, 40);

/// An engine that answers, and the version of the API that both sides speak.
#[derive(Clone, Debug)]
pub struct Engine {
    docker: Docker,
    endpoint: Endpoint,
}

impl Engine {
    /// Connects, and agrees on a version of the API; an engine older than 19.03 is refused.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, EngineError> {
        let docker = endpoint.client(PATIENCE)?;
        let docker = docker
            .negotiate_version()
            .await
            .map_err(|error| EngineError::unreachable(endpoint, &error))?;
        let version = docker.client_version();
        if (version.major_version, version.minor_version) < OLDEST {
            return Err(EngineError::TooOld(version.to_string()));
        }
        Ok(Self {
            docker,
            endpoint: endpoint.clone(),
        })
    }

    /// True where it still does.
    pub async fn answers(&self) -> bool {
        self.docker.ping().await.is_ok()
    }

    /// Major and minor number of the API that is spoken.
    pub fn api_version(&self) -> (usize, usize) {
        let version = self.docker.client_version();
        (version.major_version, version.minor_version)
    }

    /// The version of podman, if it is one: `4.3.1`.
    pub async fn podman_version(&self) -> Result<Option<String>, EngineError> {
        let found = self.docker.version().await;
        let found = found.map_err(|error| EngineError::from_call(&error))?;
        let mut components = found.components.into_iter().flatten();
        let podman = components.find(|component| component.name == "Podman Engine");
        Ok(podman.map(|component| component.version))
    }

    /// Where the engine is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}
