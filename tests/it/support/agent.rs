//! A running agent, its output in a file.

use std::fs::{self, File};
use std::io::PipeReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{PATIENCE, TestContext, wait_until};

/// A started agent.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Child,
    output: PathBuf,
    /// Held open, never read.
    _pipe: Option<PipeReader>,
}

impl Agent {
    /// Starts it with its output in a file.
    pub(super) fn start(command: Command, context: &TestContext) -> Self {
        Self::spawn(command, context, None)
    }

    /// Starts it with stdout on a pipe that nobody reads.
    pub(super) fn start_unread(mut command: Command, context: &TestContext) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer);
        Self::spawn(command, context, Some(reader))
    }

    fn spawn(mut command: Command, context: &TestContext, pipe: Option<PipeReader>) -> Self {
        let file = tempfile::Builder::new()
            .prefix("output")
            .tempfile_in(context.folder())
            .unwrap();
        let (file, output) = file.keep().unwrap();
        let errors: File = file.try_clone().unwrap();
        if pipe.is_none() {
            command.stdout(file);
        }
        let child = command.stderr(errors).spawn().expect("the agent starts");
        Self {
            child,
            output,
            _pipe: pipe,
        }
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed until now, stdout and stderr.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap()).into_owned()
    }

    /// True where it runs no more.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has printed this text.
    #[track_caller]
    pub(crate) fn wait_for_output(&self, text: &str) {
        assert!(
            wait_until(|| self.output().contains(text)),
            "`{text}` was not printed:\n{}",
            self.output()
        );
    }

    /// Sends a signal to the agent's process alone.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("the agent lives");
    }

    /// Waits for its end and gives the exit code; -n for signal n.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> i32 {
        self.wait_at_most(PATIENCE)
    }

    /// The same where it matters how long that takes.
    #[track_caller]
    pub(crate) fn wait_at_most(&mut self, limit: Duration) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let mut status = None;
        let started = Instant::now();
        let ended = wait_until(|| {
            status = self.child.try_wait().unwrap();
            status.is_some() || started.elapsed() > limit
        });
        assert!(
            ended && status.is_some(),
            "still running after {limit:?}:\n{}",
            self.output()
        );
        let status = status.expect("it has ended");
        status
            .code()
            .unwrap_or_else(|| -status.signal().expect("a signal"))
    }

    /// Ends it with SIGKILL: nothing that it has started hears of it.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.wait(), -9);
    }

    /// Ends it with SIGTERM and gives the exit code.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.wait()
    }
}

impl Drop for Agent {
    /// Ends the agent; what it has started ends with the context.
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Living processes whose HOME is that of the test.
pub(crate) fn processes_with_home(home: &std::path::Path) -> Vec<i32> {
    let wanted = format!("HOME={}", home.display());
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        variables
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    })
    .collect()
}

/// Puts the agent's program at `place`; by a process of its own, since a file that this one writes may be open in a
/// process that another test starts meanwhile, and is not run then.
pub(crate) fn copy_program(place: &Path) {
    let program = env!("CARGO_BIN_EXE_clearml-agent");
    let copied = Command::new("cp").arg(program).arg(place).status();
    assert!(copied.unwrap().success(), "{}", place.display());
}
