//! Devices by their names in a specification of CDI, which not every podman gives to containers that are made over this API.

use super::Containment;
use super::start::NotContained;
use crate::container::args::{CDI, CreateRequest};
use crate::container::engine::{Engine, podman_gives_devices};

impl Containment {
    /// Refuses a container that would silently have none of the GPUs or devices that it is to have.
    pub(super) async fn check_devices(
        &self,
        engine: &Engine,
        request: &CreateRequest,
    ) -> Result<(), NotContained> {
        let host = request.body.host_config.as_ref();
        let requests = host.and_then(|host| host.device_requests.as_ref());
        let mut named = requests
            .into_iter()
            .flatten()
            .filter(|request| request.driver.as_deref() == Some(CDI))
            .flat_map(|request| request.device_ids.iter().flatten());
        let Some(device) = named.next().filter(|_| self.options.is_podman) else {
            return Ok(());
        };
        let version = engine.podman_version().await;
        let version = version.map_err(|error| NotContained::by_engine(&error))?;
        let Some(version) = version.filter(|version| !podman_gives_devices(version)) else {
            return Ok(());
        };
        let text = format!(
            "podman {version} does not give `{device}` to a container: over its socket it leaves such devices out, and the \
             task would run without"
        );
        let hint = "podman 5.4 or newer does, once `nvidia-ctk cdi generate` has described the GPUs; `--cpu-only` runs tasks \
                    without, and `CLEARML_DOCKER_SKIP_GPUS_FLAG=1` where a hook of podman's gives them";
        Err(NotContained::because(&text, Some(hint)))
    }
}
