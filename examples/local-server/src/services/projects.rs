//! `projects.*`, as the SDK needs them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    call::{COMPANY_ID, Call, new_id, text_of, texts},
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    query::{self, COMMON_FIELDS, Rules},
    schema::{Document, Field, Kind, optional, required},
    storage::Collection,
};

const RULES: Rules = Rules {
    lists: &["tags", "system_tags", "user", "parent"],
    patterns: &["description", "basename"],
    exact: &[],
    times: &["created", "last_update"],
    searched: &["id", "name", "description"],
    hidden: &["hidden"],
};

/// Levels of projects inside projects.
const DEEPEST: usize = 64;

const PROJECT: &[Field] = &[required("project", Kind::Text)];
const FEW: &[Field] = &[
    optional("projects", Kind::Texts),
    optional("include_system", Kind::Flag),
    optional("filter", Kind::Object),
];

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new(
        "projects.create",
        &[
            required("name", Kind::Text),
            optional("description", Kind::Text),
            optional("tags", Kind::Texts),
            optional("system_tags", Kind::Texts),
            optional("default_output_destination", Kind::Text),
        ],
        create,
    ),
    Endpoint::new("projects.get_by_id", PROJECT, get_by_id),
    Endpoint::new("projects.get_all", COMMON_FIELDS, get_all),
    Endpoint::new("projects.get_all_ex", COMMON_FIELDS, get_all),
    Endpoint::new(
        "projects.update",
        &[
            required("project", Kind::Text),
            optional("name", Kind::Text),
            optional("description", Kind::Text),
            optional("tags", Kind::Texts),
            optional("system_tags", Kind::Texts),
            optional("default_output_destination", Kind::Text),
        ],
        update,
    ),
    Endpoint::new(
        "projects.delete",
        &[
            required("project", Kind::Text),
            optional("force", Kind::Flag),
            optional("delete_contents", Kind::Flag),
        ],
        delete,
    ),
    Endpoint::new("projects.get_task_tags", FEW, get_task_tags),
    Endpoint::new("projects.get_model_tags", FEW, get_model_tags),
    Endpoint::new(
        "projects.get_unique_metric_variants",
        &[
            optional("project", Kind::Text),
            optional("include_subprojects", Kind::Flag),
        ],
        get_unique_metric_variants,
    ),
];

fn find(call: &Call<'_>) -> Result<Document, ApiError> {
    let id = call.text("project");
    call.store
        .get(Collection::Project, id)?
        .ok_or_else(|| ApiError::invalid_project(id))
}

fn named(call: &Call<'_>, name: &str) -> Result<Option<Document>, ApiError> {
    let projects = call.store.all(Collection::Project)?;
    Ok(projects
        .into_iter()
        .find(|project| text_of(project, "name") == name))
}

fn refuse_taken_name(call: &Call<'_>, name: &str, own_id: &str) -> Result<(), ApiError> {
    match named(call, name)? {
        Some(project) if text_of(&project, "id") != own_id => Err(ApiError::bad_request(
            801,
            format!(
                "Value combination already exists (project with the same name already exists): name={name}"
            ),
        )),
        _ => Ok(()),
    }
}

fn create(call: &mut Call<'_>) -> Outcome {
    let name = call.text("name");
    refuse_taken_name(call, name, "")?;
    let id = find_or_create(call, name)?;
    let mut project = call
        .store
        .get(Collection::Project, &id)?
        .unwrap_or_default();
    for field in [
        "description",
        "tags",
        "system_tags",
        "default_output_destination",
    ] {
        if let Some(value) = call.parameters.get(field) {
            project.insert(field.into(), value.clone());
        }
    }
    call.store.put(Collection::Project, &project)?;
    Ok(json!({ "id": id }))
}

/// The id of the project with this name; it and the projects above it are made where they are missing.
pub(super) fn find_or_create(call: &Call<'_>, name: &str) -> Result<String, ApiError> {
    if let Some(project) = named(call, name)? {
        return Ok(text_of(&project, "id").to_owned());
    }
    if name.split('/').any(str::is_empty) || name.split('/').count() > DEEPEST {
        return Err(ApiError::bad_request(
            407,
            format!("Invalid project name: name={name}"),
        ));
    }
    let (parent, basename) = match name.rsplit_once('/') {
        None => (None, name),
        Some((above, basename)) => (Some(find_or_create(call, above)?), basename),
    };
    let mut path = Vec::new();
    if let Some(parent) = &parent {
        let above = call
            .store
            .get(Collection::Project, parent)?
            .unwrap_or_default();
        path = texts(above.get("path"));
        path.push(parent.clone());
    }
    let id = new_id();
    let mut project = json!({
        "id": id,
        "company": COMPANY_ID,
        "user": call.caller.user,
        "name": name,
        "basename": basename,
        "description": "",
        "created": call.now.stored(),
        "tags": [],
        "system_tags": [],
        "last_update": call.now.stored(),
        "featured": 9999,
        "path": path,
    });
    if let Some(parent) = parent {
        project["parent"] = parent.into();
    }
    let project = project
        .as_object()
        .cloned()
        .expect("just written as an object");
    call.store.put(Collection::Project, &project)?;
    Ok(id)
}

/// Notes that something in the project has changed.
pub(super) fn touch(call: &Call<'_>, id: &str) -> Result<(), ApiError> {
    if let Some(mut project) = call.store.get(Collection::Project, id)? {
        project.insert("last_update".into(), call.now.stored().into());
        call.store.put(Collection::Project, &project)?;
    }
    Ok(())
}

/// The projects and all projects below them.
pub(super) fn with_descendants(
    call: &Call<'_>,
    mut ids: Vec<String>,
) -> Result<Vec<String>, ApiError> {
    for project in call.store.all(Collection::Project)? {
        let id = text_of(&project, "id").to_owned();
        if !ids.contains(&id)
            && texts(project.get("path"))
                .iter()
                .any(|above| ids.contains(above))
        {
            ids.push(id);
        }
    }
    Ok(ids)
}

fn get_by_id(call: &mut Call<'_>) -> Outcome {
    Ok(json!({ "project": find(call)? }))
}

fn get_all(call: &mut Call<'_>) -> Outcome {
    let selection = query::select(call, call.store.all(Collection::Project)?, &RULES)?;
    let mut answer = json!({ "projects": selection.documents });
    if let Some(id) = selection.scroll_id {
        answer["scroll_id"] = id.into();
    }
    Ok(answer)
}

fn update(call: &mut Call<'_>) -> Outcome {
    let mut project = find(call)?;
    let id = text_of(&project, "id").to_owned();
    let mut fields = Document::new();
    for field in [
        "name",
        "description",
        "tags",
        "system_tags",
        "default_output_destination",
    ] {
        if let Some(value) = call.parameters.get(field) {
            fields.insert(field.into(), value.clone());
        }
    }
    if let Some(name) = call.given("name") {
        refuse_taken_name(call, name, &id)?;
        if name.rsplit_once('/').map(|parts| parts.0)
            != text_of(&project, "name")
                .rsplit_once('/')
                .map(|parts| parts.0)
        {
            return Err(ApiError::bad_request(
                408,
                format!("Cannot update project location (use projects.move instead): name={name}"),
            ));
        }
        fields.insert(
            "basename".into(),
            name.rsplit('/').next().unwrap_or(name).into(),
        );
    }
    project.extend(fields.clone());
    project.insert("last_update".into(), call.now.stored().into());
    call.store.put(Collection::Project, &project)?;
    Ok(json!({ "fields": fields, "updated": 1 }))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let project = find(call)?;
    let doomed = with_descendants(call, vec![text_of(&project, "id").to_owned()])?;
    let tasks: Vec<_> = call
        .store
        .all(Collection::Task)?
        .into_iter()
        .filter(|task| doomed.iter().any(|id| id == text_of(task, "project")))
        .collect();
    let active = tasks.iter().any(|task| {
        !texts(task.get("system_tags"))
            .iter()
            .any(|tag| tag == "archived")
    });
    if active && !call.flag("force") {
        return Err(ApiError::bad_request(
            402,
            format!(
                "Project has associated tasks (use force=true to delete): id={}",
                text_of(&project, "id")
            ),
        ));
    }
    let mut deleted_tasks = 0;
    for mut task in tasks {
        if call.flag("delete_contents") {
            call.store.delete_events(text_of(&task, "id"), None)?;
            call.store.delete(Collection::Task, text_of(&task, "id"))?;
            deleted_tasks += 1;
        } else {
            task.remove("project");
            call.store.put(Collection::Task, &task)?;
        }
    }
    for id in &doomed {
        call.store.delete(Collection::Project, id)?;
    }
    Ok(json!({
        "deleted": doomed.len(),
        "disassociated_tasks": 0,
        "deleted_models": 0,
        "deleted_tasks": deleted_tasks,
        "urls": null,
    }))
}

fn get_task_tags(call: &mut Call<'_>) -> Outcome {
    tags(call, Collection::Task)
}

fn get_model_tags(call: &mut Call<'_>) -> Outcome {
    tags(call, Collection::Model)
}

fn tags(call: &Call<'_>, collection: Collection) -> Outcome {
    let projects = call.texts("projects");
    let mut tags = BTreeSet::new();
    let mut system_tags = BTreeSet::new();
    for document in call.store.all(collection)? {
        if projects.is_empty()
            || projects
                .iter()
                .any(|project| project == text_of(&document, "project"))
        {
            tags.extend(texts(document.get("tags")));
            system_tags.extend(texts(document.get("system_tags")));
        }
    }
    let mut answer = json!({ "tags": tags });
    if call.flag("include_system") {
        answer["system_tags"] = json!(system_tags);
    }
    Ok(answer)
}

fn get_unique_metric_variants(call: &mut Call<'_>) -> Outcome {
    let wanted = match call.given("project") {
        Some(id) => Some(with_descendants(call, vec![id.to_owned()])?),
        None => None,
    };
    let mut found = BTreeMap::new();
    for task in call.store.all(Collection::Task)? {
        let project = text_of(&task, "project");
        if wanted
            .as_ref()
            .is_some_and(|wanted| !wanted.iter().any(|id| id == project))
        {
            continue;
        }
        for (metric_hash, variants) in task
            .get("last_metrics")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            for (variant_hash, last) in variants.as_object().into_iter().flatten() {
                let entry: Value = json!({
                    "metric": last["metric"],
                    "metric_hash": metric_hash,
                    "variant": last["variant"],
                    "variant_hash": variant_hash,
                });
                found.insert((metric_hash.clone(), variant_hash.clone()), entry);
            }
        }
    }
    let metrics: Vec<_> = found.into_values().collect();
    Ok(json!({ "metrics": metrics }))
}
