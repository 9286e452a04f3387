//! The GPUs of a container (C 1.5).

use super::facts::HostFacts;
use super::options::ContainerOptions;

/// The words for docker, and what `NVIDIA_VISIBLE_DEVICES` is inside (C-050, C-052).
pub(super) fn gpus(options: &ContainerOptions, host: &HostFacts) -> (Vec<String>, String) {
    let visible = options.visible_devices.as_deref();
    // MIG devices have a dot inside of the agent, and a colon everywhere else.
    let outside = visible.map(|visible| visible.replace('.', ":"));
    let all = || "all".to_owned();
    match outside.as_deref() {
        Some("none") => (Vec::new(), "none".to_owned()),
        Some("") => (Vec::new(), all()),
        _ if options.settings.skips_gpus_flag => (Vec::new(), outside.unwrap_or_else(all)),
        visible if host.is_amd => (amd(visible.filter(|text| *text != "all"), host), all()),
        _ if podman_has_none(options, host) => (Vec::new(), all()),
        None | Some("all") => (vec!["--gpus".to_owned(), all()], all()),
        Some(list) => {
            let devices = if options.is_podman {
                list.to_owned()
            } else {
                format!("\"device={list}\"")
            };
            (vec!["--gpus".to_owned(), devices], all())
        }
    }
}

/// A podman of this machine is asked for no GPUs where there are none, and nobody has named any: the official agent's leaves
/// them out as well (C-087).
pub fn podman_has_none(options: &ContainerOptions, host: &HostFacts) -> bool {
    let engine = options.variables.get("DOCKER_HOST").unwrap_or_default();
    options.is_podman
        && host.has_no_gpu
        && (engine.is_empty() || engine.starts_with("unix://"))
        && options.visible_devices.is_none()
        && !options.settings.skips_gpus_flag
        && options.settings.host_mount.is_none()
}

/// C-051
fn amd(list: Option<&str>, host: &HostFacts) -> Vec<String> {
    let mut words = vec!["--device=/dev/kfd".to_owned()];
    match list {
        None => words.extend(
            host.render_nodes
                .iter()
                .map(|node| format!("--device={node}")),
        ),
        Some(list) => {
            let numbers = list.split(',').filter_map(|item| item.trim().parse().ok());
            words.extend(
                numbers.map(|number: u32| format!("--device=/dev/dri/renderD{}", 128 + number)),
            );
            for name in ["HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"] {
                words.push("-e".to_owned());
                words.push(format!("{name}={list}"));
            }
        }
    }
    words.extend(["--group-add", "video"].map(str::to_owned));
    words
}
