//! Where the lines of a run go: the task's private output file, or this process's own stdout.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use crate::ui::{Activity, Doing, status_line};
use crate::{secrets, visible};

/// An append-only sink that this process and the programs it starts share.
#[derive(Clone, Debug)]
pub struct Output {
    file: Arc<File>,
    activity: Activity,
    is_stdout: bool,
}

impl Output {
    /// This process's own stdout.
    pub fn stdout() -> io::Result<Self> {
        let descriptor = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self {
            is_stdout: true,
            ..Self::of(File::from(descriptor))
        })
    }

    /// Stdout, or nowhere.
    pub fn console(is_quiet: bool) -> io::Result<Self> {
        if is_quiet {
            Self::nowhere()
        } else {
            Self::stdout()
        }
    }

    /// Nowhere, for calls that are only looked at.
    pub fn nowhere() -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open("/dev/null")?;
        Ok(Self::of(file))
    }

    /// The file at `path`, created for the owner alone (0600) where it does not exist (D-208).
    pub fn append(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self::of(file))
    }

    fn of(file: File) -> Self {
        Self {
            file: Arc::new(file),
            activity: Activity::default(),
            is_stdout: false,
        }
    }

    /// The same for whoever already looks at what goes on.
    #[must_use]
    pub fn with_activity(self, activity: Activity) -> Self {
        Self { activity, ..self }
    }

    /// What is done while nothing is written.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// From here on this is done, such as `fetching code`.
    pub fn doing(&self, name: impl Into<String>) -> Doing {
        self.activity.begin(name)
    }

    /// The same for what another program does, which says so itself where this is stdout.
    pub fn program_doing(&self, name: impl Into<String>) -> Option<Doing> {
        (!self.is_stdout).then(|| self.doing(name))
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
        // Held until it is written.
        let _stdout = self.is_stdout.then(|| {
            status_line::printed(bytes);
            status_line::cleared()
        });
        if let Err(error) = (&*self.file).write_all(bytes) {
            tracing::warn!(%error, "could not write to the output");
        }
    }

    /// Writes bytes as they are, or the first of them.
    pub fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.file).write(bytes)
    }

    /// The same sink for a program's stdout or stderr.
    pub fn stdio(&self) -> io::Result<Stdio> {
        Ok(Stdio::from(self.file.try_clone()?))
    }
}
