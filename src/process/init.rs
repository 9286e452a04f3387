//! The first process of a container: it starts the rest as its child, passes signals on, reaps orphans, and ends as the child does.
//!
//! To the first process of a pid namespace the kernel gives no signal whose action is the default one, and it gives it all
//! orphans. A program that knows nothing of that cannot end itself by a signal, is not ended by SIGTERM, and leaves zombies.

use std::io::{self, IsTerminal};

use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::{ForkResult, Pid, getpid, setpgid, tcsetpgrp};
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait};

use super::forget_own_code;
use super::unix::{fork, next_signal, notice_children, send_signal};

/// What a shell adds to the number of the signal by which its program died.
const BY_SIGNAL: i32 = 128;

/// Where this process is the first one, goes on in a child of it; none there, and where this is any other process.
///
/// In the first process itself it returns when that child has ended, with the exit code for it: its own, or 128 and the number
/// of the signal that has ended it. Call it before there are other threads.
///
/// # Errors
///
/// The kernel makes no other process; this one goes on as it is.
pub fn run_below_first_process() -> io::Result<Option<u8>> {
    if getpid() != Pid::from_raw(1) {
        return Ok(None);
    }
    // From before there is anything to miss.
    notice_children()?;
    let all = SigSet::all();
    let before = all.thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let child = match fork() {
        Ok(ForkResult::Parent { child }) => child,
        Ok(ForkResult::Child) => {
            lead_terminal();
            before.thread_set_mask()?;
            return Ok(None);
        }
        Err(error) => {
            before.thread_set_mask()?;
            return Err(error.into());
        }
    };
    // It waits for as long as the program runs.
    forget_own_code();
    loop {
        let signal = next_signal(&all);
        if signal == nix::libc::SIGCHLD {
            if let Some(status) = reap(child) {
                return Ok(Some(exit_code(status)));
            }
        } else {
            // A child that has ended stays a zombie until it is seen, so that nobody else can have its number.
            send_signal(child, signal);
        }
    }
}

/// A process group of its own, which Ctrl-C and the like of a terminal reach, and not the first process as well.
fn lead_terminal() {
    let own = Pid::from_raw(0);
    // Whoever refuses leaves all in one group, as it was.
    if setpgid(own, own).is_ok() && io::stdin().is_terminal() {
        // Asked for from the background it would stop this process; here that signal is blocked.
        let _ = tcsetpgrp(io::stdin(), getpid());
    }
}

/// Buries all that have ended; the status of `child` if it is among them.
fn reap(child: Pid) -> Option<WaitStatus> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == child.as_raw() => {
                return Some(status);
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

fn exit_code(status: WaitStatus) -> u8 {
    let by_signal = status.terminating_signal().map(|signal| BY_SIGNAL + signal);
    let code = status.exit_status().or(by_signal);
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_not_the_first_process_goes_on_as_it_is() {
        assert_eq!(run_below_first_process().unwrap(), None);
    }

    #[test]
    fn an_end_by_a_signal_is_a_code_as_shells_have_it() {
        for (script, code) in [
            ("exit 7", 7),
            ("kill -9 $$", 137),
            ("kill -6 $$", 134),
            ("kill -15 $$", 143),
        ] {
            let child = std::process::Command::new("sh")
                .args(["-c", script])
                .spawn();
            let pid = rustix::process::Pid::from_child(&child.unwrap());
            let ended = rustix::process::waitpid(Some(pid), WaitOptions::empty());
            let (_, status) = ended.unwrap().unwrap();
            assert_eq!(exit_code(status), code, "{script}");
        }
    }
}
