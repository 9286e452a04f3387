//! `daemon --log-format json`: what the agent prints is for programs, line by line.

use serde_json::Value;

use super::support::{Script, TestContext, wait_until};

const JSON: [&str; 6] = [
    "daemon",
    "--queue",
    "default",
    "--foreground",
    "--log-format",
    "json",
];

/// Each line is an object.
#[track_caller]
pub(crate) fn objects(output: &str) -> Vec<Value> {
    let object = |line: &str| {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("`{line}`"));
        let time = object["timestamp"].as_str().expect("a time");
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
        object
    };
    output.lines().map(object).collect()
}

fn with<'a>(objects: &'a [Value], field: &str, text: &str) -> Vec<&'a Value> {
    let has = |object: &&Value| object[field].as_str().is_some_and(|said| said == text);
    objects.iter().filter(has).collect()
}

#[test]
fn every_line_is_an_object_and_says_whose_it_is() {
    let context = TestContext::new();
    // Its text in JSON is another one.
    context.configure(r#"agent.git_user: "me", agent.git_pass: "pass\"word\\1""#);
    let script = r#"printf 'a secret: pass"word\\1, "quoted"\n\n  indented\n'; printf 'no end'"#;
    let task = context.enqueue(Script::shell(script));
    let mut daemon = context.start(&JSON);
    context.wait_for_status(&task, "completed");
    context.wait_for_no_runs();
    daemon.wait_for_output("No tasks in Queues");
    assert_eq!(daemon.terminate(), 254);
    let output = daemon.output();
    assert!(!output.contains("word"), "{output}");
    let objects = objects(&output);
    for object in &objects {
        let is_of_task = object.get("text").is_some();
        assert_ne!(is_of_task, object.get("message").is_some(), "{object}");
        if is_of_task {
            assert_eq!(object["task"], task, "{object}");
        }
    }
    let one = |field, text: &str| {
        let found = with(&objects, field, text);
        assert_eq!(found.len(), 1, "`{text}`:\n{output}");
        found[0]
    };
    let begins = one("message", &format!("Running task '{task}'"));
    assert_eq!(begins["level"], "info");
    assert_eq!(begins["worker"], "host:0");
    assert_eq!(begins["task"], task);
    for text in ["a secret: ****, \"quoted\"", "  indented", "no end"] {
        assert_eq!(one("text", text)["worker"], "host:0");
    }
    let ends = one("message", &format!("Leaving process id {}", daemon.pid()));
    assert_eq!(ends["worker"], "host:0");
    assert_eq!(ends["task"], Value::Null);
    let listening = one("message", "Worker \"host:0\" - Listening to queues:");
    assert_eq!(listening["level"], "info");
}

#[test]
fn warnings_and_errors_say_so() {
    let context = TestContext::new();
    let mut daemon = context.start(&JSON);
    daemon.wait_for_output("No tasks in Queues");
    context.server.stop_listening().unwrap();
    daemon.wait_for_output("the server does not answer");
    assert_eq!(daemon.terminate(), 254);
    let said = objects(&daemon.output());
    let away = said.iter().find(|object| {
        let message = object["message"].as_str().unwrap_or_default();
        message.starts_with("the server does not answer: ")
    });
    assert_eq!(away.expect("a message")["level"], "warning");

    context.server.resume().unwrap();
    let failed = context.run(&["daemon", "--queue", "nowhere", "--log-format", "json"]);
    assert_eq!(failed.code, 1);
    let said = objects(&failed.stdout);
    let error = said.last().expect("a line");
    assert_eq!(error["level"], "error");
    assert_eq!(
        error["message"],
        "Could not find queue with name/id \"nowhere\""
    );
    assert!(error["hint"].as_str().unwrap().contains("--create-queue"));
}

/// What is said for `--debug`, and what a supervisor says of itself.
#[test]
fn records_are_objects_as_well() {
    let context = TestContext::new();
    let task = context.enqueue(Script::shell("echo here"));
    let words: Vec<&str> = [&["--debug"], &JSON[..]].concat();
    let mut daemon = context.start(&words);
    context.wait_for_status(&task, "completed");
    context.wait_for_no_runs();
    assert_eq!(daemon.terminate(), 254);
    let said = objects(&daemon.output());
    let debug = with(&said, "level", "debug");
    assert!(!debug.is_empty());
    assert!(debug.iter().all(|record| record["target"].is_string()));
    assert!(wait_until(|| !with(&said, "text", "here").is_empty()));
}

#[test]
fn a_format_that_there_is_not_is_a_mistake() {
    let context = TestContext::new();
    let finished = context.run(&["daemon", "--log-format", "xml"]);
    assert_eq!(finished.code, 2);
    let complaint = "argument --log-format: invalid choice: 'xml' (choose from 'text', 'json')";
    assert!(finished.stderr.contains(complaint), "{}", finished.stderr);
}

/// Whoever collects the lines reads nothing else.
#[test]
fn a_mistake_in_the_call_is_an_object_as_well() {
    let context = TestContext::new();
    for format in [&["--log-format", "json"] as &[&str], &["--log-f=json"]] {
        let words = [&["daemon", "--queues"], format].concat();
        let finished = context.run(&words);
        assert_eq!((finished.code, finished.stdout.as_str()), (2, ""));
        let said = objects(&finished.stderr);
        assert_eq!(said.len(), 1, "{}", finished.stderr);
        assert_eq!(said[0]["level"], "error");
        let message = "clearml-agent: error: unrecognized arguments: --queues";
        assert_eq!(said[0]["message"], message);
        assert!(said[0]["hint"].as_str().unwrap().contains("--queue"));
    }
}
