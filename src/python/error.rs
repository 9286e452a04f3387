//! Why a Python environment could not be made; every text is what the task's console shows.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::conda::CondaError;
use crate::process::{Finished, ProcessError};
use crate::secrets;
use crate::ui::python_literal as repr;

/// A program that ran and ended with an error.
#[derive(Clone, Debug)]
pub struct FailedCommand {
    /// The words of the command, secrets masked.
    pub words: Vec<String>,
    /// Exit code; death by signal n is -n.
    pub code: i32,
}

impl FailedCommand {
    pub(super) fn new(words: &[String], finished: &Finished) -> Self {
        Self {
            words: words.iter().map(|word| secrets::mask(word)).collect(),
            code: finished.code(),
        }
    }
}

impl fmt::Display for FailedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = repr::list(&self.words);
        if self.code < 0 {
            write!(f, "Command '{words}' died with signal {}.", -self.code)
        } else {
            let code = self.code;
            write!(f, "Command '{words}' returned non-zero exit status {code}.")
        }
    }
}

/// Why there is no environment for the task.
///
/// The texts follow `clearml_agent: ERROR: ` in the console; scripts look for some of them (E-114, E-132, E-180).
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// No candidate for the interpreter runs (E-114).
    #[error(
        "Python executable with version '{key}' requested by the Task, key 'agent.default_python', not found in path, tried: ({})",
        tried.iter().map(|name| repr::string(name)).collect::<Vec<_>>().join(", ")
    )]
    NoInterpreter {
        /// Version or path that was looked for.
        key: String,
        /// What was tried, in order.
        tried: Vec<String>,
    },
    /// There is none, and what could be brought would not run.
    #[error(
        "there is no Python, and none can be brought: without a C library (a static image, such as one of busybox) only static \
         programs run"
    )]
    NoLoader,
    /// The interpreter of an environment that is to be used as it is does not run.
    #[error("`{path}`, named by {named_by}, is no Python that runs")]
    NoExistingInterpreter {
        /// As it was named.
        path: String,
        /// The key.
        named_by: &'static str,
    },
    /// Neither virtualenv nor venv made an environment (E-121).
    #[error("could not create a virtual environment\n{0}")]
    NotCreated(FailedCommand),
    /// The wanted pip could not be installed (E-137).
    #[error("{0}")]
    PipVersion(FailedCommand),
    /// The task's list could not be installed (E-132).
    #[error("Could not install task requirements!\n{command}")]
    Requirements {
        /// The lines that were given to the installer.
        requirements: Vec<String>,
        /// The installer's call and exit code.
        command: FailedCommand,
    },
    /// A `requirements.txt` of the repository could not be installed (E-132).
    #[error("{command}")]
    RequirementsFile {
        /// The file.
        path: PathBuf,
        /// The lines that were given to the installer.
        requirements: Vec<String>,
        /// The installer's call and exit code.
        command: FailedCommand,
    },
    /// A package that is installed on its own failed: a link, a local folder or a post package (E-153, E-180).
    #[error(
        "Could not install task requirements!\nFailed installing GIT/HTTPs package '{argument}'"
    )]
    Package {
        /// The package as it was given to the installer, secrets masked.
        argument: String,
        /// The installer's call and exit code.
        command: FailedCommand,
    },
    /// A project of the repository with a lock file could not be installed (E-217, E-222).
    #[error("{command}")]
    Project {
        /// `uv` or `poetry`.
        tool: &'static str,
        /// The call and its exit code.
        command: FailedCommand,
    },
    /// The site's own build script failed; the agent ends with its code (E-237).
    #[error("Custom build script failed with return code {code}")]
    CustomBuild {
        /// Exit code of the script.
        code: i32,
    },
    /// conda cannot be used, or has made no environment.
    #[error(transparent)]
    Conda(#[from] CondaError),
    /// The task was stopped.
    #[error("the preparation of the Python environment was stopped")]
    Cancelled,
    /// A program that is needed could not be started.
    #[error("could not run `{program}`: {source}")]
    Start {
        /// Name or path as it was called.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file or folder could not be made, read or removed.
    #[error("could not {action} `{}`: {source}", path.display())]
    Files {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl PythonError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoInterpreter { .. } => {
                "install Python 3, or name an interpreter in `agent.python_binary`".to_owned()
            }
            Self::NoLoader => {
                "choose an image with a Python, or at least one of a distribution with a C library, such as Debian or Alpine".to_owned()
            }
            Self::NoExistingInterpreter { named_by, .. } => {
                format!("name the interpreter itself in `{named_by}`, such as /opt/venv/bin/python")
            }
            Self::NotCreated(_) => {
                "the interpreter needs its `venv` module (Debian: `apt install python3-venv`) or the package `virtualenv`".to_owned()
            }
            Self::PipVersion(_) => {
                "check that the package index can be reached, or change `agent.package_manager.pip_version`".to_owned()
            }
            Self::Requirements { requirements, .. }
            | Self::RequirementsFile { requirements, .. } => match requirements.as_slice() {
                [only] => format!("`{}` cannot be installed; the installer's lines say why", secrets::mask(only)),
                _ => "the installer's lines name the requirement that cannot be installed".to_owned(),
            },
            Self::Package { argument, .. } => {
                format!("`{argument}` cannot be installed; the installer's lines say why")
            }
            Self::Project { tool, .. } => {
                format!("the lines of {tool} say why; its lock file may not fit pyproject.toml or this Python")
            }
            Self::Conda(error) => error.hint().to_owned(),
            Self::Files { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "make room on the disk of `agent.venvs_dir`".to_owned()
            }
            Self::Files { .. } | Self::CustomBuild { .. } | Self::Cancelled | Self::Start { .. } => return None,
        };
        Some(hint)
    }

    /// True where the task was stopped, and nothing failed.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    pub(super) fn files(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Files {
            action,
            path,
            source,
        }
    }
}

impl From<ProcessError> for PythonError {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::Cancelled(_) => Self::Cancelled,
            ProcessError::Start { program, source } => Self::Start { program, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-132
    #[test]
    fn a_failed_list_reads_as_the_reference_has_it() {
        let command = FailedCommand {
            words: vec!["/e/bin/python".into(), "-m".into(), "pip".into()],
            code: 1,
        };
        let error = PythonError::Requirements {
            requirements: vec!["nope==1".into()],
            command,
        };
        assert_eq!(
            error.to_string(),
            "Could not install task requirements!\n\
             Command '['/e/bin/python', '-m', 'pip']' returned non-zero exit status 1."
        );
        assert!(error.hint().expect("hint").contains("nope==1"));
    }
}
