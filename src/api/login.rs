//! `auth.login`, and the one token that all calls of a session share.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::error::{ApiError, NOT_A_TOKEN};
use super::http::{Body, Request, login_authorization};
use super::options::{Credentials, Renewal};
use super::retry::{Phase, Retry, Tries};
use super::session::Session;
use super::token::{Claims, Freshness, Token};
use crate::secrets::{Registry, SecretString};

const LOGIN: Endpoint = Endpoint::new("auth.login");

/// The pause between tries to replace a token that still works.
const RENEWAL_PAUSE: Duration = Duration::from_mins(1);

/// What the session remembers of its logins.
#[derive(Debug, Default)]
pub(super) struct Kept {
    current: Option<Arc<Token>>,
    /// The one before, which may still be on its way somewhere.
    former: Option<Arc<Token>>,
    next_renewal: Option<Instant>,
}

#[derive(Deserialize)]
struct LoginData {
    #[serde(default)]
    token: String,
}

impl Session {
    /// A token for the next request: the current one, or a new one where it is old.
    ///
    /// `refused` is the token that the server has just answered 401 to. Whoever comes first logs in; the
    /// others wait for it and take its token.
    pub(super) async fn token(&self, refused: Option<&Arc<Token>>) -> Result<Arc<Token>, ApiError> {
        let mut kept = self.inner.token.lock().await;
        let usable = kept
            .current
            .as_ref()
            .filter(|token| refused.is_none_or(|refused| !Arc::ptr_eq(token, refused)));
        let retry = self.scope.retry.unwrap_or(Retry::Always);
        let token = match usable {
            None => self.log_in(kept.current.as_deref(), retry).await?,
            Some(token) => match token.freshness(self.inner.options.token_threshold) {
                Freshness::Fresh => return Ok(token.clone()),
                Freshness::Expired => self.log_in(Some(token), retry).await?,
                // The old token still works: a server that cannot give a new one now may later.
                Freshness::Aging => {
                    let current = token.clone();
                    if kept.next_renewal.is_some_and(|next| Instant::now() < next) {
                        return Ok(current);
                    }
                    let Ok(renewed) = self.log_in(Some(&current), Retry::Never).await else {
                        kept.next_renewal = Some(Instant::now() + RENEWAL_PAUSE);
                        return Ok(current);
                    };
                    renewed
                }
            },
        };
        let token = Arc::new(token);
        let current = kept.current.take();
        let oldest = std::mem::replace(&mut kept.former, current);
        *kept = Kept {
            current: Some(token.clone()),
            former: kept.former.take(),
            next_renewal: None,
        };
        let in_use = [kept.current.as_ref(), kept.former.as_ref()];
        if let Some(oldest) = oldest
            && !in_use
                .iter()
                .flatten()
                .any(|token| token.bearer.expose() == oldest.bearer.expose())
        {
            Registry::global().forget(oldest.bearer.expose());
        }
        Ok(token)
    }

    /// Logs in, with other keys where these are refused and there are others by now.
    async fn log_in(&self, old: Option<&Token>, retry: Retry) -> Result<Token, ApiError> {
        let mut refused = Vec::new();
        loop {
            let credentials = self.credentials().clone();
            let error = match self.try_to_log_in(&credentials, old, retry).await {
                Err(error) if error.is_unauthorized() => error,
                answered => {
                    if answered.is_ok() {
                        self.inner.outages.accepted();
                    }
                    return answered;
                }
            };
            refused.push(credentials);
            let renewal = self.inner.options.renewal.as_ref();
            let others = renewal.map(Renewal::read).unwrap_or_default();
            let Some(other) = others.into_iter().find(|other| !refused.contains(other)) else {
                let starting = self.phase() == Phase::Starting;
                self.inner.outages.refused(&error, starting);
                return Err(error);
            };
            *self.credentials() = other;
        }
    }

    fn credentials(&self) -> MutexGuard<'_, Credentials> {
        let credentials = self.inner.credentials.lock();
        credentials.unwrap_or_else(PoisonError::into_inner)
    }

    async fn try_to_log_in(
        &self,
        credentials: &Credentials,
        old: Option<&Token>,
        retry: Retry,
    ) -> Result<Token, ApiError> {
        let options = &self.inner.options;
        let authorization = match (credentials, old) {
            (Credentials::Token(token), None) => {
                Claims::read(token.expose(), None).ok_or_else(|| malformed(NOT_A_TOKEN))?;
                login_authorization(credentials)
            }
            (Credentials::Token(_), Some(old)) => super::http::bearer(&old.bearer),
            (Credentials::Keys { .. }, _) => login_authorization(credentials),
        };
        let path = match options.token_lifetime {
            Some(lifetime) => format!("{}?expiration_sec={}", LOGIN.name, lifetime.as_secs()),
            None => LOGIN.name.to_owned(),
        };
        let request = Request {
            call: LOGIN.name,
            method: options.default_method,
            path: &path,
            authorization: &authorization,
            extra: None,
            body: &Body::None,
        };
        let token = self.ask_for_token(&request, retry).await?;
        self.inner.established.store(true, Ordering::Relaxed);
        Ok(token)
    }

    /// Sends a login until it is answered.
    pub(super) async fn ask_for_token(
        &self,
        request: &Request<'_>,
        retry: Retry,
    ) -> Result<Token, ApiError> {
        let options = &self.inner.options;
        let http = self.http()?;
        let phase = self.phase();
        let mut tries = Tries::new(&options.retries, phase);
        let data = loop {
            let result = match http.send(request, phase).await {
                Ok(answer) => answer.data(LOGIN.name),
                Err(error) => Err(error),
            };
            if let Some(result) = self.judge(LOGIN.name, result, &mut tries, retry).await {
                break result?;
            }
        };
        let token = read_token(data)?;
        let claims = Claims::read(token.expose(), options.version_limit)
            .ok_or_else(|| malformed(NOT_A_TOKEN))?;
        Ok(Token::new(token, claims))
    }

    /// Before or after the first login.
    pub(super) fn phase(&self) -> Phase {
        if self.inner.established.load(Ordering::Relaxed) {
            Phase::Established
        } else {
            Phase::Starting
        }
    }
}

fn read_token(data: Value) -> Result<SecretString, ApiError> {
    let token = serde_json::from_value::<LoginData>(data).map(|data| data.token);
    match token {
        Ok(token) if !token.is_empty() => Ok(SecretString::new(token)),
        _ => Err(malformed("no token in the answer")),
    }
}

fn malformed(reason: &str) -> ApiError {
    ApiError::Malformed {
        call: LOGIN.name,
        status: 200,
        reason: reason.to_owned(),
    }
}
