//! Environments that uv makes, with an interpreter of the machine or one of its own (E-220, E-221, E-289).

use std::fs;
use std::path::{Path, PathBuf};

use super::super::error::PythonError;
use super::super::interpreter::{self, Choice};
use super::super::options::{PackageManager, PythonRequest};
use super::super::requirements::TaskRequirements;
use super::super::tool::ToolContext;
use super::super::uv::Uv;
use super::super::venv::{self, Seed};
use super::{Environment, Origin, remove};
use crate::process::has_loader;

/// An environment made by uv, without pip in it (E-220, E-221, E-225).
pub(super) async fn by_uv(
    request: &PythonRequest,
    choice: Choice,
    requirements: TaskRequirements,
    folder: PathBuf,
    context: ToolContext<'_>,
) -> Result<Environment, PythonError> {
    let parent = folder.parent().unwrap_or(&folder);
    fs::create_dir_all(parent).map_err(PythonError::files("create", parent))?;
    let mut interpreter = choice.interpreter;
    let uv = Uv::find(context, &requirements, &interpreter, &folder).await?;
    let options = context.options;
    // What this machine does not have, uv brings.
    let missing = interpreter::requested_version(&request.binary)
        .filter(|_| !options.ignore_requested)
        .filter(|version| !interpreter.version.matches(version));
    let python = missing.unwrap_or_else(|| interpreter.path.display().to_string());
    let is_made = match &uv {
        Some(uv) => uv.create(context, &python, &folder).await?,
        None => false,
    };
    let mut seed = Seed::Wheels(interpreter.bundled_wheels.clone());
    if is_made {
        let made = venv::python_of(&folder).display().to_string();
        if let Some(made) = interpreter::probe(&made, context.cancel).await?
            && made.version != interpreter.version
        {
            seed = Seed::Wheels(Vec::new());
            interpreter = made;
        }
    } else {
        seed = venv::create(
            &interpreter,
            &folder,
            options,
            context.output,
            context.cancel,
        )
        .await?;
    }
    context.output.line("\n");
    let by_version = folder.join(format!("bin/python{}", interpreter.version.short()));
    let python = Some(by_version)
        .filter(|python| python.exists())
        .unwrap_or_else(|| venv::python_of(&folder));
    Ok(Environment {
        uv: uv.filter(|_| is_made),
        ..Environment::new(
            folder,
            python,
            interpreter,
            requirements,
            Origin::Fresh(seed),
        )
    })
}

/// uv brings the interpreter that the machine does not have, and stands in for pip (E-117, E-289); without uv there is
/// nothing to be done about `error`.
pub(super) async fn served_by_uv(
    request: &PythonRequest,
    requirements: TaskRequirements,
    context: ToolContext<'_>,
    error: PythonError,
) -> Result<Environment, PythonError> {
    if !has_loader(Path::new("/")) {
        return Err(PythonError::NoLoader);
    }
    let Some(uv) = Uv::present(context).await? else {
        return Err(error);
    };
    let options = context.options;
    let version = interpreter::requested_version(&request.binary)
        .filter(|_| !options.ignore_requested)
        .or_else(|| Some(options.default_python.trim().to_owned()))
        .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or_else(|| "3".to_owned());
    context.output.line(format!(
        "No Python of this machine runs, uv is asked for version {version}"
    ));
    let folder = options.folder(&version);
    remove(&folder).await?;
    let parent = folder.parent().unwrap_or(&folder);
    fs::create_dir_all(parent).map_err(PythonError::files("create", parent))?;
    if !uv.create(context, &version, &folder).await? {
        return Err(error);
    }
    let python = venv::python_of(&folder);
    let found = interpreter::probe(&python.to_string_lossy(), context.cancel).await?;
    let Some(interpreter) = found else {
        return Err(error);
    };
    let real = fs::canonicalize(&python).unwrap_or_else(|_| python.clone());
    context.output.line(format!(
        "Using Python {} that uv has at {}",
        interpreter.version,
        real.display()
    ));
    let origin = Origin::Fresh(Seed::Wheels(Vec::new()));
    Ok(Environment {
        uses_uv_pip: options.package_manager != PackageManager::Uv,
        uv: Some(uv),
        ..Environment::new(folder, python, interpreter, requirements, origin)
    })
}
