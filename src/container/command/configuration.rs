//! The configuration that the inner agent and the SDK read in a container (C 1.11).

use super::options::ContainerOptions;
use crate::settings::Settings;
use crate::settings::hocon::{Kind, Origin, Source, Value};

/// The agent's settings with the container's own paths (C-120, C-121).
///
/// `api_version` and `is_basic` are the server's, for old agents in containers (C-126).
pub fn configuration(options: &ContainerOptions, settings: &Settings, is_basic: bool) -> Settings {
    let container = &options.settings;
    let (caches, inside) = (&container.caches, &container.inside);
    let mut settings = settings.clone();
    let mut set = |key: &str, kind: Kind| {
        settings = settings.with(key, Value::new(kind, Origin::from(Source::Detected)));
    };
    let text = |text: &str| Kind::Text(text.to_owned());
    for (folder, key, place) in [
        (
            &caches.sdk,
            "sdk.storage.cache.default_base_dir",
            &inside.sdk,
        ),
        (
            &caches.pip_download,
            "agent.pip_download_cache.path",
            &inside.pip_download,
        ),
        (&caches.vcs, "agent.vcs_cache.path", &inside.vcs),
        (&caches.venvs, "agent.venvs_cache.path", &inside.venvs),
    ] {
        if folder.is_some() {
            set(key, text(place));
        }
    }
    set("agent.venvs_dir", text(&inside.venv_build));
    for key in [
        "agent.default_python",
        "agent.python_binary",
        "agent.cuda_version",
        "agent.cudnn_version",
    ] {
        set(key, text(""));
    }
    set(
        "agent.package_manager.conda_env_as_base_docker",
        Kind::Boolean(false),
    );
    if container.system_site_packages {
        set(
            "agent.package_manager.system_site_packages",
            Kind::Boolean(true),
        );
    }
    for (key, variable) in [
        ("agent.git_user", &crate::settings::env_vars::GIT_USER),
        ("agent.git_pass", &crate::settings::env_vars::GIT_PASS),
        ("agent.git_host", &crate::settings::env_vars::GIT_HOST),
    ] {
        if let Some(value) = options.variables.text(variable) {
            set(key, text(value));
        }
    }
    if options.uses_owner_token {
        settings = settings.without_credentials();
    }
    if container.drops_pip_version && options.is_standalone && !is_basic {
        settings = settings.without("agent.package_manager.pip_version");
    }
    settings
}
