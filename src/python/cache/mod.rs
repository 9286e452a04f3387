//! Environments that an official agent has left in `agent.venvs_cache.path`: they are used, none is added (E-239..E-245).

mod copy;
mod key;
mod official;

pub(super) use key::{CacheKey, KeyInputs};
pub(super) use official::Cache;
