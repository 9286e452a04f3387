//! The statistics of its metrics that a task carries with it: last values, extremes, and when each kind of event came.

use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::{SCALAR, SINGLE_VALUE};
use crate::{
    call::{section, text_of, texts},
    schema::Document,
};

/// Names may hold any character; their MD5 sums are the keys.
fn key(name: &str) -> String {
    format!("{:x}", Md5::digest(name))
}

/// Counts one event.
pub(super) fn count(owner: &mut Document, event: &Document, timestamp: i64) {
    let metric = text_of(event, "metric");
    let kind = text_of(event, "type");
    let stats = section(section(owner, "metric_stats"), &key(metric));
    stats.insert("metric".into(), metric.into());
    section(stats, "event_stats_by_type")
        .insert(kind.to_owned(), json!({ "last_update": timestamp }));
    let iteration = event.get("iter").and_then(Value::as_i64).unwrap_or(0);
    if iteration != SINGLE_VALUE {
        let last = owner
            .get("last_iteration")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        owner.insert("last_iteration".into(), last.max(iteration).into());
    }
    if kind == SCALAR {
        count_scalar(owner, event, iteration);
    }
}

fn count_scalar(owner: &mut Document, event: &Document, iteration: i64) {
    let (metric, variant) = (text_of(event, "metric"), text_of(event, "variant"));
    let value = event.get("value").and_then(Value::as_f64).unwrap_or(0.0);
    let last = section(
        section(section(owner, "last_metrics"), &key(metric)),
        &key(variant),
    );
    let number = |last: &Document, name: &str| last.get(name).and_then(Value::as_f64);
    let count = last.get("count").and_then(Value::as_i64).unwrap_or(0);
    if count == 0 {
        last.insert("metric".into(), metric.into());
        last.insert("variant".into(), variant.into());
        last.insert("first_value".into(), value.into());
        last.insert("first_value_iteration".into(), iteration.into());
    }
    last.insert("value".into(), value.into());
    if number(last, "min_value").is_none_or(|least| value < least) {
        last.insert("min_value".into(), value.into());
        last.insert("min_value_iteration".into(), iteration.into());
    }
    if number(last, "max_value").is_none_or(|greatest| value > greatest) {
        last.insert("max_value".into(), value.into());
        last.insert("max_value_iteration".into(), iteration.into());
    }
    let mean = number(last, "mean_value").unwrap_or(0.0);
    #[expect(
        clippy::cast_precision_loss,
        reason = "the mean of fewer than 2^52 values"
    )]
    let mean = mean + (value - mean) / (count as f64 + 1.0);
    last.insert("mean_value".into(), mean.into());
    last.insert("count".into(), (count + 1).into());
    let mut names = texts(owner.get("unique_metrics"));
    let name = format!("{metric}/{variant}");
    if !names.contains(&name) {
        names.push(name);
        owner.insert("unique_metrics".into(), names.into());
    }
}
