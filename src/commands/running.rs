//! `clearml-agent daemon --status --json`: what the running workers of this user do, by their own words.

use serde_json::{Value, json};

use super::{ExitStatus, Failed, options};
use crate::control::{Ask, AskError, ask, listening};
use crate::settings::Settings;
use crate::storage::Instance;
use crate::ui::Printer;
use crate::worker::supervisors;

/// Prints one JSON object; the server is not needed.
pub(super) async fn print(settings: &Settings, printer: Printer) -> Result<ExitStatus, Failed> {
    let places = options::places(&settings.agent()?)?;
    let mut instances = places.slots.all();
    // Those of other users have no name here.
    instances.retain(|instance| instance.is_alive() && !instance.worker.is_empty());
    let mut workers: Vec<Value> = Vec::new();
    for pid in listening(&places.control) {
        // A service worker holds the places of its tasks for a moment; its own id is the shortest.
        let (known, others) = instances
            .into_iter()
            .partition(|instance| u32::try_from(instance.pid) == Ok(pid));
        instances = others;
        let known: Vec<Instance> = known;
        let known = known.into_iter().min_by_key(|one| one.worker.len());
        match ask(&places.control, pid, Ask::Status).await {
            Ok(status) => workers.push(serde_json::to_value(status)?),
            // It was killed.
            Err(AskError::Absent) if known.is_none() => {}
            Err(error) => workers.push(mute(known.as_ref(), pid, &error)),
        }
    }
    // A task that is a worker of its own for the server is one of the tasks above.
    let supervisors = supervisors(&places);
    let answered: Vec<String> = workers
        .iter()
        .filter_map(|worker| Some(worker["worker"].as_str()?.to_owned()))
        .collect();
    for instance in &instances {
        let above = supervisors.iter().find(|(pid, _)| *pid == instance.pid);
        let pid = u32::try_from(instance.pid).unwrap_or_default();
        match above {
            Some((_, above)) if answered.contains(above) => {}
            Some(_) => workers.push(json!({
                "worker": instance.worker,
                "pid": pid,
                "error": "its worker is gone; the task goes on, and a new worker of the name takes it over",
            })),
            None => workers.push(mute(Some(instance), pid, &AskError::Absent)),
        }
    }
    workers.sort_by_key(|worker| worker["worker"].as_str().map(str::to_owned));
    printer.json(&json!({ "workers": workers }))?;
    Ok(ExitStatus::SUCCESS)
}

/// An agent that says nothing: official, older, or in trouble.
fn mute(instance: Option<&Instance>, pid: u32, error: &AskError) -> Value {
    let worker = instance.map(|instance| instance.worker.as_str());
    json!({ "worker": worker, "pid": pid, "error": error.to_string() })
}
