//! `service status`: what has been written, and what it does.

use super::super::{ExitStatus, Failed};
use super::unit::Scope;
use super::{Folder, Written};
use crate::cli::ServicePlace;
use crate::settings::Environment;
use crate::ui::Printer;

/// Prints each unit of ours with its state and what its worker says.
pub(super) fn status(
    place: &ServicePlace,
    environment: &Environment,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let scopes = match (place.system, place.user) {
        (true, _) => vec![Scope::System],
        (_, true) => vec![Scope::User],
        // Who has no home has no units there.
        (false, false) if environment.get("HOME").is_none() => vec![Scope::System],
        (false, false) => vec![Scope::System, Scope::User],
    };
    let mut is_any = false;
    for scope in scopes {
        let folder = Folder::new(scope, place, environment)?;
        for unit in folder.written()? {
            is_any = true;
            printer.line(unit.path.display().to_string());
            print_states(&folder, &unit, printer);
        }
    }
    if !is_any {
        printer.line("No unit is installed: `clearml-agent service install` writes one");
    }
    Ok(ExitStatus::SUCCESS)
}

fn print_states(folder: &Folder, unit: &Written, printer: Printer) {
    let Some(systemctl) = folder.systemctl else {
        printer.line("  not running: systemd does not run here");
        return;
    };
    match systemctl.states(&unit.pattern()) {
        Ok(states) if states.is_empty() => printer.line("  no instance is loaded"),
        Ok(states) => {
            for state in states {
                let worker = match &*state.worker {
                    "" => String::new(),
                    worker => format!(", {worker}"),
                };
                printer.line(format!("  {}: {}{worker}", state.unit, state.active));
            }
        }
        // The other units may still be asked for.
        Err(failed) => printer.line(format!("  {}", failed.text())),
    }
}
