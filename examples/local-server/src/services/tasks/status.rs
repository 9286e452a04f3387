//! The states of a task: which changes are legal, and the calls that make them.

use serde_json::{Value, json};

use super::fields::{STATUS_CHANGE, TASK};
use crate::{
    call::{Call, lookup, section, text_of, texts},
    clock::{Moment, stored_form},
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    schema::{Document, Field, Kind, optional, required},
    services::{projects, queues},
    storage::Collection,
};

const COMPLETED: &[Field] = &[
    required("task", Kind::Text),
    optional("force", Kind::Flag),
    optional("status_reason", Kind::Text),
    optional("status_message", Kind::Text),
    optional("publish", Kind::Flag),
];

const PUBLISH: &[Field] = &[
    required("task", Kind::Text),
    optional("force", Kind::Flag),
    optional("status_reason", Kind::Text),
    optional("status_message", Kind::Text),
    optional("publish_model", Kind::Flag),
];

pub(in crate::services) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("tasks.started", STATUS_CHANGE, started),
    Endpoint::new("tasks.stop", STATUS_CHANGE, stop),
    Endpoint::new("tasks.stopped", STATUS_CHANGE, stopped),
    Endpoint::new("tasks.failed", STATUS_CHANGE, failed),
    Endpoint::new("tasks.completed", COMPLETED, completed).since(2, 2),
    Endpoint::new("tasks.close", STATUS_CHANGE, close),
    Endpoint::new("tasks.publish", PUBLISH, publish),
    Endpoint::new("tasks.ping", TASK, ping),
];

/// The legal changes.
fn successors(status: &str) -> &'static [&'static str] {
    match status {
        "created" => &["queued", "in_progress"],
        "queued" => &["created", "in_progress", "stopped"],
        "in_progress" => &["stopped", "failed", "created", "completed"],
        "stopped" => &[
            "closed",
            "created",
            "failed",
            "queued",
            "in_progress",
            "published",
            "publishing",
            "completed",
        ],
        "completed" => &["published", "in_progress", "created"],
        "failed" => &["created", "stopped", "published", "queued"],
        "closed" => &["created", "failed", "published", "publishing", "stopped"],
        "publishing" => &["published"],
        _ => &[],
    }
}

/// One change of a task's state.
#[derive(Debug)]
pub(super) struct Change {
    status: String,
    reason: String,
    message: String,
    force: bool,
    /// Further members that change with it; a null removes one.
    others: Vec<(&'static str, Value)>,
}

impl Change {
    pub(super) fn new(status: &str) -> Self {
        Self {
            status: status.to_owned(),
            reason: String::new(),
            message: String::new(),
            force: false,
            others: Vec::new(),
        }
    }

    /// Reason, message and force of the request.
    pub(super) fn requested(call: &Call<'_>, status: &str) -> Self {
        Self {
            force: call.flag("force"),
            ..Self::new(status).because(call.text("status_reason"), call.text("status_message"))
        }
    }

    pub(super) fn because(mut self, reason: &str, message: &str) -> Self {
        reason.clone_into(&mut self.reason);
        message.clone_into(&mut self.message);
        self
    }

    pub(super) fn forced(mut self) -> Self {
        self.force = true;
        self
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.others.push((name, value.into()));
        self
    }

    /// Changes the task and gives the changed fields as the answer shows them. The same state again is always legal.
    pub(super) fn apply(self, call: &Call<'_>, task: &mut Document) -> Result<Document, ApiError> {
        let current = text_of(task, "status").to_owned();
        if !self.force
            && current != self.status
            && !successors(&current).contains(&self.status.as_str())
        {
            return Err(ApiError::bad_request(
                110,
                format!(
                    "Invalid task status: Invalid status change: current_status={current}, new_status={}",
                    self.status
                ),
            ));
        }
        if self.status == "queued"
            && let Some(Value::Array(tags)) = task.get_mut("system_tags")
        {
            tags.retain(|tag| tag != "development");
        }
        let now = Value::from(call.now.text());
        let mut fields = Document::new();
        fields.insert("status".into(), self.status.into());
        fields.insert("status_reason".into(), self.reason.into());
        fields.insert("status_message".into(), self.message.into());
        for name in ["status_changed", "last_update", "last_change"] {
            fields.insert(name.into(), now.clone());
        }
        fields.insert("last_changed_by".into(), call.caller.user.clone().into());
        for (name, value) in self.others {
            fields.insert(name.into(), value);
        }
        for (name, value) in &fields {
            match value {
                Value::Null => {
                    task.remove(name);
                }
                Value::String(text) if name != "status_reason" && name != "status_message" => {
                    let text = stored_form(text).unwrap_or_else(|| text.clone());
                    task.insert(name.clone(), text.into());
                }
                value => {
                    task.insert(name.clone(), value.clone());
                }
            }
        }
        call.store.put(Collection::Task, task)?;
        projects::touch(call, text_of(task, "project"))?;
        Ok(fields)
    }
}

fn started(call: &mut Call<'_>) -> Outcome {
    let mut task = call.task(call.text("task"))?;
    let mut change = Change::requested(call, "in_progress");
    if text_of(&task, "status") != "in_progress" || !task.contains_key("started") {
        change = change.with("started", call.now.text());
        task.remove("completed");
    }
    let fields = change.apply(call, &mut task)?;
    Ok(json!({ "fields": fields, "started": 1, "updated": 1 }))
}

/// The end of a task: the state, and the time of the end.
fn end(call: &Call<'_>, status: &str) -> Outcome {
    let mut task = call.task(call.text("task"))?;
    let fields = Change::requested(call, status)
        .with("completed", call.now.text())
        .apply(call, &mut task)?;
    Ok(json!({ "fields": fields, "updated": 1 }))
}

fn stopped(call: &mut Call<'_>) -> Outcome {
    end(call, "stopped")
}

fn failed(call: &mut Call<'_>) -> Outcome {
    end(call, "failed")
}

fn completed(call: &mut Call<'_>) -> Outcome {
    let mut answer = end(call, "completed")?;
    answer["published"] = json!(0);
    if call.flag("publish") {
        let published = publish(call)?;
        answer["published"] = json!(1);
        answer["fields"] = published["fields"].clone();
    }
    Ok(answer)
}

fn close(call: &mut Call<'_>) -> Outcome {
    let mut task = call.task(call.text("task"))?;
    let fields = Change::requested(call, "closed").apply(call, &mut task)?;
    Ok(json!({ "fields": fields, "updated": 1 }))
}

fn publish(call: &mut Call<'_>) -> Outcome {
    let mut task = call.task(call.text("task"))?;
    let fields = Change::requested(call, "published")
        .with("published", call.now.text())
        .apply(call, &mut task)?;
    if call.flag_or("publish_model", true) {
        for output in lookup(&task, "models.output")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let id = output["model"].as_str().unwrap_or_default();
            if let Some(mut model) = call.store.get(Collection::Model, id)? {
                model.insert("ready".into(), true.into());
                call.store.put(Collection::Model, &model)?;
            }
        }
    }
    Ok(json!({ "committed_versions_results": [], "fields": fields, "updated": 1 }))
}

/// The user's abort: at once where no agent would hear of it, else by a message to the agent.
fn stop(call: &mut Call<'_>) -> Outcome {
    let mut task = call.task(call.text("task"))?;
    let status = text_of(&task, "status").to_owned();
    let patience = i64::try_from(call.options.worker_timeout.as_secs()).unwrap_or(i64::MAX);
    let has_live_worker = !text_of(&task, "last_worker").is_empty()
        && Moment::parse(text_of(&task, "last_update"))
            .is_some_and(|update| call.now.seconds_since(update) < patience);
    let in_development = texts(task.get("system_tags"))
        .iter()
        .any(|tag| tag == "development");
    let reason = call.text("status_reason").to_owned();
    let mut change = if status == "queued" || in_development || !has_live_worker {
        queues::withdraw(call, text_of(&task, "id"))?;
        Change::new("stopped")
            .because(&reason, &format!("Stopped by {}", call.caller.name))
            .with("completed", call.now.text())
    } else {
        Change::new(&status).because(&reason, "stopping")
    };
    change.force = call.flag("force");
    let fields = change.apply(call, &mut task)?;
    Ok(json!({ "fields": fields, "updated": 1 }))
}

/// A running task from which nothing is heard.
pub(in crate::services) fn stop_silent(
    call: &Call<'_>,
    task: &mut Document,
) -> Result<(), ApiError> {
    Change::new("stopped")
        .because(
            "Forced stop (non-responsive)",
            "Forced stop (non-responsive)",
        )
        .forced()
        .with("completed", call.now.text())
        .apply(call, task)?;
    Ok(())
}

/// Never fails for an unknown task.
fn ping(call: &mut Call<'_>) -> Outcome {
    if let Some(mut task) = call.store.get(Collection::Task, call.text("task"))? {
        note_life(call, &mut task);
        call.store.put(Collection::Task, &task)?;
    }
    Ok(json!({}))
}

/// A sign of life: the task is not silent, and has been active since its start.
pub(in crate::services) fn note_life(call: &Call<'_>, task: &mut Document) {
    task.insert("last_update".into(), call.now.stored().into());
    if let Some(start) = Moment::parse(text_of(task, "started")) {
        task.insert(
            "active_duration".into(),
            call.now.seconds_since(start).max(0).into(),
        );
    }
}

/// Removes what a queue left in the execution.
pub(super) fn forget_queue(task: &mut Document) {
    section(task, "execution").remove("queue");
}

#[cfg(test)]
mod tests {
    use super::successors;

    ///
    #[test]
    fn final_state_has_no_successor() {
        assert!(successors("published").is_empty());
        assert!(successors("in_progress").contains(&"failed"));
        assert!(!successors("created").contains(&"completed"));
    }
}
