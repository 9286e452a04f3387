//! The types that the command line becomes; their doc comments are the help, the completions and the man pages.

mod boot;
mod build;
mod cache;
mod config;
mod daemon;
mod doctor;
mod execute;
mod generate;
mod init;
mod install_bootstrap;
mod k8s;
mod list;
mod prefetch;
mod service;
mod shared;
mod slurm;
mod supervise;

pub use boot::{Boot, BootStep, Mounted};
pub use build::Build;
pub use cache::{Cache, CacheCommand};
pub use config::Config;
pub use daemon::Daemon;
pub use doctor::Doctor;
pub use execute::Execute;
pub use generate::{Generate, Kind as GenerateKind};
pub use init::Init;
pub use install_bootstrap::InstallBootstrap;
pub use k8s::Kubernetes;
pub use list::List;
pub use prefetch::Prefetch;
pub use service::{Service, ServiceCommand, ServiceInstall, ServicePlace};
pub use shared::{Devices, GitCredentials, LogFormat, TaskOptions};
pub use slurm::Slurm;
pub use supervise::Supervise;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};

use super::values;

/// Runs the queued tasks of a ClearML server on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "clearml-agent",
    disable_version_flag = true,
    disable_help_subcommand = true,
    infer_long_args = true,
    args_override_self = true
)]
pub struct Cli {
    /// Print the version and end
    #[arg(long)]
    pub version: bool,
    /// Configuration file [default: ~/clearml.conf]
    #[arg(long, value_name = "PATH", value_parser = values::path, value_hint = ValueHint::FilePath)]
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
    /// Run one task
    Execute(Execute),
    /// Make the environment of a task, or an image with it, without running the task
    Build(Build),
    /// Print the workers that the server knows
    List(List),
    /// Take tasks from queues and run them
    Daemon(Box<Daemon>),
    /// Print the configuration that is in force
    Config(Config),
    /// Ask for server and keys, and write the configuration file
    Init(Init),
    /// For scripts of the official agent: there is no bootstrap package to install
    InstallBootstrap(InstallBootstrap),
    /// Look at the environments that are kept for later tasks, and remove some
    Cache(Cache),
    /// Look at all that tasks will need, and say what to mend
    Doctor(Doctor),
    /// Run the tasks of queues as pods of a Kubernetes cluster
    #[command(name = "k8s")]
    Kubernetes(Box<Kubernetes>),
    /// Run the tasks of queues as jobs of a Slurm cluster
    Slurm(Slurm),
    /// Write units of systemd that run the daemon, look at them, and remove them
    Service(Service),
    /// Write shell completions or man pages
    #[command(hide = true)]
    Generate(Generate),
    /// Prepare a container for its task
    #[command(hide = true)]
    Boot(Boot),
    /// Fetch what a waiting task will need, for a daemon
    #[command(hide = true)]
    Prefetch(Prefetch),
    /// Supervise one task for a daemon
    #[command(hide = true)]
    Supervise(Supervise),
}
