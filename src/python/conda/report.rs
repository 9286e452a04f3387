//! What the environment holds, for the report (E-210).

use super::super::error::PythonError;
use super::super::tool::ToolContext;
use super::create::CondaEnvironment;
use super::packages::Packages;

/// What a task's page may get to know about its environment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CondaReport {
    /// Packages of conda, `name==version`.
    pub conda: Vec<String>,
    /// The whole environment as conda exports it (E-209).
    pub full: Option<String>,
    /// It is only shown, not written to the task (E-198).
    pub(in crate::python) is_kept_back: bool,
}

impl CondaEnvironment {
    /// The packages of conda, and the lines of `freeze` that are pip's.
    pub(in crate::python) async fn report(
        &self,
        freeze: Vec<String>,
        context: ToolContext<'_>,
    ) -> Result<(CondaReport, Vec<String>), PythonError> {
        let list = self
            .conda
            .describe(context, &["list"], self.prefix())
            .await?;
        let packages = Packages::new(list.as_ref(), freeze);
        let is_kept_back = !context.options.conda.full_env_update;
        let mut full = None;
        if !is_kept_back {
            let words = ["env", "export"];
            full = self.conda.describe(context, &words, self.prefix()).await?;
        }
        let full = full.map(|mut full| {
            // They name this machine.
            if let Some(members) = full.as_object_mut() {
                for name in ["name", "prefix", "channels"] {
                    members.shift_remove(name);
                }
            }
            full.to_string()
        });
        let report = CondaReport {
            conda: packages.conda,
            full,
            is_kept_back,
        };
        Ok((report, packages.pip))
    }

    /// The list of pip with the packages of conda in front.
    pub(in crate::python) fn together(report: &CondaReport, pip: &[String]) -> Vec<String> {
        Packages::together(&report.conda, pip)
    }
}
