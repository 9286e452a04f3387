//! What can go wrong with an engine, in one line for the user, with what to do about it.

use std::path::PathBuf;

use bollard::errors::Error;

use super::endpoint::Endpoint;

/// Why the engine did not do what it was asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// Nobody listens.
    #[error("no container engine answers at `{endpoint}`: {reason}")]
    NotRunning {
        /// Where it was looked for.
        endpoint: String,
        /// What the system said.
        reason: String,
    },
    /// The socket is there and not for this user.
    #[error("no permission to use the container engine at `{0}`")]
    NoPermission(String),
    /// Before API 1.40.
    #[error("the container engine speaks API {0} only")]
    TooOld(String),
    /// `DOCKER_HOST` or a context with something that cannot be reached.
    #[error(
        "`{address}` from {origin} is no address of a container engine that can be used: {why}"
    )]
    Address {
        /// What is written there.
        address: String,
        /// Where it is written.
        origin: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file that is needed for the connection.
    #[error("could not read `{path}`: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// No such container: somebody has removed it.
    #[error("the container is gone")]
    NoContainer,
    /// The registry has no such image, or wants a login.
    #[error("could not pull the image `{image}`: {reason}")]
    Pull {
        /// The image.
        image: String,
        /// What engine or registry said.
        reason: String,
    },
    /// The policy is never to pull, and the image is not there.
    #[error("the image `{0}` is not on this machine, and is not to be pulled")]
    NoImage(String),
    /// A name of an image that cannot be.
    #[error("`{image}` is no name of an image: {why}")]
    Reference {
        /// What was named.
        image: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The engine said no.
    #[error("{message}")]
    Refused {
        /// Status of the answer.
        status: u16,
        /// The engine's words.
        message: String,
    },
    /// The connection broke, or the answer makes no sense.
    #[error("the container engine did not answer: {0}")]
    Lost(String),
}

impl EngineError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotRunning { endpoint, .. } if endpoint.contains("podman") => {
                "start its service (`systemctl enable --now podman.socket`, for a user's own with `--user`), or name its socket in `DOCKER_HOST`"
            }
            Self::NotRunning { .. } => {
                "start it (`systemctl start docker`), or name its socket in `DOCKER_HOST`"
            }
            Self::NoPermission(_) => {
                "add this user to the group `docker`, or run the agent as a user who may"
            }
            Self::TooOld(_) => "docker 19.03 (API 1.40) or newer is needed",
            Self::Address { .. } => {
                "unix:///var/run/docker.sock and tcp://HOST:PORT are understood"
            }
            Self::NoImage(image) => {
                return Some(format!("`docker pull {image}` brings it here"));
            }
            Self::Pull { image, reason } => return Some(pull_hint(image, reason)),
            Self::Refused { message, .. } => return refusal_hint(message).map(str::to_owned),
            Self::Reference { .. } => {
                "an image is named as in `python:3.12` or `ghcr.io/owner/name:tag`"
            }
            Self::File { .. } | Self::NoContainer | Self::Lost(_) => return None,
        };
        Some(hint.to_owned())
    }

    /// True where the engine may answer a later call.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::NotRunning { .. } | Self::Lost(_))
    }

    /// An error before the first answer.
    pub(super) fn unreachable(endpoint: &Endpoint, error: &Error) -> Self {
        let endpoint = endpoint.to_string();
        match (Self::from_call(error), system_error(error)) {
            (Self::Lost(_), Some(std::io::ErrorKind::PermissionDenied)) => {
                Self::NoPermission(endpoint)
            }
            (Self::Lost(reason), _) => Self::NotRunning { endpoint, reason },
            (other, _) => other,
        }
    }

    /// An error of a call to an engine that has answered before.
    pub(super) fn from_call(error: &Error) -> Self {
        match error {
            Error::DockerResponseServerError {
                status_code: 404,
                message,
            } if message.contains("o such container") || message.contains("no container with") => {
                Self::NoContainer
            }
            Error::DockerResponseServerError {
                status_code,
                message,
            } => Self::Refused {
                status: *status_code,
                message: match message.trim() {
                    "" => format!("the engine answered with status {status_code} and no word"),
                    message => message.to_owned(),
                },
            },
            Error::DockerStreamError { error } => Self::Refused {
                status: 200,
                message: error.clone(),
            },
            Error::SocketNotFoundError(_) => Self::Lost("there is no such socket".to_owned()),
            other => Self::Lost(root(other)),
        }
    }
}

fn pull_hint(image: &str, reason: &str) -> String {
    let reason = reason.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if has(&[
        "denied",
        "unauthorized",
        "authentication",
        "no basic auth",
        "credential",
    ]) {
        "check its name, and log in with `docker login` as the user who runs the agent".to_owned()
    } else if has(&["manifest unknown", "not found", "no matching manifest"]) {
        format!("check name, tag and platform of `{image}`")
    } else if has(&["no space left"]) {
        "free space where the engine keeps its images: `docker system df` shows what takes it"
            .to_owned()
    } else {
        "check that this machine reaches the registry, or put the image on it beforehand".to_owned()
    }
}

fn refusal_hint(message: &str) -> Option<&'static str> {
    let has = |words: &str| message.contains(words);
    if has("port is already allocated") || has("address already in use") {
        Some("choose another port with `-p`, or leave the host's port out")
    } else if has("bind source path does not exist") || has("no such file or directory: unknown") {
        Some("check the mounts and the command in the container's arguments")
    } else if has("could not select device driver") {
        Some("install the NVIDIA container toolkit, or use `--cpu-only`")
    } else if has("no space left") {
        Some(
            "free space where the engine keeps its containers: `docker system df` shows what takes it",
        )
    } else {
        None
    }
}

fn system_error(error: &Error) -> Option<std::io::ErrorKind> {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if let Some(system) = error.downcast_ref::<std::io::Error>() {
            return Some(system.kind());
        }
        source = error.source();
    }
    None
}

/// What is at the bottom of an error: what is above it speaks of the libraries in between.
pub(super) fn root(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}
