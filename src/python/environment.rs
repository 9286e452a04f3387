//! The environment of one task: made before its code is fetched, because the code lives inside it (E-007).

mod by_uv;
mod unmade;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::bundled;
use super::conda::CondaEnvironment;
use super::error::PythonError;
use super::interpreter::{self, Choice, Interpreter};
use super::kept::{CachePlace, may_install_nothing};
use super::options::{PackageManager, PythonOptions, PythonRequest, SkipEnvironment};
use super::pip::{Pip, pip_specifications};
use super::poetry::PoetryProject;
use super::requirements::TaskRequirements;
use super::store;
use super::tool::ToolContext;
use super::uv::{Uv, UvProject};
use super::venv::{self, Seed};
use super::version::PythonVersion;
use crate::process::{Command, Output, ProcessError};

/// Where a task's program finds its packages.
#[derive(Debug)]
pub struct Environment {
    folder: PathBuf,
    python: PathBuf,
    interpreter: Interpreter,
    /// What this run installs (E-127..E-129).
    pub(super) requirements: TaskRequirements,
    pub(super) origin: Origin,
    pub(super) cache: Option<CachePlace>,
    /// The installer was told to install anything.
    pub(super) is_changed: bool,
    /// Where uv manages the packages.
    pub(super) uv: Option<Uv>,
    /// uv installs in pip's place (E-224).
    pub(super) uses_uv_pip: bool,
    /// What the task finds on `PYTHONPATH` beside the environment.
    pub(super) overlay: Option<PathBuf>,
    /// Nothing is installed into it, and its own programs are found as before.
    pub(super) is_as_it_is: bool,
    /// Where conda manages the packages.
    pub(super) conda: Option<CondaEnvironment>,
    /// A project of the repository that has an environment of its own.
    pub(super) project: Option<Project>,
}

/// A project of the repository, by the program that has installed it.
#[derive(Debug)]
pub(super) enum Project {
    Uv(UvProject),
    Poetry(PoetryProject),
}

/// How the environment came to be, which decides what is installed into it.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// Made for this task.
    Fresh(Seed),
    /// A copy of a cached one (E-244).
    Cached,
    /// An interpreter that was there before (E-229, E-230).
    Existing,
    /// Nothing is installed (E-231).
    Untouched,
}

/// Makes an empty environment for the task, or takes one from the cache.
///
/// What the task before has left in the folder goes (E-119), and the code with it (E-073).
pub async fn create_environment(
    request: &PythonRequest,
    options: &PythonOptions,
    output: &Output,
    cancel: &CancellationToken,
) -> Result<Environment, PythonError> {
    let (requirements, notice) = request.requirements.chosen(options);
    if let Some(notice) = notice {
        output.line(notice);
    }
    match &options.skip {
        SkipEnvironment::No => {}
        skip => {
            return unmade::unmade(request, options, requirements, skip, output, cancel).await;
        }
    }
    if let Some(word) = &options.unknown_package_manager {
        output.line(format!(
            "WARNING: agent.package_manager.type={word} is none of pip, conda, poetry, uv: using pip"
        ));
    }
    let context = ToolContext {
        options,
        output,
        cancel,
    };
    if options.package_manager == PackageManager::Conda {
        return Box::pin(CondaEnvironment::create(request, requirements, context)).await;
    }
    let choice = match choose(request, options, output, cancel).await {
        Err(error @ PythonError::NoInterpreter { .. }) => {
            return Box::pin(by_uv::served_by_uv(request, requirements, context, error)).await;
        }
        choice => choice?,
    };
    let folder = options.folder(&choice.folder_name);
    if options.package_manager != PackageManager::Pip {
        remove(&folder).await?;
    }
    if options.package_manager == PackageManager::Uv {
        return Box::pin(by_uv::by_uv(request, choice, requirements, folder, context)).await;
    }
    let has_cache = options.package_manager != PackageManager::Poetry;
    let mut cache = if has_cache {
        CachePlace::new(request, options, &choice.interpreter, &requirements, output)
    } else {
        None
    };
    let is_bundled_enough = may_install_nothing(request, options, &requirements);
    let environment = |origin| {
        let python = venv::python_of(&folder);
        let interpreter = choice.interpreter.clone();
        Environment::new(folder.clone(), python, interpreter, requirements, origin)
    };
    if let Some(place) = &mut cache {
        let origin = if place.restore(&folder, output, cancel).await? {
            Some(Origin::Cached)
        } else {
            let restored = place.restore_base(is_bundled_enough, &folder, output, cancel);
            restored.await?.map(Origin::Fresh)
        };
        if let Some(origin) = origin {
            return Ok(Environment {
                cache,
                ..environment(origin)
            });
        }
    }
    remove(&folder).await?;
    let parent = folder.parent().unwrap_or(&folder);
    fs::create_dir_all(parent).map_err(PythonError::files("create", parent))?;
    let seed = venv::create(&choice.interpreter, &folder, options, output, cancel).await?;
    output.line("\n");
    Ok(Environment {
        cache,
        ..environment(Origin::Fresh(seed))
    })
}

/// A folder for the code of a task whose environment is made by somebody else (E-234).
pub async fn unbuilt_environment(
    request: &PythonRequest,
    options: &PythonOptions,
    cancel: &CancellationToken,
) -> Result<Environment, PythonError> {
    let choice = interpreter::choose(&request.binary, options, cancel).await?;
    let version = interpreter::requested_version(&request.binary);
    let folder = options.folder(version.as_deref().unwrap_or("3"));
    remove(&folder).await?;
    fs::create_dir_all(&folder).map_err(PythonError::files("create", &folder))?;
    let python = choice.interpreter.path.clone();
    let requirements = TaskRequirements::default();
    Ok(Environment::new(
        folder,
        python,
        choice.interpreter,
        requirements,
        Origin::Untouched,
    ))
}

pub(super) async fn choose(
    request: &PythonRequest,
    options: &PythonOptions,
    output: &Output,
    cancel: &CancellationToken,
) -> Result<Choice, PythonError> {
    let choice = interpreter::choose(&request.binary, options, cancel).await?;
    for notice in &choice.notices {
        output.line(notice);
    }
    Ok(choice)
}

/// The folder of this name with something behind it.
pub(super) fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes an environment, with the code in it.
pub async fn remove_environment(folder: &Path) -> Result<(), PythonError> {
    remove(folder).await
}

pub(super) async fn remove(folder: &Path) -> Result<(), PythonError> {
    let path = folder.to_owned();
    let removed = tokio::task::spawn_blocking(move || store::remove_environment(&path));
    removed
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(PythonError::files("remove", folder))
}

impl Environment {
    /// An environment without anything special.
    fn new(
        folder: PathBuf,
        python: PathBuf,
        interpreter: Interpreter,
        requirements: TaskRequirements,
        origin: Origin,
    ) -> Self {
        Self {
            folder,
            python,
            interpreter,
            requirements,
            origin,
            cache: None,
            is_changed: false,
            uv: None,
            uses_uv_pip: false,
            overlay: None,
            is_as_it_is: false,
            conda: None,
            project: None,
        }
    }

    /// The folder in which the code of the task is put: `task_repository/<name>` or `code` (E-118).
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The interpreter that runs the task (E-124).
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// The program with its first arguments that stands for the interpreter; none where it is started itself (E-219, E-223).
    pub fn launcher(&self, options: &PythonOptions) -> Option<Vec<String>> {
        self.project.as_ref().map(|project| match project {
            Project::Uv(project) => project.launcher(&options.uv.run_arguments),
            Project::Poetry(project) => project.launcher(),
        })
    }

    /// An environment of conda; `place` is the folder of the task's code, the interpreter as it is called, and what it is.
    pub(super) fn of_conda(
        conda: CondaEnvironment,
        place: (PathBuf, PathBuf, Interpreter),
        requirements: TaskRequirements,
        origin: Origin,
        cache: Option<CachePlace>,
    ) -> Self {
        let (folder, python, interpreter) = place;
        Self {
            cache,
            conda: Some(conda),
            ..Self::new(folder, python, interpreter, requirements, origin)
        }
    }

    /// A folder that the task needs on `PYTHONPATH` beside the environment.
    pub fn overlay(&self) -> Option<&Path> {
        self.overlay.as_deref()
    }

    /// True where the environment was made for the task, so that a shell has to be told of it (E-104).
    pub fn is_made_for_the_task(&self) -> bool {
        self.conda.is_none() && !self.is_as_it_is
    }

    /// What a shell has to do before it runs a program of the task (E-204).
    pub fn activation(&self) -> Option<String> {
        let conda = self.conda.as_ref();
        conda.map(|conda| conda.activation.prefix())
    }

    /// True where the program is a child of the agent in every shape (E-212, E-266).
    pub fn runs_as_child(&self) -> bool {
        self.conda.is_some() || self.uv.is_some() || self.project.is_some()
    }

    /// Takes another interpreter for the task.
    pub fn use_interpreter(&mut self, python: PathBuf) {
        self.python = python;
    }

    /// Takes a project for the place of the packages.
    pub(super) fn set_project(&mut self, project: Project) {
        let python = match &project {
            Project::Uv(project) => project.python(),
            Project::Poetry(project) => project.python(),
        };
        if python.exists() {
            self.python = python;
        }
        self.project = Some(project);
    }

    /// Version of that interpreter.
    pub fn version(&self) -> PythonVersion {
        self.interpreter.version
    }

    /// The interpreter from which the environment was made.
    pub fn base_interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// True where the environment was taken from the cache.
    pub fn is_cached(&self) -> bool {
        self.origin == Origin::Cached
    }

    /// `sys.path` of the interpreter as it is in `script_folder`, joined with colons; none where it does not say (E-105, E-109),
    /// and with conda and uv (E-106).
    pub async fn sys_path(
        &self,
        script_folder: &Path,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, PythonError> {
        if self.conda.is_some() || self.uv.is_some() {
            return Ok(None);
        }
        let is_unmade = matches!(self.origin, Origin::Existing | Origin::Untouched)
            && self.python == self.interpreter.path
            && !self.is_changed;
        if let Some(known) = self.interpreter.sys_path.as_ref().filter(|_| is_unmade) {
            return Ok(Some(known.clone()));
        }
        let taken = self.cache.as_ref().and_then(|place| place.taken.as_ref());
        let taken = taken.filter(|_| !self.is_changed && self.project.is_none());
        let kept = taken.and_then(|taken| Some((taken, interpreter::variables()?)));
        if let Some((taken, variables)) = &kept
            && let Some(known) = store::known_sys_path(&taken.entry, &self.folder, variables)
        {
            return Ok(Some(known));
        }
        let finished = Command::new(&self.python)
            .args(["-c", "import sys; print(':'.join(sys.path))"])
            .env_remove("PYTHONPATH")
            .folder(script_folder)
            .capture(cancel)
            .await;
        match finished {
            Ok(finished) => {
                let said = finished.is_success().then(|| finished.text());
                if let (Some((taken, variables)), Some(said)) = (kept, &said) {
                    let knows_system = self.cache.as_ref().is_some_and(CachePlace::knows_system);
                    store::keep_sys_path(&taken.entry, &self.folder, variables, said, knows_system);
                }
                Ok(said)
            }
            Err(ProcessError::Start { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Brings pip to the wanted version (E-134, E-138).
    pub(super) async fn prepare_pip(&mut self, pip: &Pip<'_>) -> Result<(), PythonError> {
        if self.origin == Origin::Fresh(Seed::Ready) {
            return Ok(());
        }
        let specifications = pip_specifications(pip.options, &self.requirements);
        match &self.origin {
            // The interpreter of uv's environment may have come without wheels of pip (E-225).
            Origin::Fresh(Seed::Wheels(wheels)) if wheels.is_empty() => {
                pip.ensure_pip().await?;
                pip.upgrade_itself(&specifications).await?;
                self.origin = Origin::Fresh(Seed::Installed);
            }
            Origin::Fresh(Seed::Wheels(wheels)) => {
                venv::seed(&self.folder, wheels, &specifications, pip).await?;
                self.origin = Origin::Fresh(Seed::Installed);
            }
            _ => pip.upgrade_itself(&specifications).await?,
        }
        if self.origin == Origin::Fresh(Seed::Bundled) {
            self.origin = Origin::Fresh(Seed::Installed);
        }
        if self.interpreter.version.is_before_3_9()
            && let Err(failed) = pip.install(&["Cython"], &["Cython"]).await?
        {
            return Err(PythonError::PipVersion(failed));
        }
        self.keep_base(pip).await
    }

    /// For a task that installs nothing: leaves it at the pip that the interpreter brings, so that no package index is
    /// asked; false where the wanted one is needed all the same.
    pub(super) async fn take_bundled_pip(&mut self, pip: &Pip<'_>) -> Result<bool, PythonError> {
        let has_pip = match &self.origin {
            // Cython is added to what is older (E-138).
            _ if self.interpreter.version.is_before_3_9() => false,
            Origin::Fresh(Seed::Bundled) => return Ok(true),
            Origin::Fresh(Seed::Installed) => true,
            Origin::Fresh(Seed::Wheels(wheels)) if wheels.is_empty() => {
                pip.ensure_pip().await?;
                true
            }
            Origin::Fresh(Seed::Wheels(wheels)) => {
                bundled::unpack(&self.python, wheels, pip.cancel).await?
            }
            _ => false,
        };
        if has_pip {
            self.origin = Origin::Fresh(Seed::Bundled);
            let options = pip.options;
            // Packages of the system are listed as well.
            let frozen = (!options.system_site_packages).then_some(&[] as &[String]);
            if let Some(place) = &self.cache {
                let folder = &self.folder;
                let kept = place.keep_base(&Seed::Bundled, folder, frozen, pip.output, pip.cancel);
                kept.await?;
            }
        }
        Ok(has_pip)
    }

    /// True where it holds nothing but what `freeze` leaves out.
    pub(super) fn has_only_bundled_pip(&self) -> bool {
        self.origin == Origin::Fresh(Seed::Bundled)
    }

    /// Keeps what every task with this interpreter begins with.
    async fn keep_base(&self, pip: &Pip<'_>) -> Result<(), PythonError> {
        let Some(place) = self.cache.as_ref().filter(|place| place.has_store()) else {
            return Ok(());
        };
        let frozen = pip.freeze(false).await?;
        place
            .keep_base(
                &Seed::Ready,
                &self.folder,
                frozen.as_deref(),
                pip.output,
                pip.cancel,
            )
            .await
    }
}
