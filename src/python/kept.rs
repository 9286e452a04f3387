//! Where the environment of a task comes from where there is one already, and where it goes for the next (E-239..E-250).

mod inputs;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, CacheKey, KeyInputs};
use super::conda::made_by_conda;
use super::environment::remove;
use super::error::PythonError;
use super::interpreter::{self, Interpreter};
use super::options::{PackageManager, PythonOptions, PythonRequest, SkipEnvironment};
use super::requirements::TaskRequirements;
use super::store::{
    CheckIn, CheckOut, EntryKind, Explanation, Input, NewEntry, Store, StoreInputs,
};
use super::venv::{self, Seed};
use crate::process::Output;
use inputs::{BaseInputs, base_inputs, conda_inputs, conda_key_inputs, key_inputs};

pub use inputs::store_inputs;
pub(super) use inputs::{conda_package, may_install_nothing};

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
    base: Option<BaseInputs>,
    /// The environment as it came from the store.
    pub(super) taken: Option<Taken>,
    /// Nothing is kept (E-282).
    keeps_nothing: bool,
    /// What environments see of the system's packages is in their keys, name by name.
    knows_system: bool,
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
        /// With nothing but pip: the wanted one, or for a task without packages that of the interpreter; none with conda.
        base: Option<Box<Explanation>>,
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
    if !matches!(
        options.package_manager,
        PackageManager::Pip | PackageManager::Conda
    ) {
        return not_kept("environments of this package manager are not kept");
    }
    if !options.venvs_cache.is_enabled() || !options.store.is_enabled() {
        return not_kept("no environments are kept");
    }
    let (requirements, _) = request.requirements.chosen(options);
    let store = &options.store.path;
    let explain = |inputs: StoreInputs| {
        let explained = inputs.explain(store);
        explained
            .map(Box::new)
            .map_err(PythonError::files("read", store))
    };
    if options.package_manager == PackageManager::Conda {
        let Some((version, folder)) = made_by_conda(request, options) else {
            return not_kept("conda makes no environment for it, one that is there is used");
        };
        let key = conda_key_inputs(request, options, &version);
        let inputs = conda_inputs(options, &key, &requirements, &folder);
        return Ok(Explained::LookedUp {
            environment: explain(inputs)?,
            official: found_by_official(options, &key, &requirements),
            base: None,
        });
    }
    let interpreter = interpreter::choose(&request.binary, options, cancel)
        .await?
        .interpreter;
    let inputs = base_inputs(options, &interpreter, &requirements);
    let mut base = explain(inputs.wanted)?;
    if base.entry.is_none() && may_install_nothing(request, options, &requirements) {
        base = explain(inputs.bundled)?;
    }
    let key = key_inputs(request, options, &interpreter);
    Ok(Explained::LookedUp {
        environment: explain(store_inputs(request, options, &interpreter, &requirements))?,
        official: found_by_official(options, &key, &requirements),
        base: Some(base),
    })
}

/// The entry of the official agent's cache.
fn found_by_official(
    options: &PythonOptions,
    key: &KeyInputs,
    requirements: &TaskRequirements,
) -> Option<PathBuf> {
    let official = Official::new(options, key, requirements)?;
    official.cache.entry(&official.key)
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

/// E-125
const NO_CACHE: &str = "::: Python virtual environment cache is DISABLED. To accelerate spin-up time set `agent.venvs_cache.path=~/.clearml/venvs-cache` :::\n";

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
            keeps_nothing: options.keeps_nothing,
            knows_system: options.store.image.is_some(),
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
        let inputs = conda_key_inputs(request, options, version);
        Some(Self {
            store: stored(options),
            official: Official::new(options, &inputs, requirements),
            wanted: conda_inputs(options, &inputs, requirements, folder),
            base: None,
            taken: None,
            keeps_nothing: options.keeps_nothing,
            knows_system: false,
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

    /// Takes an environment with nothing but the wanted pip, or where `is_bundled_enough` one with that of the interpreter.
    pub(super) async fn restore_base(
        &mut self,
        is_bundled_enough: bool,
        folder: &Path,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Option<Seed>, PythonError> {
        let Some(base) = &self.base else {
            return Ok(None);
        };
        let bundled = is_bundled_enough.then(|| (base.bundled.clone(), None, Seed::Bundled));
        let wanted = (base.wanted.clone(), Some(BASE_LIMIT), Seed::Ready);
        for (inputs, limit, seed) in [wanted].into_iter().chain(bundled) {
            self.taken = self.take(&inputs, limit, folder, output, cancel).await?;
            if self.taken.is_some() {
                return Ok(Some(seed));
            }
        }
        Ok(None)
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
        if !self.has_store() || inputs.is_empty() {
            return Ok(());
        }
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

    /// Keeps an environment with nothing but pip: the wanted one, or with [`Seed::Bundled`] that of the interpreter.
    pub(super) async fn keep_base(
        &self,
        seed: &Seed,
        folder: &Path,
        frozen: Option<&[String]>,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), PythonError> {
        let Some(base) = &self.base else {
            return Ok(());
        };
        let (inputs, limit) = match seed {
            Seed::Bundled => (&base.bundled, None),
            _ => (&base.wanted, Some(BASE_LIMIT)),
        };
        let new = NewEntry {
            kind: EntryKind::Base,
            inputs: vec![inputs.clone()],
            frozen: frozen.and_then(without_passwords),
            environment: folder.to_owned(),
            limit,
            taken: None,
        };
        self.put(new, output, cancel).await
    }

    /// True where the keys of environments determine what these see of the system's packages.
    pub(super) fn knows_system(&self) -> bool {
        self.knows_system
    }

    /// What `freeze` says of the environment as it came from the store; `sees_system` where packages of the system are in
    /// that list. None where it is not known, or may be another now.
    pub(super) fn known_freeze(&self, sees_system: bool) -> Option<&[String]> {
        let taken = self.taken.as_ref()?;
        let is_known = !sees_system || self.knows_system;
        taken.frozen.as_deref().filter(|_| is_known)
    }

    /// True where environments can be kept.
    pub(super) fn has_store(&self) -> bool {
        self.store.is_some() && !self.keeps_nothing
    }

    async fn put(
        &self,
        new: NewEntry,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), PythonError> {
        let Some(store) = self.store.as_ref().filter(|_| !self.keeps_nothing) else {
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
