//! The server: its name, the way to it, the login, clocks, and the queues of the daemon.

use std::time::{Duration, Instant, SystemTime};

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::{Host, Url};

use super::report::{Finding, Report};
use crate::api::{ApiError, CertificateCheck, Claims, Session, SessionOptions};
use crate::commands::connect::{Patience, session_options};
use crate::commands::{Failed, init, queues};
use crate::settings::Settings;

/// How long one step on the way may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the login and each call behind it, with their repetitions.
const CALL: Duration = Duration::from_secs(15);

/// Each step needs those before it: the first that fails is the last.
pub(super) async fn look(settings: &Settings, names: Option<&[String]>, report: &mut Report) {
    let (host, options) = match options(settings) {
        Ok(options) => options,
        Err(failed) => {
            report.add(of_failed("server", &failed));
            return;
        }
    };
    let server = options.api_server.clone();
    let proxy = proxy(settings, &server);
    if let Some(variable) = &proxy {
        let text = format!("{server} is reached as {variable} and NO_PROXY say");
        report.add(Finding::ok("network", text));
    } else {
        let way = way(&server).await;
        let leads = way.is_ok();
        report.add(way.unwrap_or_else(|finding| finding));
        if !leads {
            return;
        }
    }
    report.add_all(encryption(&server, options.trust.check.clone()));
    let started = Instant::now();
    let session = match Session::new(options) {
        Ok(session) => session,
        Err(error) => {
            report.add(refused(settings, &host, &error.into(), proxy.as_deref()).await);
            return;
        }
    };
    let session = session.with_deadline(CALL);
    let login = session.claims().await.map(|claims| {
        let took = started.elapsed();
        (
            described(&claims, &host, took),
            init::clock_warning(&claims, SystemTime::now()),
        )
    });
    match login {
        Ok((login, clock)) => {
            report.add(Finding::ok("login", login));
            report.add(match clock {
                Some(warning) => Finding::warn(
                    "clock",
                    warning,
                    "let the machine keep time: timedatectl set-ntp true",
                ),
                None => Finding::ok("clock", "as the server's"),
            });
        }
        Err(error) => {
            report.add(refused(settings, &host, &error, proxy.as_deref()).await);
            return;
        }
    }
    report.add_all(of_queues(&session, names).await);
}

fn options(settings: &Settings) -> Result<(String, SessionOptions), Failed> {
    let api = settings.api()?;
    let mut options = session_options(&api, settings.environment(), Patience::Short)?;
    // Somebody waits, and a second try tells a passing fault from another one.
    let once = Some(1);
    options.retries.total = once;
    options.retries.connect = once;
    options.retries.read = once;
    options.retries.status = once;
    options.retries.first_connect = once;
    options.retries.wait_on_maintenance = false;
    Ok((api.host, options))
}

fn of_failed(subject: &'static str, failed: &Failed) -> Finding {
    let hint = failed.hint.clone();
    Finding::fail(
        subject,
        failed.text(),
        hint.unwrap_or_else(|| "run `clearml-agent init`, or set CLEARML_API_HOST".to_owned()),
    )
}

/// The variable that names the proxy for this server, as it is written.
fn proxy(settings: &Settings, server: &Url) -> Option<String> {
    let environment = settings.environment();
    let value = |name: &str| {
        let names = [name.to_lowercase(), name.to_owned()];
        let mut named = names.into_iter().filter_map(|name| {
            let value = environment.get(&name)?.trim().to_owned();
            Some((name, value))
        });
        named.next()
    };
    let exceptions = value("NO_PROXY").map(|(_, list)| list).unwrap_or_default();
    if is_excepted(server, &exceptions) {
        return None;
    }
    let of_scheme = match server.scheme() {
        "https" => "HTTPS_PROXY",
        _ => "HTTP_PROXY",
    };
    let named = [of_scheme, "ALL_PROXY"].into_iter().filter_map(value);
    let mut named = named.filter(|(_, value)| !value.is_empty());
    named.next().map(|(name, _)| name)
}

/// The usual forms of an exception: a name, a domain with what is below it, an address, `*`.
fn is_excepted(server: &Url, list: &str) -> bool {
    let host = server.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut entries = list.split(',').map(str::trim).filter(|one| !one.is_empty());
    entries.any(|entry| {
        let domain = entry.trim_start_matches("*.").trim_start_matches('.');
        entry == "*"
            || domain.eq_ignore_ascii_case(host)
            || host
                .to_ascii_lowercase()
                .ends_with(&format!(".{}", domain.to_ascii_lowercase()))
    })
}

/// Looks the name up, and opens a connection.
async fn way(server: &Url) -> Result<Finding, Finding> {
    const SUBJECT: &str = "network";
    let port = server.port_or_known_default().unwrap_or(80);
    let host = match server.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => String::new(),
    };
    let started = Instant::now();
    let addresses = match timeout(PATIENCE, lookup_host((host.as_str(), port))).await {
        Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
        Ok(Err(error)) => {
            return Err(Finding::fail(
                SUBJECT,
                format!("the name {host} is not known: {error}"),
                "check `api.api_server`, and /etc/resolv.conf",
            ));
        }
        Err(_) => {
            return Err(Finding::fail(
                SUBJECT,
                format!(
                    "no server says in {} seconds what address {host} has",
                    PATIENCE.as_secs()
                ),
                "check `api.api_server`, and the name servers in /etc/resolv.conf",
            ));
        }
    };
    let looked_up = started.elapsed();
    let mut fault = "it has no address".to_owned();
    for address in &addresses {
        let started = Instant::now();
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                return Ok(Finding::ok(
                    SUBJECT,
                    format!(
                        "{address} listens (name {}, connection {})",
                        milliseconds(looked_up),
                        milliseconds(started.elapsed())
                    ),
                ));
            }
            Ok(Err(error)) => fault = format!("{address}: {error}"),
            Err(_) => fault = format!("{address}: no answer in {} seconds", PATIENCE.as_secs()),
        }
    }
    Err(Finding::fail(
        SUBJECT,
        format!("no connection to {server}: {fault}"),
        "check that the server runs, the port (the API server mostly listens on 8008), firewalls, and whether a proxy is needed (HTTPS_PROXY)",
    ))
}

fn encryption(server: &Url, check: CertificateCheck) -> Option<Finding> {
    const SUBJECT: &str = "encryption";
    let is_here = match server.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match (server.scheme(), check) {
        ("https", CertificateCheck::Off) => Some(Finding::warn(
            SUBJECT,
            "the server's certificate is not checked: anybody on the way can read the keys",
            "set `api.verify_certificate: true`, or the path of your authority's certificate",
        )),
        ("http", _) if !is_here => Some(Finding::warn(
            SUBJECT,
            format!("{server} is not encrypted: anybody on the way can read the keys"),
            "use https where the server offers it",
        )),
        // The login shows whether the certificate is good.
        _ => None,
    }
}

fn described(claims: &Claims, host: &str, took: Duration) -> String {
    format!(
        "{host} is a ClearML API server {} (API {}), user {}, in {}",
        claims.server_version,
        claims.api_version,
        claims.user,
        milliseconds(took)
    )
}

async fn refused(
    settings: &Settings,
    host: &str,
    error: &ApiError,
    proxy: Option<&str>,
) -> Finding {
    let advice = |likely: &str| {
        format!("{likely} answers as a ClearML API server: set `api.api_server` to it")
    };
    let cause = init::cause(settings, host, error, advice).await;
    let Some(variable) = proxy else {
        return Finding::fail("login", cause.text, cause.hint);
    };
    let hint = format!(
        "{}; the way leads over the proxy of {variable}, whose fault it may be",
        cause.hint
    );
    Finding::fail("login", cause.text, hint)
}

async fn of_queues(session: &Session, names: Option<&[String]>) -> Vec<Finding> {
    let Some(names) = names else {
        return vec![of_queue(session, None).await];
    };
    let mut findings = Vec::new();
    for name in names {
        findings.push(of_queue(session, Some(name)).await);
    }
    findings
}

/// What waits in the queue of this name.
async fn of_queue(session: &Session, name: Option<&String>) -> Finding {
    const SUBJECT: &str = "queue";
    let names = name.map(std::slice::from_ref);
    let found = async {
        let ids = queues::resolve_queues(session, names, false).await?;
        queues::find_queues(session, &ids).await
    };
    match found.await {
        Ok((_, queues)) => {
            let texts = queues.iter().map(|queue| {
                let name = queue.name.as_deref().unwrap_or(queue.id.as_str());
                format!("{name}: {} tasks wait", queue.entries.len())
            });
            Finding::ok(SUBJECT, texts.collect::<Vec<_>>().join(", "))
        }
        Err(failed) => Finding::fail(
            SUBJECT,
            failed.text(),
            "name a queue of the server; `daemon --create-queue` makes one that is missing",
        ),
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    ///
    #[test]
    fn the_proxy_is_that_of_the_scheme_and_not_of_exceptions() {
        let of = |server: &str, variables: &[(&str, &str)]| {
            let environment: Environment = variables.iter().copied().collect();
            let settings = Settings::from_text("", &environment).unwrap();
            proxy(&settings, &Url::parse(server).unwrap())
        };
        let both = [("HTTP_PROXY", "http://a"), ("https_proxy", "http://b")];
        assert_eq!(of("http://h:8008", &both).as_deref(), Some("HTTP_PROXY"));
        assert_eq!(of("https://h", &both).as_deref(), Some("https_proxy"));
        assert_eq!(of("https://h", &both[..1]), None);
        let all = [
            ("ALL_PROXY", "http://a"),
            ("NO_PROXY", "one, .example.com,127.0.0.1"),
        ];
        for (server, expected) in [
            ("https://h", Some("ALL_PROXY")),
            ("https://one", None),
            ("https://api.example.com", None),
            ("https://myexample.com", Some("ALL_PROXY")),
            ("http://127.0.0.1:8008", None),
        ] {
            assert_eq!(of(server, &all).as_deref(), expected, "{server}");
        }
    }
}
