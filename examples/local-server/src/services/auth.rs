//! `auth.*`: tokens and keys.

use serde_json::{Value, json};

use crate::{
    auth,
    call::{Call, Caller, new_id, text_of},
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    options::Credentials,
    schema::{Kind, optional, required},
    storage::Collection,
};

/// The longest life of a token that a client may ask for.
const LONGEST_LIFE: i64 = 365 * 24 * 3600;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new(
        "auth.login",
        &[optional("expiration_sec", Kind::Integer)],
        login,
    ),
    Endpoint::new(
        "auth.validate_token",
        &[required("token", Kind::Text)],
        validate_token,
    )
    .for_anyone(),
    Endpoint::new(
        "auth.create_user",
        &[
            required("name", Kind::Text),
            optional("role", Kind::OneOf(&["user", "admin"])),
        ],
        create_user,
    ),
    Endpoint::new(
        "auth.create_credentials",
        &[optional("label", Kind::Text)],
        create_credentials,
    ),
    Endpoint::new("auth.get_credentials", &[], get_credentials),
    Endpoint::new(
        "auth.edit_credentials",
        &[
            required("access_key", Kind::Text),
            optional("label", Kind::Text),
        ],
        edit_credentials,
    ),
    Endpoint::new(
        "auth.revoke_credentials",
        &[required("access_key", Kind::Text)],
        revoke_credentials,
    ),
];

fn login(call: &mut Call<'_>) -> Outcome {
    let default = i64::try_from(call.options.token_lifetime.as_secs()).unwrap_or(LONGEST_LIFE);
    let lifetime = match call.integer("expiration_sec") {
        Some(seconds) if seconds < 0 => {
            return Err(ApiError::validation(
                "error for field 'expiration_sec'. value is negative",
            ));
        }
        Some(0) | None => default,
        Some(seconds) => seconds.min(LONGEST_LIFE),
    };
    let token = auth::make_token(
        call.store,
        &call.caller,
        call.options.edition,
        lifetime,
        call.now,
    )?;
    Ok(json!({ "token": token }))
}

#[expect(clippy::unnecessary_wraps, reason = "the type of all handlers")]
fn validate_token(call: &mut Call<'_>) -> Outcome {
    Ok(
        match auth::check_token(call.store, call.text("token"), call.now) {
            Ok(_) => json!({ "valid": true }),
            Err(refusal) => json!({ "valid": false, "msg": refusal.message }),
        },
    )
}

fn create_user(call: &mut Call<'_>) -> Outcome {
    if call.caller.role != "admin" {
        return Err(ApiError::new(
            403,
            20,
            format!(
                "Forbidden (not allowed for role): role={}",
                call.caller.role
            ),
        ));
    }
    let user = Caller {
        user: new_id(),
        name: call.text("name").to_owned(),
        role: call.given("role").unwrap_or("user").to_owned(),
    };
    auth::add_user(call.store, &user, call.now)?;
    Ok(json!({ "id": user.user }))
}

fn create_credentials(call: &mut Call<'_>) -> Outcome {
    let credentials = Credentials::random();
    let label = call.text("label");
    auth::add_credentials(call.store, &call.caller.user, &credentials, label, call.now)?;
    Ok(json!({
        "credentials": {
            "access_key": credentials.access_key,
            "secret_key": credentials.secret_key,
            "label": label,
        }
    }))
}

fn get_credentials(call: &mut Call<'_>) -> Outcome {
    let credentials: Vec<Value> = call
        .store
        .all(Collection::Credentials)?
        .iter()
        .filter(|entry| text_of(entry, "user") == call.caller.user)
        .map(
            |entry| json!({ "access_key": text_of(entry, "id"), "label": text_of(entry, "label") }),
        )
        .collect();
    Ok(json!({ "credentials": credentials }))
}

fn own_credentials(call: &Call<'_>) -> Result<crate::schema::Document, ApiError> {
    let access_key = call.text("access_key");
    call.store
        .get(Collection::Credentials, access_key)?
        .filter(|entry| text_of(entry, "user") == call.caller.user)
        .ok_or_else(|| {
            ApiError::bad_request(
                300,
                format!("Invalid user (invalid user or access key): access_key={access_key}"),
            )
        })
}

fn edit_credentials(call: &mut Call<'_>) -> Outcome {
    let mut entry = own_credentials(call)?;
    entry.insert("label".into(), call.text("label").into());
    call.store.put(Collection::Credentials, &entry)?;
    Ok(json!({ "updated": 1 }))
}

fn revoke_credentials(call: &mut Call<'_>) -> Outcome {
    let entry = own_credentials(call)?;
    call.store
        .delete(Collection::Credentials, text_of(&entry, "id"))?;
    Ok(json!({ "revoked": 1 }))
}
