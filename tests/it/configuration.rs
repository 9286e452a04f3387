//! `config`, `config --explain`, and what `--debug` says about the configuration.

use crate::support::TestContext;

/// F-110, F-111: what is found out at start-up is printed.
#[test]
fn config_prints_what_is_found_out_at_start_up() {
    let context = TestContext::new();
    let finished = context.run_with(&["config"], &[("CLEARML_WORKER_NAME", "")]);
    let value = |key: &str| {
        let start = format!("{key} = ");
        let mut lines = finished.stdout.lines();
        lines
            .find_map(|line| line.strip_prefix(&start))
            .map(str::to_owned)
    };
    let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(
        value("agent.worker_name").as_deref(),
        Some(host_name.trim())
    );
    let python = value("agent.default_python").unwrap_or_default();
    assert!(python.starts_with("3."), "{python}");
    assert!(value("agent.cuda_version").is_some());
}

/// F-160, F-164
#[test]
fn one_key_is_explained() {
    let context = TestContext::new();
    context.add_configuration("agent.git_pass: hunter2hunter2\nagent.venvs_dir: /here");
    let variables = [("CLEARML_AGENT__AGENT__VENVS_DIR", "/there")];
    let finished = context.run_with(&["config", "--explain", "agent.venvs_dir"], &variables);
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
    let file = context.home().join("clearml.conf").display().to_string();
    assert!(
        finished.stdout.starts_with("agent.venvs_dir = /there\n"),
        "{}",
        finished.stdout
    );
    for part in [
        "\n  from:      environment variable CLEARML_AGENT__AGENT__VENVS_DIR\n".to_owned(),
        format!("\n  overrides: /here ({file}:"),
        "\n  overrides: ~/.clearml/venvs-builds (built-in default)\n".to_owned(),
        "\n  meaning:   Folder of".to_owned(),
    ] {
        assert!(
            finished.stdout.contains(&part),
            "{part}: {}",
            finished.stdout
        );
    }
    let secret = context.run(&["config", "--explain", "agent.git_pass"]);
    assert!(
        secret.stdout.starts_with("agent.git_pass = ****\n"),
        "{}",
        secret.stdout
    );
    assert!(!secret.stdout.contains("hunter2"), "{}", secret.stdout);
}

/// F-200
#[test]
fn a_key_that_nobody_knows_is_not_explained() {
    let context = TestContext::new();
    let finished = context.run(&["config", "--explain", "agent.git_usr"]);
    assert_eq!(finished.code, 1);
    let expected =
        "\nclearml_agent: ERROR: unknown key agent.git_usr\nhint: did you mean agent.git_user?\n\n";
    assert_eq!(finished.stdout, expected);
}

/// F-200: unknown keys are told to whoever looks, once and on stderr, and change nothing.
#[test]
fn unknown_keys_are_named_under_debug_alone() {
    let context = TestContext::new();
    context.add_configuration("agent.git_usr: me\nmine.own: 1\nsdk.new: 1");
    let quiet = context.run(&["config"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""));
    let loud = context.run(&["--debug", "config"]);
    assert_eq!(loud.code, 0);
    assert_eq!(loud.stdout, quiet.stdout);
    let hints: Vec<_> = loud
        .stderr
        .lines()
        .filter(|line| line.contains("unknown key"))
        .collect();
    let [hint] = hints[..] else {
        panic!("{}", loud.stderr)
    };
    let file = context.home().join("clearml.conf").display().to_string();
    assert!(
        hint.starts_with(&format!("unknown key agent.git_usr ({file}:")),
        "{hint}"
    );
    assert!(
        hint.ends_with("); hint: did you mean agent.git_user?"),
        "{hint}"
    );
    assert!(
        quiet.stdout.contains("\nagent.git_usr = me\n"),
        "{}",
        quiet.stdout
    );
}

/// `config` shows the configuration that it finds fault with.
#[test]
fn config_reports_what_would_stop_every_other_command() {
    let context = TestContext::new();
    context.add_configuration("api.http.retries.total: many");
    let finished = context.run(&["config"]);
    assert_eq!(finished.code, 1);
    assert!(
        finished
            .stdout
            .contains("\napi.http.retries.total = many\n"),
        "{}",
        finished.stdout
    );
    let error =
        "\nclearml_agent: ERROR: Bad configuration. All retry count values must be null or int\n";
    assert!(finished.stdout.contains(error), "{}", finished.stdout);
}

/// F-007
#[test]
fn the_files_that_are_read_are_named_where_that_is_wished() {
    let context = TestContext::new();
    let folder = context.folder().join("conf");
    std::fs::create_dir_all(folder.join("default")).unwrap();
    std::fs::write(folder.join("default/agent.conf"), "venvs_dir: /from-folder").unwrap();
    let named = folder.to_str().unwrap();
    let variables = [
        ("CLEARML_CONFIG_PATH", named),
        ("TRAINS_ENV", "local"),
        ("CLEARML_AGENT_CONFIG_VERBOSE", "0"),
    ];
    let finished = context.run_with(&["config"], &variables);
    let file = context.home().join("clearml.conf").display().to_string();
    let expected = format!(
        "Config env:local\nLoading config from {named}/default\nLoading config from file {named}/default/agent.conf\n\
         No config in {named}/local\nLoading config from file {file}\nCurrent configuration "
    );
    assert!(
        finished.stdout.starts_with(&expected),
        "{}",
        finished.stdout
    );
    assert!(
        finished
            .stdout
            .contains("\nagent.venvs_dir = /from-folder\n"),
        "{}",
        finished.stdout
    );
    let quiet = context.run(&["config"]);
    assert!(
        quiet.stdout.starts_with("Current configuration "),
        "{}",
        quiet.stdout
    );
}
