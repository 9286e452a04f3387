//! What the stand-in of Kubernetes keeps, and what has changed, for those who watch.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Collection, namespace, name.
pub(super) type Key = (String, String, String);

#[derive(Default)]
pub(super) struct Objects {
    now: BTreeMap<Key, Value>,
    /// What was forgotten of the changes.
    forgotten: usize,
    changes: Vec<(&'static str, Key, Value)>,
}

impl Objects {
    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.now.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.now.iter()
    }

    /// How many changes there were.
    pub(super) fn version(&self) -> usize {
        self.forgotten + self.changes.len()
    }

    pub(super) fn put(&mut self, key: Key, object: Value) {
        let kind = if self.now.contains_key(&key) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        let object = self.note(kind, &key, object);
        self.now.insert(key, object);
    }

    /// Whether it was there.
    pub(super) fn change(&mut self, key: &Key, change: impl FnOnce(&mut Value)) -> bool {
        let Some(mut object) = self.now.get(key).cloned() else {
            return false;
        };
        change(&mut object);
        self.put(key.clone(), object);
        true
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Value> {
        let object = self.now.remove(key)?;
        Some(self.note("DELETED", key, object))
    }

    /// Tells those who watch that it is gone, which it is not.
    pub(super) fn pretend_removed(&mut self, key: &Key) {
        let object = self.now.get(key).cloned().expect("an object");
        self.note("DELETED", key, object);
    }

    fn note(&mut self, kind: &'static str, key: &Key, mut object: Value) -> Value {
        object["metadata"]["resourceVersion"] = (self.version() + 1).to_string().into();
        self.changes.push((kind, key.clone(), object.clone()));
        object
    }

    /// Whoever watches knows something that is too old.
    pub(super) fn forget(&mut self) {
        self.forgotten = self.version() + 1;
        self.changes.clear();
    }

    /// What has changed since a version, one line for each; none where that is forgotten.
    pub(super) fn since(
        &self,
        version: usize,
        is_meant: impl Fn(&Key, &Value) -> bool,
    ) -> Option<Vec<String>> {
        let known = version.checked_sub(self.forgotten)?;
        let changes = self.changes.iter().skip(known);
        let meant = changes.filter(|(_, key, object)| is_meant(key, object));
        Some(
            meant
                .map(|(kind, _, object)| format!("{}\n", json!({"type": kind, "object": object})))
                .collect(),
        )
    }
}
