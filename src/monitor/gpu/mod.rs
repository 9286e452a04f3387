//! The machine's GPUs.

mod amd;

pub use amd::is_amd_host;
