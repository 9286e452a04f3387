//! What an engine says of itself.

use super::Engine;
use super::error::EngineError;

/// The vendor's name in runtimes and CDI devices.
const NVIDIA: &str = "nvidia";
/// The first podman that looks at names of CDI in what it gets over its socket; those before it leave them out and say nothing.
const FIRST_PODMAN: (u32, u32) = (5, 4);

/// An engine, as far as tasks depend on it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct About {
    /// Where it is.
    pub endpoint: String,
    /// Its own version.
    pub version: String,
    /// The version of podman, if it is one.
    pub podman: Option<String>,
    /// The version of the API that is spoken with it.
    pub api_version: (usize, usize),
    /// How it keeps images and containers, such as `overlay2`.
    pub storage_driver: String,
    /// It can start containers with NVIDIA's runtime.
    pub has_nvidia_runtime: bool,
    /// It knows NVIDIA's GPUs by CDI names. podman does not say it.
    pub has_nvidia_cdi: bool,
}

impl Engine {
    /// Asks it.
    pub async fn about(&self) -> Result<About, EngineError> {
        let info = self.docker.info().await;
        let info = info.map_err(|error| EngineError::from_call(&error))?;
        let runtimes = info.runtimes.unwrap_or_default();
        let devices = info.discovered_devices.unwrap_or_default();
        let is_nvidia = |id: Option<String>| id.is_some_and(|id| id.starts_with("nvidia.com/gpu"));
        Ok(About {
            endpoint: self.endpoint.to_string(),
            version: info.server_version.unwrap_or_default(),
            podman: self.podman_version().await?,
            api_version: self.api_version(),
            storage_driver: info.driver.unwrap_or_default(),
            has_nvidia_runtime: runtimes.contains_key(NVIDIA),
            has_nvidia_cdi: devices.into_iter().any(|device| is_nvidia(device.id)),
        })
    }
}

/// Whether a podman of this version gives devices by their names in CDI. What cannot be read is taken for a new one.
pub fn podman_gives_devices(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= FIRST_PODMAN,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_numbers() {
        for (version, expected) in [
            ("4.3.1", false),
            ("5.3.2", false),
            ("5.4.0", true),
            ("5.10.0-dev", true),
            ("6.0", true),
            ("later", true),
        ] {
            assert_eq!(podman_gives_devices(version), expected, "{version}");
        }
    }
}
