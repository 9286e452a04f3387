//! A cgroup (version 2) for each supervisor: what it starts stays in there, also without its environment, session and parents.
//!
//! It is made below the process's own where that is allowed: for root outside of containers, and for users whose service manager
//! has handed a part of the tree to them. No controller is switched on in it, so limits and counters stay those of its parent.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What the names of these groups begin with.
const PREFIX: &str = "clearml-agent-run-";
/// Where version 2 is: alone, and beside version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// A process that was killed is gone within milliseconds, unless the kernel waits for a device.
const LIMIT: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);

/// The cgroup in which this process is alone with what it starts.
#[derive(Debug)]
pub struct OwnCgroup(PathBuf);

impl OwnCgroup {
    /// Where the group of a run named `name` would be; none where there is no version 2.
    pub fn path_for(name: &str) -> Option<PathBuf> {
        let own = own_group()?;
        Some(outside(&own).join(format!("{PREFIX}{name}")))
    }

    /// Moves this process into a new group at `path`; what it starts from now on is in there.
    pub fn enter(path: PathBuf) -> io::Result<Self> {
        if let Err(error) = fs::create_dir(&path)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        let group = Self(path);
        // 0 is who writes it. Where that fails, the group goes again.
        fs::write(group.0.join("cgroup.procs"), "0")?;
        Ok(group)
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        // What has got away from its program ends here; where this process cannot leave, with whoever comes next.
        if fs::write(outside(&self.0).join("cgroup.procs"), "0").is_ok() {
            kill_cgroup(&self.0);
        }
    }
}

/// Sends SIGKILL to all that is in the group at `path`, and removes it. This process must not be in there.
///
/// Returns whether it is gone; a path that is no group of a run is left alone.
pub fn kill_cgroup(path: &Path) -> bool {
    if !(is_of_run(path) && path.exists()) {
        return true;
    }
    let end = Instant::now() + LIMIT;
    loop {
        match fs::remove_dir(path) {
            Ok(()) => return true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
            Err(error) if error.kind() != io::ErrorKind::ResourceBusy => return false,
            Err(_) if Instant::now() > end => return false,
            Err(_) => {}
        }
        // Older kernels than 5.14 do not have the first way.
        if fs::write(path.join("cgroup.kill"), "1").is_err() {
            kill_each(path);
        }
        thread::sleep(LOOK);
    }
}

/// Removes groups of runs that have ended and could not do it themselves; those with processes in them stay.
pub fn remove_empty_cgroups() {
    let Some(own) = own_group() else {
        return;
    };
    let entries = fs::read_dir(outside(&own)).into_iter().flatten().flatten();
    for entry in entries.map(|entry| entry.path()) {
        if is_of_run(&entry) {
            // Not where it is in use.
            let _ = fs::remove_dir(entry);
        }
    }
}

/// The group outside of that of a run: a run may be another run's child.
pub fn outside(group: &Path) -> &Path {
    if is_of_run(group) {
        group.parent().unwrap_or(group)
    } else {
        group
    }
}

fn kill_each(path: &Path) {
    let processes = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines().filter_map(|line| line.parse().ok()) {
        // It may have ended in the meantime.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn is_of_run(group: &Path) -> bool {
    let name = group.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(PREFIX))
}

fn own_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    MOUNTS
        .into_iter()
        .map(Path::new)
        .find(|mount| mount.join("cgroup.controllers").exists())
        .map(|mount| mount.join(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_of_runs_are_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(kill_cgroup(folder.path()));
        assert!(folder.path().exists());
        let run = folder.path().join(format!("{PREFIX}a1"));
        assert_eq!(outside(&run), folder.path());
        assert_eq!(outside(folder.path()), folder.path());
        assert!(kill_cgroup(&run), "it is gone");
        fs::create_dir(&run).expect("a folder");
        assert!(kill_cgroup(&run) && !run.exists());
    }
}
