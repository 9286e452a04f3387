//! Logging in, and keeping the login.
//!
//! Compiled under `#[cfg(test)]` only.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::server::{FakeServer, MONTH, Reply, token};
use super::{options, session};
use crate::api::{ApiError, Credentials, Session, TaskId};
use crate::secrets::SecretString;

fn task() -> TaskId {
    TaskId::new("ad54fcc1c0a0449d9a2bc64324997a13").unwrap()
}

///
#[tokio::test]
async fn the_first_call_logs_in_and_later_calls_use_its_token() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({}))).await;
    let session = session(server.url());
    assert!(server.requests().is_empty());
    session.tasks().ping(&task()).await.unwrap();
    session.tasks().ping(&task()).await.unwrap();
    let requests = server.requests();
    let paths: Vec<&str> = requests.iter().map(|r| r.path.as_str()).collect();
    assert_eq!(
        paths,
        ["/auth.login", "/v2.5/tasks.ping", "/v2.5/tasks.ping"]
    );
    let (login, ping) = (&requests[0], &requests[1]);
    assert_eq!(login.method, "GET");
    assert_eq!(
        login.header("authorization"),
        Some("Basic QUNDRVNTOlNFQ1JFVA==")
    );
    assert_eq!(
        (login.body.as_str(), login.header("content-type")),
        ("", None)
    );
    let expected = format!("Bearer {}", token(0, MONTH));
    assert_eq!(ping.header("authorization"), Some(expected.as_str()));
    assert_eq!(ping.header("content-type"), Some("application/json"));
    for request in &requests {
        assert_eq!(request.header("x-clearml-worker"), Some("vm"));
        assert_eq!(request.header("x-trains-worker"), Some("vm"));
        assert_eq!(request.header("x-clearml-agent"), Some("api-3.0.3"));
        assert_eq!(request.header("x-trains-agent"), Some("api-3.0.3"));
        assert_eq!(request.header("user-agent"), Some("clearml-agent/3.0.3"));
        assert_eq!(request.header("accept"), Some("*/*"));
        assert_eq!(request.header("accept-encoding"), Some("gzip"));
    }
}

/// one session, one login.
#[tokio::test]
async fn many_first_callers_share_one_login() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({}))).await;
    let session = session(server.url());
    let calls = (0..20).map(|_| {
        let session = session.clone();
        tokio::spawn(async move { session.tasks().ping(&task()).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert_eq!((server.count("auth.login"), server.count("ping")), (1, 20));
}

///
#[tokio::test]
async fn an_expired_token_is_replaced_before_the_next_request() {
    let server = FakeServer::start_with_login(|seen, before| match before {
        0 if seen.path == "/auth.login" => Reply::login(0, 0),
        _ if seen.path == "/auth.login" => Reply::login(before, MONTH),
        _ => Reply::ok(&json!({})),
    })
    .await;
    let session = session(server.url());
    for _ in 0..3 {
        session.tasks().ping(&task()).await.unwrap();
    }
    let paths: Vec<String> = server.requests().into_iter().map(|r| r.path).collect();
    let (login, ping) = ("/auth.login", "/v2.5/tasks.ping");
    assert_eq!(paths, [login, ping, login, ping, ping]);
}

///
#[tokio::test]
async fn many_refused_callers_share_one_new_login() {
    let current = std::sync::Mutex::new(0);
    let server = FakeServer::start_with_login(move |seen, before| {
        let mut current = current.lock().unwrap();
        if seen.path == "/auth.login" {
            *current = before;
            return Reply::login(before, MONTH);
        }
        // The server forgot its first token.
        let valid = format!("Bearer {}", token(1, MONTH));
        if seen.header("authorization") == Some(&valid) {
            Reply::ok(&json!({}))
        } else {
            Reply::refused(401, 30, "Unauthorized (invalid token)")
        }
    })
    .await;
    let session = session(server.url());
    session.claims().await.unwrap();
    let calls = (0..10).map(|_| {
        let session = session.clone();
        tokio::spawn(async move { session.tasks().ping(&task()).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert_eq!(server.count("auth.login"), 2);
}

///
#[tokio::test]
async fn a_second_refusal_is_an_error() {
    let server = FakeServer::start(|_, _| Reply::refused(401, 1, "Unauthorized")).await;
    let error = session(server.url())
        .tasks()
        .ping(&task())
        .await
        .unwrap_err();
    assert!(error.is_unauthorized() && error.hint().is_some());
    assert_eq!((server.count("auth.login"), server.count("ping")), (2, 2));
}

/// a token that has become old while the server was away, once more, says nothing about the keys.
#[tokio::test]
async fn a_refusal_after_an_outage_is_a_first_one() {
    let server = FakeServer::start(|_, before| match before {
        0 | 2 => Reply::refused(401, 30, "Unauthorized (token expired)"),
        1 => Reply::raw(503, ""),
        _ => Reply::ok(&json!({})),
    })
    .await;
    session(server.url()).tasks().ping(&task()).await.unwrap();
    assert_eq!((server.count("auth.login"), server.count("ping")), (3, 4));
}

/// A-023, transcript 16: the words that the official agent ends with.
#[tokio::test]
async fn wrong_credentials_are_final_at_once() {
    let message = "Unauthorized (invalid credentials) (failed to locate provided credentials)";
    let server = FakeServer::start_with_login(move |_, _| Reply::refused(401, 22, message)).await;
    let session = session(server.url());
    let error = session.claims().await.unwrap_err();
    assert!(error.is_unauthorized() && !error.is_transient());
    assert_eq!(server.requests().len(), 1);
    assert_eq!(
        error.startup_text(session.server()),
        format!(
            "Failed getting token (error 401 from http://{}): {message}",
            server.address
        )
    );
    assert!(!format!("{error} {error:?} {session:?}").contains("SECRET"));
}

///
#[tokio::test]
async fn a_server_that_gives_no_token_is_not_the_api_server() {
    for reply in [Reply::ok(&json!({})), Reply::raw(200, "<html>")] {
        let server = FakeServer::start_with_login(move |_, _| reply.clone()).await;
        let session = session(server.url());
        let error = session.claims().await.unwrap_err();
        assert_eq!(
            error.startup_text(session.server()),
            format!(
                "It seems *api_server* is misconfigured. Is this the ClearML API server {} ?",
                session.server()
            )
        );
        assert!(error.hint().is_some());
    }
}

/// transcript 17: five tries, then the words for a wrong address.
#[tokio::test]
async fn a_wrong_address_shows_after_five_tries() {
    let server = FakeServer::start(|_, _| Reply::Close).await;
    let mut options = options(server.url());
    let tries = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = tries.clone();
    options.listener = Some(crate::api::Listener::new(move |event| {
        heard.lock().unwrap().push(format!("{event:?}"));
    }));
    server.go_away().await;
    let session = Session::new(options).unwrap();
    let error = session.claims().await.unwrap_err();
    assert!(error.is_transient() && !error.is_ambiguous());
    assert!(error.hint().unwrap().contains("api.api_server"));
    assert_eq!(
        error.startup_text(session.server()),
        format!(
            "Connection Error: it seems *api_server* is misconfigured. Is this the ClearML API server http://{} ?",
            server.address
        )
    );
    let tries = tries.lock().unwrap();
    assert_eq!(tries.len(), 4, "{tries:?}");
    assert!(
        tries
            .iter()
            .all(|t| t.starts_with("Retrying") && t.contains("starting: true"))
    );
}

///
#[tokio::test]
async fn a_token_is_exchanged_for_a_fresh_one() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({}))).await;
    let mut options = options(server.url());
    options.credentials = Credentials::Token(SecretString::new(token(99, MONTH)));
    options.token_lifetime = Some(Duration::from_mins(10));
    let session = Session::new(options).unwrap();
    assert_eq!(
        session.bearer_token().await.unwrap().expose(),
        token(0, MONTH)
    );
    let login = &server.requests()[0];
    assert_eq!(login.path, "/auth.login?expiration_sec=600");
    let expected = format!("Bearer {}", token(99, MONTH));
    assert_eq!(login.header("authorization"), Some(expected.as_str()));
}

///
#[tokio::test]
async fn a_token_that_is_none_is_not_sent() {
    let server = FakeServer::start(|_, _| Reply::Close).await;
    let mut options = options(server.url());
    options.credentials = Credentials::Token(SecretString::new("not a token"));
    let error = Session::new(options).unwrap().claims().await.unwrap_err();
    assert_eq!(error.startup_text("x"), "Not enough segments");
    assert!(server.requests().is_empty());
}

/// a working token is not given up because the server cannot make a new one.
#[tokio::test]
async fn an_old_token_is_used_while_no_new_one_can_be_had() {
    let broken = AtomicBool::new(false);
    let server = FakeServer::start_with_login(move |seen, before| {
        if seen.path != "/auth.login" {
            Reply::ok(&json!({}))
        } else if broken.swap(true, Ordering::Relaxed) {
            Reply::raw(502, "")
        } else {
            Reply::login(before, 100)
        }
    })
    .await;
    let mut options = options(server.url());
    options.token_threshold = Duration::from_hours(12);
    let session = Session::new(options).unwrap();
    session.claims().await.unwrap();
    // Half of its life is over.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(51)).await;
    tokio::time::resume();
    session.tasks().ping(&task()).await.unwrap();
    session.tasks().ping(&task()).await.unwrap();
    // Tried once, then left alone for a while.
    assert_eq!((server.count("auth.login"), server.count("ping")), (2, 2));
}

///
#[tokio::test]
async fn no_version_above_the_limit_is_asked_for() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({"tasks": []}))).await;
    let mut options = options(server.url());
    options.version_limit = "2.9".parse().ok();
    let session = Session::new(options).unwrap();
    assert!(!session.has_version("2.10".parse().unwrap()).await.unwrap());
    assert_eq!(session.tasks().status(&task(), false).await.unwrap(), None);
    assert_eq!(server.requests()[1].path, "/v2.9/tasks.get_all");
}

///
#[tokio::test]
async fn the_servers_own_path_is_kept() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({}))).await;
    let url = server.url().join("/api/").unwrap();
    session(url).tasks().ping(&task()).await.unwrap();
    let paths: Vec<String> = server.requests().into_iter().map(|r| r.path).collect();
    assert_eq!(paths, ["/api/auth.login", "/api/v2.5/tasks.ping"]);
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    let error = Session::new(options("file:///etc".parse().unwrap())).unwrap_err();
    assert!(error.to_string().contains("http://"), "{error}");
    let secret = Session::new(options("ftp://jane:hunter2@h".parse().unwrap())).unwrap_err();
    assert!(!secret.to_string().contains("hunter2"));
}

///
#[tokio::test]
async fn an_answer_without_what_was_promised_is_malformed() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({"other": 1}))).await;
    let error = session(server.url())
        .tasks()
        .by_id(&task())
        .await
        .unwrap_err();
    assert!(matches!(error, ApiError::Malformed { .. }), "{error}");
}
