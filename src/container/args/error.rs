//! Why a command line of docker cannot be carried out.

use std::io;
use std::path::PathBuf;

use super::ApiVersion;

/// Why a command line of docker cannot be carried out. `Display` is one clear line without values of variables.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// Docker has no such flag.
    #[error("docker has no flag `{flag}`")]
    UnknownFlag {
        /// The flag with its dashes.
        flag: String,
        /// The flag that comes nearest to it.
        nearest: Option<&'static str>,
    },
    /// The words end before a flag's value.
    #[error("the docker flag `{0}` needs a value")]
    ValueMissing(String),
    /// `---x`, `--=x`
    #[error("`{0}` is no flag of docker")]
    Syntax(String),
    /// There is no word for the image.
    #[error("the docker arguments name no image")]
    ImageMissing,
    /// A value that docker would refuse.
    #[error("the docker flag `--{flag}` does not take `{value}`: {reason}")]
    Value {
        /// Name of the flag.
        flag: &'static str,
        /// What it is set to.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A variable without a name. Its value may be a secret.
    #[error("the docker flag `--env` needs the name of a variable before the `=`")]
    VariableName,
    /// Flags that exclude each other.
    #[error("{0}")]
    Conflict(String),
    /// The same network in two flags.
    #[error("the network `{0}` is given twice")]
    NetworkTwice(String),
    /// A flag that the engine is too old for.
    #[error("{what} needs version {needed} of the engine's API; this engine speaks {version}")]
    EngineLacks {
        /// The flag, or a value of it.
        what: String,
        /// Version of the API that brought it.
        needed: ApiVersion,
        /// Version that the engine speaks.
        version: ApiVersion,
    },
    /// An engine before 19.03.
    #[error(
        "the engine speaks version {0} of its API; containers need {minimum} (docker 19.03) or a later one",
        minimum = ApiVersion::MINIMUM
    )]
    EngineTooOld(ApiVersion),
    /// A flag of docker that means nothing here.
    #[error("the docker flag `--{flag}` is not carried out: {reason}")]
    NotCarriedOut {
        /// Name of the flag.
        flag: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A file that a flag names.
    #[error("cannot read `{}`, which the docker flag `--{flag}` names: {source}", path.display())]
    File {
        /// Name of the flag.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is the matter.
        source: io::Error,
    },
    /// A line of a file that a flag names.
    #[error("line {line} of `{}`, which the docker flag `--{flag}` names, {reason}", path.display())]
    Line {
        /// Name of the flag.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Number of the line.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl ArgsError {
    pub(super) fn value(flag: &'static str, value: &str, reason: impl Into<String>) -> Self {
        Self::Value {
            flag,
            value: value.to_owned(),
            reason: reason.into(),
        }
    }

    pub(super) fn conflict(line: impl Into<String>) -> Self {
        Self::Conflict(line.into())
    }

    /// What a user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownFlag {
                nearest: Some(name),
                ..
            } => Some(format!("did you mean `--{name}`?")),
            Self::UnknownFlag { nearest: None, .. } => {
                Some("`docker run --help` lists the flags".to_owned())
            }
            Self::EngineLacks { .. } | Self::EngineTooOld(_) => {
                Some("a newer engine has it".to_owned())
            }
            Self::NetworkTwice(_) => Some(
                "the arguments of the task come together with those of the agent (`agent.extra_docker_arguments`): leave \
                 `--network` out of one of them"
                    .to_owned(),
            ),
            Self::NotCarriedOut {
                flag: "restart", ..
            } => Some(
                "leave it out, and enqueue again what is to run again; services that the engine is to start again have \
                 `CLEARML_AGENT_SERVICES_DOCKER_RESTART`"
                    .to_owned(),
            ),
            Self::ImageMissing => Some("the image is the first word after the flags".to_owned()),
            _ => None,
        }
    }
}
