//! The types that the command line becomes; their doc comments are the help.

mod daemon;
mod execute;
mod shared;
mod supervise;

pub use daemon::Daemon;
pub use execute::Execute;
pub use shared::GitCredentials;
pub use supervise::Supervise;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
    /// Supervise one task for a daemon
    #[command(hide = true)]
    Supervise(Supervise),
}
