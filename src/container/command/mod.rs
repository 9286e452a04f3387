//! Which container a task gets: image, arguments, mounts, variables, in the order of the reference (C 1). Pure.

mod arguments;
mod build;
mod choice;
mod configuration;
mod facts;
mod gpus;
mod host;
mod mounts;
mod name;
mod options;
mod pod;
mod ports;
mod restart;
mod rules;
mod secret_variables;
mod templates;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use super::boot::BootScript;

pub use choice::rule_words;
pub use configuration::configuration;
pub use facts::{ContainerFacts, ContainerSection, HostFacts, Launch, Purpose, WantedContainer};
pub use gpus::podman_has_none;
pub use host::own_container;
pub use mounts::{engine_path, start_up_lines};
pub use options::{ContainerOptions, DefaultContainer};
pub use pod::PodContainer;
pub use secret_variables::secret_variables;
pub use templates::{TextTemplates, mentions};

/// A container as it is to be started.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ContainerCommand {
    /// Its image.
    pub image: String,
    /// The words behind `docker`: `run -t … IMAGE bash -c SCRIPT` (C-130).
    pub words: Vec<String>,
    /// The same with secrets masked (C-142).
    pub shown: Vec<String>,
    /// What happens in it before the task runs.
    pub boot: BootScript,
    /// What the task is told about its container (C-020, C-024).
    pub write_back: Option<WriteBack>,
    /// What the task's runtime is told (C-063).
    pub runtime: Vec<(String, String)>,
    /// Lines for the task's console and the agent's own log, in their order (C-028, C-037, C-140).
    pub console: Vec<String>,
    /// Lines for the agent's own log alone.
    pub warnings: Vec<String>,
    /// `--restart`; without it the container is removed when it ends (C-083, C-084).
    pub restart: Option<String>,
    /// The image is pulled although it is there (C-086).
    pub pulls_first: bool,
    /// Folders of this machine that must be there, with their parents (C-111).
    pub folders: Vec<PathBuf>,
    /// Where this agent is to write the configuration for the container, private to its user (C-107, C-074, C-124).
    pub configuration: PathBuf,
    /// What is to be copied before the container starts, and removed after it has ended (C-112, C-114).
    pub copies: Vec<Copy>,
}

/// A file or folder that a container gets a copy of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Copy {
    /// What is copied.
    pub from: PathBuf,
    /// The copy, below a folder that may have to be made.
    pub to: PathBuf,
}

/// What is written into the task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WriteBack {
    /// `tasks.edit` of the section `container` (C-020).
    Section(ContainerSection),
    /// The same, because a rule has chosen it (C-024); the console says so.
    ByRule(ContainerSection),
    /// `tasks.edit` of `execution.docker_cmd` (C-019, C-020).
    DockerCommand(String),
}

/// Why there is no container for a task.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// C-016
    #[error("the container arguments of the task have a quote that is not closed, {}", place(.0))]
    OpenQuote(String),
    /// C-016, in what a rule gives (C-023).
    #[error("the container arguments in `{key}` have a quote that is not closed, {}", place(.behind))]
    OpenQuoteOfRule {
        /// Where they are written.
        key: String,
        /// The name in front of the quote.
        behind: String,
    },
    /// Nothing names an image (C-010).
    #[error("no image for the container: neither the task nor the agent names one")]
    NoImage,
}

fn place(behind: &str) -> String {
    match behind {
        "" => "at their beginning".to_owned(),
        word => format!("behind `{word}`"),
    }
}

impl CommandError {
    /// What a user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::OpenQuoteOfRule { .. } => "close the quote there",
            Self::OpenQuote(_) => "close the quote in the task's container arguments",
            Self::NoImage => {
                "name an image in the task, after `--docker`, or in agent.default_docker.image"
            }
        }
    }
}
