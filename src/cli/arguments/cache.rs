//! Options of `cache`.

use clap::{Args, Subcommand};

use super::values;

/// Options of `cache`; the reference has no such command.
#[derive(Args, Debug)]
pub struct Cache {
    /// What to do with it
    #[command(subcommand)]
    pub command: CacheCommand,
}

/// What can be done with the store.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Print the environments that are kept, those first that were used last
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print whether a task would find its environment, by which key, and if not, what differs from the nearest one
    Explain {
        /// Id or name of the task
        #[arg(value_name = "TASK", value_parser = values::text)]
        task: String,
        /// The task would run with --cpu-only
        #[arg(long)]
        cpu_only: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove environments: without an option, what is above the limits of the configuration
    Prune {
        /// Remove all that no task is being made from
        #[arg(long)]
        all: bool,
        /// Remove what was not used for so many days
        #[arg(long, value_name = "DAYS")]
        older_than: Option<f64>,
        /// Remove the oldest until the rest takes no more than so many gigabytes
        #[arg(long, value_name = "GB")]
        max_size: Option<f64>,
        /// Print what would be removed, and remove nothing
        #[arg(long)]
        dry_run: bool,
    },
}
