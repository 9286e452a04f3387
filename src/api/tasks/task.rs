//! A task as the server sends it. Nothing here is checked beyond its type.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::requirements::Requirements;
use super::status::TaskStatus;
use crate::api::id::{ProjectId, QueueId, TaskId, UserId};
use crate::api::lenient;

/// Free properties that agent and program share.
pub type Runtime = Map<String, Value>;

/// A task; only the asked fields are filled.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
pub struct Task {
    /// The task's id.
    #[serde(default)]
    pub id: Option<TaskId>,
    /// The task's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// Its state.
    #[serde(default)]
    pub status: Option<TaskStatus>,
    /// Why it came into this state.
    #[serde(default, deserialize_with = "lenient::text")]
    pub status_reason: Option<String>,
    /// `stopping` inside is the user's wish to abort.
    #[serde(default, deserialize_with = "lenient::text")]
    pub status_message: Option<String>,
    /// For instance `training`.
    #[serde(default, rename = "type", deserialize_with = "lenient::text")]
    pub kind: Option<String>,
    /// Its project.
    #[serde(default, deserialize_with = "lenient::id")]
    pub project: Option<ProjectId>,
    /// Whose it is.
    #[serde(default, deserialize_with = "lenient::id")]
    pub user: Option<UserId>,
    /// The company.
    #[serde(default, deserialize_with = "lenient::text")]
    pub company: Option<String>,
    /// What it was cloned from.
    #[serde(default, deserialize_with = "lenient::id")]
    pub parent: Option<TaskId>,
    /// The users' tags.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub tags: Vec<String>,
    /// The server's tags.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub system_tags: Vec<String>,
    /// What to run; a task without it cannot run (E-016).
    #[serde(default)]
    pub script: Option<Script>,
    /// In what to run it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub container: Container,
    /// How to run it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub execution: Execution,
    /// Section, name, value.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub hyperparams: BTreeMap<String, BTreeMap<String, HyperParameter>>,
    /// Configuration texts by name.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub configuration: BTreeMap<String, ConfigurationItem>,
    /// Free properties.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub runtime: Runtime,
    /// When it was created; ISO 8601 text, like the other times.
    #[serde(default, deserialize_with = "lenient::text")]
    pub created: Option<String>,
    /// When it started.
    #[serde(default, deserialize_with = "lenient::text")]
    pub started: Option<String>,
    /// When it ended.
    #[serde(default, deserialize_with = "lenient::text")]
    pub completed: Option<String>,
    /// When its state changed.
    #[serde(default, deserialize_with = "lenient::text")]
    pub status_changed: Option<String>,
    /// When somebody reported on it.
    #[serde(default, deserialize_with = "lenient::text")]
    pub last_update: Option<String>,
    /// When it was changed.
    #[serde(default, deserialize_with = "lenient::text")]
    pub last_change: Option<String>,
    /// Who ran it last; may be a worker whose id is no longer valid.
    #[serde(default, deserialize_with = "lenient::text")]
    pub last_worker: Option<String>,
    /// When that worker reported.
    #[serde(default, deserialize_with = "lenient::text")]
    pub last_worker_report: Option<String>,
    /// The last iteration that it reported.
    #[serde(default)]
    pub last_iteration: Option<i64>,
}

/// What to run. All texts may be empty or missing, which means the same.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct Script {
    /// The interpreter, for instance `python3.11`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub binary: Option<String>,
    /// The repository's URL.
    #[serde(default, deserialize_with = "lenient::text")]
    pub repository: Option<String>,
    /// The branch.
    #[serde(default, deserialize_with = "lenient::text")]
    pub branch: Option<String>,
    /// The tag.
    #[serde(default, deserialize_with = "lenient::text")]
    pub tag: Option<String>,
    /// The commit.
    #[serde(default, deserialize_with = "lenient::text")]
    pub version_num: Option<String>,
    /// The script with its arguments.
    #[serde(default, deserialize_with = "lenient::text")]
    pub entry_point: Option<String>,
    /// Where to run it, relative to the repository.
    #[serde(default, deserialize_with = "lenient::text")]
    pub working_dir: Option<String>,
    /// Which packages it needs.
    #[serde(default)]
    pub requirements: Requirements,
    /// Uncommitted changes, or the whole script where there is no repository.
    #[serde(default, deserialize_with = "lenient::text")]
    pub diff: Option<String>,
}

/// In what to run; also the arguments of an edit, which leaves out what is missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Container {
    /// The image.
    #[serde(
        default,
        deserialize_with = "lenient::text",
        skip_serializing_if = "Option::is_none"
    )]
    pub image: Option<String>,
    /// Words for `docker run`.
    #[serde(
        default,
        deserialize_with = "lenient::text",
        skip_serializing_if = "Option::is_none"
    )]
    pub arguments: Option<String>,
    /// Shell lines to run first inside.
    #[serde(
        default,
        deserialize_with = "lenient::text",
        skip_serializing_if = "Option::is_none"
    )]
    pub setup_shell_script: Option<String>,
}

/// How to run.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
pub struct Execution {
    /// The queue that it was put into last.
    #[serde(default, deserialize_with = "lenient::id")]
    pub queue: Option<QueueId>,
    /// The image of old servers.
    #[serde(default, deserialize_with = "lenient::text")]
    pub docker_cmd: Option<String>,
    /// The parameters of old servers, `Section/name` to value.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub parameters: Map<String, Value>,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct HyperParameter {
    /// The section, as the map's key.
    #[serde(default, deserialize_with = "lenient::text")]
    pub section: Option<String>,
    /// The name, as the map's key.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// The value as text.
    #[serde(default, deserialize_with = "lenient::text")]
    pub value: Option<String>,
    /// The type that the program gave it.
    #[serde(default, rename = "type", deserialize_with = "lenient::text")]
    pub kind: Option<String>,
    /// What the program says of it.
    #[serde(default, deserialize_with = "lenient::text")]
    pub description: Option<String>,
}

/// One configuration text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct ConfigurationItem {
    /// The name, as the map's key.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// The text.
    #[serde(default, deserialize_with = "lenient::text")]
    pub value: Option<String>,
    /// Its type, for instance `dictionary`.
    #[serde(default, rename = "type", deserialize_with = "lenient::text")]
    pub kind: Option<String>,
}
