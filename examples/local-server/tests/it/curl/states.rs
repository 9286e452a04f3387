//! The states of tasks, queues and workers, and who may change them.

use std::time::{Duration, Instant};

use local_server::Options;
use serde_json::{Value, json};

use super::Caller;

///
#[test]
fn only_legal_changes_without_force() {
    let caller = Caller::new();
    let task = caller.new_task();
    assert_eq!(
        caller.refusal("tasks.completed", json!({"task": task})),
        (400, 110)
    );
    caller.data(
        "tasks.started",
        json!({"task": task, "status_message": "begun"}),
    );
    let again = caller.data("tasks.started", json!({"task": task}));
    assert_eq!(again["fields"]["status_message"], "");
    assert!(again["fields"].get("started").is_none());
    caller.data("tasks.failed", json!({"task": task}));
    assert_eq!(
        caller.refusal("tasks.started", json!({"task": task})),
        (400, 110)
    );
    caller.data("tasks.started", json!({"task": task, "force": true}));
    assert_eq!(caller.status(&task), "in_progress");
}

/// A-162, D-340: without a live worker a task stops at once; with one, the worker is asked to. One that waits leaves its
/// queue.
#[test]
fn stop_asks_a_live_worker() {
    let caller = Caller::new();
    let task = caller.new_task();
    caller.data("tasks.started", json!({"task": task}));
    let report = json!({"worker": "w:0", "timestamp": 1_795_224_579_000_u64, "task": task});
    caller.data("workers.status_report", report);
    let fields = &caller.data("tasks.stop", json!({"task": task}))["fields"];
    assert_eq!(
        (&fields["status"], &fields["status_message"]),
        (&json!("in_progress"), &json!("stopping"))
    );
    let alone = caller.new_task();
    caller.data("tasks.started", json!({"task": alone}));
    caller.data("tasks.stop", json!({"task": alone}));
    assert_eq!(caller.status(&alone), "stopped");
    let queue = caller.data("queues.get_default", json!({}))["id"].clone();
    let waiting = caller.new_task();
    caller.data("tasks.enqueue", json!({"task": waiting, "queue": queue}));
    caller.data("tasks.stop", json!({"task": waiting}));
    assert_eq!(caller.status(&waiting), "stopped");
    let next = caller.data("queues.get_next_task", json!({"queue": queue}));
    assert_eq!(next, json!({}));
}

/// D-341: what an agent may do without force, and what it may not.
#[test]
fn final_statuses_are_set_once() {
    let caller = Caller::new();
    let in_status = |status: &str| {
        let task = caller.new_task();
        caller.data("tasks.started", json!({"task": task}));
        if status != "started" {
            caller.data(&format!("tasks.{status}"), json!({"task": task}));
        }
        task
    };
    for (before, call, after) in [
        ("started", "completed", "completed"),
        ("started", "stopped", "stopped"),
        ("started", "failed", "failed"),
        ("started", "reset", "created"),
        ("started", "started", "in_progress"),
        ("stopped", "completed", "completed"),
        ("stopped", "failed", "failed"),
        ("stopped", "started", "in_progress"),
        ("stopped", "stopped", "stopped"),
        ("completed", "completed", "completed"),
        ("failed", "failed", "failed"),
    ] {
        let task = in_status(before);
        caller.data(&format!("tasks.{call}"), json!({"task": task}));
        assert_eq!(caller.status(&task), after, "{before} {call}");
    }
    let queue = caller.data("queues.get_default", json!({}))["id"].clone();
    let again = in_status("stopped");
    caller.data("tasks.enqueue", json!({"task": again, "queue": queue}));
    assert_eq!(caller.status(&again), "queued");
    for (before, call) in [
        ("failed", "completed"),
        ("completed", "failed"),
        ("completed", "stopped"),
    ] {
        let task = in_status(before);
        assert_eq!(
            caller.refusal(&format!("tasks.{call}"), json!({"task": task})),
            (400, 110)
        );
        assert_eq!(caller.status(&task), before);
    }
}

/// D-342, D-343: what reports and queues do beside their purpose.
#[test]
fn reports_register_and_queues_wake_the_stopped() {
    let caller = Caller::new();
    let queue = caller.data("queues.get_default", json!({}))["id"].clone();
    let task = caller.new_task();
    caller.data("tasks.started", json!({"task": task}));
    let report = |more: Value| {
        let mut report = json!({"worker": "w:0", "timestamp": 1_795_224_579_000_u64});
        let (whole, more) = (
            report.as_object_mut().unwrap(),
            more.as_object().unwrap().clone(),
        );
        whole.extend(more);
        caller.data("workers.status_report", report);
        caller.data("workers.get_all", json!({"last_seen": 0}))["workers"][0].clone()
    };
    let worker = report(json!({"queues": [queue], "task": task}));
    assert_eq!(
        (&worker["id"], &worker["task"]["id"]),
        (&json!("w:0"), &json!(task))
    );
    assert_eq!(worker["queues"][0]["id"], queue);
    for queues in [json!({}), json!({"queues": []})] {
        let worker = report(queues);
        assert_eq!(worker["queues"][0]["id"], queue, "the list is kept");
        assert!(
            worker.get("task").is_none(),
            "the task is cleared: {worker}"
        );
    }
    let extra = json!({"worker": "w:0", "queues": [queue, "none"], "anything": 1});
    caller.data("workers.unregister", extra);

    let stopped = caller.new_task();
    caller.data("tasks.enqueue", json!({"task": stopped, "queue": queue}));
    caller.data("tasks.stopped", json!({"task": stopped, "force": true}));
    assert_eq!(caller.status(&stopped), "stopped");
    let next = caller.data("queues.get_next_task", json!({"queue": queue}));
    assert_eq!(next["entry"]["task"], stopped);
    assert_eq!(caller.status(&stopped), "queued");
}

///
#[test]
fn queue_order_and_dequeue() {
    let caller = Caller::new();
    let queue = caller.data("queues.get_default", json!({}))["id"].clone();
    let tasks: Vec<_> = (0..3).map(|_| caller.new_task()).collect();
    for task in &tasks {
        caller.data("tasks.enqueue", json!({"task": task, "queue": queue}));
    }
    assert_eq!(
        caller.refusal("tasks.enqueue", json!({"task": tasks[0], "queue": queue})),
        (400, 706)
    );
    caller.data(
        "queues.move_task_to_front",
        json!({"queue": queue, "task": tasks[2]}),
    );
    let next =
        || caller.data("queues.get_next_task", json!({"queue": queue}))["entry"]["task"].clone();
    assert_eq!(next(), tasks[2]);
    assert_eq!(next(), tasks[0]);
    assert_eq!(caller.status(&tasks[0]), "queued");
    assert_eq!(
        caller.data("tasks.dequeue", json!({"task": tasks[1]}))["updated"],
        1
    );
    assert_eq!(caller.status(&tasks[1]), "created");
    assert_eq!(
        caller.data("queues.get_next_task", json!({"queue": queue})),
        json!({})
    );
    let unknown = caller.data("tasks.dequeue", json!({"task": "none"}));
    assert_eq!(unknown, json!({"dequeued": 1, "fields": {}, "updated": 0}));
    assert_eq!(
        caller.refusal("queues.get_next_task", json!({"queue": "none"})),
        (400, 701)
    );
}

///
#[test]
fn workers_come_and_go() {
    let caller = Caller::new();
    assert_eq!(
        caller.refusal(
            "workers.register",
            json!({"worker": "w", "queues": ["none"]})
        ),
        (400, 701)
    );
    let queue = caller.data("queues.get_default", json!({}))["id"].clone();
    caller.data(
        "workers.register",
        json!({"worker": "w", "queues": [queue]}),
    );
    let workers = caller.data("workers.get_all", json!({"last_seen": 0}))["workers"].clone();
    assert_eq!(workers[0]["id"], "w");
    assert_eq!(
        workers[0]["queues"],
        json!([{"id": queue, "name": "default", "num_tasks": 0}])
    );
    assert_eq!(
        caller.refusal(
            "workers.status_report",
            json!({"worker": "new", "timestamp": 0, "task": "none"})
        ),
        (400, 101)
    );
    let workers = caller.data(
        "workers.get_all",
        json!({"last_seen": 0, "worker_pattern": "ne*"}),
    );
    assert_eq!(workers["workers"].as_array().unwrap().len(), 1);
    caller.data(
        "workers.unregister",
        json!({"worker": "w", "queues": [queue]}),
    );
    caller.data("workers.unregister", json!({"worker": "unknown"}));
    let workers = caller.data("workers.get_all", json!({"last_seen": 0}));
    assert_eq!(workers["workers"].as_array().unwrap().len(), 1);
}

/// Asks until the answer is as wanted.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// a worker that says nothing for its time is gone.
#[test]
fn silent_workers_disappear() {
    let caller = Caller::new();
    let count = || caller.data("workers.get_count", json!({"last_seen": 0}))["count"].clone();
    caller.data("workers.register", json!({"worker": "brief", "timeout": 1}));
    caller.data("workers.register", json!({"worker": "patient"}));
    assert_eq!(count(), 2);
    eventually("the worker is still there", || count() == 1);
}

/// a running task that says nothing is stopped.
#[test]
fn silent_tasks_are_stopped() {
    let caller = Caller::with(Options {
        task_timeout: Duration::from_secs(1),
        ..Options::default()
    });
    let task = caller.new_task();
    caller.data("tasks.started", json!({"task": task}));
    eventually("the task still runs", || caller.status(&task) == "stopped");
    let task = &caller.data("tasks.get_by_id", json!({"task": task}))["task"];
    assert_eq!(task["status_reason"], "Forced stop (non-responsive)");
}
