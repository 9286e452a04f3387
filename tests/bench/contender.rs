//! The two agents: the one of this clone as cargo built it, and the official one from PyPI.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// The version whose behaviour this agent has.
const OFFICIAL_VERSION: &str = "3.0.3";
/// The uv that both are measured with.
const UV_VERSION: &str = "0.9.5";

/// An agent that is measured.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// How the table calls it.
    pub(crate) name: String,
    program: PathBuf,
    is_official: bool,
}

impl Contender {
    /// The agent of this clone.
    pub(crate) fn this() -> Self {
        Self {
            name: format!("this agent {}", env!("CARGO_PKG_VERSION")),
            program: env!("CARGO_BIN_EXE_clearml-agent").into(),
            is_official: false,
        }
    }

    /// The official agent, in an environment that is made once below the target folder.
    pub(crate) fn official() -> anyhow::Result<Self> {
        let package = format!("clearml-agent=={OFFICIAL_VERSION}");
        let folder = installed(official_environment(), &package)?;
        Ok(Self {
            name: format!("official agent {OFFICIAL_VERSION}"),
            program: folder.join("bin/clearml-agent"),
            is_official: true,
        })
    }

    /// Where uv is, in an environment of its own below the target folder.
    pub(crate) fn uv_folder() -> anyhow::Result<PathBuf> {
        let package = format!("uv=={UV_VERSION}");
        Ok(installed(below_target(&package), &package)?.join("bin"))
    }

    /// True for the official agent.
    pub(crate) fn is_official(&self) -> bool {
        self.is_official
    }

    /// What is started.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The search path of both: the official agent finds `virtualenv` and its Python as it would when activated,
    /// and this one finds the same.
    pub(crate) fn search_path() -> anyhow::Result<OsString> {
        let before = std::env::var_os("PATH").unwrap_or_default();
        let folders = [official_environment().join("bin")];
        std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&before)))
            .context("the search path")
    }
}

fn official_environment() -> PathBuf {
    below_target(&format!("clearml-agent-{OFFICIAL_VERSION}"))
}

fn below_target(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("bench")
        .join(name)
}

/// Makes an environment with this package, once.
fn installed(folder: PathBuf, package: &str) -> anyhow::Result<PathBuf> {
    let complete = folder.join("complete");
    if !complete.exists() {
        let made = Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder)
            .status();
        succeeded("python3 -m venv", made)?;
        let installed = Command::new(folder.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                package,
            ])
            .status();
        succeeded(&format!("pip install {package}"), installed)?;
        std::fs::write(complete, "")?;
    }
    Ok(folder)
}

fn succeeded(what: &str, status: std::io::Result<std::process::ExitStatus>) -> anyhow::Result<()> {
    let status = status.with_context(|| format!("`{what}` does not start"))?;
    if !status.success() {
        bail!("`{what}` ended with {status}");
    }
    Ok(())
}
