//! `workers.*`: which agents live, and on what they work (A-115 to A-120, A-170 to A-173).

use serde_json::{Value, json};

use super::tasks;
use crate::{
    call::{COMPANY_ID, COMPANY_NAME, Call, section, text_of, texts},
    clock::Moment,
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    schema::{Document, Field, Kind, optional, required},
    storage::Collection,
};

/// Member of a stored worker with the server's time of the last sign of life, in milliseconds.
const RENEWED: &str = "renewed";

/// Member of a stored worker with its last report; never shown.
const REPORT: &str = "report";

const PROPERTY: &[Field] = &[
    required("key", Kind::Text),
    optional("value", Kind::Text),
    optional("expiry", Kind::Integer),
];

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new(
        "workers.register",
        &[
            required("worker", Kind::Text),
            optional("queues", Kind::Texts),
            optional("timeout", Kind::Integer),
            optional("tags", Kind::Texts),
            optional("system_tags", Kind::Texts),
        ],
        register,
    ),
    Endpoint::new(
        "workers.unregister",
        &[
            required("worker", Kind::Text),
            optional("queues", Kind::Texts),
        ],
        unregister,
    ),
    Endpoint::new(
        "workers.status_report",
        &[
            required("worker", Kind::Text),
            required("timestamp", Kind::Integer),
            optional("machine_stats", Kind::Object),
            optional("task", Kind::Text),
            optional("queue", Kind::Text),
            optional("queues", Kind::Texts),
            optional("tags", Kind::Texts),
            optional("system_tags", Kind::Texts),
            optional("is_daemon", Kind::Flag),
        ],
        status_report,
    ),
    Endpoint::new(
        "workers.get_all",
        &[
            optional("last_seen", Kind::Integer),
            optional("worker_pattern", Kind::Text),
            optional("tags", Kind::Texts),
            optional("system_tags", Kind::Texts),
        ],
        get_all,
    ),
    Endpoint::new(
        "workers.get_count",
        &[optional("last_seen", Kind::Integer)],
        get_count,
    ),
    Endpoint::new(
        "workers.get_runtime_properties",
        &[required("worker", Kind::Text)],
        get_runtime_properties,
    )
    .enterprise(),
    Endpoint::new(
        "workers.set_runtime_properties",
        &[
            required("worker", Kind::Text),
            required("runtime_properties", Kind::Records(PROPERTY)),
        ],
        set_runtime_properties,
    )
    .enterprise(),
    Endpoint::new(
        "workers.cluster_report",
        &[
            required("worker", Kind::Text),
            required("key", Kind::Text),
            required("timestamp", Kind::Integer),
            optional("timeout", Kind::Integer),
            optional("partial", Kind::Flag),
            optional("resource_groups", Kind::Texts),
            optional("properties", Kind::Object),
        ],
        cluster_report,
    )
    .enterprise(),
    Endpoint::new(
        "workers.cluster_unregister",
        &[required("key", Kind::Text)],
        cluster_unregister,
    )
    .enterprise(),
];

/// Two users with the same worker id do not collide (A-170).
fn key(call: &Call<'_>, worker: &str) -> String {
    format!("worker_{COMPANY_ID}_{}_{worker}", call.caller.user)
}

fn new_worker(call: &Call<'_>, worker: &str) -> Document {
    let timeout = call
        .integer("timeout")
        .filter(|seconds| *seconds > 0)
        .unwrap_or_else(|| {
            i64::try_from(call.options.worker_timeout.as_secs()).unwrap_or(i64::MAX)
        });
    let worker = json!({
        "id": key(call, worker),
        "worker": worker,
        "user": call.caller.user,
        "user_name": call.caller.name,
        "ip": call.address.to_string(),
        "queues": call.texts("queues"),
        "register_time": call.now.text(),
        "register_timeout": timeout,
        "last_activity_time": call.now.text(),
        "tags": call.texts("tags"),
        "system_tags": call.texts("system_tags"),
        RENEWED: call.now.milliseconds(),
    });
    worker
        .as_object()
        .cloned()
        .expect("just written as an object")
}

fn register(call: &mut Call<'_>) -> Outcome {
    for queue in call.texts("queues") {
        call.queue(&queue)?;
    }
    let worker = new_worker(call, call.text("worker"));
    call.store.put(Collection::Worker, &worker)?;
    Ok(json!({}))
}

/// An unknown worker is no mistake (A-171).
fn unregister(call: &mut Call<'_>) -> Outcome {
    call.store
        .delete(Collection::Worker, &key(call, call.text("worker")))?;
    Ok(json!({}))
}

fn status_report(call: &mut Call<'_>) -> Outcome {
    let name = call.text("worker");
    let reported = call
        .integer("timestamp")
        .and_then(Moment::from_milliseconds)
        .ok_or_else(|| ApiError::validation("error for field 'timestamp'. value is no time"))?;
    let mut worker = match call.store.get(Collection::Worker, &key(call, name))? {
        Some(worker) => worker,
        None => new_worker(call, name),
    };
    for field in ["queues", "tags", "system_tags"] {
        let kept = field == "queues" && call.texts("queues").is_empty();
        if let Some(value) = call.parameters.get(field).filter(|_| !kept) {
            worker.insert(field.into(), value.clone());
        }
    }
    worker.insert("last_activity_time".into(), reported.text().into());
    worker.insert("last_report_time".into(), reported.text().into());
    worker.insert(RENEWED.into(), call.now.milliseconds().into());
    worker.insert(REPORT.into(), Value::Object(call.parameters.clone()));
    for field in ["task", "queue", "project"] {
        worker.remove(field);
    }
    call.store.put(Collection::Worker, &worker)?;
    if let Some(id) = call.given("task") {
        let mut task = call.task(id).map_err(ApiError::keeping_changes)?;
        worker.insert("task".into(), id.into());
        if let Some(queue) = call.given("queue") {
            worker.insert("queue".into(), queue.into());
        }
        call.store.put(Collection::Worker, &worker)?;
        let now = call.now.stored();
        task.insert("last_worker".into(), name.into());
        for field in ["last_worker_report", "last_change"] {
            task.insert(field.into(), now.clone().into());
        }
        tasks::note_life(call, &mut task);
        call.store.put(Collection::Task, &task)?;
    }
    Ok(json!({}))
}

fn get_all(call: &mut Call<'_>) -> Outcome {
    Ok(json!({ "workers": live(call)? }))
}

fn get_count(call: &mut Call<'_>) -> Outcome {
    Ok(json!({ "count": live(call)?.len() }))
}

fn live(call: &Call<'_>) -> Result<Vec<Value>, ApiError> {
    let last_seen = call.integer("last_seen").unwrap_or(3600);
    let pattern = call.given("worker_pattern").map(glob).transpose()?;
    let tags = call.texts("tags");
    let mut shown = Vec::new();
    for worker in call.store.all(Collection::Worker)? {
        let silence =
            call.now.milliseconds() - worker.get(RENEWED).and_then(Value::as_i64).unwrap_or(0);
        let matches = pattern
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(text_of(&worker, "worker")));
        let tagged = tags.is_empty()
            || texts(worker.get("tags"))
                .iter()
                .any(|tag| tags.contains(tag));
        if (last_seen <= 0 || silence <= last_seen.saturating_mul(1000)) && matches && tagged {
            shown.push(show(call, &worker)?);
        }
    }
    Ok(shown)
}

/// Shell pattern: `*` and `?`.
fn glob(pattern: &str) -> Result<regex::Regex, ApiError> {
    let pattern = regex::escape(pattern)
        .replace(r"\*", ".*")
        .replace(r"\?", ".");
    regex::Regex::new(&format!("^{pattern}$"))
        .map_err(|error| ApiError::bad_request(21, error.to_string()))
}

fn show(call: &Call<'_>, worker: &Document) -> Result<Value, ApiError> {
    let name_of = |collection, id: &str| -> Result<Option<Value>, ApiError> {
        Ok(call
            .store
            .get(collection, id)?
            .map(|found| json!({ "id": id, "name": text_of(&found, "name") })))
    };
    let mut shown_queues = Vec::new();
    for id in texts(worker.get("queues")) {
        let Some(queue) = call.store.get(Collection::Queue, &id)? else {
            continue;
        };
        let waiting = call.store.count_entries(&id)?;
        let first = call.store.first_entry(&id)?;
        let mut shown = json!({ "id": id, "name": text_of(&queue, "name"), "num_tasks": waiting });
        if let Some(next) = first.as_ref().and_then(|entry| entry["task"].as_str())
            && let Some(next) = name_of(Collection::Task, next)?
        {
            shown["next_task"] = next;
        }
        shown_queues.push(shown);
    }
    let mut shown = json!({
        "company": { "id": COMPANY_ID, "name": COMPANY_NAME },
        "id": worker.get("worker"),
        "ip": worker.get("ip"),
        "key": worker.get("id"),
        "last_activity_time": worker.get("last_activity_time"),
        "queues": shown_queues,
        "register_time": worker.get("register_time"),
        "register_timeout": worker.get("register_timeout"),
        "system_tags": worker.get("system_tags"),
        "tags": worker.get("tags"),
        "user": { "id": worker.get("user"), "name": worker.get("user_name") },
    });
    if let Some(time) = worker.get("last_report_time") {
        shown["last_report_time"] = time.clone();
    }
    if let Some(task) = call.store.get(Collection::Task, text_of(worker, "task"))? {
        shown["task"] = json!({ "id": text_of(&task, "id"), "name": text_of(&task, "name") });
        if let Some(project) = name_of(Collection::Project, text_of(&task, "project"))? {
            shown["project"] = project;
        }
    }
    if let Some(queue) = name_of(Collection::Queue, text_of(worker, "queue"))? {
        shown["queue"] = queue;
    }
    Ok(shown)
}

/// Deletes the workers whose time is over.
pub(super) fn forget_silent(call: &Call<'_>) -> Result<(), ApiError> {
    for worker in call.store.all(Collection::Worker)? {
        let number = |name: &str| worker.get(name).and_then(Value::as_i64).unwrap_or(0);
        if call.now.milliseconds() - number(RENEWED)
            > number("register_timeout").saturating_mul(1000)
        {
            call.store
                .delete(Collection::Worker, text_of(&worker, "id"))?;
        }
    }
    Ok(())
}

fn get_runtime_properties(call: &mut Call<'_>) -> Outcome {
    let stored = call
        .store
        .get(
            Collection::RuntimeProperties,
            &key(call, call.text("worker")),
        )?
        .unwrap_or_default();
    let kept = stored.get("properties").and_then(Value::as_array);
    let properties: Vec<Value> = kept
        .into_iter()
        .flatten()
        .filter_map(|property| {
            let mut told = json!({ "key": property["key"], "value": property["value"] });
            match remaining(property, call.now) {
                Some(0) => return None,
                Some(left) => told["expiry"] = left.into(),
                None => {}
            }
            Some(told)
        })
        .collect();
    Ok(json!({ "runtime_properties": properties }))
}

/// Seconds that a property has left, rounded up; none where it stays.
fn remaining(property: &Value, now: Moment) -> Option<i64> {
    let until = property["until"].as_i64()?;
    Some(((until - now.milliseconds()).max(0) + 999) / 1000)
}

/// A property stays for `expiry` seconds; 0 removes it, and without that it stays for ever.
fn set_runtime_properties(call: &mut Call<'_>) -> Outcome {
    let id = key(call, call.text("worker"));
    let mut stored = call
        .store
        .get(Collection::RuntimeProperties, &id)?
        .unwrap_or_default();
    stored.insert("id".into(), id.into());
    let mut properties = stored
        .get("properties")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for property in call.parameters["runtime_properties"]
        .as_array()
        .into_iter()
        .flatten()
    {
        properties.retain(|known| known["key"] != property["key"]);
        let expiry = property["expiry"].as_i64();
        if expiry == Some(0) {
            continue;
        }
        let until = expiry.map(|seconds| call.now.milliseconds() + seconds * 1000);
        properties
            .push(json!({ "key": property["key"], "value": property["value"], "until": until }));
    }
    stored.insert("properties".into(), properties.into());
    call.store.put(Collection::RuntimeProperties, &stored)?;
    Ok(json!({}))
}

fn cluster_report(call: &mut Call<'_>) -> Outcome {
    let id = call.text("key").to_owned();
    let mut cluster = call
        .store
        .get(Collection::Cluster, &id)?
        .unwrap_or_default();
    cluster.insert("id".into(), id.into());
    section(&mut cluster, "reports").insert(
        call.text("worker").to_owned(),
        Value::Object(call.parameters.clone()),
    );
    call.store.put(Collection::Cluster, &cluster)?;
    Ok(json!({}))
}

fn cluster_unregister(call: &mut Call<'_>) -> Outcome {
    call.store.delete(Collection::Cluster, call.text("key"))?;
    Ok(json!({}))
}

/// True if a live worker listens to the queue.
pub(super) fn watch(call: &Call<'_>, queue: &str) -> Result<bool, ApiError> {
    let workers = call.store.all(Collection::Worker)?;
    Ok(workers.iter().any(|worker| {
        texts(worker.get("queues"))
            .iter()
            .any(|watched| watched == queue)
    }))
}
