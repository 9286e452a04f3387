//! What the measurements have in common with the tests.
#![expect(
    clippy::unwrap_used,
    reason = "a measurement that meets what it does not expect ends, as a test does"
)]

#[path = "../it/support/fault_proxy.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod fault_proxy;
#[path = "../it/support/images.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
pub(crate) mod images;
#[path = "../it/support/python_packages.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod python_packages;
#[path = "../it/support/static_runner.rs"]
mod static_runner;
#[path = "../it/support/wait.rs"]
mod wait;

pub(crate) use fault_proxy::{Fault, FaultProxy};
pub(crate) use static_runner::static_runner;
use wait::wait_until;
