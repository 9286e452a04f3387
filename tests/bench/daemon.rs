//! A running daemon of one contender.

use std::ffi::OsStr;
use std::fs::File;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::processes;
use crate::world::World;

/// How long the end may take before the process is killed.
const FAREWELL: Duration = Duration::from_secs(20);

/// A started daemon; ended when dropped.
#[derive(Debug)]
pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn start(
        world: &World,
        words: &[&str],
        variables: &[(&str, &OsStr)],
    ) -> anyhow::Result<Self> {
        let output = File::create(world.output())?;
        let child = world
            .command(&["daemon", "--queue", "default", "--foreground"])?
            .args(words)
            .envs(variables.iter().copied())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{} does not start", world.contender.name))?;
        Ok(Self(child))
    }

    /// The daemon's process and all that it has started.
    pub(crate) fn processes(&self) -> Vec<i32> {
        processes::tree(self.0.id().cast_signed())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let tree = self.processes();
        // It may have ended already.
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let deadline = Instant::now() + FAREWELL;
        while Instant::now() < deadline {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for pid in tree {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.0.wait();
    }
}
