//! A place where a program waits until its test lets it go on.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::wait_until;

/// A named pipe that lets one program through, once.
#[derive(Debug)]
pub(crate) struct Gate(PathBuf);

impl Gate {
    pub(super) fn new(path: PathBuf) -> Self {
        nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
        Self(path)
    }

    /// Shell code that waits for [`Gate::open`].
    pub(crate) fn wait(&self) -> String {
        format!("read -r _ < '{}'", self.0.display())
    }

    /// Lets the program go on; waits for the program to arrive first.
    #[track_caller]
    pub(crate) fn open(&self) {
        assert!(
            wait_until(|| self.try_open()),
            "no program came to {self:?}"
        );
    }

    /// Fails as long as nobody waits at the other end.
    fn try_open(&self) -> bool {
        let pipe = OpenOptions::new()
            .write(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&self.0);
        pipe.and_then(|mut pipe| pipe.write_all(b"go\n")).is_ok()
    }
}
