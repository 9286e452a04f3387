//! Where the engine listens: `DOCKER_HOST`, a context of the docker program, or the usual sockets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use reqwest::{Certificate, Identity};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::error::{EngineError, root};

/// The socket of an engine that runs as root.
const SOCKET: &str = "/var/run/docker.sock";
/// The socket of a podman that runs as root.
const PODMAN_SOCKET: &str = "/run/podman/podman.sock";

/// The address of an engine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Endpoint {
    /// A socket of this machine.
    Unix(PathBuf),
    /// A host and a port, without encryption.
    Tcp(String),
    /// The same with TLS, by the certificates of this folder: `ca.pem`, `cert.pem`, `key.pem`.
    Tls {
        /// Host and port.
        host: String,
        /// The folder.
        certificates: PathBuf,
    },
}

/// What says where the engine is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EndpointSource {
    /// `DOCKER_HOST`
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`
    pub context: Option<String>,
    /// `DOCKER_TLS_VERIFY` or `DOCKER_TLS` is set.
    pub is_tls: bool,
    /// `DOCKER_CERT_PATH`
    pub certificates: Option<PathBuf>,
    /// `DOCKER_CONFIG`, else `~/.docker`.
    pub folder: PathBuf,
    /// `XDG_RUNTIME_DIR`
    pub runtime_folder: Option<PathBuf>,
    /// podman is asked for.
    pub is_podman: bool,
}

impl EndpointSource {
    /// What the variables say to a user with this home.
    pub fn of<'a>(
        variable: impl Fn(&str) -> Option<&'a str>,
        home: &Path,
        is_podman: bool,
    ) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        Self {
            host: set("DOCKER_HOST").map(str::to_owned),
            context: set("DOCKER_CONTEXT").map(str::to_owned),
            is_tls: set("DOCKER_TLS_VERIFY")
                .or_else(|| set("DOCKER_TLS"))
                .is_some(),
            certificates: set("DOCKER_CERT_PATH").map(PathBuf::from),
            folder: set("DOCKER_CONFIG").map_or_else(|| home.join(".docker"), PathBuf::from),
            runtime_folder: set("XDG_RUNTIME_DIR").map(PathBuf::from),
            is_podman,
        }
    }

    /// The address; nobody is asked whether it answers.
    pub fn endpoint(&self) -> Result<Endpoint, EngineError> {
        if let Some(host) = &self.host {
            let certificates = || {
                let folder = self.certificates.clone();
                folder.unwrap_or_else(|| self.folder.clone())
            };
            let certificates = self.is_tls.then(certificates);
            return Endpoint::parse(host, "DOCKER_HOST", certificates);
        }
        if self.is_podman {
            return Ok(Endpoint::Unix(self.podman_socket()));
        }
        if let Some(name) = self.context_name().filter(|name| name != "default") {
            return self.of_context(&name);
        }
        let rootless = self
            .runtime_folder
            .as_ref()
            .map(|it| it.join("docker.sock"));
        let rootless = rootless.filter(|socket| socket.exists() && !Path::new(SOCKET).exists());
        Ok(Endpoint::Unix(rootless.unwrap_or_else(|| SOCKET.into())))
    }

    fn podman_socket(&self) -> PathBuf {
        let own = self
            .runtime_folder
            .as_ref()
            .map(|it| it.join("podman/podman.sock"));
        let own = own.filter(|socket| socket.exists());
        own.unwrap_or_else(|| PODMAN_SOCKET.into())
    }

    fn context_name(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct File {
            #[serde(rename = "currentContext")]
            current: Option<String>,
        }
        if let Some(name) = &self.context {
            return Some(name.clone());
        }
        let text = std::fs::read(self.folder.join("config.json")).ok()?;
        serde_json::from_slice::<File>(&text).ok()?.current
    }

    fn of_context(&self, name: &str) -> Result<Endpoint, EngineError> {
        #[derive(Deserialize)]
        struct Meta {
            #[serde(rename = "Endpoints")]
            endpoints: Endpoints,
        }
        #[derive(Deserialize)]
        struct Endpoints {
            docker: Docker,
        }
        #[derive(Deserialize)]
        struct Docker {
            #[serde(rename = "Host")]
            host: String,
        }
        let digest = format!("{:x}", Sha256::digest(name));
        let path = self
            .folder
            .join("contexts/meta")
            .join(&digest)
            .join("meta.json");
        let unreadable = |reason: String| EngineError::File {
            path: path.clone(),
            reason: format!("{reason} (the context `{name}` of docker)"),
        };
        let text = std::fs::read(&path).map_err(|error| unreadable(error.to_string()))?;
        let meta: Meta =
            serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        let certificates = self.folder.join("contexts/tls").join(digest).join("docker");
        let certificates = Some(certificates).filter(|folder| folder.is_dir());
        let origin = format!("the context `{name}`");
        Endpoint::parse(&meta.endpoints.docker.host, &origin, certificates)
    }
}

impl Endpoint {
    fn parse(
        address: &str,
        origin: &str,
        certificates: Option<PathBuf>,
    ) -> Result<Self, EngineError> {
        let refused = |why: &str| EngineError::Address {
            address: address.to_owned(),
            origin: origin.to_owned(),
            why: why.to_owned(),
        };
        match address.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("unix", _)) => Err(refused("the path of the socket must begin with `/`")),
            Some(("tcp" | "http" | "https", host)) if !host.trim_matches('/').is_empty() => {
                let host = host.trim_end_matches('/').to_owned();
                Ok(match certificates {
                    Some(certificates) => Self::Tls { host, certificates },
                    None => Self::Tcp(host),
                })
            }
            Some(("ssh", _)) => Err(refused(
                "ssh is not spoken; forward the socket with `ssh -L` and name that",
            )),
            _ => Err(refused("it has another form")),
        }
    }

    /// True where the paths of this machine mean nothing to the engine.
    pub fn is_remote(&self) -> bool {
        !matches!(self, Self::Unix(_))
    }

    /// A client of the engine's API.
    pub(super) fn client(&self, patience: Duration) -> Result<Docker, EngineError> {
        let seconds = patience.as_secs();
        let client = match self {
            Self::Unix(path) => {
                Docker::connect_with_unix(&path.to_string_lossy(), seconds, API_DEFAULT_VERSION)
            }
            Self::Tcp(host) => Docker::connect_with_http(host, seconds, API_DEFAULT_VERSION),
            Self::Tls { host, certificates } => Docker::connect_with_ssl(
                host,
                &certificates.join("key.pem"),
                &certificates.join("cert.pem"),
                &certificates.join("ca.pem"),
                seconds,
                API_DEFAULT_VERSION,
            ),
        };
        client.map_err(|error| EngineError::unreachable(self, &error))
    }

    /// A plain client for answers that are a stream of bytes, and the address in front of its paths.
    pub(super) fn plain_client(&self) -> Result<(reqwest::Client, String), EngineError> {
        // It must not be led to a proxy of the machine.
        let builder = reqwest::Client::builder()
            .no_proxy()
            .tcp_keepalive(Duration::from_secs(30));
        let (builder, base) = match self {
            Self::Unix(path) => (
                builder.unix_socket(path.as_path()),
                "http://localhost".to_owned(),
            ),
            Self::Tcp(host) => (builder, format!("http://{host}")),
            Self::Tls { host, certificates } => {
                let read = |name: &str| {
                    let path = certificates.join(name);
                    std::fs::read(&path).map_err(|error| EngineError::File {
                        path,
                        reason: error.to_string(),
                    })
                };
                let lost = |error: reqwest::Error| EngineError::Lost(root(&error));
                let pair = [read("key.pem")?, read("cert.pem")?].concat();
                let builder = builder
                    .tls_certs_only([Certificate::from_pem(&read("ca.pem")?).map_err(lost)?])
                    .identity(Identity::from_pem(&pair).map_err(lost)?);
                (builder, format!("https://{host}"))
            }
        };
        let client = builder.build();
        Ok((
            client.map_err(|error| EngineError::Lost(root(&error)))?,
            base,
        ))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(host) | Self::Tls { host, .. } => write!(f, "tcp://{host}"),
        }
    }
}
