//! What a daemon says to the server, call by call, from its start to the end of a task (D 2, 3, 4, 13.1).

use std::time::Duration;

use local_server::RecordedRequest;
use serde_json::{Value, json};

use super::support::{Agent, Fault, FaultProxy, Script, TestContext, wait_until};

const IDLE: &str = "No tasks in Queues, sleeping for 0.2 seconds\n";

/// Waits until the daemon has looked so often in vain.
#[track_caller]
pub(crate) fn wait_for_rounds(daemon: &Agent, rounds: usize) {
    let are_over = wait_until(|| daemon.output().matches(IDLE).count() >= rounds);
    assert!(are_over, "{}", daemon.output());
}

/// Calls with their bodies.
pub(crate) fn calls(requests: &[RecordedRequest]) -> Vec<(&str, &Value)> {
    requests
        .iter()
        .map(|request| (request.endpoint.as_str(), &request.body))
        .collect()
}

pub(crate) fn create_queue(context: &TestContext, name: &str) -> String {
    let queue = context.call("queues.create", json!({ "name": name }));
    queue["id"].as_str().unwrap().to_owned()
}

/// D-093, D-099, D-100, D-112, D-124, D-137, D-147, D-157, D-158, D-160, D-349: the start, and rounds over two queues. The properties are asked for once, the tags once a round.
#[test]
fn a_start_and_idle_rounds_are_the_calls_of_the_reference() {
    let context = TestContext::new();
    let (default, other) = (context.queue(), create_queue(&context, "other"));
    let words = ["daemon", "--foreground", "--queue", "other", "default"];
    let mut daemon = context.start(&words);
    wait_for_rounds(&daemon, 3);
    let requests = context.server.requests();
    let ids = json!([other, default]);
    let by_name = |name: &str| json!({ "name": name, "only_fields": ["name", "id"] });
    let tags = (
        "queues.get_all",
        json!({ "id": ids, "only_fields": ["id", "tags"] }),
    );
    let next = |queue: &str| ("queues.get_next_task", json!({ "queue": queue }));
    let expected = [
        ("auth.login", Value::Null),
        ("queues.get_all", by_name("other")),
        ("queues.get_all", by_name("default")),
        ("queues.get_all", json!({ "id": ids })),
        (
            "workers.register",
            json!({ "worker": "host:0", "queues": ids }),
        ),
        tags.clone(),
        (
            "workers.get_runtime_properties",
            json!({ "worker": "host:0" }),
        ),
        next(&other),
        next(&default),
        tags.clone(),
        next(&other),
        next(&default),
        tags,
        next(&other),
        next(&default),
    ];
    let made = calls(&requests);
    let expected: Vec<(&str, &Value)> = expected.iter().map(|(call, body)| (*call, body)).collect();
    assert_eq!(made[..expected.len()], expected[..]);
    let mut looks = requests.iter();
    let mut rounds = Vec::new();
    while let Some(look) = looks.find(|look| look.body["only_fields"] == json!(["id", "tags"])) {
        rounds.push(look.at);
    }
    for pair in rounds.windows(2) {
        let pause = pair[1].duration_since(pair[0]).unwrap();
        assert!(pause >= Duration::from_millis(190), "{pause:?}");
    }
    for request in &requests {
        let of_host = &request.headers["x-clearml-worker"];
        assert!(of_host != "host:0" && !of_host.is_empty(), "{of_host}");
        assert_eq!(of_host, &request.headers["x-trains-worker"]);
        if request.endpoint == "queues.get_next_task" {
            let version = request.path.strip_prefix("/v2.").expect("a version");
            let minor: u32 = version.split('/').next().unwrap().parse().unwrap();
            assert!(minor >= 14, "{}", request.path);
        }
    }
    // The place and the configuration are there before the banner, which is there before any look at a queue.
    let output = daemon.output();
    let line = format!(
        "+-{}-+-{}-+-{}-+",
        "-".repeat(32),
        "-".repeat(7),
        "-".repeat(5)
    );
    let banner = format!(
        "\nWorker \"host:0\" - Listening to queues:\n{line}\n| {:<32} | {:<7} | {:<5} |\n{line}\n\
         | {other} | other   |       |\n| {default} | default |       |\n{line}\n\n\
         No tasks in queue {other}\nNo tasks in queue {default}\n{IDLE}",
        "id", "name", "tags"
    );
    assert!(output.contains(&banner), "{output}");
    let configuration = output.find("Current configuration (clearml_agent v3.0.3, location: ");
    assert!(
        configuration < output.find("\nWorker \"host:0\""),
        "{output}"
    );
    assert_eq!(daemon.terminate(), 254);
}

/// The calls about one task that succeeds.
fn expected_calls(task: &str, host: &str) -> Vec<(&'static str, Value)> {
    let signed = "Changed by clearml-agent host:0";
    let started = |message: &str| json!({ "task": task, "status_message": message, "force": true });
    let because = |reason: &str| json!({ "task": task, "status_reason": reason, "status_message": signed, "force": true });
    vec![
        ("tasks.started", started("pulled by agent")),
        (
            "tasks.get_all",
            json!({ "id": [task], "only_fields": ["runtime"], "search_hidden": true }),
        ),
        (
            "tasks.edit",
            json!({ "task": task, "force": true, "runtime": { "of_somebody": "else", "_exec_agent_hostname": host } }),
        ),
        ("tasks.started", started("launch by agent")),
        ("tasks.get_by_id", json!({ "task": task })),
        (
            "tasks.dequeue",
            json!({ "task": task, "new_status": "in_progress" }),
        ),
        (
            "tasks.started",
            json!({ "task": task, "status_reason": "starting execution soon", "status_message": "", "force": true }),
        ),
        ("tasks.started", because("worker started execution")),
        ("tasks.started", because("worker starting task execution")),
        ("tasks.ping", json!({ "task": task })),
        (
            "tasks.completed",
            json!({ "task": task, "status_reason": "worker execution done", "status_message": signed, "force": false }),
        ),
    ]
}

/// The log's requests and events have the form of the reference, and begin with the pull.
#[track_caller]
fn check_events(context: &TestContext, pulled: &str) {
    let batches = context.requests("events.add_batch");
    assert!(batches.iter().all(|batch| {
        batch.method == "POST" && batch.headers["content-type"] == "application/json-lines"
    }));
    let events: Vec<&Value> = batches
        .iter()
        .flat_map(|batch| batch.body["__json_lines__"].as_array().expect("lines"))
        .collect();
    let fields = ["type", "level", "task", "worker", "msg", "timestamp"];
    for event in &events {
        let names: Vec<&String> = event.as_object().expect("an event").keys().collect();
        assert_eq!(names.len(), fields.len(), "{event}");
        assert!(
            fields.iter().all(|field| event.get(field).is_some()),
            "{event}"
        );
        assert_eq!(
            (&event["type"], &event["worker"]),
            (&json!("log"), &json!("host:0"))
        );
        assert!(
            event["timestamp"].as_u64() > Some(1_600_000_000_000),
            "{event}"
        );
    }
    assert_eq!(
        (&events[0]["level"], &events[0]["msg"]),
        (&json!("INFO"), &json!(pulled))
    );
    assert!(events[1..].iter().any(|event| event["level"] == "DEBUG"));
}

#[track_caller]
fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest
            .find(part)
            .unwrap_or_else(|| panic!("no {part} in {rest}"));
        rest = &rest[at + part.len()..];
    }
}

/// D-139, D-162, D-163, D-201, D-205, D-206, D-207, D-212, D-218, D-219, D-349, E-015: the calls about one task, those of the worker
/// and those of the task's own process; nothing else is said, and no charts are made.
#[test]
fn a_task_is_the_calls_of_the_reference() {
    let context = TestContext::new();
    let queue = context.queue();
    let runtime = json!({ "of_somebody": "else" });
    let task = context.create(Script::shell("echo hello"));
    context.call(
        "tasks.edit",
        json!({ "task": task, "runtime": runtime, "force": true }),
    );
    context.call("tasks.enqueue", json!({ "task": task, "queue": queue }));
    let mut daemon = context.daemon();
    daemon.wait_for_output("DONE: Running task");
    let is_over = || {
        let reports = context.requests("workers.status_report");
        reports
            .last()
            .is_some_and(|report| report.body.get("task").is_none())
    };
    assert!(wait_until(is_over));
    wait_for_rounds(&daemon, 1);
    let requests = context.server.requests();
    let of_task: Vec<(&str, Value)> = requests
        .iter()
        .filter(|request| {
            let asks_for_status = request.body["only_fields"]
                .as_array()
                .is_some_and(|fields| fields.contains(&json!("status")));
            request.endpoint.starts_with("tasks.") && !asks_for_status
        })
        .map(|request| (request.endpoint.as_str(), request.body.clone()))
        .collect();
    let host = &requests[0].headers["x-clearml-worker"];
    let mut expected = expected_calls(&task, host);
    // When the first ping comes is left to the clock.
    let mut of_task = of_task;
    for calls in [&mut of_task, &mut expected] {
        calls.retain(|(call, _)| *call != "tasks.ping");
    }
    assert_eq!(of_task, expected);

    let pulled = format!("task {task} pulled from {queue} by worker host:0\n");
    check_events(&context, &pulled);
    let position = |endpoint: &str, has: &dyn Fn(&Value) -> bool| {
        let mut all = requests.iter();
        all.position(|request| request.endpoint == endpoint && has(&request.body))
            .unwrap_or_else(|| panic!("no {endpoint}"))
    };
    let pulled_at = position("tasks.started", &|body| {
        body["status_message"] == "pulled by agent"
    });
    let reported_at = position("workers.status_report", &|body| body["task"] == task);
    let logged_at = position("events.add_batch", &|_| true);
    let asked_at = position("tasks.get_by_id", &|_| true);
    assert!(pulled_at < logged_at && logged_at < asked_at && reported_at < asked_at);
    for never in [
        "tasks.enqueue",
        "tasks.reset",
        "events.add",
        "workers.activity_report",
    ] {
        assert_eq!(context.count(never), 0, "{never}");
    }
    assert_in_order(
        &daemon.output(),
        &[
            &pulled,
            &format!("Running task '{task}'\n"),
            "Storing stdout and stderr log to '",
            "Current configuration (",
            &format!("Executing task id [{task}]:\n"),
            "Starting Task Execution:\n\nhello\n",
            "Leaving process id ",
            &format!("DONE: Running task '{task}', exit status 0\n"),
            "Process completed successfully\n",
        ],
    );
    assert_eq!(daemon.terminate(), 254);
}

/// D-213: a task that cannot even be started has failed; it is neither enqueued again nor reset.
#[test]
fn a_task_that_cannot_start_has_failed() {
    let context = TestContext::new();
    let nowhere = Script::python("", "").with("repository", "/no/such/repository");
    let task = context.enqueue(nowhere);
    let _daemon = context.daemon();
    context.wait_for_status(&task, "failed");
    for never in ["tasks.enqueue", "tasks.reset"] {
        assert_eq!(context.count(never), 0, "{never}");
    }
    let queue = context.call("queues.get_by_id", json!({ "queue": context.queue() }));
    assert_eq!(queue["queue"]["entries"], json!([]));
}

/// D-247: a status that somebody has set meanwhile is kept, and the daemon goes on.
#[test]
fn a_final_status_that_is_refused_is_no_trouble() {
    let context = TestContext::new();
    let tasks = ["failed", "completed"].map(|call| {
        let gate = context.gate(call);
        let script = Script::shell(&format!("echo ready\n{}", gate.wait()));
        (call, gate, context.enqueue(script))
    });
    // The watch of a task looks once, and not again before its end.
    let _daemon = context.daemon_with(&[("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "3600")]);
    for (call, gate, task) in tasks {
        context.wait_for_console(&task, "ready\n");
        let is_look = |look: &RecordedRequest| {
            look.body["id"] == json!([task]) && look.body["only_fields"][0] == "status"
        };
        assert!(wait_until(|| context
            .requests("tasks.get_all")
            .iter()
            .any(is_look)));
        let body = json!({ "task": task, "status_reason": "by the program" });
        context.call(&format!("tasks.{call}"), body);
        gate.open();
        let end = || {
            let mut ends = context.requests("tasks.completed");
            ends.retain(|end| end.body["task"] == task);
            ends.pop().and_then(|end| end.status)
        };
        assert!(wait_until(|| end().is_some()));
        assert_eq!(end(), Some(if call == "failed" { 400 } else { 200 }));
        assert_eq!(context.status(&task), call);
    }
    context.wait_for_no_runs();
}

/// D-094, D-132, D-348: the second daemon has a place, an id and folders of its own; one for the same GPUs is refused.
#[test]
fn daemons_of_one_machine_do_not_share_folders() {
    let context = TestContext::new();
    let mut first = context.daemon();
    wait_for_rounds(&first, 1);
    let mut second = context.daemon();
    wait_for_rounds(&second, 1);
    let clearml = context.home().join(".clearml");
    for (daemon, id, suffix) in [(&first, "host:0", ""), (&second, "host:1", ".1")] {
        let output = daemon.output();
        for line in [
            format!("\nWorker \"{id}\" - Listening to queues:\n"),
            format!(
                "\nagent.venvs_dir = {}/venvs-builds{suffix}\n",
                clearml.display()
            ),
            format!(
                "\nagent.docker_apt_cache = {}/apt-cache{suffix}\n",
                clearml.display()
            ),
            format!("\nagent.vcs_cache.path = {}/vcs-cache\n", clearml.display()),
            format!(
                "\nagent.pip_download_cache.path = {}/pip-download-cache\n",
                clearml.display()
            ),
        ] {
            assert!(output.contains(&line), "{line} in {output}");
        }
    }
    assert!(clearml.join("venvs-builds.1").is_dir());
    let words = ["daemon", "--foreground", "--gpus", "0"];
    let mut of_gpu = context.start(&words);
    wait_for_rounds(&of_gpu, 1);
    let again = context.run(&words);
    assert_eq!(again.code, 1);
    let expected = "ERROR: Instance with the same WORKER_ID [host:gpu0] is already running\n";
    assert!(again.stdout.contains(expected), "{}", again.stdout);
    for daemon in [&mut first, &mut second, &mut of_gpu] {
        assert_eq!(daemon.terminate(), 254);
    }
}

/// A context whose agent speaks to the server through a proxy.
fn behind_proxy() -> (TestContext, FaultProxy) {
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    (context, proxy)
}

/// D-355: tags that cannot be read cost one warning and no task.
#[test]
fn an_error_for_the_tags_costs_no_task() {
    let (context, proxy) = behind_proxy();
    let daemon = context.daemon();
    wait_for_rounds(&daemon, 1);
    proxy.set(|call| (call == "queues.get_all").then_some(Fault::ServerError));
    assert!(wait_until(|| proxy.faults().len() >= 3));
    let task = context.enqueue(Script::shell("echo on"));
    context.wait_for_status(&task, "completed");
    let warning = "Warning: Could not read the tags of the queues: ";
    assert_eq!(
        daemon.output().matches(warning).count(),
        1,
        "{}",
        daemon.output()
    );
}

/// D-105: the first status report registers the worker as well.
#[test]
fn a_registration_that_is_refused_is_a_warning() {
    let (context, proxy) = behind_proxy();
    proxy.set(|call| (call == "workers.register").then_some(Fault::ServerError));
    let task = context.enqueue(Script::shell("true"));
    let daemon = context.daemon();
    context.wait_for_status(&task, "completed");
    let output = daemon.output();
    assert!(
        output.contains("could not register the worker: "),
        "{output}"
    );
    assert!(wait_until(|| context.workers() == ["host:0"]));
}

/// D-202: a ping at once, then one for each interval; 0 and words that are no number switch them off, and errors harm
/// nothing.
#[test]
fn a_running_task_is_pinged() {
    for (setting, pings) in [("0.5", true), ("0", false), ("word", false)] {
        let (context, proxy) = behind_proxy();
        context.configure(&format!("agent.task_ping_interval_sec: {setting}"));
        let mut count = 0;
        proxy.set(move |call| {
            count += usize::from(call == "tasks.ping");
            (call == "tasks.ping" && count == 2).then_some(Fault::ServerError)
        });
        let gate = context.gate("gate");
        let task = context.enqueue(Script::shell(&gate.wait()));
        let _daemon = context.daemon();
        context.wait_for_console(&task, "Starting Task Execution");
        let looks = |context: &TestContext| {
            let looks = context.requests("tasks.get_all");
            let status = json!(["status", "status_message"]);
            looks
                .iter()
                .filter(|look| look.body["only_fields"] == status)
                .count()
        };
        assert!(wait_until(|| looks(&context) >= 10));
        if pings {
            assert!(wait_until(|| context.count("tasks.ping") >= 3));
        }
        let times: Vec<_> = context
            .requests("tasks.ping")
            .iter()
            .map(|ping| ping.at)
            .collect();
        assert_eq!(times.is_empty(), !pings, "{setting}");
        for pair in times.windows(2) {
            let pause = pair[1].duration_since(pair[0]).unwrap();
            assert!(pause >= Duration::from_millis(450), "{pause:?}");
        }
        gate.open();
        context.wait_for_status(&task, "completed");
    }
}

/// D-216: however long a task runs, the server is not asked more often than the interval says.
#[test]
fn a_running_task_is_looked_at_once_in_an_interval() {
    let context = TestContext::new();
    let gate = context.gate("gate");
    let task = context.enqueue(Script::shell(&gate.wait()));
    let _daemon = context.daemon_with(&[("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "0.5")]);
    let looks = || {
        let mut looks = context.requests("tasks.get_all");
        looks.retain(|look| look.body["only_fields"] == json!(["status", "status_message"]));
        looks
    };
    assert!(wait_until(|| looks().len() >= 5));
    gate.open();
    context.wait_for_status(&task, "completed");
    for pair in looks()[..5].windows(2) {
        let pause = pair[1].at.duration_since(pair[0].at).unwrap();
        assert!(pause >= Duration::from_millis(450), "{pause:?}");
    }
}

/// D-148, D-173: the machine's figures come three seconds after the start and then in every interval, also while a task
/// runs; nothing else keeps the worker alive.
#[test]
fn figures_are_reported_in_every_interval() {
    let context = TestContext::new();
    let gate = context.gate("gate");
    let _daemon = context.daemon_with(&[("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "1")]);
    let full = || {
        let mut reports = context.requests("workers.status_report");
        reports.retain(|report| report.body["machine_stats"].is_object());
        reports
    };
    assert!(wait_until(|| full().len() >= 2));
    let registered = context.requests("workers.register")[0].at;
    let first = full()[0].at.duration_since(registered).unwrap();
    assert!(first >= Duration::from_millis(2900), "{first:?}");
    let task = context.enqueue(Script::shell(&gate.wait()));
    let of_task = || {
        full()
            .iter()
            .filter(|report| report.body["task"] == task)
            .count()
    };
    assert!(wait_until(|| of_task() >= 2));
    gate.open();
    context.wait_for_status(&task, "completed");
    for pair in full().windows(2) {
        let pause = pair[1].at.duration_since(pair[0].at).unwrap();
        assert!(pause >= Duration::from_millis(900), "{pause:?}");
    }
    let of_workers: Vec<String> = context
        .server
        .requests()
        .into_iter()
        .map(|request| request.endpoint)
        .filter(|endpoint| endpoint.starts_with("workers."))
        .collect();
    let known = [
        "workers.register",
        "workers.get_runtime_properties",
        "workers.status_report",
    ];
    assert!(
        of_workers.iter().all(|call| known.contains(&call.as_str())),
        "{of_workers:?}"
    );
    assert_eq!(context.count("workers.register"), 1);
}
