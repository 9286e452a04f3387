//! Starts the user's program and waits for its end, or ends it.

use std::io::{self, IsTerminal};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use super::stop::Stop;
use crate::process::{
    Command, Output, ProcessIdentity, has_descendants, kill_descendants, kill_tree, terminate_tree,
    tie_to_parent,
};

/// How often is looked whether a program that was asked to end has left something running.
const LOOK: Duration = Duration::from_millis(50);

/// SIGTERM, as the code of a program and as that of a shell whose program it was.
const TERMINATED: [i32; 2] = [-15, 143];
/// How long this process may take to get a signal that its program has got.
const NEWS: Duration = Duration::from_millis(500);

/// A program that runs.
#[derive(Debug)]
pub(super) struct Program {
    child: tokio::process::Child,
    identity: ProcessIdentity,
}

impl Program {
    /// Starts `command` in a process group of its own with both streams on `output`.
    ///
    /// The program dies with this process, whatever happens to it (see docs/reliability.md).
    pub(super) fn start(command: &Command, output: &Output) -> io::Result<Self> {
        let mut command = command.to_std();
        command
            .stdin(Stdio::inherit())
            .stdout(output.stdio()?)
            .stderr(output.stdio()?)
            .process_group(0);
        tie_to_parent(&mut command);
        let child = tokio::process::Command::from(command).spawn()?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .ok_or(io::ErrorKind::NotFound)?;
        // A program that has ended already has no start time to tell; nothing can be signalled by mistake then.
        let identity = ProcessIdentity::of(pid).unwrap_or(ProcessIdentity { pid, started: 0 });
        Ok(Self { child, identity })
    }

    /// The program's process.
    pub(super) fn identity(&self) -> ProcessIdentity {
        self.identity
    }

    /// Waits for the program's end; kills it with all that it started once it is to stop (D-236).
    ///
    /// With a `grace` it is asked to end before, and `asked` is called. What the program leaves behind is
    /// ended as well (D-215, E-274). The code is negative for a signal.
    pub(super) async fn wait(
        mut self,
        stop: &Stop,
        grace: Duration,
        asked: impl FnOnce(),
    ) -> io::Result<i32> {
        let status = tokio::select! {
            status = self.child.wait() => status?,
            () = stop.token().cancelled() => {
                if !grace.is_zero() {
                    asked();
                    self.end_by_itself(stop, grace).await;
                }
                // The number of one that has ended may be another process's.
                if self.child.try_wait()?.is_none() {
                    kill_tree(self.identity.pid);
                }
                self.child.wait().await?
            }
        };
        kill_descendants(nix::unistd::getpid().as_raw());
        let code = code(status);
        if TERMINATED.contains(&code) {
            // Schedulers tell all processes of a job at once; then it was not the program that failed.
            let _ = tokio::time::timeout(NEWS, stop.token().cancelled()).await;
        }
        Ok(code)
    }

    /// SIGTERM to the whole tree; until nothing of it is left, the time is over, or somebody is in a hurry.
    async fn end_by_itself(&mut self, stop: &Stop, grace: Duration) {
        terminate_tree(self.identity.pid);
        let child = &mut self.child;
        let ended = async {
            // An error shows where its status is read.
            let _ = child.wait().await;
            while has_descendants(nix::unistd::getpid().as_raw()) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = tokio::time::sleep(grace) => {}
            () = stop.hurried().cancelled() => {}
        }
    }
}

/// Runs a program beside this process, on the same streams, to its end; the exit code that this process takes over (E-266).
///
/// Signals that would have ended this process are the program's.
pub async fn run_beside(command: &Command) -> io::Result<u8> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // A terminal sends it to the program as well.
    let is_passed_on = !io::stdin().is_terminal();
    let mut command = command.to_std_with_streams();
    tie_to_parent(&mut command);
    let mut child = tokio::process::Command::from(command).spawn()?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let pass_on = |signal| {
        if let Some(pid) = pid {
            // It may have ended in the meantime.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    };
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            _ = terminate.recv() => pass_on(Signal::SIGTERM),
            _ = interrupt.recv(), if is_passed_on => pass_on(Signal::SIGINT),
        }
    };
    Ok(u8::try_from(code(status).rem_euclid(256)).unwrap_or(u8::MAX))
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| -status.signal().unwrap_or(1))
}
