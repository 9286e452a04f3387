//! What the operating system wants said between fork and exec. The only room with `unsafe`.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use tokio::io::unix::AsyncFd;

/// Makes the program start in a session of its own, so that it outlives its parent and its terminal.
#[expect(unsafe_code, reason = "setsid between fork and exec")]
pub fn start_session(command: &mut Command) {
    // SAFETY: setsid is async-signal-safe and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from));
    }
}

/// Makes the program die (SIGKILL) with the thread that starts it.
///
/// The kernel means the thread, not the process: start such programs from the main thread alone.
#[expect(unsafe_code, reason = "prctl between fork and exec")]
pub fn tie_to_parent(command: &mut Command) {
    let parent = nix::unistd::getpid();
    // SAFETY: prctl and getppid are async-signal-safe and touch no memory of the parent.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the request was in force.
            if nix::unistd::getppid() == parent {
                Ok(())
            } else {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        });
    }
}

/// Lets this process outlive the one that has tied it.
pub fn untie_from_parent() -> io::Result<()> {
    prctl::set_pdeathsig(None).map_err(io::Error::from)
}

/// A file that the parent has left open for this process under this number; children do not get it.
#[expect(unsafe_code, reason = "a number becomes an owned descriptor")]
pub fn inherited_file(number: i32) -> io::Result<File> {
    let path = format!("/proc/self/fd/{number}");
    if number < 3 || !std::path::Path::new(&path).exists() {
        return Err(io::ErrorKind::NotFound.into());
    }
    // SAFETY: the descriptor is open, and the parent has left it to nobody else in this process.
    let file = unsafe { File::from_raw_fd(number) };
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(io::Error::from)?;
    Ok(file)
}

/// Makes orphaned descendants children of this process, so that none escapes by detaching itself.
pub fn become_subreaper() -> io::Result<()> {
    prctl::set_child_subreaper(true).map_err(io::Error::from)
}

/// A process handle in the event loop: readable once the process has ended.
#[expect(unsafe_code, reason = "the event loop must not outlive the descriptor")]
pub(super) fn watch_handle(handle: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the result and is not changed while it is registered.
    unsafe { AsyncFd::register(handle) }.map_err(io::Error::from)
}

/// Replaces this process by `command`; returns only where that fails (E-001).
pub fn replace_self(command: &mut Command) -> Result<Infallible, io::Error> {
    Err(command.exec())
}

/// Makes libgit2 reach addresses of `scheme` through what `factory` makes.
///
/// It is here because libgit2 wants a promise that the compiler cannot check: nobody connects to a remote meanwhile. Call it
/// before the first connection alone.
#[expect(unsafe_code, reason = "libgit2's list of transports has no lock")]
pub fn register_git_transport(
    scheme: &str,
    factory: fn(&git2::Remote<'_>) -> Result<git2::transport::Transport, git2::Error>,
) -> Result<(), git2::Error> {
    // SAFETY: the caller promises that no transport is made while the list changes.
    unsafe { git2::transport::register(scheme, factory) }
}
