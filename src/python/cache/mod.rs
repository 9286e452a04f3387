//! Environments kept from task to task in `agent.venvs_cache.path` (E-239..E-250).

mod copy;
mod key;
mod relocate;
mod store;

pub(super) use key::{CacheKey, KeyInputs};
pub(super) use store::{Cache, CheckIn};
