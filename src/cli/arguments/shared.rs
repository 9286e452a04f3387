//! Options that several verbs have (D 1.3).

use clap::{ArgAction, Args, ValueEnum};

use super::values;
use crate::secrets::SecretString;

/// How tasks are run: what `daemon`, `execute` and `build` have in common.
#[derive(Args, Clone, Debug)]
pub struct TaskOptions {
    /// Optimise the byte code as python -O does; twice for more
    #[arg(short = 'O', action = ArgAction::Count)]
    pub optimize: u8,
    #[command(flatten)]
    pub git: GitCredentials,
    /// Log level of the SDK in the task
    // The beginnings are those that meant it before there was `--log-format` (D-004).
    #[arg(long, value_name = "LEVEL", default_value = "INFO", ignore_case = true, aliases = ["l", "lo", "log", "log-"],
          value_parser = ["DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL"])]
    pub log_level: String,
    /// Say in the task's console how long each step before its program took
    #[arg(long)]
    pub timings: bool,
    /// Print warnings and errors only; the console of a task is at the server
    #[arg(long)]
    pub quiet: bool,
    #[command(flatten)]
    pub devices: Devices,
}

/// The shape of what the agent prints.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line, for collectors of logs
    Json,
}

/// Credentials for repositories, before those of the configuration (D-020).
#[derive(Args, Clone, Debug)]
pub struct GitCredentials {
    /// User for git over https
    #[arg(long, value_name = "USER", value_parser = values::text)]
    pub git_user: Option<String>,
    /// Password or token for git over https
    #[arg(long, value_name = "PASSWORD", value_parser = values::secret)]
    pub git_pass: Option<SecretString>,
}

/// What tasks compute with (D-016, D-017).
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Docker support")]
pub struct Devices {
    /// GPUs that tasks may use, with or without containers: 0 or 0,1,2 or all
    #[arg(long, value_name = "GPUS", value_parser = values::text)]
    pub gpus: Option<String>,
    /// Use no GPU
    #[arg(long)]
    pub cpu_only: bool,
}
