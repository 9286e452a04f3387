//! The folders that a worker needs, checked before it says that it works (D-098).

use std::path::Path;

use super::Failed;
use crate::settings::Settings;
use crate::storage::Places;

/// Folders of the configuration that must be there and may hold no blank: programs in them begin with their path.
const CHECKED: [&str; 2] = ["agent.venvs_dir", "sdk.storage.cache.default_base_dir"];

/// Fails for the first folder that cannot be used.
pub(super) fn check(settings: &Settings) -> Result<(), Failed> {
    if std::env::current_dir().is_err() {
        return Err(Failed::message(
            "current working directory does not exist",
            "change to a folder that is there",
        ));
    }
    for key in CHECKED {
        let Some(folder) = settings.path(key) else {
            continue;
        };
        usable(&folder).map_err(|reason| {
            let origin = settings.origin(key).map(ToString::to_string);
            Failed::message(
                format!("Invalid config key \"{key}\": {reason}"),
                &format!("it comes from: {}", origin.unwrap_or_default()),
            )
        })?;
    }
    Ok(())
}

fn usable(folder: &Path) -> Result<(), String> {
    let text = folder.display().to_string();
    if let Some((position, blank)) = text
        .chars()
        .enumerate()
        .find(|(_, letter)| letter.is_whitespace())
    {
        return Err(format!(
            "directories may not contain whitespace (char: {blank:?}, position: {position})"
        ));
    }
    Places::create(folder)
        .map_err(|error| format!("Could not create directory \"{text}\": {error}"))
}
