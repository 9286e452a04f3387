//! Samples of the machine's load for the worker's status reports (D-173 to D-197).

mod average;
mod gpu;
mod machine;

pub use average::Averages;
pub use gpu::is_amd_host;
pub use machine::{MachineSampler, Sample};
