//! Files for a container whose engine does not see those of this machine: unpacked into it before it starts (C-236).

use std::io;
use std::path::{Path, PathBuf};

use bollard::models::ContainerCreateBody;

/// A file or folder, and its place in the container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Parcel {
    from: PathBuf,
    pub(super) to: PathBuf,
}

/// Takes the mounts of `own` files out of `body`: the engine would make empty folders of them.
pub(super) fn take_out(body: &mut ContainerCreateBody, own: &[PathBuf]) -> Vec<Parcel> {
    let host = body.host_config.get_or_insert_default();
    let binds = host.binds.take().unwrap_or_default();
    let mut parcels = Vec::new();
    let mut left = Vec::new();
    for bind in binds {
        let mut parts = bind.split(':');
        match (parts.next(), parts.next()) {
            (Some(from), Some(to)) if own.iter().any(|own| own == Path::new(from)) => {
                parcels.push(Parcel {
                    from: from.into(),
                    to: to.into(),
                });
            }
            _ => left.push(bind),
        }
    }
    host.binds = Some(left);
    parcels
}

impl Parcel {
    /// One more.
    pub(super) fn new(from: PathBuf, to: impl Into<PathBuf>) -> Self {
        Self {
            from,
            to: to.into(),
        }
    }

    /// True where it has this place in the container.
    pub(super) fn is_at(&self, place: &str) -> bool {
        self.to == Path::new(place)
    }
}

/// All of them in one archive, to be unpacked in the container's root.
pub(super) fn archive(parcels: &[Parcel]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for Parcel { from, to } in parcels {
        let to = to.strip_prefix("/").unwrap_or(to);
        if from.is_dir() {
            archive.append_dir_all(to, from)?;
        } else {
            archive.append_path_with_name(from, to)?;
        }
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use bollard::models::HostConfig;

    use super::*;

    /// C-236
    #[test]
    fn mounts_of_this_machine_become_an_archive() {
        let folder = tempfile::tempdir().unwrap();
        let (runner, file) = (folder.path().join("runner"), folder.path().join("conf"));
        std::fs::create_dir(&runner).unwrap();
        std::fs::write(runner.join("program"), "p").unwrap();
        std::fs::write(&file, "c").unwrap();
        let bind = |from: &Path, to: &str| format!("{}:{to}", from.display());
        let mut body = ContainerCreateBody {
            host_config: Some(HostConfig {
                binds: Some(vec![
                    bind(&runner, "/.clearml-agent:ro"),
                    "/data:/data".to_owned(),
                    bind(&file, "/tmp/clearml.conf"),
                ]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let parcels = take_out(&mut body, &[runner, file]);
        let left = body.host_config.and_then(|host| host.binds);
        assert_eq!(left, Some(vec!["/data:/data".to_owned()]));
        let bytes = archive(&parcels).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(
            names,
            [
                ".clearml-agent/",
                ".clearml-agent/program",
                "tmp/clearml.conf"
            ]
        );
    }
}
