//! `queues.*`: task queues, first in first out unless someone moves a task.

use serde_json::{Value, json};

use super::metadata;
use crate::{
    call::{COMPANY_ID, Call, new_id, section, text_of, texts},
    clock::Moment,
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    query::{self, COMMON_FIELDS, Rules},
    schema::{Document, Field, Kind, optional, required},
    storage::{Collection, Store},
};

const RULES: Rules = Rules {
    lists: &["tags", "system_tags"],
    patterns: &[],
    exact: &[],
    times: &["created", "last_update"],
    searched: &["id", "name"],
    hidden: &["k8s-glue", "hidden"],
};

const QUEUE: &[Field] = &[required("queue", Kind::Text)];
const QUEUE_AND_TASK: &[Field] = &[required("queue", Kind::Text), required("task", Kind::Text)];
const STEP: &[Field] = &[
    required("queue", Kind::Text),
    required("task", Kind::Text),
    optional("count", Kind::Integer),
];
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("queues.get_all", COMMON_FIELDS, get_all),
    Endpoint::new("queues.get_all_ex", COMMON_FIELDS, get_all),
    Endpoint::new("queues.get_by_id", QUEUE, get_by_id),
    Endpoint::new("queues.get_default", &[], get_default),
    Endpoint::new(
        "queues.create",
        &[
            required("name", Kind::Text),
            optional("tags", Kind::Texts),
            optional("system_tags", Kind::Texts),
        ],
        create,
    ),
    Endpoint::new(
        "queues.update",
        &[
            required("queue", Kind::Text),
            optional("name", Kind::Text),
            optional("tags", Kind::Texts),
            optional("system_tags", Kind::Texts),
        ],
        update,
    ),
    Endpoint::new(
        "queues.delete",
        &[required("queue", Kind::Text), optional("force", Kind::Flag)],
        delete,
    ),
    Endpoint::new(
        "queues.get_next_task",
        &[
            required("queue", Kind::Text),
            optional("get_task_info", Kind::Flag),
        ],
        get_next_task,
    ),
    Endpoint::new("queues.peek_task", QUEUE, peek_task).since(2, 15),
    Endpoint::new("queues.get_num_entries", QUEUE, get_num_entries).since(2, 14),
    Endpoint::new("queues.add_task", QUEUE_AND_TASK, add_task),
    Endpoint::new("queues.remove_task", QUEUE_AND_TASK, remove_task),
    Endpoint::new("queues.move_task_forward", STEP, move_task_forward),
    Endpoint::new("queues.move_task_backward", STEP, move_task_backward),
    Endpoint::new(
        "queues.move_task_to_front",
        QUEUE_AND_TASK,
        move_task_to_front,
    ),
    Endpoint::new(
        "queues.move_task_to_back",
        QUEUE_AND_TASK,
        move_task_to_back,
    ),
    Endpoint::new(
        "queues.add_or_update_metadata",
        &[
            required("queue", Kind::Text),
            required("metadata", Kind::Records(metadata::ITEM)),
            optional("replace_metadata", Kind::Flag),
        ],
        add_or_update_metadata,
    )
    .since(2, 13),
    Endpoint::new(
        "queues.delete_metadata",
        &[required("queue", Kind::Text), required("keys", Kind::Texts)],
        delete_metadata,
    )
    .since(2, 13),
];

/// Makes the queue `default`, as the real server does at its first start.
pub(crate) fn ensure_default(store: &Store<'_>, now: Moment) -> Result<(), ApiError> {
    if store.all(Collection::Queue)?.is_empty() {
        store.put(
            Collection::Queue,
            &new_queue("default", &json!([]), &json!(["default"]), now),
        )?;
    }
    Ok(())
}

fn new_queue(name: &str, tags: &Value, system_tags: &Value, now: Moment) -> Document {
    let queue = json!({
        "id": new_id(),
        "name": name,
        "company": COMPANY_ID,
        "created": now.stored(),
        "tags": tags,
        "system_tags": system_tags,
        "last_update": now.stored(),
        "metadata": {},
    });
    queue
        .as_object()
        .cloned()
        .expect("just written as an object")
}

fn get_all(call: &mut Call<'_>) -> Outcome {
    let mut queues = call.store.all(Collection::Queue)?;
    for queue in &mut queues {
        show(call, queue)?;
    }
    let selection = query::select(call, queues, &RULES)?;
    let mut answer = json!({ "queues": selection.documents });
    if let Some(id) = selection.scroll_id {
        answer["scroll_id"] = id.into();
    }
    Ok(answer)
}

fn get_by_id(call: &mut Call<'_>) -> Outcome {
    let mut queue = call.queue(call.text("queue"))?;
    show(call, &mut queue)?;
    Ok(json!({ "queue": queue }))
}

/// As clients see it, with what waits in it.
fn show(call: &Call<'_>, queue: &mut Document) -> Result<(), ApiError> {
    let entries = call.store.entries(text_of(queue, "id"))?;
    queue.insert("entries".into(), entries.into());
    metadata::show(call, queue);
    Ok(())
}

fn get_default(call: &mut Call<'_>) -> Outcome {
    let queue = default_queue(call)?;
    Ok(json!({ "id": text_of(&queue, "id"), "name": text_of(&queue, "name") }))
}

/// The one queue with the system tag `default`.
pub(super) fn default_queue(call: &Call<'_>) -> Result<Document, ApiError> {
    let mut queues: Vec<_> = call
        .store
        .all(Collection::Queue)?
        .into_iter()
        .filter(|queue| {
            texts(queue.get("system_tags"))
                .iter()
                .any(|tag| tag == "default")
        })
        .collect();
    match (queues.pop(), queues.len()) {
        (None, _) => Err(ApiError::bad_request(
            707,
            format!(
                "No queue is tagged as the default queue for this company: company={COMPANY_ID}"
            ),
        )),
        (Some(queue), 0) => Ok(queue),
        (Some(_), others) => Err(ApiError::bad_request(
            708,
            format!(
                "More than one queue is tagged as the default queue for this company: company={COMPANY_ID}, count={}",
                others + 1
            ),
        )),
    }
}

fn create(call: &mut Call<'_>) -> Outcome {
    let queue = create_named(call, call.text("name"))?;
    Ok(json!({ "id": queue }))
}

/// Makes a queue and gives its id.
pub(super) fn create_named(call: &Call<'_>, name: &str) -> Result<String, ApiError> {
    if name.is_empty() {
        return Err(ApiError::validation(
            "error for field 'name'. value is too short",
        ));
    }
    refuse_taken_name(call, name, "")?;
    let queue = new_queue(
        name,
        &json!(call.texts("tags")),
        &json!(call.texts("system_tags")),
        call.now,
    );
    call.store.put(Collection::Queue, &queue)?;
    Ok(text_of(&queue, "id").to_owned())
}

fn refuse_taken_name(call: &Call<'_>, name: &str, own_id: &str) -> Result<(), ApiError> {
    match named(call, name)? {
        Some(queue) if text_of(&queue, "id") != own_id => Err(ApiError::bad_request(
            801,
            format!(
                "Value combination already exists (queue with the same name already exists): name={name}"
            ),
        )),
        _ => Ok(()),
    }
}

/// The queue with exactly this name.
pub(super) fn named(call: &Call<'_>, name: &str) -> Result<Option<Document>, ApiError> {
    Ok(call
        .store
        .all(Collection::Queue)?
        .into_iter()
        .find(|queue| text_of(queue, "name") == name))
}

fn update(call: &mut Call<'_>) -> Outcome {
    let mut queue = call.queue(call.text("queue"))?;
    if let Some(name) = call.given("name") {
        refuse_taken_name(call, name, text_of(&queue, "id"))?;
    }
    let mut fields = Document::new();
    for name in ["name", "tags", "system_tags"] {
        if let Some(value) = call.parameters.get(name) {
            fields.insert(name.into(), value.clone());
        }
    }
    if fields.is_empty() {
        return Ok(json!({ "updated": 0, "fields": {} }));
    }
    queue.extend(fields.clone());
    save(call, queue)?;
    Ok(json!({ "updated": 1, "fields": fields }))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let queue = call.queue(call.text("queue"))?;
    let id = text_of(&queue, "id");
    let tasks = call.store.entries(id)?;
    if !tasks.is_empty() && !call.flag("force") {
        return Err(ApiError::bad_request(
            702,
            format!("Queue is not empty (use force=true to delete): id={id}"),
        ));
    }
    for entry in tasks {
        if let Some(task) = entry["task"].as_str() {
            call.store.remove_entry(id, task)?;
            super::tasks::leave_deleted_queue(call, task)?;
        }
    }
    call.store.delete(Collection::Queue, id)?;
    Ok(json!({ "deleted": 1 }))
}

/// Takes the first entry: parallel agents never get the same task.
fn get_next_task(call: &mut Call<'_>) -> Outcome {
    let queue = call.queue(call.text("queue"))?;
    let id = text_of(&queue, "id");
    let Some(entry) = call.store.first_entry(id)? else {
        return Ok(json!({}));
    };
    let task = entry["task"].as_str().unwrap_or_default().to_owned();
    call.store.remove_entry(id, &task)?;
    save(call, queue)?;
    let mut answer = json!({ "entry": entry });
    if let Some(mut task) = call.store.get(Collection::Task, &task)? {
        if text_of(&task, "status") == "stopped" {
            task.insert("status".into(), "queued".into());
            call.touch(&mut task);
            call.store.put(Collection::Task, &task)?;
        }
        if call.flag("get_task_info") {
            answer["task_info"] = json!({ "company": COMPANY_ID, "user": text_of(&task, "user") });
        }
    }
    Ok(answer)
}

fn peek_task(call: &mut Call<'_>) -> Outcome {
    let queue = call.queue(call.text("queue"))?;
    Ok(match call.store.first_entry(text_of(&queue, "id"))? {
        Some(entry) => json!({ "task": entry["task"] }),
        None => json!({}),
    })
}

fn get_num_entries(call: &mut Call<'_>) -> Outcome {
    let queue = call.queue(call.text("queue"))?;
    let count = call.store.count_entries(text_of(&queue, "id"))?;
    Ok(json!({ "num": count }))
}

fn add_task(call: &mut Call<'_>) -> Outcome {
    let task = call.task(call.text("task"))?;
    append(call, call.text("queue"), text_of(&task, "id"))?;
    Ok(json!({ "added": 1 }))
}

/// Puts a task at the end of a queue; 400/706 if it waits there already.
pub(super) fn append(call: &Call<'_>, queue: &str, task: &str) -> Result<(), ApiError> {
    let queue = call.queue(queue)?;
    let added = call.now.stored();
    if !call
        .store
        .append_entry(text_of(&queue, "id"), task, &added)?
    {
        return Err(already_queued(task));
    }
    save(call, queue)
}

/// 400/706.
pub(super) fn already_queued(task: &str) -> ApiError {
    ApiError::bad_request(
        706,
        format!("Failed adding task to queue since task is already queued: task={task}"),
    )
}

/// Takes a task out of every queue; true if it was in one.
pub(super) fn withdraw(call: &Call<'_>, task: &str) -> Result<bool, ApiError> {
    let queues = call.store.queues_with(task)?;
    for id in &queues {
        call.store.remove_entry(id, task)?;
        if let Some(queue) = call.store.get(Collection::Queue, id)? {
            save(call, queue)?;
        }
    }
    Ok(!queues.is_empty())
}

fn remove_task(call: &mut Call<'_>) -> Outcome {
    let queue = call.queue(call.text("queue"))?;
    if !call
        .store
        .remove_entry(text_of(&queue, "id"), call.text("task"))?
    {
        return Err(not_in_queue(call));
    }
    save(call, queue)?;
    Ok(json!({ "removed": 1 }))
}

fn not_in_queue(call: &Call<'_>) -> ApiError {
    ApiError::bad_request(
        703,
        format!(
            "Invalid queue id or task not in queue: queue={}, task={}",
            call.text("queue"),
            call.text("task")
        ),
    )
}

fn reposition(call: &Call<'_>, target: impl FnOnce(usize, usize) -> usize) -> Outcome {
    let queue = call.queue(call.text("queue"))?;
    let id = text_of(&queue, "id");
    let mut waiting = call.store.entries(id)?;
    let task = call.text("task");
    let place = waiting.iter().position(|entry| entry["task"] == task);
    let place = place.ok_or_else(|| not_in_queue(call))?;
    let last = waiting.len() - 1;
    let target = target(place, last).min(last);
    let entry = waiting.remove(place);
    waiting.insert(target, entry);
    call.store.order_entries(id, &waiting)?;
    save(call, queue)?;
    Ok(json!({ "position": target }))
}

fn step(call: &Call<'_>) -> usize {
    call.integer("count")
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(1)
}

fn move_task_forward(call: &mut Call<'_>) -> Outcome {
    reposition(call, |place, _| place.saturating_sub(step(call)))
}

fn move_task_backward(call: &mut Call<'_>) -> Outcome {
    reposition(call, |place, _| place.saturating_add(step(call)))
}

fn move_task_to_front(call: &mut Call<'_>) -> Outcome {
    reposition(call, |_, _| 0)
}

fn move_task_to_back(call: &mut Call<'_>) -> Outcome {
    reposition(call, |_, last| last)
}

fn add_or_update_metadata(call: &mut Call<'_>) -> Outcome {
    let mut queue = call.queue(call.text("queue"))?;
    metadata::update(call, &mut queue, call.flag("replace_metadata"));
    save(call, queue)?;
    Ok(json!({ "updated": 1 }))
}

fn delete_metadata(call: &mut Call<'_>) -> Outcome {
    let mut queue = call.queue(call.text("queue"))?;
    metadata::delete(call, &mut queue);
    save(call, queue)?;
    Ok(json!({ "updated": 1 }))
}

fn save(call: &Call<'_>, mut queue: Document) -> Result<(), ApiError> {
    queue.insert("last_update".into(), call.now.stored().into());
    call.store.put(Collection::Queue, &queue)
}

/// Sets the queue that a task's execution names.
pub(super) fn note_queue(task: &mut Document, queue: &str) {
    section(task, "execution").insert("queue".into(), queue.into());
}
