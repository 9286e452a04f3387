//! Limits of processors, memory, disks and processes.

use bollard::models::{HostConfig, ResourcesBlkioWeightDevice, ResourcesUlimits, ThrottleDevice};

use super::values::{bytes, integer, nanos};
use super::{ArgsError, RunCommand};

/// Fills in the limits. Lists that are empty are sent so, as docker does: engines treat them otherwise than none.
pub(super) fn fill(command: &RunCommand, into: &mut HostConfig) -> Result<(), ArgsError> {
    into.cpu_period = command.number("cpu-period")?;
    into.cpu_quota = command.number("cpu-quota")?;
    into.cpu_realtime_period = command.number("cpu-rt-period")?;
    into.cpu_realtime_runtime = command.number("cpu-rt-runtime")?;
    into.cpu_shares = command.number("cpu-shares")?;
    into.cpuset_cpus = command.text("cpuset-cpus");
    into.cpuset_mems = command.text("cpuset-mems");
    into.nano_cpus = command.read("cpus", "it is no number of processors", nanos)?;
    into.memory = command.size("memory")?;
    into.memory_reservation = command.size("memory-reservation")?;
    into.memory_swap = command.read("memory-swap", NO_SIZE, |text| match text {
        "-1" => Some(-1),
        _ => bytes(text),
    })?;
    let reason = "it is not between 0 and 100";
    into.memory_swappiness = command
        .read("memory-swappiness", reason, |text| {
            integer(text).filter(|value| (-1..=100).contains(value))
        })?
        .filter(|value| *value != -1);
    // Read and forgotten, as later versions of docker do: no kernel has it any more.
    command.size("kernel-memory")?;
    into.shm_size = command.size("shm-size")?;
    into.oom_kill_disable = command.switch("oom-kill-disable");
    into.oom_score_adj = command.number("oom-score-adj")?;
    into.pids_limit = command.number("pids-limit")?;
    into.cgroup_parent = command.text("cgroup-parent");
    let reason = "it is no number between 10 and 1000";
    into.blkio_weight = command.read("blkio-weight", reason, |text| {
        u16::try_from(integer(text)?).ok()
    })?;
    let weights = command.values("blkio-weight-device").map(weight);
    into.blkio_weight_device = Some(weights.collect::<Result<_, _>>()?);
    let rates = |flag, read: fn(&str) -> Option<i64>| {
        let rates = command.values(flag).map(|value| rate(flag, value, read));
        rates.collect::<Result<Vec<_>, _>>().map(Some)
    };
    into.blkio_device_read_bps = rates("device-read-bps", bytes)?;
    into.blkio_device_write_bps = rates("device-write-bps", bytes)?;
    let count = |text: &str| text.parse::<u64>().ok()?.try_into().ok();
    into.blkio_device_read_iops = rates("device-read-iops", count)?;
    into.blkio_device_write_iops = rates("device-write-iops", count)?;
    into.ulimits = Some(ulimits(command)?);
    Ok(())
}

pub(super) const NO_SIZE: &str = "it is no size such as `8g` or `512m`";

/// `/dev/sda:500`
fn weight(value: &str) -> Result<ResourcesBlkioWeightDevice, ArgsError> {
    let flag = "blkio-weight-device";
    let (path, weight) = path_and(flag, value)?;
    let weight = weight.parse::<u16>().ok();
    let weight = weight.filter(|weight| *weight == 0 || (10..=1000).contains(weight));
    let reason = "the weight is not between 10 and 1000";
    let weight = weight.ok_or_else(|| ArgsError::value(flag, value, reason))?;
    Ok(ResourcesBlkioWeightDevice {
        path: Some(path.to_owned()),
        weight: Some(weight.into()),
    })
}

/// `/dev/sda:1mb`
fn rate(
    flag: &'static str,
    value: &str,
    read: fn(&str) -> Option<i64>,
) -> Result<ThrottleDevice, ArgsError> {
    let (path, rate) = path_and(flag, value)?;
    let rate = read(rate).ok_or_else(|| ArgsError::value(flag, value, "the rate is no number"))?;
    Ok(ThrottleDevice {
        path: Some(path.to_owned()),
        rate: Some(rate),
    })
}

fn path_and<'a>(flag: &'static str, value: &'a str) -> Result<(&'a str, &'a str), ArgsError> {
    value
        .split_once(':')
        .filter(|(path, _)| path.starts_with("/dev/"))
        .ok_or_else(|| ArgsError::value(flag, value, "it is not of the form `/dev/name:number`"))
}

/// `memlock=-1`, `nofile=1024:2048`. The last one of a name holds.
fn ulimits(command: &RunCommand) -> Result<Vec<ResourcesUlimits>, ArgsError> {
    let mut limits: Vec<ResourcesUlimits> = Vec::new();
    for value in command.values("ulimit") {
        let limit = ulimit(value).map_err(|reason| ArgsError::value("ulimit", value, reason))?;
        limits.retain(|known| known.name != limit.name);
        limits.push(limit);
    }
    Ok(limits)
}

fn ulimit(value: &str) -> Result<ResourcesUlimits, &'static str> {
    const NAMES: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    let (name, limits) = value
        .split_once('=')
        .ok_or("it is not of the form `name=soft:hard`")?;
    if !NAMES.contains(&name) {
        return Err("there is no such limit");
    }
    let number = |text: &str| match text {
        "infinity" => Ok(-1),
        _ => text.parse::<i64>().map_err(|_| "the limit is no number"),
    };
    let (soft, hard) = match limits.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(limits)?, number(limits)?),
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err("the soft limit is above the hard one");
    }
    Ok(ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(soft),
        hard: Some(hard),
    })
}
