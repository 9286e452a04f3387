//! Options of `install-bootstrap`: those of the reference, so that scripts can go on calling it (D-338).

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::values;

/// Options of `install-bootstrap`; none changes anything.
#[derive(Args, Debug)]
pub struct InstallBootstrap {
    /// Has no effect
    #[arg(long)]
    pub check: bool,
    /// Has no effect
    #[arg(long)]
    pub force: bool,
    /// Has no effect
    #[arg(long, value_name = "TAG", value_parser = values::text)]
    pub version: Option<String>,
    /// Has no effect
    #[arg(long, value_name = "WHEEL", value_parser = values::path, value_hint = ValueHint::FilePath)]
    pub from_file: Option<PathBuf>,
}
