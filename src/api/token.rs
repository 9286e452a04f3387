//! The token that a login gives: what it says of the server, and when to get a new one.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use tokio::time::Instant;

use super::lenient;
use crate::secrets::SecretString;

/// A version of the API, `<major>.<minor>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// The part before the dot.
    pub major: u16,
    /// The part after the dot.
    pub minor: u16,
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an API version like 2.14")]
pub struct InvalidVersion;

impl FromStr for ApiVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.trim().split('.');
        let mut number = || parts.next().map(str::parse);
        let major = number().ok_or(InvalidVersion)?;
        let minor = number().unwrap_or(Ok(0));
        Ok(Self {
            major: major.map_err(|_| InvalidVersion)?,
            minor: minor.map_err(|_| InvalidVersion)?,
        })
    }
}

/// What the token says; it is read, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The server's API version, after `version_limit` was applied.
    pub api_version: ApiVersion,
    /// True where the token named the version; else it is the reference's guess.
    pub(super) states_version: bool,
    /// `basic` for the open-source server.
    pub feature_set: String,
    /// The server's own version.
    pub server_version: String,
    /// The user that the credentials belong to.
    pub user: String,
    /// The user's role, for instance `user`, `admin`.
    pub role: String,
    /// The company.
    pub company: String,
    /// The tenant that the token acts in; none from servers that know no tenants.
    pub tenant: Option<String>,
    /// The kind of service account; 0 for a person.
    pub service_account: u64,
    /// When the token was made, by the server's clock.
    pub issued: Option<SystemTime>,
    lifetime: Option<Duration>,
}

#[derive(Deserialize)]
struct RawClaims {
    exp: Option<f64>,
    iat: Option<f64>,
    #[serde(default, deserialize_with = "lenient::text")]
    api_version: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    server_version: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    feature_set: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    env: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    tenant: Option<String>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    identity: RawIdentity,
}

#[derive(Default, Deserialize)]
struct RawIdentity {
    #[serde(default, deserialize_with = "lenient::text")]
    user: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    role: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    company: Option<String>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    service_account_type: Option<u64>,
}

impl Claims {
    /// Reads a JWT's payload; none where the text is no JWT.
    pub(super) fn read(token: &str, limit: Option<ApiVersion>) -> Option<Self> {
        let mut segments = token.split('.');
        let (Some(_), Some(payload), Some(_)) = (segments.next(), segments.next(), segments.next())
        else {
            return None;
        };
        let json = BASE64_URL_SAFE_NO_PAD
            .decode(payload.trim_end_matches('='))
            .ok()?;
        let raw: RawClaims = serde_json::from_slice(&json).ok()?;
        let stated = raw.api_version.and_then(|text| text.parse().ok());
        let guess = ApiVersion {
            major: 2,
            minor: if raw.env.as_deref() == Some("prod") {
                2
            } else {
                1
            },
        };
        let version: ApiVersion = stated.unwrap_or(guess);
        let now = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64())
        };
        let lifetime = raw.exp.map(|end| {
            let seconds = end - raw.iat.unwrap_or_else(now);
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
        });
        Some(Self {
            api_version: limit.map_or(version, |limit| version.min(limit)),
            states_version: stated.is_some(),
            feature_set: raw.feature_set.unwrap_or_else(|| "basic".to_owned()),
            server_version: raw.server_version.unwrap_or_else(|| "1.0.0".to_owned()),
            user: raw.identity.user.unwrap_or_default(),
            role: raw.identity.role.unwrap_or_default(),
            company: raw.identity.company.unwrap_or_default(),
            tenant: raw.tenant,
            service_account: raw.identity.service_account_type.unwrap_or_default(),
            issued: raw.iat.and_then(|seconds| {
                UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
            }),
            lifetime,
        })
    }

    /// True for a server that has more than the open-source one.
    pub fn is_enterprise(&self) -> bool {
        self.feature_set != "basic"
    }
}

/// A token in use.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) bearer: SecretString,
    pub(super) claims: Claims,
    obtained: Instant,
}

/// What to do about a token before a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Use it.
    Fresh,
    /// Get a new one; this one still works if that fails.
    Aging,
    /// Get a new one.
    Expired,
}

impl Token {
    /// A token that was just given out.
    pub(super) fn new(bearer: SecretString, claims: Claims) -> Self {
        Self {
            bearer,
            claims,
            obtained: Instant::now(),
        }
    }

    /// A-061, with half the life time as the limit, so that short-lived tokens are used at all.
    ///
    /// Counts from when the token was received: the machine's and the server's clocks need not agree.
    pub(super) fn freshness(&self, threshold: Duration) -> Freshness {
        let Some(lifetime) = self.claims.lifetime else {
            return Freshness::Fresh;
        };
        let left = lifetime.saturating_sub(self.obtained.elapsed());
        if left.is_zero() {
            Freshness::Expired
        } else if left <= threshold.min(lifetime / 2) {
            Freshness::Aging
        } else {
            Freshness::Fresh
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn jwt(claims: &Value) -> String {
        let encode = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.sig", encode("{}".into()), encode(claims.to_string()))
    }

    ///
    #[test]
    fn claims_of_the_open_source_server_are_read() {
        let token = jwt(&json!({
            "identity": {"user": "u1", "company": "c1", "role": "user"}, "env": "<unknown>",
            "exp": 1_797_816_000, "iat": 1_795_224_000,
            "api_version": "2.34", "server_version": "2.3.0", "feature_set": "basic"
        }));
        let claims = Claims::read(&token, None).unwrap();
        assert_eq!(claims.api_version.to_string(), "2.34");
        assert_eq!((claims.user.as_str(), claims.role.as_str()), ("u1", "user"));
        assert!(!claims.is_enterprise());
        let issued = claims.issued.unwrap().duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(issued.as_secs(), 1_795_224_000);
        let limited = Claims::read(&token, "2.13".parse().ok()).unwrap();
        assert_eq!(limited.api_version.to_string(), "2.13");
    }

    ///
    #[test]
    fn missing_claims_have_the_references_values() {
        let claims = Claims::read(&jwt(&json!({})), None).unwrap();
        assert_eq!(claims.api_version.to_string(), "2.1");
        assert_eq!(claims.feature_set, "basic");
        let prod = Claims::read(&jwt(&json!({"env": "prod"})), None).unwrap();
        assert_eq!(prod.api_version.to_string(), "2.2");
        for text in ["", "x", "a.b", "a.!.c", "a.e30"] {
            assert_eq!(Claims::read(text, None), None, "{text}");
        }
    }

    ///
    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_its_end() {
        let threshold = Duration::from_hours(12);
        let token = |lifetime: u64| {
            let claims = json!({"iat": 1_000_000, "exp": 1_000_000 + lifetime});
            let claims = Claims::read(&jwt(&claims), None).unwrap();
            Token::new(SecretString::new("t"), claims)
        };
        let (month, minute) = (token(30 * 86_400), token(60));
        assert_eq!(minute.freshness(threshold), Freshness::Fresh);
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(minute.freshness(threshold), Freshness::Aging);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(minute.freshness(threshold), Freshness::Expired);
        assert_eq!(month.freshness(threshold), Freshness::Fresh);
        tokio::time::advance(Duration::from_hours(30 * 24 - 12)).await;
        assert_eq!(month.freshness(threshold), Freshness::Aging);
    }
}
