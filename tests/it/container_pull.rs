//! Images that are not on the machine: logins, policies, an abort in the middle. The registry is a stub, the engine is real.

use std::fs;

use serde_json::json;

use super::support::containers::{containers, daemon, docker};
use super::support::{Registry, Script, TestContext, images, registry::LOGIN, wait_until};

fn enqueue(context: &TestContext, image: &str, arguments: &str) -> String {
    let task = context.create(Script::shell("echo never"));
    let container = json!({"image": image, "arguments": arguments});
    context.call("tasks.edit", json!({"task": task, "container": container}));
    context.call(
        "tasks.enqueue",
        json!({"task": task, "queue": context.queue()}),
    );
    task
}

#[track_caller]
fn error(context: &TestContext, task: &str) -> String {
    context.wait_for_status(task, "failed");
    let console = context.console(task);
    let line = console
        .lines()
        .find(|line| line.starts_with("clearml_agent: ERROR: "));
    line.unwrap_or_else(|| panic!("no error in\n{console}"))
        .to_owned()
}

fn log_in(context: &TestContext, registry: &Registry) {
    let folder = context.home().join(".docker");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), registry.logins()).unwrap();
}

/// C-086, D-210: with the login of the user's own file the image comes; nobody sees the password. It has no shell, which is
/// said in one line (C-207).
#[test]
fn an_image_comes_with_the_login_of_its_registry() {
    let context = TestContext::new();
    let registry = Registry::start();
    let image = registry.image();
    let never = enqueue(&context, &image, "--pull never");
    let denied = enqueue(&context, &image, "");
    let mut agent = daemon(&context, "unused:1", &[]);
    let line = error(&context, &never);
    assert!(
        line.contains("is not on this machine, and is not to be pulled"),
        "{line}"
    );
    let line = error(&context, &denied);
    assert!(line.contains("could not pull the image"), "{line}");
    let console = context.console(&denied);
    assert!(
        console.contains("hint: check its name, and log in with `docker login`"),
        "{console}"
    );
    log_in(&context, &registry);
    let task = enqueue(&context, &image, "");
    let line = error(&context, &task);
    assert!(line.contains("has neither bash nor sh"), "{line}");
    assert_eq!(
        context.reason(&task).split(':').next(),
        Some("worker execution exit code 127")
    );
    let console = context.console(&task);
    assert!(
        console.contains(&format!("Unable to find image '{image}' locally")),
        "{console}"
    );
    assert!(console.contains("Pull complete"), "{console}");
    assert_eq!(agent.terminate(), 254);
    let everything = format!("{console}{}", agent.output());
    assert!(!everything.contains(LOGIN.1), "{everything}");
    docker(&["rmi", "--force", &image]);
}

/// C-086: an abort ends the pull, and nothing is started.
#[test]
fn an_abort_ends_a_pull() {
    let context = TestContext::new();
    let registry = Registry::start();
    registry.hold();
    log_in(&context, &registry);
    let task = enqueue(&context, &registry.image(), "");
    let _agent = daemon(&context, "unused:1", &[]);
    assert!(wait_until(|| registry.is_asked_for_layer()));
    context.call("tasks.stop", json!({ "task": task, "force": false }));
    context.wait_for_status(&task, "stopped");
    context.wait_for_no_runs();
    assert_eq!(containers(&task), Vec::<String>::new());
}

/// The image of a waiting task is brought while another one runs.
#[test]
fn the_image_of_a_waiting_task_is_pulled_in_advance() {
    let context = TestContext::new();
    let registry = Registry::start();
    let image = registry.image();
    log_in(&context, &registry);
    let gate = context.gate("first");
    let first = context.enqueue(Script::shell(&format!("echo begun\n{}", gate.wait())));
    let second = enqueue(&context, &image, "");
    let mut agent = daemon(&context, &images::python(), &[]);
    context.wait_for_console(&first, "begun");
    // A name that is not there is no error here.
    let is_here = || !docker(&["images", "--quiet", &image]).is_empty();
    assert!(wait_until(is_here));
    assert_eq!(context.status(&second), "queued");
    gate.open();
    let line = error(&context, &second);
    assert!(line.contains("has neither bash nor sh"), "{line}");
    let console = context.console(&second);
    assert!(!console.contains("Unable to find image"), "{console}");
    assert_eq!(agent.terminate(), 254);
    docker(&["rmi", "--force", &image]);
}
