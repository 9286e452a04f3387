//! Options of the hidden `supervise`.

use std::path::PathBuf;

use clap::Args;

use super::LogFormat;

/// Options of the hidden `supervise`.
#[derive(Args, Debug)]
pub struct Supervise {
    /// The run's journal
    #[arg(long, value_name = "FILE")]
    pub journal: PathBuf,
    /// The shape of what is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Print warnings and errors only
    #[arg(long)]
    pub quiet: bool,
}
