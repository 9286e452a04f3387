//! `tasks.reset`, `tasks.delete`, `tasks.archive`, `tasks.unarchive`, `tasks.move`.

use serde_json::{Value, json};

use super::status::{Change, forget_queue};
use crate::{
    call::{Call, section, text_of, texts},
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    schema::{Document, Field, Kind, optional, required},
    services::{projects, queues},
    storage::Collection,
};

const RESET: &[Field] = &[
    required("task", Kind::Text),
    optional("force", Kind::Flag),
    optional("clear_all", Kind::Flag),
    optional("status_reason", Kind::Text),
    optional("status_message", Kind::Text),
    optional("return_file_urls", Kind::Flag),
    optional("delete_output_models", Kind::Flag),
    optional("delete_external_artifacts", Kind::Flag),
];

const DELETE: &[Field] = &[
    required("task", Kind::Text),
    optional("force", Kind::Flag),
    optional("move_to_trash", Kind::Flag),
    optional("status_reason", Kind::Text),
    optional("status_message", Kind::Text),
    optional("return_file_urls", Kind::Flag),
    optional("delete_output_models", Kind::Flag),
    optional("delete_external_artifacts", Kind::Flag),
];

const ARCHIVE: &[Field] = &[
    required("tasks", Kind::Texts),
    optional("status_reason", Kind::Text),
    optional("status_message", Kind::Text),
];

pub(in crate::services) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("tasks.reset", RESET, reset),
    Endpoint::new("tasks.delete", DELETE, delete),
    Endpoint::new("tasks.archive", ARCHIVE, archive),
    Endpoint::new("tasks.unarchive", ARCHIVE, unarchive),
    Endpoint::new(
        "tasks.move",
        &[
            required("ids", Kind::Texts),
            optional("project", Kind::Text),
            optional("project_name", Kind::Text),
        ],
        move_to_project,
    ),
];

/// Back to a draft: without results, console and run.
fn reset(call: &mut Call<'_>) -> Outcome {
    let mut task = call.task(call.text("task"))?;
    if text_of(&task, "status") == "published" && !call.flag("force") {
        return Err(ApiError::bad_request(
            110,
            format!(
                "Invalid task status: task_id={}, status=published",
                text_of(&task, "id")
            ),
        ));
    }
    let id = text_of(&task, "id").to_owned();
    queues::withdraw(call, &id)?;
    let deleted_models = delete_outputs(call, &id)?;
    task.insert("last_iteration".into(), 0.into());
    for (name, value) in [
        ("last_metrics", json!({})),
        ("unique_metrics", json!([])),
        ("metric_stats", json!({})),
        ("runtime", json!({})),
    ] {
        task.insert(name.into(), value);
    }
    section(&mut task, "models").insert("output".into(), json!([]));
    for name in [
        "last_worker",
        "last_worker_report",
        "started",
        "completed",
        "published",
        "active_duration",
    ] {
        task.remove(name);
    }
    let output = section(&mut task, "output");
    output.remove("result");
    output.remove("error");
    if call.flag("clear_all") {
        task.remove("script");
        task.insert(
            "execution".into(),
            json!({ "test_split": 0, "parameters": {}, "model_desc": {}, "model_labels": {}, "artifacts": [] }),
        );
    } else {
        forget_queue(&mut task);
        if let Some(Value::Array(artifacts)) = section(&mut task, "execution").get_mut("artifacts")
        {
            artifacts.retain(|artifact| artifact["mode"] == "input");
        }
    }
    task.remove("enqueue_status");
    let mut change = Change::new("created").because("reset", "reset");
    if call.flag("force") {
        change = change.forced();
    }
    let fields = change.apply(call, &mut task)?;
    task.remove("active_duration");
    call.store.put(Collection::Task, &task)?;
    Ok(json!({
        "deleted_models": deleted_models,
        "dequeued": {},
        "events": {},
        "fields": fields,
        "updated": 1,
        "urls": {},
    }))
}

/// Deletes the events of a task and its models that are not published; gives the number of models.
fn delete_outputs(call: &Call<'_>, task: &str) -> Result<usize, ApiError> {
    call.store.delete_events(task, None)?;
    if !call.flag_or("delete_output_models", true) {
        return Ok(0);
    }
    let mut count = 0;
    for model in call.store.all(Collection::Model)? {
        let published = model.get("ready") == Some(&Value::Bool(true));
        if text_of(&model, "task") == task && !published {
            call.store
                .delete(Collection::Model, text_of(&model, "id"))?;
            count += 1;
        }
    }
    Ok(count)
}

fn is_archived(task: &Document) -> bool {
    texts(task.get("system_tags"))
        .iter()
        .any(|tag| tag == "archived")
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let task = call.task(call.text("task"))?;
    let status = text_of(&task, "status");
    if status != "created" && !is_archived(&task) && !call.flag("force") {
        return Err(ApiError::bad_request(
            123,
            format!(
                "Task cannot be deleted (due to status, use force=True): task={}, expected=created, current={status}",
                text_of(&task, "id")
            ),
        ));
    }
    let id = text_of(&task, "id");
    queues::withdraw(call, id)?;
    let deleted_models = delete_outputs(call, id)?;
    let mut updated_children = 0;
    for mut child in call.store.all(Collection::Task)? {
        if text_of(&child, "parent") == id {
            child.insert("parent".into(), format!("__DELETED__{id}").into());
            call.store.put(Collection::Task, &child)?;
            updated_children += 1;
        }
    }
    call.store.delete(Collection::Task, id)?;
    projects::touch(call, text_of(&task, "project"))?;
    Ok(json!({
        "deleted": true,
        "updated_children": updated_children,
        "updated_models": 0,
        "deleted_models": deleted_models,
        "urls": null,
    }))
}

fn archive(call: &mut Call<'_>) -> Outcome {
    let ids = call.texts("tasks");
    for id in &ids {
        let mut task = call.task(id)?;
        queues::withdraw(call, id)?;
        if text_of(&task, "status") == "queued" {
            Change::requested(call, "created")
                .forced()
                .apply(call, &mut task)?;
        }
        let mut tags = texts(task.get("system_tags"));
        if !tags.iter().any(|tag| tag == "archived") {
            tags.push("archived".to_owned());
        }
        save_tags(call, &mut task, tags)?;
    }
    Ok(json!({ "archived": ids.len() }))
}

fn unarchive(call: &mut Call<'_>) -> Outcome {
    let ids = call.texts("tasks");
    for id in &ids {
        let mut task = call.task(id)?;
        let mut tags = texts(task.get("system_tags"));
        tags.retain(|tag| tag != "archived");
        save_tags(call, &mut task, tags)?;
    }
    Ok(json!({ "unarchived": ids.len() }))
}

fn save_tags(call: &Call<'_>, task: &mut Document, tags: Vec<String>) -> Result<(), ApiError> {
    task.insert("system_tags".into(), tags.into());
    for name in ["status_reason", "status_message"] {
        if let Some(value) = call.parameters.get(name) {
            task.insert(name.into(), value.clone());
        }
    }
    call.touch(task);
    call.store.put(Collection::Task, task)
}

fn move_to_project(call: &mut Call<'_>) -> Outcome {
    let project = match (call.given("project"), call.given("project_name")) {
        (Some(id), _) => match call.store.get(Collection::Project, id)? {
            Some(_) => id.to_owned(),
            None => return Err(ApiError::invalid_project(id)),
        },
        (None, Some(name)) => projects::find_or_create(call, name)?,
        (None, None) => return Err(ApiError::validation("project or project_name is required")),
    };
    let ids = call.texts("ids");
    for id in &ids {
        let mut task = call.task(id)?;
        task.insert("project".into(), project.clone().into());
        call.touch(&mut task);
        call.store.put(Collection::Task, &task)?;
    }
    projects::touch(call, &project)?;
    Ok(json!({ "project_id": project, "updated": ids.len() }))
}
