//! The command line: the words of a call become one value; what is wrong with them is said as scripts know it.

mod arguments;
mod response_file;
mod usage;

pub use arguments::{Cli, Command, Daemon, Execute, GitCredentials, Init, Supervise};
pub use usage::Refused;

use std::ffi::OsString;

use clap::Parser;

/// Parses the words of the call, the program's name first (D-001 to D-013).
pub fn parse(words: Vec<OsString>) -> Result<Cli, Refused> {
    let words = response_file::expand(words).map_err(|text| Refused::by_program(&text))?;
    Cli::try_parse_from(&words).map_err(|error| Refused::new(&error, &words))
}
