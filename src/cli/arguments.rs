//! The types that the command line becomes; their doc comments are the help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Runs the queued tasks of a ClearML server on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "clearml-agent",
    disable_version_flag = true,
    disable_help_subcommand = true,
    infer_long_args = true
)]
pub struct Cli {
    /// Print the version and end
    #[arg(long)]
    pub version: bool,
    /// Configuration file [default: ~/clearml.conf]
    #[arg(long, value_name = "PATH")]
    pub config_file: Option<PathBuf>,
    /// Say more, on stderr
    #[arg(long, short)]
    pub debug: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the configuration that is in force
    Config,
    /// Take tasks from queues and run them
    Daemon(Daemon),
    /// Run one task
    Execute(Execute),
    /// Ask for server and keys, and write the configuration file
    Init(Init),
    /// Supervise one task for a daemon
    #[command(hide = true)]
    Supervise(Supervise),
}

/// Options of `daemon`.
#[derive(Args, Debug)]
pub struct Daemon {
    /// Queues by name or id, most important first [default: the server's default queue]
    #[arg(long, num_args = 1.., value_name = "QUEUE", overrides_with = "queue")]
    pub queue: Vec<String>,
    /// Keep the terminal: print what the agent and its tasks do
    #[arg(long)]
    pub foreground: bool,
    /// Seconds between two looks at idle queues; at least 5
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub polling_interval: u64,
    /// Create queues that do not exist
    #[arg(long)]
    pub create_queue: bool,
    /// Use no GPU
    #[arg(long)]
    pub cpu_only: bool,
    /// What both verbs that run tasks take
    #[command(flatten)]
    pub git: GitCredentials,
}

/// Options of `execute`.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a command line has flags")]
pub struct Execute {
    /// Task id, or the name of a task
    #[arg(long, value_name = "TASK")]
    pub id: String,
    /// Prepare, then become the program: upload nothing, set no status
    #[arg(long, conflicts_with = "full_monitoring")]
    pub disable_monitoring: bool,
    /// Act as a worker for this one task
    #[arg(long)]
    pub full_monitoring: bool,
    /// Fail unless the task is in a queue
    #[arg(long)]
    pub require_queue: bool,
    /// Run a clone of the task
    #[arg(long)]
    pub clone: bool,
    /// Keep the program's output in this file
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Optimisation of the Python interpreter
    #[arg(short = 'O', action = clap::ArgAction::Count)]
    pub optimize: u8,
    /// Log level of the SDK in the task
    #[arg(long, value_name = "LEVEL", default_value = "INFO", ignore_case = true,
          value_parser = ["DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL"])]
    pub log_level: String,
    /// Use no GPU
    #[arg(long)]
    pub cpu_only: bool,
    /// What both verbs that run tasks take
    #[command(flatten)]
    pub git: GitCredentials,
}

/// Options of `init`.
#[derive(Args, Clone, Debug, Default)]
pub struct Init {
    /// Ask nothing: take everything from these options and from variables of the environment
    #[arg(long)]
    pub non_interactive: bool,
    /// API server, else CLEARML_API_HOST
    #[arg(long, value_name = "URL", requires = "non_interactive")]
    pub api_host: Option<String>,
    /// Web server, else CLEARML_WEB_HOST, else what follows from the API server
    #[arg(long, value_name = "URL", requires = "non_interactive")]
    pub web_host: Option<String>,
    /// File server, else CLEARML_FILES_HOST, else what follows from the other two
    #[arg(long, value_name = "URL", requires = "non_interactive")]
    pub files_host: Option<String>,
    /// Access key, else CLEARML_API_ACCESS_KEY
    #[arg(long, value_name = "KEY", requires = "non_interactive")]
    pub access_key: Option<String>,
    /// Read the secret key from standard input instead of CLEARML_API_SECRET_KEY
    #[arg(long, requires = "non_interactive")]
    pub secret_key_stdin: bool,
    /// User for git over https, else CLEARML_AGENT_GIT_USER; the token is CLEARML_AGENT_GIT_PASS
    #[arg(long, value_name = "USER", requires = "non_interactive")]
    pub git_user: Option<String>,
    /// Package index beside PyPI; may be repeated
    #[arg(long, value_name = "URL", requires = "non_interactive")]
    pub extra_index_url: Vec<String>,
    /// Where models and artifacts go
    #[arg(long, value_name = "URI", requires = "non_interactive")]
    pub output_uri: Option<String>,
    /// Write the file without asking the server whether it knows the keys
    #[arg(long, requires = "non_interactive")]
    pub no_verify: bool,
}

/// Credentials for repositories, before those of the configuration.
#[derive(Args, Clone, Debug)]
pub struct GitCredentials {
    /// User for git over https
    #[arg(long, value_name = "USER")]
    pub git_user: Option<String>,
    /// Password or token for git over https
    #[arg(long, value_name = "PASSWORD")]
    pub git_pass: Option<String>,
}

/// Options of the hidden `supervise`.
#[derive(Args, Debug)]
pub struct Supervise {
    /// The run's journal
    #[arg(long, value_name = "FILE")]
    pub journal: PathBuf,
}
