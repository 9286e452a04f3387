//! The program `conda`: found, judged by its version, asked with `--json` (E-202).

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::error::PythonError;
use super::super::launch::quoted;
use super::super::tool::ToolContext;
use super::super::version;
use super::answer;
use super::error::CondaError;
use super::file::is_private;
use crate::process::{Command, Finished, ProcessError};

const LEAST_VERSION: &str = "4.3.30";

/// A conda that can be used.
#[derive(Clone, Debug)]
pub(super) struct Conda {
    program: PathBuf,
    /// The folder of conda's own installation.
    pub(super) base: PathBuf,
    /// What makes activation possible in a shell.
    pub(super) script: PathBuf,
}

/// What came of a command.
pub(super) enum Answer {
    /// It went well.
    Pass,
    /// It did not; the answer, where there is one.
    Failed(Value),
}

impl Conda {
    /// Finds conda on `PATH`.
    pub(super) async fn find(context: ToolContext<'_>) -> Result<Self, PythonError> {
        let program = context.path_of("conda").await?.ok_or(CondaError::Missing)?;
        let asked = Command::new(&program)
            .arg("--version")
            .env_remove("PYTHONPATH");
        let said = match asked.capture(context.cancel).await {
            // Old versions say it on stderr.
            Ok(finished) => format!(
                "{} {}",
                finished.text(),
                String::from_utf8_lossy(&finished.stderr).trim()
            ),
            Err(ProcessError::Cancelled(_)) => return Err(PythonError::Cancelled),
            Err(error) => error.to_string(),
        };
        check_version(&program, said.trim())?;
        let base = Self::base(context, &program).await?;
        Ok(Self {
            script: script_of(&base),
            base,
            program,
        })
    }

    /// Two folders up from the program, unless that is only a link to it.
    async fn base(context: ToolContext<'_>, program: &Path) -> Result<PathBuf, PythonError> {
        let real = program.canonicalize();
        let nearby = [Some(program), real.as_deref().ok()];
        let found = nearby
            .into_iter()
            .flatten()
            .filter_map(|program| Some(program.parent()?.parent()?.to_owned()))
            .find(|base| script_of(base).is_file());
        if let Some(base) = found {
            return Ok(base);
        }
        let asked = Command::new(program)
            .args(["info", "--json"])
            .env_remove("PYTHONPATH")
            .capture(context.cancel)
            .await?;
        let answer = answer::last_json(&asked.text()).unwrap_or_default();
        let base = answer["root_prefix"].as_str().map(PathBuf::from);
        base.filter(|base| script_of(base).is_file())
            .ok_or_else(|| CondaError::NoActivation(program.to_owned()).into())
    }

    /// A command without `--json`, announced and run on the console.
    pub(super) async fn run(
        &self,
        context: ToolContext<'_>,
        words: &[&str],
    ) -> Result<(Command, Finished), PythonError> {
        let command = self.command(context, words);
        announce(context, &command);
        let finished = command.run(context.output, context.cancel).await?;
        Ok((command, finished))
    }

    /// A command with `--quiet --json`, its result in a word on the console.
    pub(super) async fn ask(
        &self,
        context: ToolContext<'_>,
        words: &[&str],
    ) -> Result<Answer, PythonError> {
        let command = self.command(context, words).args(["--quiet", "--json"]);
        announce(context, &command);
        let finished = command.capture(context.cancel).await?;
        let answer = answer::last_json(&finished.text());
        let error = answer.as_ref().and_then(answer::error);
        if finished.is_success() && error.is_none() {
            context.output.line("Pass");
            return Ok(Answer::Pass);
        }
        let said = match error {
            Some(error) => error.to_owned(),
            None => format!(
                "{} (exit status {})",
                String::from_utf8_lossy(&finished.stderr).trim(),
                finished.code()
            ),
        };
        context.output.line(format!("Conda error: {}", said.trim()));
        Ok(Answer::Failed(answer.unwrap_or_default()))
    }

    /// What `conda <words> --json` says about an environment; none where it says nothing.
    pub(super) async fn describe(
        &self,
        context: ToolContext<'_>,
        words: &[&str],
        prefix: &Path,
    ) -> Result<Option<Value>, PythonError> {
        let prefix = prefix.to_string_lossy();
        let command = self.command(context, words).args(["--json", "-p", &prefix]);
        announce(context, &command);
        let finished = command.capture(context.cancel).await?;
        let answer = answer::last_json(&finished.text());
        Ok(answer.filter(|_| finished.is_success()))
    }

    fn command(&self, context: ToolContext<'_>, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program)
            .args(words)
            .env_remove("PYTHONPATH");
        for (name, value) in &context.options.installer_variables {
            command = command.env(name, value);
        }
        let channels = &context.options.conda.channels;
        if channels.iter().any(|channel| is_private(channel)) {
            command = command.env("CONDA_CHANNELS", channels.join(","));
        }
        command
    }
}

/// `-c <channel>` for each; none where one of them has a password, which conda then finds in a variable.
pub(super) fn channel_words(channels: &[String]) -> Vec<&str> {
    if channels.iter().any(|channel| is_private(channel)) {
        return Vec::new();
    }
    channels
        .iter()
        .flat_map(|channel| ["-c", channel.as_str()])
        .collect()
}

fn script_of(base: &Path) -> PathBuf {
    base.join("etc/profile.d/conda.sh")
}

fn announce(context: ToolContext<'_>, command: &Command) {
    let words: Vec<String> = command.words().iter().map(|word| quoted(word)).collect();
    context
        .output
        .line(format!("Executing Conda: {}", words.join(" ")));
}

fn check_version(program: &Path, said: &str) -> Result<(), CondaError> {
    let number = said
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let Some(number) = number else {
        return Err(CondaError::NoVersion {
            program: program.to_owned(),
            said: said.to_owned(),
        });
    };
    if version::compare(number, "<", LEAST_VERSION) {
        return Err(CondaError::TooOld(number.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-202
    #[test]
    fn old_versions_are_refused() {
        let of = |said: &str| check_version(Path::new("/c/bin/conda"), said).err();
        assert!(of("conda 4.3.30").is_none() && of("conda 24.11.1\n").is_none());
        assert_eq!(
            of("conda 4.3.29").expect("an error").to_string(),
            "conda version '4.3.29' is smaller than minimum supported conda version '4.3.30'"
        );
        assert_eq!(
            of("what?").expect("an error").to_string(),
            "Unable to determine conda version: `/c/bin/conda` says \"what?\""
        );
    }

    /// E-205: a token of a channel is not for the list of processes.
    #[test]
    fn channels_with_a_token_are_not_named_in_words() {
        let channels = ["a", "https://h/t/token/b"].map(str::to_owned);
        assert_eq!(channel_words(&channels[..1]), ["-c", "a"]);
        assert_eq!(channel_words(&channels), Vec::<&str>::new());
    }
}
