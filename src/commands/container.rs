//! From settings and command line to the options of containers, and what is said of them at the start (C-001 to C-006).

use std::path::{Path, PathBuf};

use tokio::task::spawn_local;

use super::{Failed, cuda, options, store};
use crate::container::args::HostContext;
use crate::container::boot::{RunnerError, locate, planned};
use crate::container::command::{
    ContainerOptions, DefaultContainer, HostFacts, configuration, start_up_lines,
};
use crate::container::engine::EndpointSource;
use crate::settings::{Settings, env_vars, hocon};
use crate::storage::Places;
use crate::task::{self, Containment, Devices, RunOptions};
use crate::ui::Printer;

#[cfg(test)]
mod tests;

/// What holds for all containers of an agent with these options. `uses_owner_token`: tasks act as their owners.
pub(super) fn container_options(
    settings: &Settings,
    run: &RunOptions,
    uses_owner_token: bool,
) -> Result<ContainerOptions, Failed> {
    let container = settings.container()?;
    let words = run.docker.as_deref().unwrap_or_default();
    let environment = settings.environment();
    // An empty list hides all GPUs, which the agent itself has no word for (C-050).
    let is_empty = |variable: &env_vars::Variable| environment.get(variable.name) == Some("");
    let visible_devices = match options::devices(settings, run).devices {
        Devices::Unrestricted
            if is_empty(&env_vars::NVIDIA_VISIBLE_DEVICES)
                || is_empty(&env_vars::CUDA_VISIBLE_DEVICES) =>
        {
            Some(String::new())
        }
        devices => devices.text().map(str::to_owned),
    };
    let tags = run.tags.clone();
    Ok(ContainerOptions {
        default: DefaultContainer::of(words, &container),
        is_podman: run.podman,
        is_standalone: run.standalone || settings.is_on("agent.standalone_mode"),
        visible_devices,
        tags: tags.unwrap_or_else(|| container.worker_tags.clone()),
        uses_owner_token,
        variables: environment.clone(),
        configuration: settings.clone(),
        settings: container,
    })
}

/// What an agent that runs tasks in containers says once, when it starts (C-004, C-073, C-113).
fn start_up(options: &ContainerOptions, host: &HostFacts) -> Vec<String> {
    let mut lines = options
        .default
        .banner(options.is_standalone, &options.settings);
    lines.extend(start_up_lines(&options.settings, host));
    lines
}

/// Says what an agent with these options says when it starts, about containers or about CUDA (D-101).
pub(super) fn announce(
    settings: &Settings,
    run: &RunOptions,
    uses_owner_token: bool,
    devices: &Devices,
    printer: Printer,
) -> Result<(), Failed> {
    if run.docker.is_none() {
        return cuda::check(&settings.agent()?, run, devices, printer);
    }
    let options = container_options(settings, run, uses_owner_token)?;
    let host = HostFacts::gather(settings.home());
    for line in start_up(&options, &host) {
        printer.line(line);
    }
    Ok(())
}

/// Where the builds of this user keep what they need while they go on.
pub(super) fn builds(places: &Places) -> PathBuf {
    places.runs.with_file_name("builds")
}

/// Removes, beside the work, what builds have left that were killed.
pub(super) fn clear_dead_builds(settings: &Settings, run: &RunOptions, places: &Places) {
    let Some(source) = engine_source(settings, run) else {
        return;
    };
    let builds = builds(places);
    spawn_local(async move { task::clear_dead_builds(&builds, &source).await });
}

/// What says where the engine of tasks with these options is; none for tasks on the machine itself.
pub(super) fn engine_source(settings: &Settings, run: &RunOptions) -> Option<EndpointSource> {
    run.docker.as_ref()?;
    let environment = settings.environment();
    let home = settings.home();
    let source = EndpointSource::of(|name| environment.get(name), home, run.podman);
    Some(source)
}

/// The worker that starts a container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parent<'a> {
    /// Its id.
    pub(super) worker: &'a str,
    /// The task is a worker of its own (C-320).
    pub(super) is_own_worker: bool,
    /// Services mode.
    pub(super) is_service: bool,
    /// `--use-owner-token`
    pub(super) uses_owner_token: bool,
}

/// The folder that is mounted into containers, as a run would have it; it is not made.
pub(super) fn planned_runner(
    settings: &Settings,
    options: &ContainerOptions,
) -> Result<PathBuf, Failed> {
    runner(settings, options, planned)
}

/// Finds this program for containers, by one of the two ways.
fn runner<T>(
    settings: &Settings,
    options: &ContainerOptions,
    find: impl FnOnce(Option<&Path>, &Path, &Path) -> Result<T, RunnerError>,
) -> Result<T, Failed> {
    let own = std::env::current_exe()?;
    // Where the engine sees it too, if the agent itself is in a container (C-236).
    let folder = options.settings.host_mount.as_ref().map_or_else(
        || settings.home().join(".clearml/agent-runner"),
        |mount| Path::new(&mount.inside).join("agent-runner"),
    );
    let configured = settings
        .text("agent.docker_runner")
        .map(|path| settings.expand(&path));
    find(configured.as_deref(), &own, &folder)
        .map_err(|error| Failed::message(error.to_string(), error.hint()))
}

/// The container of tasks with these options; none for tasks on the machine itself.
pub(super) fn containment(
    settings: &Settings,
    run: &RunOptions,
    parent: &Parent<'_>,
) -> Result<Option<Containment>, Failed> {
    let Some(source) = engine_source(settings, run) else {
        return Ok(None);
    };
    let environment = settings.environment();
    let home = settings.home();
    let options = container_options(settings, run, parent.uses_owner_token)?;
    let runner = runner(settings, &options, locate)?;
    let inner = configuration(&options, settings, true);
    Ok(Some(Containment {
        host: HostFacts::gather(home),
        source,
        search_path: environment.get("PATH").unwrap_or_default().to_owned(),
        configuration: hocon::print(inner.root()),
        parent: parent.worker.to_owned(),
        is_own_worker: parent.is_own_worker,
        is_service: parent.is_service,
        says_timings: run.timings,
        runner: Some(runner.path),
        store: store::of_containers(&settings.agent()?),
        context: HostContext {
            is_podman: run.podman,
            ..HostContext::here()
        },
        options,
    }))
}
