//! Slurm's programs, each with a time limit.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::control::service;
use crate::glue::cluster::Unreachable;
use crate::secrets;

/// Slurm's own programs wait up to ten seconds for its controller, and then try a second one.
const LIMIT: Duration = Duration::from_secs(30);

/// Those on `PATH`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Programs;

/// What a program said.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) text: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// It could not be started.
    #[error("could not start `{program}`: {why} (hint: Slurm's programs must be on PATH)")]
    NotStarted {
        /// Its name.
        program: String,
        /// Why.
        why: String,
    },
    /// It has failed.
    #[error("{0}")]
    Failed(String),
    /// It was killed.
    #[error("`{0}` did not end within {seconds} seconds", seconds = LIMIT.as_secs())]
    TooLate(String),
}

impl From<NoAnswer> for Unreachable {
    fn from(error: NoAnswer) -> Self {
        Self(error.to_string())
    }
}

impl Programs {
    /// Runs it with this text on its standard input.
    pub(super) async fn ask(
        self,
        program: &str,
        words: &[&str],
        input: &str,
    ) -> Result<Answered, NoAnswer> {
        let not_started = |error: std::io::Error| NoAnswer::NotStarted {
            program: program.to_owned(),
            why: error.to_string(),
        };
        let mut command = Command::new(program);
        // Jobs inherit variables, and are no business of the service manager.
        for name in service::VARIABLES {
            command.env_remove(name);
        }
        let mut child = command
            .args(words)
            // Variables overrule what stands in a template.
            .env_remove("SBATCH_OUTPUT")
            .env_remove("SBATCH_JOB_NAME")
            .env_remove("SQUEUE_FORMAT")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(not_started)?;
        let stdin = child.stdin.take();
        let answer = async {
            if let Some(mut stdin) = stdin {
                // Who does not read it says why.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
            child.wait_with_output().await
        };
        let answer = tokio::time::timeout(LIMIT, answer).await;
        let output = answer
            .map_err(|_| NoAnswer::TooLate(program.to_owned()))?
            .map_err(not_started)?;
        if output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            return Ok(Answered { text });
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
        Err(NoAnswer::Failed(secrets::mask(&said.join("; "))))
    }
}
