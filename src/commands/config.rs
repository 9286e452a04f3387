//! `clearml-agent config`: what is in force (D-330), or what one key means and where its value comes from.

use super::{ExitStatus, Failed, connect, cuda};
pub(super) use crate::cli::Config as Arguments;
use crate::python::{self, StoreOptions};
use crate::settings::{Detected, Settings};
use crate::ui::Printer;

/// Prints the configuration; needs neither server nor network.
pub(super) async fn config(
    settings: &Settings,
    arguments: &Arguments,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    for notice in settings.notices() {
        printer.line(notice);
    }
    let search_path = settings.environment().get("PATH").unwrap_or_default();
    let python_version = match python::version_by_name(search_path) {
        Some(version) => Some(version),
        None if settings.filled_text("agent.default_python").is_some() => None,
        None => {
            let named = settings.environment().get("LOCAL_PYTHON");
            python::default_version(named, &StoreOptions::off()).await
        }
    };
    let settings = settings.completed(&Detected {
        host_name: connect::host_name(),
        python_version,
        ..cuda::detected(settings, false).await
    });
    if let Some(key) = &arguments.explain {
        for explanation in settings.explain(key)? {
            printer.line(explanation.to_string());
        }
        return Ok(ExitStatus::SUCCESS);
    }
    printer.line(settings.printout());
    // What would stop every other command is said here too.
    settings.http()?;
    Ok(ExitStatus::SUCCESS)
}
