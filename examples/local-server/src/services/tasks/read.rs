//! `tasks.get_*`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    call::{COMPANY_ID, COMPANY_NAME, Call, lookup, text_of, texts},
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    query::{self, COMMON_FIELDS, Rules},
    schema::{Document, Kind, optional, required},
    services::projects,
    storage::Collection,
};

const RULES: Rules = Rules {
    lists: &["status", "type", "user", "tags", "system_tags", "parent"],
    patterns: &[],
    exact: &[],
    times: &[
        "created",
        "started",
        "completed",
        "last_update",
        "last_change",
        "status_changed",
    ],
    searched: &["id", "name", "comment", "tags"],
    hidden: &["hidden"],
};

/// Member with the state before the queue, which no answer shows.
const HIDDEN: &str = "enqueue_status";

pub(in crate::services) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new(
        "tasks.get_by_id",
        &[
            required("task", Kind::Text),
            optional("only_fields", Kind::Texts),
        ],
        get_by_id,
    ),
    Endpoint::new(
        "tasks.get_by_id_ex",
        &[required("id", Kind::TextOrTexts)],
        get_all_ex,
    ),
    Endpoint::new("tasks.get_all", COMMON_FIELDS, get_all),
    Endpoint::new("tasks.get_all_ex", COMMON_FIELDS, get_all_ex),
    Endpoint::new(
        "tasks.get_types",
        &[optional("projects", Kind::Texts)],
        get_types,
    ),
];

fn get_by_id(call: &mut Call<'_>) -> Outcome {
    let id = call.text("task");
    let mut task = call
        .store
        .get(Collection::Task, id)?
        .ok_or_else(|| ApiError::bad_request(101, format!("Invalid task id: ids=({id})")))?;
    task.remove(HIDDEN);
    let only = call.texts("only_fields");
    let task = if only.is_empty() {
        task
    } else {
        query::project(&task, &only)
    };
    Ok(json!({ "task": task }))
}

/// The tasks that the request means; those asked for by id are read alone.
fn candidates(call: &Call<'_>) -> Result<Vec<Document>, ApiError> {
    let mut tasks = match call.parameters.get("id") {
        Some(ids) => {
            let mut seen = BTreeSet::new();
            let mut found = Vec::new();
            for id in texts(Some(ids)) {
                if seen.insert(id.clone()) {
                    found.extend(call.store.get(Collection::Task, &id)?);
                }
            }
            found
        }
        None => call.store.all(Collection::Task)?,
    };
    if call.has("project") {
        let mut wanted = call.texts("project");
        if call.flag("include_subprojects") {
            wanted = projects::with_descendants(call, wanted)?;
        }
        tasks.retain(|task| {
            wanted
                .iter()
                .any(|project| project == text_of(task, "project"))
        });
    }
    Ok(tasks)
}

fn get_all(call: &mut Call<'_>) -> Outcome {
    let tasks = candidates(call)?;
    answer(call, tasks)
}

/// As `get_all`, with names in the place of ids.
fn get_all_ex(call: &mut Call<'_>) -> Outcome {
    let mut tasks = candidates(call)?;
    for task in &mut tasks {
        task.insert(
            "company".into(),
            json!({ "id": COMPANY_ID, "name": COMPANY_NAME }),
        );
        for (name, collection) in [
            ("project", Collection::Project),
            ("user", Collection::User),
            ("parent", Collection::Task),
        ] {
            let id = text_of(task, name).to_owned();
            if let Some(found) = call.store.get(collection, &id)? {
                task.insert(
                    name.into(),
                    json!({ "id": id, "name": text_of(&found, "name") }),
                );
            }
        }
    }
    for name in ["user", "parent"] {
        if call.has(name) {
            let wanted = call.texts(name);
            let id = format!("{name}.id");
            tasks.retain(|task| {
                lookup(task, &id)
                    .and_then(Value::as_str)
                    .is_some_and(|found| wanted.iter().any(|id| id == found))
            });
            call.parameters.remove(name);
        }
    }
    answer(call, tasks)
}

fn answer(call: &Call<'_>, mut tasks: Vec<Document>) -> Outcome {
    for task in &mut tasks {
        task.remove(HIDDEN);
    }
    let selection = query::select(call, tasks, &RULES)?;
    let mut answer = json!({ "tasks": selection.documents });
    if let Some(id) = selection.scroll_id {
        answer["scroll_id"] = id.into();
    }
    Ok(answer)
}

fn get_types(call: &mut Call<'_>) -> Outcome {
    let projects = call.texts("projects");
    let types: BTreeSet<String> = call
        .store
        .all(Collection::Task)?
        .iter()
        .filter(|task| {
            projects.is_empty()
                || projects
                    .iter()
                    .any(|project| project == text_of(task, "project"))
        })
        .map(|task| text_of(task, "type").to_owned())
        .collect();
    Ok(json!({ "types": types }))
}
