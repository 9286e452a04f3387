//! `clearml-agent daemon`: start-up in the reference's order (D 2.1), then the worker.

pub(super) use crate::cli::Daemon as Arguments;

use super::connect::{self, Patience};
use super::{ExitStatus, Failed, cuda, options, sections, unavailable, vaults};
use crate::api::{NameMatch, Queue, QueueId, Session, WorkerId};
use crate::python;
use crate::settings::{AgentSettings, Detected, Settings};
use crate::storage::{Slot, SlotError};
use crate::task::Devices;
use crate::ui::{Printer, Table};
use crate::worker::{Daemon, DaemonEnd, DaemonOptions, Nursery, Reread, WorkerName, vacant_slots};

/// Most names that an error lists (D-109, D-110).
const MOST_LISTED: usize = 10;

/// Takes tasks from queues until a signal ends it.
pub(super) async fn daemon(
    settings: Settings,
    arguments: Arguments,
    debug: bool,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    for notice in settings.notices() {
        printer.line(notice);
    }
    unavailable::check_daemon(&arguments, settings.environment().get("PATH"))?;
    if arguments.check_bootstrap {
        printer.line("Nothing to check: this agent needs no bootstrap package");
    }
    let session = connect::session(&settings, Patience::Short, printer)?;
    connect::log_in(&session, &settings, printer).await?;
    let host_name = connect::host_name();
    let (session, settings) = vaults::apply(session, settings, printer).await?;
    let settings = sections::apply(settings, |line| printer.line(line));
    let base = settings;
    let run = options::run_options(&base, &arguments.tasks, arguments.standalone_mode, debug);
    let detected = Detected {
        host_name,
        python_version: python::default_version().await,
        ..cuda::detected(&base, run.cpu_only).await
    };
    let settings = options::for_devices(base.completed(&detected), &run);
    let agent = settings.agent()?;
    let ids = resolve_queues(&session, &arguments).await?;
    let queues = session.queues().by_ids(&ids).await?;
    if let Some(missing) = ids
        .iter()
        .find(|id| !queues.iter().any(|queue| queue.id == **id))
    {
        return Err(unknown_queue(missing.as_str(), &[]));
    }
    let places = options::usable_places(&agent)?;
    let selection = options::devices(&settings, &run);
    let name = worker_name(&agent, &selection.devices);
    let slot = Slot::claim(
        &places.slots,
        |slot| name.worker_id(slot),
        &vacant_slots(&places, &name),
    )
    .await
    .map_err(slot_failed)?;
    let worker: WorkerId = slot.worker.parse()?;
    let settings = settings.with_folders(slot.number as usize);
    printer.line(settings.printout());
    let settings = named(&settings, &worker);
    let agent = settings.agent()?;
    printer.line(format!("Worker \"{worker}\" - Listening to queues:"));
    printer.line(table(&ids, &queues).to_string());
    cuda::check(&agent, &run, &selection.devices, printer)?;
    let reread = {
        let (slot, worker, run) = (slot.number as usize, worker.clone(), run.clone());
        move || {
            let settings = options::for_devices(base.reread()?.completed(&detected), &run);
            // A file that is just being written may be a good one without its end.
            settings.api()?;
            Ok(named(&settings.with_folders(slot), &worker))
        }
    };
    let options = DaemonOptions {
        session,
        reread: Reread::new(reread),
        nursery: Nursery {
            places,
            worker: worker.clone(),
            queues: ids.clone(),
            slot: slot.number,
            options: run,
            arguments: debug.then(|| "--debug".to_owned()).into_iter().collect(),
            settings,
        },
        slot,
        report: options::report(&agent, &selection.devices, worker, Some(ids)),
        polling_interval: options::polling_interval(&agent, arguments.polling_interval),
        is_talkative: arguments.foreground || debug,
    };
    Ok(match Box::pin(Daemon::new(options).run()).await? {
        DaemonEnd::HandedOver => ExitStatus::SUCCESS,
        DaemonEnd::Hurried | DaemonEnd::Terminated => ExitStatus::INTERRUPTED,
    })
}

/// D-114
pub(super) fn worker_name(agent: &AgentSettings, devices: &Devices) -> WorkerName {
    match &agent.worker_id {
        Some(id) => WorkerName::Fixed(id.clone()),
        None => WorkerName::new(
            agent.worker_name.clone().unwrap_or_else(connect::host_name),
            devices,
        ),
    }
}

/// What children get knows who the worker is.
pub(super) fn named(settings: &Settings, worker: &WorkerId) -> Settings {
    settings.with_detected("agent.worker_id", worker.to_string())
}

pub(super) fn slot_failed(error: SlotError) -> Failed {
    let hint = match &error {
        SlotError::Duplicate(_) => {
            "stop the other agent, or give this one other GPUs or another `agent.worker_id`"
        }
        SlotError::Storage { .. } => "set `TMPDIR` to a folder that can be written",
    };
    Failed::new(error, Some(hint))
}

/// D 2.3
async fn resolve_queues(session: &Session, arguments: &Arguments) -> Result<Vec<QueueId>, Failed> {
    let Some(names) = &arguments.queue else {
        return match session.queues().default_queue().await {
            Ok(queue) => Ok(vec![queue.id]),
            Err(error) if error.refusal().is_some() => Ok(vec![
                resolve_queue(session, "default", arguments.create_queue).await?,
            ]),
            Err(error) => Err(error.into()),
        };
    };
    let mut ids = Vec::new();
    for name in names {
        ids.push(resolve_queue(session, name, arguments.create_queue).await?);
    }
    Ok(ids)
}

async fn resolve_queue(session: &Session, name: &str, create: bool) -> Result<QueueId, Failed> {
    if QueueId::is_written_in(name) {
        return Ok(name.parse()?);
    }
    match session.queues().by_name(name).await? {
        NameMatch::One(queue) => Ok(queue.id),
        NameMatch::None { .. } if create => Ok(session.queues().create(name, &[]).await?),
        NameMatch::None { near } => Err(unknown_queue(name, &near)),
        NameMatch::Several(queues) => Err(ambiguous_queue(name, &queues)),
    }
}

/// D-110
fn unknown_queue(name: &str, similar: &[Queue]) -> Failed {
    let mut names: Vec<(&str, &QueueId)> = similar
        .iter()
        .map(|queue| (queue.name.as_deref().unwrap_or_default(), &queue.id))
        .collect();
    names.sort_unstable();
    let intro = if names.is_empty() {
        ""
    } else {
        ". Did you mean this?"
    };
    let lines: Vec<String> = names
        .iter()
        .take(MOST_LISTED)
        .map(|(name, id)| {
            format!(
                "
* ({id}) {name}"
            )
        })
        .collect();
    let lines = lines.concat();
    Failed::message(
        format!("Could not find queue with name/id \"{name}\"{intro}{lines}"),
        "name a queue of the server, or add `--create-queue`",
    )
}

/// D-109
fn ambiguous_queue(name: &str, queues: &[Queue]) -> Failed {
    let (shown, more) = match queues.len() {
        count if count > MOST_LISTED => (format!(" (showing {MOST_LISTED}/{count})"), "\n..."),
        _ => (String::new(), ""),
    };
    let lines: Vec<String> = queues
        .iter()
        .take(MOST_LISTED)
        .map(|queue| {
            format!(
                "
* {}",
                queue.id
            )
        })
        .collect();
    let lines = lines.concat();
    Failed::message(
        format!("Found multiple queues with name \"{name}\"{shown}:{lines}{more}"),
        "name the queue by its id",
    )
}

fn table(ids: &[QueueId], queues: &[Queue]) -> Table<3> {
    let mut table = Table::new(["id", "name", "tags"]);
    for queue in ids
        .iter()
        .filter_map(|id| queues.iter().find(|queue| queue.id == *id))
    {
        let name = queue.name.clone().unwrap_or_default();
        table.row([queue.id.to_string(), name, queue.tags.join(", ")]);
    }
    table
}
