//! One contender's machine: a server and a home of its own, which stay the same for all measurements.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use local_server::{LocalServer, Options, RecordedRequest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::contender::Contender;
use crate::daemon::Daemon;

/// The longest that a step may take; a measurement that meets it fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// Variables of the machine that both agents see: what reaches the package index.
const PASSED_ON: [&str; 9] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "PIP_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_DEFAULT_TIMEOUT",
    "HTTPS_PROXY",
];

/// Where a contender works.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) contender: Contender,
    pub(crate) server: LocalServer,
    folder: TempDir,
}

impl World {
    pub(crate) fn new(contender: Contender) -> anyhow::Result<Self> {
        Self::start(contender, Options::default())
    }

    /// Another machine of the contender: what is made there is no other measurement's.
    pub(crate) fn another(&self) -> anyhow::Result<Self> {
        Self::new(self.contender.clone())
    }

    /// The same, with a server that keeps no record of the requests.
    pub(crate) fn unrecorded(&self) -> anyhow::Result<Self> {
        let options = Options {
            record: false,
            ..Options::default()
        };
        Self::start(self.contender.clone(), options)
    }

    fn start(contender: Contender, options: Options) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("clearml-bench-")
            .tempdir()?;
        let server = LocalServer::start_blocking(options)?;
        fs::create_dir(folder.path().join("home"))?;
        fs::create_dir(folder.path().join("tmp"))?;
        fs::write(
            folder.path().join("home/clearml.conf"),
            server.configuration(),
        )?;
        Ok(Self {
            contender,
            server,
            folder,
        })
    }

    /// The contender with these words, in the environment of its home.
    pub(crate) fn command(&self, words: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(self.contender.program());
        command
            .args(words)
            .env_clear()
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env("PATH", Contender::search_path()?)
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", self.folder.path().join("home"))
            .env("TMPDIR", self.folder.path().join("tmp"));
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        Ok(command)
    }

    /// Where the daemon's output goes.
    pub(crate) fn output(&self) -> PathBuf {
        self.file("daemon.log")
    }

    /// A file of this name, which neither agent knows.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts `daemon --queue default --foreground` and waits until it polls.
    pub(crate) fn daemon(&self) -> anyhow::Result<Daemon> {
        self.daemon_with(&[], &[])
    }

    /// The same where there is no record of what it asks.
    pub(crate) fn daemon_unseen(&self) -> anyhow::Result<Daemon> {
        Daemon::start(self, &[], &[])
    }

    /// Starts it with more words and variables, and waits until it polls.
    pub(crate) fn daemon_with(
        &self,
        words: &[&str],
        variables: &[(&str, &OsStr)],
    ) -> anyhow::Result<Daemon> {
        let before = self.server.requests().len();
        let daemon = Daemon::start(self, words, variables)?;
        self.wait_for("the first poll", |requests| {
            let polls = |request: &&RecordedRequest| request.endpoint == "queues.get_next_task";
            requests[before..].iter().find(polls).map(|_| ())
        })?;
        Ok(daemon)
    }

    /// Creates a task with this script section, and gives its id.
    pub(crate) fn create(&self, script: &Value) -> anyhow::Result<String> {
        let task = json!({ "name": "bench", "type": "training", "script": script });
        let created = self.server.call("tasks.create", task)?;
        let id = created["id"].as_str().context("the task has no id")?;
        Ok(id.to_owned())
    }

    /// Creates a task with this script section, puts it into the queue, and gives its id and the time of that.
    pub(crate) fn enqueue(&self, script: &Value) -> anyhow::Result<(String, SystemTime)> {
        let id = self.create(script)?;
        let queues = self
            .server
            .call("queues.get_all", json!({ "name": "default" }))?;
        let queue = &queues["queues"][0]["id"];
        let enqueued = SystemTime::now();
        self.server
            .call("tasks.enqueue", json!({ "task": id, "queue": queue }))?;
        Ok((id, enqueued))
    }

    /// Waits for something in the requests that the server has received.
    pub(crate) fn wait_for<T>(
        &self,
        what: &str,
        condition: impl FnMut(&[RecordedRequest]) -> Option<T>,
    ) -> anyhow::Result<T> {
        let Some(found) = self.server.wait_for(PATIENCE, condition) else {
            let output = fs::read_to_string(self.output()).unwrap_or_default();
            bail!(
                "{}: no {what} within {PATIENCE:?}; it said:\n{output}",
                self.contender.name
            );
        };
        Ok(found)
    }
}
