//! Code and environment of a task, for a run of it or for `build` (E 2, 5 to 10).

use tokio_util::sync::CancellationToken;

use super::definition::Definition;
use super::failure::{PrepareError, failure, without_code};
use super::links;
use super::prepare::Preparation;
use super::server::TaskServer;
use super::timeline::Timeline;
use crate::api::Task;
use crate::process::Output;
use crate::python::{
    self, CodeLocation, CustomBuild, Environment, PythonOptions, PythonRequest, Report,
    SkipEnvironment,
};
use crate::source::{self, Code, CodeRequest, SourceOptions};
use crate::visible;

/// What a task asks for, and the rules by which it gets it.
pub(super) struct Wanted {
    pub(super) definition: Definition,
    pub(super) request: CodeRequest,
    pub(super) source: SourceOptions,
    pub(super) python: PythonRequest,
    pub(super) options: PythonOptions,
    /// No environment is made: the packages go into the interpreter itself (E-283).
    pub(super) is_global: bool,
    /// The site's script, and the task for it.
    custom_build: Option<(String, String)>,
}

/// What a task has got.
pub(super) struct Made {
    pub(super) environment: Environment,
    pub(super) code: Code,
    /// The packages; none where nobody has installed any.
    pub(super) frozen: Option<Report>,
    /// By the site's script.
    pub(super) is_by_custom_build: bool,
}

impl Preparation {
    /// Reads the fields of the task, and says what they are.
    pub(super) fn wanted(
        &self,
        server: &TaskServer,
        task: Task,
        output: &Output,
    ) -> Result<Wanted, PrepareError> {
        output.line(format!("Executing task id [{}]:", server.task()));
        // The script is told the whole task, which may be large; nobody else is.
        let custom_build = self
            .custom_build_script
            .as_ref()
            .filter(|_| !self.source.is_standalone)
            .map(|script| {
                let task = serde_json::to_string(&task).unwrap_or_default();
                (script.clone(), task)
            });
        let definition = Definition::try_from(task)?;
        let request = definition.code.normalised(&self.source);
        print_request(&request, &definition.docker_cmd, output);
        let python = Self::python_request(&definition, &request);
        let (options, notice) = self.python_options(&python, &definition);
        if let Some(notice) = notice {
            output.line(notice);
        }
        Ok(Wanted {
            definition,
            request,
            source: self.source.clone(),
            python,
            options,
            is_global: false,
            custom_build,
        })
    }

    /// Makes the environment, with the code in it; what runs meanwhile dies when `cancel` is cancelled.
    pub(super) async fn make(
        &self,
        wanted: &Wanted,
        timeline: &mut Timeline,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Made, PrepareError> {
        let doing = output.program_doing("running the site's script");
        // Rarely needed, and as large as all the rest.
        if let Some(made) = Box::pin(wanted.by_custom_build(output, cancel)).await? {
            timeline.passed("the site's script");
            return Ok(made);
        }
        drop(doing);
        let (python, options) = (&wanted.python, &wanted.options);
        let doing = output.program_doing("making the environment");
        let mut environment = python::create_environment(python, options, output, cancel).await?;
        timeline.passed("environment");
        drop(doing);
        let doing = output.doing("fetching code");
        let code = wanted.fetch_code(&environment, output, cancel).await?;
        timeline.passed("code");
        drop(doing);
        let location = location(&code);
        wanted.check_project(location)?;
        let links = links::links(&wanted.source);
        let doing = output.program_doing("installing packages");
        let installed = environment.install(python, location, options, &links, output, cancel);
        let installed = Box::pin(installed).await?;
        timeline.passed("packages");
        drop(doing);
        let doing = output.program_doing("listing packages");
        let frozen = environment
            .freeze(&installed, options, output, cancel)
            .await?;
        timeline.passed("list of packages");
        drop(doing);
        Ok(Made {
            environment,
            code,
            frozen,
            is_by_custom_build: false,
        })
    }

    /// What the environment of `task` is made of, with the task's own wishes.
    pub fn environment_of(
        &self,
        task: Task,
    ) -> Result<(PythonRequest, PythonOptions), PrepareError> {
        let definition = Definition::try_from(task)?;
        let request = definition.code.normalised(&self.source);
        let python = Self::python_request(&definition, &request);
        let (options, _) = self.python_options(&python, &definition);
        Ok((python, options))
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
                    "WARNING: the task's property environment={} is neither existing nor build",
                    visible::line(word)
                ));
            }
        }
        let makes_no_choice = [SkipEnvironment::No, SkipEnvironment::AsItIs];
        if request.needs_no_python() && makes_no_choice.contains(&options.skip) {
            options.skip = SkipEnvironment::Everything(None);
        }
        (options, notice)
    }
}

impl Wanted {
    /// Nobody knows before what the site's script will make.
    pub(super) fn is_by_the_sites_script(&self) -> bool {
        self.custom_build.is_some()
    }

    async fn fetch_code(
        &self,
        environment: &Environment,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Code, PrepareError> {
        let folder = environment.folder();
        source::fetch_code(&self.request, &self.source, folder, output, cancel)
            .await
            .map_err(|error| without_code(&error, &self.request, &self.definition.docker_cmd))
    }

    /// A project of uv or poetry has an environment of its own, or none.
    fn check_project(&self, code: CodeLocation<'_>) -> Result<(), PrepareError> {
        let has_interpreter = self.options.skip == SkipEnvironment::ChosenInterpreter;
        if !self.is_global || !has_interpreter {
            return Ok(());
        }
        let Some((tool, file)) = code.project_file(&self.options) else {
            return Ok(());
        };
        Err(failure(
            format!(
                "could not install the project of `{}` into the interpreter itself: {tool} gives it an environment of its own",
                file.display()
            ),
            Some(
                "leave `--install-globally` (or `--docker`) out, or set agent.package_manager.type to pip, which installs what the task lists",
            ),
        ))
    }

    /// Lets the site's own script make the environment; none where it made none, which is said (E-234 to E-238).
    async fn by_custom_build(
        &self,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Option<Made>, PrepareError> {
        let Some((script, task)) = &self.custom_build else {
            return Ok(None);
        };
        let environment = python::unbuilt_environment(&self.python, &self.options, cancel);
        let mut environment = environment.await?;
        let mut code = self.fetch_code(&environment, output, cancel).await?;
        let build = CustomBuild {
            script,
            entry_point: &self.request.entry_point,
            working_dir: &self.request.working_dir,
            environment: environment.folder(),
            root: location(&code).root,
            task,
        };
        let Some(built) = build.run(output, cancel).await? else {
            return Ok(None);
        };
        environment.use_interpreter(built.binary);
        code.entry_point = built.entry_point.display().to_string();
        code.script_folder = built.working_dir;
        Ok(Some(Made {
            environment,
            code,
            frozen: None,
            is_by_custom_build: true,
        }))
    }
}

pub(super) fn location(code: &Code) -> CodeLocation<'_> {
    CodeLocation {
        root: code.repository.as_ref().map(|_| code.root.as_path()),
        script_folder: &code.script_folder,
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
        output.line(format!("{name} = {}", visible::line(&value)));
    }
    output.line("");
}
