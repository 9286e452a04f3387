//! `clearml-agent config`: what is in force (D-330).

use super::ExitStatus;
use crate::settings::Settings;
use crate::ui::Printer;

/// Prints the configuration; needs neither server nor network.
pub(super) fn config(settings: &Settings, printer: Printer) -> ExitStatus {
    for notice in settings.notices() {
        printer.line(notice);
    }
    printer.line(settings.printout());
    ExitStatus::SUCCESS
}
