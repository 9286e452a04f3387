//! Servers on an address that means this machine itself: a container reaches them by the gateway of its network.

use bollard::models::ContainerCreateBody;
use serde_json::Value;
use url::{Host, Url};

use crate::container::boot::HOST_NAME;

const SERVERS: [&str; 3] = ["api_server", "web_server", "files_server"];

/// Changes the servers in `configuration` and the hosts of the container, where it has a network of its own; what is to
/// be said about it.
pub(super) fn redirect(configuration: &mut String, body: &mut ContainerCreateBody) -> Vec<String> {
    let host_config = body.host_config.get_or_insert_default();
    let network = host_config.network_mode.as_deref().unwrap_or_default();
    if network == "host" || network == "none" || network.starts_with("container:") {
        return Vec::new();
    }
    let Ok(mut settings) = serde_json::from_str::<Value>(configuration) else {
        return Vec::new();
    };
    let mut said = Vec::new();
    for key in SERVERS {
        let Some(server) = settings.pointer_mut(&format!("/api/{key}")) else {
            continue;
        };
        let Some(there) = server.as_str().and_then(elsewhere) else {
            continue;
        };
        said.push(format!(
            "NOTICE: the container reaches api.{key} {} of this machine as {there}",
            server.as_str().unwrap_or_default()
        ));
        *server = Value::from(there);
    }
    if !said.is_empty() {
        let hosts = host_config.extra_hosts.get_or_insert_default();
        let is_known = hosts
            .iter()
            .any(|host| host.starts_with(&format!("{HOST_NAME}:")));
        if !is_known {
            hosts.push(format!("{HOST_NAME}:host-gateway"));
        }
        *configuration = settings.to_string();
    }
    said
}

/// The same address by the host's name, where it is one of this machine alone.
fn elsewhere(address: &str) -> Option<String> {
    let mut url = Url::parse(address).ok()?;
    let is_here = match url.host()? {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback() || address.is_unspecified(),
        Host::Ipv6(address) => address.is_loopback() || address.is_unspecified(),
    };
    if !is_here {
        return None;
    }
    url.set_host(Some(HOST_NAME)).ok()?;
    let text = url.to_string();
    let has_slash = address.ends_with('/');
    Some(if has_slash {
        text
    } else {
        text.trim_end_matches('/').to_owned()
    })
}

#[cfg(test)]
mod tests {
    use bollard::models::HostConfig;
    use serde_json::json;

    use super::*;

    fn redirected(network: Option<&str>) -> (Value, Vec<String>, Vec<String>) {
        let settings = json!({"api": {
            "api_server": "http://localhost:8008",
            "web_server": "https://app.example",
            "files_server": "http://127.0.0.1:8081/",
        }});
        let mut text = settings.to_string();
        let mut body = ContainerCreateBody {
            host_config: Some(HostConfig {
                network_mode: network.map(str::to_owned),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let said = redirect(&mut text, &mut body);
        let hosts = body.host_config.and_then(|it| it.extra_hosts);
        let settings = serde_json::from_str(&text).unwrap();
        (settings, said, hosts.unwrap_or_default())
    }

    #[test]
    fn a_server_of_this_machine_is_reached_by_the_gateway() {
        for network in [None, Some("bridge"), Some("own")] {
            let (settings, said, hosts) = redirected(network);
            let api = &settings["api"];
            assert_eq!(api["api_server"], "http://host.docker.internal:8008");
            assert_eq!(api["web_server"], "https://app.example");
            assert_eq!(api["files_server"], "http://host.docker.internal:8081/");
            assert_eq!(said.len(), 2, "{said:?}");
            assert_eq!(hosts, ["host.docker.internal:host-gateway"]);
        }
    }

    #[test]
    fn addresses_of_this_machine_are_known_as_such() {
        for (address, expected) in [
            (
                "http://0.0.0.0:8008",
                Some("http://host.docker.internal:8008"),
            ),
            ("http://[::]:8008", Some("http://host.docker.internal:8008")),
            (
                "http://[::1]:8008",
                Some("http://host.docker.internal:8008"),
            ),
            ("http://10.0.0.1:8008", None),
        ] {
            assert_eq!(elsewhere(address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn a_container_that_shares_a_network_keeps_the_addresses() {
        for network in ["host", "container:abc", "none"] {
            let (settings, said, hosts) = redirected(Some(network));
            assert_eq!(settings["api"]["api_server"], "http://localhost:8008");
            assert!(said.is_empty() && hosts.is_empty());
        }
    }
}
