//! Options of the hidden `supervise`.

use std::path::PathBuf;

use clap::Args;

/// Options of the hidden `supervise`.
#[derive(Args, Debug)]
pub struct Supervise {
    /// The run's journal
    #[arg(long, value_name = "FILE")]
    pub journal: PathBuf,
}
