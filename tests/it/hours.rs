//! Which queue is asked, and when: fairness, working hours, and what overrules them.

use serde_json::json;

use super::support::{Agent, Fault, FaultProxy, Script, TestContext, wait_until};

/// Every hour of every day.
const ALL: &str = "0-00 SUN-SAT";

fn daemon(context: &TestContext, words: &[&str]) -> Agent {
    context.start(&[&["daemon", "--foreground"], words].concat())
}

/// Tags the queue `default`.
fn tag(context: &TestContext, tags: &[&str]) {
    let update = json!({ "queue": context.queue(), "tags": tags });
    context.call("queues.update", update);
}

/// Waits for so many more rounds.
#[track_caller]
fn rounds(context: &TestContext, more: usize) {
    let count = || {
        let looks = context.requests("queues.get_all");
        let of_rounds = looks
            .iter()
            .filter(|look| look.body["only_fields"] == json!(["id", "tags"]));
        of_rounds.count()
    };
    let wanted = count() + more;
    assert!(wait_until(|| count() >= wanted));
}

/// D-028, D-165: in turn, and without a pause as long as anything is there.
#[test]
fn fairness_takes_from_all_queues_in_turn() {
    let context = TestContext::new();
    let other = context.call("queues.create", json!({ "name": "other" }))["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let default = context.queue();
    let mut tasks = Vec::new();
    for queue in [&default, &other].repeat(3) {
        tasks.push((
            context.enqueue_to(queue, Script::shell("true")),
            queue.clone(),
        ));
    }
    // Where it would sleep between two rounds, this would take for ever.
    let mut command = context.command(&["daemon", "--foreground", "--order-fairness"]);
    command
        .args(["--queue", "default", "other"])
        .env("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "1000");
    let _daemon = context.start_command(command);
    // The watch of a task has the same interval; its end does not wait for it.
    for (task, _) in &tasks {
        context.wait_for_status(task, "completed");
    }
    let pulls = context.requests("queues.get_next_task");
    let got: Vec<&str> = pulls
        .iter()
        .filter(|pull| pull.response["data"]["entry"]["task"].is_string())
        .map(|pull| pull.body["queue"].as_str().unwrap())
        .collect();
    assert_eq!(got, [default.as_str(), other.as_str()].repeat(3));
}

/// D-034, D-280, D-357: outside its hours a worker reports and takes nothing; a tag of the queue is stronger.
#[test]
fn a_tag_of_the_queue_overrules_the_hours() {
    let context = TestContext::new();
    let task = context.enqueue(Script::shell("true"));
    let _daemon = daemon(&context, &["--downtime", ALL]);
    rounds(&context, 3);
    assert_eq!(context.status(&task), "queued");
    assert!(context.requests("queues.get_next_task").is_empty());
    assert!(wait_until(|| !context
        .requests("workers.status_report")
        .is_empty()));
    tag(&context, &["force_workers:on"]);
    context.wait_for_status(&task, "completed");

    tag(&context, &["force_workers:off"]);
    rounds(&context, 2);
    let next = context.enqueue(Script::shell("true"));
    rounds(&context, 3);
    assert_eq!(context.status(&next), "queued");
}

/// D-156, D-280
#[test]
fn a_property_of_the_worker_overrules_the_hours() {
    let context = TestContext::enterprise();
    let task = context.enqueue(Script::shell("true"));
    let daemon = daemon(&context, &["--downtime", ALL]);
    let force = |value: &str| {
        let properties = json!([{ "key": "force", "value": value }]);
        let call = json!({ "worker": "host:0", "runtime_properties": properties });
        context.call("workers.set_runtime_properties", call);
    };
    force("perhaps");
    daemon.wait_for_output(
        "Warning: invalid runtime_property 'force: perhaps' supported values are: on, off, ignoring",
    );
    assert_eq!(context.status(&task), "queued");
    let status = context.run(&["daemon", "--downtime", ALL, "--status"]);
    assert!(
        status
            .stdout
            .starts_with("Working hours downtime configurations\n  - 0:00-23:59 on SUN and")
    );
    force("ON");
    let status = context.run(&["daemon", "--downtime", ALL, "--status"]);
    let forced = "\n\nCurrently forced ON\n  - Server runtime property 'force: on'\n  - Listening to queue 'default'\n";
    assert!(status.stdout.contains(forced), "{}", status.stdout);
    context.wait_for_status(&task, "completed");
}

/// D-280, D-285, D-286: a property holds as long as its `expiry` says, and 0 takes it away.
#[test]
fn a_property_holds_until_it_expires() {
    let context = TestContext::enterprise();
    let force = |value: &str, expiry: u32| {
        let properties = json!([{ "key": "force", "value": value, "expiry": expiry }]);
        let call = json!({ "worker": "host:0", "runtime_properties": properties });
        context.call("workers.set_runtime_properties", call);
    };
    let status = || context.run(&["daemon", "--status"]).stdout;
    force("off", 86_400);
    let told = status();
    let forced = "\n\nCurrently forced OFF\n  - Server runtime property 'force: off' expires at ";
    let (_, end) = told.split_once(forced).expect("the end of the property");
    let time = &end[..5];
    assert!(
        time.as_bytes()[2] == b':' && time.replace(':', "").parse::<u32>().is_ok(),
        "{told}"
    );
    let task = context.enqueue(Script::shell("true"));
    let daemon = daemon(&context, &[]);
    daemon.wait_for_output("Outside the working hours: no tasks are taken\n");
    assert_eq!(context.status(&task), "queued");
    force("off", 0);
    context.wait_for_status(&task, "completed");
    assert!(
        status().contains("\n \n  - Listening to queue"),
        "{}",
        status()
    );

    force("off", 2);
    let next = context.enqueue(Script::shell("true"));
    context.wait_for_status(&next, "completed");
    // Set by hand on the web page, it stays; a queue that says otherwise comes first.
    force("on", 86_400);
    tag(&context, &["force_workers:off"]);
    assert!(status().contains("Currently forced OFF\n"), "{}", status());
}

/// D-281: the command line replaces the configuration.
#[test]
fn hours_of_the_configuration_count_unless_the_command_line_has_some() {
    let context = TestContext::new();
    context.configure(&format!("agent.downtime: [\"{ALL}\"]"));
    let status = context.run(&["daemon", "--status"]);
    assert!(
        status.stdout.starts_with("Working hours downtime"),
        "{}",
        status.stdout
    );
    let status = context.run(&["daemon", "--status", "--downtime", "9-17 MON,", "20 TUE"]);
    let expected =
        "Working hours downtime configurations\n  - 9:00-16:59 on MON\n  - 20:00-23:59 on TUE\n";
    assert!(status.stdout.starts_with(expected), "{}", status.stdout);
    tag(&context, &["force_workers:on"]);
    let status = context.run(&["daemon", "--status"]);
    let forced =
        "\n\nCurrently forced ON\n  - Listening to queue 'default' (tagged 'force_workers:on')\n";
    assert!(status.stdout.contains(forced), "{}", status.stdout);
}

/// D-051, D-284, D-357
#[test]
fn hours_that_make_no_sense_are_said_at_the_start() {
    let context = TestContext::new();
    let refused = context.run(&["daemon", "--uptime", "9-17", "MON"]);
    assert_eq!(refused.code, 1);
    let expected = "clearml_agent: ERROR: --uptime, entry 1: `9-17`: hours and days are needed, such as \"9-17 MON-FRI\", in quotes\n";
    assert!(refused.stdout.contains(expected), "{}", refused.stdout);
    let both = context.run(&["daemon", "--status", "--uptime", ALL, "--downtime", ALL]);
    assert_eq!(both.code, 0);
    assert!(
        both.stderr.contains("Both will be ignored."),
        "{}",
        both.stderr
    );
    assert!(
        both.stdout
            .starts_with("No uptime/downtime configurations found\n")
    );
}

/// D-159, D-171, D-355: a queue that is gone costs one warning, and the others nothing.
#[test]
fn a_deleted_queue_is_said_once() {
    let context = TestContext::new();
    let gone = context.call("queues.create", json!({ "name": "gone" }))["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let daemon = context.start(&["daemon", "--foreground", "--queue", "gone", "default"]);
    daemon.wait_for_output("No tasks in Queues");
    context.call("queues.delete", json!({ "queue": gone, "force": true }));
    let warning = format!("Warning: Could not access task queue [{gone}], error: ");
    daemon.wait_for_output(&warning);
    rounds(&context, 3);
    let task = context.enqueue(Script::shell("true"));
    context.wait_for_status(&task, "completed");
    assert_eq!(daemon.output().matches(&warning).count(), 1);
}

/// D-156, D-171: one answer that went wrong is not the end of the properties.
#[test]
fn a_property_that_cannot_be_read_once_is_asked_for_again() {
    let context = TestContext::enterprise();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    proxy.set(|call| (call == "workers.get_runtime_properties").then_some(Fault::ServerError));
    let task = context.enqueue(Script::shell("true"));
    let daemon = daemon(&context, &["--downtime", ALL]);
    daemon.wait_for_output("Outside the working hours: no tasks are taken\n");
    assert!(wait_until(|| proxy.faults().len() >= 2));
    let properties = json!([{ "key": "force", "value": "on" }]);
    let call = json!({ "worker": "host:0", "runtime_properties": properties });
    context.call("workers.set_runtime_properties", call);
    proxy.set(|_| None);
    context.wait_for_status(&task, "completed");
    assert_eq!(
        daemon.output().matches("Outside the working hours").count(),
        1
    );
    assert_eq!(
        daemon.output().matches("Within the working hours").count(),
        1
    );
}
