//! What a run of a task would do and why, without doing any of it: made by the functions that the run itself uses.

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::definition::Definition;
use super::failure::{PrepareError, without_code};
use super::links;
use super::prepare::Preparation;
use super::program::{Start, Surroundings};
use crate::api::{Task, TaskId};
use crate::container::command::ContainerCommand;
use crate::python::{self, CodeFiles, CodeLocation, EnvironmentPreview, RequirementsPreview};
use crate::source::{Code, CodePreview, CodeRequest};

/// A run as it would be; nothing in it has been masked yet.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The task's id.
    pub task: TaskId,
    /// Where the code comes from; none for a script without a repository.
    pub repository: Option<RepositoryPlan>,
    /// What is started.
    pub script: ScriptPlan,
    /// From which Python the environment is made; none in a container, and for a task that needs none on a machine that has none.
    pub interpreter: Option<InterpreterPlan>,
    /// The packages; none in a container, where they are found out.
    pub requirements: Option<RequirementsPreview>,
    /// Where they are installed; none in a container.
    pub environment: Option<EnvironmentPlan>,
    /// The container; none outside of containers.
    pub container: Option<ContainerPlan>,
    /// What the program gets beside the agent's own variables, by name; in a container, what is known of that outside.
    pub variables: serde_json::Map<String, serde_json::Value>,
    /// The program with its arguments; nothing in a container.
    pub command: Vec<String>,
    /// What else a user should know.
    pub notices: Vec<String>,
}

/// Where the code comes from.
#[derive(Clone, Debug, Serialize)]
pub struct RepositoryPlan {
    /// What git gets (E 2.2).
    pub url: String,
    /// `script.branch`
    pub branch: String,
    /// `script.version_num`
    pub commit: String,
    /// `script.tag`
    pub tag: String,
    /// How credentials reach the server: `none`, `askpass`, `azure_pat_header`, `entra_header` (E 2.3).
    pub credentials: &'static str,
    /// Whose they are and where they come from.
    pub credential_source: Option<String>,
    /// The commit is on this machine: nothing is fetched.
    pub cached: bool,
    /// Uncommitted changes are applied (E 2.7).
    pub has_changes: bool,
}

/// What is started.
#[derive(Clone, Debug, Serialize)]
pub struct ScriptPlan {
    /// After E-010 to E-012.
    pub entry_point: String,
    /// The same.
    pub working_dir: String,
    /// `file`, `literal`, `module`, `command`, `notebook`, `shell`
    pub kind: &'static str,
}

/// A Python, and why it is this one (E 4).
#[derive(Clone, Debug, Serialize)]
pub struct InterpreterPlan {
    /// The executable.
    pub path: String,
    /// Its version.
    pub version: String,
    /// Why.
    pub reason: String,
}

/// Where packages are installed (E 5, 10).
#[derive(Clone, Debug, Serialize)]
pub struct EnvironmentPlan {
    /// `venv`, `uv`, `poetry`, `conda`, `existing`, `standalone`, `as_it_is`, `none`
    pub kind: &'static str,
    /// Its folder.
    pub path: String,
    /// The name that an official agent would give it in its cache (E-240).
    pub cache_key: Option<String>,
    /// Its name in the store.
    pub store_key: Option<String>,
    /// It is taken from the store or the cache.
    pub hit: bool,
}

/// The container in which a task runs.
#[derive(Clone, Debug, Serialize)]
pub struct ContainerPlan {
    /// Its image.
    pub image: String,
    /// The equivalent command line of docker, with secrets masked (C-142).
    pub argv: Vec<String>,
    /// What happens in it before the task runs: the last word of the command line.
    pub script: String,
}

impl ContainerPlan {
    /// The plan for a container.
    fn of(command: &ContainerCommand) -> Self {
        let words = std::iter::once("docker".to_owned());
        Self {
            image: command.image.clone(),
            argv: words.chain(command.shown.iter().cloned()).collect(),
            script: command.shown.last().cloned().unwrap_or_default(),
        }
    }
}

impl Preparation {
    /// The plan for `task`. Interpreters are asked who they are, and pages of PyTorch are read where the run would.
    pub async fn plan(
        &self,
        id: &TaskId,
        task: Task,
        cancel: &CancellationToken,
    ) -> Result<Plan, PrepareError> {
        let definition = Definition::try_from(task)?;
        let request = definition.code.normalised(&self.source);
        let python_request = Self::python_request(&definition, &request);
        let (options, notice) = self.python_options(&python_request, &definition);
        let environment = EnvironmentPreview::of(&python_request, &options, cancel).await?;
        let code = CodePreview::of(&request, &self.source, &environment.folder)
            .map_err(|error| without_code(&error, &request, &definition.docker_cmd))?;
        let read = |path: &std::path::Path| code.files.as_ref()?.text(path);
        let files = CodeFiles {
            location: CodeLocation {
                root: code.repository.as_ref().map(|_| code.root.as_path()),
                script_folder: &code.script_folder,
            },
            text: code.files.is_some().then_some(&read),
        };
        let links = links::links(&self.source);
        let requirements = environment
            .requirements(&python_request, &options, &links, files, cancel)
            .await?;
        let (kind, warning) = python::binary_kind(&request.binary);
        let python = environment.python().unwrap_or_default();
        let stand_in = Code {
            root: code.root.clone(),
            script_folder: code.script_folder.clone(),
            entry_point: code.entry_point.clone(),
            working_dir: code.working_dir.clone(),
            repository: None,
        };
        let surroundings = Surroundings {
            folder: &environment.folder,
            overlay: None,
            is_made_for_the_task: environment.is_made_for_the_task(),
            sys_path: None,
        };
        let variables = self.program_variables(kind, id, &stand_in, &surroundings);
        let launch = self.launch_command(
            kind,
            &definition,
            &request,
            &Start {
                python: &python,
                launcher: requirements.launcher.clone(),
                activation: environment.activation(),
                entry_point: &code.entry_point,
                is_file: code.is_file(),
                variables: &variables,
            },
        );
        let command = std::iter::once(launch.program.display().to_string())
            .chain(launch.arguments)
            .collect();
        let variables = variables.iter().chain(self.task_environment(&definition));
        let notices = [&environment.notices, &code.notices, &requirements.notices]
            .into_iter()
            .flatten()
            .cloned()
            .chain(self.what_else(&definition))
            .chain(notice)
            .chain(warning)
            .chain(launch.notices)
            .collect();
        Ok(Plan {
            task: id.clone(),
            repository: repository(&code, &request),
            script: ScriptPlan {
                entry_point: request.entry_point.clone(),
                working_dir: request.working_dir.clone(),
                kind: code.kind.word(),
            },
            interpreter: interpreter(&environment),
            requirements: Some(requirements),
            environment: Some(EnvironmentPlan {
                kind: environment.kind.word(),
                path: environment.folder.display().to_string(),
                cache_key: environment.cache_key.clone(),
                store_key: environment.store_key.clone(),
                hit: environment.is_cached,
            }),
            container: None,
            variables: by_name(variables),
            command,
            notices,
        })
    }

    /// The plan for `task` in a container: what is looked for on the machine itself holds nothing there.
    pub fn plan_in_container(
        &self,
        id: &TaskId,
        task: Task,
        command: &ContainerCommand,
    ) -> Result<Plan, PrepareError> {
        let definition = Definition::try_from(task)?;
        let request = definition.code.normalised(&self.source);
        let code = CodePreview::of(&request, &self.source, &self.python.venvs_dir)
            .map_err(|error| without_code(&error, &request, &definition.docker_cmd))?;
        let mut notices = command.warnings.clone();
        notices.push(
            "interpreter, packages and the program's command are found out in the container"
                .to_owned(),
        );
        Ok(Plan {
            task: id.clone(),
            repository: repository(&code, &request),
            script: ScriptPlan {
                entry_point: request.entry_point.clone(),
                working_dir: request.working_dir.clone(),
                kind: code.kind.word(),
            },
            interpreter: None,
            requirements: None,
            environment: None,
            container: Some(ContainerPlan::of(command)),
            variables: by_name(self.task_environment(&definition)),
            command: Vec::new(),
            notices,
        })
    }
}

impl Preparation {
    /// What changes the run and is in no other part of the plan.
    fn what_else(&self, definition: &Definition) -> impl Iterator<Item = String> {
        let image = definition.docker_cmd.split_whitespace().next();
        let image = image.map(|image| {
            format!("the task names the container `{image}`: it counts with `--docker` alone")
        });
        let script = self.custom_build_script.as_ref();
        let script = script.filter(|_| !self.source.is_standalone).map(|script| {
            format!("`{script}` makes the environment (agent.custom_build_script); what is said of it here holds where the script gives no answer")
        });
        image.into_iter().chain(script)
    }
}

fn by_name<'a>(
    variables: impl Iterator<Item = &'a (String, String)>,
) -> serde_json::Map<String, serde_json::Value> {
    variables
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect()
}

fn repository(code: &CodePreview, request: &CodeRequest) -> Option<RepositoryPlan> {
    let repository = code.repository.as_ref()?;
    Some(RepositoryPlan {
        url: repository.url.clone(),
        branch: request.branch.clone(),
        commit: request.version_num.clone(),
        tag: request.tag.clone(),
        credentials: repository.credentials,
        credential_source: repository.credential_source.clone(),
        cached: repository.is_cached,
        has_changes: request.has_changes(),
    })
}

fn interpreter(environment: &EnvironmentPreview) -> Option<InterpreterPlan> {
    let (interpreter, reason) = environment.interpreter.as_ref()?;
    Some(InterpreterPlan {
        path: interpreter.path.display().to_string(),
        version: interpreter.version.to_string(),
        reason: reason.clone(),
    })
}
