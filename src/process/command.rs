//! Runs a program of the preparation (git, pip, ...) to its end, or to the end of its task.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio_util::sync::CancellationToken;

use super::{Output, kill_tree, tie_to_parent};

/// A program to run: arguments, variables and folder; stdin is always empty.
#[derive(Clone, Debug)]
pub struct Command {
    program: OsString,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, Option<OsString>)>,
    folder: Option<PathBuf>,
}

/// How a program ended, with what it printed where that was asked for.
#[derive(Debug)]
pub struct Finished {
    /// Exit status as the operating system gave it.
    pub status: ExitStatus,
    /// What went to stdout; empty where the output was passed on.
    pub stdout: Vec<u8>,
    /// What went to stderr; empty where the output was passed on.
    pub stderr: Vec<u8>,
}

/// Why a program did not run to an end of its own.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The task was stopped; the program and all that it started have been killed.
    #[error("`{0}` was stopped")]
    Cancelled(String),
    /// The program is not there, or may not be run.
    #[error("could not run `{program}`")]
    Start {
        /// Name or path as it was called.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Command {
    /// A program by name (looked up on PATH) or path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            variables: Vec::new(),
            folder: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables
            .push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes a variable.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), None));
        self
    }

    /// The folder in which the program starts.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// The folder in which the program starts; none where that is this process's own.
    pub fn start_folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// What the program gets as this variable.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        let mut changes = self.variables.iter().rev();
        match changes.find(|(other, _)| other == name) {
            Some((_, value)) => value.clone(),
            None => std::env::var_os(name),
        }
    }

    /// The words of the command, for messages.
    pub fn words(&self) -> Vec<String> {
        std::iter::once(&self.program)
            .chain(&self.arguments)
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    /// The same command for the standard library, its streams not yet set.
    pub fn to_std(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null());
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// The same command with this process's own streams (E-272).
    pub fn to_std_with_streams(&self) -> std::process::Command {
        let mut command = self.to_std();
        command
            .stdin(Stdio::inherit())
            .stdout(Stdio::inherit())
            .stderr(Stdio::inherit());
        command
    }

    /// Runs the program with stdout and stderr on `output`.
    pub async fn run(
        &self,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Finished, ProcessError> {
        let mut command = self.to_std();
        let streams = (output.stdio(), output.stdio());
        let (Ok(stdout), Ok(stderr)) = streams else {
            return Err(self.start_error(io::Error::last_os_error()));
        };
        command.stdout(stdout).stderr(stderr);
        self.finish(command, cancel).await
    }

    /// Runs the program and keeps what it prints, for short answers.
    pub async fn capture(&self, cancel: &CancellationToken) -> Result<Finished, ProcessError> {
        let mut command = self.to_std();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.finish(command, cancel).await
    }

    async fn finish(
        &self,
        mut command: std::process::Command,
        cancel: &CancellationToken,
    ) -> Result<Finished, ProcessError> {
        tie_to_parent(&mut command);
        let mut command = tokio::process::Command::from(command);
        let child = command
            .process_group(0)
            .spawn()
            .map_err(|source| self.start_error(source))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let finished = child.wait_with_output();
        tokio::pin!(finished);
        let output = tokio::select! {
            output = &mut finished => output,
            () = cancel.cancelled() => {
                if let Some(pid) = pid {
                    kill_tree(pid);
                }
                let _ = finished.await;
                return Err(ProcessError::Cancelled(self.program.to_string_lossy().into_owned()));
            }
        };
        let output = output.map_err(|source| self.start_error(source))?;
        Ok(Finished {
            status: output.status,
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }

    fn start_error(&self, source: io::Error) -> ProcessError {
        ProcessError::Start {
            program: self.program.to_string_lossy().into_owned(),
            source,
        }
    }
}

impl Finished {
    /// True for exit code 0.
    pub fn is_success(&self) -> bool {
        self.status.success()
    }

    /// The exit code; death by signal n is -n (D-241).
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| -self.status.signal().unwrap_or(1))
    }

    /// Stdout as text, its white space trimmed.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cancelled_program_dies_with_its_descendants() {
        let folder = tempfile::tempdir().expect("folder");
        let marker = folder.path().join("pid");
        let script = format!(
            "sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait",
            marker.display()
        );
        let cancel = CancellationToken::new();
        let stopper = cancel.clone();
        let path = marker.clone();
        let watch = tokio::spawn(async move {
            while !path.exists() {
                tokio::task::yield_now().await;
            }
            stopper.cancel();
        });
        let error = Command::new("sh")
            .args(["-c", &script])
            .capture(&cancel)
            .await
            .expect_err("was cancelled");
        assert!(matches!(error, ProcessError::Cancelled(_)));
        watch.await.expect("watch");
        let pid = std::fs::read_to_string(marker)
            .expect("pid")
            .trim()
            .parse()
            .expect("a number");
        while super::super::ProcessIdentity::of(pid).is_some() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn death_by_signal_is_a_negative_code() {
        let finished = Command::new("sh")
            .args(["-c", "kill -9 $$"])
            .capture(&CancellationToken::new())
            .await;
        assert_eq!(finished.expect("ran").code(), -9);
    }
}
