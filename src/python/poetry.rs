//! poetry: projects with its lock file (E section 8.3).

use std::path::{Path, PathBuf};

use super::code_location::CodeLocation;
use super::environment::{Environment, beside};
use super::error::PythonError;
use super::tool::{ToolContext, configured_requirement};

/// Settings of poetry.
#[derive(Clone, Debug, Default)]
pub struct PoetryOptions {
    /// `agent.package_manager.poetry_version`.
    pub version: Option<String>,
    /// `agent.package_manager.poetry_install_extra_args`.
    pub install_arguments: Vec<String>,
    /// `agent.package_manager.poetry_files_from_repo_working_dir`.
    pub files_from_working_dir: bool,
}

/// A project that poetry has installed.
#[derive(Debug)]
pub(super) struct PoetryProject {
    program: PathBuf,
    folder: PathBuf,
}

impl PoetryProject {
    /// The interpreter of the project's own environment, which poetry makes in the project.
    pub(super) fn python(&self) -> PathBuf {
        self.folder.join(".venv/bin/python")
    }

    /// The words before the interpreter's own arguments (E-219).
    pub(super) fn launcher(&self) -> Vec<String> {
        let program = self.program.display().to_string();
        vec![program, "run".to_owned(), "python".to_owned()]
    }

    /// What is installed, each line `name==version # description`; none where poetry does not say (E-219).
    pub(super) async fn freeze(
        &self,
        context: ToolContext<'_>,
    ) -> Result<Option<Vec<String>>, PythonError> {
        let command = context
            .command(&self.program, &self.folder)
            .args(["show", "--no-ansi"])
            // In a narrow terminal it leaves versions out.
            .env("COLUMNS", "10000");
        let finished = command.capture(context.cancel).await?;
        let text = finished.text();
        Ok(finished.is_success().then(|| package_lines(&text)))
    }
}

fn package_lines(shown: &str) -> Vec<String> {
    shown
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?;
            // What is not installed on this machine is marked.
            let version = words.next().filter(|word| *word != "(!)")?;
            let description: Vec<&str> = words.collect();
            Some(match description.as_slice() {
                [] => format!("{name}=={version}"),
                words => format!("{name}=={version} # {}", words.join(" ")),
            })
        })
        .collect()
}

impl Environment {
    /// Installs the project of the repository; none where the rules of pip hold instead (E-214 to E-217).
    pub(super) async fn install_by_poetry(
        &self,
        code: CodeLocation<'_>,
        added: &[&str],
        context: ToolContext<'_>,
    ) -> Result<Option<PoetryProject>, PythonError> {
        let options = &context.options.poetry;
        let output = context.output;
        let Some(folder) = code.project_folder(options.files_from_working_dir) else {
            return Ok(None);
        };
        let has_lock = folder.join("poetry.lock").is_file();
        if code.project_file(context.options).is_none() {
            output.line(format!(
                "Could not find pyproject.toml or poetry.lock file in {}",
                folder.display()
            ));
            return Ok(None);
        }
        let Some(program) = self.find_poetry(context).await? else {
            return Ok(None);
        };
        let project = PoetryProject {
            program,
            folder: folder.to_owned(),
        };
        let command = |words: &[&str]| context.command(&project.program, folder).args(words);
        let configure = command(&["config", "--local", "virtualenvs.in-project", "true"]);
        if let Err(failed) = context.run(&configure).await? {
            output.line(format!(
                "Exception: {failed}\nError: Failed configuring Poetry virtualenvs.in-project"
            ));
        }
        output.line(
            "Poetry Enabled: Ignoring requested python packages, using repository poetry lock file!",
        );
        let install = command(&["install", "-n"]).args(&options.install_arguments);
        if let Err(failed) = context.run(&install).await? {
            output.line(format!("failed installing poetry requirements: {failed}"));
            if has_lock {
                return Err(PythonError::Project {
                    tool: "poetry",
                    command: failed,
                });
            }
            return Ok(None);
        }
        if !added.is_empty() {
            let add = command(&["run", "python", "-m", "pip", "install"]).args(added);
            if context.run(&add).await?.is_err() {
                output.line("Warning: failed to install ClearML package");
            }
        }
        Ok(Some(project))
    }

    async fn find_poetry(&self, context: ToolContext<'_>) -> Result<Option<PathBuf>, PythonError> {
        let wanted = configured_requirement("poetry", context.options.poetry.version.as_deref());
        if wanted.is_none()
            && let Some((program, _)) = context.find("poetry").await?
        {
            context.output.line(
                "Notice: Poetry was found, no specific version required, skipping poetry installation",
            );
            return Ok(Some(program));
        }
        let requirement = wanted.as_deref().unwrap_or("poetry");
        context.output.line(format!(
            "Installing / Upgrading Poetry package to {}",
            requirement.trim_start_matches("poetry")
        ));
        let own = beside(Path::new(self.folder()), "_poetry");
        let installed = context
            .install("poetry", requirement, self.base_interpreter(), &own)
            .await?;
        match installed {
            Ok(program) => Ok(Some(program)),
            Err(failed) => {
                context.output.line(format!(
                    "WARNING: could not install poetry, using pip: {failed}"
                ));
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-219
    #[test]
    fn what_poetry_shows_becomes_a_list_of_packages() {
        let shown =
            "attrs  23.1.0 Classes Without Boilerplate\nnumpy  (!) 1.26.0 Arrays\nsix    1.16.0\n";
        assert_eq!(
            package_lines(shown),
            ["attrs==23.1.0 # Classes Without Boilerplate", "six==1.16.0"]
        );
    }
}
