//! `users.*`: who the caller is, and the vaults of the enterprise edition.

use serde_json::{Value, json};

use crate::{
    call::{COMPANY_ID, COMPANY_NAME, Call, new_id, text_of},
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    query::{self, COMMON_FIELDS, Rules},
    schema::{Document, Kind, optional, required},
    storage::{Collection, Store},
};

const RULES: Rules = Rules {
    lists: &[],
    patterns: &[],
    exact: &[],
    times: &[],
    searched: &["name"],
    hidden: &[],
};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("users.get_current_user", &[], get_current_user),
    Endpoint::new(
        "users.get_by_id",
        &[required("user", Kind::Text)],
        get_by_id,
    ),
    Endpoint::new("users.get_all", COMMON_FIELDS, get_all),
    Endpoint::new("users.get_all_ex", COMMON_FIELDS, get_all),
    Endpoint::new("users.get_preferences", &[], get_preferences),
    Endpoint::new(
        "users.set_preferences",
        &[required("preferences", Kind::Object)],
        set_preferences,
    ),
    Endpoint::new(
        "users.get_vaults",
        &[
            optional("enabled", Kind::Flag),
            optional("types", Kind::TextOrTexts),
        ],
        get_vaults,
    )
    .since(2, 15)
    .enterprise(),
];

fn visible(user: &Document) -> Value {
    json!({
        "id": text_of(user, "id"),
        "name": text_of(user, "name"),
        "company": { "id": COMPANY_ID, "name": COMPANY_NAME },
        "role": text_of(user, "role"),
        "created": user.get("created"),
    })
}

fn find(call: &Call<'_>, id: &str) -> Result<Document, ApiError> {
    call.store
        .get(Collection::User, id)?
        .ok_or_else(|| ApiError::bad_request(301, format!("Invalid user id: id={id}")))
}

fn get_current_user(call: &mut Call<'_>) -> Outcome {
    let user = find(call, &call.caller.user)?;
    let mut shown = visible(&user);
    shown["preferences"] = user
        .get("preferences")
        .cloned()
        .unwrap_or_else(|| json!({}));
    Ok(json!({ "user": shown, "getting_started": null, "settings": {} }))
}

fn get_by_id(call: &mut Call<'_>) -> Outcome {
    Ok(json!({ "user": visible(&find(call, call.text("user"))?) }))
}

fn get_all(call: &mut Call<'_>) -> Outcome {
    let users = call
        .store
        .all(Collection::User)?
        .iter()
        .filter_map(|user| visible(user).as_object().cloned())
        .collect();
    Ok(json!({ "users": query::select(call, users, &RULES)?.documents }))
}

fn get_preferences(call: &mut Call<'_>) -> Outcome {
    let user = find(call, &call.caller.user)?;
    Ok(json!({ "preferences": user.get("preferences").cloned().unwrap_or_else(|| json!({})) }))
}

fn set_preferences(call: &mut Call<'_>) -> Outcome {
    let mut user = find(call, &call.caller.user)?;
    user.insert("preferences".into(), call.parameters["preferences"].clone());
    call.store.put(Collection::User, &user)?;
    Ok(json!({ "updated": 1 }))
}

fn get_vaults(call: &mut Call<'_>) -> Outcome {
    Ok(json!({ "vaults": call.store.all(Collection::Vault)? }))
}

/// Adds a vault that every user sees.
pub(crate) fn add_vault(store: &Store<'_>, description: &str, data: &str) -> Result<(), ApiError> {
    let mut vault = Document::new();
    vault.insert("id".into(), new_id().into());
    vault.insert("scope".into(), "user".into());
    vault.insert("description".into(), description.into());
    vault.insert("data".into(), data.into());
    store.put(Collection::Vault, &vault)
}
