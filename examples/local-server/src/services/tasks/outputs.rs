//! Artifacts and models of tasks.

use serde_json::{Value, json};

use super::{edit::save, fields::ARTIFACT};
use crate::{
    call::{Call, section},
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    schema::{Document, Field, Kind, optional, required},
    storage::Collection,
};

const ARTIFACT_KEY: &[Field] = &[
    required("key", Kind::Text),
    optional("mode", Kind::OneOf(&["input", "output"])),
];

const MODEL_KEY: &[Field] = &[
    required("name", Kind::Text),
    required("type", Kind::OneOf(&["input", "output"])),
];

pub(in crate::services) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new(
        "tasks.add_or_update_artifacts",
        &[
            required("task", Kind::Text),
            required("artifacts", Kind::Records(ARTIFACT)),
            optional("force", Kind::Flag),
        ],
        add_or_update_artifacts,
    )
    .since(2, 10),
    Endpoint::new(
        "tasks.delete_artifacts",
        &[
            required("task", Kind::Text),
            required("artifacts", Kind::Records(ARTIFACT_KEY)),
            optional("force", Kind::Flag),
        ],
        delete_artifacts,
    )
    .since(2, 10),
    Endpoint::new(
        "tasks.add_or_update_model",
        &[
            required("task", Kind::Text),
            required("name", Kind::Text),
            required("model", Kind::Text),
            required("type", Kind::OneOf(&["input", "output"])),
            optional("iteration", Kind::Integer),
        ],
        add_or_update_model,
    )
    .since(2, 13),
    Endpoint::new(
        "tasks.delete_models",
        &[
            required("task", Kind::Text),
            required("models", Kind::Records(MODEL_KEY)),
        ],
        delete_models,
    )
    .since(2, 13),
];

fn list<'a>(document: &'a mut Document, name: &str) -> &'a mut Vec<Value> {
    let value = document.entry(name).or_insert_with(|| json!([]));
    if !value.is_array() {
        *value = json!([]);
    }
    value.as_array_mut().expect("just made a list")
}

fn mode(artifact: &Value) -> &str {
    artifact["mode"].as_str().unwrap_or("output")
}

fn artifacts<'a>(call: &'a Call<'_>, name: &str) -> impl Iterator<Item = &'a Value> {
    call.parameters
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Any state of the task will do: artifacts come while it runs.
fn add_or_update_artifacts(call: &mut Call<'_>) -> Outcome {
    let mut task = call.task(call.text("task"))?;
    let known = list(section(&mut task, "execution"), "artifacts");
    for artifact in artifacts(call, "artifacts") {
        let mut artifact = artifact.clone();
        artifact["mode"] = mode(&artifact).into();
        let place = known
            .iter()
            .position(|other| other["key"] == artifact["key"] && mode(other) == mode(&artifact));
        match place {
            Some(place) => known[place] = artifact,
            None => known.push(artifact),
        }
    }
    save(call, &mut task)?;
    Ok(json!({ "updated": 1 }))
}

fn delete_artifacts(call: &mut Call<'_>) -> Outcome {
    let mut task = call.task(call.text("task"))?;
    let known = list(section(&mut task, "execution"), "artifacts");
    for key in artifacts(call, "artifacts") {
        known.retain(|other| other["key"] != key["key"] || mode(other) != mode(key));
    }
    save(call, &mut task)?;
    Ok(json!({ "deleted": 1 }))
}

fn add_or_update_model(call: &mut Call<'_>) -> Outcome {
    let mut task = call.task(call.text("task"))?;
    let model = call.text("model");
    if call.store.get(Collection::Model, model)?.is_none() {
        return Err(ApiError::invalid_model(model));
    }
    let entry = json!({ "name": call.text("name"), "model": model });
    let known = list(section(&mut task, "models"), call.text("type"));
    match known
        .iter()
        .position(|other| other["name"] == entry["name"])
    {
        Some(place) => known[place] = entry,
        None => known.push(entry),
    }
    if let Some(iteration) = call.integer("iteration") {
        let last = task
            .get("last_iteration")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        task.insert("last_iteration".into(), last.max(iteration).into());
    }
    save(call, &mut task)?;
    Ok(json!({ "updated": 1 }))
}

fn delete_models(call: &mut Call<'_>) -> Outcome {
    let mut task = call.task(call.text("task"))?;
    for key in artifacts(call, "models") {
        let kind = key["type"].as_str().unwrap_or_default();
        list(section(&mut task, "models"), kind).retain(|other| other["name"] != key["name"]);
    }
    save(call, &mut task)?;
    Ok(json!({ "updated": 1 }))
}
