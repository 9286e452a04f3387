//! The program of a task with its arguments and variables, from the environment and the code that were made for it (E 3, 11).

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::abort_command::AbortCommand;
use super::definition::Definition;
use super::environment::{Made, Wanted};
use super::failure::{PrepareError, failure};
use super::prepare::Preparation;
use super::server::TaskServer;
use crate::api::TaskId;
use crate::process::{Command, Output};
use crate::python::{
    self, BinaryKind, Environment, LaunchCommand, LaunchRequest, PathParts, Runner,
};
use crate::source::{self, Code, CodeRequest};
use crate::visible;

/// What the program is started with, made or only planned.
pub(super) struct Start<'a> {
    pub(super) python: &'a Path,
    /// Stands for the interpreter in a project of uv or poetry.
    pub(super) launcher: Option<Vec<String>>,
    /// What a shell does before it runs the program, in an environment of conda.
    pub(super) activation: Option<String>,
    pub(super) entry_point: &'a str,
    /// The entry point is a file (E-098).
    pub(super) is_file: bool,
    /// What the program gets beside the agent's own variables, for the arguments of modules (E-095).
    pub(super) variables: &'a [(String, String)],
}

/// The environment that a program finds, made or only planned.
pub(super) struct Surroundings<'a> {
    pub(super) folder: &'a Path,
    /// Packages beside those of an environment that is used as it is.
    pub(super) overlay: Option<&'a Path>,
    /// A shell has to be told of it (E-104).
    pub(super) is_made_for_the_task: bool,
    /// `sys.path` of its interpreter (E-105).
    pub(super) sys_path: Option<&'a str>,
}

/// A program that is ready to be started.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The program with its variables and folder.
    pub command: Command,
    /// It is started beside this process in every shape (E-212, E-266).
    pub is_child: bool,
    /// Runs when the task is stopped; registered with the server already (E-268).
    pub abort_command: Option<AbortCommand>,
}

impl Preparation {
    /// The program of a task for which all is made; the server is told that it starts.
    pub(super) async fn program(
        &self,
        server: &TaskServer,
        wanted: &Wanted,
        made: &Made,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Prepared, PrepareError> {
        let Wanted {
            definition,
            request,
            ..
        } = wanted;
        let Made {
            environment,
            code,
            frozen,
            ..
        } = made;
        output.line(format!("Running task id [{}]:", server.task()));
        let (kind, warning) = python::binary_kind(&request.binary);
        if let Some(warning) = warning {
            output.line(warning);
        }
        let sys_path = environment.sys_path(&code.script_folder, cancel).await?;
        let surroundings = Surroundings {
            folder: environment.folder(),
            overlay: environment.overlay(),
            is_made_for_the_task: environment.is_made_for_the_task(),
            sys_path: sys_path.as_deref(),
        };
        let variables = self.program_variables(kind, server.task(), code, &surroundings);
        let launcher = environment.launcher(&self.python);
        let is_project = launcher.is_some();
        let launch = self.launch_command(
            kind,
            definition,
            request,
            &Start {
                python: environment.python(),
                launcher,
                activation: environment.activation(),
                entry_point: &code.entry_point,
                is_file: code.script_folder.join(&code.entry_point).is_file(),
                variables: &variables,
            },
        );
        for notice in &launch.notices {
            output.line(notice);
        }
        let shown = format!("[{}]$ {}", code.working_dir, launch.shown());
        output.line(visible::line(&shown));
        match frozen {
            Some(frozen) => output.line(frozen.summary()),
            None => output.line("No freeze information available"),
        }
        if let Some(notebook) = &launch.notebook {
            self.convert(notebook, environment, code, output, cancel)
                .await?;
        }
        let mut command = Command::new(&launch.program)
            .args(&launch.arguments)
            .folder(&code.script_folder);
        for (name, value) in variables {
            command = command.env(name, value);
        }
        let hidden = self.hidden.iter().map(String::as_str);
        for name in python::REMOVED_VARIABLES.into_iter().chain(hidden) {
            command = command.env_remove(name);
        }
        if is_project {
            // The tool would warn of them, or take them for the project's own (E-218).
            for name in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
                command = command.env_remove(name);
            }
        }
        for (name, value) in self.task_environment(definition) {
            command = command.env(name, value);
        }
        if let Some(repository) = code
            .repository
            .as_ref()
            .filter(|_| request.version_num.is_empty())
            && let Err(error) = server.record_commit(&repository.commit).await
        {
            tracing::info!(%error, "could not write the commit back to the task");
        }
        server
            .started_because("worker starting task execution")
            .await?;
        let abort_command = AbortCommand::of(&self.variables, code.script_folder.clone());
        if let Some(abort_command) = &abort_command {
            command = abort_command.variables(command);
            abort_command.register(server, output).await;
        }
        Ok(Prepared {
            command,
            is_child: environment.runs_as_child() || abort_command.is_some(),
            abort_command,
        })
    }

    /// The command line of the program (E section 3.3).
    pub(super) fn launch_command(
        &self,
        kind: BinaryKind,
        definition: &Definition,
        request: &CodeRequest,
        start: &Start<'_>,
    ) -> LaunchCommand {
        let shell = python::find_shell(
            &request.binary,
            self.variables.get("PATH"),
            self.variables.get("SHELL"),
        );
        let runner = match kind {
            BinaryKind::Python => Runner::Python(start.python, self.optimization),
            BinaryKind::Shell => Runner::Shell(&shell),
        };
        let lookup = |name: &str| -> Option<String> {
            let exported = start.variables.iter().chain(&definition.environment);
            let known = exported
                .rev()
                .find(|(other, _)| other == name)
                .map(|(_, value)| value.clone());
            let inherited = self
                .variables
                .get(name)
                .filter(|_| !self.hidden.iter().any(|hidden| hidden == name));
            known.or_else(|| inherited.map(str::to_owned))
        };
        let command = python::command_line(&LaunchRequest {
            runner,
            entry_point: start.entry_point,
            is_file: start.is_file,
            variables: Some(&lookup),
        });
        let command = match &start.launcher {
            Some(launcher) if kind == BinaryKind::Python => command.behind(launcher.clone()),
            _ => command,
        };
        match &start.activation {
            Some(activation) => command.activated(activation),
            None => command,
        }
    }

    /// Variables that the task itself sets, where that is allowed (E-260).
    pub(super) fn task_environment<'a>(
        &self,
        definition: &'a Definition,
    ) -> impl Iterator<Item = &'a (String, String)> {
        let is_applied = self.apply_task_environment;
        definition.environment.iter().filter(move |_| is_applied)
    }

    async fn convert(
        &self,
        notebook: &str,
        environment: &Environment,
        code: &Code,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), PrepareError> {
        let finished = Command::new(environment.python())
            .args(python::nbconvert_command(notebook))
            .folder(&code.script_folder)
            .run(output, cancel)
            .await
            .map_err(|_| PrepareError::Cancelled)?;
        if finished.is_success() {
            if self.source.force_task_init {
                let script = code.script_folder.join(notebook).with_extension("py");
                source::add_task_init(&code.root, &script, output);
            }
            return Ok(());
        }
        let message = format!(
            "Failed [{}] converting jupyter notebook: {notebook}",
            finished.code()
        );
        Err(failure(
            message,
            Some("`jupyter nbconvert --to python` of this notebook must work"),
        ))
    }

    /// What the program gets beside the agent's own variables (E 11.2).
    pub(super) fn program_variables(
        &self,
        kind: BinaryKind,
        task: &TaskId,
        code: &Code,
        surroundings: &Surroundings<'_>,
    ) -> Vec<(String, String)> {
        let mut variables = self.exported.clone();
        let mut both = |name: &str, value: &str| {
            variables.push((format!("CLEARML_{name}"), value.to_owned()));
            variables.push((format!("TRAINS_{name}"), value.to_owned()));
        };
        both("TASK_ID", task.as_str());
        both("CONFIG_FILE", &self.configuration.display().to_string());
        both("LOG_TASK_TO_BACKEND", "0");
        let overlay = surroundings.overlay;
        let extra = [
            self.extra_python_path.clone(),
            overlay.map(|overlay| overlay.display().to_string()),
        ];
        let extra: Vec<String> = extra.into_iter().flatten().collect();
        let extra = extra.join(":");
        let path = python::python_path(&PathParts {
            previous: self.variables.get("PYTHONPATH"),
            script_folder: &code.script_folder,
            entry_point: &code.entry_point,
            root: self.root_on_python_path.then_some(code.root.as_path()),
            sys_path: surroundings.sys_path,
            extra: Some(&extra),
        });
        variables.extend(path.map(|path| ("PYTHONPATH".to_owned(), path)));
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(|name| self.variables.get(name));
        let encoding = python::io_encoding(self.variables.get("PYTHONIOENCODING"), locale);
        variables
            .extend(encoding.map(|encoding| ("PYTHONIOENCODING".to_owned(), encoding.to_owned())));
        if kind == BinaryKind::Shell && surroundings.is_made_for_the_task {
            let shell = python::shell_variables(surroundings.folder, self.variables.get("PATH"));
            variables.extend(shell.map(|(name, value)| (name.to_owned(), value)));
        }
        variables
    }
}
