//! Where the lines of a run go: the task's private output file, or this process's own stdout.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use crate::{secrets, visible};

/// An append-only sink that this process and the programs it starts share.
#[derive(Clone, Debug)]
pub struct Output(Arc<File>);

impl Output {
    /// This process's own stdout.
    pub fn stdout() -> io::Result<Self> {
        let descriptor = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self(Arc::new(File::from(descriptor))))
    }

    /// Nowhere, for calls that are only looked at.
    pub fn nowhere() -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open("/dev/null")?;
        Ok(Self(Arc::new(file)))
    }

    /// The file at `path`, created for the owner alone (0600) where it does not exist (D-208).
    pub fn append(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self(Arc::new(file)))
    }

    /// Writes `text` and a line feed in one piece, without the secrets of this process, and with nothing in it that
    /// acts on a terminal.
    ///
    /// A disk that is full must not end a run, so a failed write is only recorded.
    pub fn line(&self, text: impl AsRef<str>) {
        let mut line = visible::lines(&secrets::mask(text.as_ref())).into_owned();
        line.push('\n');
        self.write(line.as_bytes());
    }

    /// Writes bytes as they are: what a program printed and the caller has looked at.
    pub fn write(&self, bytes: &[u8]) {
        if let Err(error) = (&*self.0).write_all(bytes) {
            tracing::warn!(%error, "could not write to the output");
        }
    }

    /// Writes bytes as they are, or the first of them.
    pub fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    /// The same sink for a program's stdout or stderr.
    pub fn stdio(&self) -> io::Result<Stdio> {
        Ok(Stdio::from(self.0.try_clone()?))
    }
}
