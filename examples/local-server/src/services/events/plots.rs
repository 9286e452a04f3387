//! Reading plots, debug images, and the names of metrics.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{IMAGE, PLOT, owner};
use crate::{
    call::{Call, text_of, texts},
    endpoint::{Endpoint, Outcome},
    query::scroll_id,
    schema::{Document, Field, Kind, optional, required},
};

const METRIC: &[Field] = &[
    required("metric", Kind::Text),
    optional("variants", Kind::Texts),
];

const IMAGES_OF: &[Field] = &[
    required("task", Kind::Text),
    optional("metrics", Kind::Texts),
    optional("variants", Kind::Texts),
];

pub(in crate::services) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new(
        "events.get_task_plots",
        &[
            required("task", Kind::Text),
            optional("iters", Kind::Integer),
            optional("metrics", Kind::Records(METRIC)),
            optional("scroll_id", Kind::Text),
            optional("no_scroll", Kind::Flag),
            optional("model_events", Kind::Flag),
        ],
        get_task_plots,
    ),
    Endpoint::new(
        "events.debug_images",
        &[
            required("metrics", Kind::Records(IMAGES_OF)),
            optional("iters", Kind::Integer),
            optional("navigate_earlier", Kind::Flag),
            optional("refresh", Kind::Flag),
            optional("scroll_id", Kind::Text),
            optional("model_events", Kind::Flag),
        ],
        debug_images,
    ),
    Endpoint::new(
        "events.get_task_metrics",
        &[
            required("tasks", Kind::Texts),
            optional("event_type", Kind::Text),
            optional("model_events", Kind::Flag),
        ],
        get_task_metrics,
    ),
];

fn iteration(event: &Document) -> i64 {
    event.get("iter").and_then(Value::as_i64).unwrap_or(0)
}

/// The newest `limit` iterations of each metric and variant.
fn newest(events: Vec<Document>, limit: usize) -> Vec<Document> {
    let mut groups: BTreeMap<(String, String), BTreeMap<i64, Document>> = BTreeMap::new();
    for event in events {
        groups
            .entry((
                text_of(&event, "metric").to_owned(),
                text_of(&event, "variant").to_owned(),
            ))
            .or_default()
            .insert(iteration(&event), event);
    }
    groups
        .into_values()
        .flat_map(|group| group.into_values().rev().take(limit))
        .collect()
}

fn limit(call: &Call<'_>) -> usize {
    call.integer("iters")
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count > 0)
        .unwrap_or(1)
}

fn get_task_plots(call: &mut Call<'_>) -> Outcome {
    let task = owner(call, call.text("task"))?;
    let mut plots = newest(call.store.events(&task, Some(PLOT))?, limit(call));
    if let Some(wanted) = call.parameters.get("metrics").and_then(Value::as_array) {
        plots.retain(|plot| {
            wanted.iter().any(|filter| {
                let variants = texts(filter.get("variants"));
                filter["metric"] == text_of(plot, "metric")
                    && (variants.is_empty()
                        || variants.iter().any(|name| name == text_of(plot, "variant")))
            })
        });
    }
    let total = plots.len();
    if call.has("scroll_id") {
        plots.clear();
    }
    Ok(json!({
        "returned": plots.len(),
        "total": total,
        "scroll_id": scroll_id(total),
        "plots": plots,
    }))
}

fn debug_images(call: &mut Call<'_>) -> Outcome {
    let wanted = call.parameters["metrics"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut answer = Vec::new();
    for filter in wanted {
        let task = owner(call, filter["task"].as_str().unwrap_or_default())?;
        let metrics = texts(filter.get("metrics"));
        let mut iterations: BTreeMap<i64, Vec<Document>> = BTreeMap::new();
        if !call.has("scroll_id") {
            for event in newest(call.store.events(&task, Some(IMAGE))?, limit(call)) {
                if metrics.is_empty()
                    || metrics.iter().any(|name| name == text_of(&event, "metric"))
                {
                    iterations.entry(iteration(&event)).or_default().push(event);
                }
            }
        }
        let iterations: Vec<Value> = iterations
            .into_iter()
            .rev()
            .map(|(number, events)| json!({ "iter": number, "events": events }))
            .collect();
        answer.push(json!({ "task": task, "iterations": iterations }));
    }
    Ok(json!({ "metrics": answer, "scroll_id": scroll_id(0) }))
}

fn get_task_metrics(call: &mut Call<'_>) -> Outcome {
    let mut answer = Vec::new();
    for id in call.texts("tasks") {
        let task = owner(call, &id)?;
        let names: BTreeSet<String> = call
            .store
            .events(&task, call.given("event_type"))?
            .iter()
            .map(|event| text_of(event, "metric").to_owned())
            .collect();
        answer.push(json!({ "task": task, "metrics": names }));
    }
    Ok(json!({ "metrics": answer }))
}
