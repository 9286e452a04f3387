//! Rights, namespaces, kernel settings, logging and restarts.

use std::collections::HashMap;

use bollard::models::{
    HostConfig, HostConfigCgroupnsModeEnum as Cgroupns, HostConfigIsolationEnum as Isolation,
    HostConfigLogConfig, RestartPolicy, RestartPolicyNameEnum as Restart,
};

use super::values::pair;
use super::{ArgsError, HostContext, RunCommand};

/// Fills in rights, namespaces, kernel settings, logging and restarts.
pub(super) fn fill(
    command: &RunCommand,
    host: &HostContext,
    into: &mut HostConfig,
) -> Result<(), ArgsError> {
    into.privileged = command.switch("privileged");
    into.readonly_rootfs = command.switch("read-only");
    into.cap_add = command.list("cap-add").map(capabilities);
    into.cap_drop = command.list("cap-drop").map(capabilities);
    into.group_add = command.list("group-add");
    into.init = command.switch("init");
    into.runtime = command.text("runtime");
    into.ipc_mode = command.text("ipc");
    let is_container = |mode: &str| {
        mode.strip_prefix("container:")
            .is_some_and(|name| !name.is_empty())
    };
    let reason = "it is `host` or `container:NAME`";
    into.pid_mode = mode(command, "pid", reason, |mode| {
        mode == "host" || is_container(mode)
    })?;
    into.uts_mode = mode(command, "uts", "it is `host` or nothing", |mode| {
        mode == "host"
    })?;
    into.userns_mode = mode(command, "userns", "it is `host` or nothing", |mode| {
        mode == "host"
    })?;
    into.cgroupns_mode =
        command.read("cgroupns", "it is `host` or `private`", |text| match text {
            "" => Some(Cgroupns::EMPTY),
            "host" => Some(Cgroupns::HOST),
            "private" => Some(Cgroupns::PRIVATE),
            _ => None,
        })?;
    let reason = "it is `default`, `process` or `hyperv`";
    into.isolation = command.read("isolation", reason, |text| match text {
        "" => Some(Isolation::EMPTY),
        "default" => Some(Isolation::DEFAULT),
        "process" => Some(Isolation::PROCESS),
        "hyperv" => Some(Isolation::HYPERV),
        _ => None,
    })?;
    security_options(command, host, into)?;
    into.sysctls = map(command, "sysctl", |value| match value.split_once('=') {
        Some((name, _)) if is_sysctl(name) => None,
        _ => Some("a container may not set it"),
    })?;
    into.storage_opt = map(command, "storage-opt", |value| {
        (!value.contains('=')).then_some("it is no `name=value`")
    })?;
    into.annotations = map(command, "annotation", |_| None)?;
    logging(command, into)?;
    restart(command, into)
}

fn mode(
    command: &RunCommand,
    flag: &'static str,
    reason: &str,
    is_known: impl Fn(&str) -> bool,
) -> Result<Option<String>, ArgsError> {
    match command.text(flag) {
        Some(mode) if !is_known(&mode) => Err(ArgsError::value(flag, &mode, reason)),
        mode => Ok(mode),
    }
}

/// Names of capabilities as docker sends them: in capitals, with their prefix, sorted, each once.
fn capabilities(names: Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = names
        .into_iter()
        .map(|name| name.trim().to_uppercase())
        .map(|name| match name.as_str() {
            "ALL" => name,
            _ if name.starts_with("CAP_") => name,
            _ => format!("CAP_{name}"),
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.iter().any(|name| name == "ALL") {
        return vec!["ALL".to_owned()];
    }
    names
}

/// `--security-opt`. A seccomp profile is read on this machine; `systempaths=unconfined` is a setting of its own.
fn security_options(
    command: &RunCommand,
    host: &HostContext,
    into: &mut HostConfig,
) -> Result<(), ArgsError> {
    let flag = "security-opt";
    let mut options = Vec::new();
    for value in command.values(flag) {
        let (name, set) = match value.split_once('=') {
            Some((name, set)) => (name, set),
            None if value == "no-new-privileges" => (value, ""),
            None => value.split_once(':').unwrap_or((value, "")),
        };
        if set.is_empty() && name != "no-new-privileges" {
            return Err(ArgsError::value(flag, value, "it is no `name=value`"));
        }
        if value == "systempaths=unconfined" {
            into.masked_paths = Some(Vec::new());
            into.readonly_paths = Some(Vec::new());
        } else if name == "seccomp" && !matches!(set, "unconfined" | "builtin") {
            let profile = host.read(flag, set)?;
            let profile: serde_json::Value = serde_json::from_str(&profile).map_err(|error| {
                ArgsError::value(flag, value, format!("it is no JSON: {error}"))
            })?;
            options.push(format!("seccomp={profile}"));
        } else {
            options.push(value.to_owned());
        }
    }
    into.security_opt = Some(options).filter(|list| !list.is_empty());
    Ok(())
}

fn is_sysctl(name: &str) -> bool {
    matches!(
        name,
        "kernel.msgmax"
            | "kernel.msgmnb"
            | "kernel.msgmni"
            | "kernel.sem"
            | "kernel.shmall"
            | "kernel.shmmax"
            | "kernel.shmmni"
            | "kernel.shm_rmid_forced"
    ) || name.starts_with("net.")
        || name.starts_with("fs.mqueue.")
}

fn map(
    command: &RunCommand,
    flag: &'static str,
    refuse: impl Fn(&str) -> Option<&'static str>,
) -> Result<Option<HashMap<String, String>>, ArgsError> {
    let mut pairs = HashMap::new();
    for value in command.values(flag) {
        if let Some(reason) = refuse(value) {
            return Err(ArgsError::value(flag, value, reason));
        }
        pairs.extend([pair(value)]);
    }
    Ok(Some(pairs).filter(|pairs| !pairs.is_empty()))
}

fn logging(command: &RunCommand, into: &mut HostConfig) -> Result<(), ArgsError> {
    let driver = command.text("log-driver");
    let options = map(command, "log-opt", |_| None)?;
    if driver.as_deref() == Some("none") && options.is_some() {
        return Err(ArgsError::conflict(
            "`--log-driver none` takes no `--log-opt`",
        ));
    }
    if driver.is_some() || options.is_some() {
        into.log_config = Some(HostConfigLogConfig {
            typ: Some(driver.unwrap_or_default()),
            config: Some(options.unwrap_or_default()),
        });
    }
    Ok(())
}

/// `no`, `always`, `unless-stopped`, `on-failure:5`. Not together with `--rm`.
fn restart(command: &RunCommand, into: &mut HostConfig) -> Result<(), ArgsError> {
    let value = command.value("restart").unwrap_or("no");
    if value.is_empty() {
        return Ok(());
    }
    let refuse = |reason| ArgsError::value("restart", value, reason);
    let (name, count) = value.split_once(':').unwrap_or((value, ""));
    let name = match name {
        "no" => Restart::NO,
        "always" => Restart::ALWAYS,
        "unless-stopped" => Restart::UNLESS_STOPPED,
        "on-failure" => Restart::ON_FAILURE,
        _ => {
            return Err(refuse(
                "it is `no`, `always`, `unless-stopped` or `on-failure:COUNT`",
            ));
        }
    };
    let count = match count {
        "" => None,
        count => Some(
            count
                .parse()
                .map_err(|_| refuse("the count is no number"))?,
        ),
    };
    if command.is_on("rm") && name != Restart::NO {
        return Err(ArgsError::NotCarriedOut {
            flag: "restart",
            reason: "the agent removes the container when its task has ended",
        });
    }
    into.restart_policy = Some(RestartPolicy {
        name: Some(name),
        maximum_retry_count: count,
    });
    Ok(())
}
