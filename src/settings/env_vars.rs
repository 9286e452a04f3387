//! Every environment variable that the agent reads, sets or removes, each documented once (F-210).

use super::schema::{State, optional, state};

/// A variable, its older names and what it does.
#[derive(Debug)]
pub struct Variable {
    /// The name under which it is documented.
    pub name: &'static str,
    /// Other names, tried in this order where the one before is not set or empty.
    pub aliases: &'static [&'static str],
    /// How its text is read.
    pub kind: VariableKind,
    /// What holds where it is not set, in words of the documentation.
    pub default: Option<&'static str>,
    /// What the agent does with it; nothing where the state says so.
    pub uses: &'static [Use],
    /// How far this program does what the meaning says.
    pub state: State,
    /// What it does.
    pub meaning: &'static str,
}

/// What the agent does with a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Reads it.
    Read,
    /// Sets it, for itself, for git or for tasks.
    Set,
    /// Takes it away before the task starts.
    Removed,
    /// Sets it in containers.
    SetInContainer,
    /// Reads it inside a container.
    ReadInContainer,
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
    /// What it does, for people: without the requirement that the source names.
    pub fn text(&self) -> String {
        let mut text = self.meaning.trim().to_owned();
        while let Some(start) = text.find(" (").filter(|start| is_id(&text[start + 2..])) {
            let end = text[start..]
                .find(')')
                .map_or(text.len(), |end| start + end + 1);
            text.replace_range(start..end, "");
        }
        text
    }

    /// The name and the aliases in the order in which they are tried.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// Whether a text begins with the number of a requirement, such as `F-003`.
fn is_id(text: &str) -> bool {
    let mut characters = text.chars();
    characters
        .next()
        .is_some_and(|letter| letter.is_ascii_uppercase())
        && characters.next() == Some('-')
}

/// What a dynamic variable's name begins with: `CLEARML_AGENT__AGENT__GIT_USER` is `agent.git_user` (F-080).
pub const DYNAMIC_PREFIX: &str = "CLEARML_AGENT__";

// A row: what it means, its constant and names, the kind (`= default`), the uses, and the state where it is not `InUse`.
macro_rules! variables {
    ($(
        $(#[doc = $meaning:literal])+
        $constant:ident = $name:literal $(| $alias:literal)*,
        $kind:ident $(= $default:literal)?, $($use:ident)* $(=> $state:ident)?;
    )+) => {
        $(
            $(#[doc = $meaning])+
            pub const $constant: Variable = Variable {
                name: $name,
                aliases: &[$($alias),*],
                kind: VariableKind::$kind,
                default: optional!($($default)?),
                uses: &[$(Use::$use),*],
                state: state!($($state)?),
                meaning: concat!($($meaning),+),
            };
        )+

        /// All of them, in the order of the documentation.
        pub const ALL: &[Variable] = &[$($constant),+];
    };
}

variables! {
    /// Configuration file to read in place of `~/clearml.conf` (F-003); set for task processes.
    CONFIG_FILE = "CLEARML_CONFIG_FILE" | "TRAINS_CONFIG_FILE", Path = "~/clearml.conf", Read Set;
    /// Folder of configuration files between the built-in defaults and the user's file (F-006).
    CONFIG_PATH = "CLEARML_CONFIG_PATH" | "TRAINS_CONFIG_PATH", Path, Read;
    /// Sub-folder of the configuration folder: `default`, `demo` or `local` (F-006).
    CONFIG_ENVIRONMENT = "TRAINS_ENV", Text = "default", Read;
    /// Prints which configuration files are loaded (F-007).
    CONFIG_VERBOSE = "CLEARML_AGENT_CONFIG_VERBOSE", Presence, Read;
    /// Any key of the configuration: two underscores stand for the dot, the value is written as in a file.
    DYNAMIC = "CLEARML_AGENT__<SECTION>__<KEY>", Text, Read;
    /// API server; beats `api.api_server`.
    API_HOST = "CLEARML_API_HOST" | "TRAINS_API_HOST", Text, Read;
    /// Web server; beats `api.web_server`.
    WEB_HOST = "CLEARML_WEB_HOST" | "TRAINS_WEB_HOST", Text, Read;
    /// File server; beats `api.files_server`.
    FILES_HOST = "CLEARML_FILES_HOST" | "TRAINS_FILES_HOST", Text, Read;
    /// Access key; beats `api.credentials.access_key`.
    API_ACCESS_KEY = "CLEARML_API_ACCESS_KEY" | "TRAINS_API_ACCESS_KEY", Text, Read;
    /// Secret key; beats `api.credentials.secret_key`.
    API_SECRET_KEY = "CLEARML_API_SECRET_KEY" | "TRAINS_API_SECRET_KEY", Text, Read;
    /// Bearer token to use in place of any keys.
    AUTH_TOKEN = "CLEARML_AUTH_TOKEN", Text, Read Set;
    /// Whether the API server's certificate is checked; beats `api.verify_certificate`.
    API_HOST_VERIFY_CERT = "CLEARML_API_HOST_VERIFY_CERT" | "TRAINS_API_HOST_VERIFY_CERT", SessionBoolean = "1", Read;
    /// Logs every API call.
    API_VERBOSE = "CLEARML_API_VERBOSE" | "TRAINS_API_VERBOSE", SessionBoolean = "0", Read => Later;
    /// HTTP method of ordinary calls: GET, POST or PUT.
    API_DEFAULT_REQ_METHOD = "CLEARML_API_DEFAULT_REQ_METHOD", Text = "GET", Read;
    /// `0` allows the public demo server where no server is configured.
    NO_DEFAULT_SERVER = "CLEARML_NO_DEFAULT_SERVER" | "TRAINS_NO_DEFAULT_SERVER", SessionBoolean = "1", Read;
    /// Upper limit of the API version in use.
    FORCE_MAX_API_VERSION = "CLEARML_AGENT_FORCE_MAX_API_VERSION", Text, Read;
    /// Retries of the first connection: a number, true for four, false for the configured number.
    INITIAL_CONNECT_RETRY_OVERRIDE = "CLEARML_AGENT_INITIAL_CONNECT_RETRY_OVERRIDE", Text = "true", Read;
    /// Log level of connection problems during the first connection.
    CONNECT_LOG_LEVEL = "CLEARML_AGENT_URLLIB3_CONNECT_LEVEL", Text = "WARNING", Read => Later;
    /// Loads no configuration vaults (F-100).
    DISABLE_VAULT_SUPPORT = "CLEARML_AGENT_DISABLE_VAULT_SUPPORT", SessionBoolean = "0", Read;
    /// Applies the `environment` section; beats `agent.apply_environment` (F-090).
    ENABLE_ENV_CONFIG_SECTION = "CLEARML_AGENT_ENABLE_ENV_CONFIG_SECTION", SessionBoolean = "agent.apply_environment", Read;
    /// Applies the `files` section; beats `agent.apply_files` (F-095).
    ENABLE_FILES_CONFIG_SECTION = "CLEARML_AGENT_ENABLE_FILES_CONFIG_SECTION", SessionBoolean = "agent.apply_files", Read;
    /// `execute` ends with the exit status of the task.
    PROPAGATE_EXITCODE = "CLEARML_AGENT_PROPAGATE_EXITCODE", SessionBoolean = "0", Read;
    /// How the nodes of one task report: -1, 1 or 2.
    MULTI_NODE_SINGLE_TASK = "CLEARML_MULTI_NODE_SINGLE_TASK", Integer, Read;
    /// Prebuilt conda environment to run tasks in.
    CONDA_ENV_PACKAGE = "CLEARML_CONDA_ENV_PACKAGE" | "TRAINS_CONDA_ENV_PACKAGE", Path, Read;
    /// Installs into the base conda environment; beats the key of that name.
    USE_CONDA_BASE_ENV = "CLEARML_USE_CONDA_BASE_ENV", SessionBoolean, Read;
    /// The active virtual environment; removed for poetry and uv.
    VIRTUAL_ENV = "VIRTUAL_ENV", Path, Read Removed;
    /// The active conda environment; removed for poetry and uv.
    CONDA_PREFIX = "CONDA_PREFIX", Path, Removed;
    /// Whole identity of the worker; beats `agent.worker_id`.
    WORKER_ID = "CLEARML_WORKER_ID" | "TRAINS_WORKER_ID", Text, Read Set;
    /// First part of generated worker identities; beats `agent.worker_name`.
    WORKER_NAME = "CLEARML_WORKER_NAME" | "TRAINS_WORKER_NAME", Text, Read;
    /// Tags of the worker where no `--tags` is given.
    WORKER_TAGS = "CLEARML_WORKER_TAGS", Words, Read Set;
    /// Uses no GPU, as `--cpu-only` does.
    CPU_ONLY = "CLEARML_CPU_ONLY" | "TRAINS_CPU_ONLY" | "CPU_ONLY", Boolean, Read;
    /// CUDA version in place of the detected one.
    CUDA_VERSION = "CLEARML_CUDA_VERSION" | "TRAINS_CUDA_VERSION" | "CUDA_VERSION", Text, Read;
    /// cuDNN version in place of the detected one.
    CUDNN_VERSION = "CLEARML_CUDNN_VERSION" | "TRAINS_CUDNN_VERSION" | "CUDNN_VERSION", Text, Read;
    /// Lets an error during a task end the daemon; beats the key of that name.
    CRASH_ON_EXCEPTION = "CLEARML_AGENT_CRASH_ON_EXCEPTION", Boolean, Read;
    /// Nothing reads it.
    ALG_ENV = "CLEARML_AGENT_ALG_ENV" | "TRAINS_AGENT_ALG_ENV", Boolean, => Ignored;
    /// Nothing sets it.
    ALG_CONFIG_FILE = "ALG_CONFIG_FILE", Path, => Ignored;
    /// Nothing sets it.
    SM_CONFIG_FILE = "SM_CONFIG_FILE", Path, => Ignored;
    /// Key of Amazon S3, handed to tasks.
    AWS_ACCESS_KEY_ID = "AWS_ACCESS_KEY_ID", Text, Read;
    /// Secret of Amazon S3, handed to tasks.
    AWS_SECRET_ACCESS_KEY = "AWS_SECRET_ACCESS_KEY", Text, Read;
    /// Region of Amazon S3, handed to tasks.
    AWS_DEFAULT_REGION = "AWS_DEFAULT_REGION", Text, Read;
    /// Account of Azure storage, handed to tasks.
    AZURE_STORAGE_ACCOUNT = "AZURE_STORAGE_ACCOUNT", Text, Read;
    /// Key of that account.
    AZURE_STORAGE_KEY = "AZURE_STORAGE_KEY", Text, Read;
    /// Credentials file of Google storage, handed to tasks.
    GOOGLE_APPLICATION_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS", Path, Read;
    /// Default container image, arguments may follow; inside a container it says that this is one.
    DOCKER_IMAGE = "CLEARML_DOCKER_IMAGE" | "TRAINS_DOCKER_IMAGE", Text, Read Set;
    /// Names GPUs by variable in place of `--gpus`.
    DOCKER_SKIP_GPUS_FLAG = "CLEARML_DOCKER_SKIP_GPUS_FLAG" | "TRAINS_DOCKER_SKIP_GPUS_FLAG", Presence, Read;
    /// User for git over https; beats `agent.git_user`.
    GIT_USER = "CLEARML_AGENT_GIT_USER" | "TRAINS_AGENT_GIT_USER", Text, Read;
    /// Password or token for git over https; beats `agent.git_pass`.
    GIT_PASS = "CLEARML_AGENT_GIT_PASS" | "TRAINS_AGENT_GIT_PASS", Text, Read;
    /// The only host that gets them; beats `agent.git_host`.
    GIT_HOST = "CLEARML_AGENT_GIT_HOST" | "TRAINS_AGENT_GIT_HOST", Text, Read;
    /// Sends the git password as a bearer token to Azure DevOps.
    GIT_USE_MS_ENTRA_TOKEN = "CLEARML_AGENT_GIT_USE_MS_ENTRA_TOKEN", Boolean, Read;
    /// Sends the git password as a personal access token to Azure DevOps.
    GIT_USE_AZURE_PAT = "CLEARML_AGENT_GIT_USE_AZURE_PAT", Boolean, Read;
    /// Lets git report the progress of a clone.
    GIT_CLONE_VERBOSE = "CLEARML_AGENT_GIT_CLONE_VERBOSE", Boolean = "0", Read;
    /// Scheme of rewritten ssh URLs; beats `agent.translate_ssl_replacement_scheme`.
    SSH_URL_REPLACEMENT_SCHEME = "CLEARML_AGENT_SSH_URL_REPLACEMENT_SCHEME", Text, Read;
    /// Whether git may ask; 0 unless set already.
    GIT_TERMINAL_PROMPT = "GIT_TERMINAL_PROMPT", Text, Set;
    /// How git calls ssh; in batch mode unless set already.
    GIT_SSH_COMMAND = "GIT_SSH_COMMAND", Text, Set;
    /// Program that answers git's questions for user and password.
    GIT_ASKPASS = "GIT_ASKPASS", Path, Set;
    /// Socket of the ssh agent; passed into containers.
    SSH_AUTH_SOCK = "SSH_AUTH_SOCK", Path, Read Set;
    /// Mounts no `~/.ssh` into containers.
    DISABLE_SSH_MOUNT = "CLEARML_AGENT_DISABLE_SSH_MOUNT", Boolean, Read;
    /// Prints details of queue polling.
    DEBUG_GET_NEXT_TASK = "CLEARML_AGENT_DEBUG_GET_NEXT_TASK", Boolean, Read => Later;
    /// `docker` prints details of the container's set-up.
    DEBUG_INFO = "CLEARML_AGENT_DEBUG_INFO", Text, Read => Later;
    /// User under which tasks run.
    EXEC_USER = "CLEARML_AGENT_EXEC_USER" | "TRAINS_AGENT_EXEC_USER", Text, Read => Later;
    /// Folders added to the task's `PYTHONPATH`.
    EXTRA_PYTHON_PATH = "CLEARML_AGENT_EXTRA_PYTHON_PATH" | "TRAINS_AGENT_EXTRA_PYTHON_PATH", Text, Read;
    /// `host:container` folder pair where the agent itself runs in a container.
    HOST_MOUNT = "CLEARML_AGENT_K8S_HOST_MOUNT" | "CLEARML_AGENT_DOCKER_HOST_MOUNT" | "TRAINS_AGENT_K8S_HOST_MOUNT" | "TRAINS_AGENT_DOCKER_HOST_MOUNT", Text, Read;
    /// Folder of the environment cache; beats `agent.venvs_cache.path`.
    VENV_CACHE_PATH = "CLEARML_AGENT_VENV_CACHE_PATH", Path, Read;
    /// Arguments of every container; replaces `agent.extra_docker_arguments`.
    EXTRA_DOCKER_ARGS = "CLEARML_AGENT_EXTRA_DOCKER_ARGS", Words, Read;
    /// Labels of every container.
    EXTRA_DOCKER_LABELS = "CLEARML_AGENT_EXTRA_DOCKER_LABELS", Words, Read;
    /// Address of this machine in place of the detected one.
    FORCE_HOST_MACHINE_IP = "CLEARML_AGENT_FORCE_HOST_MACHINE_IP", Text, Read;
    /// Command that counts the children in services mode, one a line.
    CHILD_AGENTS_COUNT_CMD = "CLEARML_AGENT_CHILD_AGENTS_COUNT_CMD", Text = "docker ps --filter label={parent_worker_label} --format {{.ID}}", Read => Later;
    /// Patterns of the docker arguments that tasks may use; replaces `agent.docker_args_filters`.
    DOCKER_ARGS_FILTERS = "CLEARML_AGENT_DOCKER_ARGS_FILTERS", Words, Read;
    /// Further variables whose values are masked in docker commands (F-165).
    DOCKER_ARGS_HIDE_ENV = "CLEARML_AGENT_DOCKER_ARGS_HIDE_ENV", Words, Read;
    /// Leaves the pip version out of a container's configuration in standalone mode.
    STANDALONE_CONFIG_BC = "CLEARML_AGENT_STANDALONE_CONFIG_BC", Boolean, Read;
    /// Command that runs when the task is aborted; removed before the task starts.
    ABORT_CALLBACK_CMD = "CLEARML_AGENT_ABORT_CALLBACK_CMD", Text, Read Removed;
    /// Copy of that command.
    ABORT_CALLBACK_CMD_REGISTERED = "CLEARML_AGENT_ABORT_CALLBACK_CMD_REGISTERED", Text, Set;
    /// Its time limit in seconds, 180 unless set.
    ABORT_CALLBACK_TIMEOUT = "CLEARML_AGENT_ABORT_CALLBACK_TIMEOUT", Integer = "180", Read;
    /// What is installed as the agent in containers.
    FORCE_AGENT_REPO = "FORCE_CLEARML_AGENT_REPO" | "CLEARML_AGENT_DOCKER_AGENT_REPO", Text, Read;
    /// Local file that is installed as the agent in containers.
    FORCE_LOCAL_AGENT_WHEEL = "FORCE_LOCAL_CLEARML_AGENT_WHEEL", Path, Read;
    /// Restart policy of containers in services mode.
    SERVICES_DOCKER_RESTART = "CLEARML_AGENT_SERVICES_DOCKER_RESTART", Text, Read;
    /// Whether environments in containers see the system's packages; true unless set.
    FORCE_SYSTEM_SITE_PACKAGES = "CLEARML_AGENT_FORCE_SYSTEM_SITE_PACKAGES", Boolean = "1", Read;
    /// Script that builds the environment; `agent.custom_build_script` beats it.
    CUSTOM_BUILD_SCRIPT = "CLEARML_AGENT_CUSTOM_BUILD_SCRIPT", Text, Read Set;
    /// How torch is found: `pip`, `direct` or `none`; beats the key of that name.
    PACKAGE_PYTORCH_RESOLVE = "CLEARML_AGENT_PACKAGE_PYTORCH_RESOLVE", Text = "pip", Read;
    /// Folder of the tasks' output files.
    TEMP_STDOUT_FILE_DIR = "CLEARML_AGENT_TEMP_STDOUT_FILE_DIR", Path = "system temp", Read;
    /// GPU fractions that are reported.
    GPU_FRACTIONS = "CLEARML_AGENT_GPU_FRACTIONS", Text, Read;
    /// Seconds between two looks at the queues; beats `--polling-interval` and its minimum.
    QUEUE_POLL_FREQ_SEC = "CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", Number = "5", Read;
    /// Seconds between two status reports, 30 unless set.
    STATUS_REPORT_FREQ_SEC = "CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", Number = "30", Read;
    /// Flags of every pip install; beats the key of that name.
    EXTRA_PIP_INSTALL_FLAGS = "CLEARML_EXTRA_PIP_INSTALL_FLAGS", Words, Read;
    /// Python to use in place of a new environment: true for the running one, or a path.
    SKIP_PIP_VENV_INSTALL = "CLEARML_AGENT_SKIP_PIP_VENV_INSTALL", Text, Read Set;
    /// Installs nothing.
    SKIP_PYTHON_ENV_INSTALL = "CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL", Boolean, Read Set;
    /// Folder with the code; nothing is cloned.
    FORCE_CODE_DIR = "CLEARML_AGENT_FORCE_CODE_DIR", Path, Read;
    /// Entry point, with `folder:` in front where it runs elsewhere.
    FORCE_EXEC_SCRIPT = "CLEARML_AGENT_FORCE_EXEC_SCRIPT", Text, Read;
    /// Uses poetry whatever `agent.package_manager.type` says.
    FORCE_POETRY = "CLEARML_AGENT_FORCE_POETRY", Boolean, Read;
    /// Uses uv whatever `agent.package_manager.type` says.
    FORCE_UV = "CLEARML_AGENT_FORCE_UV", Boolean, Read;
    /// Puts a call of `Task.init` into the script.
    FORCE_TASK_INIT = "CLEARML_AGENT_FORCE_TASK_INIT", Boolean, Read;
    /// The uv program of the bootstrap package.
    BOOTSTRAP_UV_EXEC = "CLEARML_BOOTSTRAP_UV_EXEC", Path, Read;
    /// Uses `PowerShell` on Windows.
    USE_POWERSHELL = "CLEARML_AGENT_USE_POWERSHELL", Presence, Read => Ignored;
    /// In a pod: does not install the agent again. It never is: it comes into the pod as it is.
    NO_UPDATE = "CLEARML_AGENT_NO_UPDATE", Presence, ReadInContainer => Ignored;
    /// In a pod or container: calls no package manager of the image, such as apt; a Python that is missing comes by uv alone.
    SKIP_CONTAINER_APT = "CLEARML_AGENT_SKIP_CONTAINER_APT", Presence, ReadInContainer;
    /// What the Kubernetes glue creates: `pod` or `job`.
    K8S_KIND = "CLEARML_K8S_GLUE_KIND", Text = "pod", Read;
    /// Image with this agent, from which it comes into pods.
    K8S_AGENT_IMAGE = "CLEARML_K8S_GLUE_AGENT_IMAGE", Text, Read;
    /// Script that the glue writes inside the pod. It writes none there: the scripts are mounted.
    K8S_START_AGENT_SCRIPT_PATH = "CLEARML_K8S_GLUE_START_AGENT_SCRIPT_PATH", Path = "~/__start_agent__.sh", Read => Ignored;
    /// Arguments of `execute` inside the pod.
    K8S_EXECUTE_ARGS = "K8S_GLUE_DEF_EXEC_AGENT_ARGS", Text = "--full-monitoring --require-queue", Read;
    /// What follows the agent's requirement inside the pod.
    K8S_AGENT_INSTALL_ARGS = "K8S_GLUE_POD_AGENT_INSTALL_ARGS", Text, Read;
    /// Pod messages per log batch. Each is sent at once.
    K8S_LOG_BATCH_SIZE = "K8S_GLUE_POD_MONITOR_LOG_BATCH_SIZE", Integer = "5", Read => Ignored;
    /// Does not put a preempted pod's task back into its queue.
    K8S_DISABLE_ENQUEUE_ON_PREEMPTION = "K8S_GLUE_POD_MONITOR_DISABLE_ENQUEUE_ON_PREEMPTION", Presence, Read;
    /// Waiting reasons that fail a pod's task.
    K8S_EVICTION_REASONS = "K8S_GLUE_POD_MONITOR_EVICTION_REASONS", Words = "ImagePullBackOff InvalidImageName", Read;
    /// Keeps the entry point of the pod's image.
    K8S_USE_IMAGE_ENTRYPOINT = "K8S_GLUE_POD_USE_IMAGE_ENTRYPOINT", Presence, Read;
    /// Pattern of errors of kubectl that do not matter. There is no kubectl, and a warning of the API is no error.
    K8S_IGNORE_KUBECTL_ERROR = "K8S_GLUE_IGNORE_KUBECTL_ERROR", Text, Read => Ignored;
    /// System tags of the scheduler's queue.
    K8S_SCHEDULER_QUEUE_TAGS = "K8S_GLUE_DEFAULT_SCHEDULER_QUEUE_TAGS", Words = "k8s-glue", Read;
    /// Minutes for which finished pods are kept.
    K8S_POD_DELETION_DELAY_MINUTES = "K8S_GLUE_COMPLETED_POD_DELETION_DELAY_MINUTES", Number = "0", Read;
    /// Set inside a Kubernetes cluster, where `--gpus` changes nothing (F-115).
    KUBERNETES_SERVICE_HOST = "KUBERNETES_SERVICE_HOST", Text, Read;
    /// Set inside a Kubernetes cluster, where `--gpus` changes nothing (F-115).
    KUBERNETES_PORT = "KUBERNETES_PORT", Text, Read;
    /// The GPUs in use; a folder's entries may name them.
    NVIDIA_VISIBLE_DEVICES = "NVIDIA_VISIBLE_DEVICES", Text, Read Set;
    /// The GPUs in use, where the variable before is not set.
    CUDA_VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES", Text, Read Set;
    /// Always `PCI_BUS_ID` (F-114).
    CUDA_DEVICE_ORDER = "CUDA_DEVICE_ORDER", Text, Set;
    /// Folder of `nvcc` on Windows.
    CUDA_PATH = "CUDA_PATH", Path, Read => Ignored;
    /// Folder of one version of CUDA on Windows.
    CUDA_PATH_VERSION = "CUDA_PATH_V<major>_<minor>", Path, Read => Ignored;
    /// Folder of `ROCm`, `/opt/rocm` unless set.
    ROCM_PATH = "ROCM_PATH", Path = "/opt/rocm", Read;
    /// The GPUs of AMD that the task's libraries see, counted among those of the variable after.
    HIP_VISIBLE_DEVICES = "HIP_VISIBLE_DEVICES", Text, Set;
    /// The GPUs of AMD that the task may use.
    ROCR_VISIBLE_DEVICES = "ROCR_VISIBLE_DEVICES", Text, Set;
    /// Rank of this node.
    RANK = "RANK", Integer, Read;
    /// Rank of this node where the variable before is not set.
    SLURM_PROCID = "SLURM_PROCID", Integer, Read;
    /// How often Slurm has begun this job again: its task may not be queued again yet.
    SLURM_RESTART_COUNT = "SLURM_RESTART_COUNT", Integer, Read;
    /// Shell for tasks that are shell scripts.
    SHELL = "SHELL", Path = "/bin/bash or /bin/sh", Read;
    /// The user's folder, which `~` stands for.
    HOME = "HOME", Path, Read;
    /// Where Python looks for modules; the task gets further folders.
    PYTHONPATH = "PYTHONPATH", Text, Read Set;
    /// Encoding of Python's streams; UTF-8 where the file system's is ASCII.
    PYTHONIOENCODING = "PYTHONIOENCODING", Text, Set;
    /// Proxy for http.
    HTTP_PROXY = "HTTP_PROXY" | "http_proxy", Text, Read;
    /// Proxy for https.
    HTTPS_PROXY = "HTTPS_PROXY" | "https_proxy", Text, Read;
    /// Proxy for everything.
    ALL_PROXY = "ALL_PROXY" | "all_proxy", Text, Read;
    /// Hosts that are reached without a proxy.
    NO_PROXY = "NO_PROXY" | "no_proxy", Text, Read;
    /// File of trusted certificates for the API server.
    REQUESTS_CA_BUNDLE = "REQUESTS_CA_BUNDLE" | "CURL_CA_BUNDLE", Path, Read;
    /// File of trusted certificates, where the variable before is not set; the same inside containers.
    SSL_CERT_FILE = "SSL_CERT_FILE", Path, Read SetInContainer;
    /// The task, for its own process and containers.
    TASK_ID = "CLEARML_TASK_ID" | "TRAINS_TASK_ID", Text, Set;
    /// Log level of the task's process.
    LOG_LEVEL = "CLEARML_LOG_LEVEL" | "TRAINS_LOG_LEVEL", Text, Set;
    /// 0: the agent sends the console, not the task's process.
    LOG_TASK_TO_BACKEND = "CLEARML_LOG_TASK_TO_BACKEND" | "TRAINS_LOG_TASK_TO_BACKEND", Text, Set;
    /// Set in containers of services mode.
    SERVICE_TASK = "CLEARML_AGENT_SERVICE_TASK", Text, Set;
    /// Set where the container sees the environments that are kept for containers: the image by its id, part of their keys.
    CONTAINER_STORE = "CLEARML_AGENT_CONTAINER_STORE", Text, SetInContainer ReadInContainer;
    /// Address of the host, in containers with published ports.
    HOST_IP = "CLEARML_AGENT_HOST_IP", Text, Set;
    /// The task as JSON, for the build script.
    CUSTOM_BUILD_TASK_CONFIG_JSON = "CLEARML_CUSTOM_BUILD_TASK_CONFIG_JSON", Text, Set;
    /// Where the build script writes its answer.
    CUSTOM_BUILD_OUTPUT = "CLEARML_CUSTOM_BUILD_OUTPUT", Path, Set;
    /// Entry point of the task, for the build script.
    TASK_SCRIPT_ENTRY = "CLEARML_TASK_SCRIPT_ENTRY", Text, Set;
    /// Working folder of the task, for the build script.
    TASK_WORKING_DIR = "CLEARML_TASK_WORKING_DIR", Text, Set;
    /// Folder of the environment, for the build script.
    VENV_PATH = "CLEARML_VENV_PATH", Path, Set;
    /// Folder of the repository, for the build script.
    GIT_ROOT = "CLEARML_GIT_ROOT", Path, Set;
    /// Packages to install when the container starts; removed before the task starts.
    APT_INSTALL = "CLEARML_APT_INSTALL" | "TRAINS_APT_INSTALL", Words, SetInContainer Removed;
    /// Nothing reads it.
    OLD_SKIP_PIP_VENV_INSTALL = "CLEARML_SKIP_PIP_VENV_INSTALL", Text, => Ignored;
    /// Cache of uv; removed before the task starts.
    UV_CACHE_DIR = "UV_CACHE_DIR", Path, Set Removed;
    /// Python downloads of uv; removed before the task starts.
    UV_PYTHON_CACHE_DIR = "UV_PYTHON_CACHE_DIR", Path, Removed;
    /// Interpreters of uv; removed before the task starts.
    UV_PYTHON_INSTALL_DIR = "UV_PYTHON_INSTALL_DIR", Path, Removed;
    /// How uv chooses between indexes.
    UV_INDEX_STRATEGY = "UV_INDEX_STRATEGY", Text, Read Set;
    /// Place of the bootstrap package in the container.
    BOOTSTRAP_DIR = "CLEARML_BOOTSTRAP_DIR", Path, SetInContainer => Later;
    /// Place of its cache in the container.
    BOOTSTRAP_CACHE_DIR = "CLEARML_BOOTSTRAP_CACHE_DIR", Path, SetInContainer => Later;
    /// The lines of `agent.docker_preprocess_bash_script`, in base64.
    BOOTSTRAP_CUSTOM_CMD = "CLEARML_BOOTSTRAP_CUSTOM_CMD_BASE64", Text, SetInContainer => Later;
    /// The lines of `agent.extra_docker_shell_script`.
    PRE_CUSTOM_CMD = "CLEARML_PRE_CUSTOM_CMD", Text, SetInContainer => Later;
    /// The agent that the bootstrap package installs.
    AGENT_VERSION = "CLEARML_AGENT_VERSION", Text, SetInContainer => Later;
    /// The pip that it installs.
    PIP_VERSION = "CLEARML_PIP_VER", Text, SetInContainer => Later;
    /// The Python that uv brings to an image without one.
    PYTHON_VERSION = "CLEARML_PYTHON_VER", Text, SetInContainer;
    /// Whether it brings uv up to date.
    UPDATE_UV = "CLEARML_UPDATE_UV", Text, SetInContainer => Later;
    /// Whether it always uses the git that it brings.
    FORCE_STATIC_GIT = "CLEARML_FORCE_STATIC_GIT_BIN", Boolean, SetInContainer => Later;
    /// Whether it leaves a git alone that is there.
    SKIP_GIT_INSTALL = "CLEARML_SKIP_GIT_INST", Boolean, SetInContainer => Later;
    /// Whether it installs no certificates.
    SKIP_CA_CERTIFICATES = "CLEARML_SKIP_CA_CERT_INST", Boolean, SetInContainer => Later;
    /// List of Python builds for uv.
    UV_PYTHON_DOWNLOADS = "UV_PYTHON_DOWNLOADS_JSON_URL", Path, SetInContainer => Later;
    /// Where uv comes from: a GitHub Enterprise.
    UV_INSTALLER_GHE = "UV_INSTALLER_GHE_BASE_URL", Text, SetInContainer => Later;
    /// Where uv comes from: a mirror of GitHub.
    UV_INSTALLER_GITHUB = "UV_INSTALLER_GITHUB_BASE_URL", Text, SetInContainer => Later;
    /// Whether uv trusts what the system trusts.
    UV_NATIVE_TLS = "UV_NATIVE_TLS", Boolean, SetInContainer => Later;
    /// Hosts whose certificate uv does not check.
    UV_INSECURE_HOST = "UV_INSECURE_HOST", Text, SetInContainer => Later;
    /// Whether git checks no certificates.
    GIT_SSL_NO_VERIFY = "GIT_SSL_NO_VERIFY", Boolean, SetInContainer => Later;
    /// uv's index in place of PyPI.
    UV_DEFAULT_INDEX = "UV_DEFAULT_INDEX", Text, SetInContainer => Later;
    /// uv's further indexes.
    UV_INDEX = "UV_INDEX", Text, SetInContainer => Later;
    /// Header value that gives git an Azure token.
    AZURE_PAT_HEADER_VALUE = "AZURE_PAT_HEADER_VALUE", Text, Set => Later;
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
}
