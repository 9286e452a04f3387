//! Options of `list`.

use clap::Args;

/// Options of `list`; the reference has none (D-329).
#[derive(Args, Debug)]
pub struct List {
    /// Print JSON instead of YAML
    #[arg(long)]
    pub json: bool,
}
