//! The command line as scripts meet it: versions, help, mistakes, shortened options, `config`.

use serde_json::json;

use super::support::TestContext;

/// D-013, D-054
#[test]
fn the_version_goes_to_stdout_whatever_the_configuration_is() {
    let context = TestContext::new();
    std::fs::write(context.home().join("clearml.conf"), "broken {").unwrap();
    let finished = context.run(&["--version"]);
    assert_eq!(finished.code, 0);
    assert_eq!(finished.stdout, "CLEARML-AGENT version 3.0.3\n");
    assert_eq!(finished.stderr, "");
}

/// D-003
#[test]
fn no_command_is_a_question_for_help() {
    let context = TestContext::new();
    std::fs::write(context.home().join("clearml.conf"), "broken {").unwrap();
    let finished = context.run(&[]);
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
    for command in ["daemon", "execute", "build", "list", "config"] {
        assert!(finished.stdout.contains(command), "{}", finished.stdout);
    }
    assert!(context.server.requests().is_empty());
}

/// D-010: a command with commands of its own answers as the program does.
#[test]
fn cache_alone_is_a_question_for_help() {
    let context = TestContext::new();
    let alone = context.run(&["cache"]);
    assert_eq!((alone.code, alone.stderr.as_str()), (0, ""));
    for command in ["list", "explain", "prune"] {
        let row = format!("\n  {command} ");
        assert!(alone.stdout.contains(&row), "{}", alone.stdout);
    }
    assert_eq!(alone.stdout, context.run(&["cache", "-h"]).stdout);
    let unknown = context.run(&["cache", "nothing"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (2, ""));
}

/// D-010, D-011
#[test]
fn help_goes_to_stdout_and_ends_well() {
    let context = TestContext::new();
    let finished = context.run(&["-h"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
    assert!(
        finished
            .stdout
            .starts_with("CLEARML-AGENT AI Orchestration DevOps\n\n"),
        "{}",
        finished.stdout
    );
    for words in [["daemon", "-h"], ["daemon", "--help"]] {
        let finished = context.run(&words);
        assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
        assert!(
            finished.stdout.contains("--polling-interval"),
            "{}",
            finished.stdout
        );
    }
}

/// D-002, D-006, D-007, D-057, D-345
#[test]
fn a_mistake_goes_to_stderr_with_code_2() {
    let context = TestContext::new();
    for (words, expected) in [
        (
            &["--bogus"] as &[&str],
            "clearml-agent: error: unrecognized arguments: --bogus\n",
        ),
        (
            &["nosuchcommand"],
            "clearml-agent: error: argument command: invalid choice: 'nosuchcommand' (choose from ",
        ),
        (
            &["execute"],
            "clearml-agent execute: error: the following arguments are required: --id\n",
        ),
    ] {
        let finished = context.run(words);
        assert_eq!((finished.code, finished.stdout.as_str()), (2, ""));
        assert!(finished.stderr.starts_with("usage: clearml-agent"));
        assert!(finished.stderr.contains(expected), "{}", finished.stderr);
    }
    assert!(context.server.requests().is_empty());
}

/// D-004, D-009, D-021: the table shows what the daemon listens to.
#[test]
fn options_may_be_shortened_and_the_last_queues_count() {
    let context = TestContext::new();
    for name in ["a", "b", "c"] {
        context.call("queues.create", json!({ "name": name }));
    }
    let words = ["daemon", "--que", "a", "--queue", "b", "c", "--fore"];
    let mut daemon = context.start(&words);
    daemon.wait_for_output("No tasks in Queues");
    let output = daemon.output();
    let table = output.split("Listening to queues:").nth(1).unwrap();
    let rows: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .filter_map(|line| line.split('|').nth(2))
        .map(str::trim)
        .collect();
    assert_eq!(rows, ["name", "b", "c"], "{output}");
    assert_eq!(daemon.terminate(), 254);
}

/// D-330, F-160
#[test]
fn config_needs_no_server() {
    let context = TestContext::new();
    context.server.stop_listening().unwrap();
    context.configure("agent.git_pass: hunter2hunter2");
    let finished = context.run(&["config"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
    let heading = format!(
        "Current configuration (clearml_agent v3.0.3, location: {}):\n----------------------\n",
        context.home().join("clearml.conf").display()
    );
    assert!(finished.stdout.starts_with(&heading), "{}", finished.stdout);
    let address = format!("\napi.api_server = {}\n", context.server.url());
    assert!(finished.stdout.contains(&address), "{}", finished.stdout);
    assert!(finished.stdout.contains("\nagent.git_pass = ****\n"));
    let secret = context.server.credentials().secret_key.clone();
    assert!(!finished.stdout.contains(&secret));
    assert!(!finished.stdout.contains("hunter2hunter2"));
}

/// F-003, F-005, D-014
#[test]
fn another_configuration_is_named_by_option_or_variable() {
    let context = TestContext::new();
    let own = context.folder().join("own.conf");
    std::fs::write(&own, "agent.worker_name: other\n").unwrap();
    let own = own.to_str().unwrap();
    let by_option = context.run(&["--config-file", own, "config"]);
    let by_variable = context.run_with(&["config"], &[("CLEARML_CONFIG_FILE", own)]);
    for finished in [by_option, by_variable] {
        assert_eq!(finished.code, 0);
        let heading = format!(
            "Using custom configuration file from env var: {own}\n\
             Current configuration (clearml_agent v3.0.3, location: {own}):\n"
        );
        assert!(finished.stdout.starts_with(&heading), "{}", finished.stdout);
    }
}

/// D-008
#[test]
fn a_file_may_hold_the_words() {
    let context = TestContext::new();
    let file = context.folder().join("words");
    std::fs::write(&file, "execute\n--id\nno such task\n").unwrap();
    let finished = context.run(&[&format!("@{}", file.display())]);
    assert_eq!(finished.code, 1);
    assert!(
        finished
            .stdout
            .contains("Could not find task with name/id \"no such task\""),
        "{}",
        finished.stdout
    );
}
