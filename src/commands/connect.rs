//! From the settings to a session with the server.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Failed, renewal, sections, vaults};
use crate::REFERENCE_VERSION;
use crate::api::{
    ApiError, CertificateCheck, Credentials, HttpMethod, Listener, ProxySettings, Renewal,
    RetryPolicy, Session, SessionEvent, SessionOptions, Trust,
};
use crate::settings::{self, ApiSettings, Environment, InitialConnect, Settings, env_vars};
use crate::ui::Printer;

/// How long a command waits for a server that has never answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Patience {
    /// A person waits: a wrong address is to show soon.
    Short,
    /// A task is wanted, whenever the server comes: as for every other call.
    Long,
    /// A task has begun: for ever.
    Endless,
}

/// A session that has not connected yet.
pub(super) fn session(
    settings: &Settings,
    patience: Patience,
    printer: Printer,
) -> Result<Session, Failed> {
    renewed_session(settings, renewal::of(settings), patience, printer)
}

/// The same with keys that are looked for elsewhere when those of `settings` are refused.
pub(super) fn renewed_session(
    settings: &Settings,
    renewal: Renewal,
    patience: Patience,
    printer: Printer,
) -> Result<Session, Failed> {
    let api = settings.api()?;
    for notice in &api.notices {
        printer.line(notice);
    }
    let mut options = session_options(&api, settings.environment(), patience)?;
    options.renewal = Some(renewal);
    options.listener = Some(Listener::new(move |event| {
        announce(event, patience, printer);
    }));
    Ok(Session::new(options)?)
}

/// The same for a command whose output is for programs: what there is to say goes to the log.
pub(super) fn silent_session(
    settings: &Settings,
    renewal: Option<Renewal>,
    patience: Patience,
) -> Result<Session, Failed> {
    let mut options = session_options(&settings.api()?, settings.environment(), patience)?;
    options.renewal = renewal;
    options.listener = Some(Listener::new(|event| {
        if let SessionEvent::Retrying { retry, error, .. } = event {
            tracing::warn!("Retrying ({retry}): {error}");
        }
    }));
    Ok(Session::new(options)?)
}

/// What a session needs to know, without anybody who listens to it.
pub(super) fn session_options(
    api: &ApiSettings,
    environment: &Environment,
    patience: Patience,
) -> Result<SessionOptions, Failed> {
    let variable = |name: &str| environment.get(name).map(str::to_owned);
    let server = url::Url::parse(&api.host).map_err(|error| {
        Failed::message(
            format!("api.api_server `{}`: {error}", api.host),
            ADDRESS_HINT,
        )
    })?;
    let mut options = SessionOptions::new(server, credentials(api), REFERENCE_VERSION, host_name());
    options.trust = Trust::resolve(certificates(api), variable);
    if options.trust.check == CertificateCheck::Off {
        //
        tracing::warn!(
            "InsecureRequestWarning: Certificate verification is disabled! Adding certificate verification is \
             strongly advised. See: \
             https://urllib3.readthedocs.io/en/latest/advanced-usage.html#ssl-warnings"
        );
    }
    options.proxies = ProxySettings::from_variables(variable);
    options.default_method = method(api);
    options.retries = retries(api, patience);
    options.token_threshold = api.token_refresh_threshold;
    options.token_lifetime = api.requested_token_life;
    options.idle_connections = api.http.pool_size;
    options.version_limit = api
        .forced_max_version
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|error| {
            Failed::new(
                error,
                Some("`CLEARML_AGENT_FORCE_MAX_API_VERSION` is a version like 2.23"),
            )
        })?;
    Ok(options)
}

/// Why a command could not log in.
pub(super) fn login_failed(error: &ApiError, session: &Session) -> Failed {
    Failed::new(
        anyhow::Error::msg(error.startup_text(session.server())),
        error.hint(),
    )
}

/// What every command that runs tasks does first: the login, the vaults, the sections of the configuration (D-090, D-091),
/// these only where it does not just look.
pub(super) async fn begin(
    settings: Settings,
    patience: Patience,
    looks_only: bool,
    printer: Printer,
) -> Result<(Session, Settings), Failed> {
    let session = session(&settings, patience, printer)?;
    log_in(&session, &settings, printer).await?;
    let (session, settings) = vaults::apply(session, settings, printer).await?;
    if looks_only {
        return Ok((session, settings));
    }
    let settings = sections::apply(settings, |line| printer.line(line));
    Ok((session, settings))
}

/// Logs in, and says which version of the API was forced on the session.
async fn log_in(session: &Session, settings: &Settings, printer: Printer) -> Result<(), Failed> {
    let claims = session.claims().await;
    let claims = claims.map_err(|error| login_failed(&error, session))?;
    let forced = settings
        .environment()
        .text(&env_vars::FORCE_MAX_API_VERSION)
        .and_then(|version| version.parse().ok());
    if forced == Some(claims.api_version) {
        printer.line(format!("Using forced API version {}", claims.api_version));
    }
    Ok(())
}

/// The machine's name as the server sees it.
pub(super) fn host_name() -> String {
    nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

const ADDRESS_HINT: &str = "the address looks like https://api.clear.ml or http://localhost:8008";

pub(super) fn credentials(api: &ApiSettings) -> Credentials {
    match &api.credentials {
        settings::Credentials::Token(token) => Credentials::Token(token.clone()),
        settings::Credentials::Keys {
            access_key,
            secret_key,
        } => Credentials::Keys {
            access_key: access_key.clone(),
            secret_key: secret_key.clone(),
        },
    }
}

fn certificates(api: &ApiSettings) -> CertificateCheck {
    match &api.certificates {
        settings::CertificateCheck::System => CertificateCheck::System,
        settings::CertificateCheck::Bundle(path) => CertificateCheck::File(path.clone()),
        settings::CertificateCheck::Off => CertificateCheck::Off,
    }
}

pub(super) fn method(api: &ApiSettings) -> HttpMethod {
    match api.http.method {
        settings::RequestMethod::Get => HttpMethod::Get,
        settings::RequestMethod::Post => HttpMethod::Post,
        settings::RequestMethod::Put => HttpMethod::Put,
    }
}

fn retries(api: &ApiSettings, patience: Patience) -> RetryPolicy {
    let retries = &api.http.retries;
    let first_connect = match (patience, api.initial_connect) {
        (Patience::Endless, _) => Some(u32::MAX),
        (Patience::Short | Patience::Long, InitialConnect::Limited(limit)) => Some(limit),
        (Patience::Short, InitialConnect::Default) => Some(InitialConnect::FEW),
        (Patience::Short, InitialConnect::AsConfigured) | (Patience::Long, _) => None,
    };
    RetryPolicy {
        total: retries.total,
        connect: retries.connect,
        read: retries.read,
        status: retries.status,
        first_connect,
        backoff_factor: retries.backoff_factor,
        backoff_max: retries.backoff_max,
        wait_on_maintenance: api.http.wait_on_maintenance_forever,
        ..RetryPolicy::default()
    }
}

/// While a task runs, its supervisor speaks of outages, and one of the two is enough.
static TASK_RUNS: AtomicBool = AtomicBool::new(false);

/// An outage was said, and its end is to be said as well.
static OUTAGE_SAID: AtomicBool = AtomicBool::new(false);

/// Tells whether this process, a worker, has a task with a supervisor of its own.
pub(super) fn leave_outages_to_supervisor(runs: bool) {
    TASK_RUNS.store(runs, Ordering::Relaxed);
}

/// One line when the server goes and one when it comes back; each try while a person waits (D-167, A-023).
fn announce(event: &SessionEvent<'_>, patience: Patience, printer: Printer) {
    match event {
        SessionEvent::Retrying {
            retry,
            wait,
            error,
            starting: true,
            ..
        } => {
            printer.warning(&format!(
                "Retrying ({retry}) in {:.0} s: {error}",
                wait.as_secs_f64()
            ));
        }
        SessionEvent::Retrying { call, error, .. } => tracing::debug!(call, %error, "trying again"),
        SessionEvent::Down { error } => {
            if TASK_RUNS.load(Ordering::Relaxed) {
                return;
            }
            OUTAGE_SAID.store(true, Ordering::Relaxed);
            printer.warning(&format!("the server does not answer: {error}"));
        }
        // Whoever waits for a first login gets the refusal as its error.
        SessionEvent::Refused { starting, .. } if *starting && patience != Patience::Endless => {}
        SessionEvent::Refused { error, .. } => {
            printer.warning(&format!(
                "the server refuses the agent's keys: {}; they are tried again (hint: put valid keys into the agent's \
                 configuration, which is read again; keys in variables count after a restart)",
                error.reference_text()
            ));
        }
        SessionEvent::Accepted { refused } => printer.line(format!(
            "The server accepts the agent's keys again after {:.0} seconds",
            refused.as_secs_f64()
        )),
        SessionEvent::Up { away } => {
            // The end of what nobody has spoken of is no news.
            if !OUTAGE_SAID.swap(false, Ordering::Relaxed) {
                return;
            }
            printer.line(format!(
                "The server answers again after {:.0} seconds",
                away.as_secs_f64()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    ///
    #[test]
    fn the_first_connection_is_tried_as_long_as_its_caller_waits() {
        let text =
            "api { api_server: \"http://h:8008\", credentials { access_key: K, secret_key: S } }";
        let tries = |patience, variable: Option<&str>| {
            let name = "CLEARML_AGENT_INITIAL_CONNECT_RETRY_OVERRIDE";
            let environment: Environment =
                variable.map(|value| (name, value)).into_iter().collect();
            let api = Settings::from_text(text, &environment)
                .unwrap()
                .api()
                .unwrap();
            retries(&api, patience).first_connect
        };
        assert_eq!(tries(Patience::Short, None), Some(4));
        assert_eq!(tries(Patience::Long, None), None);
        for patience in [Patience::Short, Patience::Long] {
            assert_eq!(tries(patience, Some("1")), Some(1));
            assert_eq!(tries(patience, Some("true")), Some(4));
            assert_eq!(tries(patience, Some("false")), None);
            assert_eq!(tries(Patience::Endless, Some("1")), Some(u32::MAX));
        }
    }
}
