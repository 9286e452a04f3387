//! `clearml-agent daemon`: start-up in the reference's order (D 2.1), then the worker.

pub(super) use crate::cli::Daemon as Arguments;

use tokio::signal::unix::{SignalKind, signal};

use super::background::{self, Waiting};
use super::connect::{self, Patience};
use super::queues::{find_queues, table};
use super::status::status;
use super::stop::stop;
use super::{ExitStatus, Failed, cuda, folders, hours, options, unavailable};
use crate::api::WorkerId;
use crate::settings::{AgentSettings, Detected, Settings};
use crate::storage::{Instance, Places, Slot, SlotError};
use crate::task::{Devices, RunOptions};
use crate::ui::Printer;
use crate::worker::{
    Capacity, Daemon, DaemonEnd, DaemonOptions, Nursery, PollOptions, Reread, WorkerName, placed,
    vacant_slots,
};

/// Takes tasks from queues until a signal ends it.
pub(super) async fn daemon(
    settings: Settings,
    arguments: Arguments,
    debug: bool,
    waiting: Option<Waiting>,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let starts = arguments.stop.is_none() && !arguments.status;
    let is_detached = arguments.detached && !arguments.foreground && starts;
    if is_detached && waiting.is_none() {
        // The second process says everything that there is to say.
        return background::detach();
    }
    for notice in settings.notices() {
        printer.line(notice);
    }
    unavailable::check_daemon(&arguments, settings.environment().get("PATH"))?;
    if arguments.check_bootstrap {
        printer.line("Nothing to check: this agent needs no bootstrap package");
    }
    if let Some(wanted) = &arguments.stop {
        return stop(&settings, &arguments, wanted, printer).await;
    }
    unavailable::refuse_daemon(&arguments)?;
    let (session, base) =
        connect::begin(settings, Patience::Short, arguments.status, printer).await?;
    let capacity = capacity(&arguments);
    let run = run_options(&base, &arguments, capacity, debug);
    let detected = options::detected(&base, &run).await;
    let settings = options::for_devices(base.completed(&detected), &run);
    let agent = settings.agent()?;
    let (ids, queues) = find_queues(&session, &arguments).await?;
    let schedule = hours::schedule(&agent, &arguments)?;
    let places = options::usable_places(&agent)?;
    let selection = options::devices(&settings, &run);
    let name = worker_name(&agent, &selection.devices);
    if arguments.status {
        let worker = present_worker(&places, &name)?;
        return Ok(status(&session, &worker, &queues, &schedule, printer).await);
    }
    let slot = claim_slot(&places, &name).await?;
    let worker: WorkerId = slot.worker.parse()?;
    let own = settings.with_folders(slot.number as usize);
    folders::check(&own)?;
    let (printout, table) = (own.printout(), table(&ids, &queues).to_string());
    printer.line(&printout);
    let agent = placed(&settings, worker.as_str(), slot.number).agent()?;
    printer.line(format!("Worker \"{worker}\" - Listening to queues:"));
    printer.line(&table);
    cuda::check(&agent, &run, &selection.devices, printer)?;
    if capacity != Capacity::One {
        printer.line("ClearML-Agent running in services mode");
    }
    let for_one_task = is_detached && !debug;
    let log_file = (!arguments.foreground)
        .then(|| background::log_file(&places.temporary, for_one_task, debug, printer))
        .transpose()?;
    if let Some(waiting) = waiting {
        // From here on the terminal may be closed. A signal that was asked for once does not end the process any more.
        drop(signal(SignalKind::hangup())?);
        waiting.let_go()?;
        for text in [format!("Worker \"{worker}\" :"), printout, table] {
            printer.line(text);
        }
    }
    let reread = rereading(base, detected, run.clone());
    let report = options::report(
        &agent,
        &reporting(&run, capacity),
        &selection.devices,
        worker.clone(),
        Some(ids.clone()),
    );
    let options = DaemonOptions {
        session,
        reread,
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
        grace: agent.stop_grace_period,
        capacity,
        report,
        polling: PollOptions {
            is_fair: arguments.order_fairness,
            schedule,
            clock: hours::local_hour,
        },
        polling_interval: options::polling_interval(&agent, arguments.polling_interval),
        is_talkative: arguments.foreground || debug,
        log_file,
        task_runs: connect::leave_outages_to_supervisor,
        ignores_hangup: is_detached,
    };
    Ok(match Box::pin(Daemon::new(options).run()).await? {
        DaemonEnd::HandedOver => ExitStatus::SUCCESS,
        DaemonEnd::Hurried | DaemonEnd::Terminated => ExitStatus::INTERRUPTED,
    })
}

/// Where tasks are workers of their own, the tags are theirs (D-260).
fn reporting(run: &RunOptions, capacity: Capacity) -> RunOptions {
    let mut run = run.clone();
    if capacity != Capacity::One {
        run.tags = Some(Vec::new());
    }
    run
}

/// The worker of this name that runs, as `--stop` would find it; else the one that would come first (D-287).
fn present_worker(places: &Places, name: &WorkerName) -> Result<WorkerId, Failed> {
    let mut living = Instance::all(&places.slots);
    living.retain(Instance::is_alive);
    let mut ids: Vec<String> = living
        .into_iter()
        .map(|instance| instance.worker)
        .filter(|worker| name.could_be(worker))
        .collect();
    ids.sort();
    let id = ids.into_iter().next();
    Ok(id.unwrap_or_else(|| name.worker_id(0)).parse()?)
}

/// F-015
fn rereading(base: Settings, detected: Detected, run: RunOptions) -> Reread {
    Reread::new(move || {
        let settings = options::for_devices(base.reread()?.completed(&detected), &run);
        // A file that is just being written may be a good one without its end.
        settings.api()?;
        Ok(settings)
    })
}

/// D-032
pub(super) fn capacity(arguments: &Arguments) -> Capacity {
    match arguments.services_mode {
        None => Capacity::One,
        Some(limit) => Capacity::services(limit.unwrap_or(-1)),
    }
}

/// How tasks are run; services get no GPU (D-255).
pub(super) fn run_options(
    settings: &Settings,
    arguments: &Arguments,
    capacity: Capacity,
    debug: bool,
) -> RunOptions {
    let run = RunOptions {
        tags: arguments.child_report_tags.clone(),
        ..options::run_options(settings, &arguments.tasks, arguments.standalone_mode, debug)
    };
    match capacity {
        Capacity::One => run,
        Capacity::Services { .. } => RunOptions {
            cpu_only: true,
            gpus: None,
            ..run
        },
    }
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

/// A place on this machine for a worker of this name (D 2.5).
pub(super) async fn claim_slot(places: &Places, name: &WorkerName) -> Result<Slot, Failed> {
    let vacant = vacant_slots(places, name);
    let slot = Slot::claim(&places.slots, |slot| name.worker_id(slot), &vacant).await;
    slot.map_err(slot_failed)
}

fn slot_failed(error: SlotError) -> Failed {
    let hint = match &error {
        SlotError::Duplicate(_) => {
            "stop the other agent, or give this one other GPUs or another `agent.worker_id`"
        }
        SlotError::Storage { .. } => "set `TMPDIR` to a folder that can be written",
    };
    Failed::new(error, Some(hint))
}
