//! `clearml-agent slurm`: queues whose tasks run as jobs of a Slurm cluster (C-680).

pub(super) use crate::cli::Slurm as Arguments;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::connect::{self, Patience};
use super::{ExitStatus, Failed, glue};
use crate::api::{QueueId, WorkerId};
use crate::glue::{BatchTemplate, Slurm, SlurmOptions};
use crate::settings::Settings;
use crate::ui::Printer;

/// Beside the worker's name, where the user has given no id.
const WORKER: &str = "slurm";
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
    let worker = glue::worker(&agent, WORKER)?;
    let queues = glue::queues(&session, arguments.queue.as_deref(), arguments.create_queue).await?;
    check_names(&templates, &queues)?;
    let slurm = Slurm::new(slurm_options(&settings, &arguments, templates, &worker)?);
    if let Some(task) = &arguments.render {
        let work = glue::work(&session, task, &queues).await?;
        printer.data(slurm.render(&work)?);
        return Ok(ExitStatus::SUCCESS);
    }
    let version = slurm.version().await.map_err(|error| {
        Failed::message(
            format!("Slurm does not answer: {error}"),
            "the glue runs where `sbatch` and `squeue` work, as the user whose jobs they are",
        )
    })?;
    let start = glue::Start {
        session: &session,
        settings: &settings,
        worker,
        queues,
        holding: (&arguments.pending_queue_name, &[TAG]),
        holding_option: "--pending-queue-name",
        name: WORKER,
        found: version,
        limit: arguments.max_jobs,
        holds_again: true,
        metrics_listen: arguments.metrics_listen.as_deref(),
    };
    glue::run(slurm, start, printer).await
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
