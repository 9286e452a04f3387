//! git's protocol by ssh for libgit2: the `ssh` program, with the user's own settings and keys, is the connection.
//!
//! The main thread starts the program, as all programs; libgit2 talks through its pipes.

use std::io::{self, Read, Write};
use std::sync::Mutex;

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};

use super::error::FetchFailure;
use super::git::ssh_words;
use super::request::SourceOptions;
use super::transport::{Patience, as_git_error};
use super::{GitUrl, SourceError};
use crate::process::Command;

/// A running `ssh`.
#[derive(Debug)]
pub(super) struct SshRoad {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) patience: Patience,
}

/// The one conversation of a fetch.
pub(super) struct SshTransport(Mutex<Option<SshRoad>>);

/// The program that reaches the repository at `url`, as git itself would start it.
pub(super) fn program(url: &GitUrl, options: &SourceOptions) -> Result<Command, SourceError> {
    let missing = || SourceError::SshMissing {
        url: url.to_string(),
    };
    let address = url.ssh_address().ok_or_else(missing)?;
    let words = ssh_words(options).ok_or_else(missing)?;
    let user = address.user.as_deref().unwrap_or_default();
    let option_like = [address.host.as_str(), user, address.path.as_str()]
        .into_iter()
        .find(|part| part.starts_with('-'));
    if option_like.is_some() {
        return Err(SourceError::OptionLike {
            field: "repository",
            value: url.to_string(),
        });
    }
    let mut command = Command::new(&words[0]).args(&words[1..]);
    if let Some(port) = address.port {
        command = command.arg("-p").arg(port.to_string());
    }
    let place = match &address.user {
        Some(user) => format!("{user}@{}", address.host),
        None => address.host,
    };
    // The server's shell reads the path.
    let path = address.path.replace('\'', "'\\''");
    Ok(command
        .arg(place)
        .arg(format!("git-upload-pack '{path}'"))
        .env("LC_ALL", "C")
        .env("LANGUAGE", "C"))
}

impl SshTransport {
    pub(super) fn new(road: SshRoad) -> Self {
        Self(Mutex::new(Some(road)))
    }
}

impl SmartSubtransport for SshTransport {
    fn action(
        &self,
        _url: &str,
        action: Service,
    ) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        if !matches!(action, Service::UploadPackLs | Service::UploadPack) {
            return Err(git2::Error::from_str("nothing is ever pushed"));
        }
        let road = self.0.lock().expect("nobody panics with the lock").take();
        road.map(|road| Box::new(road) as Box<dyn SmartSubtransportStream>)
            .ok_or_else(|| as_git_error(&io::Error::other("the connection has been used already")))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

impl Read for SshRoad {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.patience.wait(self.stdout.read(buffer))?;
        if length == 0 {
            let words = "the ssh program ended the connection";
            // What it said decides what the matter is.
            return Err(io::Error::other(words));
        }
        Ok(length)
    }
}

impl Write for SshRoad {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patience
            .wait(self.stdin.write(bytes))
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => self.patience.failed(
                    FetchFailure::NoConnection,
                    "the ssh program ended the connection",
                ),
                _ => error,
            })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.patience.wait(self.stdin.flush())
    }
}
