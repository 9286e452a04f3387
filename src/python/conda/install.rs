//! Lets conda install what it can of a list; the rest is pip's (E-205, E-208, E-209).

use std::path::Path;

use super::super::environment::Environment;
use super::super::error::PythonError;
use super::super::lines::{RequirementLines, read_file};
use super::super::marker;
use super::super::pip::{pip_specifications, temporary_file};
use super::super::requirement::Requirement;
use super::super::requirements::{RequirementList, TaskRequirements};
use super::super::tool::ToolContext;
use super::super::version::PythonVersion;
use super::answer;
use super::convert::{CondaPlan, CondaWorld};
use super::create::CondaEnvironment;
use super::file::environment_file;
use super::full::FullEnvironment;
use super::program::{Answer, channel_words};
use crate::ui::python_literal as repr;

/// A list to install, and where to look for the files that it names.
struct CondaList<'a> {
    /// Lines of `pip`.
    pip: &'a str,
    /// What else the task says; nothing for a file of the repository.
    task: Option<&'a TaskRequirements>,
    /// Folder for `-r`.
    folder: &'a Path,
    /// Python of the environment.
    python: PythonVersion,
}

impl CondaEnvironment {
    /// Brings pip to the wanted version, by conda (E-205).
    pub(in crate::python) async fn upgrade_pip(
        &self,
        requirements: &TaskRequirements,
        python: PythonVersion,
        context: ToolContext<'_>,
    ) -> Result<(), PythonError> {
        let specifications = pip_specifications(context.options, requirements);
        let (wanted, notices) = fitting(&specifications, python);
        for notice in notices {
            context.output.line(notice);
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let prefix = self.prefix().to_string_lossy();
        let mut words = vec!["install", "-p", &prefix];
        words.extend(channel_words(&context.options.conda.channels));
        words.extend(wanted.iter().map(String::as_str));
        // A failure is on the console, and the pip that came with Python may do.
        self.conda.ask(context, &words).await.map(drop)
    }

    /// Installs what conda has of the list; the lines that are left for pip.
    async fn install_first(
        &self,
        list: CondaList<'_>,
        context: ToolContext<'_>,
    ) -> Result<String, PythonError> {
        let stored = list.task.and_then(|task| task.conda_env_json.as_deref());
        if let Some(stored) = stored
            && let Some(left) = self.install_stored(stored, &list, context).await?
        {
            return Ok(left);
        }
        let lines = |text: &str| RequirementLines::read(text, list.folder, &read_file);
        let conda = list.task.and_then(|task| task.conda.as_ref());
        let conda = conda.map(|list| lines(&RequirementList::text(list)));
        let options = context.options;
        let world = CondaWorld {
            channels: &options.conda.channels,
            cuda_version: &options.cuda_version,
            python: list.python,
            exists: &|path| path.exists(),
        };
        let mut plan = CondaPlan::new(conda, lines(list.pip), &world);
        for notice in &plan.notices {
            context.output.line(notice);
        }
        self.update(&mut plan, context).await?;
        if !plan.pip.is_empty() {
            step_two(&plan.pip, context);
        }
        Ok(plan.pip.join("\n"))
    }

    /// Repeats the update without what conda does not have, until it works or nothing is left (E-208).
    async fn update(
        &self,
        plan: &mut CondaPlan,
        context: ToolContext<'_>,
    ) -> Result<(), PythonError> {
        while !plan.conda.is_empty() {
            let channels = &context.options.conda.channels;
            let answer = self
                .update_to(channels, &plan.dependencies(), context)
                .await?;
            let Answer::Failed(answer) = answer else {
                return Ok(());
            };
            if !plan.leave_to_pip(&answer::unavailable(&answer)) {
                plan.leave_all_to_pip();
            }
        }
        Ok(())
    }

    async fn update_to(
        &self,
        channels: &[String],
        dependencies: &[String],
        context: ToolContext<'_>,
    ) -> Result<Answer, PythonError> {
        let file = temporary_file(
            "conda_env",
            ".yml",
            &environment_file(channels, dependencies),
        )?;
        context.output.line(format!(
            "Conda: Trying to install requirements:\n{}",
            repr::list(dependencies)
        ));
        let (prefix, file) = (self.prefix().to_string_lossy(), file.path());
        let file = file.to_string_lossy();
        let words = ["env", "update", "-p", &prefix, "--file", &file];
        self.conda.ask(context, &words).await
    }

    /// Installs a stored environment; none where that does not work, which is said (E-209).
    async fn install_stored(
        &self,
        stored: &str,
        list: &CondaList<'_>,
        context: ToolContext<'_>,
    ) -> Result<Option<String>, PythonError> {
        let options = context.options;
        let has_gpu = !matches!(options.cuda_version.trim(), "" | "0");
        if let Some(full) = FullEnvironment::read(stored, list.pip, has_gpu) {
            context.output.line("Conda restoring full yaml environment");
            let mut channels = full.channels;
            for channel in &options.conda.channels {
                if !channels.contains(channel) {
                    channels.push(channel.clone());
                }
            }
            let answer = self
                .update_to(&channels, &full.dependencies, context)
                .await?;
            match answer {
                Answer::Pass => {
                    if !full.pip.is_empty() {
                        step_two(&full.pip, context);
                    }
                    return Ok(Some(full.pip.join("\n")));
                }
                Answer::Failed(answer) => {
                    let names = answer::unavailable(&answer);
                    if !names.is_empty() {
                        context.output.line(format!(
                            "failed installing the following conda packages: {}",
                            repr::list(names)
                        ));
                    }
                }
            }
        }
        context
            .output
            .line("Could not load fully stored conda environment, falling back to requirements");
        Ok(None)
    }
}

impl Environment {
    /// What is left of a list for pip, once conda has installed what it can (E-206, E-208).
    pub(in crate::python) async fn for_pip(
        &self,
        text: String,
        task: Option<&TaskRequirements>,
        folder: &Path,
        context: ToolContext<'_>,
    ) -> Result<String, PythonError> {
        let conda = self.conda.as_ref().filter(|_| !self.is_cached());
        let Some(conda) = conda else {
            return Ok(text);
        };
        let list = CondaList {
            pip: &text,
            task,
            folder,
            python: self.version(),
        };
        Box::pin(conda.install_first(list, context)).await
    }
}

fn step_two(lines: &[String], context: ToolContext<'_>) {
    context.output.line(format!(
        "Conda: Installing requirements: step 2 - using pip:\n{}",
        repr::list(lines)
    ));
}

/// The specifications whose markers hold, without them, and a line for each of the others (E-205).
fn fitting(specifications: &[String], python: PythonVersion) -> (Vec<String>, Vec<String>) {
    let (mut wanted, mut notices) = (Vec::new(), Vec::new());
    for specification in specifications {
        let Ok(parsed) = Requirement::parse(specification) else {
            continue;
        };
        let holds = match &parsed.marker {
            None => Ok(true),
            Some(marker) => marker::fits(marker, python),
        };
        match holds {
            Ok(true) => {}
            Ok(false) => {
                notices.push(format!(
                    "SKIPPING package `{}` not required python version {}",
                    parsed.rendered(),
                    python.short()
                ));
                continue;
            }
            Err(error) => notices.push(format!(
                "WARNING: failed parsing, assuming package is okay {error}"
            )),
        }
        wanted.push(parsed.without_marker().rendered());
    }
    (wanted, notices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::PythonOptions;

    /// E-205: the shipped versions of pip, one of them for each Python.
    #[test]
    fn one_version_of_pip_fits() {
        let specifications =
            pip_specifications(&PythonOptions::default(), &TaskRequirements::default());
        let of = |version: &str| fitting(&specifications, version.parse().expect("a version"));
        assert_eq!(of("3.9.1").0, ["pip<20.2"]);
        assert_eq!(of("3.11.0").0, ["pip<22.3"]);
        assert_eq!(of("3.13.2").0, ["pip>=23,<26"]);
        let skipped = of("3.11.0").1;
        assert_eq!(skipped.len(), 2);
        assert_eq!(
            skipped[0],
            "SKIPPING package `pip<20.2; python_version < '3.10'` not required python version 3.11"
        );
    }
}
