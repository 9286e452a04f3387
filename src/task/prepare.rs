//! From the task's fields to a command that can be started: code, environment, variables (E 1.2).

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::abort_command::AbortCommand;
use super::definition::Definition;
use super::links;
use super::server::TaskServer;
use crate::api::{ApiError, Task, TaskId};
use crate::process::{Command, Output};
use crate::python::{
    self, BinaryKind, CodeLocation, CustomBuild, Environment, LaunchCommand, LaunchRequest,
    Optimization, PathParts, PythonError, PythonOptions, PythonRequest, Report, Runner,
    SkipEnvironment,
};
use crate::settings;
use crate::source::{self, Code, CodeRequest, SourceError, SourceOptions};

/// How code and environment of a task are made.
#[derive(Clone, Debug)]
pub struct Preparation {
    /// Code.
    pub source: SourceOptions,
    /// Environment.
    pub python: PythonOptions,
    /// The agent's own variables.
    pub variables: settings::Environment,
    /// The configuration file that the program sees (E-254).
    pub configuration: PathBuf,
    /// What nobody has said before: the name of the configuration file (F-005), which of its sections were applied (F-091).
    pub introduction: Vec<String>,
    /// The configuration as it is printed first.
    pub printout: String,
    /// Variables that the program gets beside the agent's own.
    pub exported: Vec<(String, String)>,
    /// Variables of the agent that the program does not get (D-313).
    pub hidden: Vec<String>,
    /// `-O` of the interpreter (E-024).
    pub optimization: Optimization,
    /// The root of the checkout instead of the script's folders is on `PYTHONPATH` (E-107).
    pub root_on_python_path: bool,
    /// More of `PYTHONPATH` (E-108).
    pub extra_python_path: Option<String>,
    /// The task's `Environment` section is applied (E-260).
    pub apply_task_environment: bool,
    /// The site's script that makes the environment (E-234).
    pub custom_build_script: Option<String>,
    /// The task, where the caller has fetched it and taken it from its queue already.
    pub task: Option<Box<Task>>,
}

/// What is done about the queue that a task may be in (E-014, E-015).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DequeuePolicy {
    /// Taken out if it is in one.
    IfQueued,
    /// A clone is in none.
    Never,
    /// A task in no queue is not run.
    Required,
}

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

/// Why there is no program to start.
#[derive(Clone, Debug)]
pub enum PrepareError {
    /// The task was stopped.
    Cancelled,
    /// Something is wrong with the task or the machine.
    Failed(Failure),
}

/// What went wrong, in words for the user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// What and where.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The reason with which the task is to be marked as failed at once, whatever its shape (E-016, E-017).
    pub status_reason: Option<String>,
    /// The exit code, where it is that of a program (E-237).
    pub code: Option<i32>,
}

impl Preparation {
    /// Prepares the task; everything is said on `output`. Programs that run meanwhile die when `cancel` is cancelled.
    ///
    /// `begun` is called once the server has the task as running: before, its status is that of an earlier run.
    pub async fn run(
        &self,
        server: &TaskServer,
        output: &Output,
        cancel: &CancellationToken,
        begun: impl FnOnce(),
    ) -> Result<Prepared, PrepareError> {
        let server = server.cancelled_by(cancel);
        let prepared = self.prepare(&server, output, cancel, begun).await;
        if cancel.is_cancelled() {
            Err(PrepareError::Cancelled)
        } else {
            prepared
        }
    }

    async fn prepare(
        &self,
        server: &TaskServer,
        output: &Output,
        cancel: &CancellationToken,
        begun: impl FnOnce(),
    ) -> Result<Prepared, PrepareError> {
        for line in &self.introduction {
            output.line(line);
        }
        let task = match &self.task {
            Some(task) => Task::clone(task),
            None => take_task(server, DequeuePolicy::IfQueued).await?,
        };
        output.line(&self.printout);
        server.started_because("worker started execution").await?;
        begun();
        output.line(format!("Executing task id [{}]:", server.task()));
        // The script is told the whole task, which may be large; nobody else is.
        let script = self.custom_build_script.as_deref();
        let build_script = script
            .filter(|_| !self.source.is_standalone)
            .map(|script| (script, serde_json::to_string(&task).unwrap_or_default()));
        let definition = Definition::try_from(task)?;
        let request = definition.code.normalised(&self.source);
        print_request(&request, &definition.docker_cmd, output);
        let python = Self::python_request(&definition, &request);
        let (options, notice) = self.python_options(&python, &definition);
        if let Some(notice) = notice {
            output.line(notice);
        }
        if let Some((script, task_text)) = &build_script {
            let built = self.custom_build(
                script,
                task_text,
                server,
                &definition,
                &request,
                &python,
                output,
                cancel,
            );
            // Rarely needed, and as large as all the rest.
            let built = Box::pin(built).await?;
            if let Some(prepared) = built {
                return Ok(prepared);
            }
        }
        let mut environment = python::create_environment(&python, &options, output, cancel).await?;
        let folder = environment.folder();
        let code = source::fetch_code(&request, &self.source, folder, output, cancel)
            .await
            .map_err(|error| without_code(&error, &request, &definition.docker_cmd))?;
        let location = CodeLocation {
            root: code.repository.as_ref().map(|_| code.root.as_path()),
            script_folder: &code.script_folder,
        };
        let links = links::links(&self.source);
        let installed = environment.install(&python, location, &options, &links, output, cancel);
        let installed = Box::pin(installed).await?;
        let frozen = environment
            .freeze(&installed, &options, output, cancel)
            .await?;
        if let Some(frozen) = &frozen {
            let packages = frozen.packages().to_vec();
            if frozen.is_written_to_the_task()
                && let Err(error) = server.report_packages(packages, frozen.conda()).await
            {
                output.line(format!(
                    "Could not set task requirements: {}",
                    error.reference_text()
                ));
            }
            environment.keep(frozen, output, cancel).await?;
        }
        self.command(
            server,
            &definition,
            &request,
            &code,
            &environment,
            frozen.as_ref(),
            output,
            cancel,
        )
        .await
    }

    /// Lets the site's own script make the environment; none where it made none, which is said (E-234 to E-238).
    #[expect(
        clippy::too_many_arguments,
        reason = "the script is told everything, and the last step needs it too"
    )]
    async fn custom_build(
        &self,
        script: &str,
        task_text: &str,
        server: &TaskServer,
        definition: &Definition,
        request: &CodeRequest,
        python: &PythonRequest,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Option<Prepared>, PrepareError> {
        let mut environment = python::unbuilt_environment(python, &self.python, cancel).await?;
        let folder = environment.folder();
        let mut code = source::fetch_code(request, &self.source, folder, output, cancel)
            .await
            .map_err(|error| without_code(&error, request, &definition.docker_cmd))?;
        let build = CustomBuild {
            script,
            entry_point: &request.entry_point,
            working_dir: &request.working_dir,
            environment: folder,
            root: code.repository.as_ref().map(|_| code.root.as_path()),
            task: task_text,
        };
        let Some(built) = build.run(output, cancel).await? else {
            return Ok(None);
        };
        environment.use_interpreter(built.binary);
        code.entry_point = built.entry_point.display().to_string();
        code.script_folder = built.working_dir;
        self.command(
            server,
            definition,
            request,
            &code,
            &environment,
            None,
            output,
            cancel,
        )
        .await
        .map(Some)
    }

    /// What the environment is made for.
    pub(super) fn python_request(definition: &Definition, request: &CodeRequest) -> PythonRequest {
        PythonRequest {
            binary: request.binary.clone(),
            requirements: definition.requirements.clone(),
            entry_point: request.entry_point.clone(),
            docker_cmd: definition.docker_cmd.clone(),
            has_repository: !request.repository.is_empty(),
        }
    }

    /// The settings with the task's own wishes (E-232), and what is to be said of these.
    pub(super) fn python_options(
        &self,
        request: &PythonRequest,
        definition: &Definition,
    ) -> (PythonOptions, Option<String>) {
        let mut options = self.python.clone();
        options
            .installer_variables
            .extend(links::variables(&self.source));
        let mut notice = None;
        match definition.environment_mode.as_deref() {
            _ if options.skip == SkipEnvironment::Standalone => {}
            Some("existing") => options.skip = SkipEnvironment::AsItIs,
            Some("build") => options.skip = SkipEnvironment::No,
            None | Some("") => {}
            Some(word) => {
                notice = Some(format!(
                    "WARNING: the task's property environment={word} is neither existing nor build"
                ));
            }
        }
        let makes_no_choice = [SkipEnvironment::No, SkipEnvironment::AsItIs];
        if request.needs_no_python() && makes_no_choice.contains(&options.skip) {
            options.skip = SkipEnvironment::Everything(None);
        }
        (options, notice)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the last step needs what all steps before have made"
    )]
    async fn command(
        &self,
        server: &TaskServer,
        definition: &Definition,
        request: &CodeRequest,
        code: &Code,
        environment: &Environment,
        frozen: Option<&Report>,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Prepared, PrepareError> {
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
        output.line(format!("[{}]$ {}", code.working_dir, launch.shown()));
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
        output.line("Environment setup completed successfully\n\nStarting Task Execution:\n");
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
                source::add_task_init(&script, output);
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

fn print_request(request: &CodeRequest, docker_cmd: &str, output: &Output) {
    let fields = [
        ("repository", request.shown_repository()),
        ("branch", request.branch.clone()),
        ("version_num", request.version_num.clone()),
        ("tag", request.tag.clone()),
        ("docker_cmd", docker_cmd.to_owned()),
        ("entry_point", request.entry_point.clone()),
        ("working_dir", request.working_dir.clone()),
    ];
    for (name, value) in fields {
        output.line(format!("{name} = {value}"));
    }
    output.line("");
}

/// Fetches the task and takes it out of its queue (E-014, E-015, E-020).
pub async fn take_task(server: &TaskServer, policy: DequeuePolicy) -> Result<Task, PrepareError> {
    let task = fetch_task(server).await?;
    if policy == DequeuePolicy::Never {
        return Ok(task);
    }
    // Whether the task was queued matters to `--require-queue` alone (E-015).
    let queued = server.dequeue().await.unwrap_or(false);
    if queued || policy == DequeuePolicy::IfQueued {
        return Ok(task);
    }
    let id = server.task();
    let message = format!("Execution required enqueued task, but task id={id} is not queued.");
    let hint = "enqueue the task, or leave `--require-queue` out";
    Err(failure(message, Some(hint)))
}

/// The task with everything that running it needs (E-020).
pub async fn fetch_task(server: &TaskServer) -> Result<Task, PrepareError> {
    server.fetch().await.map_err(|error| {
        if !error.is_unknown_task() {
            return error.into();
        }
        let message = format!(
            "Could not find task id={} (for host: {})",
            server.task(),
            server.session().server()
        );
        let hint = "check the id on the web page, and the server in the configuration";
        failure(message, Some(hint))
    })
}

fn without_code(error: &SourceError, request: &CodeRequest, docker_cmd: &str) -> PrepareError {
    let message = error.console_text(request, docker_cmd);
    match error {
        SourceError::Cancelled => PrepareError::Cancelled,
        error if error.is_repository_failure() => failure_with_status(
            message,
            error.hint(),
            "failed cloning repository".to_owned(),
        ),
        error => failure(message, error.hint()),
    }
}

fn failure(message: impl Into<String>, hint: Option<impl Into<String>>) -> PrepareError {
    PrepareError::Failed(Failure {
        message: message.into(),
        hint: hint.map(Into::into),
        status_reason: None,
        code: None,
    })
}

pub(super) fn failure_with_status(
    message: String,
    hint: Option<impl Into<String>>,
    reason: String,
) -> PrepareError {
    PrepareError::Failed(Failure {
        message,
        hint: hint.map(Into::into),
        status_reason: Some(reason),
        code: None,
    })
}

impl From<ApiError> for PrepareError {
    fn from(error: ApiError) -> Self {
        failure(error.reference_text(), error.hint())
    }
}

impl From<PythonError> for PrepareError {
    fn from(error: PythonError) -> Self {
        if error.is_cancelled() {
            Self::Cancelled
        } else {
            Self::Failed(Failure {
                code: match error {
                    PythonError::CustomBuild { code } => Some(code),
                    _ => None,
                },
                message: error.to_string(),
                hint: error.hint(),
                status_reason: None,
            })
        }
    }
}
