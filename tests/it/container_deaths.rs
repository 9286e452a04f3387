//! Worker, supervisor, container are killed while a task runs in a container: nothing is lost, nothing is doubled.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use serde_json::{Value, json};

use super::support::containers::{HeldEngine, containers, daemon, docker, image_line};
use super::support::{Agent, Counter, Script, TestContext, images, wait_until};

const COMPLETED: &str = "Process completed successfully";

/// A counting task in a container under a daemon.
struct Running {
    context: TestContext,
    daemon: Agent,
    counter: Counter,
    task: String,
}

impl Running {
    fn new() -> Self {
        let context = TestContext::new();
        let (counter, script) = Counter::new(&context, "");
        let task = context.enqueue(script);
        let daemon = daemon(&context, &images::python(), &[]);
        context.wait_for_console(&task, "line 5\n");
        Self {
            context,
            daemon,
            counter,
            task,
        }
    }

    fn supervisor(&self) -> Option<Pid> {
        let pid = self.context.journal()["supervisor"]["pid"].as_i64()?;
        Some(Pid::from_raw(pid.try_into().ok()?))
    }

    #[track_caller]
    fn complete(&self) {
        self.counter.stop();
        self.context.wait_for_status(&self.task, "completed");
        let console = self.context.console(&self.task);
        self.counter.assert_complete(&console, COMPLETED);
        assert!(wait_until(|| containers(&self.task).is_empty()));
        self.context.wait_for_no_runs();
    }
}

/// C-314
#[test]
fn a_container_survives_its_supervisor_and_is_adopted() {
    let mut running = Running::new();
    for _ in 0..2 {
        let supervisor = running.supervisor().expect("a supervisor");
        kill(supervisor, Signal::SIGKILL).unwrap();
        assert!(wait_until(|| running
            .supervisor()
            .is_some_and(|pid| pid != supervisor)));
        running.counter.wait_for(20);
    }
    running.complete();
    assert_eq!(running.daemon.terminate(), 254);
}

#[test]
fn a_container_survives_worker_and_supervisor() {
    let mut running = Running::new();
    let supervisor = running.supervisor().expect("a supervisor");
    running.daemon.kill();
    kill(supervisor, Signal::SIGKILL).unwrap();
    running.counter.wait_for(20);
    running.daemon = daemon(&running.context, &images::python(), &[]);
    running.complete();
    assert_eq!(running.daemon.terminate(), 254);
}

#[test]
fn a_container_that_somebody_removes_has_failed() {
    let running = Running::new();
    for container in containers(&running.task) {
        docker(&["rm", "--force", &container]);
    }
    running.context.wait_for_status(&running.task, "failed");
    let reason = running.context.reason(&running.task);
    assert!(
        reason.starts_with("worker execution exit code 137"),
        "{reason}"
    );
}

/// D-222, D-299: a container that has died with its machine, and the file with its output as well; the restart is injected.
/// The server has taken the last lines, and nobody has heard of it.
#[test]
fn a_container_of_an_earlier_boot_has_failed() {
    let mut running = Running::new();
    let last = || running.context.log(&running.task).pop().expect("an event");
    let text = |event: &Value| event["msg"].as_str().unwrap_or_default().to_owned();
    assert!(wait_until(|| text(&last()).starts_with("line ")));
    let supervisor = running.supervisor().expect("a supervisor");
    running.daemon.kill();
    kill(supervisor, Signal::SIGKILL).unwrap();
    running.counter.wait_for(20);
    for container in containers(&running.task) {
        docker(&["kill", &container]);
    }
    let context = &running.context;
    let mut journal = context.journal();
    fs::remove_file(journal["output"].as_str().unwrap()).unwrap();
    journal["boot"] = "another boot".into();
    if journal["progress"]["in_doubt"].is_null() {
        let last = last();
        let end = journal["progress"]["acknowledged"].as_u64().expect("bytes");
        // The container has a terminal, which ends lines with two characters.
        let length = text(&last).replace('\n', "\r\n").len() as u64;
        journal["progress"]["acknowledged"] = (end - length).into();
        journal["progress"]["in_doubt"] = json!({ "end": end, "timestamp": last["timestamp"] });
    }
    fs::write(context.runs()[0].join("journal.json"), journal.to_string()).unwrap();
    let mut daemon = daemon(context, &images::python(), &[]);
    context.wait_for_status(&running.task, "failed");
    assert_eq!(context.reason(&running.task), "agent host restarted");
    context.wait_for_no_runs();
    let console = context.console(&running.task);
    let (printed, end) = console
        .split_once("Process failed, agent host restarted (hint: ")
        .unwrap_or_else(|| panic!("{console}"));
    assert!(end.ends_with(')'), "{console}");
    running.counter.assert_complete(printed, "");
    assert_eq!(containers(&running.task), Vec::<String>::new());
    assert_eq!(daemon.terminate(), 254);
}

/// C-313
#[test]
fn a_worker_that_is_terminated_takes_its_container_with_it() {
    let mut running = Running::new();
    assert_eq!(running.daemon.terminate(), 254);
    running.context.wait_for_status(&running.task, "stopped");
    assert_eq!(running.context.reason(&running.task), "user abort");
    assert_eq!(containers(&running.task), Vec::<String>::new());
}

/// C-310: the engine makes what it was asked for, also where nobody waits for it any more.
#[test]
fn a_container_that_is_made_after_an_abort_does_not_stay() {
    let context = TestContext::new();
    let engine = HeldEngine::start();
    let task = context.enqueue(Script::shell("echo never"));
    let _daemon = daemon(
        &context,
        &images::python(),
        &[("DOCKER_HOST", &engine.host())],
    );
    engine.wait_for_request();
    context.call("tasks.stop", json!({ "task": task, "force": false }));
    context.wait_for_console(&task, "User aborted: stopping task (1)");
    engine.release();
    context.wait_for_status(&task, "stopped");
    context.wait_for_no_runs();
    // The engine has answered before.
    assert_eq!(containers(&task), Vec::<String>::new());
    assert!(!context.console(&task).contains("never"));
}

/// C-313, D-300: an agent that is told to end while its container installs kills it and says how the task ended, also with an
/// engine that takes its time.
#[test]
fn an_agent_that_leaves_does_not_wait_for_what_is_installed() {
    let context = TestContext::new();
    let engine = HeldEngine::holding(&["/stop?", "DELETE /"]);
    let task = context.create(Script::shell("echo never"));
    let container = json!({
        "image": images::python(),
        "arguments": image_line(&context, "").trim(),
        "setup_shell_script": "echo installing; while :; do sleep 0.1; done",
    });
    context.call("tasks.edit", json!({"task": task, "container": container}));
    let mut command = context.command(&["execute", "--cpu-only", "--id", &task, "--docker"]);
    command.env("DOCKER_HOST", engine.host());
    let mut agent = context.start_command(command);
    context.wait_for_console(&task, "\ninstalling\n");
    assert_eq!(agent.terminate(), 254);
    assert_eq!(context.status(&task), "stopped");
    assert_eq!(context.reason(&task), "user abort");
    let console = context.console(&task);
    assert!(!console.contains("\nclearml_agent: ERROR"), "{console}");
    let warning = "the server could not be told";
    assert!(!agent.output().contains(warning), "{}", agent.output());
    engine.release();
    assert!(wait_until(|| containers(&task).is_empty()));
}

/// C-310, C-313: what the engine makes when nobody can wait for it any more goes with the next agent.
#[test]
fn a_container_that_comes_when_its_agent_has_left_goes_with_the_next() {
    let context = TestContext::new();
    let engine = HeldEngine::start();
    let task = context.create(Script::shell("echo never"));
    let line = image_line(&context, &images::python());
    let words = ["execute", "--cpu-only", "--id", &task, "--docker", &line];
    let mut command = context.command(&words);
    command.env("DOCKER_HOST", engine.host());
    let mut agent = context.start_command(command);
    engine.wait_for_request();
    assert_eq!(agent.terminate(), 254);
    assert_eq!(context.status(&task), "stopped");
    let warning = "clearml_agent: Warning: the container could not be removed in time";
    assert!(agent.output().contains(warning), "{}", agent.output());
    engine.release();
    assert!(wait_until(|| containers(&task).len() == 1));
    let host = engine.host();
    let mut daemon = daemon(&context, &images::python(), &[("DOCKER_HOST", &host)]);
    assert!(wait_until(|| containers(&task).is_empty()));
    context.wait_for_no_runs();
    assert_eq!(context.status(&task), "stopped");
    assert_eq!(daemon.terminate(), 254);
}

/// C-205: what ends the shell of the container from outside is no mistake in anybody's script.
#[test]
fn a_container_that_is_stopped_while_it_installs_blames_nobody() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo never"));
    let container = json!({
        "image": images::python(),
        "arguments": image_line(&context, "").trim(),
        "setup_shell_script": "echo installing; while :; do sleep 0.1; done",
    });
    context.call("tasks.edit", json!({"task": task, "container": container}));
    let queue = context.queue();
    context.call("tasks.enqueue", json!({"task": task, "queue": queue}));
    let _daemon = daemon(&context, "unused:1", &[]);
    context.wait_for_console(&task, "\ninstalling\n");
    context.call("tasks.stop", json!({ "task": task, "force": false }));
    context.wait_for_status(&task, "stopped");
    context.wait_for_no_runs();
    let console = context.console(&task);
    assert!(!console.contains("\nclearml_agent: ERROR"), "{console}");
}
