//! Running workers are asked and told by their own user: `--status --json`, `--stop --drain`, the socket behind both.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::support::{Agent, Gate, Script, TestContext, wait_until};

/// A daemon whose task waits behind a gate.
struct Running {
    context: TestContext,
    daemon: Agent,
    task: String,
    gate: Gate,
}

impl Running {
    fn new() -> Self {
        let context = TestContext::new();
        let gate = context.gate("gate");
        let script = format!("echo up and running\n{}", gate.wait());
        let task = context.enqueue(Script::shell(&script));
        let daemon = context.daemon();
        context.wait_for_console(&task, "up and running\n");
        Self {
            context,
            daemon,
            task,
            gate,
        }
    }

    fn draining_line(&self) -> String {
        format!(
            "Draining clearml-agent worker_id=host:0 pid={}: running task {}\n",
            self.daemon.pid(),
            self.task
        )
    }

    fn queued(&self, task: &str) -> bool {
        let queue = json!({ "queue": self.context.queue() });
        let queue = self.context.call("queues.get_by_id", queue);
        queue["queue"]["entries"].to_string().contains(task)
    }
}

fn folder(context: &TestContext) -> PathBuf {
    context.home().join(".local/state/clearml-agent/control")
}

fn sockets(context: &TestContext) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(context)).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// What `--status --json` says.
#[track_caller]
pub(crate) fn status(context: &TestContext) -> Vec<Value> {
    let finished = context.run(&["daemon", "--status", "--json"]);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let status: Value = serde_json::from_str(&finished.stdout).expect(&finished.stdout);
    status["workers"].as_array().expect("a list").clone()
}

/// Says this line to the only socket there is.
#[track_caller]
fn say(context: &TestContext, line: &str) -> Value {
    let stream = UnixStream::connect(&sockets(context)[0]).expect("connected");
    // It may be refused before it was read.
    let _ = (&stream).write_all(line.as_bytes());
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).expect(&answer)
}

#[test]
fn a_worker_says_what_it_does_also_without_its_server() {
    let mut running = Running::new();
    let context = &running.context;
    context.server.stop_listening().unwrap();
    let workers = status(context);
    assert_eq!(workers.len(), 1, "{workers:?}");
    let worker = &workers[0];
    assert_eq!(worker["worker"], "host:0");
    assert_eq!(worker["pid"], running.daemon.pid());
    assert_eq!(worker["version"], "0.1.0");
    assert_eq!(worker["reference_version"], "3.0.3");
    assert_eq!(worker["queues"][0]["name"], "default");
    assert_eq!(worker["draining"], false);
    assert_eq!(worker["next_poll_seconds"], Value::Null);
    assert!(worker["uptime_seconds"].as_f64().unwrap() > 0.0);
    assert!(worker["last_server_contact_seconds"].as_f64().unwrap() >= 0.0);
    let task = &worker["tasks"][0];
    assert_eq!(task["task"], running.task);
    assert_eq!(task["queue"], worker["queues"][0]["id"]);
    assert_eq!(task["phase"], "running");
    let since = task["since"].as_str().unwrap();
    assert!(since.starts_with("20") && since.ends_with('Z'), "{since}");

    context.server.resume().unwrap();
    running.gate.open();
    context.wait_for_status(&running.task, "completed");
    let rests = wait_until(|| {
        let worker = &status(context)[0];
        worker["tasks"] == json!([]) && worker["next_poll_seconds"].as_f64().is_some()
    });
    assert!(rests, "{:?}", status(context));
    running.daemon.kill();
    assert_eq!(status(context), Vec::<Value>::new());
}

/// What the server does not have yet counts, and nothing else.
#[test]
fn output_that_waits_for_its_server_is_counted() {
    let context = TestContext::new();
    let [first, second] = ["first", "second"].map(|name| context.gate(name));
    let script = format!(
        "echo up and running\n{}\nhead -c 5000 /dev/zero | tr '\\0' x; echo\n{}",
        first.wait(),
        second.wait()
    );
    let task = context.enqueue(Script::shell(&script));
    let _daemon = context.daemon();
    context.wait_for_console(&task, "up and running\n");
    let spool = || status(&context)[0]["spool_bytes"].as_u64().unwrap();
    assert!(wait_until(|| spool() == 0));
    context.server.stop_listening().unwrap();
    first.open();
    assert!(wait_until(|| spool() >= 5001));
    context.server.resume().unwrap();
    assert!(wait_until(|| spool() == 0));
    second.open();
    context.wait_for_status(&task, "completed");
}

#[test]
fn the_socket_is_for_its_owner_alone_and_goes_with_its_worker() {
    let context = TestContext::new();
    fs::create_dir_all(folder(&context)).unwrap();
    let mut daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&folder(&context)), 0o700);
    assert_eq!(sockets(&context).len(), 1);
    assert_eq!(mode(&sockets(&context)[0]), 0o600);
    // What a killed worker leaves, the next one removes.
    daemon.kill();
    let left = sockets(&context);
    assert_eq!(left.len(), 1);
    let mut daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    let present = sockets(&context);
    assert!(
        present.len() == 1 && present != left,
        "{left:?} {present:?}"
    );
    assert_eq!(daemon.terminate(), 254);
    assert_eq!(sockets(&context), Vec::<PathBuf>::new());
}

#[test]
fn a_question_that_makes_no_sense_is_refused() {
    let context = TestContext::new();
    let mut daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    for (line, complaint) in [
        ("\n", "not a question that version 1 knows"),
        ("{\"version\":1,\"ask\":\"dance\"}\n", "dance"),
        ("{\"version\":2,\"ask\":\"drain\"}\n", "speaks version 1"),
        (&"x".repeat(10_000), "one line of at most 4096 bytes"),
    ] {
        let answer = say(&context, line);
        assert_eq!(answer["version"], 1);
        let error = answer["error"].as_str().expect("refused");
        assert!(error.contains(complaint), "{error}");
    }
    let answer = say(&context, "{\"version\":1,\"ask\":\"status\"}\n");
    assert_eq!(answer["status"]["worker"], "host:0");
    assert_eq!(answer["status"]["draining"], false);
    // Somebody who asks nothing keeps nobody waiting.
    let _silent: Vec<UnixStream> = (0..8)
        .map(|_| UnixStream::connect(&sockets(&context)[0]).unwrap())
        .collect();
    assert_eq!(status(&context).len(), 1);
    assert_eq!(daemon.terminate(), 254);
}

/// D-288: workers are chosen as `--stop` does it.
#[test]
fn a_worker_that_drains_ends_its_task_and_takes_no_more() {
    let mut running = Running::new();
    let context = &running.context;
    let next = context.enqueue(Script::shell("echo next"));
    let drained = context.run(&["daemon", "--stop", "--drain"]);
    assert_eq!(drained.code, 0);
    assert_eq!(drained.stdout, running.draining_line());
    let worker = &status(context)[0];
    assert_eq!(worker["draining"], true);
    assert_eq!(context.status(&running.task), "in_progress");
    // Once more changes nothing.
    let drained = context.run(&["daemon", "--stop", "--drain", "host:0"]);
    assert_eq!(drained.stdout, running.draining_line());

    running.gate.open();
    assert_eq!(running.daemon.wait(), 0);
    assert_eq!(context.status(&running.task), "completed");
    assert_eq!(context.status(&next), "queued");
    assert!(running.queued(&next));
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert_eq!(context.workers(), Vec::<String>::new());
    assert_eq!(sockets(context), Vec::<PathBuf>::new());
    context.wait_for_no_processes();
}

#[test]
fn an_idle_worker_drains_at_once() {
    let context = TestContext::new();
    // It would not look at its queues again for a long time.
    let mut daemon = context.daemon_with(&[("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "600")]);
    daemon.wait_for_output("No tasks in Queues");
    let drained = context.run(&["daemon", "--stop", "--drain", "host:0", "host:7"]);
    assert_eq!(drained.code, 1);
    let expected = format!(
        "Draining clearml-agent worker_id=host:0 pid={}: no running task\n",
        daemon.pid()
    );
    assert!(drained.stdout.starts_with(&expected), "{}", drained.stdout);
    let missing =
        "Could not find a running clearml-agent instance with worker_name=host worker_id=host:7\n";
    assert!(drained.stdout.ends_with(missing), "{}", drained.stdout);
    assert_eq!(daemon.wait(), 0);
    assert_eq!(context.workers(), Vec::<String>::new());
}

#[test]
fn a_stop_ends_a_draining_worker_at_once() {
    let mut running = Running::new();
    let context = &running.context;
    assert_eq!(context.run(&["daemon", "--stop", "--drain"]).code, 0);
    assert_eq!(context.run(&["daemon", "--stop"]).code, 0);
    assert_eq!(running.daemon.wait(), 254);
    assert_eq!(context.status(&running.task), "stopped");
}

/// Whoever takes over has not been told to drain.
#[test]
fn the_worker_after_a_draining_one_takes_tasks() {
    let mut running = Running::new();
    let context = &running.context;
    assert_eq!(context.run(&["daemon", "--stop", "--drain"]).code, 0);
    running.daemon.kill();
    let next = context.enqueue(Script::shell("echo next"));
    let mut daemon = context.daemon();
    daemon.wait_for_output("Adopted running task");
    running.gate.open();
    context.wait_for_status(&next, "completed");
    daemon.signal(Signal::SIGUSR1);
    assert_eq!(daemon.wait(), 0);
}

/// An agent of another kind, or an older one, is known by its slot alone.
#[test]
fn an_agent_without_a_socket_is_named_and_not_drained() {
    let context = TestContext::new();
    let mut daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    fs::remove_file(&sockets(&context)[0]).unwrap();
    let drained = context.run(&["daemon", "--stop", "--drain"]);
    assert_eq!(drained.code, 1);
    let expected = format!(
        "\nclearml_agent: ERROR: Could not drain clearml-agent worker_id=host:0 pid={}: it has no control socket\nhint: ",
        daemon.pid()
    );
    assert!(drained.stdout.starts_with(&expected), "{}", drained.stdout);
    let expected = json!([{
        "worker": "host:0",
        "pid": daemon.pid(),
        "error": "it has no control socket"
    }]);
    assert_eq!(Value::from(status(&context)), expected);
    assert!(!daemon.has_ended());
    assert_eq!(daemon.terminate(), 254);
}

#[test]
fn drain_and_json_need_what_they_belong_to() {
    let context = TestContext::new();
    for (words, missing) in [
        (["daemon", "--drain"], "--stop"),
        (["daemon", "--json"], "--status"),
    ] {
        let finished = context.run(&words);
        assert_eq!(finished.code, 2);
        let complaint = format!("the following arguments are required: {missing}");
        assert!(finished.stderr.contains(&complaint), "{}", finished.stderr);
    }
}

/// A worker of several tasks is one worker, and waits for all of them.
#[test]
fn a_service_worker_drains_when_its_last_task_has_ended() {
    let context = TestContext::new();
    let gates = ["first", "second"].map(|name| context.gate(name));
    let tasks = gates.each_ref().map(|gate| {
        let script = format!("echo up and running\n{}", gate.wait());
        context.enqueue(Script::shell(&script))
    });
    let words = ["daemon", "--queue", "default", "--foreground"];
    let mut daemon = context.start(&[&words[..], &["--services-mode", "5"]].concat());
    for task in &tasks {
        context.wait_for_console(task, "up and running\n");
    }
    let of = |worker: &Value| -> Vec<String> {
        let tasks = worker["tasks"].as_array().unwrap().iter();
        let mut tasks: Vec<String> = tasks
            .map(|task| task["task"].as_str().unwrap().to_owned())
            .collect();
        tasks.sort();
        tasks
    };
    let workers = status(&context);
    assert_eq!(workers.len(), 1, "{workers:?}");
    assert_eq!(workers[0]["worker"], "host:cpu:0");
    let mut expected = tasks.to_vec();
    expected.sort();
    assert_eq!(of(&workers[0]), expected);
    // While the queues are asked there is none.
    let next = || status(&context)[0]["next_poll_seconds"].clone();
    assert!(wait_until(|| next().is_number()));

    // Two lines would mean that its tasks count as others.
    let drained = context.run(&["daemon", "--stop", "--drain", "--cpu-only"]);
    assert_eq!(drained.code, 0);
    assert_eq!(drained.stdout.lines().count(), 1, "{}", drained.stdout);
    let start = format!(
        "Draining clearml-agent worker_id=host:cpu:0 pid={}: running tasks ",
        daemon.pid()
    );
    assert!(drained.stdout.starts_with(&start), "{}", drained.stdout);
    for task in &tasks {
        assert!(drained.stdout.contains(task), "{}", drained.stdout);
    }
    let next = context.enqueue(Script::shell("echo next"));
    gates[0].open();
    context.wait_for_status(&tasks[0], "completed");
    assert!(wait_until(|| of(&status(&context)[0]) == tasks[1..]));
    assert!(!daemon.has_ended());
    gates[1].open();
    assert_eq!(daemon.wait(), 0);
    assert_eq!(context.status(&tasks[1]), "completed");
    assert_eq!(context.status(&next), "queued");
    assert_eq!(context.leftovers(), Vec::<String>::new());
}
