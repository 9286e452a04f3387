//! The calls for many tasks at once: each task succeeds or fails for itself.

use serde_json::{Value, json};

use super::{queueing, removal, status};
use crate::{
    call::Call,
    endpoint::{Endpoint, Outcome},
    schema::{Field, Kind, optional, required},
};

const MANY: &[Field] = &[
    required("ids", Kind::Texts),
    optional("force", Kind::Flag),
    optional("status_reason", Kind::Text),
    optional("status_message", Kind::Text),
    optional("queue", Kind::Text),
    optional("queue_name", Kind::Text),
    optional("clear_all", Kind::Flag),
    optional("publish_model", Kind::Flag),
    optional("delete_output_models", Kind::Flag),
];

pub(in crate::services) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("tasks.stop_many", MANY, |call| {
        each(call, "tasks.stop", status::ENDPOINTS)
    }),
    Endpoint::new("tasks.publish_many", MANY, |call| {
        each(call, "tasks.publish", status::ENDPOINTS)
    }),
    Endpoint::new("tasks.enqueue_many", MANY, |call| {
        each(call, "tasks.enqueue", queueing::ENDPOINTS)
    }),
    Endpoint::new("tasks.dequeue_many", MANY, |call| {
        each(call, "tasks.dequeue", queueing::ENDPOINTS)
    }),
    Endpoint::new("tasks.reset_many", MANY, |call| {
        each(call, "tasks.reset", removal::ENDPOINTS)
    }),
    Endpoint::new("tasks.delete_many", MANY, |call| {
        each(call, "tasks.delete", removal::ENDPOINTS)
    }),
    Endpoint::new("tasks.archive_many", MANY, |call| {
        each(call, "tasks.archive", removal::ENDPOINTS)
    }),
    Endpoint::new("tasks.unarchive_many", MANY, |call| {
        each(call, "tasks.unarchive", removal::ENDPOINTS)
    }),
];

#[expect(clippy::unnecessary_wraps, reason = "the type of all handlers")]
fn each(call: &mut Call<'_>, name: &str, table: &[Endpoint]) -> Outcome {
    let run = table
        .iter()
        .find(|endpoint| endpoint.name == name)
        .map(|endpoint| endpoint.run)
        .expect("the tables of this service hold the call");
    let mut succeeded = Vec::new();
    let mut failed = Vec::new();
    for id in call.texts("ids") {
        call.parameters.insert("task".into(), id.clone().into());
        call.parameters.insert("tasks".into(), json!([id]));
        match run(call) {
            Ok(Value::Object(mut answer)) => {
                answer.insert("id".into(), id.into());
                succeeded.push(Value::Object(answer));
            }
            Ok(_) => succeeded.push(json!({ "id": id })),
            Err(refusal) => failed.push(json!({
                "id": id,
                "error": { "codes": [refusal.code, refusal.subcode], "msg": refusal.message, "data": {} },
            })),
        }
    }
    Ok(json!({ "succeeded": succeeded, "failed": failed }))
}
