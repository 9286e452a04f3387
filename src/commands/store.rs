//! Where environments are kept: on the machine, for its containers, and inside of one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::container::boot::{RUNNER_FOLDER, STORE_FOLDER};
use crate::python::{self, StoreOptions};
use crate::settings::{AgentSettings, Settings, env_vars};
use crate::storage::own_folder;

/// Below the store of the machine: folders that containers see.
const CONTAINERS: &str = "containers";

/// The store of environments; whoever has switched the cache off has switched it off as well (E-239).
pub(super) fn store(settings: &Settings, agent: &AgentSettings) -> StoreOptions {
    let environment = settings.environment();
    let configured = configured(agent);
    let image = environment.text(&env_vars::CONTAINER_STORE);
    let image = image.filter(|_| configured.is_some() && Path::new(STORE_FOLDER).is_dir());
    let path = if image.is_some() {
        of_this_user(Path::new(STORE_FOLDER))
    } else {
        configured.filter(|path| !is_in_container() || is_mounted(path))
    };
    StoreOptions {
        path: path.unwrap_or_default(),
        max_entries: agent.store.max_entries,
        max_size_gb: agent.store.max_size_gb,
        free_space_threshold_gb: agent.store.free_space_threshold_gb,
        lock_timeout: lock_timeout(agent),
        index_settings: python::index_settings(|name| environment.get(name).map(str::to_owned)),
        image: image.map(str::to_owned),
    }
}

/// Seconds to wait for a lock of cache or store.
pub(super) fn lock_timeout(agent: &AgentSettings) -> f64 {
    let limit = agent.venvs_cache.lock_timeout;
    limit.map_or(30.0, |limit| limit.as_secs_f64())
}

/// The folder of this machine in which containers keep environments; none where they do not.
pub(super) fn of_containers(agent: &AgentSettings) -> Option<PathBuf> {
    let path = configured(agent).filter(|_| agent.store.containers)?;
    Some(below(&path))
}

/// The same for the store in this folder, in use or not.
pub(super) fn below(store: &Path) -> PathBuf {
    store.join(CONTAINERS)
}

fn configured(agent: &AgentSettings) -> Option<PathBuf> {
    let path = agent.store.path.clone();
    path.filter(|_| agent.venvs_cache.path.is_some())
}

/// A task does without a store that cannot be used.
fn of_this_user(shared: &Path) -> Option<PathBuf> {
    own_folder(shared)
        .inspect_err(|error| {
            tracing::warn!(%error, "the environments kept for containers cannot be used");
        })
        .ok()
}

/// This process is what an agent has put into a container.
pub(super) fn is_in_container() -> bool {
    std::env::current_exe().is_ok_and(|own| own.starts_with(RUNNER_FOLDER))
}

/// What is not mounted goes with the container: it would be written for nobody.
fn is_mounted(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    let there = path.ancestors().find_map(device);
    there != device(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    fn folder(text: &str) -> Option<PathBuf> {
        let home = Environment::from_iter([("HOME", "/home/me")]);
        let settings = Settings::from_text(text, &home).expect("good");
        of_containers(&settings.agent().expect("good"))
    }

    #[test]
    fn containers_have_folders_below_the_store() {
        let place = Some("/home/me/.clearml/store/containers".into());
        assert_eq!(folder("agent.venvs_cache.path: /c"), place);
        for off in [
            "agent.venvs_cache.path: \"\"",
            "agent.store.path: \"\"",
            "agent.store.containers: false",
        ] {
            assert_eq!(folder(&format!("agent.venvs_cache.path: /c\n{off}")), None);
        }
    }

    #[test]
    fn another_file_system_is_mounted() {
        assert!(is_mounted(Path::new("/proc/nothing/there")));
        assert!(!is_mounted(Path::new("/no-such-folder/there")));
    }
}
