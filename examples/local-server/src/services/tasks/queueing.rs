//! `tasks.enqueue` and `tasks.dequeue`.

use serde_json::{Value, json};

use super::status::Change;
use crate::{
    call::{Call, text_of},
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    schema::{Document, Field, Kind, optional, required},
    services::{queues, workers},
    storage::Collection,
    version::Version,
};

/// From this version on a request may name the state after the queue.
const NAMES_NEW_STATUS: Version = Version::new(2, 26);

const STATES: Kind = Kind::OneOf(&[
    "created",
    "queued",
    "in_progress",
    "stopped",
    "published",
    "publishing",
    "closed",
    "failed",
    "completed",
    "unknown",
]);

const ENQUEUE: &[Field] = &[
    required("task", Kind::Text),
    optional("queue", Kind::Text),
    optional("queue_name", Kind::Text),
    optional("force", Kind::Flag),
    optional("status_reason", Kind::Text),
    optional("status_message", Kind::Text),
    optional("update_execution_queue", Kind::Flag),
    optional("verify_watched_queue", Kind::Flag),
];

const DEQUEUE: &[Field] = &[
    required("task", Kind::Text),
    optional("force", Kind::Flag),
    optional("status_reason", Kind::Text),
    optional("status_message", Kind::Text),
    optional("new_status", STATES),
    optional("remove_from_all_queues", Kind::Flag),
];

pub(in crate::services) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("tasks.enqueue", ENQUEUE, enqueue),
    Endpoint::new("tasks.dequeue", DEQUEUE, dequeue),
];

fn enqueue(call: &mut Call<'_>) -> Outcome {
    let mut task = call.task(call.text("task"))?;
    let id = text_of(&task, "id").to_owned();
    let queue = wanted_queue(call)?;
    let previous = text_of(&task, "status").to_owned();
    call.queue(&queue)?;
    if call.store.queues_with(&id)?.contains(&queue) {
        return Err(queues::already_queued(&id));
    }
    let notes_queue = call.flag_or("update_execution_queue", true);
    if !notes_queue && previous != "queued" {
        return Err(ApiError::validation(
            "cannot skip setting execution queue for a task that is not enqueued",
        ));
    }
    let mut change = Change::requested(call, "queued");
    if previous != "queued" {
        change = change.with("enqueue_status", previous);
    }
    let mut fields = change.apply(call, &mut task)?;
    queues::withdraw(call, &id)?;
    queues::append(call, &queue, &id)?;
    if notes_queue {
        queues::note_queue(&mut task, &queue);
        call.store.put(Collection::Task, &task)?;
        fields.insert("execution.queue".into(), queue.clone().into());
    }
    let mut answer = json!({ "fields": fields, "queued": 1, "updated": 1 });
    if call.flag("verify_watched_queue") {
        answer["queue_watched"] = workers::watch(call, &queue)?.into();
    }
    Ok(answer)
}

fn wanted_queue(call: &Call<'_>) -> Result<String, ApiError> {
    match (call.given("queue"), call.given("queue_name")) {
        (Some(_), Some(_)) => Err(ApiError::validation(
            "either queue id or queue name should be provided",
        )),
        (Some(id), None) => Ok(id.to_owned()),
        (None, Some(name)) => match queues::named(call, name)? {
            Some(queue) => Ok(text_of(&queue, "id").to_owned()),
            None => queues::create_named(call, name),
        },
        (None, None) => Ok(text_of(&queues::default_queue(call)?, "id").to_owned()),
    }
}

/// Takes a queued or running task out of its queue; any other task, also an unknown one, is left as it is.
fn dequeue(call: &mut Call<'_>) -> Outcome {
    let untouched = json!({ "dequeued": 1, "fields": {}, "updated": 0 });
    let Some(mut task) = call.store.get(Collection::Task, call.text("task"))? else {
        return Ok(untouched);
    };
    if !["queued", "in_progress"].contains(&text_of(&task, "status")) {
        return Ok(untouched);
    }
    let fields = leave_queue(call, &mut task)?;
    Ok(json!({ "dequeued": 1, "fields": fields, "updated": 1 }))
}

fn leave_queue(call: &Call<'_>, task: &mut Document) -> Result<Document, ApiError> {
    queues::withdraw(call, text_of(task, "id"))?;
    let named = call
        .given("new_status")
        .filter(|_| call.version >= NAMES_NEW_STATUS);
    let before = text_of(task, "enqueue_status");
    let status = named
        .unwrap_or(if before.is_empty() { "created" } else { before })
        .to_owned();
    Change::requested(call, &status)
        .forced()
        .with("enqueue_status", Value::Null)
        .apply(call, task)
}

/// The queue of a waiting task is deleted: the task goes back to where it was.
pub(in crate::services) fn leave_deleted_queue(
    call: &Call<'_>,
    task: &str,
) -> Result<(), ApiError> {
    match call.store.get(Collection::Task, task)? {
        Some(mut task) if text_of(&task, "status") == "queued" => {
            leave_queue(call, &mut task).map(drop)
        }
        _ => Ok(()),
    }
}
