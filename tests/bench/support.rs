//! What the measurements have in common with the tests.
#![expect(
    clippy::unwrap_used,
    reason = "a measurement that meets what it does not expect ends, as a test does"
)]

#[path = "../it/support/images.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
pub(crate) mod images;
#[path = "../it/support/python_packages.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod python_packages;
#[path = "../it/support/static_runner.rs"]
mod static_runner;

pub(crate) use static_runner::static_runner;
