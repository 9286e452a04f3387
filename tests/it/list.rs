//! `list`: the workers of the server, as the official agent prints them, and as JSON.

use serde_json::{Value, json};

use super::support::{TestContext, wait_until};

/// Tags that YAML could take for something else, or that need quotes.
const TAGS: [&str; 16] = [
    "plain",
    "two words",
    "yes",
    "true",
    "null",
    "~",
    "1",
    "1.5",
    "1e3",
    "0x1f",
    "1_000",
    "",
    "a: b",
    "- a",
    "2026-11-21",
    "größer 😀",
];

/// The calls that were made, with their bodies.
fn calls(context: &TestContext) -> Vec<(String, Value)> {
    let requests = context.server.requests();
    let calls = requests.into_iter().map(|call| (call.endpoint, call.body));
    calls.collect()
}

/// D-327, D-064: as recorded, with an empty line at the end.
#[test]
fn without_workers_the_list_is_empty() {
    let context = TestContext::new();
    let finished = context.run(&["list"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
    assert_eq!(finished.stdout, "workers: []\n\n");
    let made = calls(&context);
    let names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["auth.login", "workers.get_all"]);
    assert_eq!(made[1].1, json!({ "last_seen": 0 }));
    let asked = &context.requests("workers.get_all")[0];
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        ("GET", "/workers.get_all")
    );
}

/// D-327, D-328: byte for byte what the official agent prints for the same answer.
#[test]
fn the_list_is_that_of_the_official_agent() {
    let context = TestContext::new();
    let queue = context.call("queues.get_default", json!({}))["id"].clone();
    context.call(
        "workers.register",
        json!({ "worker": "host:0", "queues": [queue], "tags": TAGS, "system_tags": ["k8s"] }),
    );
    context.call("workers.register", json!({ "worker": "host:gpu0,1" }));
    let ours = context.run(&["list"]);
    assert_eq!((ours.code, ours.stderr.as_str()), (0, ""));
    assert!(ours.stdout.contains("größer 😀"), "{}", ours.stdout);
    let theirs = context.finish(super::official::official(&context, &["list"]));
    assert_eq!(theirs.code, 0, "{}", theirs.stderr);
    assert_eq!(ours.stdout, theirs.stdout);
}

/// D-328: JSON has every field of the answer, and nothing else is on stdout.
#[test]
fn json_is_the_answer_of_the_server() {
    let context = TestContext::new();
    context.call("workers.register", json!({ "worker": "host:0" }));
    let environment = [
        (
            "CLEARML_API_ACCESS_KEY",
            context.server.credentials().access_key.clone(),
        ),
        (
            "CLEARML_API_SECRET_KEY",
            context.server.credentials().secret_key.clone(),
        ),
    ];
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let finished = context.run_with(&["list", "--json"], &environment);
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
    let printed: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(
        printed,
        context.call("workers.get_all", json!({ "last_seen": 0 }))
    );
    assert_eq!(printed["workers"][0]["id"], "host:0");
}

/// A worker that works is listed with its queue.
#[test]
fn a_daemon_is_listed() {
    let context = TestContext::new();
    let mut daemon = context.daemon();
    assert!(wait_until(|| !context.workers().is_empty()));
    let finished = context.run(&["list"]);
    let start = "workers:\n- company: {id: ";
    assert!(finished.stdout.starts_with(start), "{}", finished.stdout);
    assert!(
        finished.stdout.contains("\n  id: host:0\n"),
        "{}",
        finished.stdout
    );
    assert!(
        finished.stdout.contains("name: default, num_tasks: 0}\n"),
        "{}",
        finished.stdout
    );
    assert_eq!(daemon.terminate(), 254);
}

/// D-056, D-065, D-069
#[test]
fn mistakes_are_said_in_one_line() {
    let context = TestContext::new();
    let wrong = [
        ("CLEARML_API_SECRET_KEY", "wrong"),
        ("CLEARML_API_ACCESS_KEY", "KEY"),
    ];
    let finished = context.run_with(&["list"], &wrong);
    assert_eq!((finished.code, finished.stderr.as_str()), (1, ""));
    let expected = format!(
        "\nclearml_agent: ERROR: Failed getting token (error 401 from {}): Unauthorized (invalid credentials)",
        context.server.url()
    );
    assert!(finished.stdout.contains(&expected), "{}", finished.stdout);
    std::fs::remove_file(context.home().join("clearml.conf")).unwrap();
    for words in [&["list"] as &[&str], &["list", "--json"]] {
        let finished = context.run(words);
        assert_eq!(finished.code, 1);
        let expected = "\nclearml_agent: ERROR: Could not find host server definition (missing `~/clearml.conf` or Environment CLEARML_API_HOST)\n";
        assert!(finished.stdout.contains(expected), "{}", finished.stdout);
    }
}

/// D-329: the reference has no options; `--json` is ours.
#[test]
fn other_options_are_unknown() {
    let context = TestContext::new();
    let finished = context.run(&["list", "--queue", "a"]);
    assert_eq!(finished.code, 2);
    let expected = "clearml-agent: error: unrecognized arguments: --queue a\n";
    assert!(finished.stderr.contains(expected), "{}", finished.stderr);
}
