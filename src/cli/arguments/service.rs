//! Options of `service`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand, ValueHint};

use super::values;

/// Options of `service`; the reference has no such command.
#[derive(Args, Debug)]
pub struct Service {
    /// What to do with the units
    #[command(subcommand)]
    pub command: ServiceCommand,
}

/// What can be done with units of systemd.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Write a unit that runs the daemon with the options behind `--`
    Install(ServiceInstall),
    /// Stop units that `install` has written, and remove them; tasks go on
    Uninstall {
        /// Where the units are
        #[command(flatten)]
        place: ServicePlace,
        /// This one alone
        #[arg(long, value_name = "NAME", value_parser = values::text)]
        name: Option<String>,
    },
    /// Print the units that `install` has written, and what their workers do
    Status {
        /// Where the units are
        #[command(flatten)]
        place: ServicePlace,
    },
}

/// Options of `service install`.
#[derive(Args, Debug)]
pub struct ServiceInstall {
    /// Where the unit goes
    #[command(flatten)]
    pub place: ServicePlace,
    /// One worker for each of these GPUs, from one template; without a number the template alone
    #[arg(long, action = ArgAction::Set, num_args = 0.., value_name = "GPU", value_parser = values::text)]
    pub gpus: Option<Vec<String>>,
    /// Name of the unit [default: clearml-agent, or clearml-agent-gpu]
    #[arg(long, value_name = "NAME", value_parser = values::text)]
    pub name: Option<String>,
    /// User of a system's unit [default: the one who called sudo]
    #[arg(long, value_name = "USER", value_parser = values::text, value_hint = ValueHint::Username)]
    pub run_as: Option<String>,
    /// Start it now, and whenever the machine starts
    #[arg(long, conflicts_with = "root")]
    pub start: bool,
    /// Replace a unit that is there and differs
    #[arg(long)]
    pub force: bool,
    /// Options of `daemon`, such as --queue default
    #[arg(last = true, value_name = "OPTION", value_parser = values::text)]
    pub daemon: Vec<String>,
}

/// Which units are meant.
#[derive(Args, Clone, Debug)]
pub struct ServicePlace {
    /// Units of the machine; the default for root
    #[arg(long, conflicts_with = "user")]
    pub system: bool,
    /// Units of your own; the default for everybody else
    #[arg(long)]
    pub user: bool,
    /// The folder of another system, such as an image that is being made; nothing is started or stopped
    #[arg(long, value_name = "DIR", value_parser = values::path, value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
}
