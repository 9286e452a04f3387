//! One try of one request: the HTTP clients, the headers, the time limits.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use reqwest::{Client, Method, redirect};
use url::Url;

use super::classify::connection_error;
use super::envelope::{Answer, retry_after};
use super::error::{ApiError, ConfigurationError};
use super::options::{Credentials, HttpMethod, SessionOptions, Timeouts};
use super::retry::Phase;
use super::trust::install_provider;
use crate::secrets::SecretString;

/// Shorter than what servers and load balancers keep, so that a reused connection is a living one.
const IDLE_CONNECTION: Duration = Duration::from_secs(50);

/// As many redirects are followed.
const REDIRECTS: usize = 30;

/// A body is given this much more time for each second of the time limit.
const SLOWEST_BYTES_PER_SECOND: usize = 32 * 1024;

/// Bytes of an answer, unpacked; a server keeps no task of a quarter of it.
const LONGEST_ANSWER: usize = 64 << 20;

/// What goes into a request.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// No body and no content type.
    None,
    /// A JSON object.
    Json(Bytes),
    /// One JSON object a line.
    Lines(Bytes),
}

/// One request, ready to be sent any number of times.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) call: &'static str,
    pub(super) method: HttpMethod,
    /// Below the host's own path, with the query.
    pub(super) path: &'a str,
    pub(super) authorization: &'a HeaderValue,
    /// A header of this request alone.
    pub(super) extra: Option<(&'static str, &'a str)>,
    pub(super) body: &'a Body,
}

/// The HTTP clients of a session.
#[derive(Debug)]
pub(super) struct Http {
    /// Until the first login succeeded: with its own, shorter time-outs.
    starting: Client,
    established: Client,
    timeouts: Timeouts,
    /// Without a slash at its end.
    base: String,
    server: Arc<str>,
}

impl Http {
    pub(super) fn new(
        options: &SessionOptions,
        server: Arc<str>,
    ) -> Result<Self, ConfigurationError> {
        install_provider();
        let url = &options.api_server;
        let tls = options.trust.client_config(url.scheme() == "https")?;
        let headers = headers(options)?;
        let proxies = options.proxies.proxies(url)?;
        let client = |connect: Duration, idle: usize| {
            let mut builder = Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .http1_only()
                .default_headers(headers.clone())
                .connect_timeout(connect)
                .pool_idle_timeout(IDLE_CONNECTION)
                .pool_max_idle_per_host(idle)
                .redirect(redirect::Policy::limited(REDIRECTS))
                .referer(false)
                .no_proxy();
            for proxy in &proxies {
                builder = builder.proxy(proxy.clone());
            }
            builder
                .build()
                .map_err(|error| ConfigurationError::Client(error.to_string()))
        };
        Ok(Self {
            starting: client(options.timeouts.first_connect, 0)?,
            established: client(options.timeouts.connect, options.idle_connections)?,
            timeouts: options.timeouts,
            base: base_of(url),
            server,
        })
    }

    /// Sends the request once and reads the whole answer.
    pub(super) async fn send(
        &self,
        request: &Request<'_>,
        phase: Phase,
    ) -> Result<Answer, ApiError> {
        let (client, connect, read) = match phase {
            Phase::Starting => (
                &self.starting,
                self.timeouts.first_connect,
                self.timeouts.first_read,
            ),
            Phase::Established => (&self.established, self.timeouts.connect, self.timeouts.read),
        };
        let method = match request.method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Post => Method::POST,
            HttpMethod::Put => Method::PUT,
        };
        let (content_type, bytes) = match request.body {
            Body::None => (None, Bytes::new()),
            Body::Json(bytes) => (Some("application/json"), bytes.clone()),
            Body::Lines(bytes) => (Some("application/json-lines"), bytes.clone()),
        };
        let transfer = Duration::from_secs((bytes.len() / SLOWEST_BYTES_PER_SECOND) as u64);
        let mut builder = client
            .request(method.clone(), format!("{}/{}", self.base, request.path))
            .header(AUTHORIZATION, request.authorization.clone())
            .timeout(connect + read + transfer);
        if let Some((name, value)) = request.extra {
            builder = builder.header(name, value);
        }
        if let Some(content_type) = content_type {
            builder = builder.header(CONTENT_TYPE, content_type).body(bytes);
        }
        let failed = |error| connection_error(request.call, &self.server, error);
        let mut response = builder.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let wait = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after(wait.and_then(|value| value.to_str().ok()));
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > LONGEST_ANSWER {
                return Err(ApiError::TooLong {
                    call: request.call,
                    limit: LONGEST_ANSWER,
                });
            }
            body.extend_from_slice(&piece);
        }
        tracing::debug!("{method} {}/{} {status}", self.server, request.path);
        Ok(Answer {
            status,
            retry_after,
            body,
        })
    }
}

/// `scheme://host:port` of the address, checked for being one.
pub(super) fn server_of(url: &Url) -> Result<Arc<str>, ConfigurationError> {
    let invalid = |reason: &str| ConfigurationError::Server {
        url: format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default()),
        reason: reason.to_owned(),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("it must begin with `http://` or `https://`"));
    }
    let host = url.host_str().ok_or_else(|| invalid("it has no host"))?;
    let port = url.port().map(|port| format!(":{port}"));
    Ok(format!("{}://{host}{}", url.scheme(), port.unwrap_or_default()).into())
}

/// The address without what would send something else than the session's own login.
fn base_of(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Both only fail for addresses without a host, which `server_of` refused.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.as_str().trim_end_matches('/').to_owned()
}

///
fn headers(options: &SessionOptions) -> Result<HeaderMap, ConfigurationError> {
    let value = |text: String| {
        HeaderValue::from_bytes(text.as_bytes())
            .map_err(|_| ConfigurationError::Client(format!("`{text}` cannot stand in a header")))
    };
    let worker = value(options.host_name.clone())?;
    let agent = value(format!("api-{}", options.agent_version))?;
    let mut headers = HeaderMap::new();
    headers.insert(
        USER_AGENT,
        value(format!("clearml-agent/{}", options.agent_version))?,
    );
    for name in ["x-clearml-worker", "x-trains-worker"] {
        headers.insert(HeaderName::from_static(name), worker.clone());
    }
    for name in ["x-clearml-agent", "x-trains-agent"] {
        headers.insert(HeaderName::from_static(name), agent.clone());
    }
    Ok(headers)
}

/// `Bearer <token>`.
pub(super) fn bearer(token: &SecretString) -> HeaderValue {
    sensitive(&format!("Bearer {}", token.expose()))
}

/// What a login shows.
pub(super) fn login_authorization(credentials: &Credentials) -> HeaderValue {
    match credentials {
        Credentials::Keys {
            access_key,
            secret_key,
        } => {
            let pair = format!("{access_key}:{}", secret_key.expose());
            // Registered, so that no dump of headers shows it either.
            let encoded = SecretString::new(BASE64_STANDARD.encode(pair));
            sensitive(&format!("Basic {}", encoded.expose()))
        }
        Credentials::Token(token) => bearer(token),
    }
}

/// Text that cannot stand in a header gives an empty one, which the server refuses with 401.
fn sensitive(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}
