//! Keys that were replaced while the agent runs: they are read again where the server refuses those that it knows.

use std::path::Path;

use super::connect::credentials;
use crate::api::{Credentials, Renewal};
use crate::settings::{Environment, Overrides, Settings, env_vars};

/// From where `settings` came.
pub(super) fn of(settings: &Settings) -> Renewal {
    let settings = settings.clone();
    Renewal::new(move || settings.reread().iter().filter_map(keys).collect())
}

/// For the run whose own configuration is `settings`: the next worker brings that up to date, and `origin` is the file that the
/// worker read which has started the run. Variables of that worker do not count: they are as old as the keys.
pub(super) fn of_run(settings: &Settings, run: &Path, origin: Option<&Path>) -> Renewal {
    let environment = [&env_vars::API_ACCESS_KEY, &env_vars::API_SECRET_KEY]
        .into_iter()
        .fold(settings.environment().clone(), |environment, variable| {
            environment.without(variable)
        });
    let home = settings.home().to_owned();
    let files: Vec<_> = [Some(run), origin]
        .into_iter()
        .flatten()
        .map(Path::to_owned)
        .collect();
    Renewal::new(move || {
        files
            .iter()
            .filter(|file| file.is_file())
            .filter_map(|file| read(&environment, &home, file))
            .collect()
    })
}

fn read(environment: &Environment, home: &Path, file: &Path) -> Option<Credentials> {
    let overrides = Overrides::of_file(Some(file.to_owned()));
    keys(&Settings::load(environment, home, &overrides).ok()?)
}

/// Those that `settings` name.
pub(super) fn keys(settings: &Settings) -> Option<Credentials> {
    Some(credentials(&settings.api().ok()?))
}
