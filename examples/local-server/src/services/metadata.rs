//! Metadata of queues and models: items with a key, kept by it.

use serde_json::Value;

use crate::{
    call::{Call, section},
    schema::{Document, Field, Kind, optional, required},
    version::Version,
};

/// Before this version answers show the items as a list.
const SHOWN_BY_KEY: Version = Version::new(2, 17);

pub(super) const ITEM: &[Field] = &[
    required("key", Kind::Text),
    optional("type", Kind::Text),
    optional("value", Kind::Text),
];

/// Takes over the items of the request; `replace`: in place of all there were.
pub(super) fn update(call: &Call<'_>, owner: &mut Document, replace: bool) {
    let metadata = section(owner, "metadata");
    if replace {
        metadata.clear();
    }
    for item in call
        .parameters
        .get("metadata")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let key = item["key"].as_str().unwrap_or_default().to_owned();
        metadata.insert(key, item.clone());
    }
}

/// Deletes the items with the keys of the request.
pub(super) fn delete(call: &Call<'_>, owner: &mut Document) {
    let metadata = section(owner, "metadata");
    for key in call.texts("keys") {
        metadata.remove(&key);
    }
}

/// Gives the items the form that the caller's version knows.
pub(super) fn show(call: &Call<'_>, owner: &mut Document) {
    if call.version < SHOWN_BY_KEY {
        let items: Vec<Value> = section(owner, "metadata").values().cloned().collect();
        owner.insert("metadata".into(), items.into());
    }
}
