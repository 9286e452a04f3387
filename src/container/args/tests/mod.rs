//!
//! Compiled under `#[cfg(test)]` only.

mod flags;
mod request;
