//! Mounts: `-v`, `--mount`, `--tmpfs`.

use bollard::models::{
    HostConfig, Mount, MountBindOptions, MountBindOptionsPropagationEnum as Propagation,
    MountImageOptions, MountTmpfsOptions, MountType, MountVolumeOptions,
    MountVolumeOptionsDriverConfig,
};

use super::flags::truth;
use super::values::{bytes, fields, pair};
use super::{ApiVersion, ArgsError, HostContext, RunCommand};

/// Fills in the mounts. Returns the places of volumes without a name, which belong to the container itself.
pub(super) fn fill(
    command: &RunCommand,
    api: ApiVersion,
    host: &HostContext,
    into: &mut HostConfig,
) -> Result<Vec<String>, ArgsError> {
    let (mut binds, mut anonymous) = (Vec::new(), Vec::new());
    for value in command.values("volume") {
        let (list, volume) = match volume(value, host)? {
            Volume::Anonymous(place) => (&mut anonymous, place),
            Volume::Bind(bind) => (&mut binds, bind),
        };
        if !list.contains(&volume) {
            list.push(volume);
        }
    }
    let mounts = command.values("mount");
    let mounts = mounts.map(|value| mount(value, api, host));
    let mounts = mounts.collect::<Result<Vec<_>, _>>()?;
    let tmpfs = command.values("tmpfs").map(|value| {
        let (place, options) = value.split_once(':').unwrap_or((value, ""));
        (place.to_owned(), options.to_owned())
    });
    into.binds = Some(binds).filter(|list| !list.is_empty());
    into.mounts = Some(mounts).filter(|list| !list.is_empty());
    into.tmpfs =
        Some(tmpfs.collect()).filter(|map: &std::collections::HashMap<_, _>| !map.is_empty());
    into.volume_driver = command.text("volume-driver");
    into.volumes_from = command.list("volumes-from");
    Ok(anonymous)
}

enum Volume {
    Anonymous(String),
    Bind(String),
}

/// A value of `-v`: `/place`, `name:/place`, `/folder:/place:ro,z`. A folder that begins with `.` is made absolute; any
/// other relative one is the name of a volume, which the engine judges.
fn volume(value: &str, host: &HostContext) -> Result<Volume, ArgsError> {
    let refuse = |reason: &str| Err(ArgsError::value("volume", value, reason));
    if value.is_empty() {
        return refuse("it is empty");
    }
    let parts: Vec<&str> = value.split(':').collect();
    if value.len() > 2 && parts.iter().any(|part| part.is_empty()) {
        return refuse("there is nothing between two colons");
    }
    match parts.as_slice() {
        [place] => Ok(Volume::Anonymous((*place).to_owned())),
        _ if value.len() <= 2 => Ok(Volume::Anonymous(value.to_owned())),
        [source, rest @ ..] if rest.len() <= 2 => Ok(Volume::Bind(if source.starts_with('.') {
            format!("{}:{}", host.absolute(source), rest.join(":"))
        } else {
            value.to_owned()
        })),
        _ => refuse("it has too many colons"),
    }
}

/// A value of `--mount`: `type=bind,source=/folder,target=/place,readonly`.
fn mount(value: &str, api: ApiVersion, host: &HostContext) -> Result<Mount, ArgsError> {
    let fields = fields(value).map_err(|reason| ArgsError::value("mount", value, reason))?;
    let mut mount = Mount {
        typ: Some(MountType::VOLUME),
        ..Mount::default()
    };
    for field in &fields {
        let (key, set) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value)),
            None => (field.to_lowercase(), None),
        };
        option(&mut mount, &key, set, api, host)?;
    }
    check(&mount, api)?;
    Ok(mount)
}

/// One field of a value of `--mount`.
fn option(
    mount: &mut Mount,
    key: &str,
    set: Option<&str>,
    api: ApiVersion,
    host: &HostContext,
) -> Result<(), ArgsError> {
    // The value may hold a password for a driver of volumes.
    let refuse = |reason: &str| ArgsError::value("mount", key, reason);
    let switch = || {
        let value = set.map_or(Some(true), truth);
        value.ok_or_else(|| refuse("its value is neither true nor false"))
    };
    let text = || set.ok_or_else(|| refuse("it has no value"));
    match key {
        "readonly" | "ro" => mount.read_only = Some(switch()?),
        "type" => mount.typ = Some(kind(text()?)?),
        "source" | "src" => {
            let source = text()?;
            let is_relative = source == "." || source.starts_with("./");
            mount.source = Some(if is_relative {
                host.absolute(source)
            } else {
                source.to_owned()
            });
        }
        "target" | "dst" | "destination" => mount.target = Some(text()?.to_owned()),
        "consistency" => mount.consistency = Some(text()?.to_lowercase()),
        "bind-propagation" => {
            let value = text()?.to_lowercase();
            let known = value.parse::<Propagation>();
            let known = known.map_err(|_| refuse("no such propagation"))?;
            bind(mount).propagation = Some(known);
        }
        "bind-nonrecursive" => bind(mount).non_recursive = Some(switch()?),
        "bind-recursive" => match text()? {
            "enabled" => {}
            "disabled" => bind(mount).non_recursive = Some(true),
            "writable" => bind(mount).read_only_non_recursive = Some(true),
            "readonly" => bind(mount).read_only_force_recursive = Some(true),
            _ => return Err(refuse("it is enabled, disabled, writable or readonly")),
        },
        "volume-subpath" => {
            api.needs(
                ApiVersion::new(1, 45),
                "`volume-subpath` of the docker flag `--mount`",
            )?;
            volume_options(mount).subpath = Some(text()?.to_owned());
        }
        "volume-nocopy" => volume_options(mount).no_copy = Some(switch()?),
        "volume-label" => {
            let (name, value) = pair(text()?);
            let labels = &mut volume_options(mount).labels;
            if !name.is_empty() {
                labels.get_or_insert_default().insert(name, value);
            }
        }
        "volume-driver" => driver(mount).name = Some(text()?.to_owned()),
        "volume-opt" => {
            let (name, value) = pair(text()?);
            let options = &mut driver(mount).options;
            if !name.is_empty() {
                options.get_or_insert_default().insert(name, value);
            }
        }
        "image-subpath" => {
            let options = MountImageOptions {
                subpath: Some(text()?.to_owned()),
            };
            mount.image_options = Some(options);
        }
        "tmpfs-size" => {
            let size = bytes(text()?).ok_or_else(|| refuse("its value is no size"))?;
            tmpfs(mount).size_bytes = Some(size);
        }
        "tmpfs-mode" => {
            let mode = u32::from_str_radix(text()?, 8);
            let mode = mode.map_err(|_| refuse("its value is no mode of a file"))?;
            tmpfs(mount).mode = Some(i64::from(mode));
        }
        _ => return Err(refuse("there is no such option")),
    }
    Ok(())
}

/// What has to fit together.
fn check(mount: &Mount, api: ApiVersion) -> Result<(), ArgsError> {
    let typ = mount.typ.unwrap_or(MountType::VOLUME);
    if mount.target.as_deref().is_none_or(str::is_empty) {
        return Err(ArgsError::value("mount", "target", "it is missing"));
    }
    for (is_given, options, of) in [
        (
            mount.volume_options.is_some(),
            "volume-*",
            MountType::VOLUME,
        ),
        (mount.bind_options.is_some(), "bind-*", MountType::BIND),
        (mount.tmpfs_options.is_some(), "tmpfs-*", MountType::TMPFS),
        (mount.image_options.is_some(), "image-*", MountType::IMAGE),
    ] {
        if is_given && typ != of {
            let line = format!("--mount: options `{options}` do not go with the type `{typ}`");
            return Err(ArgsError::conflict(line));
        }
    }
    if typ == MountType::IMAGE {
        api.needs(
            ApiVersion::new(1, 48),
            "the type `image` of the docker flag `--mount`",
        )?;
    }
    let Some(bind) = &mount.bind_options else {
        return Ok(());
    };
    let is_read_only = mount.read_only == Some(true);
    if bind.read_only_non_recursive == Some(true) && !is_read_only {
        return Err(ArgsError::conflict(
            "--mount: `bind-recursive=writable` goes with `readonly` alone",
        ));
    }
    if bind.read_only_force_recursive == Some(true) {
        if !is_read_only || bind.propagation != Some(Propagation::RPRIVATE) {
            return Err(ArgsError::conflict(
                "--mount: `bind-recursive=readonly` goes with `readonly` and `bind-propagation=rprivate` alone",
            ));
        }
        let what = "`bind-recursive=readonly` of the docker flag `--mount`";
        api.needs(ApiVersion::new(1, 44), what)?;
    }
    Ok(())
}

fn kind(value: &str) -> Result<MountType, ArgsError> {
    match value.to_lowercase().as_str() {
        "bind" => Ok(MountType::BIND),
        "volume" => Ok(MountType::VOLUME),
        "tmpfs" => Ok(MountType::TMPFS),
        "image" => Ok(MountType::IMAGE),
        "cluster" => Ok(MountType::CLUSTER),
        "npipe" => Ok(MountType::NPIPE),
        _ => Err(ArgsError::value(
            "mount",
            &format!("type={value}"),
            "there is no such type",
        )),
    }
}

fn bind(mount: &mut Mount) -> &mut MountBindOptions {
    mount.bind_options.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut MountTmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn volume_options(mount: &mut Mount) -> &mut MountVolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn driver(mount: &mut Mount) -> &mut MountVolumeOptionsDriverConfig {
    volume_options(mount).driver_config.get_or_insert_default()
}
