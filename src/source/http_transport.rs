//! git's protocol by HTTP for libgit2: requests for the list of references, and one for each step of a fetch.
//!
//! A password is sent when the server asks for one, once, and to its own server alone, wherever redirects lead.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use url::Url;

use super::GitUrl;
use super::error::FetchFailure;
use super::transport::{Patience, as_git_error};

const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";
const REQUEST: &str = "application/x-git-upload-pack-request";
const RESULT: &str = "application/x-git-upload-pack-result";
const QUERY: &str = "service=git-upload-pack";

/// Makes the HTTP client for a server: with the certificates and proxies of the agent, no limit on the whole transfer,
/// and a few redirects.
#[derive(Clone)]
pub struct HttpClients(Arc<MakeClient>);

type MakeClient = dyn Fn(&Url) -> Result<Client, String> + Send + Sync;

/// The way to a server by HTTP.
#[derive(Clone, Debug)]
pub(super) struct HttpRoad {
    pub(super) clients: HttpClients,
    /// Whose password it is: `scheme://host[:port]`.
    pub(super) origin: Option<String>,
    /// `Authorization`, marked as sensitive.
    pub(super) authorization: Option<HeaderValue>,
    /// It is sent before anybody asks for it (E-053).
    pub(super) is_sent_first: bool,
    pub(super) patience: Patience,
}

/// The requests of one fetch.
pub(super) struct HttpTransport {
    road: Arc<HttpRoad>,
    server: Mutex<Option<Server>>,
}

/// What the first request has taught.
#[derive(Clone)]
struct Server {
    client: Client,
    /// The repository's address, behind all redirects.
    base: String,
    authorization: Option<HeaderValue>,
}

/// A request that is being written, then its answer.
enum Exchange {
    Asking {
        road: Arc<HttpRoad>,
        server: Server,
        body: Vec<u8>,
    },
    Answering {
        road: Arc<HttpRoad>,
        response: Response,
        /// What has come and has not been read.
        rest: Bytes,
    },
    Broken,
}

impl HttpClients {
    /// Clients that `make` makes; its error is one line.
    pub fn new(make: impl Fn(&Url) -> Result<Client, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }
}

impl fmt::Debug for HttpClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClients")
    }
}

impl HttpTransport {
    pub(super) fn new(road: HttpRoad) -> Self {
        Self {
            road: Arc::new(road),
            server: Mutex::new(None),
        }
    }
}

impl SmartSubtransport for HttpTransport {
    fn action(
        &self,
        url: &str,
        action: Service,
    ) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let server = || self.server.lock().expect("nobody panics with the lock");
        match action {
            Service::UploadPackLs => {
                let (known, response) = self
                    .road
                    .advertisement(url)
                    .map_err(|error| as_git_error(&error))?;
                *server() = Some(known);
                Ok(Box::new(Exchange::Answering {
                    road: self.road.clone(),
                    response,
                    rest: Bytes::new(),
                }))
            }
            Service::UploadPack => {
                let server = server().clone();
                let server = server
                    .ok_or_else(|| git2::Error::from_str("the server was not asked first"))?;
                Ok(Box::new(Exchange::Asking {
                    road: self.road.clone(),
                    server,
                    body: Vec::new(),
                }))
            }
            Service::ReceivePackLs | Service::ReceivePack => {
                Err(git2::Error::from_str("nothing is ever pushed"))
            }
        }
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

impl HttpRoad {
    /// The list of references, asked for without a password first.
    fn advertisement(&self, url: &str) -> io::Result<(Server, Response)> {
        let failed = |words: String| self.patience.failed(FetchFailure::Other, words);
        let address = format!("{}/info/refs?{QUERY}", url.trim_end_matches('/'));
        let address = Url::parse(&address).map_err(|error| failed(error.to_string()))?;
        let client = (self.clients.0)(&address).map_err(failed)?;
        let get = |authorization: Option<&HeaderValue>| {
            let request = client.get(address.clone()).header(ACCEPT, ADVERTISEMENT);
            self.send(request, authorization)
        };
        let own = self
            .authorization
            .as_ref()
            .filter(|_| GitUrl::parse(url).origin() == self.origin);
        let mut authorization = own.filter(|_| self.is_sent_first);
        let mut response = get(authorization)?;
        if response.status() == StatusCode::UNAUTHORIZED
            && authorization.is_none()
            && own.is_some()
            && self.is_own(response.url())
        {
            authorization = own;
            response = get(authorization)?;
        }
        let response = self.accepted(response, url)?;
        if !has_type(&response, ADVERTISEMENT) {
            return Err(self.patience.failed(
                FetchFailure::DoesNotExist,
                format!("repository '{url}' not found: the answer is not that of a git server"),
            ));
        }
        let found = response.url();
        let base = found
            .as_str()
            .strip_suffix(&format!("/info/refs?{QUERY}"))
            .ok_or_else(|| failed(format!("'{url}' leads to no repository")))?;
        let server = Server {
            base: base.to_owned(),
            authorization: authorization.filter(|_| self.is_own(found)).cloned(),
            client,
        };
        Ok((server, response))
    }

    fn is_own(&self, url: &Url) -> bool {
        GitUrl::parse(url.as_str()).origin() == self.origin
    }

    fn send(
        &self,
        request: RequestBuilder,
        authorization: Option<&HeaderValue>,
    ) -> io::Result<Response> {
        let request = match authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        };
        self.patience.wait(async {
            let sent = request.send().await;
            sent.map_err(|error| self.broken(error))
        })
    }

    /// The answer, unless it is a refusal.
    fn accepted(&self, response: Response, url: &str) -> io::Result<Response> {
        let status = response.status();
        let (cause, words) = match status.as_u16() {
            200..=299 => return Ok(response),
            401 | 403 | 407 => (
                FetchFailure::AccessDenied,
                format!("Authentication failed for '{url}': the server answered {status}"),
            ),
            404 | 410 => (
                FetchFailure::DoesNotExist,
                format!("repository '{url}' not found"),
            ),
            _ => (
                FetchFailure::NoConnection,
                format!("unable to access '{url}': the server answered {status}"),
            ),
        };
        Err(self.patience.failed(cause, words))
    }

    fn broken(&self, error: reqwest::Error) -> io::Error {
        // The address is named anyway.
        let error = error.without_url();
        let mut words = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            words = error.to_string();
            source = error.source();
        }
        let cause = match FetchFailure::of_message(&words) {
            FetchFailure::Other => FetchFailure::NoConnection,
            cause => cause,
        };
        self.patience
            .failed(cause, format!("the connection failed: {words}"))
    }
}

impl Exchange {
    /// Sends what has been written, where that is still to be done.
    fn answer(&mut self) -> io::Result<()> {
        let (road, server, body) = match std::mem::replace(self, Self::Broken) {
            Self::Asking { road, server, body } => (road, server, body),
            other => {
                *self = other;
                return Ok(());
            }
        };
        let address = format!("{}/git-upload-pack", server.base);
        let request = server
            .client
            .post(&address)
            .header(CONTENT_TYPE, REQUEST)
            .header(ACCEPT, RESULT)
            .body(body);
        let response = road.send(request, server.authorization.as_ref())?;
        let response = road.accepted(response, &server.base)?;
        if !has_type(&response, RESULT) {
            let words = "the answer is not that of a git server";
            return Err(road.patience.failed(FetchFailure::Other, words));
        }
        *self = Self::Answering {
            road,
            response,
            rest: Bytes::new(),
        };
        Ok(())
    }
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Asking { body, .. } => {
                body.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            _ => Err(io::Error::other("the request has been sent already")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.answer()?;
        let Self::Answering {
            road,
            response,
            rest,
        } = self
        else {
            return Err(io::Error::other("the connection has been given up"));
        };
        while rest.is_empty() {
            let chunk = road.patience.wait(async {
                let chunk = response.chunk().await;
                chunk.map_err(|error| road.broken(error))
            })?;
            match chunk {
                Some(chunk) => *rest = chunk,
                None => return Ok(0),
            }
        }
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest.split_to(length));
        Ok(length)
    }
}

fn has_type(response: &Response, wanted: &str) -> bool {
    let given = response.headers().get(CONTENT_TYPE);
    // Proxies add parameters, which say nothing about the protocol.
    let given = given.and_then(|given| given.to_str().ok()?.split(';').next());
    given.is_some_and(|given| given.trim().eq_ignore_ascii_case(wanted))
}
