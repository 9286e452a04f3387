//! What the command line says about how a task is run, and the configuration does not.

use serde::{Deserialize, Serialize};

/// Options of `daemon` and `execute` that reach the program; kept in the journal, so that they outlive the worker.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "a command line has flags")]
pub struct RunOptions {
    /// `--log-level` (D-018).
    pub log_level: String,
    /// `-O`: how often it was given (D-019).
    pub optimize: u8,
    /// `--standalone-mode` (D-035, D-046).
    pub standalone: bool,
    /// `--cpu-only` (D-017).
    pub cpu_only: bool,
    /// `--gpus` (D-016).
    pub gpus: Option<String>,
    /// `--child-report-tags` (D-036); without them, those of the variable count.
    pub tags: Option<Vec<String>>,
    /// `--debug`, which keeps the file with the task's output (D-015).
    pub debug: bool,
    /// The words of `--docker` or `--podman`; none for tasks outside of containers (C-001).
    pub docker: Option<Vec<String>>,
    /// The words are those of `--podman` (C-003, C-087).
    pub podman: bool,
    /// `--force-current-version` (D-024).
    pub force_current_version: bool,
    /// `--timings`
    pub timings: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            log_level: "INFO".to_owned(),
            optimize: 0,
            standalone: false,
            cpu_only: false,
            gpus: None,
            tags: None,
            debug: false,
            docker: None,
            podman: false,
            force_current_version: false,
            timings: false,
        }
    }
}
