//! The arguments of calls about tasks, and what these answer. Members that are none are not sent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::requirements::Requirements;
use super::status::TaskStatus;
use super::task::Container;
use crate::api::id::{ProjectId, QueueId, TaskId};
use crate::api::lenient;

/// The arguments of `started`, `completed`, `failed`, `stopped`, `stop`, `close` and `reset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusChange {
    /// Skips the check of the state machine.
    pub force: bool,
    /// Which task.
    pub task: TaskId,
    /// Shown on the web page; a change without one erases it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// Shown on the web page; a change without one erases it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
}

impl StatusChange {
    /// A change that the state machine must allow, as the agent sends the final ones.
    pub fn new(task: TaskId) -> Self {
        Self {
            force: false,
            task,
            status_reason: None,
            status_message: None,
        }
    }

    /// A change in any state, as the agent sends `started`.
    pub fn forced(task: TaskId) -> Self {
        Self {
            force: true,
            ..Self::new(task)
        }
    }

    /// With this reason.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.status_reason = Some(reason.into());
        self
    }

    /// With this message.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.status_message = Some(message.into());
        self
    }
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Updated {
    /// 1 where the task was changed.
    #[serde(default, deserialize_with = "lenient::count")]
    pub updated: u64,
    /// The new values.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub fields: Map<String, Value>,
}

/// The arguments of `tasks.dequeue`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dequeue {
    /// Which task.
    pub task: TaskId,
    /// The state afterwards; old servers go back to the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_status: Option<TaskStatus>,
    /// Shown on the web page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// Shown on the web page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
}

impl Dequeue {
    /// Out of the queue, back into the state before.
    pub fn new(task: TaskId) -> Self {
        Self {
            task,
            new_status: None,
            status_reason: None,
            status_message: None,
        }
    }

    /// Out of the queue and running, as `execute` asks for (E-015).
    pub fn into_progress(task: TaskId) -> Self {
        Self {
            task,
            new_status: Some(TaskStatus::InProgress),
            status_reason: None,
            status_message: None,
        }
    }
}

/// The arguments of `tasks.enqueue`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Enqueue {
    /// Which task.
    pub task: TaskId,
    /// Skips the check of the state machine; sent only when true.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Where to.
    pub queue: QueueId,
    /// Shown on the web page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// Whether `execution.queue` follows (API 2.31).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_execution_queue: Option<bool>,
}

impl Enqueue {
    /// At the end of `queue`.
    pub fn new(task: TaskId, queue: QueueId) -> Self {
        Self {
            task,
            force: false,
            queue,
            status_reason: None,
            update_execution_queue: None,
        }
    }
}

/// What to change of a script.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ScriptEdit {
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_num: Option<String>,
}

/// The arguments of `tasks.get_all`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TaskFilter {
    /// Which tasks; empty: not asked by id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub id: Vec<TaskId>,
    /// Only in these states.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<TaskStatus>,
    /// Also hidden ones; sent only when true.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub search_hidden: bool,
    /// Which fields; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_fields: Vec<String>,
    /// Which part of them; none: as many as the server gives at once.
    #[serde(flatten)]
    pub page: Option<Page>,
}

/// A part of a long list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Page {
    #[serde(rename = "page")]
    number: usize,
    #[serde(rename = "page_size")]
    size: usize,
    order_by: [&'static str; 1],
}

impl Page {
    /// So many a server gives at once.
    pub const LARGEST: usize = 500;

    /// The one with this number, from 0, of the largest ones.
    pub fn of(number: usize) -> Self {
        Self {
            number,
            size: Self::LARGEST,
            order_by: ["id"],
        }
    }
}

/// The arguments of `tasks.create`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct NewTask {
    /// The task's name.
    pub name: String,
    /// For instance `training`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectId>,
    /// Fields of [`super::Script`].
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub script: Map<String, Value>,
    /// In what to run it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
}

#[derive(Serialize)]
pub(super) struct One<'a> {
    pub(super) task: &'a TaskId,
}

#[derive(Serialize)]
pub(super) struct Deletion<'a> {
    pub(super) task: &'a TaskId,
    pub(super) force: bool,
}

#[derive(Serialize)]
pub(super) struct Copy<'a> {
    pub(super) task: &'a TaskId,
    pub(super) new_task_name: &'a str,
}

/// The status question has its members in this order, the runtime question in [`FieldsFirst`]'s.
#[derive(Serialize)]
pub(super) struct HiddenFirst<'a> {
    pub(super) id: [&'a TaskId; 1],
    pub(super) search_hidden: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) only_fields: &'a [&'a str],
}

#[derive(Serialize)]
pub(super) struct FieldsFirst<'a> {
    pub(super) id: [&'a TaskId; 1],
    pub(super) only_fields: &'a [&'a str],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) search_hidden: bool,
}

#[derive(Serialize)]
pub(super) struct ByName<'a> {
    pub(super) name: String,
    pub(super) only_fields: &'a [&'a str],
}

#[derive(Serialize)]
pub(super) struct ByReason<'a> {
    pub(super) status: [&'a TaskStatus; 1],
    pub(super) search_hidden: bool,
    pub(super) only_fields: &'a [&'a str],
    #[serde(rename = "_all_")]
    pub(super) all: Pattern<'a>,
}

/// A regular expression that all of the fields must match.
#[derive(Serialize)]
pub(super) struct Pattern<'a> {
    pub(super) fields: &'a [&'a str],
    pub(super) pattern: String,
}

#[derive(Serialize)]
pub(super) struct Edit<'a> {
    pub(super) task: &'a TaskId,
    pub(super) force: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) runtime: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container: Option<&'a Container>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) script: Option<&'a ScriptEdit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) execution: Option<DockerCommand<'a>>,
}

#[derive(Serialize)]
pub(super) struct DockerCommand<'a> {
    pub(super) docker_cmd: &'a str,
}

#[derive(Serialize)]
pub(super) struct SetRequirements<'a> {
    pub(super) task: &'a TaskId,
    pub(super) requirements: &'a Requirements,
}

#[derive(Serialize)]
pub(super) struct Update<'a> {
    pub(super) task: &'a TaskId,
    pub(super) status_message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<&'a [String]>,
}

#[derive(Serialize)]
pub(super) struct Several<'a> {
    pub(super) tasks: &'a [TaskId],
}
