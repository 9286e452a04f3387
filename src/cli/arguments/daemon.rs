//! Options of `daemon` (D 1.4).

use clap::{ArgAction, Args};

use super::{LogFormat, TaskOptions, values};

/// Options of `daemon`, in the order of the reference's usage.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a command line has flags")]
pub struct Daemon {
    /// Seconds between two looks at idle queues; at least 5
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = values::integer)]
    pub polling_interval: i64,
    /// What the agent prints: text, or one JSON object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Keep the terminal: print what the agent and its tasks do
    #[arg(long)]
    pub foreground: bool,
    /// Queues by name or id, most important first [default: the server's default queue]
    // The beginnings are those that meant it before there was `--quiet` (D-004).
    #[arg(long, action = ArgAction::Set, num_args = 1.., value_name = "QUEUE", aliases = ["q", "qu"], value_parser = values::text)]
    pub queue: Option<Vec<String>>,
    /// Take from all queues in turn instead of by importance
    #[arg(long)]
    pub order_fairness: bool,
    /// Fetch and install nothing: code and packages are on the machine already
    #[arg(long)]
    pub standalone_mode: bool,
    /// Run several long tasks at once, without GPUs; at most N of them
    #[arg(long, num_args = 0..=1, value_name = "N", value_parser = values::integer)]
    pub services_mode: Option<Option<i64>>,
    /// Tags for the status reports of the worker while it runs a task
    #[arg(long, action = ArgAction::Set, num_args = 1.., value_name = "TAG", value_parser = values::text)]
    pub child_report_tags: Option<Vec<String>>,
    /// Create queues that do not exist
    #[arg(long)]
    pub create_queue: bool,
    /// Go on in the background
    #[arg(long, short)]
    pub detached: bool,
    /// Stop the agent that was started with the same options, or the workers with these ids
    #[arg(long, action = ArgAction::Set, num_args = 0.., value_name = "WORKER", value_parser = values::text)]
    pub stop: Option<Vec<String>>,
    /// With --stop: end when the running tasks have ended, and take no more
    #[arg(long, action = ArgAction::Set, num_args = 0.., value_name = "WORKER", value_parser = values::text,
          requires = "stop")]
    pub drain: Option<Vec<String>>,
    /// Give each task as many GPUs as its queue says: --queue NAME=2 OTHER=1-4
    #[arg(long)]
    pub dynamic_gpus: bool,
    /// Hours in which to work, such as "17-20 TUE"; not together with --downtime
    #[arg(long, action = ArgAction::Set, num_args = 0.., value_name = "HOURS", value_parser = values::text)]
    pub uptime: Option<Vec<String>>,
    /// Hours in which to rest, such as "9-13 TUE"; not together with --uptime
    #[arg(long, action = ArgAction::Set, num_args = 0.., value_name = "HOURS", value_parser = values::text)]
    pub downtime: Option<Vec<String>>,
    /// Print the worker's hours and queues, and end
    #[arg(long)]
    pub status: bool,
    /// With --status: what the running workers of this user do, as JSON, without the server
    #[arg(long, requires = "status", conflicts_with = "stop")]
    pub json: bool,
    /// Answer a monitoring system at this address, such as 127.0.0.1:9090: /metrics, /healthz, /readyz
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = values::text)]
    pub metrics_listen: Option<String>,
    /// For scripts of the official agent: there is no bootstrap package to check
    #[arg(long)]
    pub check_bootstrap: bool,
    /// Let each task act on the server as its owner; needs an enterprise server
    #[arg(long)]
    pub use_owner_token: bool,
    /// What all verbs that run tasks take
    #[command(flatten)]
    pub tasks: TaskOptions,
    /// As --docker, with podman behind the command docker
    #[arg(long, action = ArgAction::Set, num_args = 0.., value_names = ["IMAGE", "ARGUMENT"], help_heading = "Docker support",
          value_parser = values::text)]
    pub podman: Option<Vec<String>>,
    /// Run tasks in containers; of this image unless the task names one
    #[arg(long, action = ArgAction::Set, num_args = 0.., value_names = ["IMAGE", "ARGUMENT"], help_heading = "Docker support",
          value_parser = values::text)]
    pub docker: Option<Vec<String>>,
    /// Use this version of the agent in containers as well
    #[arg(long, help_heading = "Docker support")]
    pub force_current_version: bool,
}
