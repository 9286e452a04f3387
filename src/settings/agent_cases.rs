//! What the agent makes of its keys and variables.
//!
//! Compiled under `#[cfg(test)]` only.

use std::path::PathBuf;
use std::time::Duration;

use super::{
    AgentSettings, Environment, PackageManagerKind, PytorchResolve, Settings, SettingsError,
};

fn agent(text: &str, variables: &[(&str, &str)]) -> Result<AgentSettings, SettingsError> {
    let environment = variables.iter().copied().collect::<Environment>();
    Settings::from_text(text, &environment)?.agent()
}

/// F-200: what a missing key stands for.
#[test]
fn nothing_said_gives_the_documented_defaults() {
    let agent = agent("", &[]).expect("good");
    assert_eq!(agent.worker_id, None);
    assert_eq!(agent.worker_name, None);
    assert_eq!(agent.poll_interval, None);
    assert_eq!(agent.status_report_interval, Duration::from_secs(30));
    assert_eq!(agent.task_ping_interval, Some(Duration::from_mins(1)));
    assert!(agent.suppress_carriage_return);
    assert_eq!(agent.abort_callback_max_timeout, Duration::from_mins(30));
    assert!(!agent.enable_task_env && !agent.reload_config && !agent.propagate_exit_code);
    assert_eq!(agent.custom_build_script, None);
    assert_eq!(agent.python_binary, None);
    assert_eq!(agent.git.user, None);
    assert!(agent.git.ask_pass);
    assert_eq!(agent.git.force_ssh_user, None);
    assert_eq!(agent.git.replacement_scheme, "https");
    assert_eq!(
        agent.git.fetch_arguments,
        ["--all", "--tags", "--recurse-submodules"]
    );
    let packages = &agent.package_manager;
    assert_eq!(packages.kind, PackageManagerKind::Pip);
    assert_eq!(packages.pip_version.len(), 3);
    assert!(packages.uv_sync_locked_if_lock_file);
    assert_eq!(packages.pytorch_resolve, PytorchResolve::Pip);
    assert_eq!(
        packages.torch_index_template,
        "https://download.pytorch.org/whl/cu{}/"
    );
    assert_eq!(packages.priority_optional_packages, ["pygobject"]);
    assert_eq!(
        agent.venvs_dir,
        PathBuf::from("/home/user/.clearml/venvs-builds")
    );
    assert_eq!(
        agent.venvs_cache.path,
        Some(PathBuf::from("/home/user/.clearml/venvs-cache"))
    );
    assert_eq!(agent.store.max_entries, 20);
    assert_eq!(agent.store.path, Some("/home/user/.clearml/store".into()));
    assert!(agent.vcs_cache.enabled && !agent.vcs_cache.clone_on_pull_fail);
    assert_eq!(agent.cuda.cuda, None);
    assert_eq!(agent.monitoring.default_gpu_utilization, Some(100.0));
    assert_eq!(agent.monitoring.disk_use_path, PathBuf::from("/home/user"));
}

/// F-200: keys and the variables that beat them.
#[test]
fn variables_beat_keys() {
    let text = "agent { git_user: file, git_pass: file, git_host: file, venvs_cache.path: /file\n\
                translate_ssl_replacement_scheme: file, custom_build_script: file\n\
                package_manager { type: conda, extra_pip_install_flags: [file], pytorch_resolve: none } }";
    let variables = [
        ("CLEARML_AGENT_GIT_USER", "variable"),
        ("TRAINS_AGENT_GIT_PASS", "variable"),
        ("CLEARML_AGENT_GIT_HOST", "variable"),
        ("CLEARML_AGENT_VENV_CACHE_PATH", "~/variable"),
        ("CLEARML_AGENT_SSH_URL_REPLACEMENT_SCHEME", "http"),
        ("CLEARML_AGENT_CUSTOM_BUILD_SCRIPT", "variable"),
        ("CLEARML_EXTRA_PIP_INSTALL_FLAGS", "--a '--b c'"),
        ("CLEARML_AGENT_PACKAGE_PYTORCH_RESOLVE", "direct"),
        ("CLEARML_AGENT_FORCE_UV", "1"),
        ("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "0.5"),
        ("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "7"),
        ("CLEARML_WORKER_TAGS", "a 'b c'"),
    ];
    let set = agent(text, &variables).expect("good");
    assert_eq!(set.git.user.as_deref(), Some("variable"));
    let password = set
        .git
        .password
        .as_ref()
        .map(crate::secrets::SecretString::expose);
    assert_eq!(password, Some("variable"));
    assert_eq!(set.git.host.as_deref(), Some("variable"));
    assert_eq!(set.git.replacement_scheme, "http");
    assert_eq!(
        set.venvs_cache.path,
        Some(PathBuf::from("/home/user/variable"))
    );
    // Here the key wins.
    assert_eq!(set.custom_build_script.as_deref(), Some("file"));
    assert_eq!(
        set.package_manager.extra_pip_install_flags,
        ["--a", "--b c"]
    );
    assert_eq!(set.package_manager.pytorch_resolve, PytorchResolve::Direct);
    assert_eq!(set.package_manager.kind, PackageManagerKind::Uv);
    assert_eq!(set.poll_interval, Some(Duration::from_millis(500)));
    assert_eq!(set.status_report_interval, Duration::from_secs(7));
    assert_eq!(set.worker_tags, ["a", "b c"]);
    let set = agent(text, &[]).expect("good");
    assert_eq!(set.package_manager.kind, PackageManagerKind::Conda);
    assert_eq!(set.package_manager.pytorch_resolve, PytorchResolve::None);
}

/// F-046, F-201: numbers as secrets, both spellings of credentials, empty text switches off.
#[test]
fn values_of_unexpected_types_are_used() {
    let set = agent(
        "agent { git_pass: 12345, default_python: 3.8, cuda_version: 11.8, venvs_cache.path: \"\"\n\
         git.extra_credentials: [{user: a, pass: 1234, host: h}, {username: b, password: p}]\n\
         package_manager { pip_version: \"<24\", extra_index_url: \"https://h\" }\n\
         task_ping_interval_sec: word, uptime: \"1-2 MON\", force_git_ssh_port: 2222 }",
        &[],
    )
    .expect("good");
    let password = set
        .git
        .password
        .as_ref()
        .map(crate::secrets::SecretString::expose);
    assert_eq!(password, Some("12345"));
    assert_eq!(set.default_python.as_deref(), Some("3.8"));
    assert_eq!(set.cuda.cuda.as_deref(), Some("118"));
    assert_eq!(set.venvs_cache.path, None);
    assert_eq!(set.git.extra_credentials.len(), 2);
    assert_eq!(set.git.extra_credentials[1].user.as_deref(), Some("b"));
    assert_eq!(set.git.extra_credentials[1].host, None);
    assert_eq!(set.package_manager.pip_version, ["<24"]);
    assert_eq!(set.package_manager.extra_index_url, ["https://h"]);
    assert_eq!(set.task_ping_interval, None);
    assert_eq!(set.uptime, Some(vec!["1-2 MON".to_owned()]));
    assert_eq!(set.git.force_ssh_port, Some(2222));
    let debug = format!("{set:?}");
    assert!(!debug.contains("12345"), "{debug}");
}

/// E-200: conda is written in any case; what nobody knows counts as pip and is told.
#[test]
fn an_unknown_package_manager_counts_as_pip() {
    let of = |word: &str| {
        let text = format!("agent.package_manager.type: {word}");
        let manager = agent(&text, &[]).expect("usable").package_manager;
        (manager.kind, manager.kind_unknown)
    };
    assert_eq!(of("CONDA"), (PackageManagerKind::Conda, None));
    assert_eq!(of("UV"), (PackageManagerKind::Pip, Some("UV".to_owned())));
    assert_eq!(of("pip"), (PackageManagerKind::Pip, None));
}

/// F-072
#[test]
fn words_that_mean_nothing_are_errors() {
    let error = |text: &str, variables: &[(&str, &str)]| {
        agent(text, variables).expect_err("not usable").to_string()
    };
    assert_eq!(
        error("", &[("CLEARML_AGENT_FORCE_POETRY", "maybe")]),
        "invalid truth value 'maybe'"
    );
    assert_eq!(
        error("", &[("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "soon")]),
        "CLEARML_AGENT_QUEUE_POLL_FREQ_SEC: \"soon\" is none of numbers of seconds"
    );
    assert_eq!(
        error("agent.force_git_ssh_port: 99999", &[]),
        "agent.force_git_ssh_port must be a port (text)"
    );
}

/// The keys of the store are this agent's own, so nobody's file has odd values that must go on working.
#[test]
fn odd_values_of_the_store_are_refused() {
    for (value, said) in [
        (
            "max_entries: -3",
            "max_entries must be a whole number from 1 on",
        ),
        (
            "max_entries: 0",
            "max_entries must be a whole number from 1 on",
        ),
        ("max_entries: many", "max_entries must be a whole number"),
        (
            "max_size_gb: -1",
            "max_size_gb must be a number of gigabytes, 0 for no limit",
        ),
        (
            "free_space_threshold_gb: -0.5",
            "free_space_threshold_gb must be a number of gigabytes, 0 for no limit",
        ),
        (
            "path: [a, b]",
            "path must be an absolute path, or \"\" where no environments are to be kept",
        ),
        (
            "path: 7",
            "path must be an absolute path, or \"\" where no environments are to be kept",
        ),
        (
            "path: {a: 1}",
            "path must be an absolute path, or \"\" where no environments are to be kept",
        ),
        ("containers: perhaps", "containers must be true or false"),
        ("containers: 2", "containers must be true or false"),
        (
            "path: some/where",
            "path must be an absolute path, or \"\" where no environments are to be kept",
        ),
    ] {
        let error = agent(&format!("agent.store.{value}"), &[]).expect_err(value);
        assert_eq!(error.to_string(), format!("agent.store.{said} (text)"));
    }
    for (value, path) in [
        ("path: \"\"", None),
        ("path: null", None),
        ("path: ~/here", Some("/home/user/here".into())),
        (
            "max_entries: \"7\", max_size_gb: 1.5",
            Some("/home/user/.clearml/store".into()),
        ),
    ] {
        let store = agent(&format!("agent.store {{ {value} }}"), &[])
            .expect(value)
            .store;
        assert_eq!(store.path, path, "{value}");
        assert!(store.containers);
    }
    let off = agent("agent.store.containers: \"no\"", &[]).expect("good");
    assert!(!off.store.containers);
}
