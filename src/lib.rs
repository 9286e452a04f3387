//! The `clearml-agent` library: everything that the binary does, by rooms (docs/architecture.md).

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod cli;
pub mod commands;
pub mod container;
pub mod control;
#[cfg(test)]
mod documents;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
pub mod glue;
pub mod logs;
pub mod monitor;
pub mod process;
pub mod python;
pub mod secrets;
pub mod settings;
pub mod source;
pub mod storage;
pub mod task;
pub mod ui;
pub mod visible;
pub mod worker;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use cli::Refused;
use settings::Environment;
use ui::Printer;

/// The official agent's release whose behaviour this one has, as it is told to servers and people.
pub const REFERENCE_VERSION: &str = "3.0.3";

/// Runs the command line to its end. Must be called on the main thread, before other threads exist.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    process::look_up_without_modules();
    let environment = Environment::of_process();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if environment.get(source::ASKPASS_MODE).is_some() {
        let prompt = arguments
            .get(1)
            .and_then(|prompt| prompt.to_str())
            .unwrap_or_default();
        return commands::answer(
            source::askpass(prompt, |name| environment.get(name).map(str::to_owned)).as_deref(),
        );
    }
    // Help goes to stdout and ends well, a usage error to stderr with code 2 (D-006, D-010). Nobody may be listening.
    let as_json = cli::asks_for_json(&arguments);
    match cli::parse(arguments) {
        Ok(cli) => commands::run(cli, &environment),
        Err(Refused::Help(text)) => {
            let _ = write!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(Refused::Usage(mistake)) => {
            if as_json {
                ui::log_as_json();
                let hint = mistake.hint.as_deref();
                Printer::default()
                    .beside_data()
                    .error(&mistake.message, hint);
            } else {
                let _ = writeln!(std::io::stderr(), "{mistake}");
            }
            ExitCode::from(2)
        }
    }
}
