//! Docker's own list of flags for `run` and `create`.

use super::ApiVersion;

/// One flag of docker.
#[derive(Debug)]
pub(super) struct Flag {
    /// Its name without dashes.
    pub(super) name: &'static str,
    /// Its letter.
    pub(super) letter: Option<char>,
    /// What follows it.
    pub(super) takes: Takes,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Takes {
    /// Nothing, or `=true` and `=false`.
    Truth,
    /// A value; each one is kept.
    Each,
    /// A value; the last one holds.
    Last,
}

use Takes::{Each, Last, Truth};

/// Names that docker keeps beside the ones it documents.
const ALIASES: [(&str, &str); 3] = [
    ("dns-opt", "dns-option"),
    ("net", "network"),
    ("net-alias", "network-alias"),
];

/// The flag of this name, be it an alias.
pub(super) fn named(name: &str) -> Option<&'static Flag> {
    let name = ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map_or(name, |(_, name)| name);
    FLAGS.iter().find(|flag| flag.name == name)
}

/// The flag of this letter.
pub(super) fn lettered(letter: char) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.letter == Some(letter))
}

/// The name that comes nearest to one that docker does not know.
pub(super) fn nearest(unknown: &str) -> Option<&'static str> {
    let names = FLAGS.iter().map(|flag| flag.name);
    let (likeness, name) = names
        .chain(ALIASES.iter().map(|(alias, _)| *alias))
        .map(|name| (strsim::jaro_winkler(unknown, name), name))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (likeness > 0.85).then_some(name)
}

/// The version of the engine's API that brought a flag, for those younger than the oldest engine that we work with.
pub(super) fn since(name: &str) -> Option<ApiVersion> {
    let minor = match name {
        "cgroupns" | "platform" => 41,
        "annotation" => 43,
        "health-start-interval" => 44,
        _ => return None,
    };
    Some(ApiVersion::new(1, minor))
}

/// Why a flag is refused that docker has.
pub(super) fn not_carried_out(name: &str) -> Option<&'static str> {
    match name {
        "cpu-count" | "cpu-percent" | "io-maxbandwidth" | "io-maxiops" => {
            Some("it is for containers of Windows")
        }
        "disable-content-trust" => Some("signatures of images are not checked"),
        "help" => Some("it asks for docker's help"),
        "use-api-socket" => Some("mount the socket with `--volume`"),
        _ => None,
    }
}

const fn flag(name: &'static str, takes: Takes) -> Flag {
    Flag {
        name,
        letter: None,
        takes,
    }
}

const fn short(letter: char, name: &'static str, takes: Takes) -> Flag {
    Flag {
        name,
        letter: Some(letter),
        takes,
    }
}

/// Sorted by name. Those of docker 28.2, with the ones that its help hides from an older engine, and two more:
/// `kernel-memory`, which it still takes, and `help`.
pub(super) static FLAGS: &[Flag] = &[
    flag("add-host", Each),
    flag("annotation", Each),
    short('a', "attach", Each),
    flag("blkio-weight", Last),
    flag("blkio-weight-device", Each),
    flag("cap-add", Each),
    flag("cap-drop", Each),
    flag("cgroup-parent", Last),
    flag("cgroupns", Last),
    flag("cidfile", Last),
    flag("cpu-count", Last),
    flag("cpu-percent", Last),
    flag("cpu-period", Last),
    flag("cpu-quota", Last),
    flag("cpu-rt-period", Last),
    flag("cpu-rt-runtime", Last),
    short('c', "cpu-shares", Last),
    flag("cpus", Last),
    flag("cpuset-cpus", Last),
    flag("cpuset-mems", Last),
    short('d', "detach", Truth),
    flag("detach-keys", Last),
    flag("device", Each),
    flag("device-cgroup-rule", Each),
    flag("device-read-bps", Each),
    flag("device-read-iops", Each),
    flag("device-write-bps", Each),
    flag("device-write-iops", Each),
    flag("disable-content-trust", Truth),
    flag("dns", Each),
    flag("dns-option", Each),
    flag("dns-search", Each),
    flag("domainname", Last),
    flag("entrypoint", Last),
    short('e', "env", Each),
    flag("env-file", Each),
    flag("expose", Each),
    flag("gpus", Each),
    flag("group-add", Each),
    flag("health-cmd", Last),
    flag("health-interval", Last),
    flag("health-retries", Last),
    flag("health-start-interval", Last),
    flag("health-start-period", Last),
    flag("health-timeout", Last),
    flag("help", Truth),
    short('h', "hostname", Last),
    flag("init", Truth),
    short('i', "interactive", Truth),
    flag("io-maxbandwidth", Last),
    flag("io-maxiops", Last),
    flag("ip", Last),
    flag("ip6", Last),
    flag("ipc", Last),
    flag("isolation", Last),
    flag("kernel-memory", Last),
    short('l', "label", Each),
    flag("label-file", Each),
    flag("link", Each),
    flag("link-local-ip", Each),
    flag("log-driver", Last),
    flag("log-opt", Each),
    flag("mac-address", Last),
    short('m', "memory", Last),
    flag("memory-reservation", Last),
    flag("memory-swap", Last),
    flag("memory-swappiness", Last),
    flag("mount", Each),
    flag("name", Last),
    flag("network", Each),
    flag("network-alias", Each),
    flag("no-healthcheck", Truth),
    flag("oom-kill-disable", Truth),
    flag("oom-score-adj", Last),
    flag("pid", Last),
    flag("pids-limit", Last),
    flag("platform", Last),
    flag("privileged", Truth),
    short('p', "publish", Each),
    short('P', "publish-all", Truth),
    flag("pull", Last),
    short('q', "quiet", Truth),
    flag("read-only", Truth),
    flag("restart", Last),
    flag("rm", Truth),
    flag("runtime", Last),
    flag("security-opt", Each),
    flag("shm-size", Last),
    flag("sig-proxy", Truth),
    flag("stop-signal", Last),
    flag("stop-timeout", Last),
    flag("storage-opt", Each),
    flag("sysctl", Each),
    flag("tmpfs", Each),
    short('t', "tty", Truth),
    flag("ulimit", Each),
    flag("use-api-socket", Truth),
    short('u', "user", Last),
    flag("userns", Last),
    flag("uts", Last),
    short('v', "volume", Each),
    flag("volume-driver", Last),
    flag("volumes-from", Each),
    short('w', "workdir", Last),
];
