//! An agent that is itself in a container of the engine: its own files as the engine knows them (C-236).

use std::fs;
use std::path::{Path, PathBuf};

use bollard::models::ContainerCreateBody;

use super::Containment;
use super::upload::Parcel;
use crate::container::command::{ContainerCommand, own_container};
use crate::container::engine::Engine;

/// What the engine has mounted in the agent's own container.
#[derive(Debug)]
pub(super) struct OwnMounts(Vec<(PathBuf, PathBuf)>);

/// What became of the mounts of the agent's own files.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Files that the engine does not see: they are put into the container.
    pub(super) parcels: Vec<Parcel>,
    /// Caches that the engine does not see: the container has none.
    pub(super) lost: Vec<String>,
}

impl Containment {
    /// The mounts of the agent's own container; none where this engine does not run it, or where somebody has said what is
    /// mounted (C-072).
    pub(super) async fn own_mounts(&self, engine: &Engine) -> Option<OwnMounts> {
        if self.options.settings.host_mount.is_some() || engine.endpoint().is_remote() {
            return None;
        }
        let read = |path: &str| fs::read_to_string(path).ok();
        // Not by its name: any container of this engine may have the name of this machine.
        for id in own_container(read, None) {
            if let Ok(mounts) = engine.mounts(&id).await {
                return Some(OwnMounts(mounts));
            }
        }
        None
    }

    /// Files that this agent has on its own machine and wants in the container.
    pub(super) fn own_files(&self, command: &ContainerCommand) -> Vec<PathBuf> {
        let copies = command.copies.iter().map(|copy| copy.to.clone());
        let wheel = self.options.settings.agent_wheel.iter().cloned();
        let files = copies.chain([command.configuration.clone()]).chain(wheel);
        let git = self.host.git_files.iter().cloned();
        files
            .chain(git)
            .chain(self.runner.iter().cloned())
            .collect()
    }
}

impl OwnMounts {
    /// Lets the engine mount `files` and `folders` from where it has them.
    pub(super) fn apply(
        &self,
        body: &mut ContainerCreateBody,
        files: &[PathBuf],
        folders: &[PathBuf],
    ) -> Moved {
        let host = body.host_config.get_or_insert_default();
        let binds = host.binds.take().unwrap_or_default();
        let mut moved = Moved::default();
        let mut left = Vec::new();
        for bind in binds {
            let Some((from, to)) = bind.split_once(':') else {
                left.push(bind);
                continue;
            };
            let path = Path::new(from);
            let is_file = files.iter().any(|file| file == path);
            if !is_file && !folders.iter().any(|folder| folder == path) {
                // Paths of users are those of the engine's machine, as with the official agent.
                left.push(bind);
                continue;
            }
            match self.outside(path) {
                Some(outside) => left.push(format!("{}:{to}", outside.display())),
                None if is_file => {
                    let to = to.split(':').next().unwrap_or_default();
                    moved.parcels.push(Parcel::new(path.to_owned(), to));
                }
                None => moved.lost.push(from.to_owned()),
            }
        }
        host.binds = Some(left);
        moved
    }

    /// Where the engine has it; none where it does not see it.
    pub(super) fn outside(&self, path: &Path) -> Option<PathBuf> {
        let mounts = self.0.iter();
        let fitting = mounts.filter_map(|(inside, outside)| {
            let below = path.strip_prefix(inside).ok()?;
            // A file that is mounted alone has nothing below it.
            let there = if below.as_os_str().is_empty() {
                outside.clone()
            } else {
                outside.join(below)
            };
            Some((inside.as_os_str().len(), there))
        });
        let (_, outside) = fitting.max_by_key(|(length, _)| *length)?;
        Some(outside)
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::HostConfig;

    use super::*;

    /// C-236
    #[test]
    fn own_files_are_mounted_from_where_the_engine_has_them() {
        let mounts = [
            ("/root/.clearml", "/opt/agent"),
            ("/root", "/volumes/root"),
            ("/conf", "/opt/conf"),
        ];
        let mounts = mounts.map(|(inside, outside)| (inside.into(), outside.into()));
        let binds = [
            "/root/.clearml/runner:/.clearml-agent:ro",
            "/root/run/clearml.conf:/tmp/clearml.conf",
            "/tmp/ssh:/.ssh",
            "/root/.clearml/pip-cache:/root/.cache/pip",
            "/var/cache/x:/cache",
            "/root/.clearml/data:/data",
        ];
        let mut body = ContainerCreateBody {
            host_config: Some(HostConfig {
                binds: Some(binds.map(str::to_owned).to_vec()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let paths = |paths: &[&str]| -> Vec<PathBuf> { paths.iter().map(PathBuf::from).collect() };
        let files = paths(&[
            "/root/.clearml/runner",
            "/root/run/clearml.conf",
            "/tmp/ssh",
        ]);
        let folders = paths(&["/root/.clearml/pip-cache", "/var/cache/x"]);
        let moved = OwnMounts(mounts.to_vec()).apply(&mut body, &files, &folders);
        let binds = body.host_config.and_then(|host| host.binds).unwrap();
        let expected = [
            "/opt/agent/runner:/.clearml-agent:ro",
            "/volumes/root/run/clearml.conf:/tmp/clearml.conf",
            "/opt/agent/pip-cache:/root/.cache/pip",
            // Of a user.
            "/root/.clearml/data:/data",
        ];
        assert_eq!(binds, expected);
        assert_eq!(moved.parcels, [Parcel::new("/tmp/ssh".into(), "/.ssh")]);
        assert_eq!(moved.lost, ["/var/cache/x"]);
    }
}
