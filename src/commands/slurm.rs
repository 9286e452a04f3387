//! `clearml-agent slurm`: queues whose tasks run as jobs of a Slurm cluster (C-680).

pub(super) use crate::cli::Slurm as Arguments;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::sync::watch;
use tokio::task::spawn_local;

use super::connect::{self, Patience};
use super::queues::{find_queues, resolve_queues};
use super::{ExitStatus, Failed, execute, options};
use crate::api::{NameMatch, Queue, QueueId, Session, WorkerId};
use crate::glue::{BatchTemplate, Glue, GlueOptions, Holding, Ledger, Slurm, SlurmOptions, Work};
use crate::settings::{AgentSettings, Settings};
use crate::task::{RunOptions, StatusReporter};
use crate::ui::{Printer, speak_as};

/// Beside the worker's name, where the user has given no id.
const WORKER: &str = "slurm";
/// Between two looks, in seconds, where the configuration says nothing else.
const POLLING: i64 = 5;
/// Marks the holding queue as one of a glue.
const TAG: &str = "slurm-glue";
const FOLDER: &str = ".clearml/slurm";

/// Submits tasks until a signal ends it.
pub(super) async fn slurm(
    settings: Settings,
    arguments: Arguments,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let templates = templates(&arguments.template_files)?;
    let patience = Patience::Short;
    let is_look = arguments.render.is_some();
    let (session, settings) = connect::begin(settings, patience, is_look, printer).await?;
    let agent = settings.agent()?;
    let worker = worker(&agent)?;
    let queues =
        resolve_queues(&session, arguments.queue.as_deref(), arguments.create_queue).await?;
    let (ids, queues) = find_queues(&session, &queues).await?;
    let queues: Vec<(QueueId, String)> = ids.into_iter().map(|id| named(id, &queues)).collect();
    check_names(&templates, &queues)?;
    let slurm = Slurm::new(slurm_options(&settings, &arguments, templates, &worker)?);
    if let Some(task) = &arguments.render {
        return render(&session, &slurm, task, &queues, printer).await;
    }
    let version = slurm.version().await.map_err(|error| {
        Failed::message(
            format!("Slurm does not answer: {error}"),
            "the glue runs where `sbatch` and `squeue` work, as the user whose jobs they are",
        )
    })?;
    speak_as(worker.as_str(), None);
    let holding = holding_queue(&session, &arguments.pending_queue_name).await?;
    let places = options::usable_places(&agent)?;
    let ledger = Ledger::open(places.runs.with_file_name("glue").join(worker.as_str()))?;
    let names: Vec<&str> = queues.iter().map(|(_, name)| name.as_str()).collect();
    printer.line(format!(
        "Worker \"{worker}\" - {version}, listening to queues: {}",
        names.join(", ")
    ));
    let ids: Vec<QueueId> = queues.iter().map(|(id, _)| id.clone()).collect();
    if let Err(error) = session.workers().register(&worker, &ids).await {
        printer.warning(&format!(
            "could not register the worker: {}",
            error.reference_text()
        ));
    }
    let glue = Glue::new(
        slurm,
        Holding::new(session.clone(), worker.clone(), holding, WORKER),
        ledger,
        GlueOptions {
            queues,
            limit: arguments.max_jobs,
            interval: options::polling_interval(&agent, POLLING),
            requeues_lost: agent.requeue_on_agent_loss,
        },
    );
    let (nothing, reported) = watch::channel(None);
    let run = RunOptions::default();
    let devices = options::devices(&settings, &run).devices;
    let report = options::report(&agent, &run, &devices, worker.clone(), Some(ids.clone()));
    let reporter = spawn_local(StatusReporter::new(session.clone(), report).run(reported));
    glue.run().await?;
    drop(nothing);
    reporter.abort();
    let leave = session.with_deadline(std::time::Duration::from_secs(5));
    if let Err(error) = leave.workers().unregister(&worker, &ids).await {
        printer.warning(&format!(
            "could not unregister the worker: {}",
            error.reference_text()
        ));
    }
    Ok(ExitStatus::INTERRUPTED)
}

/// The one for all queues, and those of single ones.
type Templates = (BatchTemplate, BTreeMap<String, BatchTemplate>);

fn templates(files: &[String]) -> Result<Templates, Failed> {
    let mut common = None;
    let mut by_queue = BTreeMap::new();
    for file in files {
        match file.split_once('=') {
            // A file may have the sign in its own name.
            Some((queue, path)) if !Path::new(file).exists() => {
                by_queue.insert(queue.to_owned(), BatchTemplate::read(Path::new(path))?);
            }
            _ => common = Some(BatchTemplate::read(Path::new(file))?),
        }
    }
    let first = by_queue.values().next().cloned();
    let common = common.or(first).ok_or_else(|| {
        Failed::message("no template", "name a batch script with `--template-files`")
    })?;
    Ok((common, by_queue))
}

fn check_names((_, by_queue): &Templates, queues: &[(QueueId, String)]) -> Result<(), Failed> {
    let unknown = by_queue
        .keys()
        .find(|name| !queues.iter().any(|(_, queue)| queue == *name));
    match unknown {
        None => Ok(()),
        Some(name) => Err(Failed::message(
            format!("a template is given for queue \"{name}\", which is not asked"),
            "name it with `--queue` as well",
        )),
    }
}

fn named(id: QueueId, queues: &[Queue]) -> (QueueId, String) {
    let queue = queues.iter().find(|queue| queue.id == id);
    let name = queue.and_then(|queue| queue.name.clone());
    let name = name.unwrap_or_else(|| id.to_string());
    (id, name)
}

fn worker(agent: &AgentSettings) -> Result<WorkerId, Failed> {
    let id = agent.worker_id.as_deref().filter(|id| !id.is_empty());
    let id = id.map_or_else(
        || {
            let name = agent.worker_name.clone();
            let name = name.filter(|name| !name.is_empty());
            let name = name.unwrap_or_else(connect::host_name);
            format!("{name}:{WORKER}")
        },
        str::to_owned,
    );
    Ok(id.parse()?)
}

fn slurm_options(
    settings: &Settings,
    arguments: &Arguments,
    (template, by_queue): Templates,
    worker: &WorkerId,
) -> Result<SlurmOptions, Failed> {
    let folder = arguments.log_folder.clone();
    let log_folder = folder.unwrap_or_else(|| settings.home().join(FOLDER));
    let log_folder = std::path::absolute(log_folder)?;
    std::fs::create_dir_all(&log_folder)?;
    let agent = match &arguments.agent {
        Some(agent) => agent.clone(),
        None => std::env::current_exe()?,
    };
    Ok(SlurmOptions {
        worker: worker.to_string(),
        template,
        by_queue,
        agent,
        log_folder,
        users: users(settings),
        configuration: configuration(settings),
        settings: settings.clone(),
    })
}

/// `agent.slurm.user_map`
fn users(settings: &Settings) -> Option<BTreeMap<String, String>> {
    let users: BTreeMap<String, String> = settings.texts("agent.slurm.user_map").collect();
    (!users.is_empty()).then_some(users)
}

/// The configuration file that jobs are to read, where it is not the one that they find by themselves.
fn configuration(settings: &Settings) -> Option<PathBuf> {
    let file = PathBuf::from(settings.location()?);
    let own = settings.home().join("clearml.conf");
    (file.is_absolute() && file != own).then_some(file)
}

async fn holding_queue(session: &Session, name: &str) -> Result<QueueId, Failed> {
    match session.queues().by_name(name).await? {
        NameMatch::One(queue) => Ok(queue.id),
        NameMatch::None { .. } => Ok(session.queues().create(name, &[TAG]).await?),
        NameMatch::Several(_) => Err(Failed::message(
            format!("the server has several queues of the name \"{name}\""),
            "name another one with `--pending-queue-name`",
        )),
    }
}

async fn render(
    session: &Session,
    slurm: &Slurm,
    task: &str,
    queues: &[(QueueId, String)],
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let task = execute::resolve(session, task).await?;
    let fields = session.tasks().document(&task).await?;
    let fields = fields.ok_or_else(|| {
        Failed::message(
            format!("there is no task {task}"),
            "copy its id from the web page",
        )
    })?;
    let (queue, queue_name) = queues[0].clone();
    let work = Work {
        task,
        fields,
        queue,
        queue_name,
    };
    printer.data(slurm.render(&work)?);
    Ok(ExitStatus::SUCCESS)
}
