//! What this room reads of an answer, driven by tests and by fuzzers (`tests/fuzz/`).

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::envelope::{Answer, retry_after};
use super::token::Claims;
use super::{LogPage, Project, Queue, RuntimeProperty, Task, Vault};

/// Reads an answer with this body as that of each call, and its text as a token and as a time to wait.
pub(crate) fn answer(body: &[u8]) {
    for status in [200, 400, 503] {
        let answer = Answer {
            status,
            retry_after: None,
            body: body.to_vec(),
        };
        match answer.data("fuzz.call") {
            Ok(data) => read_all(&data),
            Err(error) => {
                assert_eq!(error.to_string().lines().count(), 1, "{error}");
                let _ = (error.reference_text(), error.startup_text("server"));
            }
        }
    }
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        read_all(&value);
    }
    let text = String::from_utf8_lossy(body);
    let _ = retry_after(Some(&text));
    let _ = Claims::read(&text, None);
}

/// As each type that is read, the value itself and what is in it.
fn read_all(value: &Value) {
    fn read<T: DeserializeOwned>(value: &Value) {
        let _ = serde_json::from_value::<T>(value.clone());
    }
    let members: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => Vec::new(),
    };
    for value in members.into_iter().chain([value]) {
        read::<Task>(value);
        read::<Queue>(value);
        read::<Project>(value);
        read::<Vault>(value);
        read::<RuntimeProperty>(value);
        read::<LogPage>(value);
    }
}
