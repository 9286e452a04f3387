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
    Boot, BootStep, Build, Cache, CacheCommand, Cli, Command, Config, Daemon, Devices, Doctor,
    Execute, Generate, GenerateKind, GitCredentials, Init, InstallBootstrap, Kubernetes, List,
    LogFormat, Mounted, Prefetch, Service, ServiceCommand, ServiceInstall, ServicePlace, Slurm,
    Supervise, TaskOptions,
};
pub use generated::{ManPage, completions, man_pages};
pub use usage::{Mistake, Refused};

use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory, Parser};

/// Parses the words of the call, the program's name first (D-001 to D-013).
pub fn parse(words: Vec<OsString>) -> Result<Cli, Refused> {
    let words =
        response_file::expand(by_second_name(words)).map_err(|text| Refused::by_program(&text))?;
    let program = complete();
    let words = words::marked(&program, words);
    Cli::try_parse_from(&words).map_err(|error| Refused::new(&error, &words))
}

/// The name of the official program for Slurm is as good as the verb (C-680).
fn by_second_name(mut words: Vec<OsString>) -> Vec<OsString> {
    let program = words.first().map(Path::new).and_then(Path::file_name);
    if program.is_some_and(|name| name == "clearml-agent-slurm") {
        words.insert(1, "slurm".into());
    }
    words
}

/// True where lines are to be JSON, also in a call that cannot be parsed: whoever collects them reads nothing else.
pub fn asks_for_json(words: &[OsString]) -> bool {
    let mut words = words.iter().map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').unzip();
        // The shortest beginning that means it (D-004).
        let name = name.unwrap_or(&word);
        let is_it = name.starts_with("--log-f") && "--log-format".starts_with(name);
        if is_it {
            return match value {
                Some(value) => value == "json",
                None => words.next().is_some_and(|value| value == "json"),
            };
        }
    }
    false
}

/// The whole program, with what clap adds by itself.
fn complete() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}
