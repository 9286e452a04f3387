//! Options of `execute` (D 1.5).

use std::path::PathBuf;

use clap::Args;

use super::GitCredentials;

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
