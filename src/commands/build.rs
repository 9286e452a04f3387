//! `clearml-agent build`: the environment of a task, or an image with it, without running the task (E section 13, C section 4).

pub(super) use crate::cli::Build as Arguments;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_local;
use tokio_util::sync::CancellationToken;

use super::connect::{self, Patience};
use super::execute::{failed, own_configuration, own_worker, resolve};
use super::options::{self, PreparationWishes};
use super::{ExitStatus, Failed, container, unavailable};
use crate::process::Output;
use crate::settings::Settings;
use crate::task::{
    BuildWishes, Devices, EntryPoint, ImageBuild, PrepareError, RunOptions, TaskServer,
};
use crate::ui::{Printer, is_quiet};

/// What stands in an environment that `venv`, `virtualenv` or conda made, with the task's code in it.
const OWN: [&str; 20] = [
    ".gitignore",
    ".lock",
    "CACHEDIR.TAG",
    "bin",
    "code",
    "compiler_compat",
    "conda-meta",
    "etc",
    "include",
    "lib",
    "lib64",
    "libexec",
    "local",
    "man",
    "pyvenv.cfg",
    "sbin",
    "share",
    "ssl",
    "task_repository",
    "var",
];

/// Builds what the command line asks for.
pub(super) async fn build(
    settings: Settings,
    arguments: Arguments,
    debug: bool,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    for notice in settings.notices() {
        printer.line(notice);
    }
    if arguments.id.is_empty() {
        return Err(Failed::message(
            "Worker build must have valid task id",
            "name the task with `--id`",
        ));
    }
    unavailable::check_build(&arguments, settings.environment().get("PATH"), printer)?;
    let folder = match (&arguments.docker, &arguments.target) {
        (None, Some(folder)) => Some(target(folder)?),
        _ => None,
    };
    let (session, settings) = connect::begin(settings, Patience::Long, false, printer).await?;
    let run = RunOptions {
        docker: arguments.docker.clone(),
        ..options::run_options(&settings, &arguments.tasks, false, debug)
    };
    let detected = options::detected(&settings, &run).await;
    let settings = options::for_devices(settings.completed(&detected).with_folders(0), &run);
    let devices = options::devices(&settings, &run).devices;
    let agent = settings.agent()?;
    let task = resolve(&session, &arguments.id).await?;
    let server = TaskServer::new(session, task, own_worker(&agent, &devices)?);
    let output = Output::console(is_quiet())?;
    let cancel = cancelled_by_signals()?;
    if arguments.docker.is_some() {
        let build = Image {
            settings: &settings,
            run: &run,
            devices: &devices,
            arguments: &arguments,
        };
        let built = build.build(&server, &output, &cancel, printer);
        return Box::pin(built).await;
    }
    let wishes = PreparationWishes {
        configuration: own_configuration(&settings),
        worker: None,
        options: run,
        task: None,
    };
    let preparation = options::preparation(&settings, wishes)?;
    let wishes = BuildWishes {
        target: folder,
        python_version: arguments.python_version,
        is_global: arguments.install_globally,
    };
    let built = preparation.build(&server, &wishes, &output, &cancel);
    ended(Box::pin(built).await)
}

fn ended(built: Result<(), PrepareError>) -> Result<ExitStatus, Failed> {
    match built {
        Ok(()) => Ok(ExitStatus::SUCCESS),
        Err(PrepareError::Cancelled) => Ok(ExitStatus::INTERRUPTED),
        Err(PrepareError::Failed(failure)) => Err(failed(*failure)),
    }
}

/// Both end a build with all that it has started.
fn cancelled_by_signals() -> Result<CancellationToken, Failed> {
    let token = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind)?;
        let cancel = token.clone();
        spawn_local(async move {
            signals.recv().await;
            cancel.cancel();
        });
    }
    Ok(token)
}

/// `build --docker` (C section 4).
struct Image<'a> {
    settings: &'a Settings,
    run: &'a RunOptions,
    devices: &'a Devices,
    arguments: &'a Arguments,
}

impl Image<'_> {
    async fn build(
        &self,
        server: &TaskServer,
        output: &Output,
        cancel: &CancellationToken,
        printer: Printer,
    ) -> Result<ExitStatus, Failed> {
        let (settings, run) = (self.settings, self.run);
        let places = options::usable_places(&settings.agent()?)?;
        container::announce(settings, run, false, self.devices, printer)?;
        let parent = container::Parent {
            worker: server.worker().as_str(),
            is_own_worker: false,
            is_service: false,
            uses_owner_token: false,
        };
        let Some(mut containment) = container::containment(settings, run, &parent)? else {
            return Ok(ExitStatus::FAILURE);
        };
        // An image for this mode is made by doing what the mode leaves out.
        containment.options.is_standalone = false;
        let name = match &self.arguments.target {
            Some(name) => name.display().to_string(),
            None => format!("task_id_{}", server.task()),
        };
        let image = ImageBuild {
            name,
            entry_point: self
                .arguments
                .entry_point
                .as_deref()
                .map(|word| match word {
                    "clone_task" => EntryPoint::Clone,
                    _ => EntryPoint::Reuse,
                }),
            is_forced: self.arguments.force_docker,
            forgets: self.arguments.without_credentials,
            builds: container::builds(&places),
        };
        ended(
            containment
                .build_image(server, &image, output, cancel)
                .await,
        )
    }
}

/// The folder of the environment. One that is there is made anew (E-119), so it must hold nothing else (E-282).
fn target(folder: &Path) -> Result<PathBuf, Failed> {
    let absolute = std::path::absolute(folder)?;
    let entries = match fs::read_dir(&absolute) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(absolute),
        Err(error) => Err(error),
    };
    let refused = |reason: String| {
        Failed::message(
            format!("could not use the folder `{}`: {reason}", folder.display()),
            "name with `--target` a folder that is empty, or not there yet",
        )
    };
    let mut names: Vec<String> = entries
        .map_err(|error| refused(error.to_string()))?
        .iter()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let is_environment = ["pyvenv.cfg", "conda-meta"]
        .iter()
        .any(|name| names.iter().any(|it| it == name));
    let other = names
        .iter()
        .find(|name| !is_environment || !OWN.contains(&name.as_str()));
    match other {
        Some(name) => Err(refused(format!(
            "it holds `{name}`, which may be somebody's"
        ))),
        None => Ok(fs::canonicalize(absolute)?),
    }
}
