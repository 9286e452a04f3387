//! `events.add`, `events.add_batch`, and the removal of events.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{IMAGE, LOG, PLOT, SCALAR, VECTOR, metrics};
use crate::{
    call::{Call, text_of},
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    schema::{Document, Kind, optional, required},
    storage::Collection,
};

/// Fields that steer the call and are no part of the event.
const CONTROL: &[&str] = &["allow_locked", "model_event", "method"];

pub(in crate::services) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("events.add", &[optional("allow_locked", Kind::Flag)], add),
    Endpoint::new("events.add_batch", &[], add_batch),
    Endpoint::new(
        "events.delete_for_task",
        &[
            required("task", Kind::Text),
            optional("allow_locked", Kind::Flag),
        ],
        delete_for_task,
    ),
    Endpoint::new(
        "events.clear_task_log",
        &[
            required("task", Kind::Text),
            optional("allow_locked", Kind::Flag),
            optional("threshold_sec", Kind::Integer),
        ],
        clear_task_log,
    ),
    Endpoint::new(
        "events.clear_scroll",
        &[required("scroll_id", Kind::Text)],
        |_| Ok(json!({})),
    ),
];

fn add(call: &mut Call<'_>) -> Outcome {
    let event = Value::Object(call.parameters.clone());
    add_all(call, &[event])
}

fn add_batch(call: &mut Call<'_>) -> Outcome {
    match call.batch.take().filter(|events| !events.is_empty()) {
        Some(events) => add_all(call, &events),
        None => Err(ApiError::bad_request(17, "Batch request contains no items")),
    }
}

/// Adds the good events and counts the others by what is wrong with them; 400/131 if none is good.
fn add_all(call: &Call<'_>, events: &[Value]) -> Outcome {
    let mut added = 0;
    let mut mistakes: BTreeMap<String, u64> = BTreeMap::new();
    let mut owners = BTreeMap::new();
    for event in events {
        let stored = match check(event) {
            Ok(event) => store(call, event, &mut owners)?,
            Err(mistake) => Err(mistake),
        };
        match stored {
            Ok(()) => added += 1,
            Err(mistake) => *mistakes.entry(mistake).or_default() += 1,
        }
    }
    for (collection, owner) in owners.into_values().flatten() {
        call.store.put(collection, &owner)?;
    }
    if added == 0 {
        let mistakes: Vec<_> = mistakes
            .iter()
            .map(|(text, count)| format!("{text}={count}"))
            .collect();
        return Err(ApiError::bad_request(
            131,
            format!("Events not added: {}", mistakes.join(", ")),
        ));
    }
    Ok(json!({ "added": added, "errors": mistakes.values().sum::<u64>(), "errors_info": mistakes }))
}

/// The event if its own fields are right, else what is wrong.
fn check(event: &Value) -> Result<&Document, String> {
    let event = event.as_object().ok_or("Event must be an object")?;
    let kind = event
        .get("type")
        .and_then(Value::as_str)
        .ok_or("Event must have a 'type' field")?;
    if ![LOG, SCALAR, VECTOR, IMAGE, PLOT].contains(&kind) {
        return Err(format!("Invalid event type {kind}"));
    }
    if text_of(event, "task").is_empty() {
        return Err("Event must have a 'task' field".to_owned());
    }
    let whole_or_missing = |name: &str| {
        event
            .get(name)
            .is_none_or(|value| value.is_null() || value.is_i64())
    };
    let text_or_missing = |name: &str| {
        event
            .get(name)
            .is_none_or(|value| value.is_null() || value.is_string())
    };
    let number_or_missing = |name: &str| {
        event
            .get(name)
            .is_none_or(|value| value.is_null() || value.is_number())
    };
    for name in [
        "metric", "variant", "worker", "level", "msg", "plot_str", "url", "key",
    ] {
        if !text_or_missing(name) {
            return Err(format!("Event field '{name}' must be a string"));
        }
    }
    if !number_or_missing("timestamp") {
        return Err("Event field 'timestamp' must be a number".to_owned());
    }
    if !whole_or_missing("iter") {
        return Err("Event field 'iter' must be an integer".to_owned());
    }
    if kind == SCALAR && !event.get("value").is_some_and(Value::is_number) {
        return Err("Scalar event must have a number in its 'value' field".to_owned());
    }
    Ok(event)
}

type Owners = BTreeMap<String, Option<(Collection, Document)>>;

/// Stores one event and brings its owner's statistics up to date; the inner error says why it does not count.
fn store(
    call: &Call<'_>,
    event: &Document,
    owners: &mut Owners,
) -> Result<Result<(), String>, ApiError> {
    let id = text_of(event, "task");
    let of_model = event.get("model_event") == Some(&Value::Bool(true));
    if !owners.contains_key(id) {
        let collection = if of_model {
            Collection::Model
        } else {
            Collection::Task
        };
        let owner = call
            .store
            .get(collection, id)?
            .map(|owner| (collection, owner));
        owners.insert(id.to_owned(), owner);
    }
    let Some(Some((_, owner))) = owners.get_mut(id) else {
        let kind = if of_model { "model" } else { "task" };
        return Ok(Err(format!("Invalid {kind} id {id}")));
    };
    let locked = ["published", "publishing"].contains(&text_of(owner, "status"));
    if locked && event.get("allow_locked") != Some(&Value::Bool(true)) {
        return Ok(Err(format!("Invalid task id {id}")));
    }
    let mut stored: Document = event
        .iter()
        .filter(|(name, value)| !CONTROL.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let timestamp = stored
        .get("timestamp")
        .and_then(|value| value.as_i64().or_else(|| whole(value.as_f64()?)))
        .unwrap_or_else(|| call.now.milliseconds());
    stored.insert("timestamp".into(), timestamp.into());
    for name in ["metric", "variant"] {
        stored.entry(name).or_insert_with(|| "".into());
    }
    if text_of(&stored, "type") != LOG {
        stored.entry("iter").or_insert_with(|| 0.into());
    }
    call.store.add_event(id, timestamp, &stored)?;
    metrics::count(owner, &stored, timestamp);
    Ok(Ok(()))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a time stamp is far inside the range"
)]
fn whole(number: f64) -> Option<i64> {
    (number.is_finite() && number.abs() < 1e18).then_some(number as i64)
}

fn delete_for_task(call: &mut Call<'_>) -> Outcome {
    let task = call.task(call.text("task"))?;
    call.store.delete_events(text_of(&task, "id"), None)?;
    Ok(json!({ "deleted": true }))
}

fn clear_task_log(call: &mut Call<'_>) -> Outcome {
    let task = call.task(call.text("task"))?;
    let before = call
        .now
        .minus_seconds(call.integer("threshold_sec").unwrap_or(0))
        .milliseconds();
    let deleted = call
        .store
        .delete_events(text_of(&task, "id"), Some(before.saturating_add(1)))?;
    Ok(json!({ "deleted": deleted }))
}
