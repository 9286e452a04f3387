//! `clearml-agent daemon`: start-up in the reference's order (D 2.1), then the worker.

pub(super) use crate::cli::Daemon as Arguments;

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::background::{self, Waiting};
use super::connect::{self, Patience};
use super::dynamic_gpus::DynamicGpus;
use super::queues::{find_queues, names, resolve_queues, table, table_with_gpus};
use super::status::status;
use super::stop::stop;
use super::{
    ExitStatus, Failed, container, docker_arguments, folders, hours, metrics, options, running,
    slot, unavailable,
};
use crate::api::{ApiVersion, Queue, QueueId, Session, WorkerId};
use crate::process::is_ignored;
use crate::settings::{AgentSettings, Detected, Settings};
use crate::storage::{Instance, Places};
use crate::task::{Devices, RunOptions};
use crate::ui::{Printer, speak_as};
use crate::worker::{
    Capacity, Daemon, DaemonEnd, DaemonOptions, LogFile, Nursery, PollOptions, PrefetchOptions,
    Reread, Schedule, WorkerName, placed,
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
    if let Some(end) = about_others(&settings, &arguments, printer).await? {
        return Ok(end);
    }
    let capacity = capacity(&arguments);
    let named = named_devices(&settings, &arguments, capacity);
    let dynamic = dynamic_gpus(&settings, &arguments, capacity, &named).await?;
    let (session, base) =
        connect::begin(settings, Patience::Short, arguments.status, printer).await?;
    check_owner_tokens(&session, arguments.use_owner_token).await?;
    let run = run_options(&base, &arguments, capacity, debug);
    let run = over_pool(run, dynamic.as_ref());
    let detected = options::detected(&base, &run).await;
    let settings = options::for_devices(base.completed(&detected), &run);
    let agent = settings.agent()?;
    let given = given_queues(&session, &arguments, dynamic.as_ref()).await?;
    let (ids, queues) = find_queues(&session, &given).await?;
    let schedule = hours::schedule(&agent, &arguments)?;
    let places = options::usable_places(&agent)?;
    let selection = options::devices(&settings, &run);
    let name = daemon_name(&agent, &named, capacity);
    if arguments.status {
        let worker = present_worker(&places, &name)?;
        return Ok(status(&session, &worker, &queues, &schedule, printer).await);
    }
    docker_arguments::check(&settings, &run, arguments.use_owner_token, printer).await?;
    let metrics = metrics::listen(arguments.metrics_listen.as_deref(), printer)?;
    let former = former_workers(&places);
    let slot = slot::claim(&places, &name, &session, printer).await?;
    let worker: WorkerId = slot.worker.parse()?;
    speak_as(worker.as_str(), None);
    let own = settings.with_folders(slot.number as usize);
    folders::check(&own)?;
    let printout = own.printout();
    let table = queue_table((&ids, &queues), &given, dynamic.as_ref());
    printer.line(&printout);
    let agent = placed(&settings, worker.as_str(), slot.number).agent()?;
    printer.line(listening(&worker, &table));
    announce(&settings, &run, &arguments, &selection.devices, printer)?;
    container::clear_dead_builds(&settings, &run, &places);
    let log_file = log_file(&arguments, &places, is_detached && !debug, debug, printer)?;
    if let Some(waiting) = waiting {
        // From here on the terminal may be closed. A signal that was asked for once does not end the process any more.
        drop(signal(SignalKind::hangup())?);
        waiting.let_go()?;
        printer.line(format!("Worker \"{worker}\" :\n{printout}\n{table}"));
    }
    let reread = rereading(base, detected, run.clone());
    let report = options::report(
        &agent,
        &reporting(&run, capacity),
        &selection.devices,
        worker.clone(),
        Some(ids.clone()),
    );
    let gpus = dynamic.map(|dynamic| {
        let place = (worker.clone(), places.slots.clone());
        dynamic.into_queues(session.clone(), place, given, former, &agent)
    });
    let options = DaemonOptions {
        prefetch: prefetch(&agent, &arguments, capacity),
        session: session.clone(),
        queue_names: names(&ids, &queues),
        engine: container::engine_source(&settings, &run),
        metrics,
        gpus,
        reread,
        nursery: Nursery {
            places,
            worker: worker.clone(),
            queues: ids.clone(),
            slot: slot.number,
            options: run,
            arguments: debug.then(|| "--debug".to_owned()).into_iter().collect(),
            settings,
            session,
            as_owner: arguments.use_owner_token,
        },
        slot,
        grace: agent.stop_grace_period,
        capacity,
        report,
        polling: polling(&arguments, schedule),
        polling_interval: options::polling_interval(&agent, arguments.polling_interval),
        is_talkative: arguments.foreground || debug,
        log_file,
        task_runs: connect::leave_outages_to_supervisor,
        crashes_on_exception: agent.crash_on_exception,
        ignores_hangup: is_detached || is_ignored(Signal::SIGHUP),
    };
    Ok(exit_status(Box::pin(Daemon::new(options).run()).await?))
}

fn listening(worker: &WorkerId, table: &str) -> String {
    format!("Worker \"{worker}\" - Listening to queues:\n{table}")
}

/// A worker for one task at a time: others take what waits. What an owner may see is not what the worker sees.
fn prefetch(agent: &AgentSettings, arguments: &Arguments, capacity: Capacity) -> PrefetchOptions {
    let may_fetch = capacity == Capacity::One && !arguments.use_owner_token;
    let mut environments = agent.venvs_dir.clone().into_os_string();
    environments.push(".prefetch");
    PrefetchOptions {
        tasks: if may_fetch { agent.prefetched_tasks } else { 0 },
        environments: environments.into(),
    }
}

/// Without a terminal to keep.
fn log_file(
    arguments: &Arguments,
    places: &Places,
    for_one_task: bool,
    debug: bool,
    printer: Printer,
) -> Result<Option<LogFile>, Failed> {
    if arguments.foreground {
        return Ok(None);
    }
    let file = background::log_file(&places.temporary, for_one_task, debug, printer)?;
    Ok(Some(file))
}

fn polling(arguments: &Arguments, schedule: Schedule) -> PollOptions {
    PollOptions {
        is_fair: arguments.order_fairness,
        schedule,
        clock: hours::local_hour,
        with_owner: arguments.use_owner_token,
    }
}

fn exit_status(end: DaemonEnd) -> ExitStatus {
    match end {
        DaemonEnd::Crashed => ExitStatus::FAILURE,
        DaemonEnd::Drained | DaemonEnd::HandedOver => ExitStatus::SUCCESS,
        DaemonEnd::Hurried | DaemonEnd::Terminated => ExitStatus::INTERRUPTED,
    }
}

/// What needs no server: words about workers that run already.
async fn about_others(
    settings: &Settings,
    arguments: &Arguments,
    printer: Printer,
) -> Result<Option<ExitStatus>, Failed> {
    if arguments.check_bootstrap {
        printer.line("Nothing to check: this agent needs no bootstrap package");
    }
    if let Some(wanted) = &arguments.stop {
        let mut wanted = wanted.clone();
        wanted.extend(arguments.drain.iter().flatten().cloned());
        return stop(settings, arguments, &wanted, printer).await.map(Some);
    }
    if arguments.json {
        return running::print(settings, printer).await.map(Some);
    }
    Ok(None)
}

/// Where tasks are workers of their own, the tags are theirs (D-260).
fn reporting(run: &RunOptions, capacity: Capacity) -> RunOptions {
    let mut run = run.clone();
    if capacity != Capacity::One {
        run.tags = Some(Vec::new());
    }
    run
}

/// D-102
fn announce(
    settings: &Settings,
    run: &RunOptions,
    arguments: &Arguments,
    devices: &Devices,
    printer: Printer,
) -> Result<(), Failed> {
    container::announce(settings, run, arguments.use_owner_token, devices, printer)?;
    if capacity(arguments) != Capacity::One {
        printer.line("ClearML-Agent running in services mode");
    }
    Ok(())
}

/// The worker of this name that runs, as `--stop` would find it; else the one that would come first (D-287).
fn present_worker(places: &Places, name: &WorkerName) -> Result<WorkerId, Failed> {
    let mut ids: Vec<String> = places
        .slots
        .all()
        .into_iter()
        .filter(Instance::is_alive)
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

///
pub(super) async fn check_owner_tokens(session: &Session, is_wanted: bool) -> Result<(), Failed> {
    const OLDEST: ApiVersion = ApiVersion {
        major: 2,
        minor: 14,
    };
    if !is_wanted {
        return Ok(());
    }
    let claims = session.claims().await?;
    let may =
        ["admin", "root", "system"].contains(&claims.role.as_str()) || claims.service_account >= 2;
    let problem = if claims.api_version < OLDEST {
        "Server does not support --use-owner-token option (incompatible API version)".to_owned()
    } else if claims.feature_set == "basic" {
        "Server does not support --use-owner-token option".to_owned()
    } else if !may {
        format!(
            "User role not suitable for --use-owner-token option (requires at least admin or service account, found {})",
            claims.role
        )
    } else {
        return Ok(());
    };
    Err(Failed::message(
        problem,
        "leave it out: tasks run with the agent's credentials then",
    ))
}

/// D-032
pub(super) fn capacity(arguments: &Arguments) -> Capacity {
    match arguments.services_mode {
        None | Some(Some(0)) if arguments.dynamic_gpus => Capacity::Gpus,
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
        podman: arguments.docker.is_none() && arguments.podman.is_some(),
        docker: arguments
            .docker
            .clone()
            .or_else(|| arguments.podman.clone()),
        force_current_version: arguments.force_current_version,
        ..options::run_options(settings, &arguments.tasks, arguments.standalone_mode, debug)
    };
    match capacity {
        Capacity::One | Capacity::Gpus => run,
        Capacity::Services { .. } => RunOptions {
            cpu_only: true,
            gpus: None,
            ..run
        },
    }
}

/// D-114
pub(super) fn worker_name(agent: &AgentSettings, devices: &Devices) -> WorkerName {
    daemon_name(agent, devices, Capacity::One)
}

/// D-114, D-120
pub(super) fn daemon_name(
    agent: &AgentSettings,
    devices: &Devices,
    capacity: Capacity,
) -> WorkerName {
    let name = || agent.worker_name.clone().unwrap_or_else(connect::host_name);
    match &agent.worker_id {
        Some(id) => WorkerName::Fixed(id.clone()),
        None if capacity == Capacity::Gpus => WorkerName::over_pool(name(), devices),
        None => WorkerName::new(name(), devices),
    }
}

/// The GPUs as they were named: a pool keeps its range in its worker's id (D-120).
pub(super) fn named_devices(
    settings: &Settings,
    arguments: &Arguments,
    capacity: Capacity,
) -> Devices {
    let mut run = run_options(settings, arguments, capacity, false);
    if capacity == Capacity::Gpus {
        run.gpus.clone_from(&arguments.tasks.devices.gpus);
    }
    options::devices(settings, &run).devices
}

async fn dynamic_gpus(
    settings: &Settings,
    arguments: &Arguments,
    capacity: Capacity,
    named: &Devices,
) -> Result<Option<DynamicGpus>, Failed> {
    match capacity {
        Capacity::Gpus => {
            let dynamic = DynamicGpus::of(arguments, named, settings.environment());
            dynamic.await.map(Some)
        }
        Capacity::One | Capacity::Services { .. } => Ok(None),
    }
}

/// The worker itself has all GPUs of its pool.
fn over_pool(run: RunOptions, dynamic: Option<&DynamicGpus>) -> RunOptions {
    let pool = dynamic.map(DynamicGpus::list);
    RunOptions {
        gpus: pool.or(run.gpus),
        ..run
    }
}

async fn given_queues(
    session: &Session,
    arguments: &Arguments,
    dynamic: Option<&DynamicGpus>,
) -> Result<Vec<QueueId>, Failed> {
    let names = match dynamic {
        Some(dynamic) => Some(dynamic.queues.as_slice()),
        None => arguments.queue.as_deref(),
    };
    let ids = resolve_queues(session, names, arguments.create_queue).await?;
    if let Some(dynamic) = dynamic {
        dynamic.check(&ids)?;
    }
    Ok(ids)
}

/// Whoever has a file on this machine, or had one.
fn former_workers(places: &Places) -> Vec<String> {
    let instances = places.slots.all().into_iter();
    instances.map(|instance| instance.worker).collect()
}

fn queue_table(
    (ids, queues): (&[QueueId], &[Queue]),
    given: &[QueueId],
    dynamic: Option<&DynamicGpus>,
) -> String {
    match dynamic {
        Some(dynamic) => table_with_gpus(ids, queues, |id| dynamic.shown(given, id)).to_string(),
        None => table(ids, queues).to_string(),
    }
}
