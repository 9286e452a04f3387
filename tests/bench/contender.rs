//! The two agents: the one of this clone as cargo built it, and the official one from PyPI.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// The version whose behaviour this agent has.
const OFFICIAL_VERSION: &str = "3.0.3";

/// An agent that is measured.
#[derive(Debug)]
pub(crate) struct Contender {
    /// How the table calls it.
    pub(crate) name: String,
    program: PathBuf,
}

impl Contender {
    /// The agent of this clone.
    pub(crate) fn this() -> Self {
        Self {
            name: format!("this agent {}", env!("CARGO_PKG_VERSION")),
            program: env!("CARGO_BIN_EXE_clearml-agent").into(),
        }
    }

    /// The official agent, in an environment that is made once below the target folder.
    pub(crate) fn official() -> anyhow::Result<Self> {
        let folder = official_environment();
        let complete = folder.join("complete");
        if !complete.exists() {
            let made = Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder)
                .status();
            succeeded("python3 -m venv", made)?;
            let package = format!("clearml-agent=={OFFICIAL_VERSION}");
            let installed = Command::new(folder.join("bin/python"))
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    &package,
                ])
                .status();
            succeeded(&format!("pip install {package}"), installed)?;
            std::fs::write(complete, "")?;
        }
        Ok(Self {
            name: format!("official agent {OFFICIAL_VERSION}"),
            program: folder.join("bin/clearml-agent"),
        })
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
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench/clearml-agent-{OFFICIAL_VERSION}"))
}

fn succeeded(what: &str, status: std::io::Result<std::process::ExitStatus>) -> anyhow::Result<()> {
    let status = status.with_context(|| format!("`{what}` does not start"))?;
    if !status.success() {
        bail!("`{what}` ended with {status}");
    }
    Ok(())
}
