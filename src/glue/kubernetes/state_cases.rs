//! Pods as a cluster shows them, and what they mean.
//!
//! Compiled under `#[cfg(test)]` only.

use serde_json::{Value, json};

use super::state::Object;
use crate::glue::cluster::{Cause, JobEnd, JobState};

fn state(status: &Value) -> JobState {
    let pod = json!({
        "metadata": {"name": "a", "namespace": "n"},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "a"}, {"name": "side"}]},
        "status": status,
    });
    let pod: Object = serde_json::from_value(pod).unwrap();
    pod.state(&["ImagePullBackOff".to_owned()])
}

fn ended(cause: Cause, word: &str) -> JobState {
    let word = word.to_owned();
    JobState::Ended(JobEnd { cause, word })
}

fn terminated(name: &str, state: &Value) -> Value {
    json!([{"name": name, "state": {"terminated": state}}])
}

/// C-641, C-642: whichever condition says it.
#[test]
fn a_pod_that_waits_says_why() {
    let conditions = json!([
        {"type": "Initialized", "status": "True"},
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"},
    ]);
    assert_eq!(
        state(&json!({"phase": "Pending", "conditions": conditions})),
        JobState::Pending("Unschedulable (0/3 nodes are available)".to_owned())
    );
    let waiting = |reason: &str| json!([{"name": "a", "state": {"waiting": {"reason": reason, "message": "m"}}}]);
    assert_eq!(
        state(&json!({"phase": "Pending", "containerStatuses": waiting("ErrImagePull")})),
        JobState::Pending("ErrImagePull (m)".to_owned())
    );
    let word = "ImagePullBackOff (m)";
    for place in ["containerStatuses", "initContainerStatuses"] {
        let status = json!({"phase": "Pending", place: waiting("ImagePullBackOff")});
        assert_eq!(state(&status), ended(Cause::NeverStarts, word));
    }
}

/// C-645
#[test]
fn a_pod_that_has_ended_says_how() {
    let failed =
        |state: &Value| json!({"phase": "Failed", "containerStatuses": terminated("a", state)});
    assert_eq!(
        state(&failed(&json!({"reason": "OOMKilled", "exitCode": 137}))),
        ended(Cause::OutOfMemory, "OOMKilled, exit code 137")
    );
    assert_eq!(
        state(&failed(&json!({"reason": "Error", "exitCode": 1}))),
        ended(Cause::Done, "Error, exit code 1")
    );
    for (status, cause, word) in [
        (
            json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}),
            Cause::Preempted,
            "Evicted (The node was low on resource: memory.)",
        ),
        (
            json!({"phase": "Failed", "reason": "Evicted", "message": "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. "}),
            Cause::OutOfRoom,
            "Evicted (Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.)",
        ),
        (
            json!({"phase": "Failed", "reason": "DeadlineExceeded"}),
            Cause::TimeLimit,
            "DeadlineExceeded",
        ),
        (
            json!({"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}]}),
            Cause::NodeFailed,
            "DeletionByTaintManager",
        ),
    ] {
        assert_eq!(state(&status), ended(cause, word));
    }
    // The copy of the agent has failed.
    let first = terminated("copy", &json!({"reason": "Error", "exitCode": 126}));
    assert_eq!(
        state(&json!({"phase": "Failed", "initContainerStatuses": first})),
        ended(Cause::Done, "Error, exit code 126")
    );
}

/// A proxy beside the task's container never ends by itself.
#[test]
fn a_pod_has_ended_with_the_container_of_the_task() {
    let status = |name: &str| {
        let state = json!({"reason": "Completed", "exitCode": 0});
        json!({"phase": "Running", "containerStatuses": terminated(name, &state)})
    };
    assert_eq!(state(&status("side")), JobState::Running);
    let end = ended(Cause::Done, "Completed, exit code 0");
    assert_eq!(state(&status("a")), end);
}
