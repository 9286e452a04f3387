//! Answers that are made to do harm: too long, too deep, with values that no server means.
//!
//! Compiled under `#[cfg(test)]` only.

use std::time::Duration;

use serde_json::{Value, json};

use super::server::{FakeServer, MONTH, Reply};
use super::session;
use crate::api::{ApiError, TaskId, WorkerId};

fn task() -> TaskId {
    TaskId::new("ad54fcc1c0a0449d9a2bc64324997a13").unwrap()
}

/// An answer without an end is given up.
#[tokio::test]
async fn an_answer_that_is_too_long_is_given_up() {
    let server = FakeServer::start(|_, _| Reply::raw(200, vec![b' '; 65 << 20])).await;
    let error = session(server.url()).tasks().ping(&task()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ApiError::TooLong { .. }), "{error}");
    assert!(error.to_string().contains("more than 64 MiB"), "{error}");
}

/// A message of the server stays in its line.
#[tokio::test]
async fn a_message_of_the_server_is_one_line() {
    let server = FakeServer::start(|_, _| {
        Reply::refused(400, 1, "no\nclearml_agent: ERROR: forged\u{1b}[2J")
    })
    .await;
    let error = session(server.url())
        .tasks()
        .ping(&task())
        .await
        .unwrap_err();
    for text in [
        error.to_string(),
        error.reference_text(),
        error.startup_text("server"),
    ] {
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}

/// Values in every place of an answer that are no such values: an error, or something to live with.
#[tokio::test]
async fn no_value_of_an_answer_is_fatal() {
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let values: Vec<Value> = vec![
        json!(-1),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(-1e308),
        json!("x".repeat(1 << 20)),
        json!("../../x"),
        json!("\u{0}\n\u{1b}"),
        json!(null),
        json!([]),
        json!({}),
        serde_json::from_str(&deep(100)).unwrap(),
    ];
    for value in values {
        let said = value.clone();
        let server = FakeServer::start_with_login(move |seen, before| {
            if seen.path.contains("auth.login") {
                return Reply::login(before, MONTH);
            }
            let v = &said;
            Reply::ok(&json!({
                "task": {"id": v, "name": v, "status": v, "script": v, "hyperparams": v, "container": v,
                    "execution": v, "runtime": v, "last_iteration": v, "tags": v},
                "queues": [{"id": v, "name": v, "entries": v, "tags": v, "metadata": v}],
                "workers": v, "events": v, "added": v, "errors": v, "entry": v, "updated": v,
                "runtime_properties": [{"key": "force", "value": v, "expiry": v}], "version": v,
                "results": v, "returned": v, "total": v, "scroll_id": v,
            }))
        })
        .await;
        let session = session(server.url());
        let worker: WorkerId = "host:0".parse().unwrap();
        let calls = async {
            let _ = session.tasks().by_id(&task()).await;
            let _ = session.tasks().ping(&task()).await;
            let _ = session.queues().by_name("default").await;
            let _ = session.workers().runtime_properties(&worker).await;
            let _ = session.workers().all_as_answered().await;
            let _ = session.server_calls().info().await;
        };
        let limit = tokio::time::timeout(Duration::from_mins(2), calls).await;
        limit.unwrap_or_else(|_| panic!("nothing comes of {value}"));
    }
    // What is deeper than any reader goes is no answer.
    let body = format!(
        "{{\"meta\":{{\"result_code\":200}},\"data\":{}}}",
        deep(200_000)
    );
    let server = FakeServer::start(move |_, _| Reply::raw(200, body.clone())).await;
    let error = session(server.url())
        .tasks()
        .ping(&task())
        .await
        .unwrap_err();
    assert!(matches!(error, ApiError::Malformed { .. }), "{error}");
}

/// A token that says anything of its times and its bearer.
#[tokio::test]
async fn no_token_is_fatal() {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    for value in [
        json!(-1e300),
        json!(1e300),
        json!(u64::MAX),
        json!(0),
        json!("x"),
    ] {
        let claims =
            json!({"exp": value, "iat": value, "api_version": "99999.99999", "identity": value});
        let token = format!(
            "{}.{}.s",
            BASE64.encode("{}"),
            BASE64.encode(claims.to_string())
        );
        let server = FakeServer::start_with_login(move |seen, _| {
            if seen.path.contains("auth.login") {
                Reply::ok(&json!({ "token": token }))
            } else {
                Reply::ok(&json!({}))
            }
        })
        .await;
        let session = session(server.url());
        let call = async { session.tasks().ping(&task()).await };
        let ended = tokio::time::timeout(Duration::from_mins(1), call).await;
        assert!(ended.is_ok(), "nothing comes of {value}");
    }
}
