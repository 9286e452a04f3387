//! What the kernel says of programs that it ends and of GPUs that fail, from a moment on.
//!
//! The place in its log is noted at that moment, and the log is read when somebody asks.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc::O_NONBLOCK;

use crate::process::outside;

/// The longest record of the log, and more.
const RECORD: usize = 16 << 10;
/// So much is looked at.
const MOST: usize = 16 << 20;
/// Where cgroups are, and the file of each that counts programs which were killed: of version 2, and of version 1.
const COUNTERS: [(&str, &str, &str); 3] = [
    ("", "/sys/fs/cgroup", "memory.events.local"),
    ("", "/sys/fs/cgroup/unified", "memory.events.local"),
    ("memory", "/sys/fs/cgroup/memory", "memory.oom_control"),
];

/// The kernel's state at a moment.
#[derive(Debug)]
pub struct KernelWatch {
    log: Option<File>,
    counter: Option<PathBuf>,
    kills: u64,
}

/// What the kernel has said since.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KernelNews {
    /// Programs of this process's cgroup that were killed because the memory was used up; none where nobody counts them.
    pub kills: Option<u64>,
    /// Processes that were killed for it on this machine, by the ids that the machine has for them.
    pub killed: Vec<i32>,
    /// Errors of NVIDIA's GPUs, oldest first.
    pub gpu_errors: Vec<GpuError>,
}

/// An error of a GPU.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GpuError {
    /// Address on the bus: `0000:3b:00`.
    pub address: String,
    /// NVIDIA's number for it.
    pub xid: u32,
    /// The process that it has met, where the driver knows.
    pub process: Option<i32>,
    /// The driver's words.
    pub text: String,
}

impl KernelWatch {
    /// From now on.
    pub fn begin() -> Self {
        let counter = counter();
        Self {
            log: log(),
            kills: counter.as_deref().and_then(count).unwrap_or_default(),
            counter,
        }
    }

    /// What has been said since; nothing where this user may not read it.
    pub fn news(&self) -> KernelNews {
        let kills = self.counter.as_deref().and_then(count);
        let text = self.log.as_ref().map(read).unwrap_or_default();
        KernelNews {
            kills: kills.map(|kills| kills.saturating_sub(self.kills)),
            killed: text.lines().filter_map(killed).collect(),
            gpu_errors: text.lines().filter_map(gpu_error).collect(),
        }
    }
}

/// Another place for what is read of the kernel: what a test's machine cannot show is put in its stead.
pub(super) fn place(of_kernel: &str, name: &str) -> PathBuf {
    #[cfg(debug_assertions)]
    if let Some(folder) = std::env::var_os("CLEARML_AGENT_KERNEL") {
        return PathBuf::from(folder).join(name);
    }
    let _ = name;
    of_kernel.into()
}

/// The log, at its end.
fn log() -> Option<File> {
    let mut options = File::options();
    options.read(true).custom_flags(O_NONBLOCK);
    let mut log = options.open(place("/dev/kmsg", "kmsg")).ok()?;
    log.seek(SeekFrom::End(0)).ok()?;
    Some(log)
}

/// Each read of the log gives one record.
fn read(mut log: &File) -> String {
    let mut text = Vec::new();
    let mut record = vec![0; RECORD];
    while text.len() < MOST {
        match log.read(&mut record) {
            Ok(count @ 1..) => text.extend_from_slice(&record[..count]),
            // Older records have been overwritten; it goes on with those that are there.
            Err(error)
                if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
            Ok(0) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn counter() -> Option<PathBuf> {
    let injected = place("", "memory.events");
    if !injected.as_os_str().is_empty() {
        return Some(injected);
    }
    let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let of_controller = |controller: &str| {
        cgroups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let is_it = fields.next()?.split(',').any(|one| one == controller);
            is_it.then(|| fields.next()).flatten()
        })
    };
    COUNTERS.into_iter().find_map(|(controller, mount, name)| {
        let group = of_controller(controller)?.trim_start_matches('/');
        let group = PathBuf::from(mount).join(group);
        // The group of a run has no counter of its own.
        let groups = [group.as_path(), outside(&group)];
        let mut files = groups.into_iter().map(|group| group.join(name));
        files.find(|file| file.is_file())
    })
}

fn count(counter: &Path) -> Option<u64> {
    let text = fs::read_to_string(counter).ok()?;
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// `Memory cgroup out of memory: Killed process 4242 (python3) total-vm:…`
fn killed(line: &str) -> Option<i32> {
    let (_, rest) = line.split_once("ut of memory: ")?;
    let rest = rest
        .strip_prefix("Killed process ")
        .or_else(|| rest.strip_prefix("Kill process "))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// `NVRM: Xid (PCI:0000:3b:00): 79, pid=4242, name=python3, GPU has fallen off the bus.`
fn gpu_error(line: &str) -> Option<GpuError> {
    let (_, rest) = line.split_once("NVRM: Xid (PCI:")?;
    let (address, rest) = rest.split_once("): ")?;
    let (xid, rest) = rest.split_once(',').unwrap_or((rest, ""));
    let mut process = None;
    let mut text = Vec::new();
    for part in rest.split(", ").map(str::trim) {
        match part.split_once('=') {
            Some(("pid", pid)) => process = pid.trim_matches('\'').parse().ok(),
            Some(("name", _)) => {}
            _ if part.is_empty() => {}
            _ => text.push(part),
        }
    }
    Some(GpuError {
        address: address.to_owned(),
        xid: xid.trim().parse().ok()?,
        process,
        text: text.join(", ").trim_end_matches('.').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn programs_that_the_kernel_has_killed_are_known_by_their_numbers() {
        for line in [
            "3,871,52733211,-;Memory cgroup out of memory: Killed process 4242 (python3) total-vm:1kB, anon-rss:1kB, UID:0",
            "3,871,52733211,-;Out of memory: Killed process 4242 (python3) total-vm:8kB",
            "3,871,52733211,-;Memory cgroup out of memory: Kill process 4242 (python3) score 1 or sacrifice child",
        ] {
            assert_eq!(killed(line), Some(4242), "{line}");
        }
        assert_eq!(killed("6,871,52733211,-;usb 1-1: out of memory: x"), None);
    }

    #[test]
    fn errors_of_gpus_are_read_in_all_the_drivers_ways() {
        let error = |xid, process, text: &str| GpuError {
            address: "0000:3b:00".to_owned(),
            xid,
            process,
            text: text.to_owned(),
        };
        for (line, expected) in [
            (
                "NVRM: Xid (PCI:0000:3b:00): 79, pid=4242, name=python3, GPU has fallen off the bus.",
                error(79, Some(4242), "GPU has fallen off the bus"),
            ),
            (
                "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
                error(79, None, "GPU has fallen off the bus"),
            ),
            (
                "NVRM: Xid (PCI:0000:3b:00): 31, Ch 00000008, engmask 00000101, intr 10000000",
                error(31, None, "Ch 00000008, engmask 00000101, intr 10000000"),
            ),
        ] {
            let line = format!("4,872,52733999,-;{line}");
            assert_eq!(gpu_error(&line), Some(expected), "{line}");
        }
        assert_eq!(gpu_error("4,1,1,-;NVRM: loading NVIDIA UNIX Module"), None);
    }

    /// What was said before is not read.
    #[test]
    fn only_what_is_said_from_now_on_is_news() {
        let mut file = tempfile::tempfile().expect("a file");
        let line = |pid| format!("3,1,1,-;Out of memory: Killed process {pid} (x) total-vm:8kB\n");
        file.write_all(line(1).as_bytes()).expect("written");
        let begun = file.stream_position().expect("a place");
        file.write_all(line(2).as_bytes()).expect("written");
        file.seek(SeekFrom::Start(begun)).expect("found");
        let watch = KernelWatch {
            log: Some(file),
            counter: None,
            kills: 0,
        };
        assert_eq!(watch.news().killed, [2]);
    }

    /// With the kernel's own files, whichever this user may read.
    #[test]
    fn a_machine_on_which_nothing_happens_has_no_news() {
        let news = KernelWatch::begin().news();
        assert_eq!(news.kills.unwrap_or_default(), 0);
    }
}
