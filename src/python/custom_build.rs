//! A script of the site that makes the environment instead of the agent (E-234..E-238).

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::error::PythonError;
use crate::process::{Command, Output};

/// A variable may hold no more than 128 KiB; below this the task's text is given as it is (E-235).
const LONGEST_TEXT: usize = 100_000;

/// What the script is told. The code of the task is in place before it runs.
#[derive(Clone, Debug)]
pub struct CustomBuild<'a> {
    /// `agent.custom_build_script`, else `CLEARML_AGENT_CUSTOM_BUILD_SCRIPT`; `~` is expanded by the settings.
    pub script: &'a str,
    /// `script.entry_point`.
    pub entry_point: &'a str,
    /// `script.working_dir`.
    pub working_dir: &'a str,
    /// Where an environment would be made.
    pub environment: &'a Path,
    /// The checkout; none for a task without a repository.
    pub root: Option<&'a Path>,
    /// The task as JSON.
    pub task: &'a str,
}

/// What to run instead of the task's own command: `<binary> -u <entry_point>` in `working_dir` (E-236).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct BuiltCommand {
    /// The interpreter.
    pub binary: PathBuf,
    /// The script.
    pub entry_point: PathBuf,
    /// The folder in which it starts.
    pub working_dir: PathBuf,
}

/// Fields as the script wrote them; each may be missing.
#[derive(Debug, Deserialize)]
struct Answer {
    binary: Option<String>,
    entry_point: Option<String>,
    working_dir: Option<String>,
}

impl CustomBuild<'_> {
    /// Runs the script; none where it gave nothing to run, which is said and leaves the normal flow (E-238).
    pub async fn run(
        &self,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<Option<BuiltCommand>, PythonError> {
        let temporary = std::env::temp_dir();
        let folder = tempfile::Builder::new()
            .prefix("custom_build_script")
            .tempdir()
            .map_err(PythonError::files("create a folder in", &temporary))?;
        let result = folder.path().join("output.json");
        fs::write(&result, "").map_err(PythonError::files("create", &result))?;
        let root = self.root.map(|root| root.display().to_string());
        let root = root.unwrap_or_default();
        let script = PathBuf::from(
            self.script
                .replace("${CLEARML_GIT_ROOT}", &root)
                .replace("$CLEARML_GIT_ROOT", &root),
        );
        if !script.is_file() {
            let path = script.display();
            output.line(format!("Warning: Build script {path} is not found"));
            return Ok(None);
        }
        let task = self.task_text(folder.path())?;
        output.line(format!("Running custom build script {}", script.display()));
        let command = Command::new(&script)
            .env("CLEARML_TASK_SCRIPT_ENTRY", self.entry_point)
            .env("CLEARML_TASK_WORKING_DIR", self.working_dir)
            .env("CLEARML_VENV_PATH", self.environment)
            .env("CLEARML_GIT_ROOT", &root)
            .env("CLEARML_AGENT_CUSTOM_BUILD_SCRIPT", &script)
            .env("CLEARML_CUSTOM_BUILD_TASK_CONFIG_JSON", task)
            .env("CLEARML_CUSTOM_BUILD_OUTPUT", &result);
        let finished = command.run(output, cancel).await?;
        if !finished.is_success() {
            return Err(PythonError::CustomBuild {
                code: finished.code(),
            });
        }
        match read_answer(&script, &result) {
            Ok(built) => Ok(Some(built)),
            Err(reason) => {
                output.line(format!("Warning: {reason}"));
                Ok(None)
            }
        }
    }

    fn task_text(&self, folder: &Path) -> Result<String, PythonError> {
        if self.task.len() <= LONGEST_TEXT {
            return Ok(self.task.to_owned());
        }
        let path = folder.join("task.json");
        let written = fs::write(&path, self.task)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)));
        written.map_err(PythonError::files("write", &path))?;
        Ok(path.display().to_string())
    }
}

fn read_answer(script: &Path, result: &Path) -> Result<BuiltCommand, String> {
    let script = script.display();
    let text = fs::read_to_string(result).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(String::new()),
        _ => Err(format!(
            "Failed parsing build script output JSON ({}): {error}",
            result.display()
        )),
    })?;
    if text.trim().is_empty() {
        return Err(format!("Build script {script} did not return any output"));
    }
    let answer: Answer = serde_json::from_str(&text).map_err(|error| {
        format!(
            "Failed parsing build script output JSON ({}): {error}",
            result.display()
        )
    })?;
    let field = |name: &str, value: Option<String>| {
        let value = value.filter(|value| !value.is_empty());
        value
            .map(PathBuf::from)
            .ok_or_else(|| format!("Build script output missing {name} field"))
    };
    let built = BuiltCommand {
        binary: field("binary", answer.binary)?,
        entry_point: field("entry_point", answer.entry_point)?,
        working_dir: field("working_dir", answer.working_dir)?,
    };
    let invalid = |what: &str, path: &Path| {
        format!(
            "Invalid {what} returned from custom build script: {}",
            path.display()
        )
    };
    if !built.binary.is_file() {
        Err(invalid("binary path", &built.binary))
    } else if !built.entry_point.is_file() {
        Err(invalid("entrypoint path", &built.entry_point))
    } else if !built.working_dir.is_dir() {
        Err(invalid("working dir", &built.working_dir))
    } else {
        Ok(built)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(body: &str) -> (Result<Option<BuiltCommand>, PythonError>, String) {
        let folder = tempfile::tempdir().expect("folder");
        let script = folder.path().join("build.sh");
        // Written by another process: a file that this one has open for writing may not be run by its children.
        let written = std::process::Command::new("sh")
            .args([
                "-c",
                "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 700 \"$0\"",
            ])
            .arg(&script)
            .arg(body)
            .status();
        assert!(written.expect("sh").success());
        let printed = folder.path().join("output");
        let output = Output::append(&printed).expect("output");
        let build = CustomBuild {
            script: "$CLEARML_GIT_ROOT/build.sh",
            entry_point: "train.py",
            working_dir: ".",
            environment: Path::new("/venvs/3.11"),
            root: Some(folder.path()),
            task: "{\"id\": \"t\"}",
        };
        let result = build.run(&output, &CancellationToken::new()).await;
        (result, fs::read_to_string(printed).expect("printed"))
    }

    /// E-234..E-236
    #[tokio::test]
    async fn the_script_says_what_to_run() {
        let (result, printed) = run(
            "echo \"$CLEARML_TASK_SCRIPT_ENTRY $CLEARML_VENV_PATH $CLEARML_CUSTOM_BUILD_TASK_CONFIG_JSON\"\n\
             echo '{\"binary\": \"/bin/sh\", \"entry_point\": \"/etc/passwd\", \"working_dir\": \"/\"}' > \"$CLEARML_CUSTOM_BUILD_OUTPUT\"",
        )
        .await;
        let built = result.expect("ran").expect("a command");
        assert_eq!(built.entry_point, Path::new("/etc/passwd"));
        assert!(
            printed.starts_with("Running custom build script "),
            "{printed}"
        );
        assert!(
            printed.contains("train.py /venvs/3.11 {\"id\": \"t\"}"),
            "{printed}"
        );
    }

    /// E-237
    #[tokio::test]
    async fn its_exit_code_is_the_error() {
        let (result, _) = run("exit 7").await;
        let error = result.expect_err("failed");
        assert!(matches!(error, PythonError::CustomBuild { code: 7 }));
        assert_eq!(
            error.to_string(),
            "Custom build script failed with return code 7"
        );
    }

    /// E-238
    #[tokio::test]
    async fn an_unusable_answer_leaves_the_normal_flow() {
        for (body, reason) in [
            ("true", "did not return any output"),
            (
                "echo x > \"$CLEARML_CUSTOM_BUILD_OUTPUT\"",
                "Failed parsing build script output JSON",
            ),
            (
                "echo '{}' > \"$CLEARML_CUSTOM_BUILD_OUTPUT\"",
                "Build script output missing binary field",
            ),
            (
                "echo '{\"binary\": \"/none\", \"entry_point\": \"x\", \"working_dir\": \"/\"}' > \"$CLEARML_CUSTOM_BUILD_OUTPUT\"",
                "Invalid binary path returned from custom build script: /none",
            ),
        ] {
            let (result, printed) = run(body).await;
            assert_eq!(result.expect("ran"), None);
            assert!(
                printed.contains("Warning: ") && printed.contains(reason),
                "{printed}"
            );
        }
    }
}
