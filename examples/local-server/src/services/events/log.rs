//! The console of a task: every line that was sent, in order, as often as it was sent.

use serde_json::{Value, json};

use super::{LOG, owner};
use crate::{
    call::Call,
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    query::{parse_scroll, scroll_id},
    schema::{Document, Kind, optional, required},
    storage::LogPage,
};

pub(in crate::services) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new(
        "events.get_task_log",
        &[
            required("task", Kind::Text),
            optional("batch_size", Kind::Integer),
            optional("navigate_earlier", Kind::Flag),
            optional("from_timestamp", Kind::Number),
            optional("order", Kind::OneOf(&["asc", "desc"])),
        ],
        get_task_log,
    ),
    Endpoint::new(
        "events.get_task_events",
        &[
            required("task", Kind::Text),
            optional("event_type", Kind::Text),
            optional("batch_size", Kind::Integer),
            optional("order", Kind::OneOf(&["asc", "desc"])),
            optional("scroll_id", Kind::Text),
            optional("model_events", Kind::Flag),
        ],
        get_task_events,
    ),
];

pub(super) fn batch_size(call: &Call<'_>) -> Result<usize, ApiError> {
    match call.integer("batch_size") {
        None => Ok(500),
        Some(size) => usize::try_from(size)
            .ok()
            .filter(|size| *size > 0)
            .ok_or_else(|| {
                ApiError::validation("error for field 'batch_size'. value is not positive")
            }),
    }
}

/// Newest lines first, unless the request says otherwise.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a time stamp is far inside the range"
)]
fn get_task_log(call: &mut Call<'_>) -> Outcome {
    let task = owner(call, call.text("task"))?;
    let backwards = call.flag_or("navigate_earlier", true);
    let from = call
        .parameters
        .get("from_timestamp")
        .and_then(Value::as_f64);
    let mut events = call.store.log_page(
        &task,
        LogPage {
            from: from.map(|time| time as i64),
            backwards,
            limit: batch_size(call)?,
        },
    )?;
    match call.text("order") {
        "asc" if backwards => events.reverse(),
        "desc" if !backwards => events.reverse(),
        _ => {}
    }
    Ok(json!({
        "returned": events.len(),
        "total": call.store.count_events(&task, LOG)?,
        "events": events,
    }))
}

fn get_task_events(call: &mut Call<'_>) -> Outcome {
    let task = owner(call, call.text("task"))?;
    let mut events = call.store.events(&task, call.given("event_type"))?;
    if call.text("order") == "desc" {
        events.reverse();
    }
    scrolled(call, events)
}

/// One batch of events, and where the next one begins.
pub(super) fn scrolled(call: &Call<'_>, events: Vec<Document>) -> Outcome {
    let start = match call.given("scroll_id") {
        Some(id) => parse_scroll(id).ok_or_else(|| {
            ApiError::bad_request(1104, format!("Invalid scroll id: scroll_id={id}"))
        })?,
        None => 0,
    };
    let total = events.len();
    let batch: Vec<_> = events
        .into_iter()
        .skip(start)
        .take(batch_size(call)?)
        .collect();
    Ok(json!({
        "returned": batch.len(),
        "total": total,
        "scroll_id": scroll_id(start + batch.len()),
        "events": batch,
    }))
}
