//! `tasks.edit`, `tasks.update`, `tasks.set_requirements` and their kin.

use serde_json::{Value, json};

use super::{
    create::check_references,
    fields::{EDIT, MERGED, PLAIN},
};
use crate::{
    call::{Call, section, text_of},
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    schema::{self, Document, Field, Kind, optional, required},
    services::projects,
    storage::Collection,
};

const UPDATE: &[Field] = &[
    required("task", Kind::Text),
    optional("name", Kind::Text),
    optional("tags", Kind::Texts),
    optional("system_tags", Kind::Texts),
    optional("comment", Kind::Text),
    optional("project", Kind::Text),
    optional("output__error", Kind::Text),
    optional("created", Kind::Text),
    optional("status_reason", Kind::Text),
    optional("status_message", Kind::Text),
];

pub(in crate::services) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("tasks.edit", EDIT, edit),
    Endpoint::new(
        "tasks.edit_runtime",
        &[
            required("task", Kind::Text),
            required("runtime", Kind::Object),
            optional("force", Kind::Flag),
        ],
        edit_runtime,
    )
    .since(2, 21),
    Endpoint::new("tasks.update", UPDATE, update),
    Endpoint::new("tasks.update_batch", &[], update_batch),
    Endpoint::new(
        "tasks.set_requirements",
        &[
            required("task", Kind::Text),
            required("requirements", Kind::Object),
        ],
        set_requirements,
    ),
];

/// The task, if it is a draft or the caller insists.
pub(super) fn editable(call: &Call<'_>) -> Result<Document, ApiError> {
    let task = call.task(call.text("task"))?;
    let status = text_of(&task, "status");
    if status != "created" && !call.flag("force") {
        return Err(ApiError::bad_request(
            110,
            format!("Invalid task status: expected=created, status={status}"),
        ));
    }
    Ok(task)
}

/// The answer to a change: the new fields, and who changed them when.
fn changed(call: &Call<'_>, mut fields: Document) -> Value {
    fields.insert("last_change".into(), call.now.text().into());
    fields.insert("last_changed_by".into(), call.caller.user.clone().into());
    fields.insert("last_update".into(), call.now.text().into());
    json!({ "fields": fields, "updated": 1 })
}

fn edit(call: &mut Call<'_>) -> Outcome {
    let mut task = editable(call)?;
    check_references(call)?;
    let mut fields = Document::new();
    for name in PLAIN {
        if let Some(value) = call.parameters.get(*name) {
            fields.insert((*name).into(), value.clone());
        }
    }
    for name in MERGED {
        if let Some(Value::Object(parts)) = call.parameters.get(*name) {
            let merged = section(&mut task, name);
            merged.extend(parts.clone());
            fields.insert((*name).into(), Value::Object(merged.clone()));
        }
    }
    if let Some(destination) = call.given("output_dest") {
        let output = section(&mut task, "output");
        output.insert("destination".into(), destination.into());
        fields.insert("output".into(), Value::Object(output.clone()));
    }
    if fields.is_empty() {
        return Ok(json!({ "fields": {}, "updated": 0 }));
    }
    task.extend(fields.clone());
    save(call, &mut task)?;
    Ok(changed(call, fields))
}

/// Unlike `tasks.edit` it keeps the properties that are not sent; a null removes one.
fn edit_runtime(call: &mut Call<'_>) -> Outcome {
    let mut task = editable(call)?;
    let runtime = section(&mut task, "runtime");
    for (name, value) in call.parameters["runtime"].as_object().into_iter().flatten() {
        if value.is_null() {
            runtime.remove(name);
        } else {
            runtime.insert(name.clone(), value.clone());
        }
    }
    save(call, &mut task)?;
    Ok(json!({ "updated": 1 }))
}

pub(super) fn save(call: &Call<'_>, task: &mut Document) -> Result<(), ApiError> {
    call.touch(task);
    call.store.put(Collection::Task, task)?;
    projects::touch(call, text_of(task, "project"))
}

fn update(call: &mut Call<'_>) -> Outcome {
    let fields = update_one(call, &call.parameters)?;
    let updated = u8::from(!fields.is_empty());
    Ok(json!({ "fields": fields, "updated": updated }))
}

fn update_one(call: &Call<'_>, parameters: &Document) -> Result<Document, ApiError> {
    let mut task = call.task(text_of(parameters, "task"))?;
    let project = text_of(parameters, "project");
    if !project.is_empty() && call.store.get(Collection::Project, project)?.is_none() {
        return Err(ApiError::invalid_project(project));
    }
    let mut fields = Document::new();
    for field in UPDATE {
        let value = parameters.get(field.name).filter(|value| !value.is_null());
        match (field.name, value) {
            ("task", _) | (_, None) => {}
            ("output__error", Some(value)) => {
                section(&mut task, "output").insert("error".into(), value.clone());
                fields.insert("output.error".into(), value.clone());
            }
            (name, Some(value)) => {
                task.insert(name.into(), value.clone());
                fields.insert(name.into(), value.clone());
            }
        }
    }
    if !fields.is_empty() {
        save(call, &mut task)?;
    }
    Ok(fields)
}

fn update_batch(call: &mut Call<'_>) -> Outcome {
    let Some(items) = call.batch.as_ref().filter(|items| !items.is_empty()) else {
        return Err(ApiError::bad_request(17, "Batch request contains no items"));
    };
    let mut updated = 0;
    for item in items {
        let Value::Object(parameters) = item else {
            return Err(ApiError::bad_request(18, "Batch request validation error"));
        };
        schema::check(UPDATE, parameters)?;
        if !update_one(call, parameters)?.is_empty() {
            updated += 1;
        }
    }
    Ok(json!({ "updated": updated }))
}

fn set_requirements(call: &mut Call<'_>) -> Outcome {
    let mut task = call.task(call.text("task"))?;
    if !task.contains_key("script") {
        return Err(ApiError::bad_request(
            122,
            format!(
                "Task is missing expected fields (Task has no script field): task={}",
                text_of(&task, "id")
            ),
        ));
    }
    section(&mut task, "script").insert(
        "requirements".into(),
        call.parameters["requirements"].clone(),
    );
    save(call, &mut task)?;
    Ok(json!({ "fields": {}, "updated": 1 }))
}
