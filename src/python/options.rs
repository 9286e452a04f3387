//! What the settings and the task say about the environment, as plain values.

use std::ffi::OsString;
use std::path::PathBuf;

use super::conda::CondaOptions;
use super::existing::NamedInterpreter;
use super::index_url::IndexUrl;
use super::poetry::PoetryOptions;
use super::requirements::TaskRequirements;
use super::store::Input;
use super::torch::TorchOptions;
use super::uv::UvOptions;

/// What a task asks for.
#[derive(Clone, Debug, Default)]
pub struct PythonRequest {
    /// `script.binary`.
    pub binary: String,
    /// `script.requirements`.
    pub requirements: TaskRequirements,
    /// `script.entry_point` after E-010.
    pub entry_point: String,
    /// Image and arguments of the task's container, part of the cache key.
    pub docker_cmd: String,
    /// `script.repository` is not empty.
    pub has_repository: bool,
}

/// The environment cache of the official agent, which is read (E-239).
#[derive(Clone, Debug)]
pub struct CacheOptions {
    /// `agent.venvs_cache.path`; empty switches cache and store off.
    pub path: PathBuf,
    /// `agent.venvs_cache.lock_timeout`, in seconds.
    pub lock_timeout: f64,
}

/// The store of environments.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `agent.store.path`; empty switches the store off.
    pub path: PathBuf,
    /// `agent.store.max_entries`, of environments and of base environments.
    pub max_entries: usize,
    /// `agent.store.max_size_gb`; zero and below for no limit.
    pub max_size_gb: f64,
    /// `agent.store.free_space_threshold_gb`; zero and below switch the check off.
    pub free_space_threshold_gb: f64,
    /// `agent.venvs_cache.lock_timeout`, in seconds.
    pub lock_timeout: f64,
    /// Of [`super::index_settings`].
    pub index_settings: Vec<Input>,
    /// The image of this container by its id, where the store is one of containers: what was made in another does not fit.
    pub image: Option<String>,
}

/// The program that installs packages (E section 8).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PackageManager {
    /// pip
    #[default]
    Pip,
    /// conda for what it has, pip for the rest.
    Conda,
    /// poetry for projects with its files, else pip.
    Poetry,
    /// uv for projects with its files, else pip or uv in its place.
    Uv,
}

/// Whether a new environment is made at all (E-229..E-233).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum SkipEnvironment {
    /// A fresh environment, the normal case.
    #[default]
    No,
    /// `CLEARML_AGENT_SKIP_PIP_VENV_INSTALL=1`: packages go into the chosen interpreter.
    ChosenInterpreter,
    /// `CLEARML_AGENT_SKIP_PIP_VENV_INSTALL=<interpreter>`: packages go into this one.
    Interpreter(String),
    /// `--standalone-mode`: the chosen interpreter as it is, and the code that is there (E-029).
    Standalone,
    /// Packages go into the environment that is active in a container, at this path (E-233).
    Activated(String),
    /// `agent.environment.mode: existing`, or the same word of the task: nothing is installed.
    AsItIs,
    /// `CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL`: nothing is made and nothing installed; the interpreter if one is named.
    Everything(Option<String>),
}

/// Settings of the agent; the default is the shipped configuration.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the configuration file"
)]
pub struct PythonOptions {
    /// `agent.python_binary`.
    pub python_binary: String,
    /// `agent.default_python`; empty for the version of the first Python 3 on the machine (E-288).
    pub default_python: String,
    /// `agent.ignore_requested_python_version`.
    pub ignore_requested: bool,
    /// `agent.venvs_dir` with the suffix of the slot (E-118).
    pub venvs_dir: PathBuf,
    /// The folder of the environment itself, where the command line names one (E-282).
    pub target: Option<PathBuf>,
    /// Nothing is left for later tasks, which `build` does not (E-282).
    pub keeps_nothing: bool,
    /// `agent.package_manager.type`.
    pub package_manager: PackageManager,
    /// What was written in its place, where nobody knows the word (E-200).
    pub unknown_package_manager: Option<String>,
    /// For `conda`.
    pub conda: CondaOptions,
    /// For `uv`.
    pub uv: UvOptions,
    /// For `poetry`.
    pub poetry: PoetryOptions,
    /// `agent.package_manager.system_site_packages`.
    pub system_site_packages: bool,
    /// `agent.package_manager.pip_version`.
    pub pip_version: Vec<String>,
    /// `agent.package_manager.pip_legacy_resolver`.
    pub pip_legacy_resolver: Vec<String>,
    /// `agent.package_manager.extra_index_url`.
    pub extra_index_url: Vec<IndexUrl>,
    /// `CLEARML_EXTRA_PIP_INSTALL_FLAGS`, else `agent.package_manager.extra_pip_install_flags`, word by word.
    pub extra_install_flags: Vec<String>,
    /// `agent.package_manager.force_upgrade`.
    pub force_upgrade: bool,
    /// `agent.package_manager.priority_packages`.
    pub priority_packages: Vec<String>,
    /// `agent.package_manager.priority_optional_packages`.
    pub priority_optional_packages: Vec<String>,
    /// `agent.package_manager.post_packages`.
    pub post_packages: Vec<String>,
    /// `agent.package_manager.post_optional_packages`.
    pub post_optional_packages: Vec<String>,
    /// `agent.package_manager.force_repo_requirements_txt`.
    pub force_repo_requirements_txt: bool,
    /// `agent.package_manager.force_original_requirements`.
    pub force_original_requirements: bool,
    /// `agent.pip_download_cache.path`; none where it is switched off (E-184).
    pub download_cache: Option<PathBuf>,
    /// `agent.cuda_version` as digits, `0` without a GPU; part of the cache key.
    pub cuda_version: String,
    /// How torch packages are found.
    pub torch: TorchOptions,
    /// `agent.venvs_cache`.
    pub venvs_cache: CacheOptions,
    /// `agent.store`.
    pub store: StoreOptions,
    /// Switches that skip work.
    pub skip: SkipEnvironment,
    /// Interpreters for [`SkipEnvironment::AsItIs`], the first that runs counts.
    pub existing: Vec<NamedInterpreter>,
    /// `CLEARML_AGENT_FORCE_TASK_INIT`: adds `clearml` to the requirements (E-192).
    pub force_task_init: bool,
    /// Variables for every installer call, for example `GIT_ASKPASS` for links.
    pub installer_variables: Vec<(OsString, OsString)>,
}

impl PythonRequest {
    /// True for a task that a shell runs without any package, so that no environment is made (E-232).
    pub fn needs_no_python(&self) -> bool {
        let has_pip = self
            .requirements
            .pip
            .as_ref()
            .is_some_and(|list| !list.is_empty());
        let binary = self.binary.trim();
        !self.has_repository && !has_pip && !binary.is_empty() && !binary.contains("python")
    }
}

impl PythonOptions {
    /// The folder of an environment of this name (E-118), or the one that was asked for (E-282).
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        let target = self.target.clone();
        target.unwrap_or_else(|| self.venvs_dir.join(name))
    }
}

impl Default for PythonOptions {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let cache = PathBuf::from("~/.clearml");
        Self {
            python_binary: String::new(),
            default_python: String::new(),
            ignore_requested: false,
            venvs_dir: cache.join("venvs-builds"),
            target: None,
            keeps_nothing: false,
            package_manager: PackageManager::Pip,
            unknown_package_manager: None,
            conda: CondaOptions::default(),
            uv: UvOptions {
                is_locked: true,
                ..UvOptions::default()
            },
            poetry: PoetryOptions::default(),
            system_site_packages: false,
            pip_version: words(&[
                "<20.2 ; python_version < '3.10'",
                "<22.3 ; python_version >= '3.10' and python_version <= '3.11'",
                ">=23,<26 ; python_version >= '3.12'",
            ]),
            pip_legacy_resolver: words(&[">=20.3,<24.3"]),
            extra_index_url: Vec::new(),
            extra_install_flags: Vec::new(),
            force_upgrade: false,
            priority_packages: words(&["cython", "numpy", "setuptools", "pip", "uv"]),
            priority_optional_packages: words(&["pygobject"]),
            post_packages: words(&["horovod"]),
            post_optional_packages: Vec::new(),
            force_repo_requirements_txt: false,
            force_original_requirements: false,
            download_cache: Some(cache.join("pip-download-cache")),
            cuda_version: "0".to_owned(),
            torch: TorchOptions::default(),
            venvs_cache: CacheOptions::default(),
            store: StoreOptions::default(),
            skip: SkipEnvironment::No,
            existing: Vec::new(),
            force_task_init: false,
            installer_variables: Vec::new(),
        }
    }
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            path: PathBuf::from("~/.clearml/venvs-cache"),
            lock_timeout: 30.0,
        }
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            path: PathBuf::from("~/.clearml/store"),
            max_entries: 20,
            max_size_gb: 0.0,
            free_space_threshold_gb: 2.0,
            lock_timeout: 30.0,
            index_settings: Vec::new(),
            image: None,
        }
    }
}

impl StoreOptions {
    /// Nothing is kept.
    pub fn off() -> Self {
        Self {
            path: PathBuf::new(),
            ..Self::default()
        }
    }

    /// The packages of environments are in the store, elsewhere than the rest.
    pub(super) fn has_rooms(&self) -> bool {
        self.image.is_some()
    }

    /// False where the store is switched off.
    pub fn is_enabled(&self) -> bool {
        !self.path.as_os_str().is_empty()
    }
}

impl CacheOptions {
    /// False where the cache is switched off.
    pub fn is_enabled(&self) -> bool {
        !self.path.as_os_str().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// E-232
    #[test]
    fn a_shell_script_without_packages_needs_no_python() {
        let request = |binary: &str, pip: &str, has_repository| PythonRequest {
            binary: binary.into(),
            requirements: TaskRequirements::from_value(&json!({"pip": pip})),
            has_repository,
            ..PythonRequest::default()
        };
        assert!(request("/bin/bash", "", false).needs_no_python());
        assert!(!request("/bin/bash", "six", false).needs_no_python());
        assert!(!request("/bin/bash", "", true).needs_no_python());
        assert!(!request("python3", "", false).needs_no_python());
        assert!(!request("", "", false).needs_no_python());
    }
}
