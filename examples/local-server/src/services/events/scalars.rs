//! Reading scalars.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{SCALAR, SINGLE_VALUE, log, owner};
use crate::{
    call::{Call, text_of, texts},
    clock::Moment,
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    schema::{Document, Field, Kind, optional, required},
};

const KEYS: Kind = Kind::OneOf(&["iter", "timestamp", "iso_time"]);

const METRIC: &[Field] = &[
    required("metric", Kind::Text),
    optional("variants", Kind::Texts),
];

pub(in crate::services) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new(
        "events.scalar_metrics_iter_histogram",
        &[
            required("task", Kind::Text),
            optional("samples", Kind::Integer),
            optional("key", KEYS),
            optional("metrics", Kind::Records(METRIC)),
            optional("model_events", Kind::Flag),
        ],
        histogram,
    ),
    Endpoint::new(
        "events.multi_task_scalar_metrics_iter_histogram",
        &[
            required("tasks", Kind::TextOrTexts),
            optional("samples", Kind::Integer),
            optional("key", KEYS),
            optional("metrics", Kind::Records(METRIC)),
            optional("model_events", Kind::Flag),
        ],
        multi_task_histogram,
    ),
    Endpoint::new(
        "events.get_scalar_metrics_and_variants",
        &[
            required("task", Kind::Text),
            optional("model_events", Kind::Flag),
        ],
        metrics_and_variants,
    ),
    Endpoint::new(
        "events.get_task_latest_scalar_values",
        &[required("task", Kind::Text)],
        latest_values,
    ),
    Endpoint::new(
        "events.get_scalar_metric_data",
        &[
            required("task", Kind::Text),
            optional("metric", Kind::Text),
            optional("scroll_id", Kind::Text),
            optional("no_scroll", Kind::Flag),
            optional("model_events", Kind::Flag),
        ],
        metric_data,
    ),
    Endpoint::new(
        "events.get_task_single_value_metrics",
        &[
            required("tasks", Kind::Texts),
            optional("model_events", Kind::Flag),
        ],
        single_values,
    )
    .since(2, 20),
];

/// Points of each variant of each metric.
type Series = BTreeMap<String, BTreeMap<String, Vec<(f64, f64)>>>;

#[expect(
    clippy::cast_precision_loss,
    reason = "iterations and time stamps are below 2^52"
)]
fn series(call: &Call<'_>, task: &str) -> Result<Series, ApiError> {
    let by_time = ["timestamp", "iso_time"].contains(&call.text("key"));
    let mut series = Series::new();
    for event in call.store.events(task, Some(SCALAR))? {
        let (metric, variant) = (text_of(&event, "metric"), text_of(&event, "variant"));
        let number = |name: &str| event.get(name).and_then(Value::as_i64).unwrap_or(0);
        if number("iter") == SINGLE_VALUE || !is_wanted(call, metric, variant) {
            continue;
        }
        let place = if by_time {
            number("timestamp")
        } else {
            number("iter")
        };
        let value = event.get("value").and_then(Value::as_f64).unwrap_or(0.0);
        series
            .entry(metric.to_owned())
            .or_default()
            .entry(variant.to_owned())
            .or_default()
            .push((place as f64, value));
    }
    let samples = call
        .integer("samples")
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count > 0);
    for points in series.values_mut().flat_map(BTreeMap::values_mut) {
        points.sort_by(|left, right| left.0.total_cmp(&right.0));
        *points = averaged(points, |left, right| left.0.total_cmp(&right.0).is_eq());
        if let Some(samples) = samples
            && points.len() > samples
        {
            *points = points
                .chunks(points.len().div_ceil(samples))
                .map(mean)
                .collect();
        }
    }
    Ok(series)
}

fn is_wanted(call: &Call<'_>, metric: &str, variant: &str) -> bool {
    let Some(wanted) = call.parameters.get("metrics").and_then(Value::as_array) else {
        return true;
    };
    wanted.iter().any(|filter| {
        let variants = texts(filter.get("variants"));
        filter["metric"] == metric
            && (variants.is_empty() || variants.iter().any(|name| name == variant))
    })
}

/// Neighbours that are the same become their mean.
fn averaged(
    points: &[(f64, f64)],
    same: impl Fn(&(f64, f64), &(f64, f64)) -> bool,
) -> Vec<(f64, f64)> {
    points.chunk_by(same).map(mean).collect()
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 points")]
fn mean(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    (x / count, y / count)
}

fn drawn(call: &Call<'_>, name: &str, points: &[(f64, f64)]) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "iterations and time stamps are whole"
    )]
    let places: Vec<Value> = points
        .iter()
        .map(|point| point.0.round() as i64)
        .map(|place| match call.text("key") {
            "iso_time" => Moment::from_milliseconds(place).map(Moment::text).into(),
            _ => place.into(),
        })
        .collect();
    let values: Vec<f64> = points.iter().map(|point| point.1).collect();
    json!({ "name": name, "x": places, "y": values })
}

fn histogram(call: &mut Call<'_>) -> Outcome {
    let task = owner(call, call.text("task"))?;
    let mut answer = Document::new();
    for (metric, variants) in series(call, &task)? {
        let drawn = variants
            .into_iter()
            .map(|(variant, points)| (variant.clone(), drawn(call, &variant, &points)))
            .collect::<Document>();
        answer.insert(metric, Value::Object(drawn));
    }
    Ok(Value::Object(answer))
}

fn multi_task_histogram(call: &mut Call<'_>) -> Outcome {
    let mut answer = json!({});
    for id in call.texts("tasks") {
        let task = owner(call, &id)?;
        let name = call
            .store
            .get(crate::storage::Collection::Task, &task)?
            .map(|document| text_of(&document, "name").to_owned())
            .unwrap_or_default();
        for (metric, variants) in series(call, &task)? {
            for (variant, points) in variants {
                answer[&metric][&variant][&task] = drawn(call, &name, &points);
            }
        }
    }
    Ok(answer)
}

fn metrics_and_variants(call: &mut Call<'_>) -> Outcome {
    let task = owner(call, call.text("task"))?;
    let metrics: BTreeMap<_, Vec<_>> = series(call, &task)?
        .into_iter()
        .map(|(metric, variants)| (metric, variants.into_keys().collect()))
        .collect();
    Ok(json!({ "metrics": metrics }))
}

fn latest_values(call: &mut Call<'_>) -> Outcome {
    let task = owner(call, call.text("task"))?;
    let mut latest: BTreeMap<String, BTreeMap<String, (f64, i64)>> = BTreeMap::new();
    for event in call.store.events(&task, Some(SCALAR))? {
        let value = event.get("value").and_then(Value::as_f64).unwrap_or(0.0);
        let time = event.get("timestamp").and_then(Value::as_i64).unwrap_or(0);
        latest
            .entry(text_of(&event, "metric").to_owned())
            .or_default()
            .insert(text_of(&event, "variant").to_owned(), (value, time));
    }
    let metrics: Vec<Value> = latest
        .into_iter()
        .map(|(metric, variants)| {
            let variants: Vec<Value> = variants
                .into_iter()
                .map(|(name, (value, time))| json!({ "name": name, "last_value": value, "last_timestamp": time }))
                .collect();
            json!({ "name": metric, "variants": variants })
        })
        .collect();
    Ok(json!({ "metrics": metrics }))
}

fn metric_data(call: &mut Call<'_>) -> Outcome {
    let task = owner(call, call.text("task"))?;
    let mut events = call.store.events(&task, Some(SCALAR))?;
    if let Some(metric) = call.given("metric") {
        events.retain(|event| text_of(event, "metric") == metric);
    }
    log::scrolled(call, events)
}

fn single_values(call: &mut Call<'_>) -> Outcome {
    let mut tasks = Vec::new();
    for id in call.texts("tasks") {
        let task = owner(call, &id)?;
        let mut values: BTreeMap<(String, String), Value> = BTreeMap::new();
        for event in call.store.events(&task, Some(SCALAR))? {
            if event.get("iter").and_then(Value::as_i64) == Some(SINGLE_VALUE) {
                let (metric, variant) = (text_of(&event, "metric"), text_of(&event, "variant"));
                let shown = json!({
                    "metric": metric,
                    "variant": variant,
                    "value": event.get("value"),
                    "timestamp": event.get("timestamp"),
                });
                values.insert((metric.to_owned(), variant.to_owned()), shown);
            }
        }
        if !values.is_empty() {
            let values: Vec<_> = values.into_values().collect();
            tasks.push(json!({ "task": task, "values": values }));
        }
    }
    Ok(json!({ "tasks": tasks }))
}
