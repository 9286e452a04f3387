//! A session: logs in by itself, repeats what may be repeated, stops when told to.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use super::error::{ApiError, ConfigurationError, Delivery, Interruption};
use super::http::{Body, Http, Request, bearer, server_of};
use super::login::Kept;
use super::options::{Credentials, HttpMethod, SessionOptions};
use super::outage::{Outages, SessionEvent};
use super::retry::{Phase, Retry, Tries};
use super::token::{ApiVersion, Claims, Token};
use crate::secrets::SecretString;

/// How often [`Session::is_silent`] looks.
const LOOK: Duration = Duration::from_millis(50);

/// The way to the API server. Cheap to clone; clones share connections, token and outage notices.
///
/// Nothing is read or connected before the first call. Dropping a call's future stops it at once.
#[derive(Clone)]
pub struct Session {
    pub(super) inner: Arc<Inner>,
    pub(super) scope: Scope,
}

pub(super) struct Inner {
    pub(super) options: SessionOptions,
    /// Those that were last accepted, or are tried.
    pub(super) credentials: Mutex<Credentials>,
    server: Arc<str>,
    http: OnceLock<Result<Http, ConfigurationError>>,
    pub(super) token: tokio::sync::Mutex<Kept>,
    pub(super) established: AtomicBool,
    pub(super) outages: Outages,
    random: Mutex<fastrand::Rng>,
}

/// What belongs to one clone.
#[derive(Clone)]
pub(super) struct Scope {
    pub(super) cancel: CancellationToken,
    pub(super) retry: Option<Retry>,
    pub(super) deadline: Option<Duration>,
    pub(super) method: Option<HttpMethod>,
}

impl Session {
    /// A session that has done nothing yet; fails only for an address that is none.
    pub fn new(options: SessionOptions) -> Result<Self, ConfigurationError> {
        let server = server_of(&options.api_server)?;
        let random = match options.random_seed {
            Some(seed) => fastrand::Rng::with_seed(seed),
            None => fastrand::Rng::new(),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                server,
                http: OnceLock::new(),
                token: tokio::sync::Mutex::default(),
                established: AtomicBool::new(false),
                outages: Outages::new(options.listener.clone()),
                random: Mutex::new(random),
                credentials: Mutex::new(options.credentials.clone()),
                options,
            }),
            scope: Scope {
                cancel: CancellationToken::new(),
                retry: None,
                deadline: None,
                method: None,
            },
        })
    }

    /// The same session, whose calls end with [`Interruption::Cancelled`] once `token` is cancelled.
    #[must_use]
    pub fn with_cancellation(mut self, token: CancellationToken) -> Self {
        self.scope.cancel = token;
        self
    }

    /// The same session, whose calls are repeated as `retry` says instead of as each call's nature allows.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.scope.retry = Some(retry);
        self
    }

    /// The same session, whose calls end with [`Interruption::Deadline`] after `limit`, all tries together
    /// (D-300: shutting down does not wait for a server that is away).
    #[must_use]
    pub fn with_deadline(mut self, limit: Duration) -> Self {
        self.scope.deadline = Some(limit);
        self
    }

    /// The same session, whose calls use this method unless they have one of their own (A-011, F-102).
    #[must_use]
    pub fn with_default_method(mut self, method: HttpMethod) -> Self {
        self.scope.method = Some(method);
        self
    }

    /// False while the server has left the last try of a call without an answer.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.inner.outages.is_answering()
    }

    /// Ends once [`Session::is_answering`] is false.
    pub async fn is_silent(&self) {
        while self.is_answering() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// `scheme://host:port` of the API server, for messages.
    pub fn server(&self) -> &str {
        &self.inner.server
    }

    /// Logs in unless that is done, and tells what the token says of server and user.
    pub async fn claims(&self) -> Result<Claims, ApiError> {
        let token = self.limited("auth.login", None, self.token(None)).await?;
        Ok(token.claims.clone())
    }

    /// The current token, for a child process that gets it as `CLEARML_AUTH_TOKEN`.
    pub async fn bearer_token(&self) -> Result<SecretString, ApiError> {
        let token = self.limited("auth.login", None, self.token(None)).await?;
        Ok(token.bearer.clone())
    }

    /// True where the server has at least this API version; logs in to know it.
    pub async fn has_version(&self, version: ApiVersion) -> Result<bool, ApiError> {
        Ok(self.claims().await?.api_version >= version)
    }

    /// A call with a JSON object as its arguments.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        arguments: &impl Serialize,
    ) -> Result<T, ApiError> {
        let body = serde_json::to_vec(arguments).map_err(|error| ApiError::Malformed {
            call: endpoint.name,
            status: 0,
            reason: format!("the request cannot be written: {error}"),
        })?;
        self.exchange(endpoint, &Body::Json(body.into())).await
    }

    /// A call without arguments.
    pub(super) async fn call_bare<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
    ) -> Result<T, ApiError> {
        self.exchange(endpoint, &Body::None).await
    }

    /// A call with prepared JSON lines.
    pub(super) async fn call_lines<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        lines: Bytes,
    ) -> Result<T, ApiError> {
        self.exchange(endpoint, &Body::Lines(lines)).await
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        body: &Body,
    ) -> Result<T, ApiError> {
        let sent = AtomicBool::new(false);
        let work = self.until_answered(endpoint, body, &sent);
        let data = self.limited(endpoint.name, Some(&sent), work).await?;
        serde_json::from_value(data).map_err(|error| ApiError::Malformed {
            call: endpoint.name,
            status: 200,
            reason: error.to_string(),
        })
    }

    /// Ends `work` at the deadline or when cancelled. `sent` tells whether the server may have acted then.
    async fn limited<T>(
        &self,
        call: &'static str,
        sent: Option<&AtomicBool>,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let interrupted = |cause| ApiError::Interrupted {
            call,
            cause,
            delivery: if sent.is_some_and(|sent| sent.load(Ordering::Relaxed)) {
                Delivery::Unknown
            } else {
                Delivery::NotSent
            },
        };
        let in_time = async {
            match self.scope.deadline {
                None => work.await,
                Some(limit) => match tokio::time::timeout(limit, work).await {
                    Ok(result) => result,
                    Err(_) => Err(interrupted(Interruption::Deadline(limit))),
                },
            }
        };
        match self.scope.cancel.run_until_cancelled(in_time).await {
            Some(result) => result,
            None => Err(interrupted(Interruption::Cancelled)),
        }
    }

    async fn until_answered(
        &self,
        endpoint: &Endpoint,
        body: &Body,
        sent: &AtomicBool,
    ) -> Result<Value, ApiError> {
        let options = &self.inner.options;
        let http = self.http()?;
        let retry = self.scope.retry.unwrap_or(endpoint.retry);
        let mut tries = Tries::new(&options.retries, Phase::Established);
        let mut refused: Option<Arc<Token>> = None;
        loop {
            let token = self.token(refused.as_ref()).await?;
            let newest = token
                .claims
                .states_version
                .then_some(token.claims.api_version);
            let request = Request {
                call: endpoint.name,
                method: endpoint
                    .method
                    .or(self.scope.method)
                    .unwrap_or(options.default_method),
                path: &endpoint.path(newest),
                authorization: &bearer(&token.bearer),
                extra: None,
                body,
            };
            let sent_before = sent.swap(true, Ordering::Relaxed);
            let result = match http.send(&request, Phase::Established).await {
                Ok(answer) => answer.data(endpoint.name),
                Err(error) => Err(error),
            };
            match &result {
                // the server has done nothing, so any call may be repeated, once.
                Err(error) if error.is_unauthorized() && refused.is_none() => {
                    sent.store(sent_before, Ordering::Relaxed);
                    refused = Some(token);
                    continue;
                }
                Err(error) if error.delivery() == Some(Delivery::NotSent) => {
                    sent.store(sent_before, Ordering::Relaxed);
                }
                _ => {}
            }
            if let Some(result) = self.judge(endpoint.name, result, &mut tries, retry).await {
                return result;
            }
            // Time has passed: the next token that is refused may have been good before.
            refused = None;
        }
    }

    /// The result where it is final; none after the wait before the next try.
    pub(super) async fn judge<T>(
        &self,
        call: &'static str,
        result: Result<T, ApiError>,
        tries: &mut Tries<'_>,
        retry: Retry,
    ) -> Option<Result<T, ApiError>> {
        let error = match result {
            Err(error) if error.is_transient() => error,
            answered => {
                self.inner.outages.answered();
                return Some(answered);
            }
        };
        // While starting, every try has a line of its own.
        if self.phase() == Phase::Established {
            self.inner.outages.failed(tries.retries() + 1, &error);
        }
        let random = self
            .inner
            .random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .f64();
        let Some(wait) = tries.next(&error, retry, random) else {
            return Some(Err(error));
        };
        self.inner.outages.tell(&SessionEvent::Retrying {
            call,
            retry: tries.retries(),
            wait,
            error: &error,
            starting: self.phase() == Phase::Starting,
        });
        tokio::time::sleep(wait).await;
        None
    }

    pub(super) fn http(&self) -> Result<&Http, ConfigurationError> {
        self.inner
            .http
            .get_or_init(|| Http::new(&self.inner.options, self.inner.server.clone()))
            .as_ref()
            .map_err(Clone::clone)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("server", &self.inner.server)
            .finish_non_exhaustive()
    }
}
