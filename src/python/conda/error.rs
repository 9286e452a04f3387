//! Why there is no conda environment for a task.

use std::path::PathBuf;

use super::super::error::FailedCommand;

/// What is wrong with conda or with the environment that it was to give.
#[derive(Debug, thiserror::Error)]
pub enum CondaError {
    /// E-202
    #[error(
        "ERROR: package manager \"conda\" selected, but 'conda' executable could not be located"
    )]
    Missing,
    /// E-202
    #[error("Unable to determine conda version: `{}` says \"{said}\"", program.display())]
    NoVersion {
        /// The program.
        program: PathBuf,
        /// What it answered.
        said: String,
    },
    /// E-202
    #[error("conda version '{0}' is smaller than minimum supported conda version '4.3.30'")]
    TooOld(String),
    /// Without it nothing can be activated (E-204).
    #[error("could not find `etc/profile.d/conda.sh` of `{}`", .0.display())]
    NoActivation(PathBuf),
    /// E-203
    #[error("could not create a conda environment\n{0}")]
    NotCreated(FailedCommand),
    /// E-211
    #[error("Could not restore Conda environment, cannot find {}", .0.display())]
    NotFound(PathBuf),
    /// E-211
    #[error("Could not restore Conda environment\n{0}")]
    NotUnpacked(FailedCommand),
    /// There is a folder, and no Python in it that runs.
    #[error("the conda environment `{}` has no working Python", .0.display())]
    NoPython(PathBuf),
}

impl CondaError {
    /// What the user can do about it.
    pub(in crate::python) fn hint(&self) -> &'static str {
        match self {
            Self::Missing => {
                "install conda, for example Miniforge, and have it on the agent's `PATH`; or set `agent.package_manager.type` to pip"
            }
            Self::NoVersion { .. } => "`conda --version` must work for the agent's user",
            Self::TooOld(_) => "update conda: `conda update --name base conda`",
            Self::NoActivation(_) => {
                "have the `conda` of a whole installation on `PATH`, such as /opt/conda/bin/conda"
            }
            Self::NotCreated(_) => {
                "conda's lines say why; does a channel of `agent.package_manager.conda_channels` have this version of Python?"
            }
            Self::NotFound(_) => {
                "`CLEARML_CONDA_ENV_PACKAGE`, or the task's container with `agent.package_manager.conda_env_as_base_docker`, must name an environment folder or an archive of conda-pack on this machine"
            }
            Self::NotUnpacked(_) => "the archive must be one of conda-pack (tar.gz)",
            Self::NoPython(_) => "the environment must hold Python 3 for this kind of machine",
        }
    }
}
