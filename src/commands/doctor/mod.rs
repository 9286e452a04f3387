//! `clearml-agent doctor`: looks at all that tasks will need, and says what to mend. Nothing is changed, and no task is touched.

mod configuration;
mod engine;
mod machine;
mod report;
mod server;
mod tools;

use super::{ExitStatus, Failed};
use crate::cli::Doctor as Arguments;
use crate::settings::Settings;
use crate::ui::Printer;
use report::Report;

/// Looks at everything, the server last because it may take longest to say that it is away; ends with 1 where something has failed.
pub(super) async fn doctor(
    settings: &Settings,
    arguments: &Arguments,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let in_containers = arguments.docker || arguments.podman;
    let mut report = Report::new(printer, arguments.json);
    report.add_all(configuration::look(settings));
    report.add_all(machine::look(settings)?);
    report.add_all(tools::look(settings, arguments.git.as_deref(), in_containers).await?);
    report.add_all(engine::look(settings, arguments.docker, arguments.podman).await);
    server::look(settings, arguments.queue.as_deref(), &mut report).await;
    if report.finish()? {
        return Ok(ExitStatus::SUCCESS);
    }
    Ok(ExitStatus::FAILURE)
}
