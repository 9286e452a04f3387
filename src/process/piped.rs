//! A program that is talked to through its stdin and stdout while it runs.

use std::process::Stdio;

use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};

use super::{Command, ProcessError, kill_tree, tie_to_parent};

/// A running program; dropping it kills the program with all that it started.
#[derive(Debug)]
pub struct PipedProgram {
    child: Child,
}

/// The streams of a running program.
#[derive(Debug)]
pub struct Pipes {
    /// What the program reads.
    pub stdin: ChildStdin,
    /// What the program answers.
    pub stdout: ChildStdout,
    /// What the program says to people.
    pub stderr: ChildStderr,
}

impl Command {
    /// Starts the program; from the main thread, as all programs.
    pub fn start_with_pipes(&self) -> Result<(PipedProgram, Pipes), ProcessError> {
        let mut command = self.to_std();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        tie_to_parent(&mut command);
        let mut child = tokio::process::Command::from(command)
            .process_group(0)
            .spawn()
            .map_err(|source| ProcessError::Start {
                program: self.words().swap_remove(0),
                source,
            })?;
        let pipes = Pipes {
            stdin: child.stdin.take().expect("a pipe was asked for"),
            stdout: child.stdout.take().expect("a pipe was asked for"),
            stderr: child.stderr.take().expect("a pipe was asked for"),
        };
        Ok((PipedProgram { child }, pipes))
    }
}

impl PipedProgram {
    /// Kills the program and waits until it is gone.
    pub async fn end(mut self) {
        self.kill();
        // It has been killed: there is nothing to learn from how it ended.
        let _ = self.child.wait().await;
    }

    fn kill(&self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            kill_tree(pid);
        }
    }
}

impl Drop for PipedProgram {
    fn drop(&mut self) {
        self.kill();
    }
}
