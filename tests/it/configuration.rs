//! `config`, `config --explain`, and what `--debug` says about the configuration.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Finished, Script, TestContext};

/// What `config` prints with these variables in an empty home folder with these files; no variable of the test is set.
fn config_in_home(
    context: &TestContext,
    files: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> (Finished, PathBuf) {
    let home = tempfile::tempdir_in(context.folder()).unwrap().keep();
    for (name, text) in files {
        std::fs::write(home.join(name), text).unwrap();
    }
    let mut command = context.command(&["config"]);
    command
        .env("HOME", &home)
        .env_remove("CLEARML_WORKER_NAME")
        .env_remove("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC")
        .envs(variables.iter().copied());
    (context.finish(command), home)
}

/// The value of a key in what `config` printed.
fn value(finished: &Finished, key: &str) -> Option<String> {
    let start = format!("{key} = ");
    let mut lines = finished.stdout.lines();
    lines
        .find_map(|line| line.strip_prefix(&start))
        .map(str::to_owned)
}

/// F-001, F-160, F-161, F-162, F-163, F-166, F-205, F-207
#[test]
fn without_any_file_the_defaults_are_printed_as_recorded() {
    let context = TestContext::new();
    let (finished, _) = config_in_home(&context, &[], &[]);
    let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let version = "import sys; print('%d.%d' % sys.version_info[:2])";
    let python = Command::new("python3")
        .args(["-c", version])
        .output()
        .unwrap();
    let expected = include_str!("../data/settings/config-default-output.txt")
        .replace("{VERSION}", "3.0.3")
        .replace("{HOSTNAME}", host_name.trim())
        .replace("{PYTHON}", String::from_utf8_lossy(&python.stdout).trim());
    assert_eq!(finished.stdout, expected);
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
}

/// F-002, F-010, F-013, F-017, F-206: both files of the home folder count, the later one more; variables count most.
#[test]
fn the_stronger_layer_wins() {
    let context = TestContext::new();
    let old = "agent { git_user: old, venvs_dir: /old, git_fetch_args: [a, b], vcs_cache { path: /old, enabled: true } }";
    let new = "agent { venvs_dir: /new, worker_id: file, git_fetch_args: [c], vcs_cache { path: /new }, pip_download_cache: off }\n\
               logging.handlers.mine.level: DEBUG\nagent.translate_ssl_replacement_scheme: null";
    let variables = [
        ("CLEARML_AGENT__AGENT__VENVS_DIR", "/dynamic"),
        ("CLEARML_AGENT__AGENT__WORKER_ID", "dynamic"),
        ("TRAINS_WORKER_ID", " fixed "),
    ];
    let (finished, home) = config_in_home(
        &context,
        &[("trains.conf", old), ("clearml.conf", new)],
        &variables,
    );
    for (key, expected) in [
        ("agent.git_user", Some("old")),
        ("agent.venvs_dir", Some("/dynamic")),
        ("agent.worker_id", Some("fixed")),
        ("agent.git_fetch_args.0", Some("c")),
        ("agent.git_fetch_args.1", None),
        ("agent.vcs_cache.path", Some("/new")),
        ("agent.vcs_cache.enabled", Some("true")),
        ("agent.pip_download_cache", Some("off")),
        ("agent.pip_download_cache.path", None),
        ("agent.translate_ssl_replacement_scheme", None),
        ("logging.handlers.mine.level", Some("DEBUG")),
    ] {
        assert_eq!(
            value(&finished, key).as_deref(),
            expected,
            "{key}: {}",
            finished.stdout
        );
    }
    let location = format!("location: {}):", home.join("clearml.conf").display());
    assert!(finished.stdout.contains(&location), "{}", finished.stdout);
}

/// F-016: the older name of the server shows the server that is used, and is left alone where it is given.
#[test]
fn the_older_name_of_the_server_shows_the_one_in_use() {
    let context = TestContext::new();
    let file = [("clearml.conf", "api.api_server: http://file")];
    let variable = [("CLEARML_API_HOST", "http://variable")];
    let (of_file, _) = config_in_home(&context, &file, &[]);
    assert_eq!(value(&of_file, "api.host").as_deref(), Some("http://file"));
    let (of_variable, _) = config_in_home(&context, &file, &variable);
    assert_eq!(
        value(&of_variable, "api.host").as_deref(),
        Some("http://variable")
    );
    let own = [(
        "clearml.conf",
        "api { api_server: http://file, host: http://own }",
    )];
    let (given, _) = config_in_home(&context, &own, &[]);
    assert_eq!(value(&given, "api.host").as_deref(), Some("http://own"));
}

/// F-004, F-017: a named file that is not there leaves the defaults, and the location says what was named.
#[test]
fn a_named_file_that_is_not_there_is_no_error() {
    let context = TestContext::new();
    let named = [("CLEARML_CONFIG_FILE", "~/not-there.conf")];
    let (finished, _) = config_in_home(
        &context,
        &[("clearml.conf", "agent.venvs_dir: /unseen")],
        &named,
    );
    assert_eq!(finished.code, 0);
    let expected = "Using custom configuration file from env var: ~/not-there.conf\n\
                    Current configuration (clearml_agent v3.0.3, location: ~/not-there.conf):\n";
    assert!(finished.stdout.starts_with(expected), "{}", finished.stdout);
    assert_eq!(
        value(&finished, "agent.venvs_dir").as_deref(),
        Some("~/.clearml/venvs-builds")
    );
}

/// F-080, F-081, F-082, F-084
#[test]
fn any_key_is_set_by_a_variable_of_its_name() {
    let context = TestContext::new();
    let variables = [
        ("CLEARML_AGENT__AGENT__GIT_USER", "me"),
        ("CLEARML_AGENT__API__HTTP__RETRIES__TOTAL", "7"),
        ("CLEARML_AGENT__AGENT__RELOAD_CONFIG", "True"),
        (
            "CLEARML_AGENT__AGENT__PACKAGE_MANAGER",
            "{type: uv, uv_version: \">0.4\"}",
        ),
        (
            "CLEARML_AGENT__AGENT__PACKAGE_MANAGER__EXTRA_INDEX_URL",
            "[\"https://a\", \"https://b\"]",
        ),
        ("CLEARML_AGENT__AGENT__DEFAULT_PYTHON", "3.10"),
        ("CLEARML_AGENT__AGENT__CUSTOM_BUILD_SCRIPT", "null"),
        ("CLEARML_AGENT__AGENT__VENVS_DIR", "${BASE}/v"),
        ("CLEARML_AGENT__AGENT__X", "1"),
        ("CLEARML_AGENT__AGENT__XY__Z", "2"),
        ("CLEARML_AGENT__AGENT__XY", "{z: 1, y: 1}"),
        ("CLEARML_AGENT__NEW_SECTION__A", "a#b"),
        ("CLEARML_AGENT__NEW_SECTION__E", ""),
        ("BASE", "/data"),
    ];
    let (finished, _) = config_in_home(
        &context,
        &[("clearml.conf", "agent.custom_build_script: x")],
        &variables,
    );
    for (key, expected) in [
        ("agent.git_user", Some("me")),
        ("api.http.retries.total", Some("7")),
        ("agent.reload_config", Some("true")),
        ("agent.package_manager.type", Some("uv")),
        ("agent.package_manager.uv_version", Some(">0.4")),
        ("agent.package_manager.force_upgrade", Some("false")),
        ("agent.package_manager.extra_index_url.1", Some("https://b")),
        ("agent.default_python", Some("3.1")),
        ("agent.custom_build_script", None),
        ("agent.venvs_dir", Some("/data/v")),
        ("agent.xy.z", Some("2")),
        ("agent.xy.y", Some("1")),
        ("new_section.a", Some("a")),
        ("new_section.e", Some("")),
    ] {
        assert_eq!(
            value(&finished, key).as_deref(),
            expected,
            "{key}: {}",
            finished.stdout
        );
    }
}

/// F-081, F-083, F-020: positions count from the key that the variable stands for.
#[test]
fn a_variable_that_cannot_be_read_ends_the_program() {
    let context = TestContext::new();
    let (finished, _) =
        config_in_home(&context, &[], &[("CLEARML_AGENT__AGENT__GIT_PASS", "p@ss")]);
    assert_eq!(finished.code, 1);
    let error =
        "\nclearml_agent: ERROR: Expected end of text, found '@'  (at char 17), (line:1, col:18)\n";
    assert!(finished.stdout.starts_with(error), "{}", finished.stdout);
    let (finished, _) = config_in_home(&context, &[], &[("CLEARML_AGENT__", "1")]);
    assert_eq!(finished.code, 1);
}

/// F-072: what ends the program, and what does not.
#[test]
fn words_that_are_no_booleans() {
    let context = TestContext::new();
    let execute = |variable| context.run_with(&["execute", "--id", "none"], &[(variable, "maybe")]);
    let strict = execute("CLEARML_AGENT_CRASH_ON_EXCEPTION");
    assert_eq!(strict.code, 1);
    assert!(
        strict
            .stdout
            .contains("\nclearml_agent: ERROR: invalid truth value 'maybe'\n"),
        "{}",
        strict.stdout
    );
    let lenient = execute("CLEARML_AGENT_PROPAGATE_EXITCODE");
    let notice = "Environment configuration: invalid value CLEARML_AGENT_PROPAGATE_EXITCODE=maybe: invalid truth value 'maybe'\n";
    assert!(lenient.stdout.contains(notice), "{}", lenient.stdout);
    assert!(
        !lenient.stdout.contains("ERROR: invalid truth"),
        "{}",
        lenient.stdout
    );
}

/// F-110, F-111: what is found out at start-up is printed.
#[test]
fn config_prints_what_is_found_out_at_start_up() {
    let context = TestContext::new();
    let finished = context.run_with(&["config"], &[("CLEARML_WORKER_NAME", "")]);
    let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(
        value(&finished, "agent.worker_name").as_deref(),
        Some(host_name.trim())
    );
    let python = value(&finished, "agent.default_python").unwrap_or_default();
    assert!(python.starts_with("3."), "{python}");
    assert!(value(&finished, "agent.cuda_version").is_some());
}

/// F-160, F-164
#[test]
fn one_key_is_explained() {
    let context = TestContext::new();
    context.configure("agent.git_pass: hunter2hunter2\nagent.venvs_dir: /here");
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
    context.configure("agent.git_usr: me\nmine.own: 1\nsdk.new: 1");
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
    context.configure("api.http.retries.total: many");
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

/// F-020, F-022, F-023: a broken file is one line with file, line and column for every command, also under `--debug`.
#[test]
fn a_broken_file_is_one_line_for_every_command() {
    let context = TestContext::new();
    let file = context.home().join("clearml.conf");
    std::fs::write(&file, "agent {\n  git_pass: p@ss\n}\n").unwrap();
    let error = format!(
        "\nclearml_agent: ERROR: Failed parsing {} (ParseSyntaxException): (at char 21, line:2, col:14)\n",
        file.display()
    );
    for words in [
        &["config"][..],
        &["--debug", "config"],
        &["daemon", "--queue", "default"],
        &["execute", "--id", "x"],
    ] {
        let finished = context.run(words);
        assert_eq!(finished.code, 1, "{words:?}");
        assert!(
            finished.stdout.starts_with(&error),
            "{words:?}: {}",
            finished.stdout
        );
        assert!(
            !finished.stdout.contains("p@ss"),
            "{words:?}: {}",
            finished.stdout
        );
        assert!(
            !finished.stderr.contains("p@ss"),
            "{words:?}: {}",
            finished.stderr
        );
    }
    let help = context.run(&["--help"]);
    assert_eq!(help.code, 0);
}

/// C-710: there is neither a feature nor a word about it.
#[test]
fn what_only_the_closed_server_has_is_passed_over_in_silence() {
    let context = TestContext::new();
    context.configure(
        "agent.slurm.user_map: {default: nobody}\nagent.k8s_glue.queue_settings: {a: {maxPods: 1}}",
    );
    let variables = [
        "CLEARML_K8S_GLUE_COND_CUST_TEMPLATE",
        "CLEARML_K8S_GLUE_TEMPLATE_MODULE",
        "CLEARML_K8S_GLUE_POD_PRE_APPLY_CMD",
        "CLEARML_K8S_GLUE_POD_POST_DELETE_CMD",
        "CLEARML_K8S_GLUE_MONITOR_ALL_NAMESPACES",
        "CLEARML_SLURM_GLUE_DEBUG",
    ];
    let variables = variables.map(|name| (name, "/nowhere"));
    let task = context.enqueue(Script::shell("echo done"));
    let output = context.run_one_task(&variables);
    assert_eq!(context.status(&task), "completed");
    // What is configured is printed as such.
    let is_printout = |line: &str| line.starts_with("agent.") || line.starts_with("sdk.");
    let lines = output.lines().filter(|line| !is_printout(line));
    let about: Vec<&str> = lines
        .filter(|line| {
            let line = line.to_lowercase();
            ["k8s", "slurm", "nowhere", "warning"]
                .iter()
                .any(|word| line.contains(word))
        })
        .collect();
    assert_eq!(about, [] as [&str; 0], "{output}");
}
