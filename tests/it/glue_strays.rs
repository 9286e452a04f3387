//! Tasks that get lost between their queue and a glue.

use nix::sys::signal::Signal;
use serde_json::json;

use super::kubernetes::Site;
use super::support::{Fault, FaultProxy, Script, wait_until};

impl Site {
    /// Whether somebody has asked for all tasks that wait anywhere.
    fn was_searched(&self) -> bool {
        let mut requests = self.context.server.requests().into_iter();
        let waits = json!(["queued"]);
        requests.any(|call| call.endpoint == "tasks.get_all" && call.body["status"] == waits)
    }
}

/// D-172, C-612: a task that left its queue for an answer that never came goes back, and gets its pod.
#[test]
fn a_task_whose_answer_was_lost_gets_its_pod() {
    let site = Site::still();
    let context = &site.context;
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    let is_next = |call: &str| call == "queues.get_next_task";
    // From the start on: one that is on its way already would bring the task, and its answer.
    proxy.set(move |call| is_next(call).then_some(Fault::ServerError));
    let glue = site.glue(&[]);
    let task = context.enqueue(Script::shell("echo"));
    let mut is_lost = false;
    proxy.set(move |call| {
        let is_first = is_next(call) && !is_lost;
        is_lost |= is_first;
        is_first.then_some(Fault::AnswerLost)
    });
    glue.wait_for_output(&format!("task '{task}' had left queue"));
    site.cluster.wait_for_pod(&task);
    assert_eq!(site.cluster.names("pods").len(), 1);
}

/// C-647: what a glue had been given when it was killed, and had not written down, is found by the next one.
#[test]
fn a_task_that_a_killed_glue_was_given_gets_its_pod() {
    let site = Site::still();
    let context = &site.context;
    let mut glue = site.glue(&[]);
    assert!(wait_until(|| site.was_searched()), "an unknown past");
    glue.kill();
    let task = context.enqueue(Script::shell("echo"));
    let given = context.call("queues.get_next_task", json!({ "queue": context.queue() }));
    assert_eq!(given["entry"]["task"], json!(task));
    let mut glue = site.glue(&[]);
    glue.wait_for_output(&format!("task '{task}' had left queue"));
    site.cluster.wait_for_pod(&task);
    glue.signal(Signal::SIGTERM);
    glue.wait();
}

/// C-647: nor is one lost that was between two queues, where the ledger is gone with the machine.
#[test]
fn a_task_that_was_left_between_two_queues_gets_its_pod() {
    let site = Site::still();
    let context = &site.context;
    let task = context.enqueue(Script::shell("echo"));
    context.call("queues.get_next_task", json!({ "queue": context.queue() }));
    let moving = "moving to k8s pending queue";
    let stop = json!({ "task": task, "force": true, "status_reason": moving });
    context.call("tasks.stop", stop);
    assert_eq!(context.status(&task), "stopped");
    let glue = site.glue(&[]);
    glue.wait_for_output(&format!("task '{task}' was left between two queues"));
    site.cluster.wait_for_pod(&task);
}

/// C-647: after a glue that has ended in order nobody needs to look.
#[test]
fn a_glue_that_has_ended_leaves_no_doubt() {
    let site = Site::still();
    let mut glue = site.glue(&[]);
    assert!(wait_until(|| site.was_searched()), "an unknown past");
    glue.signal(Signal::SIGTERM);
    glue.wait();
    let before = site.context.server.request_count();
    let _glue = site.glue(&[]);
    let task = site.context.enqueue(Script::shell("echo"));
    site.cluster.wait_for_pod(&task);
    let requests = site.context.server.requests().split_off(before);
    let waits = json!(["queued"]);
    assert!(requests.iter().all(|call| call.body["status"] != waits));
}
