//! Trying again, giving up, being interrupted, and what is said about it.
//!
//! Compiled under `#[cfg(test)]` only.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::server::{FakeServer, Reply};
use super::{options, session};
use crate::api::retry::{Phase, Tries};
use crate::api::{
    ApiError, Listener, NextTask, QueueId, Retry, RetryPolicy, Session, SessionEvent, StatusChange,
    TaskId,
};

fn task() -> TaskId {
    TaskId::new("ad54fcc1c0a0449d9a2bc64324997a13").unwrap()
}

fn queue() -> QueueId {
    QueueId::new("eac3bec849d6426ea58183277cee9c1f").unwrap()
}

fn gateway_error() -> ApiError {
    ApiError::Server {
        call: "tasks.ping",
        status: 502,
        message: String::new(),
        retry_after: None,
    }
}

/// A session without a server, whose listener writes down what it hears.
fn listening() -> (Session, Arc<Mutex<Vec<&'static str>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = heard.clone();
    let mut options = options("http://127.0.0.1:1".parse().unwrap());
    options.retries = RetryPolicy::default();
    options.listener = Some(Listener::new(move |event| {
        log.lock().unwrap().push(match event {
            SessionEvent::Down { .. } => "down",
            SessionEvent::Up { .. } => "up",
            SessionEvent::Refused { .. } => "refused",
            SessionEvent::Accepted { .. } => "accepted",
            SessionEvent::Retrying { .. } => return,
        });
    }));
    let session = Session::new(options).unwrap();
    session
        .inner
        .established
        .store(true, std::sync::atomic::Ordering::Relaxed);
    (session, heard)
}

/// the loop really waits between its tries.
#[tokio::test(start_paused = true)]
async fn the_waits_pass_between_the_tries() {
    let (session, _) = listening();
    let policy = RetryPolicy::default();
    let mut tries = Tries::new(&policy, Phase::Established);
    let start = Instant::now();
    let mut seconds = Vec::new();
    for _ in 0..4 {
        let result: Result<(), _> = Err(gateway_error());
        let judged = session.judge("tasks.ping", result, &mut tries, Retry::Always);
        assert!(judged.await.is_none());
        seconds.push(start.elapsed().as_secs_f64());
    }
    // 0, 2, 4 and 8 seconds, shortened by a fifth at most.
    for (passed, full) in seconds.iter().zip([0.0, 2.0, 6.0, 14.0]) {
        assert!(
            *passed >= full * 0.8 - 0.01 && *passed <= full + 0.01,
            "{seconds:?}"
        );
    }
}

/// D-167
#[tokio::test(start_paused = true)]
async fn an_outage_is_said_once_however_many_calls_fail() {
    let (session, heard) = listening();
    let policy = RetryPolicy::default();
    let mut calls: Vec<Tries<'_>> = (0..3)
        .map(|_| Tries::new(&policy, Phase::Established))
        .collect();
    for _ in 0..5 {
        for tries in &mut calls {
            let result: Result<(), _> = Err(gateway_error());
            session
                .judge("tasks.ping", result, tries, Retry::Always)
                .await;
        }
    }
    assert_eq!(*heard.lock().unwrap(), ["down"]);
    for tries in &mut calls {
        session
            .judge("tasks.ping", Ok(()), tries, Retry::Always)
            .await;
    }
    assert_eq!(*heard.lock().unwrap(), ["down", "up"]);
}

/// D-167: one failure that the immediate retry mends is not worth a line.
#[tokio::test(start_paused = true)]
async fn a_hiccup_is_not_said() {
    let (session, heard) = listening();
    let policy = RetryPolicy::default();
    for _ in 0..5 {
        let mut tries = Tries::new(&policy, Phase::Established);
        let result: Result<(), _> = Err(gateway_error());
        session
            .judge("tasks.ping", result, &mut tries, Retry::Always)
            .await;
        session
            .judge("tasks.ping", Ok(()), &mut tries, Retry::Always)
            .await;
    }
    assert!(heard.lock().unwrap().is_empty());
}

/// D-167: calls that try only once notice an outage too, by its length.
#[tokio::test(start_paused = true)]
async fn single_tries_notice_a_lasting_outage() {
    let (session, heard) = listening();
    let policy = RetryPolicy::default();
    for _ in 0..4 {
        let mut tries = Tries::new(&policy, Phase::Established);
        let result: Result<(), _> = Err(gateway_error());
        let judged = session.judge("tasks.ping", result, &mut tries, Retry::Never);
        assert!(judged.await.is_some());
        tokio::time::advance(Duration::from_secs(3)).await;
    }
    assert_eq!(*heard.lock().unwrap(), ["down"]);
}

/// a whole outage, with real connections.
#[tokio::test]
async fn calls_survive_a_server_that_goes_and_comes_back() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({}))).await;
    let (down, seen_down) = tokio::sync::watch::channel(false);
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = events.clone();
    let mut options = options(server.url());
    options.listener = Some(Listener::new(move |event| match event {
        SessionEvent::Down { .. } => {
            log.lock().unwrap().push("down");
            down.send_replace(true);
        }
        SessionEvent::Up { .. } => log.lock().unwrap().push("up"),
        SessionEvent::Retrying { starting, .. } => assert!(!starting),
        SessionEvent::Refused { error, .. } => panic!("{error}"),
        SessionEvent::Accepted { .. } => {}
    }));
    let session = Session::new(options).unwrap();
    session.tasks().ping(&task()).await.unwrap();
    server.go_away().await;
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.tasks().ping(&task()).await })
        })
        .collect();
    let mut seen_down = seen_down;
    seen_down.wait_for(|down| *down).await.unwrap();
    server.come_back();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(*events.lock().unwrap(), ["down", "up"]);
}

///
#[tokio::test]
async fn passing_statuses_are_tried_again() {
    for status in [429, 502, 503, 504, 509] {
        let server = FakeServer::start(move |_, before| match before {
            0..3 => Reply::raw(status, "later"),
            _ => Reply::ok(&json!({})),
        })
        .await;
        session(server.url()).tasks().ping(&task()).await.unwrap();
        assert_eq!(server.count("ping"), 4, "{status}");
    }
}

/// what the server decided stays.
#[tokio::test]
async fn the_apis_own_errors_are_not_tried_again() {
    for (code, subcode) in [(400, 110), (404, 0), (500, 100)] {
        let server = FakeServer::start(move |_, _| Reply::refused(code, subcode, "no")).await;
        let change = StatusChange::new(task());
        let error = session(server.url())
            .tasks()
            .completed(&change)
            .await
            .unwrap_err();
        assert_eq!(error.refusal().unwrap().subcode, subcode);
        assert_eq!(error.is_invalid_status(), subcode == 110);
        assert_eq!(error.is_unknown_call(), code == 404);
        assert_eq!(server.count("completed"), 1);
    }
}

///
#[tokio::test]
async fn the_servers_wish_to_wait_is_heard() {
    let server = FakeServer::start(|_, _| Reply::raw(429, "").header("Retry-After", "7")).await;
    let session = session(server.url()).with_retry(Retry::Never);
    let error = session.tasks().ping(&task()).await.unwrap_err();
    assert!(
        matches!(error, ApiError::Server { status: 429, retry_after: Some(wait), .. } if wait.as_secs() == 7),
        "{error:?}"
    );
    assert_eq!(server.count("ping"), 1);
}

/// the server may have stored the lines, so they are not sent again unasked.
#[tokio::test]
async fn what_may_have_arrived_is_not_sent_twice() {
    let server = FakeServer::start(|_, _| Reply::Close).await;
    let session = session(server.url());
    let error = session.events().add_batch("{}".into()).await.unwrap_err();
    assert!(error.is_ambiguous() && error.is_transient(), "{error:?}");
    assert_eq!(server.count("add_batch"), 1);
    let error = session
        .queues()
        .next_task(&queue(), false)
        .await
        .unwrap_err();
    assert!(error.is_ambiguous());
    assert_eq!(server.count("get_next_task"), 1);
}

/// what can be said twice is said until it is heard.
#[tokio::test]
async fn a_lost_answer_to_a_harmless_call_is_asked_for_again() {
    let server = FakeServer::start(|_, before| match before {
        0..2 => Reply::Close,
        _ => Reply::ok(&json!({"updated": 1})),
    })
    .await;
    let change = StatusChange::forced(task()).message("pulled by agent");
    let updated = session(server.url())
        .tasks()
        .started(&change)
        .await
        .unwrap();
    assert_eq!((updated.updated, server.count("started")), (1, 3));
}

/// refused at the door is not delivered.
#[tokio::test]
async fn maintenance_does_not_make_a_delivery_ambiguous() {
    let server = FakeServer::start(|_, before| match before {
        0 => Reply::raw(503, ""),
        1 => Reply::raw(429, ""),
        _ => Reply::ok(&json!({"added": 1, "errors": 0, "errors_info": {}})),
    })
    .await;
    let session = session(server.url());
    let added = session.events().add_batch("{}".into()).await.unwrap();
    assert_eq!((added.added, server.count("add_batch")), (1, 3));
}

///
#[tokio::test]
async fn a_call_ends_when_cancelled() {
    let server = FakeServer::start(|_, _| Reply::Hang).await;
    let cancel = CancellationToken::new();
    let session = session(server.url()).with_cancellation(cancel.clone());
    session.claims().await.unwrap();
    let call = tokio::spawn({
        let session = session.clone();
        async move { session.tasks().ping(&task()).await }
    });
    while server.count("ping") == 0 {
        tokio::task::yield_now().await;
    }
    cancel.cancel();
    let error = call.await.unwrap().unwrap_err();
    assert!(error.is_interrupted() && error.is_ambiguous() && !error.is_transient());
    // Later calls do not even start.
    let error = session.tasks().ping(&task()).await.unwrap_err();
    assert!(error.is_interrupted() && !error.is_ambiguous());
    assert_eq!(server.count("ping"), 1);
}

/// D-300
#[tokio::test]
async fn a_deadline_ends_the_wait_for_a_server_that_is_away() {
    let server = FakeServer::start(|_, _| Reply::ok(&json!({}))).await;
    let session = session(server.url());
    session.claims().await.unwrap();
    server.go_away().await;
    let hurried = session.with_deadline(Duration::from_millis(200));
    let started = std::time::Instant::now();
    let error = hurried.tasks().ping(&task()).await.unwrap_err();
    assert!(error.is_interrupted(), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(3));
}

///
#[tokio::test]
async fn a_server_that_does_not_answer_runs_out_of_time() {
    let server = FakeServer::start(|_, _| Reply::Hang).await;
    let mut options = options(server.url());
    options.timeouts.connect = Duration::from_millis(100);
    options.timeouts.read = Duration::from_millis(100);
    let session = Session::new(options).unwrap().with_retry(Retry::Never);
    let error = session.tasks().ping(&task()).await.unwrap_err();
    assert!(
        error.is_ambiguous() && error.to_string().contains("no answer in time"),
        "{error}"
    );
}

///
#[tokio::test]
async fn the_method_can_be_chosen_but_batches_are_posted() {
    for (method, expected) in [("get", "GET"), ("Post", "POST"), ("PUT", "PUT")] {
        let server = FakeServer::start(|_, _| Reply::ok(&json!({}))).await;
        let mut options = options(server.url());
        options.default_method = method.parse().unwrap();
        let session = Session::new(options).unwrap();
        let next: Option<NextTask> = session.queues().next_task(&queue(), false).await.unwrap();
        assert_eq!(next, None);
        session.events().add_batch("{}".into()).await.unwrap();
        let methods: Vec<String> = server.requests().into_iter().map(|r| r.method).collect();
        assert_eq!(methods, [expected, expected, "POST"]);
    }
}
