//! What the daemon and a task in a virtual environment need; `agent.*` with the variables that beat it.

use std::path::PathBuf;
use std::time::Duration;

use super::env_vars::{self, Variable};
use super::environment::Environment;
use super::hocon::{Kind, Value};
use super::lookup::wrong_type;
use super::{Settings, SettingsError};
use crate::secrets::SecretString;

/// The agent's own settings.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each stands for a key of the configuration"
)]
pub struct AgentSettings {
    /// Whole identity of the worker, where it is given; `agent.worker_id`.
    pub worker_id: Option<String>,
    /// First part of generated identities, where it is given or completed; `agent.worker_name` (F-111).
    pub worker_name: Option<String>,
    /// `agent.debug`.
    pub debug: bool,
    /// Reads the configuration again at every poll; `agent.reload_config`.
    pub reload_config: bool,
    /// An error during a task ends the daemon; `agent.crash_on_exception`.
    pub crash_on_exception: bool,
    /// Tags of the worker where no option gives them; `CLEARML_WORKER_TAGS`.
    pub worker_tags: Vec<String>,
    /// Time between two looks at the queues, where the variable sets it; it beats `--polling-interval`.
    pub poll_interval: Option<Duration>,
    /// Time between two status reports.
    pub status_report_interval: Duration,
    /// Time between two pings of a task, `None` for no pings; `agent.task_ping_interval_sec`.
    pub task_ping_interval: Option<Duration>,
    /// Only the last state of a progress line is reported; `agent.suppress_carriage_return`.
    pub suppress_carriage_return: bool,
    /// Folder for output files, where it is given; `CLEARML_AGENT_TEMP_STDOUT_FILE_DIR`.
    pub output_folder: Option<PathBuf>,
    /// Folder of the instance files, where agents of several containers share it; `CLEARML_AGENT_K8S_HOST_MOUNT`.
    pub shared_folder: Option<PathBuf>,
    /// Hours in which tasks are taken; `agent.uptime`.
    pub uptime: Option<Vec<String>>,
    /// Hours in which no task is taken; `agent.downtime`.
    pub downtime: Option<Vec<String>>,
    /// How long a program that is to stop may take to end by itself; `agent.stop_grace_period`.
    pub stop_grace_period: Duration,
    /// How many waiting tasks are prepared in advance; `agent.prefetch`.
    pub prefetched_tasks: usize,
    /// A task that was lost with its agent or its machine goes back into its queue; `agent.requeue_on_agent_loss`.
    pub requeue_on_agent_loss: bool,
    /// Longest an abort callback may take; `agent.abort_callback_max_timeout`.
    pub abort_callback_max_timeout: Duration,
    /// The task's `Environment` parameters are applied; `agent.enable_task_env`.
    pub enable_task_env: bool,
    /// Script that builds the environment; the key beats the variable here.
    pub custom_build_script: Option<String>,
    /// Code is not fetched anew; `agent.standalone_mode`.
    pub standalone_mode: bool,
    /// `execute` ends with the exit status of the task; `CLEARML_AGENT_PROPAGATE_EXITCODE`.
    pub propagate_exit_code: bool,
    /// Git and repositories.
    pub git: GitSettings,
    /// Tasks run in an environment that is there; `agent.environment.mode`.
    pub environment_is_existing: bool,
    /// Its interpreter; `agent.environment.python`.
    pub environment_python: Option<String>,
    /// An environment that is active in a container is installed into; `agent.docker_use_activated_venv` (E-233).
    pub docker_use_activated_venv: bool,
    /// Interpreter for environments; empty means search by version; `agent.python_binary`.
    pub python_binary: Option<String>,
    /// Version of Python for tasks that name none; `agent.default_python`.
    pub default_python: Option<String>,
    /// `agent.ignore_requested_python_version`.
    pub ignore_requested_python_version: bool,
    /// The root of the repository is on `PYTHONPATH` too; `agent.force_git_root_python_path`.
    pub force_git_root_python_path: bool,
    /// Package managers.
    pub package_manager: PackageManagerSettings,
    /// Folder of the tasks' environments; `agent.venvs_dir`. An agent that is not the first on its machine adds `.N` (F-116).
    pub venvs_dir: PathBuf,
    /// Finished environments for reuse.
    pub venvs_cache: VenvsCache,
    /// The store of environments.
    pub store: EnvironmentStore,
    /// Clones of repositories for reuse.
    pub vcs_cache: VcsCache,
    /// Downloaded packages for reuse.
    pub pip_download_cache: PipDownloadCache,
    /// Versions of CUDA and cuDNN.
    pub cuda: CudaSettings,
    /// Most load in percent of a GPU that is given to a task; `None` asks for no load.
    pub gpu_idle_threshold: Option<f64>,
    /// What the resource reports look at.
    pub monitoring: MonitoringSettings,
}

/// Git and repositories.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each stands for a key of the configuration"
)]
pub struct GitSettings {
    /// User for https.
    pub user: Option<String>,
    /// Password or token for https.
    pub password: Option<SecretString>,
    /// The only host that gets them.
    pub host: Option<String>,
    /// The host is compared with the start of the whole URL; `agent.git_host_match_prefix`.
    pub host_match_prefix: bool,
    /// Further credentials, first match wins; `agent.git.extra_credentials`.
    pub extra_credentials: Vec<ExtraCredential>,
    /// The password is a bearer token of Azure DevOps.
    pub use_ms_entra_token: bool,
    /// The password is a personal access token of Azure DevOps.
    pub use_azure_pat: bool,
    /// Https URLs become ssh URLs; `agent.force_git_ssh_protocol`.
    pub force_ssh_protocol: bool,
    /// Port of such ssh URLs; `agent.force_git_ssh_port`.
    pub force_ssh_port: Option<u16>,
    /// User of such ssh URLs, also of those that were ssh before; `agent.force_git_ssh_user`.
    pub force_ssh_user: Option<String>,
    /// Arguments of `git fetch`; `agent.git_fetch_args`.
    pub fetch_arguments: Vec<String>,
    /// Credentials go through `GIT_ASKPASS`, not into the URL; `agent.enable_git_ask_pass`.
    pub ask_pass: bool,
    /// Scheme of an ssh URL that is called with user and password.
    pub replacement_scheme: String,
    /// Git reports the progress of a clone.
    pub clone_verbose: bool,
}

/// Credentials for one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraCredential {
    /// `user`, or `username`.
    pub user: Option<String>,
    /// `pass`, or `password`.
    pub password: Option<SecretString>,
    /// `host`.
    pub host: Option<String>,
}

/// The program that installs packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageManagerKind {
    /// pip
    Pip,
    /// conda
    Conda,
    /// poetry
    Poetry,
    /// uv
    Uv,
}

/// How torch packages are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PytorchResolve {
    /// pip with an index for the CUDA version.
    Pip,
    /// The URL of a wheel.
    Direct,
    /// Like every other package.
    None,
}

/// `agent.package_manager`.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each stands for a key of the configuration"
)]
pub struct PackageManagerSettings {
    /// The program; `CLEARML_AGENT_FORCE_POETRY` and `CLEARML_AGENT_FORCE_UV` beat it.
    pub kind: PackageManagerKind,
    /// What was written in its place, where nobody knows the word (E-200).
    pub kind_unknown: Option<String>,
    /// Requirements of pip itself, with markers.
    pub pip_version: Vec<String>,
    /// Requirement of poetry itself.
    pub poetry_version: Option<String>,
    /// Further arguments of `poetry install`.
    pub poetry_install_extra_args: Vec<String>,
    /// Looks for poetry's files in the working folder.
    pub poetry_files_from_working_dir: bool,
    /// Requirement of uv itself.
    pub uv_version: Option<String>,
    /// Further arguments of `uv sync`.
    pub uv_sync_extra_args: Vec<String>,
    /// Further arguments of `uv run`.
    pub uv_run_extra_args: Vec<String>,
    /// `uv sync --locked` where there is a lock file.
    pub uv_sync_locked_if_lock_file: bool,
    /// Lets uv look at all indexes.
    pub uv_unsafe_best_match: bool,
    /// Looks for uv's files in the working folder.
    pub uv_files_from_working_dir: bool,
    /// Environments see the system's packages.
    pub system_site_packages: bool,
    /// Installs with `--upgrade`.
    pub force_upgrade: bool,
    /// Further package indexes; URLs may hold passwords.
    pub extra_index_url: Vec<String>,
    /// Further flags of every `pip install`.
    pub extra_pip_install_flags: Vec<String>,
    /// Versions of pip that get the legacy resolver.
    pub pip_legacy_resolver: Vec<String>,
    /// How torch packages are found.
    pub pytorch_resolve: PytorchResolve,
    /// What was written in its place, where nobody knows the word (E-163).
    pub pytorch_resolve_unknown: Option<String>,
    /// Nightly builds of torch are allowed.
    pub torch_nightly: bool,
    /// Index of torch per CUDA version; `{}` is the version.
    pub torch_index_template: String,
    /// The same for nightly builds.
    pub torch_nightly_index_template: String,
    /// Index of torch per version of ROCm, major and minor.
    pub torch_rocm_index_template: String,
    /// The same for nightly builds.
    pub torch_nightly_rocm_index_template: String,
    /// Page of wheels per CUDA version.
    pub torch_page: String,
    /// The same for nightly builds.
    pub torch_nightly_page: String,
    /// Channels of conda.
    pub conda_channels: Vec<String>,
    /// The packages of a conda environment are written to the task.
    pub conda_full_env_update: bool,
    /// The task's container names a conda environment of this machine.
    pub conda_env_as_base_docker: bool,
    /// Packages are installed into conda's base environment.
    pub use_conda_base_env: bool,
    /// Ignores the task's packages in favour of the repository's requirements.txt.
    pub force_repo_requirements_txt: bool,
    /// Uses the package list that the task was recorded with.
    pub force_original_requirements: bool,
    /// Installed first; none means the built-in list.
    pub priority_packages: Option<Vec<String>>,
    /// Installed first; failure does not matter.
    pub priority_optional_packages: Vec<String>,
    /// Installed last; none means the built-in list.
    pub post_packages: Option<Vec<String>>,
    /// Installed last; failure does not matter.
    pub post_optional_packages: Vec<String>,
}

/// A folder that can be switched off.
pub type FolderCache = Option<PathBuf>;

/// `agent.store`.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvironmentStore {
    /// The folder; `None` switches the store off.
    pub path: FolderCache,
    /// Environments to keep.
    pub max_entries: usize,
    /// Gigabytes that they may take; zero for no limit.
    pub max_size_gb: f64,
    /// Gigabytes that must be free to keep one more; zero or less asks for none.
    pub free_space_threshold_gb: f64,
    /// Containers have folders below it.
    pub containers: bool,
}

/// `agent.venvs_cache`.
#[derive(Clone, Debug, PartialEq)]
pub struct VenvsCache {
    /// The folder; `None` switches cache and store off.
    pub path: FolderCache,
    /// How long to wait for the cache.
    pub lock_timeout: Option<Duration>,
}

/// `agent.vcs_cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VcsCache {
    /// Whether clones are kept.
    pub enabled: bool,
    /// Where.
    pub path: PathBuf,
    /// A clone that cannot be updated is made anew.
    pub clone_on_pull_fail: bool,
}

/// `agent.pip_download_cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipDownloadCache {
    /// Whether downloads are kept.
    pub enabled: bool,
    /// Where.
    pub path: PathBuf,
}

/// Versions as `major*10+minor`, where they are given (F-113).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaSettings {
    /// `agent.cuda_version`.
    pub cuda: Option<String>,
    /// `agent.cudnn_version`.
    pub cudnn: Option<String>,
}

/// `agent.resource_monitoring`.
#[derive(Clone, Debug, PartialEq)]
pub struct MonitoringSettings {
    /// Load to report for a GPU that reports none; `None` reports nothing.
    pub default_gpu_utilization: Option<f64>,
    /// The file system whose free space is reported.
    pub disk_use_path: PathBuf,
    /// The shares of GPUs that this agent has (D-204).
    pub gpu_fractions: Option<String>,
}

impl Settings {
    /// The agent's own settings; fails on values of a wrong type and on registered variables that are no boolean (F-072).
    pub fn agent(&self) -> Result<AgentSettings, SettingsError> {
        let environment = self.environment();
        environment.check_booleans()?;
        let seconds = |key, default| -> Result<Duration, SettingsError> {
            Ok(self.seconds(key)?.unwrap_or(Duration::from_secs(default)))
        };
        Ok(AgentSettings {
            worker_id: self.filled_text("agent.worker_id"),
            worker_name: self.filled_text("agent.worker_name"),
            debug: self.is_on("agent.debug"),
            reload_config: self.is_on("agent.reload_config"),
            crash_on_exception: self.is_on("agent.crash_on_exception"),
            worker_tags: environment
                .words(&env_vars::WORKER_TAGS)
                .unwrap_or_default(),
            poll_interval: variable_seconds(environment, &env_vars::QUEUE_POLL_FREQ_SEC)?,
            status_report_interval: variable_seconds(
                environment,
                &env_vars::STATUS_REPORT_FREQ_SEC,
            )?
            .unwrap_or(Duration::from_secs(30)),
            task_ping_interval: self.task_ping_interval(),
            suppress_carriage_return: self
                .boolean("agent.suppress_carriage_return")
                .unwrap_or(true),
            output_folder: environment
                .text(&env_vars::TEMP_STDOUT_FILE_DIR)
                .map(|path| self.expand(path)),
            shared_folder: self.host_mount()?.map(|mount| mount.inside.into()),
            uptime: self.list("agent.uptime").filter(|hours| !hours.is_empty()),
            downtime: self
                .list("agent.downtime")
                .filter(|hours| !hours.is_empty()),
            stop_grace_period: seconds("agent.stop_grace_period", 0)?,
            prefetched_tasks: self.prefetched_tasks()?,
            requeue_on_agent_loss: self.is_on("agent.requeue_on_agent_loss"),
            abort_callback_max_timeout: seconds("agent.abort_callback_max_timeout", 1800)?,
            enable_task_env: self.is_on("agent.enable_task_env"),
            custom_build_script: self.filled_text("agent.custom_build_script").or_else(|| {
                environment
                    .text(&env_vars::CUSTOM_BUILD_SCRIPT)
                    .map(str::to_owned)
            }),
            standalone_mode: self.is_on("agent.standalone_mode"),
            propagate_exit_code: environment
                .lenient(&env_vars::PROPAGATE_EXITCODE)
                .unwrap_or(false),
            git: self.git()?,
            environment_is_existing: self.environment_is_existing()?,
            environment_python: self
                .filled_text("agent.environment.python")
                .map(|path| self.expand(&path).display().to_string()),
            docker_use_activated_venv: self
                .boolean("agent.docker_use_activated_venv")
                .unwrap_or(true),
            python_binary: self.filled_text("agent.python_binary"),
            default_python: self.filled_text("agent.default_python"),
            ignore_requested_python_version: self.is_on("agent.ignore_requested_python_version"),
            force_git_root_python_path: self.is_on("agent.force_git_root_python_path"),
            package_manager: self.package_manager()?,
            venvs_dir: self.folder("agent.venvs_dir", "~/.clearml/venvs-builds"),
            venvs_cache: self.venvs_cache()?,
            store: self.environment_store()?,
            vcs_cache: VcsCache {
                enabled: self.boolean("agent.vcs_cache.enabled").unwrap_or(true),
                path: self.folder("agent.vcs_cache.path", "~/.clearml/vcs-cache"),
                clone_on_pull_fail: self.is_on("agent.vcs_cache.clone_on_pull_fail"),
            },
            pip_download_cache: PipDownloadCache {
                enabled: self
                    .boolean("agent.pip_download_cache.enabled")
                    .unwrap_or(true),
                path: self.folder(
                    "agent.pip_download_cache.path",
                    "~/.clearml/pip-download-cache",
                ),
            },
            gpu_idle_threshold: self.number("agent.gpu_idle_threshold")?,
            cuda: CudaSettings {
                cuda: self.cuda_version("agent.cuda_version"),
                cudnn: self.cuda_version("agent.cudnn_version"),
            },
            monitoring: self.monitoring()?,
        })
    }

    /// A folder that cannot be switched off; an empty one counts as missing.
    fn folder(&self, key: &str, default: &str) -> PathBuf {
        self.path(key).unwrap_or_else(|| self.expand(default))
    }

    /// Text that is no number counts as zero, and zero switches the pings off.
    fn task_ping_interval(&self) -> Option<Duration> {
        let interval = self.seconds("agent.task_ping_interval_sec");
        interval
            .unwrap_or(Some(Duration::ZERO))
            .map_or(Some(Duration::from_mins(1)), |interval| {
                (!interval.is_zero()).then_some(interval)
            })
    }

    fn prefetched_tasks(&self) -> Result<usize, SettingsError> {
        const FEW: i64 = 3;
        if !self.boolean("agent.prefetch.enabled").unwrap_or(true) {
            return Ok(0);
        }
        let most = self.integer("agent.prefetch.tasks")?.unwrap_or(FEW);
        Ok(usize::try_from(most).unwrap_or_default())
    }

    fn git(&self) -> Result<GitSettings, SettingsError> {
        let environment = self.environment();
        let text = |variable: &Variable, key| {
            environment
                .text(variable)
                .map(str::to_owned)
                .or_else(|| self.filled_text(key))
        };
        // True in the variable beats the key; false does not.
        let switch = |variable: &Variable, key| -> Result<bool, SettingsError> {
            Ok(environment.boolean(variable)?.unwrap_or(false) || self.is_on(key))
        };
        let port_key = "agent.force_git_ssh_port";
        let port = match self.integer(port_key)? {
            None | Some(0) => None,
            Some(port) => Some(u16::try_from(port).map_err(|_| {
                self.value(port_key)
                    .map_or(SettingsError::NoConfiguration, |value| {
                        wrong_type(port_key, "a port", value)
                    })
            })?),
        };
        Ok(GitSettings {
            user: text(&env_vars::GIT_USER, "agent.git_user"),
            password: text(&env_vars::GIT_PASS, "agent.git_pass").map(SecretString::new),
            host: text(&env_vars::GIT_HOST, "agent.git_host"),
            host_match_prefix: self.is_on("agent.git_host_match_prefix"),
            extra_credentials: self.extra_credentials("agent.git.extra_credentials"),
            use_ms_entra_token: switch(
                &env_vars::GIT_USE_MS_ENTRA_TOKEN,
                "agent.git_use_ms_entra_token",
            )?,
            use_azure_pat: switch(&env_vars::GIT_USE_AZURE_PAT, "agent.git_use_azure_pat")?,
            force_ssh_protocol: self.is_on("agent.force_git_ssh_protocol"),
            force_ssh_port: port,
            force_ssh_user: self.filled_text("agent.force_git_ssh_user"),
            fetch_arguments: self.list("agent.git_fetch_args").unwrap_or_default(),
            ask_pass: self.boolean("agent.enable_git_ask_pass").unwrap_or(true),
            replacement_scheme: text(
                &env_vars::SSH_URL_REPLACEMENT_SCHEME,
                "agent.translate_ssl_replacement_scheme",
            )
            .unwrap_or_else(|| "https".to_owned()),
            clone_verbose: environment
                .boolean(&env_vars::GIT_CLONE_VERBOSE)?
                .unwrap_or(false),
        })
    }

    fn extra_credentials(&self, key: &str) -> Vec<ExtraCredential> {
        let Some(Value {
            kind: Kind::List(entries),
            ..
        }) = self.value(key)
        else {
            return Vec::new();
        };
        let first = |entry: &Value, names: [&str; 2]| {
            names
                .iter()
                .find_map(|name| entry.member(name)?.to_text())
                .filter(|text| !text.is_empty())
        };
        entries
            .iter()
            .map(|entry| ExtraCredential {
                user: first(entry, ["user", "username"]),
                password: first(entry, ["pass", "password"]).map(SecretString::new),
                host: first(entry, ["host", "host"]),
            })
            .collect()
    }

    fn venvs_cache(&self) -> Result<VenvsCache, SettingsError> {
        let named = self
            .environment()
            .text(&env_vars::VENV_CACHE_PATH)
            .map(|path| self.expand(path));
        Ok(VenvsCache {
            path: named.or_else(|| self.path("agent.venvs_cache.path")),
            lock_timeout: self.seconds("agent.venvs_cache.lock_timeout")?,
        })
    }

    /// The keys are not the official agent's: an odd value is a mistake, and is refused.
    fn environment_store(&self) -> Result<EnvironmentStore, SettingsError> {
        let gigabytes = "a number of gigabytes, 0 for no limit";
        let threshold =
            match self.at_least_zero("agent.store.free_space_threshold_gb", gigabytes)? {
                None => self.number("agent.venvs_cache.free_space_threshold_gb")?,
                threshold => threshold,
            };
        let entries = "agent.store.max_entries";
        Ok(EnvironmentStore {
            path: self.store_path()?,
            max_entries: match self.integer(entries)?.map(usize::try_from) {
                None => 20,
                Some(Ok(number)) if number > 0 => number,
                Some(_) => return Err(self.mistake(entries, "a whole number from 1 on")),
            },
            max_size_gb: self
                .at_least_zero("agent.store.max_size_gb", gigabytes)?
                .unwrap_or(0.0),
            free_space_threshold_gb: threshold.unwrap_or(0.0),
            containers: self.store_for_containers()?,
        })
    }

    fn store_for_containers(&self) -> Result<bool, SettingsError> {
        let key = "agent.store.containers";
        let is_on = match self.value(key).map(|value| &value.kind) {
            None | Some(Kind::Null) => Some(true),
            Some(Kind::Boolean(is_on)) => Some(*is_on),
            Some(Kind::Text(text)) => super::truth(text),
            Some(_) => None,
        };
        is_on.ok_or_else(|| self.mistake(key, "true or false"))
    }

    fn store_path(&self) -> Result<FolderCache, SettingsError> {
        let key = "agent.store.path";
        let path = match self.value(key).map(|value| &value.kind) {
            None => return Ok(Some(self.expand("~/.clearml/store"))),
            Some(Kind::Null | Kind::Text(_)) => self.path(key),
            Some(_) => Some(PathBuf::new()),
        };
        match path {
            Some(path) if !path.is_absolute() => Err(self.mistake(
                key,
                "an absolute path, or \"\" where no environments are to be kept",
            )),
            path => Ok(path),
        }
    }

    fn at_least_zero(
        &self,
        key: &str,
        expected: &'static str,
    ) -> Result<Option<f64>, SettingsError> {
        match self.number(key)? {
            Some(number) if !number.is_finite() || number < 0.0 => Err(self.mistake(key, expected)),
            number => Ok(number),
        }
    }

    /// The value of a key that is there is none that is allowed.
    fn mistake(&self, key: &str, expected: &'static str) -> SettingsError {
        self.value(key)
            .map_or(SettingsError::NoConfiguration, |value| {
                wrong_type(key, expected, value)
            })
    }

    fn monitoring(&self) -> Result<MonitoringSettings, SettingsError> {
        let key = "agent.resource_monitoring.default_gpu_utilization";
        let default = match self.value(key) {
            None => Some(100.0),
            Some(_) => self.number(key)?,
        };
        Ok(MonitoringSettings {
            default_gpu_utilization: default,
            disk_use_path: self.folder("agent.resource_monitoring.disk_use_path", "~"),
            gpu_fractions: self
                .environment()
                .text(&env_vars::GPU_FRACTIONS)
                .map(str::to_owned),
        })
    }
}

/// A variable that holds seconds.
fn variable_seconds(
    environment: &Environment,
    variable: &Variable,
) -> Result<Option<Duration>, SettingsError> {
    let Some((name, text)) = environment.named_text(variable) else {
        return Ok(None);
    };
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .map(Some)
        .ok_or_else(|| SettingsError::InvalidVariable {
            variable: name,
            value: text.to_owned(),
            expected: "numbers of seconds",
        })
}
