//! From the settings to the plain options of the rooms below.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) use super::container::container_options;
use super::git_options::source;
use super::store::{is_in_container, lock_timeout, store};
use super::{Failed, connect, cuda};
use crate::api::{CertificateCheck, PageClient, ProxySettings, QueueId, Task, Trust, WorkerId};
use crate::cli::TaskOptions;
use crate::logs::LineRules;
use crate::monitor::{self, GpuFractions, VisibleGpus};
use crate::python::{
    self, CacheOptions, CondaOptions, IndexUrl, NamedInterpreter, Optimization, PackageManager,
    Pages, PoetryOptions, PythonOptions, Rocm, SkipEnvironment, StoreOptions, TorchMode,
    TorchOptions, UvOptions,
};
use crate::settings::env_vars;
use crate::settings::{
    AgentSettings, Detected, Environment, PackageManagerKind, PackageManagerSettings,
    PytorchResolve, Settings,
};
use crate::source::SourceOptions;
use crate::storage::{Places, create_temporary};
use crate::task::{
    DeviceSelection, Devices, EARLIER, Earlier, Preparation, ReportOptions, RunOptions, Taken,
    WatchOptions,
};
use crate::worker;

/// The least time between two looks at idle queues (D-027).
const LEAST_POLLING: Duration = Duration::from_secs(5);

/// What the caller of a preparation decides.
#[derive(Debug)]
pub(super) struct PreparationWishes {
    /// The configuration file that the program sees.
    pub configuration: PathBuf,
    /// The worker's id, below a daemon (E-263).
    pub worker: Option<WorkerId>,
    /// What the command line says.
    pub options: RunOptions,
    /// The task, where it has been fetched already.
    pub task: Option<Box<Task>>,
}

/// How tasks are prepared under these settings.
pub(super) fn preparation(
    settings: &Settings,
    wishes: PreparationWishes,
) -> Result<Preparation, Failed> {
    let agent = settings.agent()?;
    let environment = settings.environment();
    let is_standalone = wishes.options.standalone || agent.standalone_mode;
    let mut exported = mirrored(environment);
    exported.extend_from_slice(settings.applied_variables());
    exported.push(("CUDA_DEVICE_ORDER".to_owned(), "PCI_BUS_ID".to_owned()));
    let mut both = |name: &str, value: &str| {
        exported.push((format!("CLEARML_{name}"), value.to_owned()));
        exported.push((format!("TRAINS_{name}"), value.to_owned()));
    };
    both("LOG_LEVEL", &wishes.options.log_level);
    if let Some(worker) = &wishes.worker {
        both("WORKER_ID", worker.as_str());
    }
    if let Some(tags) = tags(&agent, &wishes.options)
        && let Ok(line) = shlex::try_join(tags.iter().map(String::as_str))
    {
        both("WORKER_TAGS", &line);
    }
    let devices = devices(settings, &wishes.options);
    let device_variables = devices.set();
    exported.extend(device_variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // A child of a worker says which file it got; a command has said so itself.
    let introduction = wishes.worker.as_ref().map(|_| {
        let file = wishes.configuration.display();
        format!("Using custom configuration file from env var: {file}")
    });
    let introduction = introduction.into_iter().collect();
    let earlier = environment.get(EARLIER).and_then(Earlier::read);
    Ok(Preparation {
        introduction,
        source: SourceOptions {
            is_standalone,
            ..source(settings, &agent)
        },
        python: PythonOptions {
            skip: if is_standalone {
                SkipEnvironment::Standalone
            } else {
                skip(settings, &agent)
            },
            installer_variables: installer_variables(settings, &devices),
            ..python(settings, &agent, wishes.options.cpu_only)
        },
        variables: environment.clone(),
        configuration: wishes.configuration,
        printout: settings.printout(),
        exported,
        hidden: devices
            .removed()
            .chain([EARLIER])
            .map(str::to_owned)
            .collect(),
        optimization: match wishes.options.optimize {
            0 => Optimization::None,
            1 => Optimization::Assertions,
            _ => Optimization::Documentation,
        },
        root_on_python_path: agent.force_git_root_python_path,
        extra_python_path: environment
            .text(&env_vars::EXTRA_PYTHON_PATH)
            .map(str::to_owned),
        apply_task_environment: agent.enable_task_env,
        custom_build_script: agent
            .custom_build_script
            .as_deref()
            .map(|script| settings.expand(script).display().to_string()),
        says_timings: wishes.options.timings
            || earlier.as_ref().is_some_and(|earlier| earlier.says_timings),
        earlier,
        prefetch: None,
        task: wishes.task,
    })
}

/// The older names of the agent's own variables, which its children see too (F-074).
fn mirrored(environment: &Environment) -> Vec<(String, String)> {
    let both = environment.mirrored();
    let older = both
        .iter()
        .filter(|(name, _)| environment.get(name).is_none());
    older
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// How a running task is watched.
pub(super) fn watch(agent: &AgentSettings) -> WatchOptions {
    WatchOptions {
        interval: agent.poll_interval.unwrap_or(LEAST_POLLING),
        ping: agent.task_ping_interval,
        callback_limit: agent.abort_callback_max_timeout,
    }
}

/// Between two looks at idle queues (D-027, D-075).
pub(super) fn polling_interval(agent: &AgentSettings, wanted: i64) -> Duration {
    let wanted = Duration::from_secs(u64::try_from(wanted).unwrap_or_default());
    agent
        .poll_interval
        .unwrap_or_else(|| wanted.max(LEAST_POLLING))
}

/// What the command line says about running tasks; `CLEARML_CPU_ONLY` is as good as the option (D-074).
pub(super) fn run_options(
    settings: &Settings,
    tasks: &TaskOptions,
    is_standalone: bool,
    debug: bool,
) -> RunOptions {
    RunOptions {
        log_level: tasks.log_level.to_uppercase(),
        optimize: tasks.optimize,
        timings: tasks.timings,
        standalone: is_standalone,
        gpus: tasks.devices.gpus.as_deref().map(worker::without_ranges),
        cpu_only: tasks.devices.cpu_only || is_true(settings, &env_vars::CPU_ONLY),
        tags: None,
        debug,
        ..RunOptions::default()
    }
}

/// The tags of the worker's reports, and those that a task finds (D-279).
fn tags(agent: &AgentSettings, options: &RunOptions) -> Option<Vec<String>> {
    let tags = options.tags.clone();
    let tags = tags.unwrap_or_else(|| agent.worker_tags.clone());
    Some(tags).filter(|tags| !tags.is_empty())
}

/// The GPUs that tasks may use (D-313 to D-317).
pub(super) fn devices(settings: &Settings, options: &RunOptions) -> DeviceSelection {
    DeviceSelection::of(options, settings.environment(), monitor::is_amd_host())
}

/// What is found out about the machine, for tasks with these options.
pub(super) async fn detected(settings: &Settings, run: &RunOptions) -> Detected {
    let named = settings.environment().get("LOCAL_PYTHON");
    // What is wrong with the settings is said by who needs them.
    let store = settings.agent().map(|agent| store(settings, &agent));
    let store = store.unwrap_or_else(|_| StoreOptions::off());
    Detected {
        host_name: connect::host_name(),
        python_version: python::default_version(named, &store).await,
        ..cuda::detected(settings, run.cpu_only).await
    }
}

/// No version of CUDA where no GPU is to be used (D-017).
pub(super) fn for_devices(settings: Settings, options: &RunOptions) -> Settings {
    if !options.cpu_only {
        return settings;
    }
    ["agent.cuda_version", "agent.cudnn_version"]
        .into_iter()
        .fold(settings, |settings, key| {
            settings.with_detected(key, "0".to_owned())
        })
}

/// Treatment of a console's control characters.
pub(super) fn rules(agent: &AgentSettings) -> LineRules {
    LineRules {
        fold_carriage_returns: agent.suppress_carriage_return,
    }
}

/// What a worker reports.
pub(super) fn report(
    agent: &AgentSettings,
    run: &RunOptions,
    devices: &Devices,
    worker: WorkerId,
    queues: Option<Vec<QueueId>>,
) -> ReportOptions {
    ReportOptions {
        worker,
        tags: tags(agent, run),
        is_daemon: queues.is_some(),
        queues,
        interval: agent.status_report_interval,
        disk_path: agent.monitoring.disk_use_path.clone(),
        taken: Taken::default(),
        gpus: VisibleGpus::of(devices.text()),
        default_gpu_usage: agent.monitoring.default_gpu_utilization,
        gpu_fractions: gpu_fractions(agent),
    }
}

fn gpu_fractions(agent: &AgentSettings) -> Option<GpuFractions> {
    let text = agent.monitoring.gpu_fractions.as_ref()?;
    let fractions = GpuFractions::parse(text);
    if fractions.is_none() {
        tracing::warn!(
            text,
            "CLEARML_AGENT_GPU_FRACTIONS is neither `0.5,0.5` nor `nvidia.com/mig-1g.10gb:2`, so whole GPUs are reported"
        );
    }
    fractions
}

/// The agent's folders.
pub(super) fn places(agent: &AgentSettings) -> Result<Places, Failed> {
    let places = known_places(agent)?;
    writable(&places.runs, Places::create(&places.runs), STATE_HINT)?;
    Ok(places)
}

/// The same, and nothing is created.
pub(super) fn known_places(agent: &AgentSettings) -> Result<Places, Failed> {
    Places::new(agent.output_folder.clone(), agent.shared_folder.clone()).map_err(|error| {
        Failed::message(
            format!("could not use the agent's folders: {error}"),
            fitting("set `HOME` to a folder that can be written"),
        )
    })
}

/// The same, and sure that files can be made in them: nobody takes a task that is bound to fail for that.
pub(super) fn usable_places(agent: &AgentSettings) -> Result<Places, Failed> {
    let places = places(agent)?;
    let state = places.runs.parent().unwrap_or(&places.runs);
    for folder in [
        state,
        places.slots.path(),
        &places.system,
        &places.temporary,
    ] {
        let tried = Places::create(folder).and_then(|()| try_writing(folder));
        let hint = if folder == state {
            STATE_HINT
        } else {
            FOLDERS_HINT
        };
        writable(folder, tried, hint)?;
    }
    Ok(places)
}

/// An empty file can be made where there is no room for a byte.
fn try_writing(folder: &Path) -> std::io::Result<()> {
    let (path, mut file) = create_temporary(folder, ".clearml_agent_out.", ".txt")?;
    let written = file.write_all(b"room");
    std::fs::remove_file(path).and(written)
}

const STATE_HINT: &str =
    "set `XDG_STATE_HOME`, or `HOME` without it, to a folder that can be written";
const FOLDERS_HINT: &str =
    "set `TMPDIR` or `CLEARML_AGENT_TEMP_STDOUT_FILE_DIR` to a folder that can be written";

fn writable(folder: &Path, tried: std::io::Result<()>, hint: &str) -> Result<(), Failed> {
    tried.map_err(|error| {
        let folder = folder.display();
        // In another folder the runs that this one knows would be lost.
        let hint = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free space there",
            _ => fitting(hint),
        };
        Failed::message(
            format!("could not write to the folder `{folder}`: {error}"),
            hint,
        )
    })
}

/// What helps on a machine, or in the container of a task.
fn fitting(hint: &str) -> &str {
    if is_in_container() {
        "put `-e HOME=/tmp` into the container's arguments, with `--tmpfs /tmp:exec` where its root is read-only"
    } else {
        hint
    }
}

/// For servers other than ClearML's.
pub(super) fn page_client(settings: &Settings) -> PageClient {
    let environment = settings.environment();
    let variable = |name: &str| environment.get(name).map(str::to_owned);
    // The server's own certificates have nothing to do with other hosts; those of the machine do.
    PageClient::new(
        Trust::resolve(CertificateCheck::System, variable),
        ProxySettings::from_variables(variable),
    )
}

pub(super) fn python(settings: &Settings, agent: &AgentSettings, cpu_only: bool) -> PythonOptions {
    let manager = &agent.package_manager;
    let cache = &agent.venvs_cache;
    let built_in = PythonOptions::default();
    PythonOptions {
        python_binary: agent.python_binary.clone().unwrap_or_default(),
        default_python: agent.default_python.clone().unwrap_or_default(),
        ignore_requested: agent.ignore_requested_python_version,
        venvs_dir: agent.venvs_dir.clone(),
        target: None,
        keeps_nothing: false,
        package_manager: match manager.kind {
            PackageManagerKind::Pip => PackageManager::Pip,
            PackageManagerKind::Conda => PackageManager::Conda,
            PackageManagerKind::Poetry => PackageManager::Poetry,
            PackageManagerKind::Uv => PackageManager::Uv,
        },
        unknown_package_manager: manager.kind_unknown.clone(),
        conda: CondaOptions {
            channels: manager.conda_channels.clone(),
            full_env_update: manager.conda_full_env_update,
            env_as_base_docker: manager.conda_env_as_base_docker,
            environment: settings
                .environment()
                .text(&env_vars::CONDA_ENV_PACKAGE)
                .map(|path| settings.expand(path)),
            use_base_env: manager.use_conda_base_env,
        },
        uv: uv(settings, manager),
        poetry: PoetryOptions {
            version: manager.poetry_version.clone(),
            install_arguments: manager.poetry_install_extra_args.clone(),
            files_from_working_dir: manager.poetry_files_from_working_dir,
        },
        system_site_packages: manager.system_site_packages,
        pip_version: manager.pip_version.clone(),
        pip_legacy_resolver: manager.pip_legacy_resolver.clone(),
        extra_index_url: manager.extra_index_url.iter().map(IndexUrl::new).collect(),
        extra_install_flags: manager.extra_pip_install_flags.clone(),
        force_upgrade: manager.force_upgrade,
        priority_packages: manager
            .priority_packages
            .clone()
            .unwrap_or(built_in.priority_packages),
        priority_optional_packages: manager.priority_optional_packages.clone(),
        post_packages: manager
            .post_packages
            .clone()
            .unwrap_or(built_in.post_packages),
        post_optional_packages: manager.post_optional_packages.clone(),
        force_repo_requirements_txt: manager.force_repo_requirements_txt,
        force_original_requirements: manager.force_original_requirements,
        download_cache: agent
            .pip_download_cache
            .enabled
            .then(|| agent.pip_download_cache.path.clone()),
        cuda_version: agent.cuda.cuda.clone().unwrap_or_else(|| "0".to_owned()),
        torch: torch(settings, agent, cpu_only),
        venvs_cache: CacheOptions {
            path: cache.path.clone().unwrap_or_default(),
            lock_timeout: lock_timeout(agent),
        },
        store: store(settings, agent),
        skip: SkipEnvironment::No,
        existing: existing(settings, agent),
        force_task_init: is_true(settings, &env_vars::FORCE_TASK_INIT),
        installer_variables: Vec::new(),
    }
}

/// What installers get beside the agent's own variables (F-091, D-313).
fn installer_variables(
    settings: &Settings,
    devices: &DeviceSelection,
) -> Vec<(OsString, OsString)> {
    let applied = settings.applied_variables().iter();
    let applied = applied.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let devices = devices.set();
    let devices = devices.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    applied.chain(devices).collect()
}

/// E-220 to E-227
fn uv(settings: &Settings, manager: &PackageManagerSettings) -> UvOptions {
    let environment = settings.environment();
    let is_set = |variable: &env_vars::Variable| environment.text(variable).is_some();
    UvOptions {
        program: environment
            .text(&env_vars::BOOTSTRAP_UV_EXEC)
            .map(PathBuf::from),
        version: manager.uv_version.clone(),
        sync_arguments: manager.uv_sync_extra_args.clone(),
        run_arguments: manager.uv_run_extra_args.clone(),
        is_locked: manager.uv_sync_locked_if_lock_file,
        unsafe_best_match: manager.uv_unsafe_best_match,
        files_from_working_dir: manager.uv_files_from_working_dir,
        has_cache_folder: environment
            .get("UV_CACHE_DIR")
            .is_some_and(|path| !path.is_empty()),
        has_index_strategy: is_set(&env_vars::UV_INDEX_STRATEGY),
    }
}

/// E-163 to E-172
fn torch(settings: &Settings, agent: &AgentSettings, cpu_only: bool) -> TorchOptions {
    let manager = &agent.package_manager;
    let environment = settings.environment();
    let client = page_client(settings);
    TorchOptions {
        mode: match manager.pytorch_resolve {
            PytorchResolve::Pip => TorchMode::Pip,
            PytorchResolve::Direct => TorchMode::Direct,
            PytorchResolve::None => TorchMode::None,
        },
        unknown_mode: manager.pytorch_resolve_unknown.clone(),
        nightly: manager.torch_nightly,
        index: manager.torch_index_template.clone(),
        nightly_index: manager.torch_nightly_index_template.clone(),
        rocm_index: manager.torch_rocm_index_template.clone(),
        nightly_rocm_index: manager.torch_nightly_rocm_index_template.clone(),
        page: manager.torch_page.clone(),
        nightly_page: manager.torch_nightly_page.clone(),
        rocm: if cpu_only {
            Rocm::Absent
        } else {
            Rocm::detect(Path::new("/"), environment.text(&env_vars::ROCM_PATH))
        },
        pages: Pages::new(move |address| {
            let client = client.clone();
            Box::pin(async move { client.get(&address).await })
        }),
    }
}

/// E-229 to E-231, E-233
fn skip(settings: &Settings, agent: &AgentSettings) -> SkipEnvironment {
    let interpreter = settings
        .environment()
        .text(&env_vars::SKIP_PIP_VENV_INSTALL);
    let named = interpreter
        .filter(|text| crate::settings::truth(text).is_none())
        .map(str::to_owned);
    if is_true(settings, &env_vars::SKIP_PYTHON_ENV_INSTALL) {
        return SkipEnvironment::Everything(named);
    }
    match (named, interpreter.and_then(crate::settings::truth)) {
        (Some(interpreter), _) => SkipEnvironment::Interpreter(interpreter),
        (None, Some(true)) => SkipEnvironment::ChosenInterpreter,
        (None, Some(false)) => SkipEnvironment::No,
        (None, None) if agent.environment_is_existing => SkipEnvironment::AsItIs,
        (None, None) => activated(settings, agent),
    }
}

/// An environment that the container has activated (E-233).
fn activated(settings: &Settings, agent: &AgentSettings) -> SkipEnvironment {
    let environment = settings.environment();
    let active = environment
        .text(&env_vars::VIRTUAL_ENV)
        .filter(|_| environment.text(&env_vars::DOCKER_IMAGE).is_some())
        .filter(|_| agent.docker_use_activated_venv)
        .filter(|_| agent.package_manager.system_site_packages);
    active.map_or(SkipEnvironment::No, |place| {
        SkipEnvironment::Activated(place.to_owned())
    })
}

/// Interpreters of environments that are there, in the order in which they count.
fn existing(settings: &Settings, agent: &AgentSettings) -> Vec<NamedInterpreter> {
    let configured = agent.environment_python.clone();
    let configured = configured.map(|path| NamedInterpreter {
        path,
        named_by: "agent.environment.python",
        is_required: true,
    });
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter();
    let active = active.filter_map(|name| {
        let folder = settings.environment().get(name)?;
        let folder = Some(folder).filter(|folder| !folder.is_empty())?;
        Some(NamedInterpreter {
            path: format!("{folder}/bin/python"),
            named_by: name,
            is_required: false,
        })
    });
    configured.into_iter().chain(active).collect()
}

pub(super) fn is_true(settings: &Settings, variable: &env_vars::Variable) -> bool {
    settings
        .environment()
        .boolean(variable)
        .unwrap_or_default()
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    /// D-027, D-075: at least five seconds, but for the variable.
    #[test]
    fn queues_are_looked_at_as_often_as_is_wanted_and_fair() {
        let interval = |wanted, variable: Option<&str>| {
            let name = "CLEARML_AGENT_QUEUE_POLL_FREQ_SEC";
            let environment: Environment =
                variable.map(|value| (name, value)).into_iter().collect();
            let settings = Settings::from_text("", &environment).expect("good");
            polling_interval(&settings.agent().expect("good"), wanted).as_secs_f64()
        };
        for (wanted, expected) in [(-7, 5.0), (0, 5.0), (4, 5.0), (5, 5.0), (60, 60.0)] {
            assert!((interval(wanted, None) - expected).abs() < 1e-9, "{wanted}");
        }
        assert!((interval(60, Some("0.5")) - 0.5).abs() < 1e-9);
    }
}
