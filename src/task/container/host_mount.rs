//! The agent's own files below a host mount (C-072): where the engine does not have them, the mount is wrong.

use std::path::{Path, PathBuf};

use bollard::models::{ContainerCreateBody, Mount, MountType};

use super::start::NotContained;
use crate::container::engine::EngineError;
use crate::settings::HostMount;
use crate::task::outcome::Outcome;

/// The code of `docker run` for a container that could not be made.
const NOT_MADE: i32 = 125;

/// Lets the engine refuse the container if it does not have `own` files: for a mount of the older kind it would make empty
/// folders of them.
pub(super) fn insist(mount: &HostMount, own: &[PathBuf], body: &mut ContainerCreateBody) {
    let own = outside(mount, own);
    let host = body.host_config.get_or_insert_default();
    let binds = host.binds.take().unwrap_or_default();
    let mut left = Vec::new();
    for bind in binds {
        let mut parts = bind.split(':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(from), Some(to), option @ (None | Some("ro")))
                if own.iter().any(|it| it == from) =>
            {
                let mounts = host.mounts.get_or_insert_default();
                mounts.push(Mount {
                    typ: Some(MountType::BIND),
                    source: Some(from.to_owned()),
                    target: Some(to.to_owned()),
                    read_only: option.map(|_| true),
                    ..Mount::default()
                });
            }
            _ => left.push(bind),
        }
    }
    host.binds = Some(left);
}

/// What the engine's refusal means where it is about `own` files.
pub(super) fn fault(
    mount: &HostMount,
    own: &[PathBuf],
    error: &EngineError,
) -> Option<NotContained> {
    let EngineError::Refused { message, .. } = error else {
        return None;
    };
    // Docker's words, and podman's.
    let says_missing = ["does not exist", "no such file or directory"];
    if !says_missing.iter().any(|words| message.contains(words)) {
        return None;
    }
    let missing = outside(mount, own);
    let missing = missing.iter().find(|path| message.contains(*path))?;
    let HostMount { host, inside } = mount;
    Some(NotContained {
        outcome: Outcome::Failed {
            code: NOT_MADE,
            why: format!(
                "the host mount `{host}:{inside}` is wrong: the container engine has no `{missing}`, which the agent has made in `{inside}`"
            ),
        },
        hint: Some(format!(
            "name in `CLEARML_AGENT_DOCKER_HOST_MOUNT` the folder of the engine's machine that the agent sees as `{inside}`"
        )),
        is_passing: false,
    })
}

/// As the engine is told of them.
fn outside(mount: &HostMount, own: &[PathBuf]) -> Vec<String> {
    let below = |path: &Path| {
        let path = path.display().to_string();
        path.contains(&mount.inside)
            .then(|| path.replacen(&mount.inside, &mount.host, 1))
    };
    own.iter().filter_map(|path| below(path)).collect()
}

#[cfg(test)]
mod tests {
    use bollard::models::HostConfig;

    use super::*;

    /// C-072, C-074
    #[test]
    fn own_files_have_to_be_there_and_those_of_users_need_not() {
        let mount = HostMount {
            host: "/opt/clearml".to_owned(),
            inside: "/root/.clearml".to_owned(),
        };
        let own = ["runner/1", ".clearml_agent.w.cfg"];
        let own = own.map(|name| Path::new("/root/.clearml").join(name));
        let mut body = ContainerCreateBody {
            host_config: Some(HostConfig {
                binds: Some(vec![
                    "/opt/clearml/runner/1:/.clearml-agent:ro".to_owned(),
                    "/opt/clearml/data:/data".to_owned(),
                    "/opt/clearml/.clearml_agent.w.cfg:/tmp/clearml.conf".to_owned(),
                ]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        insist(&mount, &own, &mut body);
        let host = body.host_config.unwrap();
        assert_eq!(host.binds.unwrap(), ["/opt/clearml/data:/data"]);
        let mounts = host.mounts.unwrap();
        let targets: Vec<_> = mounts.iter().map(|mount| mount.target.as_deref()).collect();
        assert_eq!(
            targets,
            [Some("/.clearml-agent"), Some("/tmp/clearml.conf")]
        );
        assert_eq!(mounts[0].read_only, Some(true));
        let refused = |path: &str| EngineError::Refused {
            status: 400,
            message: format!("bind source path does not exist: {path}"),
        };
        assert!(fault(&mount, &own, &refused("/opt/clearml/runner/1")).is_some());
        assert!(fault(&mount, &own, &refused("/opt/clearml/data")).is_none());
    }
}
