//! `models.*`, as the SDK needs them for what a task reads and writes.

use serde_json::{Value, json};

use super::metadata;
use crate::{
    call::{COMPANY_ID, Call, lookup, new_id, text_of, texts},
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    query::{self, COMMON_FIELDS, Rules},
    schema::{Document, Field, Kind, optional, required},
    services::projects,
    storage::Collection,
};

const RULES: Rules = Rules {
    lists: &[
        "tags",
        "system_tags",
        "user",
        "project",
        "framework",
        "task",
        "uri",
        "parent",
    ],
    patterns: &[],
    exact: &["ready"],
    times: &["created", "last_update"],
    searched: &["id", "name", "comment"],
    hidden: &["hidden"],
};

/// What describes a model, with the fields that each call knows alone.
macro_rules! described_by {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            optional("comment", Kind::Text),
            optional("tags", Kind::Texts),
            optional("system_tags", Kind::Texts),
            optional("framework", Kind::Text),
            optional("design", Kind::Object),
            optional("labels", Kind::Object),
            optional("ready", Kind::Flag),
            optional("project", Kind::Text),
            optional("parent", Kind::Text),
            optional("task", Kind::Text),
            optional("iteration", Kind::Integer),
            optional("ui_cache", Kind::Object),
            optional("metadata", Kind::Records(metadata::ITEM)),
        ]
    };
}

const MEMBERS: &[&str] = &[
    "name",
    "uri",
    "comment",
    "tags",
    "system_tags",
    "framework",
    "design",
    "labels",
    "ready",
    "project",
    "parent",
    "task",
    "ui_cache",
];

const CHANGE: &[Field] = described_by![
    required("model", Kind::Text),
    optional("name", Kind::Text),
    optional("uri", Kind::Text),
];

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new(
        "models.create",
        described_by![
            required("name", Kind::Text),
            required("uri", Kind::Text),
            optional("public", Kind::Flag),
        ],
        create,
    ),
    Endpoint::new("models.edit", CHANGE, edit),
    Endpoint::new("models.update", CHANGE, edit),
    Endpoint::new(
        "models.update_for_task",
        &[
            required("task", Kind::Text),
            optional("name", Kind::Text),
            optional("uri", Kind::Text),
            optional("comment", Kind::Text),
            optional("tags", Kind::Texts),
            optional("system_tags", Kind::Texts),
            optional("override_model_id", Kind::Text),
            optional("iteration", Kind::Integer),
        ],
        update_for_task,
    ),
    Endpoint::new(
        "models.get_by_id",
        &[required("model", Kind::Text)],
        get_by_id,
    ),
    Endpoint::new(
        "models.get_by_task_id",
        &[required("task", Kind::Text)],
        get_by_task_id,
    ),
    Endpoint::new("models.get_all", COMMON_FIELDS, get_all),
    Endpoint::new("models.get_all_ex", COMMON_FIELDS, get_all),
    Endpoint::new(
        "models.set_ready",
        &[
            required("model", Kind::Text),
            optional("publish_task", Kind::Flag),
            optional("force_publish_task", Kind::Flag),
        ],
        set_ready,
    ),
    Endpoint::new(
        "models.delete",
        &[required("model", Kind::Text), optional("force", Kind::Flag)],
        delete,
    ),
    Endpoint::new(
        "models.archive_many",
        &[required("ids", Kind::Texts)],
        archive_many,
    ),
    Endpoint::new(
        "models.unarchive_many",
        &[required("ids", Kind::Texts)],
        unarchive_many,
    ),
    Endpoint::new(
        "models.add_or_update_metadata",
        &[
            required("model", Kind::Text),
            required("metadata", Kind::Records(metadata::ITEM)),
            optional("replace_metadata", Kind::Flag),
        ],
        add_or_update_metadata,
    )
    .since(2, 13),
    Endpoint::new(
        "models.delete_metadata",
        &[required("model", Kind::Text), required("keys", Kind::Texts)],
        delete_metadata,
    )
    .since(2, 13),
];

fn find(call: &Call<'_>, id: &str) -> Result<Document, ApiError> {
    call.store
        .get(Collection::Model, id)?
        .ok_or_else(|| ApiError::invalid_model(id))
}

fn save(call: &Call<'_>, model: &mut Document) -> Result<(), ApiError> {
    call.touch(model);
    call.store.put(Collection::Model, model)?;
    projects::touch(call, text_of(model, "project"))
}

fn create(call: &mut Call<'_>) -> Outcome {
    let model = new_model(call)?;
    Ok(json!({ "created": true, "id": model }))
}

fn new_model(call: &Call<'_>) -> Result<String, ApiError> {
    let model = json!({
        "id": new_id(),
        "company": COMPANY_ID,
        "user": call.caller.user,
        "name": "",
        "created": call.now.stored(),
        "comment": "",
        "tags": [],
        "system_tags": [],
        "design": {},
        "labels": {},
        "ready": call.flag_or("ready", true),
        "uri": "",
        "metadata": {},
    });
    let mut model = model
        .as_object()
        .cloned()
        .expect("just written as an object");
    change(call, &mut model)?;
    save(call, &mut model)?;
    Ok(text_of(&model, "id").to_owned())
}

fn change(call: &Call<'_>, model: &mut Document) -> Result<Document, ApiError> {
    if let Some(task) = call.given("task") {
        call.task(task)?;
    }
    if let Some(project) = call.given("project")
        && call.store.get(Collection::Project, project)?.is_none()
    {
        return Err(ApiError::invalid_project(project));
    }
    let mut fields = Document::new();
    for name in MEMBERS {
        if let Some(value) = call.parameters.get(*name) {
            fields.insert((*name).into(), value.clone());
        }
    }
    model.extend(fields.clone());
    metadata::update(call, model, false);
    Ok(fields)
}

fn edit(call: &mut Call<'_>) -> Outcome {
    let mut model = find(call, call.text("model"))?;
    let fields = change(call, &mut model)?;
    save(call, &mut model)?;
    Ok(json!({ "fields": fields, "updated": 1 }))
}

/// The task's last model, or a new one.
fn update_for_task(call: &mut Call<'_>) -> Outcome {
    let mut task = call.task(call.text("task"))?;
    let last = lookup(&task, "models.output")
        .and_then(Value::as_array)
        .and_then(|models| models.last())
        .and_then(|entry| entry["model"].as_str().map(str::to_owned));
    let id = call.given("override_model_id").map(str::to_owned).or(last);
    let (id, created) = match id {
        Some(id) => (id, false),
        None => (new_model(call)?, true),
    };
    let mut model = find(call, &id)?;
    let fields = change(call, &mut model)?;
    save(call, &mut model)?;
    if created {
        let entry = json!({ "name": text_of(&model, "name"), "model": id });
        crate::call::section(&mut task, "models").insert("output".into(), json!([entry]));
        call.touch(&mut task);
        call.store.put(Collection::Task, &task)?;
    }
    Ok(json!({ "id": id, "created": created, "updated": u8::from(!created), "fields": fields }))
}

fn get_by_id(call: &mut Call<'_>) -> Outcome {
    let mut model = find(call, call.text("model"))?;
    metadata::show(call, &mut model);
    Ok(json!({ "model": model }))
}

fn get_by_task_id(call: &mut Call<'_>) -> Outcome {
    let task = call.task(call.text("task"))?;
    let id = lookup(&task, "models.output")
        .and_then(Value::as_array)
        .and_then(|models| models.last())
        .and_then(|entry| entry["model"].as_str())
        .ok_or_else(|| {
            ApiError::bad_request(122, "Task is missing expected fields: field=output.model")
        })?;
    let mut model = find(call, id)?;
    metadata::show(call, &mut model);
    Ok(json!({ "model": model }))
}

fn get_all(call: &mut Call<'_>) -> Outcome {
    let mut models = call.store.all(Collection::Model)?;
    for model in &mut models {
        metadata::show(call, model);
    }
    let selection = query::select(call, models, &RULES)?;
    let mut answer = json!({ "models": selection.documents });
    if let Some(id) = selection.scroll_id {
        answer["scroll_id"] = id.into();
    }
    Ok(answer)
}

fn set_ready(call: &mut Call<'_>) -> Outcome {
    let mut model = find(call, call.text("model"))?;
    if model.get("ready") == Some(&Value::Bool(true)) {
        return Err(ApiError::bad_request(
            203,
            format!("Model is ready: model={}", text_of(&model, "id")),
        ));
    }
    model.insert("ready".into(), true.into());
    save(call, &mut model)?;
    Ok(json!({ "updated": 1 }))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let model = find(call, call.text("model"))?;
    let task = text_of(&model, "task");
    if call.store.get(Collection::Task, task)?.is_some() && !call.flag("force") {
        return Err(ApiError::bad_request(
            206,
            format!(
                "Task that created this model exists: model={}, task={task}",
                text_of(&model, "id")
            ),
        ));
    }
    call.store
        .delete(Collection::Model, text_of(&model, "id"))?;
    Ok(json!({ "deleted": true, "url": text_of(&model, "uri") }))
}

fn archive_many(call: &mut Call<'_>) -> Outcome {
    set_archived(call, true)
}

fn unarchive_many(call: &mut Call<'_>) -> Outcome {
    set_archived(call, false)
}

fn set_archived(call: &Call<'_>, archived: bool) -> Outcome {
    let mut succeeded = Vec::new();
    for id in call.texts("ids") {
        let mut model = find(call, &id)?;
        let mut tags = texts(model.get("system_tags"));
        tags.retain(|tag| tag != "archived");
        if archived {
            tags.push("archived".to_owned());
        }
        model.insert("system_tags".into(), tags.into());
        save(call, &mut model)?;
        succeeded.push(json!({ "id": id }));
    }
    Ok(json!({ "succeeded": succeeded, "failed": [] }))
}

fn add_or_update_metadata(call: &mut Call<'_>) -> Outcome {
    let mut model = find(call, call.text("model"))?;
    metadata::update(call, &mut model, call.flag("replace_metadata"));
    save(call, &mut model)?;
    Ok(json!({ "updated": 1 }))
}

fn delete_metadata(call: &mut Call<'_>) -> Outcome {
    let mut model = find(call, call.text("model"))?;
    metadata::delete(call, &mut model);
    save(call, &mut model)?;
    Ok(json!({ "updated": 1 }))
}
