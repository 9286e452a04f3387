//! Makes an empty virtual environment with the wanted pip (E-119..E-124, E-134).

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::error::{FailedCommand, PythonError};
use super::installed;
use super::interpreter::{Interpreter, probe};
use super::options::PythonOptions;
use super::pip::Pip;
use crate::process::{Command, Output};

/// Flags of the creation (E-122).
pub(super) fn create_flags(options: &PythonOptions) -> Vec<String> {
    if options.system_site_packages {
        vec!["--system-site-packages".to_owned()]
    } else {
        Vec::new()
    }
}

/// The interpreter of an environment (E-124).
pub(super) fn python_of(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}

/// Whether the new environment has a pip already.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Seed {
    /// virtualenv or venv installed one.
    Installed,
    /// It has none; these wheels hold what `ensurepip` would install.
    Wheels(Vec<PathBuf>),
    /// It has the wanted one.
    Ready,
    /// It has the one that came with the interpreter, and gets no other: nothing is installed into it.
    Bundled,
}

/// Makes the environment in `folder`, which does not exist.
///
/// Where the interpreter carries the wheels of `ensurepip`, they are installed by the call that brings pip to the wanted
/// version: one start of pip instead of two, with the same packages in the end.
pub(super) async fn create(
    interpreter: &Interpreter,
    folder: &Path,
    options: &PythonOptions,
    output: &Output,
    cancel: &CancellationToken,
) -> Result<Seed, PythonError> {
    let chosen = interpreter.name.as_str();
    let make = async |program: &str, module: &str, flags: &[&str]| {
        let command = Command::new(program)
            .args(["-m", module])
            .args(flags)
            .arg(folder)
            .args(create_flags(options))
            .env_remove("PYTHONPATH");
        let finished = command.run(output, cancel).await?;
        if finished.is_success() && python_of(folder).exists() {
            Ok(Ok(()))
        } else {
            Ok::<_, PythonError>(Err(FailedCommand::new(&command.words(), &finished)))
        }
    };
    if interpreter.has_virtualenv {
        match make(chosen, "virtualenv", &[]).await? {
            Ok(()) => return Ok(Seed::Installed),
            Err(failed) => {
                output.line(format!("WARNING: virtualenv call failed: {failed}"));
                output.line(" INFO: Creating virtual environment with venv");
            }
        }
    }
    let has_pip = interpreter.bundled_wheels.iter().any(|wheel| is_pip(wheel));
    if has_pip && make(chosen, "venv", &["--without-pip"]).await?.is_ok() {
        return Ok(Seed::Wheels(interpreter.bundled_wheels.clone()));
    }
    let Err(failed) = make(chosen, "venv", &[]).await? else {
        return Ok(Seed::Installed);
    };
    let own = probe("python3", cancel).await?;
    let own = own.filter(|own| own.has_virtualenv && own.path != interpreter.path);
    let Some(own) = own else {
        return Err(PythonError::NotCreated(failed));
    };
    output.line(format!(
        "WARNING: virtualenv and venv failed with [{chosen}] trying virtualenv with python [{}]",
        own.path.display()
    ));
    let python = interpreter.path.to_string_lossy();
    let made = make(&own.name, "virtualenv", &["--python", &python]).await?;
    made.map(|()| Seed::Installed)
        .map_err(PythonError::NotCreated)
}

/// Brings pip to the wanted version, and with it what `ensurepip` would have installed.
///
/// `pip` gives the call of pip with some words; the environment in `folder` has no pip of its own yet.
pub(super) async fn seed(
    folder: &Path,
    wheels: &[PathBuf],
    specifications: &[String],
    pip: &Pip<'_>,
) -> Result<(), PythonError> {
    let bundled: Vec<String> = wheels
        .iter()
        .filter(|wheel| is_pip(wheel))
        .map(|wheel| wheel.display().to_string())
        .collect();
    let others = wheels.iter().filter(|wheel| !is_pip(wheel));
    let wanted: Vec<String> = others
        .map(|wheel| wheel.display().to_string())
        .chain(specifications.iter().cloned())
        .collect();
    for packages in [&wanted, &bundled] {
        let command = pip
            .command(&["install"])
            .args(packages)
            .arg("--upgrade")
            // A wheel can be imported from; `ensurepip` itself works so.
            .env("PYTHONPATH", bundled.join(":"));
        let finished = command.run(pip.output, pip.cancel).await?;
        if !finished.is_success() {
            let failed = FailedCommand::new(&command.words(), &finished);
            // A pip that is good enough needs no index, as one that is installed already needs none.
            let alone = pip
                .command(&["install"])
                .args(packages)
                .args(["--upgrade", "--no-index", "--find-links"])
                .args(&bundled)
                .env("PYTHONPATH", bundled.join(":"));
            if !alone.capture(pip.cancel).await?.is_success() {
                return Err(PythonError::PipVersion(failed));
            }
            pip.output.line(format!(
                "WARNING: no package index has a pip; that of the interpreter satisfies `{}`, and is taken",
                specifications.join(" ")
            ));
        }
        // Where the markers of all specifications exclude this interpreter, the pip that it carries is taken.
        let packages = installed::packages(folder);
        if packages.iter().any(|package| package.name == "pip") {
            break;
        }
    }
    Ok(())
}

fn is_pip(wheel: &Path) -> bool {
    wheel
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("pip-"))
}
