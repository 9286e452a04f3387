//! `clearml-agent config`: what is in force (D-330).

use super::{ExitStatus, connect};
use crate::python;
use crate::settings::{Detected, Settings};
use crate::ui::Printer;

/// Prints the configuration; needs neither server nor network.
pub(super) async fn config(settings: &Settings, printer: Printer) -> ExitStatus {
    for notice in settings.notices() {
        printer.line(notice);
    }
    let settings = settings.completed(&Detected {
        host_name: connect::host_name(),
        python_version: python::default_version().await,
        ..Detected::default()
    });
    printer.line(settings.printout());
    ExitStatus::SUCCESS
}
