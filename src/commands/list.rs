//! `clearml-agent list`: the workers that the server knows (D-327).

use super::connect::{self, Patience, login_failed};
use super::{ExitStatus, Failed};
use crate::cli::List as Arguments;
use crate::settings::Settings;
use crate::ui::{Printer, YamlStyle, yaml};

/// Prints the answer of the server as it is, as YAML or JSON.
pub(super) async fn list(
    settings: &Settings,
    arguments: &Arguments,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    // Whoever reads JSON wants nothing else on stdout.
    let session = if arguments.json {
        connect::silent_session(settings, None, Patience::Short)?
    } else {
        for notice in settings.notices() {
            printer.line(notice);
        }
        connect::session(settings, Patience::Short, printer)?
    };
    session
        .claims()
        .await
        .map_err(|error| login_failed(&error, &session))?;
    let answer = session.workers().all_as_answered().await?;
    if arguments.json {
        printer.json(&answer)?;
    } else {
        printer.line(yaml(&answer, YamlStyle::Mixed)?);
    }
    Ok(ExitStatus::SUCCESS)
}
