//! How a program runs inside an environment: by a shell that has activated it (E-204, E-212).

use std::path::{Path, PathBuf};

use super::super::launch::quoted;
use crate::process::Command;

/// An environment that a shell can activate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::python) struct Activation {
    /// `etc/profile.d/conda.sh` of conda's own installation.
    pub(super) script: PathBuf,
    /// The environment.
    pub(super) prefix: PathBuf,
}

impl Activation {
    /// What stands before a command: `source … && conda activate …`.
    pub(in crate::python) fn prefix(&self) -> String {
        let word = |path: &Path| quoted(&path.to_string_lossy());
        format!(
            "source {} && conda activate {}",
            word(&self.script),
            word(&self.prefix)
        )
    }

    /// These words, run in the environment.
    pub(in crate::python) fn command(&self, words: &[&str]) -> Command {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let text = format!("{} && {}", self.prefix(), words.join(" "));
        Command::new("bash").args(["-c", &text])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-204
    #[test]
    fn a_command_is_run_by_bash_in_the_activated_environment() {
        let activation = Activation {
            script: "/opt/conda/etc/profile.d/conda.sh".into(),
            prefix: "/home/a b/envs/3.11".into(),
        };
        assert_eq!(
            activation.command(&["pip", "install", "a>1"]).words(),
            [
                "bash",
                "-c",
                "source /opt/conda/etc/profile.d/conda.sh && conda activate '/home/a b/envs/3.11' && pip install 'a>1'"
            ]
        );
    }
}
