//! What others do to the tasks of a glue: another worker runs one, a queue is deleted.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use super::kubernetes::{Site, refusal};
use super::support::{Script, wait_until};

impl Site {
    /// The part of another machine's agent, as far as the server sees it.
    fn run_elsewhere(&self, task: &str) {
        let held = self.context.field(task, "execution")["queue"].clone();
        let remove = json!({ "queue": held, "task": task });
        self.context.call("queues.remove_task", remove);
        let started = json!({ "task": task, "force": true, "status_message": "launch by agent" });
        self.context.call("tasks.started", started);
        let report = json!({
            "worker": "elsewhere:0",
            "task": task,
            "queues": [],
            "timestamp": 0,
            "machine_stats": {},
        });
        self.context.call("workers.status_report", report);
    }
}

/// C-643: a healthy run is not stopped for a job that waits.
#[test]
fn a_run_elsewhere_ends_the_waiting_job_of_its_task() {
    let site = Site::still();
    let glue = site.glue(&[]);
    let task = site.enqueue("echo never");
    site.cluster.wait_for_pod(&task);
    glue.signal(Signal::SIGSTOP);
    site.run_elsewhere(&task);
    glue.signal(Signal::SIGCONT);
    site.wait_for_no("pods");
    glue.wait_for_output("Cancelling");
    assert_eq!(site.context.status(&task), "in_progress");
    assert_eq!(site.queued("k8s_scheduler"), 0);
}

/// C-614, C-616: nor does a task without a queue keep the glue from the others.
#[test]
fn a_task_that_cannot_go_back_into_its_queue_has_failed() {
    let site = Site::still();
    let context = &site.context;
    let other = context.call("queues.create", json!({ "name": "other" }));
    let other = other["id"].as_str().expect("an id");
    let glue = site.glue(&["--queue", "other"]);
    site.cluster.delay(Duration::from_secs(1));
    let full = refusal("pods", 429, "TooManyRequests", "too many requests");
    site.cluster.inject(full);
    let task = context.enqueue_to(other, Script::shell("echo never"));
    glue.wait_for_output(&format!("Received task {task}"));
    context.call("queues.delete", json!({ "queue": other, "force": true }));
    context.wait_for_status(&task, "failed");
    let reason = context.reason(&task);
    assert!(reason.starts_with("too many requests"), "{reason}");
    assert!(
        reason.contains("; it cannot go back into its queue: "),
        "{reason}"
    );
    let next = site.enqueue("echo later");
    assert!(wait_until(|| site.cluster.pod(&next).is_some()));
}

/// C-645: a pod that gives way and is gone before anybody has looked has said why.
#[test]
fn a_pod_that_gave_way_and_is_gone_is_not_taken_for_deleted() {
    let site = Site::still();
    let glue = site.glue(&[]);
    let task = site.enqueue("echo never");
    site.cluster.wait_for_pod(&task);
    site.begin(&task);
    site.wait_for_looks();
    glue.signal(Signal::SIGSTOP);
    let gives_way =
        json!({"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"});
    site.cluster.set_status(
        &task,
        &json!({ "phase": "Running", "conditions": [gives_way] }),
    );
    site.cluster.lose(&task);
    glue.signal(Signal::SIGCONT);
    site.context.wait_for_status(&task, "failed");
    let reason = site.context.reason(&task);
    assert!(reason.contains("PreemptionByScheduler"), "{reason}");
}
