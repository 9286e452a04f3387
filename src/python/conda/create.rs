//! The environment of a task: made by conda, taken from the cache, or one that is there (E-203, E-211).

use std::fs;
use std::path::{Path, PathBuf};

use chrono::Local;

use super::super::environment::{Environment, Origin, remove};
use super::super::error::{FailedCommand, PythonError};
use super::super::interpreter::{Interpreter, probe};
use super::super::kept::CachePlace;
use super::super::options::PythonRequest;
use super::super::requirements::TaskRequirements;
use super::super::tool::ToolContext;
use super::super::venv::{Seed, python_of};
use super::activation::Activation;
use super::error::CondaError;
use super::options;
use super::program::Conda;
use crate::process::Command;

/// An environment of conda.
#[derive(Clone, Debug)]
pub(in crate::python) struct CondaEnvironment {
    pub(super) conda: Conda,
    pub(in crate::python) activation: Activation,
    /// Nothing is installed into it (E-211).
    pub(in crate::python) is_read_only: bool,
}

impl CondaEnvironment {
    fn new(conda: Conda, prefix: PathBuf) -> Self {
        Self {
            activation: Activation {
                script: conda.script.clone(),
                prefix,
            },
            conda,
            is_read_only: false,
        }
    }

    /// The folder of the environment.
    pub(super) fn prefix(&self) -> &Path {
        &self.activation.prefix
    }

    fn python(&self) -> PathBuf {
        python_of(self.prefix())
    }

    /// The interpreter, which must run.
    async fn interpreter(&self, context: ToolContext<'_>) -> Result<Interpreter, PythonError> {
        let python = self.python();
        let found = probe(&python.to_string_lossy(), context.cancel).await?;
        found.ok_or_else(|| CondaError::NoPython(self.prefix().to_owned()).into())
    }

    /// Makes, or finds, the environment of a task.
    pub(in crate::python) async fn create(
        request: &PythonRequest,
        requirements: TaskRequirements,
        context: ToolContext<'_>,
    ) -> Result<Environment, PythonError> {
        let conda = Conda::find(context).await?;
        let options = context.options;
        let (version, folder) = options::place(request, options);
        let folder = conda.remove(context, &folder).await?;
        let parent = folder.parent().unwrap_or(&folder);
        fs::create_dir_all(parent).map_err(PythonError::files("create", parent))?;
        let mut cache = None;
        let mut origin = Origin::Fresh(Seed::Installed);
        let environment = match options.conda.origin(&request.docker_cmd) {
            options::Origin::Existing(path) if path.is_dir() => {
                context.output.line(format!(
                    "Using pre-existing Conda environment from {}",
                    path.display()
                ));
                origin = Origin::Existing;
                Self {
                    is_read_only: true,
                    ..Self::new(conda, path)
                }
            }
            options::Origin::Existing(path) if path.is_file() => {
                let environment = Self::new(conda, folder.clone());
                environment.unpack(context, &path).await?;
                environment
            }
            options::Origin::Existing(path) => return Err(CondaError::NotFound(path).into()),
            options::Origin::Base => {
                context.output.line(format!(
                    "Using base conda environment at {}",
                    conda.base.display()
                ));
                origin = Origin::Existing;
                let base = conda.base.clone();
                Self::new(conda, base)
            }
            options::Origin::New => {
                let environment = Self::new(conda, folder.clone());
                cache = CachePlace::of_conda(
                    request,
                    options,
                    &version,
                    &requirements,
                    &folder,
                    context.output,
                );
                if environment.restored(cache.as_mut(), context).await? {
                    origin = Origin::Cached;
                } else {
                    environment.make(context, &version).await?;
                }
                environment
            }
        };
        fs::create_dir_all(&folder).map_err(PythonError::files("create", &folder))?;
        let interpreter = environment.interpreter(context).await?;
        let python = environment.python();
        Ok(Environment::of_conda(
            environment,
            (folder, python, interpreter),
            requirements,
            origin,
            cache,
        ))
    }

    /// E-203
    async fn make(&self, context: ToolContext<'_>, version: &str) -> Result<(), PythonError> {
        let prefix = self.prefix().to_string_lossy();
        let python = match version {
            "" => "python".to_owned(),
            version => format!("python={version}"),
        };
        let words = ["create", "--yes", "--prefix", &prefix, &python];
        let (command, finished) = self.conda.run(context, &words).await?;
        if finished.is_success() {
            return Ok(());
        }
        let failed = FailedCommand::new(&command.words(), &finished);
        Err(CondaError::NotCreated(failed).into())
    }

    /// Takes the environment from the cache. Its files name the folder in which it was made, so it is used there alone.
    async fn restored(
        &self,
        cache: Option<&mut CachePlace>,
        context: ToolContext<'_>,
    ) -> Result<bool, PythonError> {
        let Some(place) = cache else {
            return Ok(false);
        };
        let folder = self.prefix();
        if !place
            .restore(folder, context.output, context.cancel)
            .await?
        {
            return Ok(false);
        }
        let script = fs::read(folder.join("bin/pip")).unwrap_or_default();
        if is_made_for(&String::from_utf8_lossy(&script), folder) {
            return Ok(true);
        }
        context.output.line(format!(
            "the cached environment was made for another folder than {}, which conda environments cannot leave",
            folder.display()
        ));
        remove(folder).await?;
        Ok(false)
    }

    /// Unpacks an archive of conda-pack (E-211).
    async fn unpack(&self, context: ToolContext<'_>, archive: &Path) -> Result<(), PythonError> {
        let prefix = self.prefix();
        context.output.line(format!(
            "Restoring Conda environment from {}",
            archive.display()
        ));
        fs::create_dir_all(prefix).map_err(PythonError::files("create", prefix))?;
        let unpack = Command::new("tar")
            .arg("-xzf")
            .arg(archive)
            .arg("-C")
            .arg(prefix);
        let not_unpacked = |failed| PythonError::from(CondaError::NotUnpacked(failed));
        context.run(&unpack).await?.map_err(not_unpacked)?;
        context.output.line(format!(
            "Fixing prefix in Conda environment {}",
            prefix.display()
        ));
        // By its own interpreter, the only one that is sure to be there.
        let fix = Command::new(self.python())
            .arg(prefix.join("bin/conda-unpack"))
            .env_remove("PYTHONPATH");
        context.run(&fix).await?.map_err(not_unpacked)
    }
}

impl Conda {
    /// Removes the environment of the task before; another folder where that fails (E-203).
    async fn remove(
        &self,
        context: ToolContext<'_>,
        folder: &Path,
    ) -> Result<PathBuf, PythonError> {
        if folder.join("conda-meta").exists() {
            let name = folder.to_string_lossy();
            self.ask(context, &["env", "remove", "-p", &name]).await?;
        }
        if remove(folder).await.is_ok() {
            return Ok(folder.to_owned());
        }
        let time = Local::now().format("_%Y-%m-%d-%H-%M-%S").to_string();
        let other = super::super::environment::beside(folder, &time);
        context.output.line(format!(
            "Path \"{}\" exists, using \"{}\" instead",
            folder.display(),
            other.display()
        ));
        Ok(other)
    }
}

/// Whether this program of an environment starts the interpreter of the folder that it stands in.
fn is_made_for(script: &str, folder: &Path) -> bool {
    let interpreter = folder.join("bin").to_string_lossy().into_owned();
    let head: Vec<&str> = script.lines().take(2).collect();
    // Without a script there is nothing to tell.
    script.is_empty() || head.iter().any(|line| line.contains(&interpreter))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-248: for conda the place counts, since its libraries name it.
    #[test]
    fn an_environment_is_known_by_the_interpreter_of_its_scripts() {
        let folder = Path::new("/h/venvs-builds/3.11");
        let script = |place: &str| format!("#!{place}/bin/python\nimport pip\n");
        assert!(is_made_for(&script("/h/venvs-builds/3.11"), folder));
        assert!(!is_made_for(&script("/h/venvs-builds.1/3.11"), folder));
        assert!(is_made_for("", folder));
    }
}
