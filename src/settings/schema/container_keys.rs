//! The keys about containers.

use super::{Group, group};

pub(super) const CONTAINERS: Group = group! { "Containers":
    /// Image for tasks that name none; arguments for docker may follow it.
    "agent.default_docker.image": Text [DOCKER_IMAGE];
    /// Arguments for docker for tasks that name no image.
    "agent.default_docker.arguments": ListOrText eg "[\"--ipc=host\"]";
    /// Writes the image that was chosen into the task.
    "agent.default_docker.update_back_task": Boolean;
    /// Images by properties of a task: the first rule whose `match` fits is used. For servers of the paid editions.
    "agent.default_docker.match_rules": Objects;
    /// Ignores the image and the arguments that a task names.
    "agent.disable_task_docker_override": Boolean;
    /// Arguments for docker for every container.
    "agent.extra_docker_arguments": ListOrText [EXTRA_DOCKER_ARGS]
        eg "[\"--ipc=host\", \"-v\", \"/mnt/data:/mnt/data\"]";
    /// Lets these arguments win over the task's where both give the same one.
    "agent.docker_args_extra_precedes_task": Boolean = "true";
    /// Arguments of a task that are dropped where the ones above give them too.
    "agent.protected_docker_extra_args": List = "[\"privileged\", \"security-opt\", \"network\", \"ipc\"]";
    /// Patterns of the arguments that a task may give; without any, all.
    "agent.docker_args_filters": Patterns [DOCKER_ARGS_FILTERS] eg "[\"^--env$\", \"^-e$\"]";
    /// Arguments that nobody may give; the task's console says so.
    "agent.forbidden_docker_args": List;
    /// First and last port of this machine that published ports are moved to.
    "agent.docker_args_allowed_port_range": List = "[]" eg "[10000, 11000]";
    /// Lets a task hand on variables of this machine with `-e NAME=$NAME`.
    "agent.docker_allow_host_environ": Boolean = "false";
    /// Shell commands that run in the container before the task.
    "agent.extra_docker_shell_script": ListOrText eg "[\"apt-get install -y bindfs\"]";
    /// Shell commands in place of those that prepare a container.
    "agent.docker_init_bash_script": ListOrText eg "[\"echo ready\"]";
    /// Shell commands before those that prepare a container.
    "agent.docker_preprocess_bash_script": ListOrText eg "[\"echo hello\"]";
    /// Installs the graphics libraries that OpenCV needs.
    "agent.docker_install_opencv_libs": Boolean = "true";
    /// Does not let containers see `~/.ssh`.
    "agent.disable_ssh_mount": Boolean = "false" [DISABLE_SSH_MOUNT];
    /// Calls `docker pull` before each task.
    "agent.docker_force_pull": Boolean;
    /// Name of containers, made of `{task_id}`, `{worker_id}` and `{rand_string}`.
    "agent.docker_container_name_format": Text eg "\"clearml-id-{task_id}-{rand_string:.8}\"";
    /// Further parts for this name: each with the field of the task that it stands for.
    "agent.docker_container_name_format_fields": Object eg "{ \"project\": \"project\" }";
    /// The program that runs tasks in containers: a static build of the agent. Empty: `clearml-agent-runner` beside the agent,
    /// else the agent itself.
    "agent.docker_runner": Path eg "\"/opt/clearml/clearml-agent-runner\"";
    /// Installs into the environment that is active in a container, in place of making one.
    "agent.docker_use_activated_venv": Boolean = "true";
    /// Folder of this machine that is pip's cache in containers.
    "agent.docker_pip_cache": Path;
    /// Folder of this machine that is apt's cache in containers. The second agent uses this name with `.1`.
    "agent.docker_apt_cache": Path;
    /// Folder of this machine that is poetry's cache in containers.
    "agent.docker_poetry_cache": Path = "\"~/.clearml/poetry-cache\"";
    /// Gives the container the variables of the vault of the task's owner; with `--use-owner-token`.
    "agent.docker_apply_environment_from_vault": Boolean;
    /// Place of the bootstrap package in a container.
    "agent.docker_internal_mounts.bootstrap_folder": Path => Later;
    /// Place of its cache.
    "agent.docker_internal_mounts.bootstrap_cache": Path => Later;
    /// Place of the SDK's cache.
    "agent.docker_internal_mounts.sdk_cache": Path;
    /// Place of apt's cache.
    "agent.docker_internal_mounts.apt_cache": Path;
    /// Place of the ssh keys that the task uses.
    "agent.docker_internal_mounts.ssh_folder": Path;
    /// Place of this machine's ssh keys, from which they are copied.
    "agent.docker_internal_mounts.ssh_ro_folder": Path;
    /// Place of pip's cache.
    "agent.docker_internal_mounts.pip_cache": Path;
    /// Place of poetry's cache.
    "agent.docker_internal_mounts.poetry_cache": Path;
    /// Place of the copies of repositories.
    "agent.docker_internal_mounts.vcs_cache": Path;
    /// Place of finished environments.
    "agent.docker_internal_mounts.venvs_cache": Path;
    /// Place of the task's environment.
    "agent.docker_internal_mounts.venv_build": Path;
    /// Place of downloaded packages.
    "agent.docker_internal_mounts.pip_download": Path;
};

pub(super) const BOOTSTRAP: Group = group! { "The bootstrap package of containers":
    /// Prepares containers with the bootstrap package where it is installed.
    "agent.bootstrap.use_bootstrap": Boolean => Later;
    /// Looks for a newer release of it when the worker starts.
    "agent.bootstrap.check_for_latest": Boolean => Later;
    /// Seconds that this may take.
    "agent.bootstrap.check_for_latest_timeout": Integer => Later;
    /// Unpacks it each time the worker starts.
    "agent.bootstrap.always_update": Boolean = "false" => Later;
    /// Folder that it is unpacked to.
    "agent.bootstrap.host_bootstrap_dir": Path => Later;
    /// Folder of its cache. Empty: none.
    "agent.bootstrap.host_bootstrap_cache_dir": Path => Later;
    /// Installs no git where the container has one.
    "agent.bootstrap.skip_git_installation": Boolean => Later;
    /// Uses the git of the package although the container has one.
    "agent.bootstrap.always_use_static_git": Boolean => Later;
    /// Tries to install the package `ca-certificates` in every container.
    "agent.bootstrap.always_install_ca_cert": Boolean => Later;
    /// File with further certificates to trust in containers.
    "agent.bootstrap.map_external_ssl_cert": Path eg "\"/etc/ssl/company.pem\"" => Later;
    /// List of Python builds for uv: a file or a URL.
    "agent.bootstrap.uv_python_meta_file": Path eg "\"/srv/python/download-metadata.json\"" => Later;
    /// Version of Python that uv installs.
    "agent.bootstrap.uv_def_python_ver": Text eg "\"3.12\"" => Later;
    /// Lets uv bring itself up to date.
    "agent.bootstrap.auto_update_uv_bin": Boolean => Later;
    /// Address of a mirror of GitHub for this.
    "agent.bootstrap.auto_update_uv_url_gh": Text => Later;
    /// Address of a GitHub Enterprise for this.
    "agent.bootstrap.auto_update_uv_url_ghe": Text => Later;
    /// Lets uv trust what the system trusts.
    "agent.bootstrap.uv_use_builtin_tls": Boolean => Later;
    /// Hosts whose certificate uv does not check; true for all.
    "agent.bootstrap.uv_insecure": BooleanOrText => Later;
    /// Lets git check no certificates.
    "agent.bootstrap.git_insecure": Boolean => Later;
    /// uv's index in place of PyPI.
    "agent.bootstrap.uv_default_index_url": Text => Later;
    /// uv's further indexes.
    "agent.bootstrap.uv_index_url": Text => Later;
};
