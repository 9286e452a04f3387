//! The engine's log of a container, which is where its output is read: it must be one that can be read, and keep everything.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfigLogConfig};

/// The driver that every engine has.
const DRIVER: &str = "json-file";
/// Never reached: a log that is rotated forgets its beginning. It goes with the container.
const SIZE: &str = "1000t";

/// Lets the engine keep the whole output, whatever its own configuration says; what is to be said where the container's
/// arguments wanted something else.
pub(super) fn keep(body: &mut ContainerCreateBody) -> Option<String> {
    let host = body.host_config.get_or_insert_default();
    let kept = HostConfigLogConfig {
        typ: Some(DRIVER.to_owned()),
        config: Some(HashMap::from([("max-size".to_owned(), SIZE.to_owned())])),
    };
    let given = host.log_config.replace(kept)?;
    let driver = given.typ.filter(|driver| !driver.is_empty());
    let has_options = given.config.is_some_and(|options| !options.is_empty());
    if driver.is_none() && !has_options {
        return None;
    }
    Some(format!(
        "WARNING: `--log-driver` and `--log-opt` are left out: the agent reads the output of the container from the engine ({})",
        driver.as_deref().unwrap_or("with the engine's own driver")
    ))
}

#[cfg(test)]
mod tests {
    use bollard::models::HostConfig;

    use super::*;

    #[test]
    fn a_log_that_cannot_be_read_is_not_used() {
        let mut body = ContainerCreateBody {
            host_config: Some(HostConfig {
                log_config: Some(HostConfigLogConfig {
                    typ: Some("none".to_owned()),
                    config: None,
                }),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        assert!(keep(&mut body).is_some_and(|line| line.contains("(none)")));
        let driver = body.host_config.and_then(|host| host.log_config?.typ);
        assert_eq!(driver.as_deref(), Some("json-file"));
        assert_eq!(keep(&mut ContainerCreateBody::default()), None);
    }
}
