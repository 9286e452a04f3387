//! `clearml-agent execute --plan`: what a run would do and why, without doing it.

mod text;

use serde_json::Value;

use super::connect::{self, Patience};
use super::execute::{cancelled_by_interrupt, not_taken, own_configuration, own_worker, resolve};
use super::options::{self, PreparationWishes};
use super::{ExitStatus, Failed};
use crate::api::{Task, TaskId};
use crate::cli::Execute as Arguments;
use crate::secrets;
use crate::settings::{Settings, is_secret_variable};
use crate::task::{Preparation, RunOptions, TaskServer, fetch_task};
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
    let Looked {
        id,
        task,
        preparation,
    } = look_up(settings, &arguments.id, run, printer).await?;
    let interrupted = cancelled_by_interrupt()?;
    let plan = preparation.plan(&id, task, &interrupted).await;
    let mut plan = serde_json::to_value(plan.map_err(not_taken)?)?;
    hide_secret_variables(&mut plan);
    mask(&mut plan);
    if arguments.json {
        printer.data(serde_json::to_string_pretty(&plan)?);
    } else {
        printer.line(text::text(&plan).trim_end());
    }
    Ok(ExitStatus::SUCCESS)
}

/// A task, and how a run of it would begin.
pub(super) struct Looked {
    pub(super) id: TaskId,
    pub(super) task: Task,
    pub(super) preparation: Preparation,
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
    let server = TaskServer::new(session, id.clone(), worker);
    let task = fetch_task(&server).await.map_err(not_taken)?;
    let wishes = PreparationWishes {
        configuration: own_configuration(&settings),
        worker: None,
        options: run,
        task: None,
    };
    Ok(Looked {
        id,
        task,
        preparation: options::preparation(&settings, wishes)?,
    })
}

/// Values of variables that tell by their name that they are secret.
fn hide_secret_variables(plan: &mut Value) {
    let variables = plan["variables"].as_object_mut();
    for (_, value) in variables
        .into_iter()
        .flatten()
        .filter(|(name, _)| is_secret_variable(name))
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
