//! A process that is told apart from a later one with the same id: by the time it started.

use std::fs;
use std::time::Duration;

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

use super::unix::watch_handle;

/// How often the end of a process is looked for where the kernel does not tell.
const POLL: Duration = Duration::from_millis(250);

/// Process id and start time; what a journal or a slot keeps of a process.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct ProcessIdentity {
    /// Process id.
    pub pid: i32,
    /// Clock ticks between boot and the start of the process.
    pub started: u64,
}

impl ProcessIdentity {
    /// The identity of this process.
    pub fn of_this_process() -> Option<Self> {
        Self::of(nix::unistd::getpid().as_raw())
    }

    /// The identity of the process that has `pid` now; none where there is no such process or it is a zombie.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        (!stat.is_dead()).then_some(Self {
            pid,
            started: stat.started,
        })
    }

    /// True while this very process lives.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// Waits until this very process has ended, be it a child or not.
    pub async fn ended(&self) {
        if let Some(handle) = self.handle() {
            // An error of the event loop is as good as the end: the caller looks again.
            let _ = handle.readable().await;
            return;
        }
        // Kernels before 5.3 have no handles for processes.
        while self.is_alive() {
            tokio::time::sleep(POLL).await;
        }
    }

    fn handle(&self) -> Option<AsyncFd<OwnedFd>> {
        let descriptor = pidfd_open(
            rustix::process::Pid::from_raw(self.pid)?,
            PidfdFlags::NONBLOCK,
        )
        .ok()?;
        // Checked after opening: from here on the handle means the process that was meant.
        self.is_alive().then(|| watch_handle(descriptor).ok())?
    }

    /// Sends `signal` if this very process still lives.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        if self.is_alive() {
            signal::kill(Pid::from_raw(self.pid), signal)
        } else {
            Err(Errno::ESRCH)
        }
    }
}

/// The fields of `/proc/<pid>/stat` that tell processes apart.
#[derive(Debug)]
pub(super) struct Stat {
    pub(super) state: char,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    pub(super) started: u64,
}

impl Stat {
    pub(super) fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The program's name may hold blanks and parentheses, so fields are counted from the last `)`.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text
            .get(text.rfind(')')? + 1..)?
            .split_whitespace()
            .collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = Stat::parse("7 (a) b) S 3 7 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 12345 1 2")
            .expect("parsed");
        assert_eq!((stat.state, stat.parent, stat.started), ('S', 3, 12345));
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_noticed() {
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .expect("started");
        let identity =
            ProcessIdentity::of(i32::try_from(child.id()).expect("a pid")).expect("lives");
        child.kill().expect("killed");
        identity.ended().await;
        child.wait().expect("reaped");
        assert!(!identity.is_alive());
    }

    #[test]
    fn another_start_time_is_another_process() {
        let this = ProcessIdentity::of_this_process().expect("this process lives");
        assert!(this.is_alive());
        assert!(
            !ProcessIdentity {
                started: this.started + 1,
                ..this
            }
            .is_alive()
        );
    }
}
