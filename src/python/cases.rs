//! The recorded requirement cases (tests/data/python/requirements-cases.json), by kind.
//!
//! Compiled under `#[cfg(test)]` only.

use serde_json::Value;

/// All cases of `kind`.
pub(super) fn cases(kind: &str) -> Vec<Value> {
    let text = include_str!("../../tests/data/python/requirements-cases.json");
    let document: Value = serde_json::from_str(text).expect("the cases are JSON");
    let cases = document["cases"].as_array().expect("a list of cases");
    cases
        .iter()
        .filter(|case| case["kind"] == kind)
        .cloned()
        .collect()
}

pub(super) fn case_id(case: &Value) -> String {
    case["id"].as_str().expect("an id").to_owned()
}

/// A list of strings, empty where it is missing.
pub(super) fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| item.as_str().expect("a string").to_owned())
        .collect()
}

/// A requirement with its specifiers in one fixed order: the recordings have them in the order of a hash table.
pub(super) fn unordered(line: &str) -> String {
    let start = line.find(|c| "<>=!~".contains(c)).unwrap_or(line.len());
    let end = line[start..].find(';').map_or(line.len(), |at| start + at);
    let mut specifiers: Vec<&str> = line[start..end].split(',').collect();
    specifiers.sort_unstable();
    format!("{}{}{}", &line[..start], specifiers.join(","), &line[end..])
}
