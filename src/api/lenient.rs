//! Reading what servers really send: `null` for empty collections, numbers where text is meant.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// `null` reads as the type's default.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Numbers and booleans read as their JSON text; `null`, lists and objects as none.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    })
}

/// An id that is missing, empty or unusable reads as none: not every task has a project, parent or queue.
pub(super) fn id<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr,
{
    Ok(text(deserializer)?.and_then(|text| text.parse().ok()))
}

/// Booleans read as 0 and 1, whole floats as integers, anything else as 0.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_u64().unwrap_or_default(),
        Value::Bool(truth) => u64::from(truth),
        _ => 0,
    })
}
