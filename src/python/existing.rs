//! Tasks that run in an environment that is there, into which nothing is installed: `agent.environment.mode: existing`.
//!
//! Only `clearml` is added, beside that environment, where it cannot be imported.

use std::fs;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};

use super::environment::{Environment, choose};
use super::error::{FailedCommand, PythonError};
use super::interpreter::{Interpreter, probe};
use super::options::PythonRequest;
use super::pip::{Pip, without_private_indexes};
use super::tool::{ToolContext, requested};
use crate::process::Command;

/// An interpreter that a setting or a variable names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedInterpreter {
    /// Path or name of the program.
    pub path: String,
    /// What names it.
    pub named_by: &'static str,
    /// The task fails where it does not run; others are only tried.
    pub is_required: bool,
}

/// The interpreter of the task: the first that is named and runs, else the one that E section 4 chooses.
pub(super) async fn find(
    request: &PythonRequest,
    context: ToolContext<'_>,
) -> Result<Interpreter, PythonError> {
    let mut found = None;
    for named in &context.options.existing {
        if let Some(interpreter) = probe(&named.path, context.cancel).await? {
            found = Some((interpreter, named.named_by));
            break;
        }
        if named.is_required {
            return Err(PythonError::NoExistingInterpreter {
                path: named.path.clone(),
                named_by: named.named_by,
            });
        }
    }
    let (interpreter, named_by) = if let Some(found) = found {
        found
    } else {
        let ToolContext {
            options,
            output,
            cancel,
        } = context;
        let choice = choose(request, options, output, cancel).await?;
        (choice.interpreter, "of the machine")
    };
    context.output.line(format!(
        "Using the existing environment of {} (Python {}, {named_by}), nothing is installed",
        interpreter.path.display(),
        interpreter.version
    ));
    Ok(interpreter)
}

/// Says whether `clearml` and `pip` can be imported.
const LOOK: &str = "from importlib.util import find_spec; print(find_spec('clearml') is not None, find_spec('pip') is not None)";

impl Environment {
    /// Puts `clearml` into a folder of its own where the interpreter does not have it; the environment stays as it is.
    pub(super) async fn add_clearml(
        &mut self,
        context: ToolContext<'_>,
    ) -> Result<(), PythonError> {
        let seen = self.look(None, context).await?;
        if seen.has_clearml {
            return Ok(());
        }
        let requirement =
            requested("clearml", &self.requirements).unwrap_or_else(|| "clearml".to_owned());
        let folder = overlay_folder(&context.options.venvs_dir, self.python(), &requirement);
        if !self.look(Some(&folder), context).await?.has_clearml {
            context.output.line(format!(
                "{} cannot import clearml, adding `{requirement}` in {}",
                self.python().display(),
                folder.display()
            ));
            // Nobody sees the half of it, whoever is killed meanwhile.
            let parent = folder.parent().unwrap_or(&folder);
            fs::create_dir_all(parent).map_err(PythonError::files("create", parent))?;
            let made = tempfile::Builder::new().prefix(".").tempdir_in(parent);
            let made = made.map_err(PythonError::files("make a folder in", parent))?;
            let place = made.path().join("packages");
            let added = self
                .install_beside(&requirement, &place, seen.has_pip, context)
                .await?;
            if let Err(failed) = added {
                context.output.line(format!(
                    "Warning: failed to install ClearML package: {failed}"
                ));
                return Ok(());
            }
            // Another task may have been faster, with the same packages.
            if fs::rename(&place, &folder).is_err()
                && !self.look(Some(&folder), context).await?.has_clearml
            {
                super::environment::remove(&folder).await?;
                fs::rename(&place, &folder).map_err(PythonError::files("make", &folder))?;
            }
        }
        self.overlay = Some(folder);
        Ok(())
    }

    async fn look(
        &self,
        folder: Option<&Path>,
        context: ToolContext<'_>,
    ) -> Result<Seen, PythonError> {
        let mut command = Command::new(self.python()).args(["-c", LOOK]).folder("/");
        if let Some(folder) = folder {
            command = command.env("PYTHONPATH", folder);
        }
        let text = command.capture(context.cancel).await?.text();
        let mut words = text.split_whitespace();
        Ok(Seen {
            has_clearml: words.next() == Some("True"),
            has_pip: words.next() == Some("True"),
        })
    }

    /// Only what the interpreter does not have already: a second numpy in front of the image's own would hide it.
    async fn install_beside(
        &self,
        requirement: &str,
        folder: &Path,
        has_pip: bool,
        context: ToolContext<'_>,
    ) -> Result<Result<(), FailedCommand>, PythonError> {
        let mut pip = Pip::new(
            self.python(),
            context.options,
            context.output,
            context.cancel,
        );
        if !has_pip {
            // A wheel can be imported from; the interpreter carries that of pip.
            let wheels = &self.base_interpreter().bundled_wheels;
            let wheels: Vec<String> = wheels
                .iter()
                .map(|wheel| wheel.display().to_string())
                .collect();
            pip.link_variables
                .push(("PYTHONPATH".into(), wheels.join(":").into()));
        }
        let missing = match pip.missing(requirement).await? {
            Ok(missing) => missing,
            Err(failed) => return Ok(Err(failed)),
        };
        fs::create_dir_all(folder).map_err(PythonError::files("create", folder))?;
        let place = folder.to_string_lossy();
        let mut words = vec!["--no-deps", "--target", &place];
        words.extend(missing.iter().map(String::as_str));
        pip.install(&words, &words).await
    }
}

impl Pip<'_> {
    /// What an installation of `requirement` would bring, as `name==version`, without installing it.
    async fn missing(
        &self,
        requirement: &str,
    ) -> Result<Result<Vec<String>, FailedCommand>, PythonError> {
        let private = self.private_file(&[])?;
        let words = ["install", "--dry-run", "--quiet", "--report", "-"];
        let flags = without_private_indexes(&self.shown_install_flags(), &self.indexes);
        let mut command = self.command(&words).arg(requirement).args(flags);
        if let Some(file) = &private {
            command = command.arg("-r").arg(file.path());
        }
        let finished = command.capture(self.cancel).await?;
        if !finished.is_success() {
            self.output
                .line(String::from_utf8_lossy(&finished.stderr).trim());
            return Ok(Err(FailedCommand::new(&command.words(), &finished)));
        }
        Ok(Ok(packages_of_report(&finished.text())))
    }
}

/// The packages of pip's installation report.
fn packages_of_report(report: &str) -> Vec<String> {
    let report: serde_json::Value = serde_json::from_str(report).unwrap_or_default();
    let packages = report["install"].as_array().into_iter().flatten();
    packages
        .filter_map(|package| {
            let text = |name: &str| package["metadata"][name].as_str();
            Some(format!("{}=={}", text("name")?, text("version")?))
        })
        .collect()
}

struct Seen {
    has_clearml: bool,
    has_pip: bool,
}

/// One for each interpreter and version, kept for the next task.
fn overlay_folder(environments: &Path, python: &Path, requirement: &str) -> PathBuf {
    let text = format!("{}\n{requirement}", python.display());
    let name = format!("{:x}", Md5::digest(text.as_bytes()));
    environments.join("overlay").join(&name[..12])
}
