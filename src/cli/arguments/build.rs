//! Options of `build` (D 1.6).

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueHint};

use super::{TaskOptions, values};

/// Options of `build`.
#[derive(Args, Debug)]
pub struct Build {
    /// Task id, or the name of a task
    #[arg(long, value_name = "TASK", value_parser = values::text)]
    pub id: String,
    /// Folder of the environment, or name of the image
    #[arg(long, value_name = "TARGET", value_parser = values::path, value_hint = ValueHint::AnyPath)]
    pub target: Option<PathBuf>,
    /// Install with the interpreter of the system, without an environment
    #[arg(long)]
    pub install_globally: bool,
    /// Build a container image; from this image unless the task names one
    #[arg(long, action = ArgAction::Set, num_args = 0.., value_names = ["IMAGE", "ARGUMENT"], value_parser = values::text)]
    pub docker: Option<Vec<String>>,
    /// Use the image of the command line, whatever the task says
    #[arg(long)]
    pub force_docker: bool,
    /// Python of the environment, such as 3.12
    #[arg(long, value_name = "VERSION", value_parser = values::text)]
    pub python_version: Option<String>,
    /// Let the image run the task, or a clone of it
    #[arg(long, value_name = "WHAT", value_parser = ["reuse_task", "clone_task"])]
    pub entry_point: Option<String>,
    /// Leave the agent's credentials out of the image
    #[arg(long)]
    pub without_credentials: bool,
    /// What all verbs that run tasks take
    #[command(flatten)]
    pub tasks: TaskOptions,
}
