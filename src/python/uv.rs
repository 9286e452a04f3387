//! uv: environments, projects with its lock file, and its replacement of pip (E section 8.4).

use std::fs;
use std::path::{Path, PathBuf};

use super::code_location::CodeLocation;
use super::environment::Environment;
use super::error::PythonError;
use super::interpreter::Interpreter;
use super::requirements::TaskRequirements;
use super::tool::{ToolContext, configured_requirement, requested};
use super::venv::{create_flags, python_of};
use crate::process::Command;
use crate::ui::python_literal as repr;

/// Settings of uv.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the configuration file or a variable"
)]
pub struct UvOptions {
    /// `CLEARML_BOOTSTRAP_UV_EXEC`.
    pub program: Option<PathBuf>,
    /// `agent.package_manager.uv_version`.
    pub version: Option<String>,
    /// `agent.package_manager.uv_sync_extra_args`.
    pub sync_arguments: Vec<String>,
    /// `agent.package_manager.uv_run_extra_args`.
    pub run_arguments: Vec<String>,
    /// `agent.package_manager.uv_sync_locked_if_lock_file`.
    pub is_locked: bool,
    /// `agent.package_manager.uv_unsafe_best_match`.
    pub unsafe_best_match: bool,
    /// `agent.package_manager.uv_files_from_repo_working_dir`.
    pub files_from_working_dir: bool,
    /// The user has set `UV_CACHE_DIR`.
    pub has_cache_folder: bool,
    /// The user has set `UV_INDEX_STRATEGY`.
    pub has_index_strategy: bool,
}

/// A uv that runs.
#[derive(Clone, Debug)]
pub(super) struct Uv {
    program: PathBuf,
}

impl Uv {
    /// The uv that is there, by its variable or on `PATH` (E-289).
    pub(super) async fn present(context: ToolContext<'_>) -> Result<Option<Self>, PythonError> {
        if let Some(program) = &context.options.uv.program
            && context.version(program).await?.is_some()
        {
            return Ok(Some(Self {
                program: program.clone(),
            }));
        }
        let found = context.find("uv").await?;
        Ok(found.map(|(program, _)| Self { program }))
    }

    /// Finds uv, or installs it beside the environment `folder` (E-220); none where that fails, which is said.
    pub(super) async fn find(
        context: ToolContext<'_>,
        requirements: &TaskRequirements,
        interpreter: &Interpreter,
        folder: &Path,
    ) -> Result<Option<Self>, PythonError> {
        let options = &context.options.uv;
        if let Some(program) = &options.program {
            if context.version(program).await?.is_some() {
                return Ok(Some(Self {
                    program: program.clone(),
                }));
            }
            context.output.line(format!(
                "WARNING: `{}` of CLEARML_BOOTSTRAP_UV_EXEC does not run, looking for another uv",
                program.display()
            ));
        }
        let wanted = requested("uv", requirements)
            .or_else(|| configured_requirement("uv", options.version.as_deref()));
        if wanted.is_none()
            && let Some((program, version)) = context.find("uv").await?
        {
            context.output.line(format!(
                "Notice: `uv`{version} was found, no specific version required, skipping uv installation"
            ));
            return Ok(Some(Self { program }));
        }
        context.output.line(match &wanted {
            None => "Installing `uv`".to_owned(),
            Some(wanted) => format!(
                "Installing / Upgrading `uv` package to {}",
                wanted.trim_start_matches("uv")
            ),
        });
        let requirement = wanted.as_deref().unwrap_or("uv");
        let own = super::environment::beside(folder, "_uv");
        match context
            .install("uv", requirement, interpreter, &own)
            .await?
        {
            Ok(program) => Ok(Some(Self { program })),
            Err(failed) => {
                context.output.line(format!(
                    "WARNING: could not install uv, using pip: {failed}"
                ));
                Ok(None)
            }
        }
    }

    /// A call of uv in `folder`, with its cache outside of what it works on (E-226, E-227).
    pub(super) fn command(&self, context: ToolContext<'_>, folder: &Path) -> Command {
        let options = &context.options.uv;
        let mut command = context.command(&self.program, folder);
        if let (false, Some(cache)) = (options.has_cache_folder, &context.options.download_cache) {
            command = command.env("UV_CACHE_DIR", cache.join("uv"));
        }
        if options.unsafe_best_match && !options.has_index_strategy {
            command = command.env("UV_INDEX_STRATEGY", "unsafe-best-match");
        }
        command
    }

    /// Makes the environment in `folder`; false where that fails, which is said (E-221).
    ///
    /// `python` is a path, or the version that uv is to bring.
    pub(super) async fn create(
        &self,
        context: ToolContext<'_>,
        python: &str,
        folder: &Path,
    ) -> Result<bool, PythonError> {
        let parent = folder.parent().unwrap_or(folder);
        let command = self
            .command(context, parent)
            .args(["venv", "--python", python])
            .args(create_flags(context.options))
            .arg(folder);
        let words = repr::list(command.words());
        let words = words.trim_start_matches('[').trim_end_matches(']');
        context.output.line(format!("INFO: Executing: ({words})"));
        let made = context.run(&command).await?;
        match made {
            Ok(()) if python_of(folder).exists() => Ok(true),
            failed => {
                let reason = failed.err().map(|failed| failed.to_string());
                let reason = reason.unwrap_or_else(|| "no interpreter was made".to_owned());
                context
                    .output
                    .line(format!("ERROR: UV venv creation failed: {reason}"));
                context
                    .output
                    .line("INFO: UV environment creation failed - reverting to VirtualEnv !!!");
                Ok(false)
            }
        }
    }

    /// Brings the packages of the project in `folder` into its own environment; false where the task's packages are to be
    /// installed instead (E-222).
    async fn sync(&self, context: ToolContext<'_>, folder: &Path) -> Result<bool, PythonError> {
        let options = &context.options.uv;
        let output = context.output;
        let has_lock = folder.join("uv.lock").is_file();
        if options.unsafe_best_match && options.has_index_strategy {
            output.line("INFO: skipping uv_unsafe_best_match, UV_INDEX_STRATEGY is set");
        }
        let command = |locked: bool| {
            let mut command = self.command(context, folder).arg("sync");
            if locked {
                command = command.arg("--locked");
            }
            command = command.args(&options.sync_arguments);
            let indexes = &context.options.extra_index_url;
            let mut private = Vec::new();
            for index in indexes {
                if index.is_private() {
                    private.push(index.expose());
                } else {
                    command = command.arg("--extra-index-url").arg(index.to_string());
                }
            }
            if private.is_empty() {
                command
            } else {
                command.env("UV_EXTRA_INDEX_URL", private.join(" "))
            }
        };
        let is_locked = has_lock && options.is_locked;
        let mut result = context.run(&command(is_locked)).await?;
        if is_locked && result.is_err() {
            output.line("INFO: failed installing using lock file, trying without");
            result = context.run(&command(false)).await?;
        }
        let Err(failed) = result else {
            return Ok(true);
        };
        output.line(format!(
            "Failed installing uv requirements from lock file: {failed}"
        ));
        if has_lock {
            return Err(PythonError::Project {
                tool: "uv",
                command: failed,
            });
        }
        output.line(
            "Reverting to UV as pip replacement - installing from Task requirements or git requirements.txt",
        );
        Ok(false)
    }
}

/// A project that uv has synchronised.
#[derive(Debug)]
pub(super) struct UvProject {
    pub(super) uv: Uv,
    pub(super) folder: PathBuf,
}

impl UvProject {
    /// The interpreter of the project's own environment.
    pub(super) fn python(&self) -> PathBuf {
        self.folder.join(".venv/bin/python")
    }

    /// The words before the interpreter's own arguments (E-223).
    pub(super) fn launcher(&self, arguments: &[String]) -> Vec<String> {
        let mut words = vec![self.uv.program.display().to_string(), "run".to_owned()];
        words.extend(arguments.iter().cloned());
        words.extend([
            "--python".to_owned(),
            self.python().display().to_string(),
            "python".to_owned(),
        ]);
        words
    }
}

impl Environment {
    /// Decides by the files of the repository, and synchronises a project (E-222); none where uv installs what the task asks for
    /// in place of pip, which its environment does not have (E-224, E-225).
    pub(super) async fn install_by_uv(
        &self,
        uv: &Uv,
        code: CodeLocation<'_>,
        added: &[&str],
        context: ToolContext<'_>,
    ) -> Result<Option<UvProject>, PythonError> {
        let options = &context.options.uv;
        let folder = code.project_folder(options.files_from_working_dir);
        let has_project = code.project_file(context.options).is_some();
        if let (true, Some(folder)) = (has_project, folder) {
            context.output.line(
                "UV Enabled: Ignoring requested python packages, using repository uv lock file!",
            );
            if let Some(cache) = &context.options.download_cache {
                fs::create_dir_all(cache).map_err(PythonError::files("create", cache))?;
            }
            if uv.sync(context, folder).await? {
                let project = UvProject {
                    uv: uv.clone(),
                    folder: folder.to_owned(),
                };
                if !added.is_empty() {
                    let command = uv
                        .command(context, folder)
                        .args(["pip", "install", "--python"])
                        .arg(project.python())
                        .args(added);
                    if context.run(&command).await?.is_err() {
                        context
                            .output
                            .line("Warning: failed to install ClearML package");
                    }
                }
                return Ok(Some(project));
            }
        }
        Ok(None)
    }
}
