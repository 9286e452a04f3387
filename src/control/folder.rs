//! The folder of the sockets: for its owner alone, one socket for each worker.
//!
//! The path of a socket has at most 107 bytes. Here it goes through the folder's own descriptor, so that it is short
//! wherever the folder is.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{geteuid, gethostname};

use crate::process::ProcessIdentity;
use crate::storage::Places;

/// The open folder.
#[derive(Debug)]
pub(super) struct Folder {
    handle: File,
    /// Behind the process id in a name: several machines may share a home.
    suffix: String,
}

impl Folder {
    /// The folder at `path`, which is made where it does not exist.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Places::create(path)?;
        Self::open(path)
    }

    /// The folder at `path`; one that is not this user's own is refused, one that others could enter is closed to them.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let handle = OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits())
            .open(path)?;
        let metadata = handle.metadata()?;
        if metadata.uid() != geteuid().as_raw() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("`{}` belongs to another user", path.display()),
            ));
        }
        if metadata.mode() & 0o077 != 0 {
            handle.set_permissions(fs::Permissions::from_mode(0o700))?;
        }
        let host = gethostname().map_err(io::Error::from)?;
        let host = host.to_string_lossy().replace('/', "_");
        Ok(Self {
            handle,
            suffix: format!("@{host}.sock"),
        })
    }

    /// Where the worker with this process id listens.
    pub(super) fn address(&self, pid: u32) -> PathBuf {
        self.itself().join(format!("{pid}{}", self.suffix))
    }

    /// Process ids of the workers of this machine that have a socket, be they alive or not.
    pub(super) fn pids(&self) -> Vec<u32> {
        let entries = fs::read_dir(self.itself()).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut pids: Vec<u32> = names
            .filter_map(|name| name.strip_suffix(&self.suffix)?.parse().ok())
            .collect();
        pids.sort_unstable();
        pids
    }

    /// Removes the sockets of processes that are gone.
    pub(super) fn clean(&self) {
        for pid in self.pids() {
            let is_alive = i32::try_from(pid).is_ok_and(|pid| ProcessIdentity::of(pid).is_some());
            // A container that shares the home has process ids of its own: somebody may listen.
            if !is_alive && is_refused(&self.address(pid)) {
                self.remove(pid);
            }
        }
    }

    /// Removes the socket.
    pub(super) fn remove(&self, pid: u32) {
        // Gone already is as good.
        let _ = fs::remove_file(self.address(pid));
    }

    fn itself(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.handle.as_raw_fd()))
    }
}

/// True where nobody listens.
fn is_refused(address: &Path) -> bool {
    let connected = UnixStream::connect(address);
    connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_can_be_anywhere_and_its_folder_is_private() {
        let outer = tempfile::tempdir().expect("folder");
        let path = outer.path().join("x".repeat(200)).join("control");
        let folder = Folder::create(&path).expect("made");
        let listener = UnixListener::bind(folder.address(7)).expect("bound");
        assert!(UnixStream::connect(folder.address(7)).is_ok());
        assert_eq!(folder.pids(), [7]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("opened");
        Folder::open(&path).expect("closed");
        let mode = fs::metadata(&path).expect("there").mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(listener);
        let link = outer.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert!(Folder::open(&link).is_err());
    }

    #[test]
    fn sockets_of_the_dead_are_removed() {
        let outer = tempfile::tempdir().expect("folder");
        let folder = Folder::create(outer.path()).expect("made");
        let mut child = std::process::Command::new("true").spawn().expect("started");
        let dead = child.id();
        child.wait().expect("ended");
        let other = outer.path().join(format!("{dead}@of-another-machine.sock"));
        drop(UnixListener::bind(&other).expect("bound"));
        drop(UnixListener::bind(folder.address(dead)).expect("bound"));
        drop(UnixListener::bind(folder.address(std::process::id())).expect("bound"));
        folder.clean();
        assert_eq!(folder.pids(), [std::process::id()]);
        assert!(other.exists());
    }
}
