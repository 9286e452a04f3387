//! Options of `slurm` (C-680).

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{LogFormat, values};

/// Options of `slurm`.
#[derive(Args, Debug)]
pub struct Slurm {
    /// Queues, the most important first [default: the server's default queue]
    #[arg(long, value_name = "QUEUE", num_args = 1.., value_parser = values::text)]
    pub queue: Option<Vec<String>>,
    /// Batch scripts with `${CLEARML_AGENT_EXECUTE}`: one for all queues, and `QUEUE=FILE` for single ones
    #[arg(long, value_name = "FILE", num_args = 1.., required = true, value_parser = values::text)]
    pub template_files: Vec<String>,
    /// The queue in which tasks wait for their jobs
    #[arg(long, value_name = "QUEUE", default_value = "slurm_scheduler", value_parser = values::text)]
    pub pending_queue_name: String,
    /// Most jobs at once [default: as many as Slurm takes]
    #[arg(long, value_name = "NUMBER")]
    pub max_jobs: Option<usize>,
    /// Where jobs print what is in no console; on a file system that the compute nodes have as well
    #[arg(long, value_name = "FOLDER", value_parser = values::path, value_hint = ValueHint::DirPath)]
    pub log_folder: Option<PathBuf>,
    /// The agent as the compute nodes find it [default: this program]
    #[arg(long, value_name = "PATH", value_parser = values::path, value_hint = ValueHint::FilePath)]
    pub agent: Option<PathBuf>,
    /// Make queues that the server does not know
    #[arg(long)]
    pub create_queue: bool,
    /// What is printed: text, or one JSON object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Answer a monitoring system at this address, such as 127.0.0.1:9090: /metrics, /healthz, /readyz
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = values::text)]
    pub metrics_listen: Option<String>,
    /// Print the batch script of this task, and submit nothing
    #[arg(long, value_name = "TASK", value_parser = values::text)]
    pub render: Option<String>,
}
