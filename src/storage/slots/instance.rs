//! One instance file as another agent reads it (D-126, D-127).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal;
use nix::unistd::Pid;

use crate::storage::age;

pub(super) const PREFIX: &str = ".clearmlagent_";
pub(super) const SUFFIX: &str = ".tmp";

/// One instance file as another agent reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Instance {
    /// Process that the file names.
    pub pid: i32,
    /// Worker id.
    pub worker: String,
    /// Slot.
    pub number: u32,
    /// False for a file of another user: of its agent only the process is known.
    pub(super) is_readable: bool,
    pub(super) path: PathBuf,
}

impl Instance {
    pub(super) fn read(path: &Path) -> Option<Self> {
        let name = path
            .file_name()?
            .to_str()?
            .strip_prefix(PREFIX)?
            .strip_suffix(SUFFIX)?;
        let pid = name.split('_').next()?.parse().unwrap_or(0);
        let content = fs::read_to_string(path);
        let is_readable = !content
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        let content = content.unwrap_or_default();
        let (worker, number) = content.rsplit_once('\n').unwrap_or_default();
        let number = number.trim().parse();
        // What makes no sense counts as dead (D-127): process 0 is nobody.
        let pid = if number.is_ok() || !is_readable {
            pid
        } else {
            0
        };
        Some(Self {
            pid,
            worker: worker.to_owned(),
            number: number.unwrap_or(0),
            is_readable,
            path: path.to_owned(),
        })
    }

    /// Removes the file of an agent that has ended.
    pub fn forget(&self) {
        // It may have done so itself, or somebody else.
        let _ = fs::remove_file(&self.path);
    }

    /// False for a file that makes no sense.
    pub(super) fn names_a_process(&self) -> bool {
        self.pid > 0
    }

    /// How long the file has been there.
    pub(super) fn age(&self) -> Option<Duration> {
        age(&self.path)
    }

    /// True while the process lives and looks like an agent (D-131).
    pub fn is_alive(&self) -> bool {
        if !self.names_a_process()
            || signal::kill(Pid::from_raw(self.pid), None)
                .is_err_and(|e| e == nix::errno::Errno::ESRCH)
        {
            return false;
        }
        match fs::read(format!("/proc/{}/cmdline", self.pid)) {
            Ok(words) => {
                // Of a zombie nothing is left to read.
                let words = String::from_utf8_lossy(&words);
                words.contains("clearml-agent") || words.contains("clearml_agent")
            }
            Err(_) => true,
        }
    }
}
