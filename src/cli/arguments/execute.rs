//! Options of `execute` (D 1.5).

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueHint};

use super::{TaskOptions, values};

/// Options of `execute`.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a command line has flags")]
pub struct Execute {
    /// Task id, or the name of a task
    #[arg(long, value_name = "TASK", value_parser = values::text)]
    pub id: String,
    /// Keep the program's output in this file
    #[arg(long, value_name = "FILE", value_parser = values::path, value_hint = ValueHint::FilePath)]
    pub log_file: Option<PathBuf>,
    /// Prepare, then become the program: upload nothing, set no status
    #[arg(long, conflicts_with = "full_monitoring")]
    pub disable_monitoring: bool,
    /// Act as a worker for this one task
    #[arg(long)]
    pub full_monitoring: bool,
    /// Fail unless the task is in a queue
    #[arg(long)]
    pub require_queue: bool,
    /// Fetch and install nothing: code and packages are on the machine already
    #[arg(long)]
    pub standalone_mode: bool,
    /// Run the task in a container; of this image unless the task names one
    #[arg(long, action = ArgAction::Set, num_args = 0.., value_names = ["IMAGE", "ARGUMENT"], value_parser = values::text)]
    pub docker: Option<Vec<String>>,
    /// Run a clone of the task
    #[arg(long)]
    pub clone: bool,
    /// Say what would be done and why, and do nothing
    #[arg(long, conflicts_with = "clone")]
    pub plan: bool,
    /// Print the plan as JSON
    #[arg(long, requires = "plan")]
    pub json: bool,
    /// What all verbs that run tasks take
    #[command(flatten)]
    pub tasks: TaskOptions,
}
