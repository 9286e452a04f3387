//! Queues whose tasks run as pods: the glue, against a stand-in of the Kubernetes API.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::support::kubernetes::{InjectedFault, KubernetesStandIn, NAMESPACE};
use super::support::{Agent, Counter, Script, TestContext, wait_until};

pub(crate) const TEMPLATE: &str = "apiVersion: v1
kind: Pod
metadata:
  labels: {team: blue}
spec:
  nodeSelector: {gpu: 'yes'}
  containers:
  - resources:
      limits: {memory: 8Gi}
    env:
    - {name: A, value: template}
";
/// Of the worker `host:k8s`.
pub(crate) const OWNER: &str = "agent-c2387425";

/// A cluster, and a server with the queue `default`.
pub(crate) struct Site {
    // Dropped before the folder of its processes.
    pub(crate) cluster: KubernetesStandIn,
    pub(crate) context: TestContext,
}

impl Site {
    pub(crate) fn still() -> Self {
        let context = TestContext::new();
        let cluster = KubernetesStandIn::still(&context);
        Self { cluster, context }
    }

    pub(crate) fn running() -> Self {
        let context = TestContext::new();
        let cluster = KubernetesStandIn::running(&context);
        Self { cluster, context }
    }

    pub(crate) fn started(
        &self,
        template: &str,
        words: &[&str],
        variables: &[(&str, &str)],
    ) -> Agent {
        let file = self.context.folder().join("template.yaml");
        fs::write(&file, template).unwrap();
        let file = file.display().to_string();
        let mut all = vec!["k8s", "--queue", "default", "--template-yaml", &file];
        all.extend(["--agent-image", "agent:1"]);
        all.extend(words);
        let mut command = self.context.command(&all);
        let (name, value) = self.cluster.variable();
        command.env(name, value).envs(variables.iter().copied());
        self.context.start_command(command)
    }

    pub(crate) fn glue(&self, words: &[&str]) -> Agent {
        let glue = self.started(TEMPLATE, words, &[]);
        glue.wait_for_output("listening to queues: default");
        glue
    }

    pub(crate) fn queued(&self, name: &str) -> usize {
        let queues = self.context.call("queues.get_all", json!({ "name": name }));
        queues["queues"][0]["entries"]
            .as_array()
            .map_or(0, Vec::len)
    }

    /// What the agent in the task's pod does first.
    pub(crate) fn begin(&self, task: &str) {
        let dequeue = json!({ "task": task, "new_status": "in_progress" });
        self.context.call("tasks.dequeue", dequeue);
        let started = json!({ "task": task, "force": true });
        self.context.call("tasks.started", started);
        let running = json!({ "phase": "Running" });
        self.cluster.set_status(task, &running);
    }

    /// The glue has looked several times since: each time it asks for a task or how one stands.
    #[track_caller]
    pub(crate) fn wait_for_looks(&self) {
        let asked = || self.context.server.request_count();
        let before = asked();
        assert!(wait_until(|| asked() > before + 20));
    }

    pub(crate) fn enqueue(&self, text: &str) -> String {
        self.context.enqueue(Script::shell(text))
    }

    /// A task that counts in its pod.
    pub(crate) fn counting(&self) -> (Counter, String) {
        let (counter, script) = Counter::new(&self.context, "");
        let task = self.context.enqueue(script);
        self.context.wait_for_console(&task, "line 5\n");
        (counter, task)
    }

    pub(crate) fn property(&self, task: &str, name: &str) -> Value {
        self.context.field(task, "hyperparams")["properties"][name]["value"].clone()
    }

    #[track_caller]
    pub(crate) fn wait_for_no(&self, collection: &str) {
        let names = || self.cluster.names(collection);
        assert!(wait_until(|| names().is_empty()), "{:?}", names());
    }

    #[track_caller]
    pub(crate) fn wait_for_failure(&self, task: &str, beginning: &str) {
        self.context.wait_for_status(task, "failed");
        let reason = self.context.reason(task);
        assert!(reason.starts_with(beginning), "{reason}");
    }
}

pub(crate) fn refusal(
    collection: &'static str,
    code: u16,
    reason: &'static str,
    message: &'static str,
) -> InjectedFault {
    InjectedFault {
        method: "POST",
        collection,
        code,
        reason,
        message,
        times: 1,
    }
}

/// C-610, C-612, C-613, C-617, C-619, C-620, C-622 to C-624, C-627, C-644, C-647, C-802
#[test]
fn tasks_run_as_pods_and_say_all_themselves() {
    let site = Site::running();
    let mut glue = site.glue(&[]);
    let (counter, script) = Counter::new(&site.context, "echo A is $A");
    let task = site.context.create(script);
    let container = json!({
        "image": "python:3.12",
        "arguments": "-e A=task --ipc=host",
        "setup_shell_script": "export B=setup; echo from the setup",
    });
    let edit = json!({ "task": task, "container": container });
    site.context.call("tasks.edit", edit);
    let queue = site.context.queue();
    let enqueue = json!({ "task": task, "queue": queue });
    site.context.call("tasks.enqueue", enqueue);
    site.context.wait_for_console(&task, "line 5\n");
    let pod = site.cluster.pod(&task).unwrap();
    let labels = &pod["metadata"]["labels"];
    let expected = json!({
        "team": "blue",
        "CLEARML": OWNER,
        "clearml-task-id": task,
        "clearml-agent-queue": queue,
        "clearml-agent-queue-name": "default",
    });
    assert_eq!(*labels, expected);
    let main = &pod["spec"]["containers"][0];
    assert_eq!(main["image"], "python:3.12");
    assert_eq!(main["resources"]["limits"]["memory"], "8Gi");
    let shown = pod.to_string();
    assert!(!shown.contains("from the setup"), "{shown}");
    let secret = site.cluster.names("secrets");
    let secret = site.cluster.object("secrets", &secret[0]).unwrap();
    let owner = &secret["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], pod["metadata"]["uid"]);
    counter.stop();
    site.context.wait_for_status(&task, "completed");
    let console = site.context.console(&task);
    assert!(console.contains("A is task\n"), "{console}");
    assert_eq!(site.property(&task, "k8s-queue"), "default");
    assert_eq!(site.queued("k8s_scheduler"), 0);
    // With the pod goes its secret.
    site.wait_for_no("pods");
    site.wait_for_no("secrets");
    let output = glue.output();
    for line in [
        format!("Received task {task} from queue default"),
        format!("Pulling task {task} launching on kubernetes cluster"),
        format!("Kubernetes scheduling task id={task}"),
        "skipping docker argument --ipc=host (only -e --env supported)".to_owned(),
    ] {
        assert!(output.contains(&line), "{output}");
    }
    glue.signal(Signal::SIGTERM);
    assert_eq!(glue.wait(), 254);
    assert_eq!(site.context.workers(), Vec::<String>::new());
}

/// C-611, C-616: the task that is too many stays in its queue.
#[test]
fn no_more_pods_than_wanted() {
    let site = Site::still();
    let glue = site.glue(&["--max-pods", "1"]);
    let [first, second] = [site.enqueue("echo"), site.enqueue("echo")];
    site.cluster.wait_for_pod(&first);
    glue.wait_for_output("Maximum pod limit reached 1/1, sleeping for ");
    assert_eq!(site.queued("default"), 1);
    let stop = json!({ "task": first });
    site.context.call("tasks.stop", stop);
    site.cluster.wait_for_pod(&second);
    assert_eq!(site.cluster.pod(&first), None);
}

/// C-642, C-643
#[test]
fn an_abort_deletes_a_pod_that_waits() {
    let site = Site::still();
    let _glue = site.glue(&[]);
    let task = site.enqueue("echo never");
    site.cluster.wait_for_pod(&task);
    let condition = json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
    });
    let other = json!({"type": "Initialized", "status": "True"});
    let status = json!({"phase": "Pending", "conditions": [other, condition]});
    site.cluster.set_status(&task, &status);
    let text = "Unschedulable (0/3 nodes are available: 3 Insufficient nvidia.com/gpu.)";
    let console = format!("Kubernetes Pod status: {text}\n");
    site.context.wait_for_console(&task, &console);
    let message = site.context.field(&task, "status_message");
    assert_eq!(message, format!("K8S glue status: {text}"));
    assert_eq!(site.context.status(&task), "queued");
    assert_eq!(site.queued("k8s_scheduler"), 1);
    site.context.call("tasks.stop", json!({ "task": task }));
    site.wait_for_no("pods");
    site.context.wait_for_status(&task, "stopped");
}

/// C-643: the agent in the pod ends it.
#[test]
fn an_abort_ends_a_pod_that_runs() {
    let site = Site::running();
    let _glue = site.glue(&[]);
    let (counter, task) = site.counting();
    site.context.call("tasks.stop", json!({ "task": task }));
    site.context.wait_for_status(&task, "stopped");
    site.wait_for_no("pods");
    assert!(counter.count() > 0);
}

/// C-645: with the reason, and what the pod has printed.
#[test]
fn a_pod_that_had_too_little_memory_has_failed_its_task() {
    let site = Site::running();
    let _glue = site.glue(&[]);
    let (_, task) = site.counting();
    let terminated = json!({"reason": "OOMKilled", "exitCode": 137});
    site.cluster.end(&task, "Failed", &terminated);
    site.cluster.kill(&task);
    let beginning = format!(
        "Kubernetes pod {NAMESPACE}/clearml-id-{task} ended: OOMKilled, exit code 137 (hint: ask for more in `resources.limits.memory`"
    );
    site.wait_for_failure(&task, &beginning);
    let log = format!("GET /api/v1/namespaces/{NAMESPACE}/pods/clearml-id-{task}/log");
    assert!(site.cluster.requests().contains(&log));
    site.wait_for_no("pods");
}

/// C-645: what the agent in it printed before it could speak to the server.
#[test]
fn a_pod_that_ends_before_its_task_shows_its_last_lines() {
    let site = Site::running();
    let _glue = site.glue(&[]);
    let task = site.context.create(Script::shell("echo never"));
    let container = json!({ "setup_shell_script": "echo the setup is broken; exit 7" });
    let edit = json!({ "task": task, "container": container });
    site.context.call("tasks.edit", edit);
    let queue = site.context.queue();
    site.context
        .call("tasks.enqueue", json!({ "task": task, "queue": queue }));
    site.context.wait_for_status(&task, "failed");
    let reason = site.context.reason(&task);
    assert!(
        reason.contains("ended: Error, exit code 7 (hint: "),
        "{reason}"
    );
    let console = site.context.console(&task);
    assert!(console.contains("the setup is broken\n"), "{console}");
    assert_eq!(site.queued("k8s_scheduler"), 0);
}

/// C-645: its node has no room; the task runs again where that is wanted.
#[test]
fn a_task_whose_pod_was_evicted_runs_again_where_that_is_wanted() {
    let site = Site::running();
    let evicted = json!({
        "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory. ",
    });
    let mut glue = site.glue(&[]);
    let (counter, task) = site.counting();
    site.cluster.set_status(&task, &evicted);
    site.cluster.kill(&task);
    let text = format!(
        "Kubernetes pod {NAMESPACE}/clearml-id-{task} ended: Evicted (The node was low on resource: memory.)"
    );
    site.wait_for_failure(&task, &text);
    glue.signal(Signal::SIGTERM);
    assert_eq!(glue.wait(), 254);
    site.context.configure("agent.requeue_on_agent_loss: true");
    let _glue = site.glue(&[]);
    let (_, task) = site.counting();
    site.cluster.set_status(&task, &evicted);
    site.cluster.kill(&task);
    let begins = || site.context.console(&task).matches("line 1\n").count();
    assert!(wait_until(|| begins() == 2), "{}", begins());
    counter.stop();
    site.context.wait_for_status(&task, "completed");
}

/// C-641
#[test]
fn an_image_that_cannot_be_had_fails_the_task() {
    let site = Site::still();
    let _glue = site.glue(&[]);
    let task = site.enqueue("echo never");
    site.cluster.wait_for_pod(&task);
    let name = format!("clearml-id-{task}");
    let waiting = |reason: &str| {
        json!({"phase": "Pending", "containerStatuses": [{"name": name, "state": {"waiting": {
            "reason": reason, "message": "Back-off pulling image \"none\"",
        }}}]})
    };
    site.cluster.set_status(&task, &waiting("ErrImagePull"));
    site.context
        .wait_for_console(&task, "Kubernetes Pod status: ErrImagePull (");
    site.cluster.set_status(&task, &waiting("ImagePullBackOff"));
    let text = "K8S glue error: ImagePullBackOff (Back-off pulling image \"none\") (hint: ";
    site.wait_for_failure(&task, text);
    site.wait_for_no("pods");
    assert_eq!(site.queued("k8s_scheduler"), 0);
}

/// C-645: without a signal, and with one.
#[test]
fn a_pod_that_somebody_deletes_does_not_leave_its_task_alone() {
    let site = Site::running();
    let _glue = site.glue(&[]);
    let (_, lost) = site.counting();
    site.cluster.lose(&lost);
    let text =
        format!("Kubernetes pod {NAMESPACE}/clearml-id-{lost} ended: somebody has deleted it");
    site.wait_for_failure(&lost, &text);
    let (_, deleted) = site.counting();
    site.cluster.delete_pod(&deleted);
    site.context.wait_for_status(&deleted, "stopped");
}

/// C-647: with its ledger, and in a new pod without it.
#[test]
fn a_glue_that_is_killed_loses_no_task() {
    let site = Site::running();
    let mut glue = site.glue(&[]);
    let (counter, task) = site.counting();
    glue.kill();
    let mut glue = site.glue(&[]);
    glue.wait_for_output("Taking over 1 tasks that are under way");
    glue.kill();
    counter.wait_for(5);
    let ledger = site.context.home().join(".local/state/clearml-agent/glue");
    fs::remove_dir_all(ledger).unwrap();
    // Another task was held when its glue died.
    let held = site.context.create(Script::shell("echo held"));
    let property =
        |name: &str, value: &str| json!({"section": "properties", "name": name, "value": value});
    let properties = [
        property("k8s-queue", "default"),
        property("k8s-agent", OWNER),
    ];
    let edit = json!({"task": held, "hyperparams": properties});
    site.context.call("tasks.edit_hyper_params", edit);
    let queues = json!({ "name": "k8s_scheduler" });
    let queues = site.context.call("queues.get_all", queues);
    let holding = &queues["queues"][0]["id"];
    let enqueue = json!({"task": held, "queue": holding});
    site.context.call("tasks.enqueue", enqueue);
    let glue = site.glue(&[]);
    glue.wait_for_output("Taking over 2 tasks that are under way");
    site.context.wait_for_status(&held, "completed");
    counter.stop();
    site.context.wait_for_status(&task, "completed");
    assert!(!glue.output().contains("has failed"), "{}", glue.output());
    site.wait_for_no("pods");
}

/// C-647: killed between the pod and its secret. Of a pod that runs the secret is not looked for.
#[test]
fn a_secret_that_is_missing_after_a_crash_is_made() {
    let site = Site::still();
    let mut glue = site.glue(&[]);
    let task = site.enqueue("echo never");
    site.cluster.wait_for_pod(&task);
    let secrets = || site.cluster.names("secrets");
    assert!(wait_until(|| secrets().len() == 1));
    let before = secrets();
    glue.kill();
    let data = site.cluster.object("secrets", &before[0]).unwrap();
    site.cluster.remove("secrets", &before[0]);
    let mut glue = site.glue(&[]);
    assert!(wait_until(|| secrets() == before), "{:?}", secrets());
    let made = site.cluster.object("secrets", &before[0]).unwrap();
    assert_eq!(made["stringData"], data["stringData"]);
    assert_eq!(
        made["metadata"]["ownerReferences"],
        data["metadata"]["ownerReferences"]
    );
    glue.kill();
    site.cluster
        .set_status(&task, &json!({ "phase": "Running" }));
    let get = format!("GET /api/v1/namespaces/{NAMESPACE}/pods/clearml-id-{task}");
    let gets = || {
        let requests = site.cluster.requests();
        requests.iter().filter(|one| **one == get).count()
    };
    let before = gets();
    let glue = site.glue(&[]);
    glue.wait_for_output("Taking over 1 tasks that are under way");
    assert_eq!(gets(), before);
}

/// C-642: a pod waits again whose task runs. The task goes back among those that wait, unless that is not wanted.
#[test]
fn a_task_whose_pod_waits_again_is_held_unless_that_is_not_wanted() {
    let started = |variables: &[(&str, &str)]| {
        let site = Site::still();
        let glue = site.started(TEMPLATE, &[], variables);
        glue.wait_for_output("listening to queues: default");
        let task = site.enqueue("echo never");
        let said = format!("Task '{task}' is Kubernetes pod");
        glue.wait_for_output(&said);
        let dequeue = json!({ "task": task, "new_status": "created" });
        site.context.call("tasks.dequeue", dequeue);
        let begin = json!({ "task": task, "force": true });
        site.context.call("tasks.started", begin);
        site.cluster
            .set_status(&task, &json!({ "phase": "Pending" }));
        (site, glue, task)
    };
    let no = ("K8S_GLUE_POD_MONITOR_DISABLE_ENQUEUE_ON_PREEMPTION", "1");
    let (left, _glue, stays) = started(&[no]);
    let (held, _other, waits) = started(&[]);
    held.context.wait_for_status(&waits, "queued");
    assert_eq!(held.queued("k8s_scheduler"), 1);
    left.wait_for_looks();
    assert_eq!(left.context.status(&stays), "in_progress");
}

/// C-610: what cannot be counted blocks, unlike in the official glue; the task is anybody's meanwhile.
#[test]
fn tasks_stay_in_their_queue_while_the_api_is_away() {
    let site = Site::running();
    let glue = site.glue(&[]);
    let (counter, running) = site.counting();
    site.cluster.go_away(true);
    glue.wait_for_output("Warning: the cluster does not answer: ");
    let task = site.enqueue("echo done");
    counter.wait_for(20);
    assert_eq!(site.queued("default"), 1);
    site.cluster.go_away(false);
    // Each answer is slow, and still one.
    site.cluster.delay(Duration::from_millis(300));
    glue.wait_for_output("The cluster answers again: tasks are taken");
    site.context.wait_for_status(&task, "completed");
    counter.stop();
    site.context.wait_for_status(&running, "completed");
}

/// C-610, C-640: nothing is decided by a list that was not had.
#[test]
fn a_list_that_fails_is_asked_for_again() {
    let site = Site::running();
    let glue = site.glue(&[]);
    let (counter, running) = site.counting();
    let faults = [
        (
            410,
            "Expired",
            "The resourceVersion for the provided list is too old.",
        ),
        (
            429,
            "TooManyRequests",
            "too many requests, please try again later",
        ),
        (500, "InternalError", "etcdserver: request timed out"),
        (
            403,
            "Forbidden",
            "pods is forbidden: User \"glue\" cannot list resource \"pods\"",
        ),
    ];
    for (asked, (code, reason, message)) in (1..).zip(faults) {
        site.cluster.inject(InjectedFault {
            method: "GET",
            ..refusal("pods", code, reason, message)
        });
        let said = format!("Warning: the cluster does not answer: {message}");
        glue.wait_for_output(&said);
        let again = || glue.output().matches("The cluster answers again").count();
        assert!(wait_until(|| again() == asked), "{}", glue.output());
    }
    let task = site.enqueue("echo done");
    site.context.wait_for_status(&task, "completed");
    counter.stop();
    site.context.wait_for_status(&running, "completed");
}

/// C-614, C-616: what passes by itself fails no task.
#[test]
fn a_cluster_that_takes_no_pod_at_present_gets_it_later() {
    let site = Site::running();
    let glue = site.glue(&[]);
    for (fault, said) in [
        (
            refusal("pods", 429, "TooManyRequests", "too many requests"),
            "too many requests",
        ),
        (
            refusal(
                "pods",
                403,
                "Forbidden",
                "pods \"a\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5",
            ),
            "exceeded quota: q",
        ),
        (
            refusal(
                "secrets",
                403,
                "Forbidden",
                "secrets is forbidden: User \"glue\" cannot create resource \"secrets\"",
            ),
            "(hint: give the account of the glue the rights of examples/kubernetes/rights.yaml",
        ),
        (
            refusal("pods", 500, "InternalError", "etcd has no leader"),
            "etcd has no leader",
        ),
    ] {
        let is_lasting = InjectedFault {
            times: 3,
            ..fault.clone()
        };
        let fault = if fault.collection == "secrets" {
            is_lasting
        } else {
            fault
        };
        site.cluster.inject(fault);
        let task = site.enqueue("echo done");
        glue.wait_for_output(said);
        site.context.wait_for_status(&task, "completed");
    }
}

/// A pod of an earlier run of the task has its name; 409.
#[test]
fn an_older_pod_of_a_task_makes_room() {
    let site = Site::running();
    let _glue = site.glue(&[]);
    let task = site.context.create(Script::shell("echo done"));
    let name = format!("clearml-id-{task}");
    let pod = |label: &str| {
        json!({
            "metadata": {"name": name, "namespace": NAMESPACE, "uid": "old", "labels": {"CLEARML": label}},
            "status": {"phase": "Pending"},
        })
    };
    site.cluster.put("pods", pod(OWNER));
    let queue = site.context.queue();
    let enqueue = json!({ "task": task, "queue": queue });
    site.context.call("tasks.enqueue", enqueue);
    site.context.wait_for_status(&task, "completed");
    site.wait_for_no("pods");
    // One that is not ours stays.
    let task = site.context.create(Script::shell("echo never"));
    let mut pod = pod("agent-other");
    pod["metadata"]["name"] = format!("clearml-id-{task}").into();
    site.cluster.put("pods", pod);
    let enqueue = json!({ "task": task, "queue": queue });
    site.context.call("tasks.enqueue", enqueue);
    let text = format!("the name {NAMESPACE}/clearml-id-{task} is taken by an object");
    site.wait_for_failure(&task, &text);
    assert!(site.cluster.pod(&task).is_some());
}

/// C-614, C-618: what will never be a pod fails its task, with the words of Kubernetes.
#[test]
fn a_pod_that_a_policy_refuses_has_failed_its_task() {
    let site = Site::still();
    let _glue = site.glue(&[]);
    let message =
        "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true";
    site.cluster
        .inject(refusal("pods", 403, "Forbidden", message));
    let task = site.enqueue("echo never");
    let text = format!("Kubernetes refuses the pod: {message}");
    site.wait_for_failure(&task, &text);
    assert_eq!(site.queued("k8s_scheduler"), 0);
}

/// C-600, C-614, C-621, C-647: before a task is taken.
#[test]
fn what_keeps_all_pods_away_is_said_at_the_start() {
    let site = Site::still();
    let says = |template: &str, words: &[&str], variables: &[(&str, &str)], expected: &str| {
        let mut glue = site.started(template, words, variables);
        assert_ne!(glue.wait(), 0, "{}", glue.output());
        let output = glue.output();
        assert!(output.contains(expected), "{expected}: {output}");
    };
    let message = "pods is forbidden: User \"glue\" cannot create resource \"pods\"";
    site.cluster
        .inject(refusal("pods", 403, "Forbidden", message));
    says(TEMPLATE, &[], &[], "cannot create resource \"pods\"");
    says(
        TEMPLATE,
        &["--namespace", "none"],
        &[],
        "there is no namespace \"none\"",
    );
    let typo = TEMPLATE.replace("nodeSelector", "nodeSelektor");
    says(&typo, &[], &[], "unknown field \"spec.nodeSelektor\"");
    says(
        TEMPLATE,
        &[],
        &[("CLEARML_K8S_GLUE_KIND", "job")],
        "template.yaml`: `kind` is \"Pod\", and `Job` is wanted",
    );
    says(
        TEMPLATE,
        &[],
        &[("CLEARML_K8S_GLUE_KIND", "deployment")],
        "`CLEARML_K8S_GLUE_KIND` is \"deployment\"",
    );
    says(
        TEMPLATE,
        &["--ssh-server-port", "10022"],
        &[],
        "`--ssh-server-port` is not offered",
    );
    site.cluster.go_away(true);
    says(TEMPLATE, &[], &[], "the Kubernetes API does not answer: ");
    says(
        TEMPLATE,
        &[],
        &[("KUBECONFIG", "/nowhere")],
        "no Kubernetes is known: ",
    );
}

/// C-644: pods that have ended stay for so long.
#[test]
fn pods_that_have_ended_stay_where_that_is_wanted() {
    let site = Site::running();
    let delay = ("K8S_GLUE_COMPLETED_POD_DELETION_DELAY_MINUTES", "5");
    let mut glue = site.started(TEMPLATE, &[], &[delay]);
    let task = site.enqueue("echo done");
    site.context.wait_for_status(&task, "completed");
    let phase = || site.cluster.pod(&task).unwrap()["status"]["phase"].clone();
    assert!(wait_until(|| phase() == "Succeeded"));
    site.wait_for_looks();
    assert_eq!(phase(), "Succeeded");
    // A number of minutes that has passed.
    glue.signal(Signal::SIGTERM);
    glue.wait();
    let _glue = site.glue(&[]);
    site.wait_for_no("pods");
}

/// C-613: somebody deletes the queue of those that wait.
#[test]
fn the_holding_queue_is_made_again() {
    let site = Site::still();
    let _glue = site.glue(&[]);
    let queues = json!({ "name": "k8s_scheduler" });
    let queues = site.context.call("queues.get_all", queues);
    let queue = &queues["queues"][0]["id"];
    let delete = json!({ "queue": queue, "force": true });
    site.context.call("queues.delete", delete);
    let task = site.enqueue("echo never");
    site.cluster.wait_for_pod(&task);
    assert_eq!(site.queued("k8s_scheduler"), 1);
}
