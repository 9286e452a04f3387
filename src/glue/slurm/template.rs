//! Batch scripts: the user's template with a task's values in it (C-680, C 7.2).

use std::io;
use std::path::{Path, PathBuf};

use super::SlurmOptions;
use crate::api::TaskId;
use crate::container::command::TextTemplates;

const PRE_SETUP: &str = "${CLEARML_PRE_SETUP}";
const EXECUTE: &str = "${CLEARML_AGENT_EXECUTE}";
const POST_SETUP: &str = "${CLEARML_POST_SETUP}";

/// A template that can be filled.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BatchTemplate {
    file: PathBuf,
    text: String,
}

/// Why there is no batch script.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It cannot be read.
    #[error("could not read the template `{file}`: {why}")]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// Slurm would not take it, or the task would not run.
    #[error("`{file}`: {what} (hint: {hint})")]
    Incomplete {
        /// Which.
        file: PathBuf,
        /// What it lacks.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A template of a value cannot be read.
    #[error("`{file}`:{line}: {why}")]
    Value {
        /// Which.
        file: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// Why.
        why: String,
    },
}

impl BatchTemplate {
    /// The one in `file`, checked as far as it can be without a task.
    pub fn read(file: &Path) -> Result<Self, TemplateError> {
        let text = std::fs::read_to_string(file).map_err(|why| TemplateError::Unreadable {
            file: file.to_owned(),
            why,
        })?;
        Self::new(file.to_owned(), text)
    }

    fn new(file: PathBuf, text: String) -> Result<Self, TemplateError> {
        let lack = if !text.starts_with("#!") {
            Some((
                "the first line names no shell",
                "begin with `#!/bin/bash`, as sbatch wants it",
            ))
        } else if !text.lines().any(runs_agent) {
            Some((
                "no line runs the task",
                "write ${CLEARML_AGENT_EXECUTE} on a line of its own, behind `srun` where several nodes run it",
            ))
        } else {
            None
        };
        match lack {
            Some((what, hint)) => Err(TemplateError::Incomplete { file, what, hint }),
            None => Ok(Self { file, text }),
        }
    }

    /// The batch script of a task.
    pub(super) fn fill(
        &self,
        templates: &TextTemplates<'_>,
        options: &SlurmOptions,
        task: &TaskId,
    ) -> Result<String, TemplateError> {
        let worker = format!("{}:{task}", options.worker);
        let mut setup = format!("export CLEARML_WORKER_ID={}", quoted(&worker));
        if let Some(file) = &options.configuration {
            let file = file.display().to_string();
            setup = format!("{setup} CLEARML_CONFIG_FILE={}", quoted(&file));
        }
        let execute = format!(
            "{} execute --full-monitoring --require-queue --id {task}",
            quoted(&options.agent.display().to_string())
        );
        let mut script = String::with_capacity(self.text.len() + 256);
        for (place, line) in self.text.lines().enumerate() {
            let line = line
                .replace(PRE_SETUP, &setup)
                .replace(EXECUTE, &execute)
                .replace(POST_SETUP, "");
            let filled = templates.text(&line).map_err(|why| TemplateError::Value {
                file: self.file.clone(),
                line: place + 1,
                why,
            })?;
            script += &filled;
            script.push('\n');
        }
        Ok(script)
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn runs_agent(line: &str) -> bool {
    !line.trim_start().starts_with('#') && line.contains(EXECUTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Result<BatchTemplate, String> {
        let made = BatchTemplate::new("job.sbatch".into(), text.to_owned());
        made.map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_template_lacks_is_said_at_once() {
        assert!(template("#!/bin/bash\n${CLEARML_AGENT_EXECUTE}\n").is_ok());
        let error = template("${CLEARML_AGENT_EXECUTE}\n").unwrap_err();
        assert!(
            error.starts_with("`job.sbatch`: the first line names no shell (hint: "),
            "{error}"
        );
        let error = template("#!/bin/bash\n# ${CLEARML_AGENT_EXECUTE}\n").unwrap_err();
        assert!(
            error.starts_with("`job.sbatch`: no line runs the task (hint: "),
            "{error}"
        );
    }
}
