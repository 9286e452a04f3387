//! What would become of a task's environment, without making or installing anything: for a plan that is only shown.
//!
//! Interpreters are asked who they are and pages of wheels are read, as a run does it; nothing else happens.

mod project;
mod requirements;

pub use requirements::{CodeFiles, RequirementsPreview, TextOfFile};

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::conda::wanted_python;
use super::error::PythonError;
use super::existing;
use super::interpreter::{self, Choice, Interpreter};
use super::kept::Known;
use super::options::{PackageManager, PythonOptions, PythonRequest, SkipEnvironment};
use super::requirements::TaskRequirements;
use super::tool::ToolContext;
use super::venv::python_of;
use crate::process::Output;

/// The environment of a task as it would be.
#[derive(Debug)]
pub struct EnvironmentPreview {
    /// From which it would be made, and why; none for a task that needs none and a machine that has none.
    pub interpreter: Option<(Interpreter, String)>,
    /// What kind of environment, in one word.
    pub kind: EnvironmentKind,
    /// Its folder, in which the code lies.
    pub folder: PathBuf,
    /// Name of its entry in the cache (E-240); none where there would be none.
    pub cache_key: Option<String>,
    /// Name of its entry in the store; none where there would be none.
    pub store_key: Option<String>,
    /// It would be taken from the store, or from the cache of the official agent.
    pub is_cached: bool,
    /// What a user should know.
    pub notices: Vec<String>,
    /// What the run would install.
    pub(super) requirements: TaskRequirements,
    /// Where that list comes from.
    pub(super) source: &'static str,
}

/// Kinds of environments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EnvironmentKind {
    /// A virtual environment of this task.
    Venv,
    /// The same, made by uv.
    Uv,
    /// The same, with an environment by poetry inside.
    Poetry,
    /// An environment of conda.
    Conda,
    /// An interpreter that is there; packages are installed into it (E-229, E-230).
    Existing,
    /// An interpreter that is there, as it is (E-029).
    Standalone,
    /// An environment that is there, as it is, by the wish of agent or task.
    AsItIs,
    /// Nothing is made and nothing installed (E-231, E-232).
    None,
}

impl EnvironmentKind {
    /// The kind in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Venv => "venv",
            Self::Uv => "uv",
            Self::Poetry => "poetry",
            Self::Conda => "conda",
            Self::Existing => "existing",
            Self::Standalone => "standalone",
            Self::AsItIs => "as_it_is",
            Self::None => "none",
        }
    }

    fn of(options: &PythonOptions) -> Self {
        match (&options.skip, options.package_manager) {
            (SkipEnvironment::Everything(_), _) => Self::None,
            (SkipEnvironment::Standalone, _) => Self::Standalone,
            (SkipEnvironment::AsItIs, _) => Self::AsItIs,
            (
                SkipEnvironment::ChosenInterpreter
                | SkipEnvironment::Interpreter(_)
                | SkipEnvironment::Activated(_),
                _,
            ) => Self::Existing,
            (SkipEnvironment::No, PackageManager::Uv) => Self::Uv,
            (SkipEnvironment::No, PackageManager::Poetry) => Self::Poetry,
            (SkipEnvironment::No, PackageManager::Conda) => Self::Conda,
            (SkipEnvironment::No, PackageManager::Pip) => Self::Venv,
        }
    }

    fn installs(self) -> bool {
        !matches!(self, Self::None | Self::Standalone | Self::AsItIs)
    }

    fn is_made(self) -> bool {
        self.installs() && self != Self::Existing
    }
}

impl EnvironmentPreview {
    /// The environment that a run of `request` would have.
    pub async fn of(
        request: &PythonRequest,
        options: &PythonOptions,
        cancel: &CancellationToken,
    ) -> Result<Self, PythonError> {
        let kind = EnvironmentKind::of(options);
        let (requirements, notice) = request.requirements.chosen(options);
        let source = if notice.is_some() && !requirements.is_empty() {
            "original"
        } else if requirements.is_empty() {
            "none"
        } else {
            "task"
        };
        let mut notices: Vec<String> = notice.into_iter().collect();
        let choice = match kind {
            EnvironmentKind::Conda => Some(brought_by_conda(request, options)),
            EnvironmentKind::AsItIs => Some(as_it_is(request, options, cancel).await?),
            _ => named(options, &mut notices, cancel).await?,
        };
        let choice = match choice {
            Some(choice) => Some(choice),
            None => match interpreter::choose(&request.binary, options, cancel).await {
                Ok(choice) => Some(choice),
                // A shell script runs without (E-287).
                Err(PythonError::NoInterpreter { .. }) if kind == EnvironmentKind::None => None,
                Err(error) => return Err(error),
            },
        };
        notices.extend(choice.iter().flat_map(|choice| choice.notices.clone()));
        let folder = match (&choice, kind) {
            (None, _) | (_, EnvironmentKind::None | EnvironmentKind::AsItIs) => {
                options.venvs_dir.clone()
            }
            (Some(choice), _) => options.venvs_dir.join(&choice.folder_name),
        };
        let mut preview = Self {
            interpreter: choice.map(|choice| (choice.interpreter, choice.reason)),
            kind,
            folder,
            cache_key: None,
            store_key: None,
            is_cached: false,
            notices,
            requirements,
            source,
        };
        preview.look_into_cache(request, options);
        Ok(preview)
    }

    fn look_into_cache(&mut self, request: &PythonRequest, options: &PythonOptions) {
        let Some((interpreter, _)) = &self.interpreter else {
            return;
        };
        if self.kind != EnvironmentKind::Venv || !options.venvs_cache.is_enabled() {
            return;
        }
        let known = Known::of(request, options, interpreter, &self.requirements);
        self.cache_key = known.cache_key;
        self.store_key = known.store_key;
        self.is_cached = known.is_there;
    }

    /// The interpreter that would run the task (E-124); none where the task needs none.
    pub fn python(&self) -> Option<PathBuf> {
        let (interpreter, _) = self.interpreter.as_ref()?;
        Some(match self.kind {
            EnvironmentKind::Existing
            | EnvironmentKind::Standalone
            | EnvironmentKind::AsItIs
            | EnvironmentKind::None => interpreter.path.clone(),
            EnvironmentKind::Uv => self
                .folder
                .join(format!("bin/python{}", interpreter.version.short())),
            EnvironmentKind::Venv | EnvironmentKind::Poetry | EnvironmentKind::Conda => {
                python_of(&self.folder)
            }
        })
    }

    /// True where the environment would be made for the task, so that a shell has to be told of it (E-104).
    pub fn is_made_for_the_task(&self) -> bool {
        !matches!(self.kind, EnvironmentKind::Conda | EnvironmentKind::AsItIs)
    }

    /// What a shell would do before it runs a program of the task (E-204).
    pub fn activation(&self) -> Option<String> {
        (self.kind == EnvironmentKind::Conda)
            .then(|| format!("conda activate {}", self.folder.display()))
    }
}

/// The Python that conda would put into its environment (E-203).
fn brought_by_conda(request: &PythonRequest, options: &PythonOptions) -> Choice {
    let wanted = wanted_python(&request.binary, options);
    let folder_name = if wanted.is_empty() {
        "3".to_owned()
    } else {
        wanted
    };
    let path = python_of(&options.venvs_dir.join(&folder_name));
    let mut choice = Choice::absent();
    choice.interpreter.name.clone_from(&folder_name);
    choice.interpreter.path = path;
    choice.interpreter.version = format!("{folder_name}.0")
        .parse()
        .unwrap_or(choice.interpreter.version);
    choice.reason = format!("conda brings Python {folder_name}");
    choice.folder_name = folder_name;
    choice
}

/// The interpreter of an environment that is there.
async fn as_it_is(
    request: &PythonRequest,
    options: &PythonOptions,
    cancel: &CancellationToken,
) -> Result<Choice, PythonError> {
    let output = Output::nowhere().map_err(PythonError::files("open", Path::new("/dev/null")))?;
    let context = ToolContext {
        options,
        output: &output,
        cancel,
    };
    let interpreter = existing::find(request, context).await?;
    Ok(Choice {
        folder_name: interpreter.version.short(),
        reason: format!("the environment of `{}` is used as it is", interpreter.name),
        interpreter,
        notices: Vec::new(),
    })
}

/// The interpreter that a variable names (E-229).
async fn named(
    options: &PythonOptions,
    notices: &mut Vec<String>,
    cancel: &CancellationToken,
) -> Result<Option<Choice>, PythonError> {
    let path = match &options.skip {
        SkipEnvironment::Interpreter(path) | SkipEnvironment::Everything(Some(path)) => path,
        SkipEnvironment::Activated(_) => "python",
        _ => return Ok(None),
    };
    let found = interpreter::probe(path, cancel).await?;
    if found.is_none() {
        notices.push(format!(
            "Warning: interpreter {path} could not be found. Reverting to the default interpreter resolution"
        ));
    }
    Ok(found.map(|interpreter| Choice {
        folder_name: interpreter.version.short(),
        interpreter,
        notices: Vec::new(),
        reason: format!("CLEARML_AGENT_SKIP_PIP_VENV_INSTALL names `{path}`"),
    }))
}
