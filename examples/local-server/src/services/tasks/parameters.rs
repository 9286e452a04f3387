//! Hyperparameters and configuration objects of tasks.

use serde_json::{Value, json};

use super::{
    edit::{editable, save},
    fields::TASKS,
};
use crate::{
    call::{Call, section},
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    schema::{Document, Field, Kind, optional, required},
};

const PARAMETER: &[Field] = &[
    required("section", Kind::Text),
    required("name", Kind::Text),
    required("value", Kind::Text),
    optional("type", Kind::Text),
    optional("description", Kind::Text),
];

const PARAMETER_KEY: &[Field] = &[
    required("section", Kind::Text),
    optional("name", Kind::Text),
];

const CONFIGURATION: &[Field] = &[
    required("name", Kind::Text),
    required("value", Kind::Text),
    optional("type", Kind::Text),
    optional("description", Kind::Text),
];

pub(in crate::services) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("tasks.get_hyper_params", TASKS, get_hyper_params).since(2, 9),
    Endpoint::new(
        "tasks.edit_hyper_params",
        &[
            required("task", Kind::Text),
            required("hyperparams", Kind::Records(PARAMETER)),
            optional(
                "replace_hyperparams",
                Kind::OneOf(&["none", "section", "all"]),
            ),
            optional("force", Kind::Flag),
        ],
        edit_hyper_params,
    )
    .since(2, 9),
    Endpoint::new(
        "tasks.delete_hyper_params",
        &[
            required("task", Kind::Text),
            required("hyperparams", Kind::Records(PARAMETER_KEY)),
            optional("force", Kind::Flag),
        ],
        delete_hyper_params,
    )
    .since(2, 9),
    Endpoint::new(
        "tasks.get_configurations",
        &[
            required("tasks", Kind::Texts),
            optional("names", Kind::Texts),
        ],
        get_configurations,
    )
    .since(2, 9),
    Endpoint::new(
        "tasks.get_configuration_names",
        &[
            required("tasks", Kind::Texts),
            optional("skip_empty", Kind::Flag),
        ],
        get_configuration_names,
    )
    .since(2, 9),
    Endpoint::new(
        "tasks.edit_configuration",
        &[
            required("task", Kind::Text),
            required("configuration", Kind::Records(CONFIGURATION)),
            optional("replace_configuration", Kind::Flag),
            optional("force", Kind::Flag),
        ],
        edit_configuration,
    )
    .since(2, 9),
    Endpoint::new(
        "tasks.delete_configuration",
        &[
            required("task", Kind::Text),
            required("configuration", Kind::Texts),
            optional("force", Kind::Flag),
        ],
        delete_configuration,
    )
    .since(2, 9),
];

fn items<'a>(call: &'a Call<'_>, name: &str) -> impl Iterator<Item = &'a Document> {
    call.parameters
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
}

fn named(item: &Document, name: &str) -> String {
    item.get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// One answer for each of the tasks, all of which must exist.
fn for_each_task(
    call: &Call<'_>,
    answer: &str,
    member: &str,
    collect: impl Fn(&Document) -> Value,
) -> Outcome {
    let mut found = Vec::new();
    for id in call.texts("tasks") {
        let task = call.task(&id)?;
        found.push(json!({ "task": id, member: collect(&task) }));
    }
    Ok(json!({ answer: found }))
}

fn get_hyper_params(call: &mut Call<'_>) -> Outcome {
    for_each_task(call, "params", "hyperparams", |task| {
        task.get("hyperparams")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Document::values)
            .filter_map(Value::as_object)
            .flat_map(Document::values)
            .cloned()
            .collect()
    })
}

fn edit_hyper_params(call: &mut Call<'_>) -> Outcome {
    let mut task = editable_while_running(call)?;
    let parameters = section(&mut task, "hyperparams");
    match call.text("replace_hyperparams") {
        "all" => parameters.clear(),
        "section" => items(call, "hyperparams").for_each(|item| {
            parameters.remove(&named(item, "section"));
        }),
        _ => {}
    }
    for item in items(call, "hyperparams") {
        section(parameters, &named(item, "section"))
            .insert(named(item, "name"), Value::Object(item.clone()));
    }
    save(call, &mut task)?;
    Ok(json!({ "updated": 1 }))
}

/// User properties may change at any time; everything else needs a draft or force.
fn editable_while_running(call: &Call<'_>) -> Result<Document, ApiError> {
    if items(call, "hyperparams").all(|item| named(item, "section") == "properties") {
        call.task(call.text("task"))
    } else {
        editable(call)
    }
}

fn delete_hyper_params(call: &mut Call<'_>) -> Outcome {
    let mut task = editable_while_running(call)?;
    let parameters = section(&mut task, "hyperparams");
    for key in items(call, "hyperparams") {
        let (of, name) = (named(key, "section"), named(key, "name"));
        if name.is_empty() {
            parameters.remove(&of);
        } else if let Some(Value::Object(inner)) = parameters.get_mut(&of) {
            inner.remove(&name);
            if inner.is_empty() {
                parameters.remove(&of);
            }
        }
    }
    save(call, &mut task)?;
    Ok(json!({ "deleted": 1 }))
}

fn configurations(task: &Document) -> impl Iterator<Item = (&String, &Value)> {
    task.get("configuration")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn get_configurations(call: &mut Call<'_>) -> Outcome {
    let names = call.texts("names");
    for_each_task(call, "configurations", "configuration", |task| {
        configurations(task)
            .filter(|(name, _)| names.is_empty() || names.contains(name))
            .map(|(_, value)| value.clone())
            .collect()
    })
}

fn get_configuration_names(call: &mut Call<'_>) -> Outcome {
    for_each_task(call, "configurations", "names", |task| {
        configurations(task)
            .map(|(name, _)| Value::from(name.clone()))
            .collect()
    })
}

fn edit_configuration(call: &mut Call<'_>) -> Outcome {
    let mut task = editable(call)?;
    let configuration = section(&mut task, "configuration");
    if call.flag("replace_configuration") {
        configuration.clear();
    }
    for item in items(call, "configuration") {
        configuration.insert(named(item, "name"), Value::Object(item.clone()));
    }
    save(call, &mut task)?;
    Ok(json!({ "updated": 1 }))
}

fn delete_configuration(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let mut task = editable(call)?;
    for name in call.texts("configuration") {
        section(&mut task, "configuration").remove(&name);
    }
    save(call, &mut task)?;
    Ok(json!({ "deleted": 1 }))
}
