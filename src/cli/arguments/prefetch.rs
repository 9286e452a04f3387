//! Options of the hidden `prefetch`.

use std::path::PathBuf;

use clap::Args;

/// Options of the hidden `prefetch`.
#[derive(Args, Debug)]
pub struct Prefetch {
    /// Where the worker says what is to be fetched
    #[arg(long, value_name = "FOLDER")]
    pub folder: PathBuf,
}
