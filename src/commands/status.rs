//! `clearml-agent daemon --status`: hours and queues, and the end (D-285 to D-287).

use super::ExitStatus;
use crate::api::Queue;
use crate::ui::Printer;

/// Prints what the worker would do.
pub(super) fn status(queues: &[Queue], printer: Printer) -> ExitStatus {
    printer.line("No uptime/downtime configurations found");
    printer.line(" ");
    for queue in queues {
        let name = queue.name.as_deref().unwrap_or_default();
        printer.line(format!("  - Listening to queue '{name}'"));
    }
    printer.line("");
    ExitStatus::SUCCESS
}
