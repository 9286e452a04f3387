//! `events.*`: console, scalars, plots and images.

pub(super) mod add;
pub(super) mod log;
mod metrics;
pub(super) mod plots;
pub(super) mod scalars;

use crate::{
    call::{Call, text_of},
    error::ApiError,
    storage::Collection,
};

/// Type of console lines.
const LOG: &str = "log";
/// Type of scalars.
const SCALAR: &str = "training_stats_scalar";
const VECTOR: &str = "training_stats_vector";
const IMAGE: &str = "training_debug_image";
const PLOT: &str = "plot";

/// The iteration under which a value without iterations is reported.
const SINGLE_VALUE: i64 = -(1 << 31);

/// The owner of the events that a request asks for: a task, or a model if it says so.
fn owner(call: &Call<'_>, id: &str) -> Result<String, ApiError> {
    if call.flag("model_events") {
        return match call.store.get(Collection::Model, id)? {
            Some(_) => Ok(id.to_owned()),
            None => Err(ApiError::invalid_model(id)),
        };
    }
    Ok(text_of(&call.task(id)?, "id").to_owned())
}
