//! `organization.*`: the tags in use.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    call::{Call, texts},
    endpoint::{Endpoint, Outcome},
    schema::{Kind, optional},
    storage::Collection,
};

pub(super) const ENDPOINTS: &[Endpoint] = &[Endpoint::new(
    "organization.get_tags",
    &[
        optional("include_system", Kind::Flag),
        optional("filter", Kind::Object),
    ],
    get_tags,
)];

fn get_tags(call: &mut Call<'_>) -> Outcome {
    let mut tags = BTreeSet::new();
    let mut system_tags = BTreeSet::new();
    for collection in [Collection::Task, Collection::Model] {
        for document in call.store.all(collection)? {
            tags.extend(texts(document.get("tags")));
            system_tags.extend(texts(document.get("system_tags")));
        }
    }
    let mut answer = json!({ "tags": tags });
    if call.flag("include_system") {
        answer["system_tags"] = json!(system_tags);
    }
    Ok(answer)
}
