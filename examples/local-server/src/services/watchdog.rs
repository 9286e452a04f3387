//! What happens by itself as time goes by: silent workers disappear, silent tasks are stopped.

use serde_json::Value;

use super::{tasks, workers};
use crate::{
    call::{Call, text_of},
    clock::Moment,
    error::ApiError,
    storage::Collection,
};

/// Seconds between two looks at the running tasks.
pub(crate) const INTERVAL: i64 = 900;

const LAST_LOOK: &str = "watchdog_last_look";

/// Brings the database up to the present. No clock runs: the first call after a change is due makes it.
pub(crate) fn sweep(call: &Call<'_>) -> Result<(), ApiError> {
    workers::forget_silent(call)?;
    let last = call
        .store
        .setting(LAST_LOOK)?
        .and_then(|value| value.as_i64());
    let timeout = i64::try_from(call.options.task_timeout.as_secs()).unwrap_or(i64::MAX);
    match last {
        Some(last) if call.now.seconds() - last < INTERVAL.min(timeout) => return Ok(()),
        _ => call
            .store
            .set_setting(LAST_LOOK, Value::from(call.now.seconds()))?,
    }
    for mut task in call.store.all(Collection::Task)? {
        let silent = Moment::parse(text_of(&task, "last_update"))
            .is_none_or(|update| call.now.seconds_since(update) >= timeout);
        if text_of(&task, "status") == "in_progress" && silent {
            tasks::stop_silent(call, &mut task)?;
        }
    }
    Ok(())
}
