//! The fields of a task that clients write.

use crate::schema::{Field, Kind, optional, required};

pub(super) const TASK: &[Field] = &[required("task", Kind::Text)];

pub(super) const TASKS: &[Field] = &[required("tasks", Kind::Texts)];

pub(super) const STATUS_CHANGE: &[Field] = &[
    required("task", Kind::Text),
    optional("force", Kind::Flag),
    optional("status_reason", Kind::Text),
    optional("status_message", Kind::Text),
];

pub(super) const TYPES: Kind = Kind::OneOf(&[
    "training",
    "testing",
    "inference",
    "data_processing",
    "application",
    "monitor",
    "controller",
    "report",
    "optimizer",
    "service",
    "qc",
    "custom",
]);

const SCRIPT: Kind = Kind::Record(&[
    optional("binary", Kind::Text),
    optional("repository", Kind::Text),
    optional("tag", Kind::Text),
    optional("branch", Kind::Text),
    optional("version_num", Kind::Text),
    optional("entry_point", Kind::Text),
    optional("working_dir", Kind::Text),
    optional("requirements", Kind::Any),
    optional("diff", Kind::Text),
]);

pub(super) const ARTIFACT: &[Field] = &[
    required("key", Kind::Text),
    required("type", Kind::Text),
    optional("mode", Kind::OneOf(&["input", "output"])),
    optional("uri", Kind::Text),
    optional("hash", Kind::Text),
    optional("content_size", Kind::Integer),
    optional("timestamp", Kind::Integer),
    optional(
        "type_data",
        Kind::Record(&[
            optional("preview", Kind::Text),
            optional("content_type", Kind::Text),
            optional("data_hash", Kind::Text),
        ]),
    ),
    optional("display_data", Kind::List),
];

const EXECUTION: Kind = Kind::Record(&[
    optional("queue", Kind::Text),
    optional("test_split", Kind::Integer),
    optional("parameters", Kind::Object),
    optional("model", Kind::Text),
    optional("model_desc", Kind::Object),
    optional("model_labels", Kind::Object),
    optional("framework", Kind::Text),
    optional("docker_cmd", Kind::Text),
    optional("dataviews", Kind::List),
    optional("artifacts", Kind::Records(ARTIFACT)),
]);

/// What `tasks.create` and `tasks.edit` take, with the fields that each of them knows alone.
macro_rules! described_by {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            optional("tags", Kind::Texts),
            optional("system_tags", Kind::Texts),
            optional("comment", Kind::Text),
            optional("parent", Kind::Text),
            optional("project", Kind::Text),
            optional("input", Kind::Object),
            optional("output_dest", Kind::Text),
            optional("execution", EXECUTION),
            optional("hyperparams", Kind::Object),
            optional("configuration", Kind::Object),
            optional("script", SCRIPT),
            optional("container", Kind::Object),
            optional("models", Kind::Object),
            optional("runtime", Kind::Object),
        ]
    };
}

pub(super) const CREATE: &[Field] =
    described_by![required("name", Kind::Text), required("type", TYPES)];

pub(super) const EDIT: &[Field] = described_by![
    required("task", Kind::Text),
    optional("force", Kind::Flag),
    optional("name", Kind::Text),
    optional("type", TYPES),
];

/// Members that are taken over as they come.
pub(super) const PLAIN: &[&str] = &[
    "name",
    "type",
    "tags",
    "system_tags",
    "comment",
    "parent",
    "project",
    "input",
    "hyperparams",
    "configuration",
    "runtime",
];

/// Members whose parts that are not sent keep their values.
pub(super) const MERGED: &[&str] = &["execution", "script", "container", "models"];
