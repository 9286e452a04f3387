//! Tasks to run, as short as a test can be.

use serde_json::{Map, Value, json};

/// A task's script section with what belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Script(Map<String, Value>);

impl Script {
    /// A shell script: starts in milliseconds, since it needs no Python environment (E-232).
    pub(crate) fn shell(text: &str) -> Self {
        Self(Map::new())
            .with("binary", "/bin/bash")
            .with("entry_point", "main.sh")
            .with("working_dir", ".")
            .with("diff", text)
    }

    /// A Python script with these requirements.
    pub(crate) fn python(text: &str, requirements: &str) -> Self {
        Self(Map::new())
            .with("binary", "python3")
            .with("entry_point", "main.py")
            .with("working_dir", ".")
            .with("diff", text)
            .with("requirements", json!({ "pip": requirements }))
    }

    /// A field of the script section.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0.insert(field.to_owned(), value.into());
        self
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}
