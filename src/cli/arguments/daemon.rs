//! Options of `daemon` (D 1.4).

use clap::Args;

use super::GitCredentials;

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
