//! What happens in a container before the task runs in it (C 2).
//!
//! The container's shell gets a text ([`BootScript::text`]): the hooks of administrator and task run in it, so that what they
//! set stays in force. All else is done by the program that is mounted there ([`inside`]), which needs neither programs of the
//! image nor packages.

mod classic;
pub mod inside;
mod runner;
mod script;
#[cfg(test)]
mod tests;

pub use runner::{RUNNER_NAME, RunnerError, RunnerFolder, deliver, locate, planned};

/// What a container is told to do, from its first process to the agent that runs the task there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings, as the user writes them"
)]
pub struct BootScript {
    /// `agent.docker_preprocess_bash_script`
    pub preprocess: Vec<String>,
    /// `agent.docker_init_bash_script`, which takes the place of what the agent does itself.
    pub init: Option<Vec<String>>,
    /// Mounted folder with ssh keys, and where the task looks for them (C-108).
    pub ssh: Option<(String, String)>,
    /// Mounted folder with the files of git (C-109).
    pub git: Option<String>,
    /// `agent.docker_install_opencv_libs`, in a file of the user's own.
    pub installs_opencv_libs: bool,
    /// `agent.package_manager.pip_version`, as specifiers.
    pub pip_specifiers: Vec<String>,
    /// `agent.extra_docker_shell_script`
    pub extra_shell: String,
    /// The task's `setup_shell_script`, as it was written.
    pub setup: String,
    /// Where the image has no Python, none is brought.
    pub needs_no_python: bool,
    /// Who runs the task inside.
    pub agent: InnerAgent,
    /// The container's `NVIDIA_VISIBLE_DEVICES` (C-052).
    pub visible_devices: String,
    /// The words of the inner agent, such as `execute --disable-monitoring  --id ID` (C-200).
    pub arguments: String,
    /// `--standalone-mode`
    pub is_standalone: bool,
    /// What the agent inside has done becomes an image without the credentials that it got (C-408).
    pub forgets: bool,
}

/// Who runs a task in its container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum InnerAgent {
    /// This program, at this place in the container.
    Runner(String),
    /// The official agent, installed by pip from this requirement (C-201).
    Python(String),
}

impl Default for InnerAgent {
    fn default() -> Self {
        Self::Runner(RUNNER.to_owned())
    }
}

/// Folder of the container in which this program is mounted.
pub const RUNNER_FOLDER: &str = "/.clearml-agent";
/// Names of the scripts for the shells of an image, in the order in which they are wished for; the last is for an image
/// without any, and holds the agent's words.
pub const POD_SCRIPTS: [&str; 3] = ["bash", "sh", "words"];
/// The name by which an engine lets a container reach the machine it runs on.
pub const HOST_NAME: &str = "host.docker.internal";
/// Folder of a container in which environments are kept for those that come after it.
pub const STORE_FOLDER: &str = "/.clearml-store";
/// This program in a container.
pub const RUNNER: &str = "/.clearml-agent/clearml-agent";
