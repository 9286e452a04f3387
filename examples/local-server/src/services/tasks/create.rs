//! `tasks.create`, `tasks.validate`, `tasks.clone`.

use serde_json::{Value, json};

use super::fields::{CREATE, MERGED, PLAIN};
use crate::{
    call::{COMPANY_ID, Call, lookup, new_id, section, text_of, texts},
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    schema::{Document, Field, Kind, optional, required},
    services::projects,
    storage::Collection,
};

const CLONE: &[Field] = &[
    required("task", Kind::Text),
    optional("new_task_name", Kind::Text),
    optional("new_task_comment", Kind::Text),
    optional("new_task_tags", Kind::Texts),
    optional("new_task_system_tags", Kind::Texts),
    optional("new_task_parent", Kind::Text),
    optional("new_task_project", Kind::Text),
    optional("new_project_name", Kind::Text),
    optional("new_task_hyperparams", Kind::Object),
    optional("new_task_configuration", Kind::Object),
    optional("new_task_container", Kind::Object),
    optional("new_task_input_models", Kind::List),
    optional("execution_overrides", Kind::Object),
    optional("validate_references", Kind::Flag),
];

pub(in crate::services) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("tasks.create", CREATE, create),
    Endpoint::new("tasks.validate", CREATE, validate),
    Endpoint::new("tasks.clone", CLONE, clone),
];

fn create(call: &mut Call<'_>) -> Outcome {
    let task = described(call)?;
    call.store.put(Collection::Task, &task)?;
    projects::touch(call, text_of(&task, "project"))?;
    Ok(json!({ "id": text_of(&task, "id") }))
}

fn validate(call: &mut Call<'_>) -> Outcome {
    described(call).map(|_| json!({}))
}

fn described(call: &Call<'_>) -> Result<Document, ApiError> {
    check_references(call)?;
    let mut task = empty(call);
    for name in PLAIN {
        if let Some(value) = call.parameters.get(*name) {
            task.insert((*name).into(), value.clone());
        }
    }
    for name in MERGED {
        if let Some(Value::Object(parts)) = call.parameters.get(*name) {
            section(&mut task, name).extend(parts.clone());
        }
    }
    if let Some(destination) = call.given("output_dest") {
        section(&mut task, "output").insert("destination".into(), destination.into());
    }
    Ok(task)
}

/// Project and parent must exist.
pub(super) fn check_references(call: &Call<'_>) -> Result<(), ApiError> {
    if let Some(project) = call.given("project")
        && call.store.get(Collection::Project, project)?.is_none()
    {
        return Err(ApiError::invalid_project(project));
    }
    if let Some(parent) = call.given("parent") {
        call.task(parent)?;
    }
    Ok(())
}

/// A new draft with the values that the real server gives by itself.
fn empty(call: &Call<'_>) -> Document {
    let now = call.now.stored();
    let task = json!({
        "id": new_id(),
        "company": COMPANY_ID,
        "user": call.caller.user,
        "name": "",
        "type": "training",
        "status": "created",
        "report_assets": [],
        "created": now,
        "output": {},
        "execution": { "test_split": 0, "parameters": {}, "model_desc": {}, "model_labels": {}, "artifacts": [] },
        "tags": [],
        "system_tags": [],
        "last_update": now,
        "last_change": now,
        "last_iteration": 0,
        "last_metrics": {},
        "unique_metrics": [],
        "metric_stats": {},
        "hyperparams": {},
        "configuration": {},
        "runtime": {},
        "models": { "input": [], "output": [] },
        "container": {},
        "last_changed_by": call.caller.user,
    });
    task.as_object()
        .cloned()
        .expect("just written as an object")
}

fn clone(call: &mut Call<'_>) -> Outcome {
    let original = call.task(call.text("task"))?;
    let mut task = empty(call);
    for name in [
        "name",
        "type",
        "comment",
        "project",
        "tags",
        "script",
        "hyperparams",
        "configuration",
        "container",
    ] {
        if let Some(value) = original.get(name) {
            task.insert(name.into(), value.clone());
        }
    }
    let system_tags: Vec<_> = texts(original.get("system_tags"))
        .into_iter()
        .filter(|tag| tag != "development" && tag != "archived")
        .collect();
    task.insert("system_tags".into(), json!(system_tags));
    task.insert("parent".into(), text_of(&original, "id").into());
    if let Some(Value::Object(execution)) = original.get("execution") {
        section(&mut task, "execution").extend(execution.clone());
    }
    let execution = section(&mut task, "execution");
    execution.remove("queue");
    if let Some(Value::Array(artifacts)) = execution.get_mut("artifacts") {
        artifacts.retain(|artifact| artifact["mode"] == "input");
    }
    if let Some(overrides) = call
        .parameters
        .get("execution_overrides")
        .and_then(Value::as_object)
    {
        execution.extend(overrides.clone());
    }
    let input = lookup(&original, "models.input")
        .cloned()
        .unwrap_or_default();
    section(&mut task, "models").insert(
        "input".into(),
        if input.is_array() { input } else { json!([]) },
    );
    apply_new_values(call, &mut task);
    let mut answer = json!({ "id": text_of(&task, "id") });
    if let Some(name) = call.given("new_project_name") {
        let project = projects::find_or_create(call, name)?;
        task.insert("project".into(), project.clone().into());
        answer["new_project"] = json!({ "id": project, "name": name });
    } else if let Some(project) = call.given("new_task_project")
        && call.store.get(Collection::Project, project)?.is_none()
    {
        return Err(ApiError::invalid_project(project));
    }
    call.store.put(Collection::Task, &task)?;
    projects::touch(call, text_of(&task, "project"))?;
    Ok(answer)
}

fn apply_new_values(call: &Call<'_>, task: &mut Document) {
    for (parameter, name) in [
        ("new_task_name", "name"),
        ("new_task_comment", "comment"),
        ("new_task_tags", "tags"),
        ("new_task_system_tags", "system_tags"),
        ("new_task_parent", "parent"),
        ("new_task_project", "project"),
        ("new_task_hyperparams", "hyperparams"),
        ("new_task_configuration", "configuration"),
        ("new_task_container", "container"),
    ] {
        if let Some(value) = call.parameters.get(parameter) {
            task.insert(name.into(), value.clone());
        }
    }
    if let Some(models) = call.parameters.get("new_task_input_models") {
        section(task, "models").insert("input".into(), models.clone());
    }
}
