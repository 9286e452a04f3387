//! Memory and processor time of a process tree, from /proc.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

/// What a process tree uses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Resident set size, MiB; pages that several processes share count for each.
    pub(crate) resident: f64,
    /// Proportional set size, MiB; shared pages count once in all.
    pub(crate) proportional: f64,
    /// User and system time, with that of children that have ended.
    pub(crate) processor: Duration,
}

/// The process and its living descendants.
pub(crate) fn tree(root: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents: Vec<(i32, i32)> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.get(1)?.parse().ok()?)))
        .collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&parent) = tree.get(next) {
        tree.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    tree
}

/// Sums over the processes.
pub(crate) fn usage(processes: &[i32]) -> Usage {
    let mut usage = Usage::default();
    for pid in processes {
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        usage.resident += mebibytes(&memory, "Rss:");
        usage.proportional += mebibytes(&memory, "Pss:");
        usage.processor += processor_time(*pid).unwrap_or_default();
    }
    usage
}

/// Whether the process runs; one that only waits for its parent to notice its end does not.
pub(crate) fn is_alive(pid: i32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
        && stat(pid).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z"))
}

/// Fields of /proc/PID/stat from the state on, which is behind the name in parentheses.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// utime, stime, cutime and cstime are the fields 14 to 17 of proc(5), where the state is 3.
fn processor_time(pid: i32) -> Option<Duration> {
    let fields = stat(pid)?;
    let ticks: u64 = fields
        .get(11..15)?
        .iter()
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    Some(Duration::from_millis(
        ticks * 1000 / u64::try_from(per_second).ok()?,
    ))
}

fn mebibytes(smaps: &str, field: &str) -> f64 {
    let value = smaps.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes =
        value.and_then(|value| value.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kibibytes.unwrap_or_default() / 1024.0
}
