//! What the operating system wants said in its own words, most of it between fork and exec. The only room with `unsafe`.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::unistd::{ForkResult, Pid};
use rustix::mm::Advice;
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

/// Keeps a static build from loading modules of an image's C library, which need not fit it: hosts and users are looked up
/// in files and by DNS, whatever `/etc/nsswitch.conf` names (C-235).
#[cfg(all(target_feature = "crt-static", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "a function of the C library that nix does not have"
)]
pub fn look_up_without_modules() {
    unsafe extern "C" {
        fn __nss_configure_lookup(
            database: *const std::ffi::c_char,
            services: *const std::ffi::c_char,
        ) -> std::ffi::c_int;
    }
    for (database, services) in [
        (c"hosts", c"files dns"),
        (c"passwd", c"files"),
        (c"group", c"files"),
    ] {
        // SAFETY: both are texts that live as long as the program; no other thread is there yet.
        unsafe {
            __nss_configure_lookup(database.as_ptr(), services.as_ptr());
        }
    }
}

/// What the machine's own C library is told to do.
#[cfg(not(all(target_feature = "crt-static", target_env = "gnu")))]
pub fn look_up_without_modules() {}

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

/// Lets this process, and all that it starts, stand behind others: disks when nobody wants them, and of a busy processor a tenth,
/// since with what is left alone (19) it never came to an end beside programs that use all of them.
///
/// A kernel that refuses leaves things as they are.
#[expect(unsafe_code, reason = "a call of the kernel that no library has")]
pub fn yield_to_others() {
    const WHO_PROCESS: i32 = 1;
    const CLASS_IDLE: i32 = 3 << 13;
    let _ = rustix::process::nice(10);
    // SAFETY: the arguments are numbers; 0 is this process.
    unsafe {
        nix::libc::syscall(nix::libc::SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE);
    }
}

/// A process handle in the event loop: readable once the process has ended.
#[expect(unsafe_code, reason = "the event loop must not outlive the descriptor")]
pub(super) fn watch_handle(handle: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the result and is not changed while it is registered.
    unsafe { AsyncFd::register(handle) }.map_err(io::Error::from)
}

/// Makes a copy of this process, which must have one thread: what another one holds would stay held in the copy for ever.
#[expect(unsafe_code, reason = "fork")]
pub(super) fn fork() -> nix::Result<ForkResult> {
    // SAFETY: the caller promises that there is one thread.
    unsafe { nix::unistd::fork() }
}

/// Lets this process learn how its children end, also where who has started it does not care for its own.
#[expect(unsafe_code, reason = "the action of a signal changes")]
pub(super) fn notice_children() -> nix::Result<()> {
    // SAFETY: no function of this program becomes a handler, and none of its handlers is lost: it has none yet.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map(drop)
}

/// Waits for one of these signals, which are blocked; also for those that have a number and no name.
#[expect(unsafe_code, reason = "nix panics at the numbers of real-time signals")]
pub(super) fn next_signal(signals: &SigSet) -> i32 {
    loop {
        // SAFETY: the set lives, and nothing is to be written.
        let signal = unsafe { libc::sigwaitinfo(signals.as_ref(), std::ptr::null_mut()) };
        // Broken off where this process was stopped and goes on.
        if signal > 0 {
            return signal;
        }
    }
}

/// Sends a signal by its number to a process that may have ended.
#[expect(unsafe_code, reason = "nix has no real-time signals")]
pub(super) fn send_signal(process: Pid, signal: i32) {
    // SAFETY: the arguments are numbers.
    unsafe {
        libc::kill(process.as_raw(), signal);
    }
}

/// Replaces this process by `command`; returns only where that fails (E-001).
pub fn replace_self(command: &mut Command) -> Result<Infallible, io::Error> {
    Err(command.exec())
}

/// Takes the program's own code and constants out of this process's memory, so that what only a start or a task needs does
/// not stay there. What is used again comes back by itself, from the file.
#[expect(unsafe_code, reason = "memory is named by its addresses")]
pub fn forget_own_code() {
    let (Ok(program), Ok(mappings)) = (
        std::fs::read_link("/proc/self/exe"),
        std::fs::read_to_string("/proc/self/maps"),
    ) else {
        return;
    };
    for (start, end) in own_code(&mappings, &program.to_string_lossy()) {
        let address = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: the mapping is of a file and has never been written to, so that the file has all that is dropped.
        // Where the kernel refuses, all stays as it is.
        let _ = unsafe { rustix::mm::madvise(address, end - start, Advice::LinuxDontNeed) };
    }
}

/// Mappings of the program's file that nobody writes to, by their addresses in `/proc/self/maps`: those that are executable,
/// and the one with the file's head. The other ones have addresses in them that the loader has filled in.
fn own_code<'a>(
    mappings: &'a str,
    program: &'a str,
) -> impl Iterator<Item = (usize, usize)> + use<'a> {
    mappings.lines().filter_map(move |line| {
        let mut fields = line.splitn(6, ' ');
        let (addresses, rights, offset) = (fields.next()?, fields.next()?, fields.next()?);
        let path = fields.nth(2)?.trim_start();
        let is_head = offset.bytes().all(|digit| digit == b'0');
        let is_unwritten = !rights.contains('w') && (rights.contains('x') || is_head);
        let (start, end) = addresses.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        (is_unwritten && path == program).then_some((address(start)?, address(end)?))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_never_written_to_is_forgotten() {
        let mappings = "\
55d0-55e0 r--p 00000000 fe:00 131 /opt/an agent\n\
55e0-55f0 r-xp 00010000 fe:00 131                        /opt/an agent\n\
55f0-5600 r--p 00020000 fe:00 131                        /opt/an agent\n\
5600-5610 rw-p 00030000 fe:00 131                        /opt/an agent\n\
5610-5620 rw-p 00000000 00:00 0                          [heap]\n\
7f00-7f10 r-xp 00010000 fe:00 131                        /lib/libc.so.6\n\
7f10-7f20 r-xp 00000000 00:00 0 \n";
        let own: Vec<_> = own_code(mappings, "/opt/an agent").collect();
        assert_eq!(own, [(0x55d0, 0x55e0), (0x55e0, 0x55f0)]);
    }

    /// Other tests run meanwhile and take code back, so that one look may see nothing.
    #[test]
    fn forgotten_code_leaves_the_memory_and_comes_back() {
        let of_files = || {
            let status = std::fs::read_to_string("/proc/self/status").expect("readable");
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("RssFile:"));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            number.expect("a number of KiB")
        };
        let has_shrunk = || {
            let before = of_files();
            forget_own_code();
            of_files() < before * 3 / 4
        };
        assert!((0..100).any(|_| has_shrunk()));
    }
}
