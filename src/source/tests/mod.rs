//! The room as a whole: recorded URL cases, and real repositories in temporary folders.
//!
//! Compiled under `#[cfg(test)]` only.

mod bad_input;
mod fetching;
#[expect(
    dead_code,
    reason = "the tests of the whole program use the rest of it"
)]
#[path = "../../../tests/it/support/git_server.rs"]
mod git_server;
mod hostile;
mod network;
mod passwords;
mod scripts;
mod servers;
mod ssh_server;
mod submodules;
mod trouble;
mod url_cases;
pub(in crate::source) mod world;
