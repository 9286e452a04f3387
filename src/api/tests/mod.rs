//! Tests of the room against small servers in this process.
//!
//! Compiled under `#[cfg(test)]` only.

mod hostile;
mod local;
mod login;
mod network;
#[path = "../../../tests/it/support/proxy.rs"]
mod proxy;
mod recorded;
mod retry;
mod server;
#[path = "../../../tests/it/support/tls.rs"]
pub(crate) mod tls;

use std::time::Duration;

use url::Url;

use super::{Credentials, RetryPolicy, Session, SessionOptions, Timeouts};
use crate::secrets::SecretString;

/// Options for a server of the tests: the reference's, but with waits of milliseconds.
fn options(api_server: Url) -> SessionOptions {
    let credentials = Credentials::Keys {
        access_key: "ACCESS".into(),
        secret_key: SecretString::new("SECRET"),
    };
    SessionOptions {
        retries: RetryPolicy {
            backoff_factor: 0.001,
            backoff_max: Duration::from_millis(20),
            reconnect_max: Duration::from_millis(20),
            endless_pause: (Duration::from_millis(20), Duration::ZERO),
            ..RetryPolicy::default()
        },
        timeouts: Timeouts {
            first_connect: Duration::from_secs(10),
            ..Timeouts::default()
        },
        random_seed: Some(7),
        ..SessionOptions::new(api_server, credentials, "3.0.3", "vm")
    }
}

fn session(api_server: Url) -> Session {
    Session::new(options(api_server)).unwrap()
}
