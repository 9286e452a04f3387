//! Logs in with the new keys and says, where that fails, what a person has to mend (F-141).

use std::time::{Duration, SystemTime};

use super::hosts::Address;
use super::{Failed, Keys};
use crate::api::{
    ApiError, Claims, ConnectionFault, Credentials, RetryPolicy, Session, SessionOptions, TlsFault,
};
use crate::commands::connect::{Patience, session_options};
use crate::secrets::SecretString;
use crate::settings::hocon::{Kind, Source, Value};
use crate::settings::{Settings, env_vars};

/// Why the keys could not be verified, and what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::commands) struct Cause {
    pub(in crate::commands) text: String,
    pub(in crate::commands) hint: String,
}

/// The keys open the server.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Verified {
    /// What will make trouble all the same.
    pub(super) warning: Option<String>,
}

/// Retries of the login (F-141).
const RETRIES: u32 = 2;

/// How long another address has to prove itself as the API server.
const PROBE: Duration = Duration::from_secs(3);

/// Clocks that differ by more than this are worth a word.
const TOLERATED_CLOCK: Duration = Duration::from_mins(5);

impl Cause {
    fn new(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hint: hint.into(),
        }
    }

    fn of_settings(failed: &Failed) -> Self {
        let hint = failed.hint.as_deref();
        Self::new(failed.text(), hint.unwrap_or("check the configuration"))
    }
}

/// Opens a session with these keys alone, whatever the variables of the environment say.
pub(super) async fn verify(
    settings: &Settings,
    api_host: &str,
    keys: &Keys,
) -> Result<Verified, Cause> {
    for (key, name) in [
        (&*keys.access_key, "access key"),
        (keys.secret_key.expose(), "secret"),
    ] {
        if key.trim().is_empty() {
            return Err(Cause::new(format!("the {name} is empty"), NEW_KEYS));
        }
    }
    let options =
        options(settings, api_host, keys).map_err(|failed| Cause::of_settings(&failed))?;
    let failed = async |error: ApiError| {
        let advice = |likely: &str| {
            format!("{likely} answers as a ClearML API server: start again and give it as API Host")
        };
        cause(settings, api_host, &error, advice).await
    };
    let session = match Session::new(options) {
        Ok(session) => session,
        Err(error) => return Err(failed(error.into()).await),
    };
    match session.claims().await {
        Ok(claims) => Ok(Verified {
            warning: clock_warning(&claims, SystemTime::now()),
        }),
        Err(error) => Err(failed(error).await),
    }
}

/// What `error` means, and what to do; `advice` is given where another address answers as the API server.
pub(in crate::commands) async fn cause(
    settings: &Settings,
    api_host: &str,
    error: &ApiError,
    advice: impl Fn(&str) -> String,
) -> Cause {
    let likely = likely_api(settings, api_host, error).await;
    let advice = likely.as_deref().map(advice);
    explain(error, api_host, advice.as_deref())
}

fn options(settings: &Settings, api_host: &str, keys: &Keys) -> Result<SessionOptions, Failed> {
    let text = |text: &str| Value::new(Kind::Text(text.to_owned()), Source::Text.into());
    let entered = settings
        .with("api.api_server", text(api_host))
        .with("api.credentials.access_key", text(&keys.access_key))
        .with("api.credentials.secret_key", text(keys.secret_key.expose()));
    let environment = settings.environment().without(&env_vars::AUTH_TOKEN);
    let mut options = session_options(&entered.api()?, &environment, Patience::Short)?;
    options.credentials = Credentials::Keys {
        access_key: keys.access_key.clone(),
        secret_key: keys.secret_key.clone(),
    };
    let limit = Some(RETRIES);
    options.retries = RetryPolicy {
        total: limit,
        connect: limit,
        read: limit,
        status: limit,
        first_connect: limit,
        wait_on_maintenance: false,
        ..options.retries
    };
    Ok(options)
}

const NEW_KEYS: &str =
    "create new credentials on the web page under Settings, Workspace, and copy both keys whole";

/// What `error` means for the person who typed this address.
fn explain(error: &ApiError, api_host: &str, advice: Option<&str>) -> Cause {
    let address_hint = |otherwise: &str| advice.unwrap_or(otherwise).to_owned();
    if let Some(fault) = error.tls_fault() {
        return explain_tls(fault, api_host, error, &address_hint);
    }
    match error {
        ApiError::Unauthorized(refusal) => Cause::new(
            format!("the server at {api_host} does not accept these keys ({refusal})"),
            NEW_KEYS,
        ),
        ApiError::Connection { fault, reason, .. } => match fault {
            ConnectionFault::Dns => Cause::new(
                format!("the host name of {api_host} is not known (DNS)"),
                "check the spelling, and that this machine can look names up",
            ),
            ConnectionFault::Refused => Cause::new(
                format!("nothing listens at {api_host} (connection refused)"),
                address_hint(
                    "check address and port (the API server mostly listens on 8008), and that the server runs",
                ),
            ),
            ConnectionFault::Timeout => Cause::new(
                format!("no answer from {api_host} in time"),
                address_hint(
                    "check the network, firewalls, and the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
                ),
            ),
            other => Cause::new(
                format!("{api_host}: {other}: {reason}"),
                address_hint(
                    "check the address (http or https?) and the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
                ),
            ),
        },
        ApiError::Server { status, .. } => Cause::new(
            format!("{api_host} answers with HTTP {status}"),
            address_hint("the server, or a proxy before it, is not well: try again later"),
        ),
        ApiError::Malformed { .. } | ApiError::TooLong { .. } | ApiError::Refused(_) => Cause::new(
            format!(
                "{api_host} is not a ClearML API server: it answers as something else ({error})"
            ),
            address_hint(
                "the API server mostly listens on port 8008, the web page on 8080, the file store on 8081",
            ),
        ),
        other => Cause::new(
            other.to_string(),
            other
                .hint()
                .unwrap_or("check the address of the API server"),
        ),
    }
}

fn explain_tls(
    fault: TlsFault,
    api_host: &str,
    error: &ApiError,
    address_hint: &impl Fn(&str) -> String,
) -> Cause {
    match fault {
        TlsFault::PlainText => Cause::new(
            format!("the server at {api_host} does not speak TLS"),
            address_hint("write http:// in place of https://"),
        ),
        TlsFault::Clock => Cause::new(
            format!(
                "the certificate of {api_host} is not valid now; this machine's clock says {}",
                httpdate::fmt_http_date(SystemTime::now())
            ),
            "set the clock if it is wrong; else the certificate has to be renewed",
        ),
        TlsFault::UnknownIssuer => Cause::new(
            format!("the certificate of {api_host} is signed by nobody whom this machine trusts"),
            "name the file with your authority's certificate in the variable REQUESTS_CA_BUNDLE, and later in `api.verify_certificate`",
        ),
        TlsFault::OtherName => Cause::new(
            format!("the certificate of {api_host} is another host's"),
            "give the name that is in the certificate",
        ),
        TlsFault::Other => Cause::new(
            error.to_string(),
            "look at the server's certificate and TLS settings",
        ),
    }
}

/// The first of the likely addresses that answers as an API server, where this one does not.
async fn likely_api(settings: &Settings, api_host: &str, error: &ApiError) -> Option<String> {
    let elsewhere = match error {
        ApiError::Unauthorized(_) | ApiError::Configuration(_) => false,
        ApiError::Connection { fault, .. } => *fault != ConnectionFault::Dns,
        _ => true,
    };
    if !elsewhere {
        return None;
    }
    for address in Address::parse(api_host).ok()?.likely_api() {
        let address = address.to_string();
        if is_api(settings, &address).await {
            return Some(address);
        }
    }
    None
}

/// Whether an API server answers there; the keys are not shown to it.
async fn is_api(settings: &Settings, address: &str) -> bool {
    let nobody = Keys {
        access_key: "clearml-agent-init".to_owned(),
        secret_key: SecretString::new("-"),
    };
    let Ok(mut options) = options(settings, address, &nobody) else {
        return false;
    };
    options.retries.total = Some(0);
    let Ok(session) = Session::new(options) else {
        return false;
    };
    let answer = session.with_deadline(PROBE).claims().await;
    match answer {
        Ok(_) => true,
        // Only the API has codes of its own.
        Err(error) => error.refusal().is_some_and(|refusal| refusal.subcode != 0),
    }
}

/// Tokens and certificates have dates: a clock that is far off makes trouble later.
pub(in crate::commands) fn clock_warning(claims: &Claims, now: SystemTime) -> Option<String> {
    let issued = claims.issued?;
    let (apart, direction) = match now.duration_since(issued) {
        Ok(apart) => (apart, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    (apart > TOLERATED_CLOCK).then(|| {
        format!(
            "this machine's clock is {} minutes {direction} the server's; set it, or tokens may be refused",
            apart.as_secs() / 60
        )
    })
}

#[cfg(test)]
mod tests;
