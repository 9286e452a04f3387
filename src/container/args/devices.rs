//! Devices and GPUs: `--device`, `--device-cgroup-rule`, `--gpus`.

use bollard::models::{DeviceMapping, DeviceRequest, HostConfig};

use super::values::{fields, pair};
use super::{ApiVersion, ArgsError, HostContext, RunCommand};

/// The driver of requests whose devices are named as in a specification of CDI.
pub const CDI: &str = "cdi";
/// The kind of NVIDIA's GPUs there, as `nvidia-ctk cdi generate` writes it.
const NVIDIA: &str = "nvidia.com/gpu";

/// Fills in the devices.
pub(super) fn fill(
    command: &RunCommand,
    api: ApiVersion,
    host: &HostContext,
    into: &mut HostConfig,
) -> Result<(), ArgsError> {
    let read = if host.is_podman { podman_gpus } else { gpus };
    let requests = command.values("gpus").map(read);
    let mut requests = requests.collect::<Result<Vec<_>, _>>()?;
    let (mut devices, mut names) = (Vec::new(), Vec::new());
    for value in command.values("device") {
        if is_cdi_name(value) {
            if !host.is_podman {
                let what = format!("the CDI device `{value}` of the docker flag `--device`");
                api.needs(ApiVersion::new(1, 44), what)?;
            }
            names.push(value.to_owned());
        } else {
            devices.push(device(value)?);
        }
    }
    if !names.is_empty() {
        requests.push(DeviceRequest {
            driver: Some(CDI.to_owned()),
            device_ids: Some(names),
            ..DeviceRequest::default()
        });
    }
    for rule in command.values("device-cgroup-rule") {
        if !is_cgroup_rule(rule) {
            let reason = "it is not of the form `c 1:3 rwm`";
            return Err(ArgsError::value("device-cgroup-rule", rule, reason));
        }
    }
    into.device_cgroup_rules = command.list("device-cgroup-rule");
    into.devices = Some(devices);
    into.device_requests = Some(requests).filter(|list| !list.is_empty());
    Ok(())
}

/// A value of `--gpus`: `all`, `2`, `"device=0,1"`, `driver=nvidia,count=1,capabilities=utility`. Commas within a
/// field need quotation marks that reach docker.
fn gpus(value: &str) -> Result<DeviceRequest, ArgsError> {
    let refuse = |reason: String| ArgsError::value("gpus", value, reason);
    let count = |text: &str| {
        if text == "all" {
            return Ok(-1);
        }
        let number = text.parse::<i64>();
        number.map_err(|_| refuse(format!("`{text}` is neither `all` nor a number of GPUs")))
    };
    let fields = fields(value).map_err(|reason| refuse(reason.to_owned()))?;
    let mut request = DeviceRequest::default();
    let mut seen = Vec::new();
    for field in &fields {
        let (key, set) = field.split_once('=').unwrap_or(("count", field));
        if seen.contains(&key) {
            return Err(refuse(format!("`{key}` is given twice")));
        }
        seen.push(key);
        let list = || set.split(',').map(str::to_owned);
        match key {
            "driver" => request.driver = Some(set.to_owned()),
            "count" => request.count = Some(count(set)?),
            "device" => request.device_ids = Some(list().collect()),
            "capabilities" => {
                let all = list().chain(["gpu".to_owned()]);
                request.capabilities = Some(vec![all.collect()]);
            }
            "options" => {
                let options = super::values::fields(set);
                let options = options.map_err(|reason| refuse(reason.to_owned()))?;
                request.options = Some(options.iter().map(|option| pair(option)).collect());
            }
            _ => return Err(refuse(format!("there is no option `{key}`"))),
        }
    }
    if request.count.is_none() && request.device_ids.is_none() {
        request.count = Some(1);
    }
    let capabilities = request.capabilities.take();
    request.capabilities = Some(capabilities.unwrap_or_else(|| vec![vec!["gpu".to_owned()]]));
    request.options.get_or_insert_default();
    Ok(request)
}

/// The same for podman, which gives GPUs by their names in a specification of CDI: `all`, `0,1`, `1:0`, `"device=0,1"` (C-087).
fn podman_gpus(value: &str) -> Result<DeviceRequest, ArgsError> {
    let refuse = || {
        ArgsError::value(
            "gpus",
            value,
            "podman takes `all`, or the names of GPUs such as `0,1`",
        )
    };
    let fields = fields(value).map_err(|_| refuse())?;
    let mut names = Vec::new();
    for field in &fields {
        let list = match field.split_once('=') {
            None => field,
            Some(("device", list)) => list,
            Some(("count", "all")) => "all",
            Some(_) => return Err(refuse()),
        };
        names.extend(list.split(',').map(|name| format!("{NVIDIA}={name}")));
    }
    if names.is_empty() || !names.iter().all(|name| is_cdi_name(name)) {
        return Err(refuse());
    }
    Ok(DeviceRequest {
        driver: Some(CDI.to_owned()),
        device_ids: Some(names),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    })
}

/// A value of `--device`: `/dev/a`, `/dev/a:rw`, `/dev/a:/dev/b`, `/dev/a:/dev/b:rwm`.
fn device(value: &str) -> Result<DeviceMapping, ArgsError> {
    let refuse = |reason: &str| Err(ArgsError::value("device", value, reason));
    let parts: Vec<&str> = value.split(':').collect();
    let (host, place, mode) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, mode] if is_mode(mode) => (*host, *host, *mode),
        [host, place] => (*host, *place, "rwm"),
        [host, place, mode] if is_mode(mode) => (*host, *place, *mode),
        [_, _, _] => return refuse("the mode is not made of `r`, `w` and `m`"),
        _ => return refuse("it has too many colons"),
    };
    if host.is_empty() {
        return refuse("it names no device of the machine");
    }
    if !place.starts_with('/') {
        return refuse("its place in the container is not absolute");
    }
    Ok(DeviceMapping {
        path_on_host: Some(host.to_owned()),
        path_in_container: Some(place.to_owned()),
        cgroup_permissions: Some(mode.to_owned()),
    })
}

fn is_mode(text: &str) -> bool {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    !text.is_empty()
        && letters.len() == text.chars().count()
        && text.chars().all(|c| "rwm".contains(c))
}

/// `vendor.com/class=name`
fn is_cdi_name(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else {
        return false;
    };
    let Some((vendor, class)) = kind.split_once('/') else {
        return false;
    };
    let is_word = |word: &str, begins: fn(char) -> bool, inner: &str| {
        word.starts_with(begins)
            && word.ends_with(|c: char| c.is_ascii_alphanumeric())
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || inner.contains(c))
    };
    is_word(vendor, |c| c.is_ascii_alphabetic(), "_-.")
        && is_word(class, |c| c.is_ascii_alphabetic(), "_-")
        && is_word(name, |c| c.is_ascii_alphanumeric(), "_-.:")
}

/// `c 1:3 rwm`
fn is_cgroup_rule(text: &str) -> bool {
    let parts: Vec<&str> = text.split(' ').collect();
    let [kind, numbers, mode] = parts.as_slice() else {
        return false;
    };
    let is_number = |text: &str| {
        text == "*" || !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    matches!(*kind, "a" | "b" | "c")
        && numbers
            .split_once(':')
            .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
        && (1..=3).contains(&mode.len())
        && mode.chars().all(|c| "rwm".contains(c))
}
