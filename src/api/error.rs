//! What can go wrong in a call, told apart by what the caller may do about it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::visible;

/// Whether the server may have acted on a request whose answer did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Certainly not: no connection was made, or the server refused before it looked.
    NotSent,
    /// Perhaps: the request left, the answer did not arrive.
    Unknown,
}

/// What kept a connection from giving an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionFault {
    /// Nothing listens at the address.
    Refused,
    /// The host name has no address.
    Dns,
    /// The handshake failed; mostly a certificate that is not trusted.
    Tls,
    /// No answer in time.
    Timeout,
    /// The connection ended before the answer was complete.
    Closed,
    /// Anything else, for instance an unreachable network.
    Other,
}

impl fmt::Display for ConnectionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Dns => "host name not found",
            Self::Tls => "TLS handshake failed",
            Self::Timeout => "no answer in time",
            Self::Closed => "connection closed before the answer",
            Self::Other => "connection failed",
        })
    }
}

/// Why a call ended before its answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The caller's `CancellationToken` was cancelled.
    Cancelled,
    /// The deadline that the caller set has passed.
    Deadline(Duration),
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::Deadline(limit) => write!(f, "no answer within {:.1} s", limit.as_secs_f64()),
        }
    }
}

/// The server's own refusal of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The call, for instance `tasks.started`.
    pub call: &'static str,
    /// `result_code`; the HTTP status where the answer was not the API's.
    pub code: u16,
    /// `result_subcode`, 0 where there is none.
    pub subcode: u32,
    /// `result_msg`; may be empty.
    pub message: String,
    /// The server's own traceback, for `--debug`.
    pub error_stack: Option<String>,
}

/// The refusals that callers act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// 400/101
    UnknownTask,
    /// 400/110: the state machine does not allow the change.
    InvalidStatus,
    /// 400/121: somebody else changed the state at the same time.
    StatusRace,
    /// 400/122: for instance requirements for a task without a script.
    MissingTaskFields,
    /// 400/131
    EventsNotAdded,
    /// 400/701
    UnknownQueue,
    /// 400/703
    NotInQueue,
    /// 400/706
    AlreadyQueued,
    /// 400/707
    NoDefaultQueue,
    /// 400/708
    SeveralDefaultQueues,
    /// 400/1001, 1003 and 1004
    UnknownWorker,
    /// 404: this server does not have the call.
    UnknownCall,
    /// Anything else; code and subcode say more.
    Other,
}

impl Refusal {
    /// What the codes mean.
    pub fn reason(&self) -> Reason {
        match (self.code, self.subcode) {
            (400, 101) => Reason::UnknownTask,
            (400, 110) => Reason::InvalidStatus,
            (400, 121) => Reason::StatusRace,
            (400, 122) => Reason::MissingTaskFields,
            (400, 131) => Reason::EventsNotAdded,
            (400, 701) => Reason::UnknownQueue,
            (400, 703) => Reason::NotInQueue,
            (400, 706) => Reason::AlreadyQueued,
            (400, 707) => Reason::NoDefaultQueue,
            (400, 708) => Reason::SeveralDefaultQueues,
            (400, 1001 | 1003 | 1004) => Reason::UnknownWorker,
            (404, _) => Reason::UnknownCall,
            _ => Reason::Other,
        }
    }
}

impl fmt::Display for Refusal {
    /// `code 400/101: <message>`, the tail of A-041's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}", self.code)?;
        if self.subcode != 0 {
            write!(f, "/{}", self.subcode)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", visible::line(&self.message))?;
        }
        Ok(())
    }
}

/// Settings with which no session can be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConfigurationError {
    /// A certificate file or folder that cannot be read or holds no certificate.
    #[error("cannot use the certificates of {}: {reason}", path.display())]
    Certificates {
        /// What `api.verify_certificate` or a variable named.
        path: PathBuf,
        /// The system's or parser's words.
        reason: String,
    },
    /// A proxy that is no HTTP proxy.
    #[error("cannot use the proxy of `{variable}`: {reason}")]
    Proxy {
        /// The variable that named it.
        variable: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An address that cannot be an API server's.
    #[error("cannot use the API server address {url}: {reason}")]
    Server {
        /// The address without a password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client could not be made.
    #[error("cannot set up the HTTP client: {0}")]
    Client(String),
}

/// Why a call gave no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// No connection, or no complete answer.
    #[error("{call}: {fault} at {server}: {reason}")]
    Connection {
        /// The call, for instance `tasks.started`.
        call: &'static str,
        /// `scheme://host:port`.
        server: Arc<str>,
        /// The kind of fault.
        fault: ConnectionFault,
        /// Whether the server may have acted.
        delivery: Delivery,
        /// The innermost error's words.
        reason: String,
        /// The HTTP library's error.
        source: Arc<reqwest::Error>,
    },
    /// The server does not accept the credentials (401), also after a new login.
    #[error("{call}: not authorized: {0}", call = .0.call)]
    Unauthorized(Box<Refusal>),
    /// The API's own error.
    #[error("{call}: {0}", call = .0.call)]
    Refused(Box<Refusal>),
    /// Overload, maintenance, or a proxy whose server is away: 429, 502, 503, 504, 509, and other
    /// statuses from 500 on that do not come from the API itself.
    #[error("{call}: the server answered with HTTP {status}{}{}", if message.is_empty() { "" } else { ": " }, visible::line(message))]
    Server {
        /// The call.
        call: &'static str,
        /// The HTTP status.
        status: u16,
        /// The API's message or the beginning of the body.
        message: String,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
    /// An answer that is longer than this agent reads.
    #[error("{call}: the answer has more than {} MiB", limit >> 20)]
    TooLong {
        /// The call.
        call: &'static str,
        /// Bytes that would have been read.
        limit: usize,
    },
    /// An answer that is none of the API's, or lacks what the call promises.
    #[error("{call}: unusable answer (HTTP {status}): {reason}")]
    Malformed {
        /// The call.
        call: &'static str,
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// The caller stopped waiting.
    #[error("{call}: {cause}")]
    Interrupted {
        /// The call.
        call: &'static str,
        /// Why.
        cause: Interruption,
        /// Whether the server may have acted.
        delivery: Delivery,
    },
    /// The session cannot be set up with these options.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
}

impl ApiError {
    /// True where the same call may succeed later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. } => true,
            Self::Server { status, .. } => matches!(status, 429 | 502 | 503 | 504 | 509),
            _ => false,
        }
    }

    /// True where the server may have acted although no answer says so.
    pub fn is_ambiguous(&self) -> bool {
        self.delivery() == Some(Delivery::Unknown)
    }

    /// Whether the server may have acted; `None` where it answered for itself.
    pub(super) fn delivery(&self) -> Option<Delivery> {
        match self {
            Self::Connection { delivery, .. } | Self::Interrupted { delivery, .. } => {
                Some(*delivery)
            }
            // Overload and maintenance are refusals at the door; a gateway's error is not.
            Self::Server { status, .. } => Some(match status {
                429 | 503 | 509 => Delivery::NotSent,
                _ => Delivery::Unknown,
            }),
            Self::Malformed { .. } | Self::TooLong { .. } => Some(Delivery::Unknown),
            _ => None,
        }
    }

    /// True for 401, whatever the subcode.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Unauthorized(_))
    }

    /// True where the caller cancelled or its deadline passed.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted { .. })
    }

    /// The server's refusal, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) | Self::Unauthorized(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// What the server's codes mean; `None` where it did not answer for itself.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused(refusal) => Some(refusal.reason()),
            _ => None,
        }
    }

    /// True for a task id that the server does not know.
    pub fn is_unknown_task(&self) -> bool {
        self.reason() == Some(Reason::UnknownTask)
    }

    /// True for a status change that the state machine forbids, or that lost a race.
    pub fn is_invalid_status(&self) -> bool {
        matches!(
            self.reason(),
            Some(Reason::InvalidStatus | Reason::StatusRace)
        )
    }

    /// True for a queue id that the server does not know.
    pub fn is_unknown_queue(&self) -> bool {
        self.reason() == Some(Reason::UnknownQueue)
    }

    /// True where this server does not have the call at all.
    pub fn is_unknown_call(&self) -> bool {
        self.reason() == Some(Reason::UnknownCall)
    }

    /// True where the request is longer than the server or a proxy takes (HTTP 413).
    pub fn is_too_large(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.code == 413)
    }

    /// True for a task, queue or worker that the server does not know.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self.reason(),
            Some(Reason::UnknownTask | Reason::UnknownQueue | Reason::UnknownWorker)
        )
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Connection { fault, .. } => match fault {
                ConnectionFault::Refused | ConnectionFault::Dns => Some(
                    "check `api.api_server` (or `CLEARML_API_HOST`); the API server mostly listens on port 8008",
                ),
                ConnectionFault::Tls => Some(
                    "name the CA certificate of your server in `api.verify_certificate` or `REQUESTS_CA_BUNDLE`",
                ),
                ConnectionFault::Timeout | ConnectionFault::Closed | ConnectionFault::Other => {
                    Some("check the network and `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`")
                }
            },
            Self::Unauthorized(_) => Some(
                "create credentials on the web page under Settings, Workspace, and run `clearml-agent init`",
            ),
            Self::Malformed { .. } => Some(
                "`api.api_server` must be the API server (mostly port 8008), not the web server (8080)",
            ),
            Self::Refused(refusal) if refusal.message.trim_start().starts_with('<') => Some(
                "`api.api_server` must be the API server (mostly port 8008), not the web server (8080)",
            ),
            Self::Configuration(ConfigurationError::Certificates { .. }) => Some(
                "check the path in `api.verify_certificate`, `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE` or `SSL_CERT_FILE`",
            ),
            Self::Configuration(ConfigurationError::Proxy { .. }) => {
                Some("proxies are named like `http://proxy.example.com:3128`")
            }
            _ => None,
        }
    }

    /// The text of A-041 for an error of a call after the login.
    pub fn reference_text(&self) -> String {
        match self {
            Self::Refused(refusal) | Self::Unauthorized(refusal) => format!("APIError: {refusal}"),
            Self::Server {
                status, message, ..
            } if message.is_empty() => format!("APIError: code {status}"),
            Self::Server {
                status, message, ..
            } => format!("APIError: code {status}: {}", visible::line(message)),
            other => other.to_string(),
        }
    }

    /// The text of A-023 for an error that ends a program at its start; `server` as [`super::Session::server`] gives it.
    pub fn startup_text(&self, server: &str) -> String {
        match self {
            Self::Connection { .. } | Self::Interrupted { .. } => format!(
                "Connection Error: it seems *api_server* is misconfigured. Is this the ClearML API server {server} ?"
            ),
            Self::Unauthorized(refusal) | Self::Refused(refusal) => {
                token_refused(refusal.code, server, &refusal.message)
            }
            Self::Server {
                status, message, ..
            } => token_refused(*status, server, message),
            Self::Malformed { reason, .. } if reason == NOT_A_TOKEN => "Not enough segments".into(),
            Self::Malformed { .. } | Self::TooLong { .. } => format!(
                "It seems *api_server* is misconfigured. Is this the ClearML API server {server} ?"
            ),
            Self::Configuration(error) => error.to_string(),
        }
    }
}

/// The reason of a [`ApiError::Malformed`] whose token cannot be read.
pub(super) const NOT_A_TOKEN: &str = "the token is no JWT";

fn token_refused(code: u16, server: &str, message: &str) -> String {
    let phrase = || {
        reqwest::StatusCode::from_u16(code)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or_default()
    };
    let text = if message.is_empty() {
        phrase().into()
    } else {
        visible::line(message)
    };
    format!("Failed getting token (error {code} from {server}): {text}")
}
