//! The command line: the words of a call become one value; what is wrong with them is said as scripts know it.

mod arguments;
mod complaint;
mod generated;
mod response_file;
mod usage;
mod values;
mod words;

#[cfg(test)]
mod cases;

pub use arguments::{
    Build, Cache, CacheCommand, Cli, Command, Config, Daemon, Devices, Execute, Generate,
    GenerateKind, GitCredentials, Init, InstallBootstrap, List, LogFormat, Service, ServiceCommand,
    ServiceInstall, ServicePlace, Supervise, TaskOptions,
};
pub use generated::{ManPage, completions, man_pages};
pub use usage::Refused;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

/// Parses the words of the call, the program's name first (D-001 to D-013).
pub fn parse(words: Vec<OsString>) -> Result<Cli, Refused> {
    let words = response_file::expand(words).map_err(|text| Refused::by_program(&text))?;
    let program = complete();
    let words = words::marked(&program, words);
    Cli::try_parse_from(&words).map_err(|error| Refused::new(&error, &words))
}

/// The whole program, with what clap adds by itself.
fn complete() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}
