//! The typed calls against the local server, which checks every field, over TLS and through a proxy.
//!
//! Compiled under `#[cfg(test)]` only.

use std::io::Write;
use std::net::SocketAddr;

use local_server::LocalServer;
use tempfile::NamedTempFile;

use super::options;
use super::proxy::LoggingProxy;
use super::tls::{ServerIdentity, TlsFront};
use crate::api::{
    CertificateCheck, Container, Credentials, Dequeue, Enqueue, LogEvent, LogLevel, MachineStats,
    NameMatch, NewTask, ProjectId, ProxySettings, Reason, Requirement, Session, SessionOptions,
    StatusChange, StatusReport, TaskFilter, TaskId, TaskLogQuery, TaskStatus, WorkerId, json_lines,
};
use crate::secrets::SecretString;

async fn start() -> LocalServer {
    LocalServer::start(local_server::Options::default())
        .await
        .unwrap()
}

fn options_for(server: &LocalServer, url: &str) -> SessionOptions {
    let keys = server.credentials();
    SessionOptions {
        credentials: Credentials::Keys {
            access_key: keys.access_key.clone(),
            secret_key: SecretString::new(keys.secret_key.clone()),
        },
        ..options(url.parse().unwrap())
    }
}

fn session_for(server: &LocalServer) -> Session {
    Session::new(options_for(server, &server.url())).unwrap()
}

async fn new_task(session: &Session, name: &str) -> TaskId {
    let task = NewTask {
        name: name.into(),
        kind: "training".into(),
        script: serde_json::from_str(
            r#"{"repository": "", "entry_point": "main.py", "working_dir": ".", "requirements": {"pip": "six\n"}}"#,
        )
        .unwrap(),
        ..NewTask::default()
    };
    session.tasks().create(&task).await.unwrap()
}

/// A-192 to A-195 in short: a task's way through queue, worker and states.
#[tokio::test]
async fn a_task_goes_from_the_queue_to_its_end() {
    let server = start().await;
    let session = session_for(&server);
    let queues = session.queues();
    let NameMatch::One(queue) = queues.by_name("DEFAULT").await.unwrap() else {
        panic!("the server has its default queue");
    };
    assert_eq!(queues.default_queue().await.unwrap().id, queue.id);
    let task = new_task(&session, "life of a task").await;
    let enqueue = Enqueue::new(task.clone(), queue.id.clone());
    session.tasks().enqueue(&enqueue).await.unwrap();
    let again = session.tasks().enqueue(&enqueue).await.unwrap_err();
    assert_eq!(again.reason(), Some(Reason::AlreadyQueued));
    assert_eq!(queues.by_id(&queue.id).await.unwrap().entries[0].task, task);

    let worker = WorkerId::new("vm:0").unwrap();
    session
        .workers()
        .register(&worker, std::slice::from_ref(&queue.id))
        .await
        .unwrap();
    let next = queues.next_task(&queue.id, false).await.unwrap().unwrap();
    assert_eq!(next.entry.task, task);
    assert_eq!(queues.next_task(&queue.id, false).await.unwrap(), None);
    let change = StatusChange::forced(task.clone()).message("pulled by agent");
    session.tasks().started(&change).await.unwrap();
    let dequeued = Dequeue::into_progress(task.clone());
    assert_eq!(session.tasks().dequeue(&dequeued).await.unwrap().updated, 1);
    let report = StatusReport {
        machine_stats: Some(MachineStats {
            cpu_usage: Some(vec![1.0]),
            gpu_usage: Some(vec![35.0, 0.0]),
            ..MachineStats::default()
        }),
        timestamp: 1_795_224_579_000,
        worker: worker.clone(),
        tags: Some(vec!["fast".into()]),
        is_daemon: true,
        task: Some(task.clone()),
        queue: Some(queue.id.clone()),
        queues: Some(vec![queue.id.clone()]),
    };
    session.workers().status_report(&report).await.unwrap();
    let workers = session.workers().all(None, None).await.unwrap();
    assert_eq!(
        (&workers[0].id, workers[0].task.id.as_deref()),
        (&worker, Some(task.as_str()))
    );
    session.tasks().ping(&task).await.unwrap();

    let mut runtime = session.tasks().runtime(&task).await.unwrap().unwrap();
    runtime.insert("_exec_agent_hostname".into(), "vm".into());
    session.tasks().edit_runtime(&task, &runtime).await.unwrap();
    let container = Container {
        image: Some("python:3.11".into()),
        ..Container::default()
    };
    session
        .tasks()
        .edit_container(&task, &container)
        .await
        .unwrap();
    let mut lists = session.tasks().requirements(&task).await.unwrap().unwrap();
    lists.rename("pip", "org_pip");
    lists.set("pip", vec!["six==1.17.0".into()]);
    session
        .tasks()
        .set_requirements(&task, &lists)
        .await
        .unwrap();

    let stop = StatusChange::new(task.clone()).reason("by a test");
    session.tasks().stop(&stop).await.unwrap();
    let status = session.tasks().status(&task, false).await.unwrap().unwrap();
    assert_eq!(status.status, Some(TaskStatus::InProgress));
    assert!(status.status_message.unwrap().contains("stopping"));
    assert!(
        session
            .tasks()
            .abort_callback(&task)
            .await
            .unwrap()
            .is_some()
    );
    let change = StatusChange::new(task.clone()).reason("task was stopped by tasks.stop");
    session.tasks().stopped(&change).await.unwrap();

    let task_at_end = session.tasks().by_id(&task).await.unwrap();
    assert_eq!(task_at_end.status, Some(TaskStatus::Stopped));
    assert_eq!(task_at_end.runtime["_exec_agent_hostname"], "vm");
    assert_eq!(task_at_end.container.image.as_deref(), Some("python:3.11"));
    let pip = task_at_end.script.unwrap().requirements.list("pip");
    assert_eq!(pip, Some(Requirement::Lines(vec!["six==1.17.0".into()])));
    session
        .workers()
        .unregister(&worker, &[queue.id])
        .await
        .unwrap();
    assert!(session.workers().all(None, None).await.unwrap().is_empty());
}

/// A-143, A-126, A-160
#[tokio::test]
async fn tasks_are_found_copied_reset_and_deleted() {
    let server = start().await;
    let session = session_for(&server);
    let tasks = session.tasks();
    let task = new_task(&session, "a (strange) name.*").await;
    let NameMatch::One(found) = tasks.by_name("A (strange) name.*").await.unwrap() else {
        panic!("the name is unique");
    };
    assert_eq!(found.id, Some(task.clone()));
    let copy = tasks.duplicate(&task, "copy").await.unwrap();
    assert_eq!(tasks.by_id(&copy).await.unwrap().parent, Some(task.clone()));
    let filter = TaskFilter {
        id: vec![task.clone(), copy.clone()],
        status: vec![TaskStatus::Created],
        search_hidden: true,
        only_fields: vec!["id".into(), "status".into()],
        ..TaskFilter::default()
    };
    assert_eq!(tasks.all(&filter).await.unwrap().len(), 2);
    let refused = tasks
        .completed(&StatusChange::new(task.clone()))
        .await
        .unwrap_err();
    assert!(refused.is_invalid_status(), "{refused}");
    tasks
        .started(&StatusChange::forced(task.clone()))
        .await
        .unwrap();
    tasks
        .completed(&StatusChange::new(task.clone()))
        .await
        .unwrap();
    tasks
        .reset(&StatusChange::forced(task.clone()))
        .await
        .unwrap();
    let status = tasks.status_only(&task).await.unwrap().unwrap();
    assert_eq!(status.status, Some(TaskStatus::Created));
    let nowhere = ProjectId::new("0".repeat(32)).unwrap();
    assert_eq!(session.projects().name(&nowhere).await.unwrap(), None);
    tasks.delete(&task, true).await.unwrap();
    assert_eq!(tasks.status(&task, false).await.unwrap(), None);
    assert!(tasks.by_id(&task).await.unwrap_err().is_unknown_task());
    let nowhere = Enqueue::new(copy, "0".repeat(32).parse().unwrap());
    assert!(
        tasks
            .enqueue(&nowhere)
            .await
            .unwrap_err()
            .is_unknown_queue()
    );
}

/// A-150: lines come back as they were sent.
#[tokio::test]
async fn console_lines_are_stored_and_read_back() {
    let server = start().await;
    let session = session_for(&server);
    let task = new_task(&session, "talker").await;
    let worker = WorkerId::new("vm:0").unwrap();
    let text = "größe\t\u{1b}[31mred\u{1b}[0m \"quoted\"\n";
    let events = [
        LogEvent::new(LogLevel::Debug, &task, &worker, text, 1_795_224_596_390),
        LogEvent::new(LogLevel::Error, &task, &worker, "end", 1_795_224_596_391),
    ];
    let added = session
        .events()
        .add_batch(json_lines(&events))
        .await
        .unwrap();
    assert_eq!((added.added, added.errors), (2, 0));
    let query = TaskLogQuery {
        task: task.clone(),
        batch_size: 10,
        navigate_earlier: true,
        from_timestamp: None,
    };
    let page = session.events().task_log(&query).await.unwrap();
    assert_eq!(page.total, 2);
    let read: Vec<&str> = page
        .events
        .iter()
        .filter_map(|e| e.msg.as_deref())
        .collect();
    assert_eq!(read, ["end", text]);
    assert_eq!(page.events[0].timestamp, 1_795_224_596_391);
    assert_eq!(
        session
            .events()
            .add_batch(Vec::new().into())
            .await
            .unwrap()
            .added,
        0
    );
}

/// A-003, A-027, A-062, A-102
#[tokio::test]
async fn the_login_is_renewed_and_tells_of_server_and_user() {
    let server = start().await;
    let session = session_for(&server);
    let claims = session.claims().await.unwrap();
    assert!(claims.api_version >= "2.31".parse().unwrap() && !claims.is_enterprise());
    assert_eq!(
        session.users().current().await.unwrap().id.as_str(),
        claims.user
    );
    let token = session.bearer_token().await.unwrap();
    assert!(session.validates(&token).await.unwrap());
    assert!(
        session
            .server_calls()
            .info()
            .await
            .unwrap()
            .version
            .is_some()
    );
    session.server_calls().ping().await.unwrap();
    server.block_tokens().unwrap();
    session.users().current().await.unwrap();
    let logins = server.requests();
    let logins = logins.iter().filter(|r| r.path.contains("auth.login"));
    assert_eq!(logins.count(), 2);
}

/// A-032, A-033, A-034: a certificate of one's own, through a tunnel.
#[tokio::test]
async fn the_server_is_reached_by_tls_through_a_proxy() {
    let server = start().await;
    let identity = ServerIdentity::by_authority(&["127.0.0.1"]);
    let upstream: SocketAddr = server.url().trim_start_matches("http://").parse().unwrap();
    let front = TlsFront::start(upstream, &identity).await;
    let proxy = LoggingProxy::start().await;
    let mut bundle = NamedTempFile::new().unwrap();
    bundle.write_all(identity.trusted().as_bytes()).unwrap();
    let mut options = options_for(&server, &format!("https://{}", front.address()));
    options.trust.check = CertificateCheck::File(bundle.path().to_owned());
    let address = proxy.url();
    options.proxies =
        ProxySettings::from_variables(|name| (name == "https_proxy").then(|| address.clone()));
    let session = Session::new(options).unwrap();
    new_task(&session, "far away").await;
    assert!(
        proxy
            .requests()
            .contains(&format!("CONNECT {}", front.address()))
    );
}
