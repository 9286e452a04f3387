//! Starts the user's program and waits for its end, or ends it.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ExitStatus, Stdio};

use tokio_util::sync::CancellationToken;

use crate::process::{
    Command, Output, ProcessIdentity, kill_descendants, kill_tree, tie_to_parent,
};

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

    /// Waits for the program's end; kills it with all that it started once `stop` is cancelled (D-236).
    ///
    /// What the program leaves behind is ended as well (D-215, E-274). The code is negative for a signal.
    pub(super) async fn wait(mut self, stop: &CancellationToken) -> io::Result<i32> {
        let status = tokio::select! {
            status = self.child.wait() => status?,
            () = stop.cancelled() => {
                kill_tree(self.identity.pid);
                self.child.wait().await?
            }
        };
        kill_descendants(nix::unistd::getpid().as_raw());
        Ok(code(status))
    }
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| -status.signal().unwrap_or(1))
}
