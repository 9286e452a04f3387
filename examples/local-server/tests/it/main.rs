//! Tests of the local server from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod curl;
mod replay;
mod sdk;
