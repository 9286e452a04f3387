//! Options of the hidden `generate`, with which releases are made.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use clap_complete::Shell;

/// Options of `generate`.
#[derive(Args, Debug)]
pub struct Generate {
    /// What to write
    #[command(subcommand)]
    pub kind: Kind,
}

/// What can be generated from these types.
#[derive(Debug, Subcommand)]
pub enum Kind {
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write a man page for the program and one for each verb
    Man {
        /// Folder for the pages; it is made if it is not there
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}
