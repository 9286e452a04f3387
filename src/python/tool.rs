//! Programs that manage packages beside pip, uv and poetry: found on `PATH`, or installed into an environment of their own (E-214, E-220).

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::error::{FailedCommand, PythonError};
use super::interpreter::Interpreter;
use super::options::PythonOptions;
use super::requirement::{Requirement, Target};
use super::requirements::{RequirementList, TaskRequirements};
use super::venv::{create, python_of};
use crate::process::{Command, Output, ProcessError};

/// Variables that would point a tool to an environment that is not the task's (E-218, E-227).
pub(super) const FOREIGN_ENVIRONMENT: [&str; 4] =
    ["VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME"];

/// What all steps with a tool need.
#[derive(Clone, Copy)]
pub(super) struct ToolContext<'a> {
    pub(super) options: &'a PythonOptions,
    pub(super) output: &'a Output,
    pub(super) cancel: &'a CancellationToken,
}

impl ToolContext<'_> {
    /// The full path of a program on `PATH`, and its version.
    pub(super) async fn find(&self, name: &str) -> Result<Option<(PathBuf, String)>, PythonError> {
        let Some(path) = self.path_of(name).await? else {
            return Ok(None);
        };
        let version = self.version(&path).await?;
        Ok(version.map(|version| (path, version)))
    }

    /// The full path of a program on `PATH`.
    pub(super) async fn path_of(&self, name: &str) -> Result<Option<PathBuf>, PythonError> {
        let looked_up = Command::new("sh")
            .args(["-c", "command -v \"$0\"", name])
            .capture(self.cancel)
            .await?;
        let path = PathBuf::from(looked_up.text().trim());
        Ok(Some(path).filter(|path| looked_up.is_success() && path.is_absolute()))
    }

    /// What the program says its version is; none where it does not run.
    pub(super) async fn version(&self, program: &Path) -> Result<Option<String>, PythonError> {
        let command = Command::new(program).arg("--version");
        let finished = match command.capture(self.cancel).await {
            Ok(finished) if finished.is_success() => finished,
            Err(ProcessError::Cancelled(_)) => return Err(PythonError::Cancelled),
            Ok(_) | Err(ProcessError::Start { .. }) => return Ok(None),
        };
        let text = finished.text();
        let mut words = text.split_whitespace();
        let version = words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        Ok(version.map(|version| version.trim_end_matches(')').to_owned()))
    }

    /// Installs `requirement` into the environment `folder`, which belongs to this tool alone and stays for the next task.
    pub(super) async fn install(
        &self,
        name: &str,
        requirement: &str,
        interpreter: &Interpreter,
        folder: &Path,
    ) -> Result<Result<PathBuf, FailedCommand>, PythonError> {
        let program = folder.join("bin").join(name);
        let python = python_of(folder);
        let is_there = self.version(&program).await?.is_some();
        if is_there && requirement == name {
            return Ok(Ok(program));
        }
        if !is_there {
            super::environment::remove(folder).await?;
            let made = create(interpreter, folder, self.options, self.output, self.cancel).await?;
            if made != super::venv::Seed::Installed {
                let seeded = Command::new(&python)
                    .args(["-m", "ensurepip", "--default-pip"])
                    .run(self.output, self.cancel)
                    .await?;
                tracing::debug!(code = seeded.code(), "pip for {name}");
            }
        }
        let command = self
            .command(&python, folder)
            .args(["-m", "pip", "--disable-pip-version-check", "install"])
            .args([requirement, "--upgrade"]);
        Ok(self.run(&command).await?.map(|()| program))
    }

    /// Runs a command to its end; what failed, where it failed.
    pub(super) async fn run(
        &self,
        command: &Command,
    ) -> Result<Result<(), FailedCommand>, PythonError> {
        let finished = command.run(self.output, self.cancel).await?;
        Ok(if finished.is_success() {
            Ok(())
        } else {
            Err(FailedCommand::new(&command.words(), &finished))
        })
    }

    /// A command of a tool, without variables of other environments.
    pub(super) fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program).folder(folder);
        for name in FOREIGN_ENVIRONMENT {
            command = command.env_remove(name);
        }
        for (name, value) in &self.options.installer_variables {
            command = command.env(name, value);
        }
        command
    }
}

/// `name` with a configured version: `0.8` is exact, `<2` a range; none where no version is asked for.
pub(super) fn configured_requirement(name: &str, version: Option<&str>) -> Option<String> {
    let version = version
        .map(str::trim)
        .filter(|version| !version.is_empty())?;
    Some(if version.contains(['=', '~', '<', '>']) {
        format!("{name}{version}")
    } else {
        format!("{name}=={version}")
    })
}

/// A line of the task that asks for a version of the tool itself (E-135).
pub(super) fn requested(name: &str, requirements: &TaskRequirements) -> Option<String> {
    [&requirements.pip, &requirements.org_pip]
        .into_iter()
        .flatten()
        .map(RequirementList::text)
        .find_map(|text| {
            text.lines().find_map(|line| {
                let line = line.split(" #").next().unwrap_or(line).trim();
                let parsed = Requirement::parse(line).ok()?;
                let has_version =
                    matches!(&parsed.target, Target::Index(versions) if !versions.is_empty());
                (parsed.is_one_of(&[name]) && has_version).then(|| parsed.rendered())
            })
        })
}
