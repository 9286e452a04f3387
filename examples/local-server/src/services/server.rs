//! `server.*` and `debug.ping`: what the server is.

use serde_json::{Value, json};

use crate::{
    call::Call,
    endpoint::{Endpoint, Outcome},
    error::ApiError,
    schema::{Kind, optional},
    version::{NEWEST, SERVER_RELEASE},
};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("debug.ping", &[], ping).for_anyone(),
    Endpoint::new("server.info", &[], info),
    Endpoint::new("server.config", &[optional("path", Kind::Text)], config),
];

#[expect(clippy::unnecessary_wraps, reason = "the type of all handlers")]
fn ping(_call: &mut Call<'_>) -> Outcome {
    Ok(json!({ "msg": "ClearML server" }))
}

#[expect(clippy::unnecessary_wraps, reason = "the type of all handlers")]
fn info(_call: &mut Call<'_>) -> Outcome {
    Ok(json!({
        "version": SERVER_RELEASE,
        "build": concat!("local-server ", env!("CARGO_PKG_VERSION")),
        "commit": "",
        "api_version": NEWEST.to_string(),
    }))
}

/// The settings that decide what clients see; `path` chooses a part by its dotted name.
fn config(call: &mut Call<'_>) -> Outcome {
    let mut config = json!({
        "apiserver": {
            "version": { "required": false, "check_max_version": false },
            "auth": { "default_expiration_sec": call.options.token_lifetime.as_secs() },
            "workers": {
                "default_worker_timeout_sec": call.options.worker_timeout.as_secs(),
                "task_update_timeout": call.options.worker_timeout.as_secs(),
                "auto_register": true,
                "auto_unregister": true,
            },
        },
        "services": {
            "tasks": { "non_responsive_tasks_watchdog": {
                "enabled": true,
                "threshold_sec": call.options.task_timeout.as_secs(),
                "watch_interval_sec": super::watchdog::INTERVAL,
            } },
        },
    });
    for name in call.text("path").split('.').filter(|name| !name.is_empty()) {
        config = match config.get_mut(name) {
            Some(part) => part.take(),
            None => {
                return Err(ApiError::bad_request(
                    12,
                    format!(
                        "Validation error (no such configuration): path={}",
                        call.text("path")
                    ),
                ));
            }
        };
    }
    Ok(match config {
        Value::Object(_) => config,
        value => json!({ "value": value }),
    })
}
