//! The manifest of a task's pod or job: the template with what the task needs in it (C-620 to C-623, C-626).

use serde_json::{Map, Value, json};

use super::template::{Kind, PodTemplate};
use crate::container::boot::{RUNNER, RUNNER_FOLDER};

/// Where the configuration and the scripts are in the container of the task.
pub(super) const POD_FOLDER: &str = "/.clearml-pod";
/// The configuration there.
pub(super) const CONFIGURATION: &str = "clearml.conf";
const AGENT_VOLUME: &str = "clearml-agent";
const POD_VOLUME: &str = "clearml-pod";

/// What a template is filled with.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) labels: Vec<(String, String)>,
    pub(super) image: &'a str,
    /// Names with texts, or with where they come from.
    pub(super) variables: Vec<(String, Value)>,
    /// The image's own entry point stays (C-626).
    pub(super) keeps_entry_point: bool,
    pub(super) pulls_first: bool,
    /// The secret with configuration and scripts.
    pub(super) secret: &'a str,
    /// An image with this agent.
    pub(super) agent_image: &'a str,
}

/// The manifest.
pub(super) fn manifest(template: &PodTemplate, parts: &Parts<'_>) -> Value {
    let mut all = template.manifest.clone();
    let (version, kind) = template.kind.words();
    all["apiVersion"] = version.into();
    all["kind"] = kind.into();
    let metadata = member(&mut all, "metadata");
    metadata.remove("generateName");
    metadata.insert("name".to_owned(), parts.name.into());
    metadata.insert("namespace".to_owned(), parts.namespace.into());
    label(metadata, &parts.labels);
    let pod = match template.kind {
        Kind::Pod => &mut all,
        Kind::Job => {
            let spec = member(&mut all, "spec");
            spec.entry("backoffLimit").or_insert(json!(0));
            let pod = spec.entry("template").or_insert(Value::Null);
            label(member(pod, "metadata"), &parts.labels);
            pod
        }
    };
    let spec = member(pod, "spec");
    spec.entry("restartPolicy").or_insert("Never".into());
    let volumes = items(spec, "volumes");
    volumes.push(json!({"name": AGENT_VOLUME, "emptyDir": {}}));
    volumes.push(json!({"name": POD_VOLUME, "secret": {"secretName": parts.secret}}));
    let mut context = Value::Null;
    if let Some(Value::Object(container)) = items(spec, "containers").first_mut() {
        fill(container, parts);
        context = container
            .get("securityContext")
            .cloned()
            .unwrap_or_default();
    }
    items(spec, "initContainers").insert(0, copy(parts, &context));
    all
}

fn fill(container: &mut Map<String, Value>, parts: &Parts<'_>) {
    container.insert("name".to_owned(), parts.name.into());
    container.insert("image".to_owned(), parts.image.into());
    if !parts.keeps_entry_point {
        container.insert(
            "command".to_owned(),
            json!([RUNNER, "boot", "shell", POD_FOLDER]),
        );
        container.remove("args");
    }
    if parts.pulls_first {
        container
            .entry("imagePullPolicy")
            .or_insert("Always".into());
    }
    let variables = items(container, "env");
    variables.retain(|one| {
        let name = one.get("name").and_then(Value::as_str);
        parts
            .variables
            .iter()
            .all(|(own, _)| Some(own.as_str()) != name)
    });
    for (name, value) in &parts.variables {
        variables.push(match value {
            Value::Object(source) => json!({"name": name, "valueFrom": source}),
            // Kubernetes would put other variables in the place of `$(NAME)`.
            Value::String(text) => json!({"name": name, "value": text.replace('$', "$$")}),
            value => json!({"name": name, "value": value}),
        });
    }
    let mounts = items(container, "volumeMounts");
    for (volume, folder) in [(AGENT_VOLUME, RUNNER_FOLDER), (POD_VOLUME, POD_FOLDER)] {
        mounts.push(json!({"name": volume, "mountPath": folder, "readOnly": true}));
    }
}

/// Brings this agent into the pod, whatever the task's image has. It may do little, so that any policy takes it.
fn copy(parts: &Parts<'_>, task: &Value) -> Value {
    let mut context = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    for name in ["runAsUser", "runAsGroup", "runAsNonRoot"] {
        if let Some(value) = task.get(name) {
            context[name] = value.clone();
        }
    }
    let few = json!({"cpu": "100m", "memory": "128Mi"});
    json!({
        "name": AGENT_VOLUME,
        "image": parts.agent_image,
        "command": ["clearml-agent", "boot", "deliver", RUNNER_FOLDER],
        "volumeMounts": [{"name": AGENT_VOLUME, "mountPath": RUNNER_FOLDER}],
        // Where a quota wants them; the pod as a whole needs no more for it.
        "resources": {"requests": few, "limits": few},
        "securityContext": context,
    })
}

fn label(metadata: &mut Map<String, Value>, labels: &[(String, String)]) {
    let own = metadata.entry("labels").or_insert(Value::Null);
    let own = object(own);
    for (name, value) in labels {
        own.insert(name.clone(), value.as_str().into());
    }
}

/// A member that is a map; the template was checked.
fn member<'a>(value: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    object(object(value).entry(name).or_insert(Value::Null))
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(members) => members,
        _ => unreachable!("it was just made one"),
    }
}

fn items<'a>(members: &'a mut Map<String, Value>, name: &str) -> &'a mut Vec<Value> {
    let value = members.entry(name).or_insert(Value::Null);
    if !value.is_array() {
        *value = Value::Array(Vec::new());
    }
    match value {
        Value::Array(items) => items,
        _ => unreachable!("it was just made one"),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::Job;
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    fn parts() -> Parts<'static> {
        Parts {
            name: "clearml-id-a",
            namespace: "clearml",
            labels: vec![("CLEARML".to_owned(), "agent-1".to_owned())],
            image: "python:3.12",
            variables: vec![
                ("A".to_owned(), "task".into()),
                (
                    "T".to_owned(),
                    json!({"secretKeyRef": {"name": "s", "key": "token"}}),
                ),
            ],
            keeps_entry_point: false,
            pulls_first: true,
            secret: "clearml-id-a-x",
            agent_image: "agent:1",
        }
    }

    fn template(kind: Kind, manifest: Value) -> PodTemplate {
        PodTemplate { kind, manifest }
    }

    /// Kubernetes would read `$(NAME)` and `$$` in a value; docker does not.
    #[test]
    fn values_of_a_task_arrive_as_they_are() {
        let parts = Parts {
            variables: vec![("A".to_owned(), "pa$$word $(HOME)".into())],
            ..parts()
        };
        let template = template(Kind::Pod, json!({"spec": {"containers": [{}]}}));
        let made = manifest(&template, &parts);
        let made = made.to_string();
        assert!(made.contains(r#""value":"pa$$$$word $$(HOME)""#), "{made}");
    }

    /// C-620 to C-623: what the template says stays, but for what is the task's.
    #[test]
    fn a_pod_is_the_template_with_the_task_in_it() {
        let template = template(
            Kind::Pod,
            json!({
                "metadata": {"labels": {"team": "a", "CLEARML": "old"}},
                "spec": {
                    "nodeSelector": {"gpu": "yes"},
                    "containers": [{
                        "args": ["x"],
                        "env": [{"name": "A", "value": "template"}, {"name": "B", "value": "b"}],
                        "resources": {"limits": {"nvidia.com/gpu": 1}},
                        "securityContext": {"runAsUser": 1000},
                    }],
                },
            }),
        );
        let manifest = manifest(&template, &parts());
        let pod: Pod = serde_json::from_value(manifest.clone()).unwrap();
        assert_eq!(pod.metadata.labels.unwrap()["CLEARML"], "agent-1");
        let spec = pod.spec.unwrap();
        assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
        assert_eq!(spec.node_selector.unwrap()["gpu"], "yes");
        let main = &spec.containers[0];
        assert_eq!(main.name, "clearml-id-a");
        assert_eq!(main.image.as_deref(), Some("python:3.12"));
        assert_eq!(main.image_pull_policy.as_deref(), Some("Always"));
        assert_eq!(main.args, None);
        let names: Vec<(&str, Option<&str>)> = main
            .env
            .iter()
            .flatten()
            .map(|one| (one.name.as_str(), one.value.as_deref()))
            .collect();
        assert_eq!(names, [("B", Some("b")), ("A", Some("task")), ("T", None)]);
        let first = &spec.init_containers.unwrap()[0];
        let context = first.security_context.as_ref().unwrap();
        assert_eq!(context.run_as_user, Some(1000));
        assert_eq!(
            manifest["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"],
            1
        );
    }

    /// C-621
    #[test]
    fn a_job_has_the_labels_on_its_pods_too() {
        let template = template(
            Kind::Job,
            json!({"spec": {"template": {"spec": {"containers": [{}]}}}}),
        );
        let manifest = manifest(&template, &parts());
        let job: Job = serde_json::from_value(manifest).unwrap();
        let spec = job.spec.unwrap();
        assert_eq!(spec.backoff_limit, Some(0));
        let labels = spec.template.metadata.unwrap().labels.unwrap();
        assert_eq!(labels["CLEARML"], "agent-1");
    }

    /// C-626
    #[test]
    fn the_entry_point_of_an_image_can_stay() {
        let parts = Parts {
            keeps_entry_point: true,
            ..parts()
        };
        let template = template(
            Kind::Pod,
            json!({"spec": {"containers": [{"args": ["x"]}]}}),
        );
        let pod: Pod = serde_json::from_value(manifest(&template, &parts)).unwrap();
        let main = &pod.spec.unwrap().containers[0];
        assert_eq!(main.command, None);
        assert_eq!(main.args, Some(vec!["x".to_owned()]));
    }
}
