//! Makes code and environment of a task without running it: nothing is said to the server (E section 13).

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::environment::{Made, location};
use super::failure::PrepareError;
use super::prepare::{Preparation, fetch_task};
use super::server::TaskServer;
use super::timeline::Timeline;
use crate::process::Output;
use crate::python::{PythonOptions, PythonRequest, SkipEnvironment};

/// Begins the first line that is printed when all is installed, before the task in brackets.
pub(super) const BUILT: &str = "Restoring running environment of task id";
/// Begins the line with the full id of what was checked out.
pub(super) const COMMIT: &str = "Commit: ";

/// What the command line wants of a build.
#[derive(Clone, Debug, Default)]
pub struct BuildWishes {
    /// The folder of the environment, absolute (E-282).
    pub target: Option<PathBuf>,
    /// The version of Python, whatever the task says (E-110).
    pub python_version: Option<String>,
    /// Packages go into the chosen interpreter itself (E-283).
    pub is_global: bool,
}

impl Preparation {
    /// Makes the environment of the task with its code, and says on `output` where they are (E-281, E-284).
    pub async fn build(
        &self,
        server: &TaskServer,
        wishes: &BuildWishes,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), PrepareError> {
        let server = server.cancelled_by(cancel);
        let built = self.build_for(&server, wishes, output, cancel).await;
        if cancel.is_cancelled() {
            Err(PrepareError::Cancelled)
        } else {
            built
        }
    }

    async fn build_for(
        &self,
        server: &TaskServer,
        wishes: &BuildWishes,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), PrepareError> {
        let mut timeline = Timeline::begin();
        output.line(&self.printout);
        let task = fetch_task(server).await?;
        timeline.passed("task");
        let mut wanted = self.wanted(server, task, output)?;
        wishes.apply(&mut wanted.python, &mut wanted.options);
        if wishes.is_global {
            // The cache does not come into the image, and a checkout would share its objects.
            wanted.source.cache_enabled = false;
            wanted.is_global = true;
        }
        let made = self.make(&wanted, &mut timeline, output, cancel).await?;
        if self.says_timings {
            output.line(timeline.table());
        }
        output.line(format!("{BUILT} [{}]:", server.task()));
        match &made.frozen {
            Some(frozen) => output.line(frozen.summary()),
            None => output.line("No freeze information available"),
        }
        let Made {
            environment, code, ..
        } = &made;
        let programs = environment
            .python()
            .parent()
            .unwrap_or(environment.folder());
        output.line(format!("Virtual environment: {}", programs.display()));
        let entry_point = code.script_folder.join(&code.entry_point);
        let source = location(code).root.unwrap_or(&entry_point);
        output.line(format!("Source code: {}", source.display()));
        output.line(format!("Entry point: {}", entry_point.display()));
        if wishes.is_global && made.is_by_custom_build {
            output.line(format!(
                "WARNING: an image that runs the task by itself takes the Python on its PATH, not {}",
                environment.python().display()
            ));
        }
        if let Some(repository) = &code.repository {
            output.line(format!("{COMMIT}{}", repository.commit));
        }
        Ok(())
    }
}

impl BuildWishes {
    /// The command line comes before task and settings.
    fn apply(&self, request: &mut PythonRequest, options: &mut PythonOptions) {
        // The list of the task counts, also where `execute` takes the original one (E-281).
        options.force_original_requirements = false;
        options.keeps_nothing = true;
        options.target.clone_from(&self.target);
        if let Some(version) = &self.python_version {
            let version = version.trim().trim_start_matches("python");
            request.binary = format!("python{version}");
            options.ignore_requested = false;
        }
        if self.is_global && options.skip == SkipEnvironment::No {
            options.skip = SkipEnvironment::ChosenInterpreter;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-110, E-281, E-283
    #[test]
    fn the_command_line_comes_first() {
        let wishes = BuildWishes {
            python_version: Some("3.12".to_owned()),
            is_global: true,
            ..BuildWishes::default()
        };
        let applied = |skip| {
            let mut request = PythonRequest {
                binary: "/usr/bin/python3.8".to_owned(),
                ..PythonRequest::default()
            };
            let mut options = PythonOptions {
                force_original_requirements: true,
                ignore_requested: true,
                skip,
                ..PythonOptions::default()
            };
            wishes.apply(&mut request, &mut options);
            assert_eq!(request.binary, "python3.12");
            assert!(!options.ignore_requested && !options.force_original_requirements);
            options.skip
        };
        let none = SkipEnvironment::Everything(None);
        assert_eq!(applied(none.clone()), none);
        let chosen = SkipEnvironment::ChosenInterpreter;
        assert_eq!(applied(SkipEnvironment::No), chosen);
    }
}
