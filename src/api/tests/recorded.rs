//! The official agent's recorded calls: ours have the same method, path and body to the byte, and its answers are read.
//!
//! Compiled under `#[cfg(test)]` only.

use std::future::Future;

use serde::Deserialize;
use serde_json::Value;

use super::options;
use super::server::{FakeServer, Reply, Seen};
use crate::api::{
    ApiError, Dequeue, LogEvent, LogLevel, MachineStats, NameMatch, ProjectId, QueueId, Reason,
    Runtime, RuntimeProperty, ScriptEdit, Session, StatusChange, StatusReport, TaskId, TaskStatus,
    UserId, WorkerId, json_lines,
};

const QUEUE: &str = "eac3bec849d6426ea58183277cee9c1f";
const TASK: &str = "ad54fcc1c0a0449d9a2bc64324997a13";

#[derive(Deserialize)]
struct Recorded {
    name: String,
    method: String,
    path: String,
    request: Value,
    status: u16,
    answer: Value,
}

/// Makes the call against a server that gives the recorded answer, and compares it with the recorded request.
async fn replay<T, F>(name: &str, call: impl FnOnce(Session) -> F) -> T
where
    F: Future<Output = T>,
{
    let all: Vec<Recorded> =
        serde_json::from_str(include_str!("../../../tests/data/api/recorded.json")).unwrap();
    let recorded = all.into_iter().find(|r| r.name == name).expect(name);
    let answer = recorded.answer.to_string();
    let status = recorded.status;
    let server = FakeServer::start(move |_, _| Reply::raw(status, answer.clone())).await;
    let result = call(Session::new(options(server.url())).unwrap()).await;
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "{name}");
    let ours: &Seen = &requests[1];
    assert_eq!(
        (ours.method.as_str(), ours.path.as_str()),
        (recorded.method.as_str(), recorded.path.as_str()),
        "{name}"
    );
    let (kind, body) = match &recorded.request["__json_lines__"] {
        Value::Array(lines) => {
            let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            ("application/json-lines", lines.join("\n"))
        }
        _ => ("application/json", recorded.request.to_string()),
    };
    assert_eq!(ours.body, body, "{name}");
    assert_eq!(ours.header("content-type"), Some(kind), "{name}");
    result
}

fn task_id(text: &str) -> TaskId {
    TaskId::new(text).unwrap()
}

fn queue_id() -> QueueId {
    QueueId::new(QUEUE).unwrap()
}

fn worker() -> WorkerId {
    WorkerId::new("vm:0").unwrap()
}

///
#[tokio::test]
async fn queues() {
    let found = replay("queue by name", async |s| {
        s.queues().by_name("default").await
    })
    .await;
    let NameMatch::One(queue) = found.unwrap() else {
        panic!()
    };
    assert_eq!(queue.id, queue_id());
    let found = replay("unknown queue", async |s| {
        s.queues().by_name("nosuch").await
    })
    .await;
    assert_eq!(found.unwrap(), NameMatch::None { near: Vec::new() });
    let ids = [queue_id()];
    let found = replay("queues by ids", async |s| s.queues().by_ids(&ids).await)
        .await
        .unwrap();
    assert_eq!(found[0].name.as_deref(), Some("default"));
    assert_eq!(found[0].system_tags, ["default"]);
    let found = replay("queue tags", async |s| s.queues().tags(&ids).await)
        .await
        .unwrap();
    assert_eq!((found.len(), &found[0].tags), (1, &Vec::new()));
    let found = replay("default queue", async |s| s.queues().default_queue().await).await;
    assert_eq!(found.unwrap().name.as_deref(), Some("default"));
    let id = replay("create queue", async |s| {
        s.queues().create("newq-5236", &[]).await
    })
    .await;
    assert_eq!(id.unwrap().as_str(), "3e1b495c176b4603b4f07adcf44b0961");
    let next = replay("empty queue", async |s| {
        s.queues().next_task(&ids[0], false).await
    })
    .await;
    assert_eq!(next.unwrap(), None);
    let next = replay("next task", async |s| {
        s.queues().next_task(&ids[0], false).await
    })
    .await;
    assert_eq!(next.unwrap().unwrap().entry.task, task_id(TASK));
}

///
#[tokio::test]
async fn workers() {
    let queues = [queue_id()];
    let id = worker();
    replay("register", async |s| {
        s.workers().register(&id, &queues).await
    })
    .await
    .unwrap();
    replay("unregister", async |s| {
        s.workers().unregister(&id, &[]).await
    })
    .await
    .unwrap();
    let refused = replay("runtime properties", async |s| {
        s.workers().runtime_properties(&id).await
    });
    assert!(refused.await.unwrap_err().is_unknown_call());
    let cpu = WorkerId::new("vm:cpu:0").unwrap();
    let limit = [RuntimeProperty {
        key: "max_num_instances".into(),
        value: "-1".into(),
        expiry: None,
    }];
    let refused = replay("set runtime properties", async |s| {
        s.workers().set_runtime_properties(&cpu, &limit).await
    });
    assert!(refused.await.unwrap_err().is_unknown_call());
    let answer = replay("list", async |s| s.workers().all_as_answered().await)
        .await
        .unwrap();
    let typed: Vec<crate::api::Worker> = serde_json::from_value(answer["workers"].clone()).unwrap();
    assert_eq!(
        (&typed[0].id, typed[0].user.name.as_deref()),
        (&id, Some("tests"))
    );
    assert_eq!(typed[0].queues[0].id, queue_id());
}

/// A-117, D-177 to D-184
#[tokio::test]
async fn status_reports() {
    let idle = StatusReport {
        machine_stats: Some(MachineStats {
            cpu_usage: Some(vec![0.667]),
            disk_free_home: Some(81.1),
            disk_read: Some(0.0),
            disk_write: Some(2.334),
            memory_free: Some(23296.042),
            memory_used: Some(807.88),
            network_rx: Some(0.0),
            network_tx: Some(0.0),
            ..MachineStats::default()
        }),
        timestamp: 1_795_224_579_000,
        worker: worker(),
        tags: None,
        is_daemon: true,
        task: None,
        queue: None,
        queues: Some(vec![queue_id()]),
    };
    let busy = StatusReport {
        machine_stats: None,
        timestamp: 1_795_224_596_000,
        task: Some(task_id(TASK)),
        queue: Some(queue_id()),
        ..idle.clone()
    };
    for (name, report) in [("status report", idle), ("status report with task", busy)] {
        replay(name, async |s| s.workers().status_report(&report).await)
            .await
            .unwrap();
    }
}

///
#[tokio::test]
async fn a_task_is_read_whole() {
    let id = task_id(TASK);
    let task = replay("task", async |s| s.tasks().by_id(&id).await)
        .await
        .unwrap();
    assert_eq!(task.id, Some(id));
    assert_eq!(task.name.as_deref(), Some("git task"));
    assert_eq!(task.kind.as_deref(), Some("training"));
    assert_eq!(task.status, Some(TaskStatus::InProgress));
    assert_eq!(task.status_message.as_deref(), Some("launch by agent"));
    assert_eq!(task.user, UserId::new("__tests__").ok());
    assert_eq!(
        task.project,
        ProjectId::new("2d457733a4cb49c69de0ae56b4f3283d").ok()
    );
    assert_eq!(task.execution.queue, Some(queue_id()));
    assert_eq!(task.last_worker.as_deref(), Some("vm:0"));
    assert_eq!(task.runtime["_exec_agent_hostname"], "vm");
    let script = task.script.unwrap();
    assert_eq!(script.branch.as_deref(), Some("main"));
    assert_eq!(script.entry_point.as_deref(), Some("train.py"));
    assert_eq!(script.requirements.list("pip").unwrap().text(), "six\n");
    assert!(script.diff.unwrap().starts_with("diff --git a/train.py"));
    assert_eq!(script.tag, None);

    let id = task_id("2c8800b3875b44fdac239912cf80f5ad");
    let task = replay("parameters", async |s| s.tasks().by_id(&id).await)
        .await
        .unwrap();
    assert_eq!(task.hyperparams["Args"]["lr"].value.as_deref(), Some("0.1"));
    assert_eq!(
        task.container.arguments.as_deref(),
        Some("-e MYENV=1 --env MYENV2=two")
    );
    assert_eq!(
        task.container.setup_shell_script.as_deref(),
        Some("echo setup")
    );
}

///
#[tokio::test]
async fn missing_tasks_are_recognised() {
    let id = task_id("0123456789abcdef0123456789abcdef");
    let error = replay("unknown task", async |s| s.tasks().by_id(&id).await)
        .await
        .unwrap_err();
    assert!(error.is_unknown_task());
    let id = task_id("361c88bfe8e741c0b5f12b6f8ffa3a7c");
    let gone = replay("status of a deleted task", async |s| {
        s.tasks().status(&id, false).await
    })
    .await;
    assert_eq!(gone.unwrap(), None);
}

///
#[tokio::test]
async fn questions_about_a_running_task() {
    let id = task_id(TASK);
    let task = replay("status", async |s| s.tasks().status(&id, false).await)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((task.status, task.id), (Some(TaskStatus::InProgress), None));
    let runtime = replay("runtime", async |s| s.tasks().runtime(&id).await)
        .await
        .unwrap();
    assert_eq!(runtime, Some(Runtime::new()));
    let lists = replay("requirements", async |s| s.tasks().requirements(&id).await).await;
    assert_eq!(lists.unwrap().unwrap().list("pip").unwrap().text(), "six\n");
    let id = task_id("b3038be6bbbf4ab39599441ee887b489");
    let task = replay("abort callback", async |s| {
        s.tasks().abort_callback(&id).await
    })
    .await;
    assert_eq!(
        task.unwrap().unwrap().status_message.as_deref(),
        Some("stopping")
    );
    let task = replay("status only", async |s| s.tasks().status_only(&id).await).await;
    assert_eq!(task.unwrap().unwrap().status, Some(TaskStatus::InProgress));
}

///
#[tokio::test]
async fn status_changes() {
    let by_agent = "Changed by clearml-agent vm:0";
    let started = |change: StatusChange| {
        move |s: Session| async move { s.tasks().started(&change).await.unwrap().updated }
    };
    let forced = || StatusChange::forced(task_id(TASK));
    let change = forced().message("pulled by agent");
    assert_eq!(replay("started", started(change)).await, 1);
    let change = forced().reason("starting execution soon").message("");
    assert_eq!(replay("starting soon", started(change)).await, 1);
    let change = forced()
        .reason("worker started execution")
        .message(by_agent);
    assert_eq!(replay("worker started", started(change)).await, 1);
    let change = StatusChange::new(task_id(TASK))
        .reason("worker execution done")
        .message(by_agent);
    let done = replay("completed", async |s| s.tasks().completed(&change).await)
        .await
        .unwrap();
    assert_eq!(done.fields["status"], "completed");
    let change = StatusChange::new(task_id("91df7e1bb2524662ad533d8cbd24cab5"))
        .reason("worker execution exit code 1")
        .message(by_agent);
    replay("failed", async |s| s.tasks().failed(&change).await)
        .await
        .unwrap();
    let change = StatusChange::new(task_id("b3038be6bbbf4ab39599441ee887b489"))
        .reason("task was stopped by tasks.stop")
        .message(by_agent);
    replay("stopped", async |s| s.tasks().stopped(&change).await)
        .await
        .unwrap();
    let change = StatusChange::new(task_id("7dcbbb0d8d93474fb1a7e9cdf993811a"));
    replay("stopped by the user", async |s| {
        s.tasks().stopped(&change).await
    })
    .await
    .unwrap();
}

///
#[tokio::test]
async fn other_changes_of_a_task() {
    let id = task_id(TASK);
    replay("ping", async |s| s.tasks().ping(&id).await)
        .await
        .unwrap();
    let dequeue = Dequeue::into_progress(id.clone());
    let answer = replay("dequeue", async |s| s.tasks().dequeue(&dequeue).await).await;
    assert_eq!(answer.unwrap().updated, 1);
    let runtime = Runtime::from_iter([("_exec_agent_hostname".to_owned(), "vm".into())]);
    replay("edit runtime", async |s| {
        s.tasks().edit_runtime(&id, &runtime).await
    })
    .await
    .unwrap();
    let mut lists = replay("requirements", async |s| s.tasks().requirements(&id).await)
        .await
        .unwrap()
        .unwrap();
    lists.rename("pip", "org_pip");
    lists.set("pip", vec!["Cython==3.3.1".into(), "six==1.17.0".into()]);
    replay("set requirements", async |s| {
        s.tasks().set_requirements(&id, &lists).await
    })
    .await
    .unwrap();
    let id = task_id("2c8afd3d70034853a1eb9ccb19b047f4");
    let script = ScriptEdit {
        version_num: Some("f0e5b74b113a5f8d12886540f523517a261ad638".into()),
    };
    replay("edit script", async |s| {
        s.tasks().edit_script(&id, &script).await
    })
    .await
    .unwrap();
    let id = task_id("c9764accb59c4b48884e30c210ac319a");
    let new = replay("clone", async |s| {
        s.tasks().duplicate(&id, "Clone of exec-clone").await
    });
    assert_eq!(
        new.await.unwrap().as_str(),
        "73ff7477994b48b1be578a6cf96db0c0"
    );
}

///
#[tokio::test]
async fn console_lines() {
    let (id, worker) = (task_id(TASK), worker());
    let text = format!("task {id} pulled from {QUEUE} by worker {worker}\n");
    let event = LogEvent::new(LogLevel::Info, &id, &worker, &text, 1_795_224_596_390);
    let lines = json_lines(std::slice::from_ref(&event));
    let added = replay("log", async |s| s.events().add_batch(lines).await)
        .await
        .unwrap();
    assert_eq!((added.added, added.errors), (1, 0));

    let id = task_id("361c88bfe8e741c0b5f12b6f8ffa3a7c");
    let text = "tick 7\ntick 8\ntick 9\ntick 10\ntick 11\n";
    let event = LogEvent::new(LogLevel::Debug, &id, &worker, text, 1_795_224_864_284);
    let lines = json_lines(std::slice::from_ref(&event));
    let error: ApiError = replay("events not added", async |s| {
        s.events().add_batch(lines).await
    })
    .await
    .unwrap_err();
    assert_eq!(error.reason(), Some(Reason::EventsNotAdded));
    let two = [event.clone(), event];
    assert_eq!(json_lines(&two).split(|b| *b == b'\n').count(), 2);
}
