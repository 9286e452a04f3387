//! The agent: built from this clone, run as a person would run it, in a home of its own.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use local_server::LocalServer;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;

/// How long the agent may take to end its task and to take leave.
const FAREWELL: Duration = Duration::from_secs(20);
/// Lines of the agent's output that an error shows.
const LAST_LINES: usize = 15;

/// A started agent; killed when dropped.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Child,
    output: PathBuf,
}

/// Builds `clearml-agent` as this program was built, and gives its path.
///
/// `cargo run --example` builds the library and no binary; naming both here shares what is built already.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("this program does not know its own path")?;
    let (Some(profile_folder), Some(target)) = (own.ancestors().nth(2), own.ancestors().nth(3))
    else {
        bail!("{} does not lie in a target folder", own.display());
    };
    let profile = match profile_folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args([
            "build",
            "--quiet",
            "--bin",
            "clearml-agent",
            "--example",
            "quick-start",
        ])
        .args(["--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo tells this program about its package would make it build dependencies again.
    for name in names_with(&["CARGO_PKG_", "CARGO_MANIFEST_"]) {
        command.env_remove(name);
    }
    let status = match command.status() {
        Ok(status) => status,
        Err(error) => {
            bail!(
                "cargo does not start: {error}\nhint: run this with `cargo run --example quick-start`"
            )
        }
    };
    if !status.success() {
        bail!("the agent could not be built: cargo ended with {status}");
    }
    Ok(profile_folder.join("clearml-agent"))
}

impl Agent {
    /// Starts `daemon` with `folder` as the place of its home; its output goes to `agent.log` there.
    pub(crate) fn start(
        binary: &Path,
        folder: &Path,
        server: &LocalServer,
    ) -> anyhow::Result<Self> {
        let (home, temporary) = (folder.join("home"), folder.join("tmp"));
        fs::create_dir(&home)?;
        fs::create_dir(&temporary)?;
        fs::write(home.join("clearml.conf"), server.configuration())?;
        let output = folder.join("agent.log");
        let file = File::create(&output)?;
        let mut command = Command::new(binary);
        command
            .args(["daemon", "--queue", "default", "--foreground"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        for (name, value) in pip_places() {
            command.env(name, value);
        }
        // The user's own server and folders have no part in this.
        for name in names_with(&["CLEARML_", "TRAINS_", "XDG_"]) {
            command.env_remove(name);
        }
        command.env("HOME", home).env("TMPDIR", temporary);
        let mut command = tokio::process::Command::from(command);
        // Ctrl-C is for this program, which ends the agent then.
        command.process_group(0).kill_on_drop(true);
        let child = command.spawn().context("the agent does not start")?;
        Ok(Self { child, output })
    }

    /// Fails with the agent's last words if it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let output = fs::read(&self.output).unwrap_or_default();
        let output = String::from_utf8_lossy(&output);
        let lines: Vec<&str> = output.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        bail!("the agent has ended with {status}:\n{}", last.join("\n"));
    }

    /// Ends it with its task, as `kill` does, and waits for that.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let Some(pid) = self.child.id() else {
            return Ok(());
        };
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)?;
        match tokio::time::timeout(FAREWELL, self.child.wait()).await {
            Ok(status) => {
                status?;
                Ok(())
            }
            Err(_) => bail!(
                "the agent did not end within {} s of SIGTERM",
                FAREWELL.as_secs()
            ),
        }
    }
}

/// pip's cache and configuration of the user, which a home of its own would hide: a second run downloads nothing.
fn pip_places() -> Vec<(&'static str, PathBuf)> {
    let Some(home) = env::var_os("HOME").map(PathBuf::from) else {
        return Vec::new();
    };
    let folder = |variable: &str, default: &str| {
        env::var_os(variable).map_or_else(|| home.join(default), PathBuf::from)
    };
    let cache = folder("XDG_CACHE_HOME", ".cache").join("pip");
    let configurations = [
        folder("XDG_CONFIG_HOME", ".config").join("pip/pip.conf"),
        home.join(".pip/pip.conf"),
    ];
    let configuration = configurations.into_iter().find(|path| path.exists());
    let places = [
        Some(("PIP_CACHE_DIR", cache)),
        configuration.map(|path| ("PIP_CONFIG_FILE", path)),
    ];
    let missing = |place: &(&str, PathBuf)| env::var_os(place.0).is_none();
    places.into_iter().flatten().filter(missing).collect()
}

fn names_with(prefixes: &[&str]) -> Vec<OsString> {
    let starts = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
    env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_str().is_some_and(starts))
        .collect()
}
