//! What the container of a task is made of, beside the settings: facts about the task, the machine and the run.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::secrets::SecretString;

/// What the server says of a task, as far as its container goes.
#[derive(Clone, Debug, Default)]
pub struct ContainerFacts {
    /// The task's id.
    pub task: String,
    /// Its container as the server has it.
    pub wanted: WantedContainer,
    /// A shell runs it, without any package (E-232).
    pub needs_no_python: bool,
    /// The task with all its fields, for templates, names, rules and the restart policy (C-026, C-081, C-084).
    pub fields: Value,
    /// The full name of its project.
    pub project_name: Option<String>,
    /// The queue it was taken from: id and name.
    pub queue: Option<(String, Option<String>)>,
    /// The version of the server's API: major and minor.
    pub api_version: (u16, u16),
    /// The server's feature set is `advanced` (C-021).
    pub is_advanced: bool,
    /// The token of the task's owner, with `--use-owner-token` (C-090).
    pub owner_token: Option<SecretString>,
    /// The vaults of the task's owner in one document, with `--use-owner-token` (C-036).
    pub owner_vault: Option<Value>,
    /// The current user, for templates.
    pub user: Option<Value>,
}

/// What a task asks for, by the form in which its server says it (C-014, C-019).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WantedContainer {
    /// The section `container`.
    Section(ContainerSection),
    /// `execution.docker_cmd` of servers before API 2.13.
    DockerCommand(String),
}

impl Default for WantedContainer {
    fn default() -> Self {
        Self::Section(ContainerSection::default())
    }
}

/// The section `container` of a task.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ContainerSection {
    /// `image`
    pub image: String,
    /// `arguments`, in one line.
    pub arguments: String,
    /// `setup_shell_script`
    pub setup_shell_script: String,
}

/// What the machine is like.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the machine"
)]
pub struct HostFacts {
    /// The folder of the agent's user.
    pub home: PathBuf,
    /// `~/.git-credentials` and `~/.gitconfig`, as far as they are files (C-109).
    pub git_files: Vec<PathBuf>,
    /// `~/.ssh` can be read (C-113).
    pub has_ssh_folder: bool,
    /// `~/.ssh` is there and cannot be read.
    pub has_closed_ssh_folder: bool,
    /// GPUs of AMD and none of NVIDIA (C-051).
    pub is_amd: bool,
    /// The agent is in no container, and sees no GPU of anybody.
    pub has_no_gpu: bool,
    /// `/dev/dri/renderD*`, in their order (C-050).
    pub render_nodes: Vec<String>,
    /// The network mode of the container in which the agent itself runs (C-070, C-071).
    pub own_network: Option<String>,
    /// The machine's private address (C-062).
    pub address: Option<String>,
    /// The local ports of all sockets; asked for only where a task publishes ports (C-061).
    pub taken_ports: fn() -> BTreeSet<u16>,
}

/// One run of a task, and the files that were made for it.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The worker in the container (C-080).
    pub worker: String,
    /// The agent that starts it (C-080).
    pub parent: String,
    /// What is done in the container.
    pub purpose: Purpose,
    /// The agent is in services mode (C-085).
    pub is_service: bool,
    /// 32 random small letters, for the container's name (C-081).
    pub random: String,
    /// Where the configuration for the container is; below the host mount it gets another name (C-107, C-074).
    pub configuration: PathBuf,
    /// A folder of this container's own, not there yet, for a copy of `~/.ssh` (C-112, C-114).
    pub ssh_copy: PathBuf,
    /// The folder of this machine with the runner; none where it gets into the container by another way.
    pub runner: Option<PathBuf>,
}

impl Launch {
    /// Letters for [`Launch::random`].
    pub fn random_text() -> String {
        std::iter::repeat_with(fastrand::lowercase)
            .take(32)
            .collect()
    }
}

/// What is done in a container.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// A task runs, and the agent outside reports on it.
    Task,
    /// A task runs as a worker of its own: services mode, dynamic GPUs (C-200).
    Worker,
    /// An image is made; `--force-docker` ignores what the task asks for (C-400, C-403).
    Build {
        /// `--force-docker`
        is_forced: bool,
        /// `--without-credentials`
        forgets: bool,
    },
}
