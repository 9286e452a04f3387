//! A run that was started with keys which have been replaced since gets those of the worker that takes it over.

use crate::settings::{Environment, Overrides, Settings};
use crate::task::Entry;

const ACCESS_KEY: &str = "api.credentials.access_key";
const SECRET_KEY: &str = "api.credentials.secret_key";

/// Writes the keys of `settings` into the configuration of the run, whose supervisor reads it again when its own are refused.
pub(super) fn hand_on(settings: &Settings, entry: &Entry) {
    // The rights of a task's owner are no keys.
    if entry.owner.is_some() || !entry.configuration.is_file() {
        return;
    }
    let overrides = Overrides::of_file(Some(entry.configuration.clone()));
    let Ok(run) = Settings::load(&Environment::default(), settings.home(), &overrides) else {
        return;
    };
    let kind = |settings: &Settings, key| Some(settings.value(key)?.kind.clone());
    let is_same = |key| kind(settings, key) == kind(&run, key);
    let (Some(access), Some(secret)) = (settings.value(ACCESS_KEY), settings.value(SECRET_KEY))
    else {
        return;
    };
    if is_same(ACCESS_KEY) && is_same(SECRET_KEY) {
        return;
    }
    let renewed = run
        .with(ACCESS_KEY, access.clone())
        .with(SECRET_KEY, secret.clone());
    if let Err(error) = renewed.write(&entry.configuration) {
        tracing::warn!(%error, task = entry.task, "a task does not get the new keys");
    }
}
