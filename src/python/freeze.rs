//! What is installed in the end, for the task's page and for the cache (E-194..E-199, E-245).

use tokio_util::sync::CancellationToken;

use super::environment::{Environment, Origin, Project};
use super::error::PythonError;
use super::install::Installed;
use super::installed::{self, InstalledPackage};
use super::kept::conda_package;
use super::options::PythonOptions;
use super::pip::Pip;
use super::report::Report;
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
                if let Some(frozen) = self.known_freeze(installed, options) {
                    Some(frozen)
                } else {
                    pip.conda = self.conda.as_ref().map(|conda| conda.activation.clone());
                    pip.uv = self.uv.clone().filter(|_| self.uses_uv_pip);
                    pip.freeze(false).await?
                }
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

    /// What the installer would say of an environment to which nothing was added.
    fn known_freeze(&self, installed: &Installed, options: &PythonOptions) -> Option<Vec<String>> {
        if self.conda.is_some() || installed.is_changed {
            return None;
        }
        // Packages of the system come and go.
        let sees_system = options.system_site_packages;
        if !sees_system && self.has_only_bundled_pip() {
            return Some(Vec::new());
        }
        let place = self.cache.as_ref()?;
        place.known_freeze(sees_system).map(<[String]>::to_vec)
    }

    /// Keeps the environment for later tasks, where that is wanted (E-245).
    pub async fn keep(
        &self,
        report: &Report,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), PythonError> {
        let Some(place) = &self.cache else {
            return Ok(());
        };
        let of_conda = report.conda().map(|conda| {
            let pip = report.of_pip().iter().cloned();
            let conda = conda.conda.iter().map(|line| conda_package(line));
            pip.chain(conda).collect::<Vec<_>>()
        });
        let packages = of_conda.as_deref().unwrap_or(report.packages());
        place
            .keep(self.folder(), packages, report.frozen(), output, cancel)
            .await
    }
}
