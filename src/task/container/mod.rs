//! A task in a container: made, started, listened to, ended, and found again after a crash.
//!
//! The container outlives its supervisor. What it prints is in the engine's log, and how much of that the task's output
//! file holds already is seen from the file's length: nothing else is written behind `Contained::base`.

mod beside;
mod builds;
mod cdi;
mod console;
mod create;
mod end;
mod files;
mod forget;
mod gateway;
mod host_mount;
mod image;
mod log;
mod prefetch;
mod shell;
mod start;
mod store;
mod upload;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::container::args::HostContext;
use crate::container::command::{ContainerOptions, HostFacts};
use crate::container::engine::EndpointSource;
use crate::monitor::VisibleGpus;

pub use builds::clear_dead_builds;
pub use image::{EntryPoint, ImageBuild};

use super::journal::Journal;
use super::server::TaskServer;
use super::stop::Stop;
use super::streams::Streams;

/// Label of the containers of this agent, with the name of the run's folder.
pub const RUN_LABEL: &str = "clearml-agent-run";
/// Label of the same containers, with the task.
const TASK_LABEL: &str = "clearml-agent-task";

/// What a supervisor needs for a container.
#[derive(Clone, Debug)]
pub struct Containment {
    /// What holds for all containers of the agent.
    pub options: ContainerOptions,
    /// What the machine is like.
    pub host: HostFacts,
    /// Where the engine is.
    pub source: EndpointSource,
    /// `PATH`, for the programs that keep logins of registries.
    pub search_path: String,
    /// The configuration for the container (C-120).
    pub configuration: String,
    /// The agent that has started the worker (C-080).
    pub parent: String,
    /// The task is one of several of a worker, and a worker of its own inside (C-320).
    pub is_own_worker: bool,
    /// Services mode.
    pub is_service: bool,
    /// `--timings`
    pub says_timings: bool,
    /// The folder with the program that runs the task inside; none where it gets there by another way.
    pub runner: Option<PathBuf>,
    /// Where its containers find the environments of those before them; none where they do not.
    pub store: Option<PathBuf>,
    /// Of this machine, for the arguments that name its files and variables.
    pub context: HostContext,
}

/// What belongs to one run.
pub(super) struct ContainedRun<'a> {
    pub(super) server: &'a TaskServer,
    pub(super) journal: &'a Journal,
    pub(super) streams: &'a Streams,
    pub(super) stop: &'a Stop,
    pub(super) grace: Duration,
    pub(super) gpus: &'a VisibleGpus,
}

/// The container of a run, as the journal knows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Contained {
    /// Its id; none as long as it may not have been made.
    pub id: Option<String>,
    /// It has a terminal, as `docker run -t` gives it.
    pub has_terminal: bool,
    /// Length of the output file before the container's first byte.
    pub base: u64,
    /// What was copied for it, and goes with it.
    pub copies: Vec<PathBuf>,
    /// The engine had not answered when nobody could wait any more: it may come yet.
    #[serde(default)]
    pub is_late: bool,
}

impl Contained {
    /// Removes what was made for the container.
    pub(super) fn remove_files(&self) {
        files::remove(&self.copies);
    }
}
