//! Options of `doctor`.

use clap::Args;

use super::values;

/// Options of `doctor`; the reference has no such command.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Names or ids of the queues that the daemon is to serve [default: the server's default queue]
    #[arg(long, value_name = "QUEUE", num_args = 1.., value_parser = values::text)]
    pub queue: Option<Vec<String>>,
    /// Repository that tasks must be able to read
    #[arg(long, value_name = "URL", value_parser = values::text)]
    pub git: Option<String>,
    /// Tasks are to run in containers: without an engine nothing works
    #[arg(long)]
    pub docker: bool,
    /// The same by podman
    #[arg(long, conflicts_with = "docker")]
    pub podman: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
