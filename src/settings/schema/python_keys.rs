//! The keys about Python, its packages and environments.

use super::{Group, group};

pub(super) const PYTHON: Group = group! { "Python and packages":
    /// Python to make environments of. Empty: one of the version that the task was made with.
    "agent.python_binary": Text;
    /// Version for tasks that name none. Quotes matter: 3.10 without them is the number 3.1.
    "agent.default_python": TextOrNumber = "(the version of python3)" eg "\"3.12\"";
    /// Takes the version above for every task.
    "agent.ignore_requested_python_version": Boolean = "false";
    /// `existing` runs tasks in an environment that is there and installs nothing. A task's user property `environment` beats it.
    "agent.environment.mode": Choice("build", "existing") = "\"build\"";
    /// Interpreter of that environment. Empty: the active one (`VIRTUAL_ENV`, `CONDA_PREFIX`), else as above.
    "agent.environment.python": Path eg "\"/opt/venv/bin/python\"";
    /// Program that installs packages.
    "agent.package_manager.type": Choice("pip", "conda", "poetry", "uv");
    /// Versions of pip, each with the versions of Python that it is for.
    "agent.package_manager.pip_version": ListOrText;
    /// Version of poetry.
    "agent.package_manager.poetry_version": Text eg "\"<3\"";
    /// Further arguments of `poetry install`.
    "agent.package_manager.poetry_install_extra_args": List eg "[\"-v\"]";
    /// Looks for poetry's files in the task's working folder, not in the root of its repository.
    "agent.package_manager.poetry_files_from_repo_working_dir": Boolean;
    /// Version of uv.
    "agent.package_manager.uv_version": Text eg "\">=0.8\"";
    /// Further arguments of `uv sync`.
    "agent.package_manager.uv_sync_extra_args": List eg "[\"--all-extras\"]";
    /// Further arguments of `uv run`.
    "agent.package_manager.uv_run_extra_args": List eg "[\"--all-extras\"]";
    /// uv installs what tasks ask for in any case: its environments have no pip.
    "agent.package_manager.uv_replace_pip": Boolean = "false" => Ignored;
    /// Lets uv change nothing in a lock file that is there.
    "agent.package_manager.uv_sync_locked_if_lock_file": Boolean;
    /// Lets uv take the best version of all indexes, not that of the first index that has the package.
    "agent.package_manager.uv_unsafe_best_match": Boolean = "false";
    /// Looks for uv's files in the task's working folder, not in the root of its repository.
    "agent.package_manager.uv_files_from_repo_working_dir": Boolean;
    /// Lets environments use what is installed in Python itself.
    "agent.package_manager.system_site_packages": Boolean;
    /// Installs the newest versions that fit.
    "agent.package_manager.force_upgrade": Boolean;
    /// Package indexes beside PyPI, before those of the task. Passwords in the URLs are not printed.
    "agent.package_manager.extra_index_url": ListOrText = "[]"
        eg "[\"https://user:password@pypi.example.org/simple\"]";
    /// Further arguments of every `pip install`.
    "agent.package_manager.extra_pip_install_flags": List [EXTRA_PIP_INSTALL_FLAGS] eg "[\"--no-warn-conflicts\"]";
    /// Versions of pip that are told to use their older resolver.
    "agent.package_manager.pip_legacy_resolver": List;
    /// How torch is found: by the index of the CUDA version, by the URL of a wheel, or like every package.
    "agent.package_manager.pytorch_resolve": Choice("pip", "direct", "none") = "\"pip\"" [PACKAGE_PYTORCH_RESOLVE];
    /// Allows nightly builds of torch.
    "agent.package_manager.torch_nightly": Boolean;
    /// Index of torch; the braces stand for the version of CUDA.
    "agent.package_manager.extra_index_url_template": Text = "\"https://download.pytorch.org/whl/cu{}/\"";
    /// The same for nightly builds.
    "agent.package_manager.nightly_extra_index_url_template": Text
        = "\"https://download.pytorch.org/whl/nightly/cu{}/\"";
    /// Index of torch for ROCm.
    "agent.package_manager.rocm_extra_index_url_template": Text
        = "\"https://download.pytorch.org/whl/rocm{}.{}/\"";
    /// The same for nightly builds.
    "agent.package_manager.nightly_rocm_extra_index_url_template": Text
        = "\"https://download.pytorch.org/whl/nightly/rocm{}.{}/\"";
    /// Page with links to old wheels of torch.
    "agent.package_manager.torch_page": Text = "(built in)";
    /// The same for nightly builds.
    "agent.package_manager.torch_nightly_page": Text = "(built in)";
    /// Pattern of the URL of an old wheel of torch.
    "agent.package_manager.torch_url_template": Text = "(built in)" => Ignored;
    /// What stands before that URL.
    "agent.package_manager.torch_url_template_prefix": Text = "(built in)" => Ignored;
    /// Channels of conda.
    "agent.package_manager.conda_channels": List;
    /// Writes the packages of a conda environment to the task after its run.
    "agent.package_manager.conda_full_env_update": Boolean = "false";
    /// Takes the task's container for the path of a conda environment, or of a packed one, and installs nothing into it.
    "agent.package_manager.conda_env_as_base_docker": Boolean = "false";
    /// Installs into conda's base environment; meant for containers.
    "agent.package_manager.use_conda_base_env": Boolean = "false" [USE_CONDA_BASE_ENV];
    /// Installs the repository's requirements.txt in place of the packages that the task names.
    "agent.package_manager.force_repo_requirements_txt": Boolean = "false";
    /// Installs the packages that the task was first recorded with.
    "agent.package_manager.force_original_requirements": Boolean = "false";
    /// Of the packages to install, those that come before all others.
    "agent.package_manager.priority_packages": List eg "[\"cython\", \"numpy\", \"setuptools\"]";
    /// The same, and no harm is done where one cannot be installed.
    "agent.package_manager.priority_optional_packages": List;
    /// Of the packages to install, those that come after all others.
    "agent.package_manager.post_packages": List eg "[\"horovod\"]";
    /// The same, and no harm is done where one cannot be installed.
    "agent.package_manager.post_optional_packages": List eg "[]";
    /// Folder of the tasks' environments. The second agent of a machine uses this name with `.1`, and so on.
    "agent.venvs_dir": Path;
    /// Folder of environments that an official agent has kept: they are used. Empty: no environments are kept, in `agent.store.path` neither.
    "agent.venvs_cache.path": Path [VENV_CACHE_PATH];
    /// How many the official agent keeps.
    "agent.venvs_cache.max_entries": Integer => Ignored;
    /// Gigabytes that stay free; 0 does not look. Counts where `agent.store.free_space_threshold_gb` is not set.
    "agent.venvs_cache.free_space_threshold_gb": Number;
    /// Seconds to wait while another agent uses cache or store.
    "agent.venvs_cache.lock_timeout": Number eg "30.0";
    /// Folder of finished environments, kept for tasks with the same packages: an absolute path. Empty: none are kept.
    "agent.store.path": Path = "\"~/.clearml/store\"";
    /// How many are kept, at least one.
    "agent.store.max_entries": Integer = "20";
    /// Gigabytes that they may take; 0 for no limit.
    "agent.store.max_size_gb": Number = "0";
    /// Gigabytes that stay free; 0 does not look. By default those of `agent.venvs_cache`.
    "agent.store.free_space_threshold_gb": Number eg "2.0";
    /// Keeps environments of tasks in containers as well, in folders below `agent.store.path` that containers see and write to.
    "agent.store.containers": Boolean = "true";
    /// Keeps downloaded packages.
    "agent.pip_download_cache.enabled": Boolean;
    /// Folder of these packages.
    "agent.pip_download_cache.path": Path;
};
