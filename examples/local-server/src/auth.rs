//! Authentication: keys, signed tokens with an expiry, and who may act as whom (A-060 to A-066).

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    call::{COMPANY_ID, COMPANY_NAME, Caller, text_of},
    clock::Moment,
    error::ApiError,
    options::{Credentials, Edition},
    schema::Document,
    storage::{Collection, Store},
    version::{NEWEST, SERVER_RELEASE},
};

const TOKEN_HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Setting that holds the key of all signatures.
const SIGNATURE_KEY: &str = "signature_key";

/// Setting with a time: tokens made before it are blocked.
pub(crate) const BLOCKED_BEFORE: &str = "tokens_blocked_before";

fn unauthorized(subcode: u16, message: impl Into<String>) -> ApiError {
    ApiError::new(401, subcode, message)
}

/// Who sends this request, from its `Authorization` header.
pub(crate) fn authenticate(
    store: &Store<'_>,
    headers: &HeaderMap,
    now: Moment,
) -> Result<Caller, ApiError> {
    let header = headers
        .get(AUTHORIZATION)
        .ok_or_else(|| unauthorized(20, "Unauthorized (missing credentials)"))?;
    let header = header
        .to_str()
        .map_err(|_| unauthorized(21, "Unauthorized (malformed credentials)"))?;
    let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
    match scheme {
        "Basic" => check_keys(store, rest),
        "Bearer" => check_token(store, rest.trim(), now),
        _ => Err(unauthorized(
            10,
            format!("Unauthorized (bad authentication header type): type={scheme}"),
        )),
    }
}

fn check_keys(store: &Store<'_>, encoded: &str) -> Result<Caller, ApiError> {
    let malformed = || unauthorized(21, "Unauthorized (malformed credentials)");
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| malformed())?;
    let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
    let (access_key, secret_key) = decoded.split_once(':').ok_or_else(malformed)?;
    let unknown = || {
        unauthorized(
            22,
            "Unauthorized (invalid credentials) (failed to locate provided credentials)",
        )
    };
    let entry = store
        .get(Collection::Credentials, access_key)?
        .ok_or_else(unknown)?;
    if text_of(&entry, "secret_key") != secret_key {
        return Err(unknown());
    }
    user(store, text_of(&entry, "user"))?.ok_or_else(unknown)
}

/// The user of a valid token; 401/30 for any other.
pub(crate) fn check_token(store: &Store<'_>, token: &str, now: Moment) -> Result<Caller, ApiError> {
    let invalid = |reason: &str| unauthorized(30, format!("Invalid token ({reason})"));
    let (signed, signature) = token
        .rsplit_once('.')
        .ok_or_else(|| invalid("not enough segments"))?;
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| invalid("malformed signature"))?;
    signer(store)?
        .chain_update(signed)
        .verify_slice(&signature)
        .map_err(|_| invalid("signature verification failed"))?;
    let payload = signed.split_once('.').map_or("", |(_, payload)| payload);
    let claims: Value = URL_SAFE_NO_PAD
        .decode(payload)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| invalid("malformed payload"))?;
    if claims["exp"]
        .as_i64()
        .is_none_or(|expiry| expiry <= now.seconds())
    {
        return Err(invalid("token has expired"));
    }
    let blocked_before = store
        .setting(BLOCKED_BEFORE)?
        .and_then(|value| value.as_i64());
    if blocked_before.is_some_and(|time| claims["made"].as_i64().unwrap_or(0) <= time) {
        return Err(unauthorized(31, "Token is blocked"));
    }
    let id = claims["identity"]["user"].as_str().unwrap_or_default();
    user(store, id)?.ok_or_else(|| invalid("unknown user"))
}

/// A signed token with the claims of A-003.
pub(crate) fn make_token(
    store: &Store<'_>,
    caller: &Caller,
    edition: Edition,
    lifetime: i64,
    now: Moment,
) -> Result<String, ApiError> {
    let feature_set = match edition {
        Edition::OpenSource => "basic",
        Edition::Enterprise => "advanced",
    };
    let claims = json!({
        "exp": now.seconds().saturating_add(lifetime),
        "iat": now.seconds(),
        // Milliseconds, to tell tokens of the same second apart.
        "made": now.milliseconds(),
        "auth_type": "Bearer",
        "identity": {
            "user": caller.user,
            "company": COMPANY_ID,
            "role": caller.role,
            "user_name": caller.name,
            "company_name": COMPANY_NAME,
        },
        "env": "<unknown>",
        "api_version": NEWEST.to_string(),
        "server_version": SERVER_RELEASE,
        "server_build": "local-server",
        "feature_set": feature_set,
        "tenant": COMPANY_ID,
    });
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(TOKEN_HEADER),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = signer(store)?.chain_update(&signed).finalize().into_bytes();
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn signer(store: &Store<'_>) -> Result<Hmac<Sha256>, ApiError> {
    let key = store.setting(SIGNATURE_KEY)?;
    let key = key.as_ref().and_then(Value::as_str).unwrap_or_default();
    Ok(Hmac::new_from_slice(key.as_bytes()).expect("a keyed hash takes a key of any length"))
}

/// The user with this id.
pub(crate) fn user(store: &Store<'_>, id: &str) -> Result<Option<Caller>, ApiError> {
    Ok(store.get(Collection::User, id)?.map(|document| Caller {
        user: id.to_owned(),
        name: text_of(&document, "name").to_owned(),
        role: text_of(&document, "role").to_owned(),
    }))
}

/// The user that `caller` wants to be seen as (A-065). Administrators of the enterprise edition alone may.
pub(crate) fn impersonate(
    store: &Store<'_>,
    caller: &Caller,
    wanted: &str,
    edition: Edition,
) -> Result<Caller, ApiError> {
    if edition == Edition::OpenSource || caller.role != "admin" {
        return Err(ApiError::bad_request(
            6,
            format!(
                "Impersonation error (impersonation not allowed): role={}",
                caller.role
            ),
        ));
    }
    user(store, wanted)?.ok_or_else(|| {
        ApiError::bad_request(
            6,
            format!("Impersonation error (unknown user): id={wanted}, company={COMPANY_ID}"),
        )
    })
}

/// Makes the key of the signatures, the first user and its keys where they are missing, and gives the keys.
pub(crate) fn prepare(
    store: &Store<'_>,
    wanted: Option<&Credentials>,
    edition: Edition,
    now: Moment,
) -> Result<(Caller, Credentials), ApiError> {
    const FIRST_USER: &str = "first_user";
    if store.setting(SIGNATURE_KEY)?.is_none() {
        store.set_setting(SIGNATURE_KEY, Credentials::random().secret_key.into())?;
    }
    let role = match edition {
        Edition::OpenSource => "user",
        Edition::Enterprise => "admin",
    };
    let id = if let Some(Value::String(id)) = store.setting(FIRST_USER)? {
        id
    } else {
        let id = crate::call::new_id();
        store.set_setting(FIRST_USER, id.clone().into())?;
        id
    };
    let caller = Caller {
        user: id,
        name: "Local User".to_owned(),
        role: role.to_owned(),
    };
    add_user(store, &caller, now)?;
    let kept = store
        .all(Collection::Credentials)?
        .into_iter()
        .find(|entry| text_of(entry, "user") == caller.user)
        .map(|entry| Credentials {
            access_key: text_of(&entry, "id").to_owned(),
            secret_key: text_of(&entry, "secret_key").to_owned(),
        });
    let credentials = wanted.cloned().or(kept).unwrap_or_else(Credentials::random);
    add_credentials(store, &caller.user, &credentials, "", now)?;
    Ok((caller, credentials))
}

pub(crate) fn add_user(store: &Store<'_>, caller: &Caller, now: Moment) -> Result<(), ApiError> {
    let mut document = Document::new();
    document.insert("id".into(), caller.user.clone().into());
    document.insert("name".into(), caller.name.clone().into());
    document.insert("role".into(), caller.role.clone().into());
    document.insert("created".into(), now.stored().into());
    store.put(Collection::User, &document)
}

pub(crate) fn add_credentials(
    store: &Store<'_>,
    user: &str,
    credentials: &Credentials,
    label: &str,
    now: Moment,
) -> Result<(), ApiError> {
    let mut document = Document::new();
    document.insert("id".into(), credentials.access_key.clone().into());
    document.insert("secret_key".into(), credentials.secret_key.clone().into());
    document.insert("user".into(), user.into());
    document.insert("label".into(), label.into());
    document.insert("created".into(), now.stored().into());
    store.put(Collection::Credentials, &document)
}
