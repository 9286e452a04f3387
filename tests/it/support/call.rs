//! A call of the agent that is waited for, with its exit code, stdout and stderr apart.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::agent::processes_with_home;
use super::{Agent, TestContext, wait_until};

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Process id that it had.
    pub(crate) pid: u32,
    /// Exit code; -n for signal n.
    pub(crate) code: i32,
    /// All of stdout.
    pub(crate) stdout: String,
    /// All of stderr.
    pub(crate) stderr: String,
}

impl TestContext {
    /// Calls the agent with these words and waits for its end.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> Finished {
        self.run_with(words, &[])
    }

    /// The same with these variables.
    #[track_caller]
    pub(crate) fn run_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Finished {
        let mut command = self.command(words);
        command.envs(variables.iter().copied());
        self.finish(command)
    }

    /// Waits for the end of this command.
    #[track_caller]
    pub(crate) fn finish(&self, mut command: Command) -> Finished {
        let file = |name: &str| {
            let made = tempfile::Builder::new()
                .prefix(name)
                .tempfile_in(self.folder());
            made.unwrap().keep().unwrap().1
        };
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        let open = |path| File::options().append(true).open(path).unwrap();
        let mut child = command
            .stdout(open(&stdout))
            .stderr(open(&stderr))
            .spawn()
            .expect("the agent starts");
        let mut status = None;
        let ended = wait_until(|| {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        let (stdout, stderr) = (read(stdout), read(stderr));
        if !ended {
            // Ended by the assertion in any case.
            let _ = child.kill();
        }
        assert!(ended, "{command:?} goes on:\n{stdout}\n{stderr}");
        let status = status.expect("it has ended");
        Finished {
            pid: child.id(),
            code: status
                .code()
                .unwrap_or_else(|| -status.signal().expect("a signal")),
            stdout,
            stderr,
        }
    }

    /// Starts the agent with these words and variables.
    pub(crate) fn start_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Agent {
        let mut command = self.command(words);
        command.envs(variables.iter().copied());
        Agent::start(command, self)
    }

    /// The calls of the agent, in the order of their arrival, without those that come by the clock.
    pub(crate) fn calls(&self) -> Vec<String> {
        let by_the_clock = ["workers.status_report", "tasks.ping", "tasks.get_all"];
        let requests = self.server.requests();
        let endpoints = requests.into_iter().map(|request| request.endpoint);
        endpoints
            .filter(|endpoint| !by_the_clock.contains(&endpoint.as_str()))
            .collect()
    }

    /// How often the agent has made this call.
    pub(crate) fn count(&self, endpoint: &str) -> usize {
        let requests = self.server.requests();
        requests
            .iter()
            .filter(|request| request.endpoint == endpoint)
            .count()
    }

    /// Waits until nothing lives any more that the agent has started.
    #[track_caller]
    pub(crate) fn wait_for_silence(&self) {
        assert!(
            wait_until(|| processes_with_home(&self.home()).is_empty()),
            "processes are left: {:?}",
            processes_with_home(&self.home())
        );
    }
}
