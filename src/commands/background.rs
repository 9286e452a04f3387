//! `daemon --detached`: the daemon starts as usual, in a session of its own, and only then lets go of the terminal.
//!
//! The command that was typed starts itself again and waits. The second process does everything that can go wrong
//! before it says that it is ready, so that a mistake is seen where the command was typed (D-104).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{ExitStatus, Failed};
use crate::process::{inherited_file, start_session, tie_to_parent, untie_from_parent};
use crate::settings::Environment;
use crate::ui::Printer;
use crate::worker::LogFile;

/// The variable by which the second process knows where it is awaited; nobody else sees it.
pub(super) const READY: &str = "CLEARML_AGENT_INTERNAL_READY";

/// Makes the log file and sends everything to it that is printed from here on (D-141).
pub(super) fn log_file(
    folder: &Path,
    for_one_task: bool,
    is_kept: bool,
    printer: Printer,
) -> io::Result<LogFile> {
    let file = LogFile::create(folder, for_one_task, is_kept)?;
    printer.line(format!(
        "Running CLEARML-AGENT daemon in background mode, writing stdout/stderr to {}",
        file.path().display()
    ));
    file.take_over()?;
    Ok(file)
}

/// Starts the daemon in the background; returns once it is ready, or has ended with a mistake.
pub(super) fn detach() -> Result<ExitStatus, Failed> {
    let (mut ready, told) = io::pipe()?;
    // The one descriptor besides the standard ones that the second process gets.
    fcntl(&told, FcntlArg::F_SETFD(FdFlag::empty())).map_err(io::Error::from)?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("clearml-agent")
        .args(arguments)
        .env(READY, told.as_raw_fd().to_string());
    start_session(&mut command);
    // Ctrl-C while it starts is meant for both.
    tie_to_parent(&mut command);
    let mut daemon = command.spawn()?;
    drop(told);
    if ready.read(&mut [0])? > 0 {
        return Ok(ExitStatus::SUCCESS);
    }
    let status = daemon.wait()?;
    let code = status.code().or(status.signal().map(|signal| 256 - signal));
    // It has said why.
    Ok(ExitStatus(
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
    ))
}

/// The other end: lets the waiting command go.
#[derive(Debug)]
pub(super) struct Waiting(File);

impl Waiting {
    /// Where [`detach`] waits, if this process is its second one.
    pub(super) fn of(environment: &Environment) -> Option<Self> {
        let descriptor = environment.get(READY)?.parse().ok()?;
        inherited_file(descriptor).map(Self).ok()
    }

    /// The daemon is ready, and stays when the command that was typed ends.
    pub(super) fn let_go(mut self) -> io::Result<()> {
        untie_from_parent()?;
        self.0.write_all(b"1")
    }
}
