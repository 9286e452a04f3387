//! Pods that are watched, and what is not believed of a watch.

use serde_json::json;

use super::kubernetes::{Site, refusal};
use super::support::kubernetes::{InjectedFault, NAMESPACE};
use super::support::wait_until;

impl Site {
    /// How often pods were asked for in this way.
    fn count(&self, verb: &str) -> usize {
        let requests = self.cluster.requests();
        let place = format!("{verb} /api/v1/namespaces/{NAMESPACE}/pods");
        requests.iter().filter(|one| **one == place).count()
    }
}

/// C-640: what changes is said by the API itself, and asked for again where it has forgotten what was before.
#[test]
fn pods_are_watched_and_not_listed_each_time() {
    let site = Site::still();
    let glue = site.glue(&[]);
    let task = site.enqueue("echo never");
    site.cluster.wait_for_pod(&task);
    assert!(wait_until(|| site.count("WATCH") == 1));
    let lists = site.count("GET");
    let unschedulable = |why: &str| {
        let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why});
        let status = json!({"phase": "Pending", "conditions": [condition]});
        site.cluster.set_status(&task, &status);
        let says = |text: &str| text == format!("K8S glue status: Unschedulable ({why})");
        let status = || site.context.field(&task, "status_message");
        assert!(wait_until(|| status().as_str().is_some_and(says)));
    };
    unschedulable("no room");
    site.wait_for_looks();
    assert_eq!(site.count("GET"), lists);
    // A watch that ends is one that is gone.
    site.cluster.go_away(true);
    glue.wait_for_output("the cluster does not answer");
    site.cluster.go_away(false);
    glue.wait_for_output("The cluster answers again");
    unschedulable("still none");
    // 410
    let lists = site.count("GET");
    site.cluster.forget_changes();
    assert!(wait_until(|| site.count("GET") > lists));
    unschedulable("none today");
}

/// C-647: a role of an earlier release goes on to do.
#[test]
fn pods_are_listed_where_nobody_may_watch() {
    let site = Site::still();
    let forbidden = refusal("pods", 403, "Forbidden", "cannot watch pods");
    site.cluster.inject(InjectedFault {
        method: "WATCH",
        ..forbidden
    });
    let glue = site.glue(&[]);
    glue.wait_for_output("the Kubernetes role does not allow to watch");
    let task = site.enqueue("echo never");
    site.cluster.wait_for_pod(&task);
    site.wait_for_looks();
    let requests = site.cluster.requests();
    let watches = requests.iter().filter(|one| one.starts_with("WATCH"));
    assert_eq!(watches.count(), 1);
}

/// C-640: what a watch alone has said of a pod decides about no task.
#[test]
fn a_pod_that_only_a_watch_calls_gone_is_asked_for() {
    let site = Site::still();
    let _glue = site.glue(&[]);
    let task = site.enqueue("echo never");
    site.cluster.wait_for_pod(&task);
    assert!(wait_until(|| site.count("WATCH") == 1));
    site.wait_for_looks();
    let status = || site.context.field(&task, "status");
    let (before, lists, made) = (status(), site.count("GET"), site.count("POST"));
    site.cluster.pretend_lost(&task);
    assert!(wait_until(|| site.count("GET") > lists));
    site.wait_for_looks();
    assert_eq!(status(), before);
    assert_eq!(site.count("POST"), made);
    // Gone indeed.
    site.cluster.lose(&task);
    site.context.wait_for_status(&task, "failed");
}
