//! The keys of the agent itself: who it is, when it works, git and repositories.

use super::{Group, group};

pub(super) const GENERAL: Group = group! { "The worker":
    /// Whole name of this worker, such as `lab:gpu0`. Empty: the worker name with its GPUs or a number behind it.
    "agent.worker_id": Text [WORKER_ID];
    /// First part of the name that the worker makes for itself.
    "agent.worker_name": Text = "(the host name)" [WORKER_NAME];
    /// Says more, as `--debug` does.
    "agent.debug": Boolean = "false";
    /// Reads the configuration again each time the queues are looked at.
    "agent.reload_config": Boolean;
    /// Lets the worker end when it fails in a way that nobody has foreseen, in place of going on after a pause.
    "agent.crash_on_exception": Boolean = "false" [CRASH_ON_EXCEPTION];
    /// Does not look for a newer release when the worker starts.
    "agent.disable_agent_update_check": Boolean = "false" => Later;
    /// How the log file of a worker in the background is written: 1 line by line, 0 at once, -1 as the system likes,
    /// more than 1 in pieces of so many bytes.
    "agent.log_files_buffering": Integer = "1" => Later;
    /// Empties the file with a task's output after each report.
    "agent.truncate_task_output_files": Boolean = "false" => Later;
    /// Seconds between two signs of life that a running task gives the server; 0 gives none.
    "agent.task_ping_interval_sec": Number = "60";
    /// Of a progress line that overwrites itself, reports the last state only.
    "agent.suppress_carriage_return": Boolean = "true";
    /// Hours and days in which tasks are taken.
    "agent.uptime": List eg "[\"17-20 TUE\", \"08-12 SAT,SUN\"]";
    /// Hours and days in which no task is taken. Only one of the two may be given.
    "agent.downtime": List eg "[\"09-13 MON-FRI\"]";
    /// Seconds that a program gets to end by itself when its task is aborted or the agent ends: SIGTERM to it and all that it has
    /// started, SIGKILL when the time is over. 0 kills it at once, as the official agent does.
    "agent.stop_grace_period": Seconds = "0" eg "10";
    /// Puts a task back into its queue that was lost with its agent: the process that supervised it was killed, or the machine was
    /// restarted. It runs again from its beginning, so this is for tasks that may run twice. Otherwise it is marked as failed.
    "agent.requeue_on_agent_loss": Boolean = "false";
    /// While a task runs, fetches what those that wait in the worker's queues will need: code, packages into the store. It does
    /// not take them from their queues, and tells the server nothing.
    "agent.prefetch.enabled": Boolean = "true";
    /// How many waiting tasks are looked at, those first that come next.
    "agent.prefetch.tasks": Integer = "3";
    /// Most seconds that the program which is called when a task is aborted may take, whatever the task allows it.
    "agent.abort_callback_max_timeout": Seconds;
    /// Gives a task the variables of its own `Environment` parameters.
    "agent.enable_task_env": Boolean;
    /// Gives the section `environment` to the agent and its tasks.
    "agent.apply_environment": Boolean [ENABLE_ENV_CONFIG_SECTION];
    /// Writes the files of the section `files`.
    "agent.apply_files": Boolean [ENABLE_FILES_CONFIG_SECTION];
    /// Program that makes the environment of a task in the agent's place. Empty: none. Beats its variable.
    "agent.custom_build_script": Text [CUSTOM_BUILD_SCRIPT];
    /// Fetches no code anew; usually set by `--standalone-mode`.
    "agent.standalone_mode": Boolean = "false";
    /// Version of CUDA, `12.4` or `124`, in place of the one that is found.
    "agent.cuda_version": TextOrNumber = "(found on the machine)" [CUDA_VERSION] eg "\"12.4\"";
    /// The same for cuDNN.
    "agent.cudnn_version": TextOrNumber = "(found on the machine)" [CUDNN_VERSION] eg "\"9.1\"";
    /// With `--dynamic-gpus`: gives a GPU only where the driver says that no program computes on it and that its load
    /// is at most so many percent. Unset: the driver is asked for programs of tasks alone.
    "agent.gpu_idle_threshold": Number eg "5";
    /// Nothing reads it; the option `--cpu-only` does what it says.
    "agent.cpu_only": Boolean = "(absent)" [CPU_ONLY] eg "false" => Ignored;
};

pub(super) const GIT: Group = group! { "Git and repositories":
    /// User for git over https. With a password, ssh URLs are called over https.
    "agent.git_user": Text [GIT_USER];
    /// Password or token for git over https.
    "agent.git_pass": Text [GIT_PASS];
    /// The only host that gets this user and password.
    "agent.git_host": Text [GIT_HOST] eg "\"github.com\"";
    /// Compares hosts with the beginning of the whole URL, so that one may be `https://github.com/mine`.
    "agent.git_host_match_prefix": Boolean = "false";
    /// User, password and host for further hosts. The first entry that fits is used, also before the user above.
    "agent.git.extra_credentials": Objects = "[]"
        eg "[{ \"user\": \"me\", \"pass\": \"token\", \"host\": \"gitlab.example.org\" }]";
    /// Sends the password to Azure DevOps as a bearer token.
    "agent.git_use_ms_entra_token": Boolean = "false" [GIT_USE_MS_ENTRA_TOKEN];
    /// Sends the password to Azure DevOps as a personal access token.
    "agent.git_use_azure_pat": Boolean = "false" [GIT_USE_AZURE_PAT];
    /// Clones over ssh, with the keys of this user, whatever the task's URL says.
    "agent.force_git_ssh_protocol": Boolean;
    /// Port in URLs that became ssh URLs; 0 puts none.
    "agent.force_git_ssh_port": Integer = "0";
    /// User in URLs that became ssh URLs.
    "agent.force_git_ssh_user": Text = "\"git\"";
    /// What follows `git fetch` when a known repository is brought up to date.
    "agent.git_fetch_args": List;
    /// Hands the password to git when it asks, in place of writing it into the URL. This program always does so.
    "agent.enable_git_ask_pass": Boolean = "true" => Ignored;
    /// Lets an ssh URL be called over https where there is a user and a password for its host.
    "agent.translate_ssh": Boolean;
    /// Scheme that an ssh URL gets when it is called with user and password.
    "agent.translate_ssl_replacement_scheme": Text [SSH_URL_REPLACEMENT_SCHEME];
    /// Lets the program import from the root of its repository too, not only from its working folder.
    "agent.force_git_root_python_path": Boolean = "false";
    /// Keeps a copy of each repository for the next task.
    "agent.vcs_cache.enabled": Boolean;
    /// Folder of these copies.
    "agent.vcs_cache.path": Path;
    /// Makes a copy anew that cannot be brought up to date.
    "agent.vcs_cache.clone_on_pull_fail": Boolean = "false";
    /// User for Mercurial.
    "agent.hg_user": Text [GIT_USER] => Later;
    /// Password for Mercurial.
    "agent.hg_pass": Text [GIT_PASS] => Later;
    /// The only host that gets them.
    "agent.hg_host": Text [GIT_HOST] => Later;
    /// User, password and host for further Mercurial hosts.
    "agent.hg.extra_credentials": Objects = "[]" => Later;
};

pub(super) const PRINTING: Group = group! { "What is not printed":
    /// Patterns of keys whose value is printed as stars.
    "agent.sanitize_config_printout.hide_secrets": Patterns;
    /// Patterns of keys whose members are printed with stars for values.
    "agent.sanitize_config_printout.hide_secrets_recursive": Patterns;
    /// Patterns of keys that are printed although one of the above fits.
    "agent.sanitize_config_printout.dont_hide_secrets": Patterns;
    /// Patterns of keys that hold arguments for docker, in which secret variables are starred.
    "agent.sanitize_config_printout.docker_commands": Patterns;
    /// Patterns of keys that hold URLs, in which passwords are starred.
    "agent.sanitize_config_printout.urls": Patterns;
    /// Stars the values of secret variables in docker commands.
    "agent.hide_docker_command_env_vars.enabled": Boolean;
    /// Further variables that are secret.
    "agent.hide_docker_command_env_vars.extra_keys": List [DOCKER_ARGS_HIDE_ENV];
    /// Stars passwords of URLs inside other values too.
    "agent.hide_docker_command_env_vars.parse_embedded_urls": Boolean;
};

pub(super) const MONITORING: Group = group! { "Reports about the machine":
    /// Load that is reported for a GPU that does not tell its load; null reports nothing.
    "agent.resource_monitoring.default_gpu_utilization": Integer = "100";
    /// The file system whose free space is reported.
    "agent.resource_monitoring.disk_use_path": Path = "(the user's folder)" eg "\"~\"";
    /// Seconds between two reports about a cluster; for servers of the paid editions.
    "agent.resource_monitoring.cluster_report_interval_sec": Integer = "60" => Later;
    /// Name of the cluster in these reports.
    "agent.resource_dashboard.default_cluster_name": Text = "\"onprem\"" => Later;
};

/// Keys of other releases, which files may hold.
pub(super) const OTHER_RELEASES: Group = group! { "Keys of other releases":
    /// Network use of tasks; read by the official agent after 3.0.3.
    "agent.snug.*": Any => Ignored;
    /// Reservations of GPUs that are shared out; read by the official agent after 3.0.3.
    "agent.dynamic_gpus_reservation_timeout_sec": Number => Ignored;
    /// Variables of the configuration for uv; read by the official agent after 3.0.3.
    "agent.package_manager.uv_apply_environment": Boolean => Ignored;
    /// A forerunner of the environment cache; read by old releases of the official agent.
    "agent.venv_update.*": Any => Ignored;
};
