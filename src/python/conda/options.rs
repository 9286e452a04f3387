//! What the settings say about conda.

use std::path::PathBuf;

use super::super::interpreter::requested_version;
use super::super::options::{PythonOptions, PythonRequest};

/// Settings of conda.
#[derive(Clone, Debug)]
pub struct CondaOptions {
    /// `agent.package_manager.conda_channels`.
    pub channels: Vec<String>,
    /// `agent.package_manager.conda_full_env_update`: the packages of the environment are written back to the task.
    pub full_env_update: bool,
    /// `agent.package_manager.conda_env_as_base_docker`: the task's container names an environment of this machine.
    pub env_as_base_docker: bool,
    /// `CLEARML_CONDA_ENV_PACKAGE`: an environment folder or a packed one, for all tasks.
    pub environment: Option<PathBuf>,
    /// `agent.package_manager.use_conda_base_env`.
    pub use_base_env: bool,
}

impl Default for CondaOptions {
    fn default() -> Self {
        let channels = ["pytorch", "conda-forge", "nvidia", "defaults"];
        Self {
            channels: channels.map(str::to_owned).to_vec(),
            full_env_update: false,
            env_as_base_docker: false,
            environment: None,
            use_base_env: false,
        }
    }
}

/// Where the environment of a task comes from (E-203, E-211).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// Made for the task.
    New,
    /// Already there as a folder or as a packed one.
    Existing(PathBuf),
    /// conda's own.
    Base,
}

impl CondaOptions {
    /// `docker_cmd` is what the task names as its container.
    pub(super) fn origin(&self, docker_cmd: &str) -> Origin {
        let named = Some(docker_cmd.trim())
            .filter(|path| self.env_as_base_docker && !path.is_empty())
            .map(PathBuf::from);
        match (self.environment.clone().or(named), self.use_base_env) {
            (Some(path), _) => Origin::Existing(path),
            (None, true) => Origin::Base,
            (None, false) => Origin::New,
        }
    }
}

/// Version and folder of the environment that conda makes for a task; none where it takes another one (E-203, E-211).
pub(in crate::python) fn made_by_conda(
    request: &PythonRequest,
    options: &PythonOptions,
) -> Option<(String, PathBuf)> {
    let is_made = options.conda.origin(&request.docker_cmd) == Origin::New;
    is_made.then(|| place(request, options))
}

/// The wanted version, and the folder of an environment with it.
pub(super) fn place(request: &PythonRequest, options: &PythonOptions) -> (String, PathBuf) {
    let version = wanted_python(&request.binary, options);
    let name = if version.is_empty() { "3" } else { &version };
    let folder = options.folder(name);
    (version, folder)
}

/// The version that conda is asked for: that of the task, else the configured one; empty for any (E-112, E-203).
pub(in crate::python) fn wanted_python(binary: &str, options: &PythonOptions) -> String {
    let of_name = |name: &str| {
        requested_version(name).or_else(|| {
            let is_version = name.starts_with(|c: char| c.is_ascii_digit());
            is_version.then(|| name.trim().to_owned())
        })
    };
    let requested = requested_version(binary).filter(|_| !options.ignore_requested);
    requested
        .or_else(|| of_name(&options.python_binary))
        .or_else(|| of_name(&options.default_python))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-203: the version is that of E-112.
    #[test]
    fn the_version_of_the_task_comes_before_the_configured_ones() {
        let mut options = PythonOptions {
            python_binary: "/opt/py/bin/python3.8".into(),
            default_python: "3.12".into(),
            ..PythonOptions::default()
        };
        assert_eq!(wanted_python("/usr/bin/python3.10", &options), "3.10");
        assert_eq!(wanted_python("python", &options), "3.8");
        options.ignore_requested = true;
        options.python_binary.clear();
        assert_eq!(wanted_python("python3.10", &options), "3.12");
        options.default_python.clear();
        assert_eq!(wanted_python("", &options), "");
    }

    /// E-211: the variable comes before the container, and both before the base environment.
    #[test]
    fn an_environment_that_is_there_is_named_by_variable_or_container() {
        let mut options = CondaOptions {
            use_base_env: true,
            ..CondaOptions::default()
        };
        assert_eq!(options.origin("/opt/env"), Origin::Base);
        options.env_as_base_docker = true;
        assert_eq!(
            options.origin(" /opt/env "),
            Origin::Existing("/opt/env".into())
        );
        assert_eq!(options.origin(""), Origin::Base);
        options.environment = Some("/opt/packed.tar.gz".into());
        assert_eq!(
            options.origin("/opt/env"),
            Origin::Existing("/opt/packed.tar.gz".into())
        );
        assert_eq!(CondaOptions::default().origin("image"), Origin::New);
    }
}
