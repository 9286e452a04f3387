//! `clearml-agent execute --plan`: what a run would do and why, without doing it.

mod text;

use serde_json::Value;

use super::connect::{self, Patience};
use super::execute::{cancelled_by_interrupt, not_taken, own_configuration, own_worker, resolve};
use super::options::{self, PreparationWishes};
use super::{ExitStatus, Failed};
use crate::api::{QueueId, Task};
use crate::cli::Execute as Arguments;
use crate::container::command::{ContainerCommand, HostFacts, Launch, Purpose};
use crate::secrets;
use crate::settings::Settings;
use crate::storage::Places;
use crate::task::{Preparation, RunOptions, TaskServer, container_facts, fetch_task};
use crate::ui::Printer;

/// Stands for a secret.
const HIDDEN: &str = "********";

/// Prints the plan for one task; the server is asked for the task, and told nothing.
pub(super) async fn plan(
    settings: Settings,
    arguments: &Arguments,
    debug: bool,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let run = options::run_options(
        &settings,
        &arguments.tasks,
        arguments.standalone_mode,
        debug,
    );
    let run = RunOptions {
        docker: arguments.docker.clone(),
        ..run
    };
    let Looked {
        task,
        preparation,
        server,
        settings,
    } = look_up(settings, &arguments.id, run.clone(), printer).await?;
    let queue = task.execution.queue.clone();
    let plan = if arguments.docker.is_some() {
        let command = container(&server, &settings, &run, queue.as_ref()).await?;
        preparation.plan_in_container(server.task(), task, &command)
    } else {
        let interrupted = cancelled_by_interrupt()?;
        preparation.plan(server.task(), task, &interrupted).await
    };
    let plan = plan.map_err(not_taken)?;
    let mut plan = serde_json::to_value(plan)?;
    hide_secret_variables(&mut plan);
    mask(&mut plan);
    if arguments.json {
        printer.json(&plan)?;
    } else {
        printer.line(text::text(&plan).trim_end());
    }
    Ok(ExitStatus::SUCCESS)
}

/// A task, and how a run of it would begin.
pub(super) struct Looked {
    pub(super) task: Task,
    pub(super) preparation: Preparation,
    pub(super) server: TaskServer,
    pub(super) settings: Settings,
}

/// The container that the task would get; the engine is not asked.
async fn container(
    server: &TaskServer,
    settings: &Settings,
    run: &RunOptions,
    queue: Option<&QueueId>,
) -> Result<ContainerCommand, Failed> {
    let options = options::container_options(settings, run, false)?;
    let (facts, _) = container_facts(server, &options, queue).await?;
    let host = HostFacts::gather(settings.home());
    let agent = settings.agent()?;
    let (task, worker) = (server.task(), server.worker());
    let random = Launch::random_text();
    // As a run has it; nothing is made.
    let places = Places::new(agent.output_folder.clone(), agent.shared_folder.clone())?;
    let folder = places.runs.join(format!("{task}.{}", &random[..8]));
    let folder = folder.join("container");
    let launch = Launch {
        worker: worker.to_string(),
        parent: worker.to_string(),
        purpose: Purpose::Task,
        is_service: false,
        random,
        configuration: folder.join("clearml.conf"),
        ssh_copy: folder.join("ssh"),
        runner: Some(super::container::planned_runner(settings, &options)?),
    };
    ContainerCommand::of(&options, &facts, &host, &launch)
        .map_err(|error| Failed::message(error.to_string(), error.hint()))
}

/// Asks the server for the task, and tells it nothing.
pub(super) async fn look_up(
    settings: Settings,
    task: &str,
    run: RunOptions,
    printer: Printer,
) -> Result<Looked, Failed> {
    // Looks only: the files of the configuration are not made.
    let (session, settings) = connect::begin(settings, Patience::Short, true, printer).await?;
    let variables = settings.environment_section();
    let settings = settings.with_variables(variables);
    let detected = options::detected(&settings, &run).await;
    let settings = options::for_devices(settings.completed(&detected).with_folders(0), &run);
    let devices = options::devices(&settings, &run).devices;
    let worker = own_worker(&settings.agent()?, &devices)?;
    let id = resolve(&session, task).await?;
    let server = TaskServer::new(session, id, worker);
    let task = fetch_task(&server).await.map_err(not_taken)?;
    let wishes = PreparationWishes {
        configuration: own_configuration(&settings),
        worker: None,
        options: run,
        task: None,
    };
    Ok(Looked {
        task,
        preparation: options::preparation(&settings, wishes)?,
        server,
        settings,
    })
}

/// Values of variables that tell by their name that they are secret.
fn hide_secret_variables(plan: &mut Value) {
    let variables = plan["variables"].as_object_mut();
    for (_, value) in variables
        .into_iter()
        .flatten()
        .filter(|(name, _)| secrets::may_name_a_secret(name))
    {
        *value = Value::from(HIDDEN);
    }
}

/// Every known secret in every text.
fn mask(value: &mut Value) {
    match value {
        Value::String(text) => *text = secrets::mask(text),
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(members) => members.values_mut().for_each(mask),
        _ => {}
    }
}
