//! Networks, names and addresses.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard::models::{EndpointIpamConfig, EndpointSettings, HostConfig, PortBinding};

use super::ports::{PortSpec, exposed};
use super::values::{fields, integer};
use super::{ApiVersion, ArgsError, RunCommand};

/// Fills in what belongs to the host's side of networks. Returns the ports that the container shows.
pub(super) fn fill(command: &RunCommand, into: &mut HostConfig) -> Result<Vec<String>, ArgsError> {
    let mut shown: Vec<String> = Vec::new();
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for value in command.values("publish") {
        let spec = PortSpec::parse(value);
        let spec = spec.map_err(|reason| ArgsError::value("publish", value, reason))?;
        for (port, host) in spec.bindings() {
            let list = bindings.entry(port.clone()).or_default();
            list.get_or_insert_default().push(PortBinding {
                host_ip: Some(spec.bare_address().unwrap_or_default().to_owned()),
                host_port: Some(host),
            });
            shown.push(port);
        }
    }
    for value in command.values("expose") {
        let ports = exposed(value);
        shown.extend(ports.ok_or_else(|| ArgsError::value("expose", value, "it is no port"))?);
    }
    shown.sort_unstable();
    shown.dedup();
    into.port_bindings = Some(bindings);
    into.publish_all_ports = command.switch("publish-all");
    into.extra_hosts = some(each(command, "add-host", extra_host)?);
    into.dns = Some(each(command, "dns", |value| {
        let address = value.trim().parse::<IpAddr>();
        let address = address.map_err(|_| "it is no address of a name server")?;
        Ok(address.to_canonical().to_string())
    })?);
    into.dns_search = Some(each(command, "dns-search", domain)?);
    into.dns_options = Some(command.list("dns-option").unwrap_or_default());
    into.links = some(each(command, "link", |value| {
        let is_link = !value.is_empty() && value.matches(':').count() <= 1;
        let link = is_link.then(|| value.to_owned());
        link.ok_or("it is not of the form `container:alias`")
    })?);
    Ok(shown)
}

/// One network of the container.
#[derive(Clone, Debug, Default)]
struct Network {
    name: String,
    settings: EndpointSettings,
}

/// The networks: the mode of the container, and what is set for each of them.
pub(super) fn networks(
    command: &RunCommand,
    api: ApiVersion,
) -> Result<(Option<String>, HashMap<String, EndpointSettings>), ArgsError> {
    let networks = command
        .values("network")
        .map(|value| network(value).map_err(|reason| ArgsError::value("network", value, reason)));
    let mut networks = networks.collect::<Result<Vec<_>, _>>()?;
    let mode = networks.first().map(|network| network.name.clone());
    if networks.is_empty() {
        networks.push(Network {
            name: "default".to_owned(),
            ..Network::default()
        });
    }
    let own = networks
        .iter()
        .filter(|network| is_users_own(&network.name));
    if !matches!(own.count(), 0) && networks.iter().any(|n| !is_users_own(&n.name)) {
        return Err(ArgsError::conflict(
            "a container cannot have both a network of a user's own and one of docker's modes (bridge, host, none, container:NAME)",
        ));
    }
    let twice = networks.iter().enumerate().find(|(place, network)| {
        let mut others = networks[..*place].iter();
        others.any(|other| other.name == network.name)
    });
    if let Some((_, network)) = twice {
        return Err(ArgsError::NetworkTwice(network.name.clone()));
    }
    if networks.len() > 1 {
        let what = "more than one docker flag `--network`";
        api.needs(ApiVersion::new(1, 44), what)?;
    }
    if let Some(first) = networks.first_mut() {
        add_flags(first, command)?;
    }
    let is_alone = networks.len() == 1;
    let mut endpoints = HashMap::new();
    for Network { name, settings } in networks {
        check(&name, &settings, api)?;
        if is_alone && settings == EndpointSettings::default() {
            continue;
        }
        endpoints.insert(name, settings);
    }
    Ok((mode, endpoints))
}

/// A value of `--network`: `host`, `name=mine,alias=a,ip=10.0.0.2,driver-opt=a=b`.
fn network(value: &str) -> Result<Network, String> {
    let mut network = Network::default();
    let is_long = value.match_indices('=').any(|(at, _)| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        value[..at].ends_with(is_word) && value[at + 1..].starts_with(is_word)
    });
    if !is_long {
        value.clone_into(&mut network.name);
        return Ok(network);
    }
    let settings = &mut network.settings;
    for field in fields(value)? {
        let field = field.to_lowercase();
        let (key, value) = field
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| format!("`{field}` is no `name=value`"))?;
        let value = value.trim().to_owned();
        match key.trim() {
            "name" => network.name = value,
            "alias" => settings.aliases.get_or_insert_default().push(value),
            "ip" => ipam(settings).ipv4_address = Some(value),
            "ip6" => ipam(settings).ipv6_address = Some(value),
            "mac-address" => settings.mac_address = Some(value),
            "link-local-ip" => {
                let list = &mut ipam(settings).link_local_ips;
                list.get_or_insert_default().push(value);
            }
            "driver-opt" => {
                let (key, value) = value
                    .split_once('=')
                    .filter(|(key, _)| !key.is_empty())
                    .ok_or_else(|| "its `driver-opt` is no `name=value`".to_owned())?;
                let options = settings.driver_opts.get_or_insert_default();
                options.insert(key.trim().to_owned(), value.trim().to_owned());
            }
            "gw-priority" => {
                let priority = integer(&value).ok_or("its `gw-priority` is no number")?;
                settings.gw_priority = Some(priority);
            }
            key => return Err(format!("there is no option `{key}`")),
        }
    }
    if network.name.is_empty() {
        return Err("it names no network".to_owned());
    }
    Ok(network)
}

/// What stands in flags of its own belongs to the first network.
fn add_flags(network: &mut Network, command: &RunCommand) -> Result<(), ArgsError> {
    let settings = &mut network.settings;
    let twice = |flag: &str, is_set: bool| {
        if is_set && command.has(flag) {
            let line = format!("`--{flag}` is given both alone and within `--network`");
            return Err(ArgsError::conflict(line));
        }
        Ok(())
    };
    let known = settings.ipam_config.clone().unwrap_or_default();
    twice("network-alias", settings.aliases.is_some())?;
    twice("ip", known.ipv4_address.is_some())?;
    twice("ip6", known.ipv6_address.is_some())?;
    twice("link-local-ip", known.link_local_ips.is_some())?;
    twice("mac-address", settings.mac_address.is_some())?;
    if let Some(aliases) = command.list("network-alias") {
        settings.aliases = Some(aliases);
    }
    if is_users_own(&network.name) {
        settings.links = command.list("link");
    }
    if let Some(address) = command.text("ip") {
        ipam(settings).ipv4_address = Some(address);
    }
    if let Some(address) = command.text("ip6") {
        ipam(settings).ipv6_address = Some(address);
    }
    if let Some(addresses) = command.list("link-local-ip") {
        ipam(settings).link_local_ips = Some(addresses);
    }
    if let Some(address) = command.text("mac-address") {
        settings.mac_address = Some(address);
    }
    Ok(())
}

fn check(name: &str, settings: &EndpointSettings, api: ApiVersion) -> Result<(), ArgsError> {
    if name.trim().is_empty() {
        return Err(ArgsError::value("network", name, "it names no network"));
    }
    if !is_users_own(name) && (settings.aliases.is_some() || settings.links.is_some()) {
        return Err(ArgsError::conflict(
            "`--network-alias` goes with a network of a user's own alone",
        ));
    }
    if let Some(address) = &settings.mac_address {
        if !is_mac_address(address.trim()) {
            return Err(ArgsError::value(
                "mac-address",
                address,
                "it is no MAC address",
            ));
        }
        // Before, it belonged to the container, in a field that the models of the API have no more.
        api.needs(ApiVersion::new(1, 44), "the docker flag `--mac-address`")?;
    }
    if settings.gw_priority.is_some() {
        let what = "`gw-priority` of the docker flag `--network`";
        api.needs(ApiVersion::new(1, 48), what)?;
    }
    let addresses = settings.ipam_config.iter().flat_map(|ipam| {
        let six = ipam.ipv6_address.iter().map(|address| ("ip6", address));
        let local = ipam.link_local_ips.iter().flatten();
        let local = local.map(|address| ("link-local-ip", address));
        let four = ipam.ipv4_address.iter().map(|address| ("ip", address));
        four.chain(six).chain(local)
    });
    for (flag, address) in addresses {
        if address.parse::<IpAddr>().is_err() {
            return Err(ArgsError::value(flag, address, "it is no address"));
        }
    }
    Ok(())
}

fn ipam(settings: &mut EndpointSettings) -> &mut EndpointIpamConfig {
    settings.ipam_config.get_or_insert_default()
}

/// Whether this is a network that somebody made, and no mode of docker.
pub(super) fn is_users_own(name: &str) -> bool {
    !matches!(name, "default" | "bridge" | "host" | "none") && !name.starts_with("container:")
}

fn is_mac_address(text: &str) -> bool {
    let is_hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let dotted: Vec<&str> = text.split('.').collect();
    (parts.len() == 6 && parts.iter().all(|part| is_hex(part, 2)))
        || (dotted.len() == 3 && dotted.iter().all(|part| is_hex(part, 4)))
}

/// `name:address`, `name=address`, `name:host-gateway`, `name:[::1]`
fn extra_host(value: &str) -> Result<String, &'static str> {
    let (name, address) = value
        .split_once('=')
        .or_else(|| value.split_once(':'))
        .filter(|(name, _)| !name.is_empty() && !name.contains(':'))
        .ok_or("it is not of the form `name:address`")?;
    let bare = address
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(address);
    if address == "host-gateway" {
        return Ok(format!("{name}:{address}"));
    }
    if bare.trim().parse::<IpAddr>().is_err() {
        return Err("its address is neither an IP address nor `host-gateway`");
    }
    Ok(format!("{name}:{bare}"))
}

/// `example.com`, or `.` for none.
fn domain(value: &str) -> Result<String, &'static str> {
    let value = value.trim_matches(' ');
    if value == "." {
        return Ok(value.to_owned());
    }
    let name = value
        .trim_end()
        .strip_suffix('.')
        .unwrap_or(value.trim_end());
    let is_label = |label: &str| {
        let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let label = label.strip_prefix(':').unwrap_or(label);
        !label.is_empty()
            && label.chars().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let has_letter = name.chars().any(|c| c.is_ascii_alphabetic());
    if has_letter && name.len() < 255 && name.split('.').all(is_label) {
        Ok(name.to_owned())
    } else {
        Err("it is no domain")
    }
}

fn each(
    command: &RunCommand,
    flag: &'static str,
    read: impl Fn(&str) -> Result<String, &'static str>,
) -> Result<Vec<String>, ArgsError> {
    let values = command.values(flag);
    values
        .map(|value| read(value).map_err(|reason| ArgsError::value(flag, value, reason)))
        .collect()
}

fn some(list: Vec<String>) -> Option<Vec<String>> {
    Some(list).filter(|list| !list.is_empty())
}
