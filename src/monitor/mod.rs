//! Samples of the machine's load for the worker's status reports (D-173 to D-197).

mod average;
mod machine;

pub use average::Averages;
pub use machine::{MachineSampler, Sample};
