//! Parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    clearml_agent::run(std::env::args_os())
}
