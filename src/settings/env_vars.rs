//! Every environment variable that the agent reads, sets or removes, each documented once (F-210).

/// A variable, its older names and what it does.
#[derive(Debug)]
pub struct Variable {
    /// The name under which it is documented.
    pub name: &'static str,
    /// Other names, tried in this order where the one before is not set or empty.
    pub aliases: &'static [&'static str],
    /// How its text is read.
    pub kind: VariableKind,
    /// What it does.
    pub meaning: &'static str,
}

/// How the text of a variable is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableKind {
    /// As it is.
    Text,
    /// A boolean word; another word ends the program (F-072).
    Boolean,
    /// A boolean word; another word is reported and the default is used (F-072).
    SessionBoolean,
    /// Any text means true, even `0` (F-072).
    Presence,
    /// Words of a shell line (F-073).
    Words,
    /// A whole number.
    Integer,
    /// A number, possibly with a fraction.
    Number,
    /// A file or folder.
    Path,
}

impl Variable {
    /// The name and the aliases in the order in which they are tried.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// What a dynamic variable's name begins with: `CLEARML_AGENT__AGENT__GIT_USER` is `agent.git_user` (F-080).
pub const DYNAMIC_PREFIX: &str = "CLEARML_AGENT__";

macro_rules! variables {
    ($($(#[doc = $meaning:literal])+ $constant:ident = $name:literal $(| $alias:literal)*, $kind:ident;)+) => {
        $(
            $(#[doc = $meaning])+
            pub const $constant: Variable = Variable {
                name: $name,
                aliases: &[$($alias),*],
                kind: VariableKind::$kind,
                meaning: concat!($($meaning),+),
            };
        )+

        /// All of them, in the order of the documentation.
        pub const ALL: &[Variable] = &[$($constant),+];
    };
}

variables! {
    /// Configuration file to read in place of `~/clearml.conf` (F-003); set for task processes.
    CONFIG_FILE = "CLEARML_CONFIG_FILE" | "TRAINS_CONFIG_FILE", Path;
    /// Folder of configuration files between the built-in defaults and the user's file (F-006).
    CONFIG_PATH = "CLEARML_CONFIG_PATH" | "TRAINS_CONFIG_PATH", Path;
    /// Sub-folder of the configuration folder: `default`, `demo` or `local` (F-006).
    CONFIG_ENVIRONMENT = "TRAINS_ENV", Text;
    /// Prints which configuration files are loaded (F-007).
    CONFIG_VERBOSE = "CLEARML_AGENT_CONFIG_VERBOSE", Presence;
    /// API server; beats `api.api_server`.
    API_HOST = "CLEARML_API_HOST" | "TRAINS_API_HOST", Text;
    /// Web server; beats `api.web_server`.
    WEB_HOST = "CLEARML_WEB_HOST" | "TRAINS_WEB_HOST", Text;
    /// File server; beats `api.files_server`.
    FILES_HOST = "CLEARML_FILES_HOST" | "TRAINS_FILES_HOST", Text;
    /// Access key; beats `api.credentials.access_key`.
    API_ACCESS_KEY = "CLEARML_API_ACCESS_KEY" | "TRAINS_API_ACCESS_KEY", Text;
    /// Secret key; beats `api.credentials.secret_key`.
    API_SECRET_KEY = "CLEARML_API_SECRET_KEY" | "TRAINS_API_SECRET_KEY", Text;
    /// Bearer token to use in place of any keys.
    AUTH_TOKEN = "CLEARML_AUTH_TOKEN", Text;
    /// Whether the API server's certificate is checked; beats `api.verify_certificate`.
    API_HOST_VERIFY_CERT = "CLEARML_API_HOST_VERIFY_CERT" | "TRAINS_API_HOST_VERIFY_CERT", SessionBoolean;
    /// Logs every API call.
    API_VERBOSE = "CLEARML_API_VERBOSE" | "TRAINS_API_VERBOSE", SessionBoolean;
    /// HTTP method of ordinary calls: GET, POST or PUT.
    API_DEFAULT_REQ_METHOD = "CLEARML_API_DEFAULT_REQ_METHOD", Text;
    /// `0` allows the public demo server where no server is configured.
    NO_DEFAULT_SERVER = "CLEARML_NO_DEFAULT_SERVER" | "TRAINS_NO_DEFAULT_SERVER", SessionBoolean;
    /// Upper limit of the API version in use.
    FORCE_MAX_API_VERSION = "CLEARML_AGENT_FORCE_MAX_API_VERSION", Text;
    /// Retries of the first connection: a number, true for four, false for the configured number.
    INITIAL_CONNECT_RETRY_OVERRIDE = "CLEARML_AGENT_INITIAL_CONNECT_RETRY_OVERRIDE", Text;
    /// Log level of connection problems during the first connection.
    CONNECT_LOG_LEVEL = "CLEARML_AGENT_URLLIB3_CONNECT_LEVEL", Text;
    /// Loads no configuration vaults (F-100).
    DISABLE_VAULT_SUPPORT = "CLEARML_AGENT_DISABLE_VAULT_SUPPORT", SessionBoolean;
    /// Applies the `environment` section; beats `agent.apply_environment` (F-090).
    ENABLE_ENV_CONFIG_SECTION = "CLEARML_AGENT_ENABLE_ENV_CONFIG_SECTION", SessionBoolean;
    /// Applies the `files` section; beats `agent.apply_files` (F-095).
    ENABLE_FILES_CONFIG_SECTION = "CLEARML_AGENT_ENABLE_FILES_CONFIG_SECTION", SessionBoolean;
    /// `execute` ends with the exit status of the task.
    PROPAGATE_EXITCODE = "CLEARML_AGENT_PROPAGATE_EXITCODE", SessionBoolean;
    /// How the nodes of one task report: -1, 1 or 2.
    MULTI_NODE_SINGLE_TASK = "CLEARML_MULTI_NODE_SINGLE_TASK", Integer;
    /// Prebuilt conda environment to run tasks in.
    CONDA_ENV_PACKAGE = "CLEARML_CONDA_ENV_PACKAGE" | "TRAINS_CONDA_ENV_PACKAGE", Path;
    /// Installs into the base conda environment; beats the key of that name.
    USE_CONDA_BASE_ENV = "CLEARML_USE_CONDA_BASE_ENV", SessionBoolean;
    /// The active virtual environment; removed for poetry and uv.
    VIRTUAL_ENV = "VIRTUAL_ENV", Path;
    /// The active conda environment; removed for poetry and uv.
    CONDA_PREFIX = "CONDA_PREFIX", Path;
    /// Whole identity of the worker; beats `agent.worker_id`.
    WORKER_ID = "CLEARML_WORKER_ID" | "TRAINS_WORKER_ID", Text;
    /// First part of generated worker identities; beats `agent.worker_name`.
    WORKER_NAME = "CLEARML_WORKER_NAME" | "TRAINS_WORKER_NAME", Text;
    /// Tags of the worker where no `--tags` is given.
    WORKER_TAGS = "CLEARML_WORKER_TAGS", Words;
    /// Uses no GPU, as `--cpu-only` does.
    CPU_ONLY = "CLEARML_CPU_ONLY" | "TRAINS_CPU_ONLY" | "CPU_ONLY", Boolean;
    /// CUDA version in place of the detected one.
    CUDA_VERSION = "CLEARML_CUDA_VERSION" | "TRAINS_CUDA_VERSION" | "CUDA_VERSION", Text;
    /// cuDNN version in place of the detected one.
    CUDNN_VERSION = "CLEARML_CUDNN_VERSION" | "TRAINS_CUDNN_VERSION" | "CUDNN_VERSION", Text;
    /// Lets an error during a task end the daemon; beats the key of that name.
    CRASH_ON_EXCEPTION = "CLEARML_AGENT_CRASH_ON_EXCEPTION", Boolean;
    /// Key of Amazon S3, handed to tasks.
    AWS_ACCESS_KEY_ID = "AWS_ACCESS_KEY_ID", Text;
    /// Secret of Amazon S3, handed to tasks.
    AWS_SECRET_ACCESS_KEY = "AWS_SECRET_ACCESS_KEY", Text;
    /// Region of Amazon S3, handed to tasks.
    AWS_DEFAULT_REGION = "AWS_DEFAULT_REGION", Text;
    /// Account of Azure storage, handed to tasks.
    AZURE_STORAGE_ACCOUNT = "AZURE_STORAGE_ACCOUNT", Text;
    /// Key of that account.
    AZURE_STORAGE_KEY = "AZURE_STORAGE_KEY", Text;
    /// Credentials file of Google storage, handed to tasks.
    GOOGLE_APPLICATION_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS", Path;
    /// Default container image, arguments may follow; inside a container it says that this is one.
    DOCKER_IMAGE = "CLEARML_DOCKER_IMAGE" | "TRAINS_DOCKER_IMAGE", Text;
    /// Names GPUs by variable in place of `--gpus`.
    DOCKER_SKIP_GPUS_FLAG = "CLEARML_DOCKER_SKIP_GPUS_FLAG" | "TRAINS_DOCKER_SKIP_GPUS_FLAG", Presence;
    /// User for git over https; beats `agent.git_user`.
    GIT_USER = "CLEARML_AGENT_GIT_USER" | "TRAINS_AGENT_GIT_USER", Text;
    /// Password or token for git over https; beats `agent.git_pass`.
    GIT_PASS = "CLEARML_AGENT_GIT_PASS" | "TRAINS_AGENT_GIT_PASS", Text;
    /// The only host that gets them; beats `agent.git_host`.
    GIT_HOST = "CLEARML_AGENT_GIT_HOST" | "TRAINS_AGENT_GIT_HOST", Text;
    /// Sends the git password as a bearer token to Azure DevOps.
    GIT_USE_MS_ENTRA_TOKEN = "CLEARML_AGENT_GIT_USE_MS_ENTRA_TOKEN", Boolean;
    /// Sends the git password as a personal access token to Azure DevOps.
    GIT_USE_AZURE_PAT = "CLEARML_AGENT_GIT_USE_AZURE_PAT", Boolean;
    /// Lets git report the progress of a clone.
    GIT_CLONE_VERBOSE = "CLEARML_AGENT_GIT_CLONE_VERBOSE", Boolean;
    /// Scheme of rewritten ssh URLs; beats `agent.translate_ssl_replacement_scheme`.
    SSH_URL_REPLACEMENT_SCHEME = "CLEARML_AGENT_SSH_URL_REPLACEMENT_SCHEME", Text;
    /// Whether git may ask; 0 unless set already.
    GIT_TERMINAL_PROMPT = "GIT_TERMINAL_PROMPT", Text;
    /// How git calls ssh; in batch mode unless set already.
    GIT_SSH_COMMAND = "GIT_SSH_COMMAND", Text;
    /// Program that answers git's questions for user and password.
    GIT_ASKPASS = "GIT_ASKPASS", Path;
    /// Socket of the ssh agent; passed into containers.
    SSH_AUTH_SOCK = "SSH_AUTH_SOCK", Path;
    /// Mounts no `~/.ssh` into containers.
    DISABLE_SSH_MOUNT = "CLEARML_AGENT_DISABLE_SSH_MOUNT", Boolean;
    /// Prints details of queue polling.
    DEBUG_GET_NEXT_TASK = "CLEARML_AGENT_DEBUG_GET_NEXT_TASK", Boolean;
    /// `docker` prints details of the container's set-up.
    DEBUG_INFO = "CLEARML_AGENT_DEBUG_INFO", Text;
    /// User under which tasks run.
    EXEC_USER = "CLEARML_AGENT_EXEC_USER" | "TRAINS_AGENT_EXEC_USER", Text;
    /// Folders added to the task's `PYTHONPATH`.
    EXTRA_PYTHON_PATH = "CLEARML_AGENT_EXTRA_PYTHON_PATH" | "TRAINS_AGENT_EXTRA_PYTHON_PATH", Text;
    /// `host:container` folder pair where the agent itself runs in a container.
    HOST_MOUNT = "CLEARML_AGENT_K8S_HOST_MOUNT" | "CLEARML_AGENT_DOCKER_HOST_MOUNT" | "TRAINS_AGENT_K8S_HOST_MOUNT" | "TRAINS_AGENT_DOCKER_HOST_MOUNT", Text;
    /// Folder of the environment cache; beats `agent.venvs_cache.path`.
    VENV_CACHE_PATH = "CLEARML_AGENT_VENV_CACHE_PATH", Path;
    /// Arguments of every container; replaces `agent.extra_docker_arguments`.
    EXTRA_DOCKER_ARGS = "CLEARML_AGENT_EXTRA_DOCKER_ARGS", Words;
    /// Labels of every container.
    EXTRA_DOCKER_LABELS = "CLEARML_AGENT_EXTRA_DOCKER_LABELS", Words;
    /// Address of this machine in place of the detected one.
    FORCE_HOST_MACHINE_IP = "CLEARML_AGENT_FORCE_HOST_MACHINE_IP", Text;
    /// Command that counts the children in services mode, one a line.
    CHILD_AGENTS_COUNT_CMD = "CLEARML_AGENT_CHILD_AGENTS_COUNT_CMD", Text;
    /// Patterns of the docker arguments that tasks may use; replaces `agent.docker_args_filters`.
    DOCKER_ARGS_FILTERS = "CLEARML_AGENT_DOCKER_ARGS_FILTERS", Words;
    /// Further variables whose values are masked in docker commands (F-165).
    DOCKER_ARGS_HIDE_ENV = "CLEARML_AGENT_DOCKER_ARGS_HIDE_ENV", Words;
    /// Leaves the pip version out of a container's configuration in standalone mode.
    STANDALONE_CONFIG_BC = "CLEARML_AGENT_STANDALONE_CONFIG_BC", Boolean;
    /// Command that runs when the task is aborted; removed before the task starts.
    ABORT_CALLBACK_CMD = "CLEARML_AGENT_ABORT_CALLBACK_CMD", Text;
    /// Copy of that command.
    ABORT_CALLBACK_CMD_REGISTERED = "CLEARML_AGENT_ABORT_CALLBACK_CMD_REGISTERED", Text;
    /// Its time limit in seconds, 180 unless set.
    ABORT_CALLBACK_TIMEOUT = "CLEARML_AGENT_ABORT_CALLBACK_TIMEOUT", Integer;
    /// What is installed as the agent in containers.
    FORCE_AGENT_REPO = "FORCE_CLEARML_AGENT_REPO" | "CLEARML_AGENT_DOCKER_AGENT_REPO", Text;
    /// Local file that is installed as the agent in containers.
    FORCE_LOCAL_AGENT_WHEEL = "FORCE_LOCAL_CLEARML_AGENT_WHEEL", Path;
    /// Restart policy of containers in services mode.
    SERVICES_DOCKER_RESTART = "CLEARML_AGENT_SERVICES_DOCKER_RESTART", Text;
    /// Whether environments in containers see the system's packages; true unless set.
    FORCE_SYSTEM_SITE_PACKAGES = "CLEARML_AGENT_FORCE_SYSTEM_SITE_PACKAGES", Boolean;
    /// Script that builds the environment; `agent.custom_build_script` beats it.
    CUSTOM_BUILD_SCRIPT = "CLEARML_AGENT_CUSTOM_BUILD_SCRIPT", Text;
    /// How torch is found: `pip`, `direct` or `none`; beats the key of that name.
    PACKAGE_PYTORCH_RESOLVE = "CLEARML_AGENT_PACKAGE_PYTORCH_RESOLVE", Text;
    /// Folder of the tasks' output files.
    TEMP_STDOUT_FILE_DIR = "CLEARML_AGENT_TEMP_STDOUT_FILE_DIR", Path;
    /// GPU fractions that are reported.
    GPU_FRACTIONS = "CLEARML_AGENT_GPU_FRACTIONS", Text;
    /// Seconds between two looks at the queues; beats `--polling-interval` and its minimum.
    QUEUE_POLL_FREQ_SEC = "CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", Number;
    /// Seconds between two status reports, 30 unless set.
    STATUS_REPORT_FREQ_SEC = "CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", Number;
    /// Flags of every pip install; beats the key of that name.
    EXTRA_PIP_INSTALL_FLAGS = "CLEARML_EXTRA_PIP_INSTALL_FLAGS", Words;
    /// Python to use in place of a new environment: true for the running one, or a path.
    SKIP_PIP_VENV_INSTALL = "CLEARML_AGENT_SKIP_PIP_VENV_INSTALL", Text;
    /// Installs nothing.
    SKIP_PYTHON_ENV_INSTALL = "CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL", Boolean;
    /// Folder with the code; nothing is cloned.
    FORCE_CODE_DIR = "CLEARML_AGENT_FORCE_CODE_DIR", Path;
    /// Entry point, with `folder:` in front where it runs elsewhere.
    FORCE_EXEC_SCRIPT = "CLEARML_AGENT_FORCE_EXEC_SCRIPT", Text;
    /// Uses poetry whatever `agent.package_manager.type` says.
    FORCE_POETRY = "CLEARML_AGENT_FORCE_POETRY", Boolean;
    /// Uses uv whatever `agent.package_manager.type` says.
    FORCE_UV = "CLEARML_AGENT_FORCE_UV", Boolean;
    /// Puts a call of `Task.init` into the script.
    FORCE_TASK_INIT = "CLEARML_AGENT_FORCE_TASK_INIT", Boolean;
    /// The uv program of the bootstrap package.
    BOOTSTRAP_UV_EXEC = "CLEARML_BOOTSTRAP_UV_EXEC", Path;
    /// Uses `PowerShell` on Windows.
    USE_POWERSHELL = "CLEARML_AGENT_USE_POWERSHELL", Presence;
    /// In a pod: does not install the agent again.
    NO_UPDATE = "CLEARML_AGENT_NO_UPDATE", Presence;
    /// In a pod: calls no apt.
    SKIP_CONTAINER_APT = "CLEARML_AGENT_SKIP_CONTAINER_APT", Presence;
    /// What the Kubernetes glue creates: `pod` or `job`.
    K8S_KIND = "CLEARML_K8S_GLUE_KIND", Text;
    /// Script that the glue writes inside the pod.
    K8S_START_AGENT_SCRIPT_PATH = "CLEARML_K8S_GLUE_START_AGENT_SCRIPT_PATH", Path;
    /// Arguments of `execute` inside the pod.
    K8S_EXECUTE_ARGS = "K8S_GLUE_DEF_EXEC_AGENT_ARGS", Text;
    /// What follows the agent's requirement inside the pod.
    K8S_AGENT_INSTALL_ARGS = "K8S_GLUE_POD_AGENT_INSTALL_ARGS", Text;
    /// Pod messages per log batch.
    K8S_LOG_BATCH_SIZE = "K8S_GLUE_POD_MONITOR_LOG_BATCH_SIZE", Integer;
    /// Does not put a preempted pod's task back into its queue.
    K8S_DISABLE_ENQUEUE_ON_PREEMPTION = "K8S_GLUE_POD_MONITOR_DISABLE_ENQUEUE_ON_PREEMPTION", Presence;
    /// Waiting reasons that fail a pod's task.
    K8S_EVICTION_REASONS = "K8S_GLUE_POD_MONITOR_EVICTION_REASONS", Words;
    /// Keeps the entry point of the pod's image.
    K8S_USE_IMAGE_ENTRYPOINT = "K8S_GLUE_POD_USE_IMAGE_ENTRYPOINT", Presence;
    /// Pattern of errors of kubectl that do not matter.
    K8S_IGNORE_KUBECTL_ERROR = "K8S_GLUE_IGNORE_KUBECTL_ERROR", Text;
    /// System tags of the scheduler's queue.
    K8S_SCHEDULER_QUEUE_TAGS = "K8S_GLUE_DEFAULT_SCHEDULER_QUEUE_TAGS", Words;
    /// Minutes for which finished pods are kept.
    K8S_POD_DELETION_DELAY_MINUTES = "K8S_GLUE_COMPLETED_POD_DELETION_DELAY_MINUTES", Number;
    /// Set inside a Kubernetes cluster, where `--gpus` changes nothing (F-115).
    KUBERNETES_SERVICE_HOST = "KUBERNETES_SERVICE_HOST", Text;
    /// Set inside a Kubernetes cluster, where `--gpus` changes nothing (F-115).
    KUBERNETES_PORT = "KUBERNETES_PORT", Text;
    /// The GPUs in use; a folder's entries may name them.
    NVIDIA_VISIBLE_DEVICES = "NVIDIA_VISIBLE_DEVICES", Text;
    /// The GPUs in use, where the variable before is not set.
    CUDA_VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES", Text;
    /// Always `PCI_BUS_ID` (F-114).
    CUDA_DEVICE_ORDER = "CUDA_DEVICE_ORDER", Text;
    /// Folder of `nvcc` on Windows.
    CUDA_PATH = "CUDA_PATH", Path;
    /// Folder of `ROCm`, `/opt/rocm` unless set.
    ROCM_PATH = "ROCM_PATH", Path;
    /// The GPUs of a `ROCm` container.
    HIP_VISIBLE_DEVICES = "HIP_VISIBLE_DEVICES", Text;
    /// The GPUs of a `ROCm` container.
    ROCR_VISIBLE_DEVICES = "ROCR_VISIBLE_DEVICES", Text;
    /// Rank of this node.
    RANK = "RANK", Integer;
    /// Rank of this node where the variable before is not set.
    SLURM_PROCID = "SLURM_PROCID", Integer;
    /// Shell for tasks that are shell scripts.
    SHELL = "SHELL", Path;
    /// The user's folder, which `~` stands for.
    HOME = "HOME", Path;
    /// Where Python looks for modules; the task gets further folders.
    PYTHONPATH = "PYTHONPATH", Text;
    /// Encoding of Python's streams; UTF-8 where the file system's is ASCII.
    PYTHONIOENCODING = "PYTHONIOENCODING", Text;
    /// Proxy for http.
    HTTP_PROXY = "HTTP_PROXY" | "http_proxy", Text;
    /// Proxy for https.
    HTTPS_PROXY = "HTTPS_PROXY" | "https_proxy", Text;
    /// Proxy for everything.
    ALL_PROXY = "ALL_PROXY" | "all_proxy", Text;
    /// Hosts that are reached without a proxy.
    NO_PROXY = "NO_PROXY" | "no_proxy", Text;
    /// File of trusted certificates for the API server.
    REQUESTS_CA_BUNDLE = "REQUESTS_CA_BUNDLE" | "CURL_CA_BUNDLE", Path;
    /// File of trusted certificates inside containers.
    SSL_CERT_FILE = "SSL_CERT_FILE", Path;
    /// The task, for its own process and containers.
    TASK_ID = "CLEARML_TASK_ID" | "TRAINS_TASK_ID", Text;
    /// Log level of the task's process.
    LOG_LEVEL = "CLEARML_LOG_LEVEL" | "TRAINS_LOG_LEVEL", Text;
    /// 0: the agent sends the console, not the task's process.
    LOG_TASK_TO_BACKEND = "CLEARML_LOG_TASK_TO_BACKEND" | "TRAINS_LOG_TASK_TO_BACKEND", Text;
    /// Set in containers of services mode.
    SERVICE_TASK = "CLEARML_AGENT_SERVICE_TASK", Text;
    /// Address of the host, in containers with published ports.
    HOST_IP = "CLEARML_AGENT_HOST_IP", Text;
    /// The task as JSON, for the build script.
    CUSTOM_BUILD_TASK_CONFIG_JSON = "CLEARML_CUSTOM_BUILD_TASK_CONFIG_JSON", Text;
    /// Where the build script writes its answer.
    CUSTOM_BUILD_OUTPUT = "CLEARML_CUSTOM_BUILD_OUTPUT", Path;
    /// Entry point of the task, for the build script.
    TASK_SCRIPT_ENTRY = "CLEARML_TASK_SCRIPT_ENTRY", Path;
    /// Working folder of the task, for the build script.
    TASK_WORKING_DIR = "CLEARML_TASK_WORKING_DIR", Path;
    /// Folder of the environment, for the build script.
    VENV_PATH = "CLEARML_VENV_PATH", Path;
    /// Folder of the repository, for the build script.
    GIT_ROOT = "CLEARML_GIT_ROOT", Path;
    /// Packages to install when the container starts; removed before the task starts.
    APT_INSTALL = "CLEARML_APT_INSTALL" | "TRAINS_APT_INSTALL", Words;
    /// Cache of uv; removed before the task starts.
    UV_CACHE_DIR = "UV_CACHE_DIR", Path;
    /// Python downloads of uv; removed before the task starts.
    UV_PYTHON_CACHE_DIR = "UV_PYTHON_CACHE_DIR", Path;
    /// Interpreters of uv; removed before the task starts.
    UV_PYTHON_INSTALL_DIR = "UV_PYTHON_INSTALL_DIR", Path;
    /// How uv chooses between indexes.
    UV_INDEX_STRATEGY = "UV_INDEX_STRATEGY", Text;
    /// Header value that gives git an Azure token.
    AZURE_PAT_HEADER_VALUE = "AZURE_PAT_HEADER_VALUE", Text;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_is_documented_twice() {
        let mut seen = BTreeSet::new();
        for name in ALL.iter().flat_map(Variable::names) {
            assert!(seen.insert(name), "{name} stands in two places");
        }
    }

    /// F-210
    #[test]
    fn every_variable_of_the_reference_that_has_an_effect_is_documented() {
        #[derive(serde::Deserialize)]
        struct Table {
            variables: Vec<Row>,
        }
        #[derive(serde::Deserialize)]
        struct Row {
            name: String,
            aliases: Vec<String>,
            direction: String,
        }
        let table: Table =
            serde_json::from_str(include_str!("../../tests/data/settings/env-vars.json"))
                .expect("the table is JSON");
        let known: BTreeSet<&str> = ALL.iter().flat_map(Variable::names).collect();
        let missing: Vec<_> = table
            .variables
            .iter()
            .filter(|row| !matches!(&*row.direction, "dead" | "set in container"))
            .flat_map(|row| std::iter::once(&row.name).chain(&row.aliases))
            .filter(|name| !name.contains('<') && !known.contains(name.as_str()))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
