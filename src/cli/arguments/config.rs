//! Options of `config`.

use clap::Args;

use crate::cli::values;

/// Options of `config`.
#[derive(Args, Debug)]
pub struct Config {
    /// Print what this key means, its value, where that comes from and what it overrides
    #[arg(long, value_name = "KEY", value_parser = values::text)]
    pub explain: Option<String>,
}
