//! Everything a session needs to know, resolved by the caller.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::outage::Listener;
use super::proxy::ProxySettings;
use super::retry::RetryPolicy;
use super::token::ApiVersion;
use super::trust::Trust;
use crate::secrets::SecretString;

/// With what the session logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Basic authentication.
    Keys {
        /// `api.credentials.access_key`.
        access_key: String,
        /// `api.credentials.secret_key`.
        secret_key: SecretString,
    },
    /// `CLEARML_AUTH_TOKEN`: a token that is exchanged for a fresh one.
    Token(SecretString),
}

/// Where keys may be found that have replaced those which the server refuses; asked each time, the best first.
#[derive(Clone)]
pub struct Renewal(Arc<dyn Fn() -> Vec<Credentials> + Send + Sync>);

impl Renewal {
    /// Asks `read`.
    pub fn new(read: impl Fn() -> Vec<Credentials> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(super) fn read(&self) -> Vec<Credentials> {
        (self.0)()
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewal")
    }
}

/// The method of ordinary calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpMethod {
    /// GET with a JSON body.
    #[default]
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
}

impl std::str::FromStr for HttpMethod {
    type Err = UnknownMethod;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "get" => Ok(Self::Get),
            "post" => Ok(Self::Post),
            "put" => Ok(Self::Put),
            _ => Err(UnknownMethod),
        }
    }
}

/// A method that is none of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the method must be 'get', 'post' or 'put' (any case is allowed)")]
pub struct UnknownMethod;

/// How long one try may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To connect, until the first login succeeded.
    pub first_connect: Duration,
    /// To answer, until the first login succeeded.
    pub first_read: Duration,
    /// To connect.
    pub connect: Duration,
    /// To answer; large bodies get more, as their size needs.
    pub read: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_connect: Duration::from_secs(3),
            first_read: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            read: Duration::from_secs(30),
        }
    }
}

/// The session's settings; [`SessionOptions::new`] gives the defaults of the reference.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// `api.api_server`, with the path that the server may have of its own.
    pub api_server: Url,
    /// With what to log in.
    pub credentials: Credentials,
    /// Others to try where these are refused; none: these are all.
    pub renewal: Option<Renewal>,
    /// Which certificates to trust.
    pub trust: Trust,
    /// Through which proxies to go.
    pub proxies: ProxySettings,
    /// The agent's version, for `X-ClearML-Agent: api-<version>` and `User-Agent`.
    pub agent_version: String,
    /// The machine's host name, for `X-ClearML-Worker`.
    pub host_name: String,
    /// `api.http.default_method`.
    pub default_method: HttpMethod,
    /// How long one try may take.
    pub timeouts: Timeouts,
    /// How often and when to try again.
    pub retries: RetryPolicy,
    /// `api.auth.token_expiration_threshold_sec`.
    pub token_threshold: Duration,
    /// `api.auth.request_token_expiration_sec`.
    pub token_lifetime: Option<Duration>,
    /// `CLEARML_AGENT_FORCE_MAX_API_VERSION`: treat a newer server as this one.
    pub version_limit: Option<ApiVersion>,
    /// How many idle connections to keep (`api.http.pool_maxsize`, A-018).
    pub idle_connections: usize,
    /// Hears of retries and outages.
    pub listener: Option<Listener>,
    /// Makes the waits repeatable; none: seeded by the system.
    pub random_seed: Option<u64>,
}

impl SessionOptions {
    /// The reference's defaults for everything else.
    pub fn new(
        api_server: Url,
        credentials: Credentials,
        agent_version: impl Into<String>,
        host_name: impl Into<String>,
    ) -> Self {
        Self {
            api_server,
            credentials,
            renewal: None,
            trust: Trust::default(),
            proxies: ProxySettings::default(),
            agent_version: agent_version.into(),
            host_name: host_name.into(),
            default_method: HttpMethod::Get,
            timeouts: Timeouts::default(),
            retries: RetryPolicy::default(),
            token_threshold: Duration::from_hours(12),
            token_lifetime: None,
            version_limit: None,
            idle_connections: 512,
            listener: None,
            random_seed: None,
        }
    }
}
