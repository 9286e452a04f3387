//! Tests of the local server from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod curl;
mod keys;
mod replay;
mod sdk;

use reqwest::blocking::{Client, ClientBuilder};

/// A client that can be built whatever else is built with it.
fn client() -> ClientBuilder {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
}
