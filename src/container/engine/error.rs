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
    /// The machine has a port already that the container was to have there.
    #[error("the port `{0}` of this machine is taken: another program or container listens there")]
    PortTaken(String),
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
            Self::PortTaken(_) => {
                "choose another port with `-p`, or leave the machine's port out; `ss -lntup` says who has it"
            }
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
            } => match taken_port(message) {
                Some(port) => Self::PortTaken(port.to_owned()),
                None => Self::Refused {
                    status: *status_code,
                    message: match message.trim() {
                        "" => format!("the engine answered with status {status_code} and no word"),
                        message => message.to_owned(),
                    },
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

/// The address of the port that the engine could not have.
fn taken_port(message: &str) -> Option<&str> {
    let says_so = ["port is already allocated", "address already in use"];
    let end = says_so.iter().find_map(|words| message.find(words))?;
    // `Bind for ADDRESS failed: …`, `failed to bind host port ADDRESS/tcp: …`, `listen tcp4 ADDRESS: bind: …`
    let mut words = message[..end].split_whitespace().rev();
    let address =
        words.find(|word| word.contains(':') && word.contains(|c: char| c.is_ascii_digit()))?;
    let address = address.trim_end_matches(':');
    let address = address
        .split_once('/')
        .map_or(address, |(address, _)| address);
    let (_, port) = address.rsplit_once(':')?;
    port.parse::<u16>().is_ok().then_some(address)
}

fn refusal_hint(message: &str) -> Option<&'static str> {
    let has = |words: &str| message.contains(words);
    if has("bind source path does not exist") || has("no such file or directory: unknown") {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_named() {
        const ENDPOINT: &str =
            "driver failed programming external connectivity on endpoint x (e0cf:4d)";
        let of = |message: &str| {
            EngineError::from_call(&Error::DockerResponseServerError {
                status_code: 500,
                message: message.to_owned(),
            })
        };
        for (message, address) in [
            (
                // Docker 20.10, by a program.
                format!(
                    "{ENDPOINT}: Error starting userland proxy: listen tcp4 127.0.0.1:47289: bind: address already in use"
                ),
                "127.0.0.1:47289",
            ),
            (
                // By another container.
                format!("{ENDPOINT}: Bind for 0.0.0.0:8080 failed: port is already allocated"),
                "0.0.0.0:8080",
            ),
            (
                // Docker 28.
                "failed to set up container networking: failed to bind host port 127.0.0.1:8080/tcp: address already in use"
                    .to_owned(),
                "127.0.0.1:8080",
            ),
            (
                "failed to bind host port for [::]:80:172.17.0.2:80/tcp: address already in use".to_owned(),
                "[::]:80:172.17.0.2:80",
            ),
            (
                // podman 4.3
                "cannot listen on the TCP port: listen tcp4 :8080: bind: address already in use".to_owned(),
                ":8080",
            ),
        ] {
            let error = of(&message);
            assert_eq!(error, EngineError::PortTaken(address.to_owned()), "{message}");
            assert!(error.hint().is_some_and(|hint| hint.contains("`-p`")));
        }
        for message in [
            "Address already in use",
            "address already in use",
            "a:b c: port is already allocated",
        ] {
            assert!(
                matches!(of(message), EngineError::Refused { .. }),
                "{message}"
            );
        }
    }
}
