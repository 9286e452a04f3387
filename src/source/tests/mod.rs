//! The room as a whole: recorded URL cases, and real repositories in temporary folders.
//!
//! Compiled under `#[cfg(test)]` only.

mod fetching;
mod network;
mod scripts;
mod trouble;
mod url_cases;
pub(in crate::source) mod world;
