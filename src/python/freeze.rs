//! What is installed in the end, for the task's page and for the cache (E-194..E-199, E-245).

use tokio_util::sync::CancellationToken;

use super::cache::{CacheKey, CheckIn, KeyInputs};
use super::environment::{Environment, Origin, Project, cache_failure};
use super::error::PythonError;
use super::install::Installed;
use super::installed::{self, InstalledPackage};
use super::options::PythonOptions;
use super::pip::Pip;
use super::report::Report;
use super::requirements::{RequirementList, TaskRequirements};
use super::tool::ToolContext;
use crate::process::Output;

impl Environment {
    /// Asks the installer what is there; none where nothing is reported (E-194, E-195).
    pub async fn freeze(
        &self,
        installed: &Installed,
        options: &PythonOptions,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Option<Report>, PythonError> {
        if self.origin == Origin::Untouched || !installed.has_source {
            return Ok(None);
        }
        let mut pip = Pip::new(self.python(), options, output, cancel);
        let lines = match &self.project {
            Some(Project::Poetry(project)) => {
                let context = ToolContext {
                    options,
                    output,
                    cancel,
                };
                project.freeze(context).await?
            }
            Some(Project::Uv(project)) => {
                pip.uv = Some(project.uv.clone());
                pip.folder = Some(project.folder.clone());
                pip.freeze(false).await?
            }
            None => {
                pip.conda = self.conda.as_ref().map(|conda| conda.activation.clone());
                pip.uv = self.uv.clone().filter(|_| self.uses_uv_pip);
                pip.freeze(false).await?
            }
        };
        let Some(lines) = lines else {
            output.line("Could not freeze installed packages");
            return Ok(None);
        };
        let own_pip = installed::packages(self.folder())
            .iter()
            .find(|package| package.name == "pip")
            .map(InstalledPackage::line);
        let Some(conda) = &self.conda else {
            return Ok(Some(Report::new(lines, installed, own_pip)));
        };
        let context = ToolContext {
            options,
            output,
            cancel,
        };
        let (listed, lines) = conda.report(lines, context).await?;
        let report = Report::new(lines, installed, own_pip);
        Ok(Some(report.with_conda(listed)))
    }

    /// Puts the environment into the cache, where there is one (E-245).
    ///
    /// It is known there by what was asked for and by what was installed, so that a clone of the finished task finds it as well.
    pub async fn keep(
        &self,
        report: &Report,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), PythonError> {
        let Some(place) = &self.cache else {
            return Ok(());
        };
        let keys = self.keys(&place.inputs, place.key.as_ref(), report);
        output.line(format!(
            "Adding venv into cache: {}",
            self.folder().display()
        ));
        let result = place.cache.check_in(&keys, self.folder(), cancel).await;
        if cancel.is_cancelled() {
            return Err(PythonError::Cancelled);
        }
        match result {
            Ok(CheckIn::Kept) => {}
            Ok(CheckIn::NoRoom(text)) => output.line(text),
            Err(error) => output.line(cache_failure(&place.cache, &error)),
        }
        Ok(())
    }

    fn keys(
        &self,
        inputs: &KeyInputs,
        before: Option<&CacheKey>,
        report: &Report,
    ) -> Vec<CacheKey> {
        let after = TaskRequirements {
            pip: Some(RequirementList::Lines(report.packages().to_vec())),
            conda: match report.conda() {
                Some(conda) => Some(RequirementList::Lines(conda.conda.clone())),
                None => self.requirements.conda.clone(),
            },
            ..TaskRequirements::default()
        };
        before
            .cloned()
            .into_iter()
            .chain(CacheKey::new(inputs, &after))
            .collect()
    }
}
