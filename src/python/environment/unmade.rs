//! Tasks for which no environment is made: an interpreter that is there runs them (E-229..E-233).

use std::fs;

use tokio_util::sync::CancellationToken;

use super::super::error::PythonError;
use super::super::existing;
use super::super::interpreter::{Choice, probe};
use super::super::launch::{BinaryKind, binary_kind};
use super::super::options::{PythonOptions, PythonRequest, SkipEnvironment};
use super::super::requirements::TaskRequirements;
use super::super::tool::ToolContext;
use super::{Environment, Origin, choose, remove};
use crate::process::Output;

/// An interpreter that is there, without an environment of its own (E-229..E-231).
pub(super) async fn unmade(
    request: &PythonRequest,
    options: &PythonOptions,
    requirements: TaskRequirements,
    skip: &SkipEnvironment,
    output: &Output,
    cancel: &CancellationToken,
) -> Result<Environment, PythonError> {
    let active = "python".to_owned();
    let named = match skip {
        SkipEnvironment::Interpreter(path) => Some(path),
        SkipEnvironment::Everything(path) => path.as_ref(),
        SkipEnvironment::Activated(_) => Some(&active),
        SkipEnvironment::No
        | SkipEnvironment::AsItIs
        | SkipEnvironment::ChosenInterpreter
        | SkipEnvironment::Standalone => None,
    };
    let mut found = None;
    if let Some(path) = named {
        found = probe(path, cancel).await?;
        output.line(match (&found, skip) {
            (Some(_), SkipEnvironment::Activated(place)) => format!(
                "Warning! Found python virtual environment [{place}] already activated inside the container, installing packages into venv (pip does not support inherit/nested venv)"
            ),
            (Some(_), _) => format!("Python interpreter {path} is set from environment var"),
            (None, _) => format!(
                "Warning: interpreter {path} could not be found. Reverting to the default interpreter resolution"
            ),
        });
    }
    if *skip == SkipEnvironment::AsItIs {
        let context = ToolContext {
            options,
            output,
            cancel,
        };
        found = Some(existing::find(request, context).await?);
    }
    let (interpreter, folder_name) = if let Some(interpreter) = found {
        let name = interpreter.version.short();
        (interpreter, name)
    } else {
        let choice = match choose(request, options, output, cancel).await {
            // A shell script runs without any Python (E-287).
            Err(PythonError::NoInterpreter { .. })
                if matches!(skip, SkipEnvironment::Everything(_))
                    && binary_kind(&request.binary).0 == BinaryKind::Shell =>
            {
                Choice::absent()
            }
            choice => choice?,
        };
        let interpreter = choice.interpreter;
        if *skip == SkipEnvironment::ChosenInterpreter {
            let path = interpreter.path.display();
            output.line(format!(
                "Interpreter '{}' found at '{path}'",
                interpreter.name
            ));
        }
        (interpreter, choice.folder_name)
    };
    let (folder, origin) = match skip {
        SkipEnvironment::Everything(_) | SkipEnvironment::AsItIs => {
            let folder = options.target.as_ref().unwrap_or(&options.venvs_dir);
            (folder.clone(), Origin::Untouched)
        }
        SkipEnvironment::Standalone => (options.folder(&folder_name), Origin::Untouched),
        _ => (options.folder(&folder_name), Origin::Existing),
    };
    let code_of_others = match skip {
        SkipEnvironment::Standalone => &[] as &[&str],
        _ => &["task_repository", "code"],
    };
    for code in code_of_others {
        remove(&folder.join(code)).await?;
    }
    fs::create_dir_all(&folder).map_err(PythonError::files("create", &folder))?;
    let python = interpreter.path.clone();
    Ok(Environment {
        is_as_it_is: *skip == SkipEnvironment::AsItIs,
        ..Environment::new(folder, python, interpreter, requirements, origin)
    })
}
