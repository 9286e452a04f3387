//! `clearml-agent daemon --status`: hours and queues, and the end (D-285 to D-287).

use std::time::Duration;

use super::ExitStatus;
use crate::api::{Queue, RuntimeProperty, Session, WorkerId};
use crate::ui::Printer;
use crate::visible;
use crate::worker::{Force, Schedule, force_of, forced_by_tag};

/// Prints when tasks are taken, and from where. `worker` is the one that runs, or would.
pub(super) async fn status(
    session: &Session,
    worker: &WorkerId,
    queues: &[Queue],
    schedule: &Schedule,
    printer: Printer,
) -> ExitStatus {
    printer.line(schedule.to_string());
    // A server without properties has said nothing.
    let properties = session.workers().runtime_properties(worker).await;
    let properties = properties.unwrap_or_default();
    let property = force_of(&properties).unwrap_or_else(|warning| {
        printer.line(warning);
        None
    });
    let tags: Vec<Option<Force>> = queues.iter().map(forced_by_tag).collect();
    let by_queue = [Force::On, Force::Off]
        .into_iter()
        .find(|force| tags.contains(&Some(*force)));
    match by_queue.or(property) {
        Some(force) => printer.line(format!("\nCurrently forced {force}")),
        None => printer.line(" "),
    }
    if let Some(force) = property {
        let value = force.to_string().to_lowercase();
        let expires = expiry(&properties).unwrap_or_default();
        printer.line(format!(
            "  - Server runtime property 'force: {value}'{expires}"
        ));
    }
    for (queue, tag) in queues.iter().zip(tags) {
        let name = visible::line(queue.name.as_deref().unwrap_or_default());
        let tag = tag.map(|force| {
            let value = force.to_string().to_lowercase();
            format!(" (tagged 'force_workers:{value}')")
        });
        let tag = tag.unwrap_or_default();
        printer.line(format!("  - Listening to queue '{name}'{tag}"));
    }
    printer.line("");
    ExitStatus::SUCCESS
}

/// When the property ends, by this machine's clock.
fn expiry(properties: &[RuntimeProperty]) -> Option<String> {
    let force = properties.iter().find(|property| property.key == "force")?;
    let left = force.expiry.filter(|left| *left > 0.0)?;
    let left = chrono::TimeDelta::from_std(Duration::try_from_secs_f64(left).ok()?).ok()?;
    let end = chrono::Local::now().checked_add_signed(left)?;
    Some(format!(" expires at {}", end.format("%H:%M")))
}
