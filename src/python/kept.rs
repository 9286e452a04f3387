//! Where the environment of a task comes from where there is one already, and where it goes for the next (E-239..E-250).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, CacheKey, KeyInputs};
use super::environment::remove;
use super::error::PythonError;
use super::interpreter::{self, Interpreter};
use super::options::{PackageManager, PythonOptions, PythonRequest, SkipEnvironment};
use super::pip::pip_specifications;
use super::requirements::{RequirementList, TaskRequirements};
use super::store::{
    CheckIn, CheckOut, EntryKind, Explanation, Input, NewEntry, Store, StoreInputs, file_identity,
    platform,
};
use super::venv;
use crate::process::Output;

/// A newer pip that the specifications allow is found after this time.
const BASE_LIMIT: Duration = Duration::from_hours(7 * 24);

/// Store and cache, and what the environment is known by there.
#[derive(Debug)]
pub(super) struct CachePlace {
    store: Option<Store>,
    official: Option<Official>,
    /// By the list before the run.
    wanted: StoreInputs,
    /// None for conda, which makes its environments itself.
    base: Option<StoreInputs>,
    /// The environment as it came from the store.
    pub(super) taken: Option<Taken>,
}

/// What is known of an environment that came from the store.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) entry: PathBuf,
    /// What `freeze` says of it, where that is known.
    pub(super) frozen: Option<Vec<String>>,
}

/// The folder of the official agent.
#[derive(Debug)]
struct Official {
    cache: Cache,
    key: CacheKey,
}

/// Everything that an environment with the packages of a task depends on.
pub fn store_inputs(
    request: &PythonRequest,
    options: &PythonOptions,
    interpreter: &Interpreter,
    requirements: &TaskRequirements,
) -> StoreInputs {
    let mut machine = base_machine(options, interpreter, requirements);
    let image = request.docker_cmd.split_whitespace().next();
    machine.push(Input::new("image", image.unwrap_or_default()));
    machine.push(Input::new("cuda", &options.cuda_version));
    machine.extend(installer_inputs(options));
    let list = requirements.pip.as_ref().map(RequirementList::text);
    let mut packages: Vec<&str> = list.as_deref().unwrap_or_default().lines().collect();
    if request.entry_point.to_lowercase().ends_with(".ipynb") {
        packages.extend(["nbconvert", "ipython"]);
    }
    StoreInputs::new(EntryKind::Environment, machine, packages)
}

/// What the agent tells every installer.
fn installer_inputs(options: &PythonOptions) -> Vec<Input> {
    let mut inputs = vec![Input::new("torch", format!("{:?}", options.torch.mode))];
    for index in &options.extra_index_url {
        inputs.push(Input::new("extra index", index.to_string()));
    }
    for flag in &options.extra_install_flags {
        inputs.push(Input::new("flag", flag));
    }
    if options.force_upgrade {
        inputs.push(Input::new("flag", "--upgrade"));
    }
    inputs
}

/// The same for an environment with nothing but the wanted pip.
fn base_inputs(
    options: &PythonOptions,
    interpreter: &Interpreter,
    requirements: &TaskRequirements,
) -> StoreInputs {
    let machine = base_machine(options, interpreter, requirements);
    StoreInputs::new(EntryKind::Base, machine, [])
}

fn base_machine(
    options: &PythonOptions,
    interpreter: &Interpreter,
    requirements: &TaskRequirements,
) -> Vec<Input> {
    let path = &interpreter.path;
    let file = path.canonicalize().unwrap_or_else(|_| path.clone());
    let mut machine = platform(&interpreter.libc);
    machine.extend([
        Input::new("python", &interpreter.name),
        Input::new("python.path", path.to_string_lossy()),
        Input::new("python.version", interpreter.version.to_string()),
        Input::new("python.abi", &interpreter.abi),
        Input::new("python.file", file.to_string_lossy()),
        Input::new("python.identity", file_identity(&file)),
        Input::new("virtualenv", interpreter.has_virtualenv.to_string()),
    ]);
    if options.system_site_packages {
        machine.push(Input::new("system packages", "visible"));
        for folder in &interpreter.site_folders {
            machine.push(Input::new(
                format!("system packages in {}", folder.display()),
                file_identity(folder),
            ));
        }
    }
    for specification in pip_specifications(options, requirements) {
        machine.push(Input::new("pip", specification));
    }
    machine.extend(options.store.index_settings.iter().cloned());
    machine
}

/// What the store has for a task.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Explained {
    /// Its environment is neither looked for nor kept; the text says why.
    NotKept(String),
    /// It is looked for.
    LookedUp {
        /// With its packages.
        environment: Box<Explanation>,
        /// The entry of the official agent's cache that it finds (E-242).
        official: Option<PathBuf>,
        /// With nothing but the wanted pip.
        base: Box<Explanation>,
    },
}

/// Looks for the environment of a task, and says what keeps it from being found.
pub async fn explain_store(
    request: &PythonRequest,
    options: &PythonOptions,
    cancel: &CancellationToken,
) -> Result<Explained, PythonError> {
    let not_kept = |reason: &str| Ok(Explained::NotKept(reason.to_owned()));
    if options.skip != SkipEnvironment::No || request.needs_no_python() {
        return not_kept("no environment is made for it");
    }
    if !matches!(options.package_manager, PackageManager::Pip) {
        return not_kept(match options.package_manager {
            PackageManager::Conda => "environments of conda are kept, and not explained",
            _ => "environments of this package manager are not kept",
        });
    }
    if !options.venvs_cache.is_enabled() || !options.store.is_enabled() {
        return not_kept("no environments are kept");
    }
    let (requirements, _) = request.requirements.chosen(options);
    let interpreter = interpreter::choose(&request.binary, options, cancel)
        .await?
        .interpreter;
    let store = &options.store.path;
    let explain = |inputs: StoreInputs| {
        let explained = inputs.explain(store);
        explained
            .map(Box::new)
            .map_err(PythonError::files("read", store))
    };
    Ok(Explained::LookedUp {
        environment: explain(store_inputs(request, options, &interpreter, &requirements))?,
        official: Official::new(
            options,
            &key_inputs(request, options, &interpreter),
            &requirements,
        )
        .and_then(|official| official.cache.entry(&official.key)),
        base: explain(base_inputs(options, &interpreter, &requirements))?,
    })
}

/// By which names an environment is known, and whether it is there.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) cache_key: Option<String>,
    pub(super) store_key: Option<String>,
    pub(super) is_there: bool,
}

impl Known {
    /// Looks without locking anything, so that an entry may go the moment after.
    pub(super) fn of(
        request: &PythonRequest,
        options: &PythonOptions,
        interpreter: &Interpreter,
        requirements: &TaskRequirements,
    ) -> Self {
        let key = CacheKey::new(&key_inputs(request, options, interpreter), requirements);
        let cache = Cache::new(&options.venvs_cache);
        let is_official = key.as_ref().is_some_and(|key| cache.entry(key).is_some());
        let inputs = store_inputs(request, options, interpreter, requirements);
        let inputs =
            Some(inputs).filter(|inputs| options.store.is_enabled() && inputs.determine_packages());
        let is_stored = inputs
            .as_ref()
            .and_then(|inputs| inputs.explain(&options.store.path).ok())
            .is_some_and(|explained| explained.entry.is_some());
        Self {
            cache_key: key.map(|key| key.to_string()),
            store_key: inputs.map(|inputs| inputs.key().to_string()),
            is_there: is_official || is_stored,
        }
    }
}

fn key_inputs(
    request: &PythonRequest,
    options: &PythonOptions,
    interpreter: &Interpreter,
) -> KeyInputs {
    KeyInputs {
        docker_cmd: request.docker_cmd.clone(),
        cuda_version: options.cuda_version.clone(),
        interpreter: interpreter.name.clone(),
        is_conda: false,
    }
}

/// E-125
const NO_CACHE: &str = "::: Python virtual environment cache is DISABLED. To accelerate spin-up time set `agent.venvs_cache.path=~/.clearml/venvs-cache` :::\n";

/// A package of conda among those of pip.
pub(super) fn conda_package(line: &str) -> String {
    format!("conda {line}")
}

/// What an environment of conda depends on. Its files name its folder, so that it can be used nowhere else.
fn conda_inputs(
    options: &PythonOptions,
    inputs: &KeyInputs,
    requirements: &TaskRequirements,
    folder: &Path,
) -> StoreInputs {
    let mut machine = platform("conda");
    let image = inputs.docker_cmd.split_whitespace().next();
    machine.extend([
        Input::new("python", &inputs.interpreter),
        Input::new("folder", folder.to_string_lossy()),
        Input::new("image", image.unwrap_or_default()),
        Input::new("cuda", &inputs.cuda_version),
    ]);
    for channel in &options.conda.channels {
        machine.push(Input::new("channel", channel));
    }
    machine.extend(installer_inputs(options));
    machine.extend(options.store.index_settings.iter().cloned());
    let text = |list: &Option<RequirementList>| list.as_ref().map(RequirementList::text);
    let conda = text(&requirements.conda).unwrap_or_default();
    let named = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let mut packages: Vec<String> = conda.lines().filter(named).map(conda_package).collect();
    let pip = text(&requirements.pip).unwrap_or_default();
    packages.extend(pip.lines().map(str::to_owned));
    let packages = packages.iter().map(String::as_str);
    StoreInputs::new(EntryKind::Environment, machine, packages)
}

impl Official {
    /// None where an official agent has left nothing, or has no key for these packages (E-241).
    fn new(
        options: &PythonOptions,
        inputs: &KeyInputs,
        requirements: &TaskRequirements,
    ) -> Option<Self> {
        let cache = Cache::new(&options.venvs_cache);
        let key = CacheKey::new(inputs, requirements).filter(|_| cache.has_entries())?;
        Some(Self { cache, key })
    }
}

impl CachePlace {
    /// None where environments are not kept; that is said (E-125).
    pub(super) fn new(
        request: &PythonRequest,
        options: &PythonOptions,
        interpreter: &Interpreter,
        requirements: &TaskRequirements,
        output: &Output,
    ) -> Option<Self> {
        Self::enabled(options, output)?;
        let inputs = key_inputs(request, options, interpreter);
        Some(Self {
            store: stored(options),
            official: Official::new(options, &inputs, requirements),
            wanted: store_inputs(request, options, interpreter, requirements),
            base: Some(base_inputs(options, interpreter, requirements)),
            taken: None,
        })
    }

    /// The same for an environment of conda in `folder`, with this version of Python.
    pub(super) fn of_conda(
        request: &PythonRequest,
        options: &PythonOptions,
        version: &str,
        requirements: &TaskRequirements,
        folder: &Path,
        output: &Output,
    ) -> Option<Self> {
        Self::enabled(options, output)?;
        let inputs = KeyInputs {
            docker_cmd: request.docker_cmd.clone(),
            cuda_version: options.cuda_version.clone(),
            interpreter: version.to_owned(),
            is_conda: true,
        };
        Some(Self {
            store: stored(options),
            official: Official::new(options, &inputs, requirements),
            wanted: conda_inputs(options, &inputs, requirements, folder),
            base: None,
            taken: None,
        })
    }

    fn enabled(options: &PythonOptions, output: &Output) -> Option<()> {
        if !options.venvs_cache.is_enabled() {
            output.line(NO_CACHE);
            return None;
        }
        Some(())
    }

    /// Takes the environment with the wanted packages, if there is one that works (E-243, E-250).
    pub(super) async fn restore(
        &mut self,
        folder: &Path,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<bool, PythonError> {
        if let Some(store) = &self.store
            && self.wanted.determine_packages()
        {
            output.line(store.lock_notice());
            let inputs = self.wanted.clone();
            self.taken = self.take(&inputs, None, folder, output, cancel).await?;
            if self.taken.is_some() {
                return Ok(true);
            }
        }
        let Some(Official { cache, key }) = &self.official else {
            return Ok(false);
        };
        output.line(cache.lock_notice());
        remove(folder).await?;
        let found = cache.check_out(key, folder, cancel).await;
        if cancel.is_cancelled() {
            return Err(PythonError::Cancelled);
        }
        match found {
            Ok(Some(entry)) => works(&entry, folder, output).await,
            Ok(None) => Ok(false),
            Err(error) => {
                output.line(failure(cache.path(), &error));
                Ok(false)
            }
        }
    }

    /// Takes an environment with nothing but the wanted pip.
    pub(super) async fn restore_base(
        &mut self,
        folder: &Path,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<bool, PythonError> {
        let Some(inputs) = self.base.clone() else {
            return Ok(false);
        };
        let limit = Some(BASE_LIMIT);
        self.taken = self.take(&inputs, limit, folder, output, cancel).await?;
        Ok(self.taken.is_some())
    }

    /// None where there is no such environment.
    async fn take(
        &self,
        inputs: &StoreInputs,
        limit: Option<Duration>,
        folder: &Path,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Option<Taken>, PythonError> {
        let Some(store) = &self.store else {
            return Ok(None);
        };
        let found = store.check_out(&inputs.key(), limit, folder, cancel).await;
        if cancel.is_cancelled() {
            return Err(PythonError::Cancelled);
        }
        match found {
            Ok(CheckOut::Taken { entry, description }) => {
                let works = if inputs.kind == EntryKind::Base {
                    let works = venv::python_of(folder).exists();
                    if works {
                        output.line(format!(
                            "::: Using base environment {} :::",
                            entry.display()
                        ));
                    } else {
                        remove(folder).await?;
                    }
                    works
                } else {
                    works(&entry, folder, output).await?
                };
                let frozen = description.frozen;
                Ok(works.then_some(Taken { entry, frozen }))
            }
            Ok(CheckOut::Missing) => Ok(None),
            Ok(CheckOut::Changed(text)) => {
                output.line(text);
                Ok(None)
            }
            Err(error) => {
                output.line(failure(store.path(), &error));
                Ok(None)
            }
        }
    }

    /// Keeps the environment under what was asked for and what is installed, so that a clone of the finished task finds
    /// it as well (E-245).
    pub(super) async fn keep(
        &self,
        folder: &Path,
        packages: &[String],
        frozen: &[String],
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), PythonError> {
        let after = StoreInputs::new(
            EntryKind::Environment,
            self.wanted.machine.clone(),
            packages.iter().map(String::as_str),
        );
        let mut inputs = vec![self.wanted.clone(), after];
        inputs.retain(StoreInputs::determine_packages);
        inputs.dedup();
        output.line(format!("Adding venv into cache: {}", folder.display()));
        let new = NewEntry {
            kind: EntryKind::Environment,
            inputs,
            frozen: without_passwords(frozen),
            environment: folder.to_owned(),
            limit: None,
            taken: self.taken.as_ref().map(|taken| taken.entry.clone()),
        };
        self.put(new, output, cancel).await
    }

    /// Keeps an environment with nothing but the wanted pip.
    pub(super) async fn keep_base(
        &self,
        folder: &Path,
        frozen: Option<&[String]>,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), PythonError> {
        let Some(base) = self.base.clone() else {
            return Ok(());
        };
        let new = NewEntry {
            kind: EntryKind::Base,
            inputs: vec![base],
            frozen: frozen.and_then(without_passwords),
            environment: folder.to_owned(),
            limit: Some(BASE_LIMIT),
            taken: None,
        };
        self.put(new, output, cancel).await
    }

    /// True where a base environment can be kept.
    pub(super) fn has_store(&self) -> bool {
        self.store.is_some()
    }

    async fn put(
        &self,
        new: NewEntry,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), PythonError> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let result = store.check_in(new, cancel).await;
        if cancel.is_cancelled() {
            return Err(PythonError::Cancelled);
        }
        match result {
            Ok(CheckIn::Kept(notices)) => {
                for notice in notices {
                    output.line(notice);
                }
            }
            Ok(CheckIn::NoRoom(text)) => output.line(text),
            Err(error) => output.line(failure(store.path(), &error)),
        }
        Ok(())
    }
}

fn stored(options: &PythonOptions) -> Option<Store> {
    let is_enabled = options.store.is_enabled();
    is_enabled.then(|| Store::new(&options.store))
}

/// The interpreter may have been removed from the machine since the environment was kept (E-120).
async fn works(entry: &Path, folder: &Path, output: &Output) -> Result<bool, PythonError> {
    let entry = entry.display();
    if !venv::python_of(folder).exists() {
        output.line(format!(
            "WARNING: cached environment {entry} has no working interpreter"
        ));
        remove(folder).await?;
        return Ok(false);
    }
    output.line(format!("::: Using Cached environment {entry} :::"));
    Ok(true)
}

fn failure(path: &Path, error: &io::Error) -> String {
    format!(
        "WARNING: Failed accessing venvs cache at {}: {error}",
        path.display()
    )
}

/// None where a line has a password: what is left of it would not be what `freeze` says.
fn without_passwords(frozen: &[String]) -> Option<Vec<String>> {
    let is_clean = |line: &String| Input::new("", line).value == *line;
    frozen.iter().all(is_clean).then(|| frozen.to_vec())
}
