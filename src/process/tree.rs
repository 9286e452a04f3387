//! Ends a program with everything that it started.

use std::collections::HashMap;
use std::fs;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::ProcessIdentity;
use super::identity::Stat;

/// Sends SIGKILL to `pid`, its process group and every descendant, until none is found (D-236).
pub fn kill_tree(pid: i32) {
    let found = stop_all(|| descendants(pid));
    // An error means that the group is gone already.
    let _ = signal::killpg(Pid::from_raw(pid), Signal::SIGKILL);
    send(pid, Signal::SIGKILL);
    kill_all(&found);
}

/// Sends SIGTERM to `pid`, its process group and every descendant, each once.
pub fn terminate_tree(pid: i32) {
    let mut found = descendants(pid);
    found.push(pid);
    let rest = processes().filter(|(other, stat)| stat.group == pid && !found.contains(other));
    let rest: Vec<i32> = rest.map(|(other, _)| other).collect();
    for found in found.into_iter().chain(rest) {
        send(found, Signal::SIGTERM);
    }
}

/// True while `pid` has a living descendant.
pub fn has_descendants(pid: i32) -> bool {
    !descendants(pid).is_empty()
}

/// Sends SIGKILL to every descendant of `pid`, and not to `pid`; returns how many there were (D-215).
///
/// For a sub-reaper this includes what detached itself from a program that has ended.
pub fn kill_descendants(pid: i32) -> usize {
    kill_all(&stop_all(|| descendants(pid)))
}

/// Sends SIGKILL to what is left of the session or process group that `leader` led; returns how many there were.
///
/// The kernel gives the number of a session or group to nobody else while it has members, so what is found
/// belongs to it, unless it is older than the leader: then the number was used again after all had died.
pub fn kill_followers(leader: ProcessIdentity) -> usize {
    // A leader that lives with another start time has taken the number over.
    if Stat::read(leader.pid).is_some_and(|stat| stat.started != leader.started) {
        return 0;
    }
    let follows = |stat: &Stat| stat.session == leader.pid || stat.group == leader.pid;
    let belongs =
        |stat: &Stat| follows(stat) && stat.state != 'Z' && stat.started >= leader.started;
    kill_all(&stop_all(|| {
        processes()
            .filter(|(_, stat)| belongs(stat))
            .map(|(pid, _)| pid)
            .collect()
    }))
}

/// Sends SIGKILL to every process that was started with all of these `variables`; returns how many there were.
///
/// A process can leave its group, its session and its parent, and keeps what it was started with.
pub fn kill_inheritors(variables: &[(&str, &str)]) -> usize {
    let wanted: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let inherits = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        wanted.iter().all(|wanted| {
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == wanted.as_bytes())
        })
    };
    kill_all(&stop_all(|| {
        processes()
            .map(|(pid, _)| pid)
            .filter(|pid| inherits(*pid))
            .collect()
    }))
}

/// Stops what `find` finds until it finds nothing new.
///
/// Stopping first and killing then leaves no moment in which a process could start another one unseen.
fn stop_all(find: impl Fn() -> Vec<i32>) -> Vec<i32> {
    let mut seen = Vec::new();
    loop {
        let fresh: Vec<i32> = find()
            .into_iter()
            .filter(|found| !seen.contains(found))
            .collect();
        if fresh.is_empty() {
            return seen;
        }
        for &found in &fresh {
            send(found, Signal::SIGSTOP);
        }
        seen.extend(fresh);
    }
}

fn kill_all(found: &[i32]) -> usize {
    for &pid in found {
        send(pid, Signal::SIGKILL);
    }
    found.len()
}

fn send(pid: i32, signal: Signal) {
    // An error means that the process is gone already.
    let _ = signal::kill(Pid::from_raw(pid), signal);
}

/// All living descendants of `pid`, nearest first.
fn descendants(pid: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (candidate, stat) in processes() {
        if stat.state != 'Z' {
            children.entry(stat.parent).or_default().push(candidate);
        }
    }
    let mut found = children.remove(&pid).unwrap_or_default();
    let mut next = 0;
    while let Some(&current) = found.get(next) {
        found.extend(children.remove(&current).unwrap_or_default());
        next += 1;
    }
    found
}

fn processes() -> impl Iterator<Item = (i32, Stat)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, Stat::read(pid)?)))
}
