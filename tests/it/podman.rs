//! Tasks in containers of podman, by its socket: what they print, how they end, what is left.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::support::containers::image_line;
use super::support::{Agent, Counter, Podman, Script, TestContext, wait_until};

pub(super) fn daemon(context: &TestContext, podman: &Podman) -> Agent {
    let mut command = context.command(&["daemon", "--queue", "default", "--foreground"]);
    command.args([
        "--cpu-only",
        "--podman",
        &image_line(context, &podman.image),
    ]);
    command.envs(podman.variables());
    context.start_command(command)
}

#[track_caller]
fn assert_nothing_left(context: &TestContext, podman: &Podman) {
    context.wait_for_no_runs();
    context.wait_for_no_processes();
    assert_eq!(podman.containers(), Vec::<String>::new());
    assert_eq!(context.leftovers(), Vec::<String>::new());
}

/// C-001, C-003, C-087, C-140, C-300
#[test]
fn a_task_runs_in_a_container_of_podman_and_leaves_nothing() {
    let context = TestContext::new();
    let podman = Podman::start(&context);
    let text = "echo \"I am $CLEARML_TASK_ID\"; tty; printf 'a\\rb\\n'; seq 1 50000; exit 3";
    let task = context.enqueue(Script::shell(text));
    let mut daemon = daemon(&context, &podman);
    context.wait_for_status(&task, "failed");
    let console = context.console(&task);
    assert_eq!(
        context.reason(&task),
        "worker execution exit code 3",
        "{console}"
    );
    let numbers: Vec<String> = (1..=50000).map(|number| number.to_string()).collect();
    for text in [
        &*format!(
            "Running Task {task} inside default docker: {}",
            podman.image
        ),
        &format!("I am {task}\n"),
        "/dev/pts/0\n",
        &format!("b\n{}\n", numbers.join("\n")),
        "Process failed, exit code 3",
    ] {
        assert!(console.contains(text), "no {text} in\n{console}");
    }
    assert_eq!(daemon.terminate(), 254);
    assert_nothing_left(&context, &podman);
}

/// C-088, C-310, C-311, C-312: it is known by its id, whatever podman says about its command.
#[test]
fn an_abort_stops_the_container_of_podman() {
    let context = TestContext::new();
    let podman = Podman::start(&context);
    let folder = context.folder().display();
    let text = format!(
        "trap 'echo asked > {folder}/asked; exit 1' TERM; echo begun; while :; do sleep 0.1; done"
    );
    let task = context.enqueue(Script::shell(&text));
    let mut daemon = daemon(&context, &podman);
    context.wait_for_console(&task, "begun");
    assert_eq!(podman.containers().len(), 1);
    context.call("tasks.stop", json!({ "task": task, "force": false }));
    context.wait_for_status(&task, "stopped");
    assert_eq!(context.reason(&task), "task was stopped by tasks.stop");
    assert!(wait_until(|| podman.containers().is_empty()));
    assert!(context.folder().join("asked").exists());
    assert_eq!(daemon.terminate(), 254);
    assert_nothing_left(&context, &podman);
}

/// C-314: its console goes on where it stopped.
#[test]
fn a_container_of_podman_survives_its_supervisor() {
    let context = TestContext::new();
    let podman = Podman::start(&context);
    let (counter, script) = Counter::new(&context, "");
    let task = context.enqueue(script);
    let mut daemon = daemon(&context, &podman);
    context.wait_for_console(&task, "line 5\n");
    let supervisor = || context.journal()["supervisor"]["pid"].as_i64();
    let first = supervisor().expect("a supervisor");
    kill(Pid::from_raw(first.try_into().unwrap()), Signal::SIGKILL).unwrap();
    assert!(wait_until(|| supervisor().is_some_and(|pid| pid != first)));
    counter.wait_for(20);
    counter.stop();
    context.wait_for_status(&task, "completed");
    counter.assert_complete(&context.console(&task), "Process completed successfully");
    assert_eq!(daemon.terminate(), 254);
    assert_nothing_left(&context, &podman);
}

/// C-087: Debian's podman leaves devices of CDI out where the container is made over its socket, GPUs among them; no task runs
/// without the GPUs that it asks for.
#[test]
fn a_task_that_podman_would_give_no_gpus_fails() {
    let context = TestContext::new();
    let podman = Podman::start(&context);
    let enqueue = |arguments: &str| {
        let task = context.create(Script::shell("echo ran"));
        let arguments = format!("--network host {arguments}");
        let container = json!({"image": podman.image, "arguments": arguments});
        context.call("tasks.edit", json!({"task": task, "container": container}));
        context.call(
            "tasks.enqueue",
            json!({"task": task, "queue": context.queue()}),
        );
        task
    };
    let version = podman.must(&["version", "--format", "{{.Client.Version}}"]);
    let version = version.trim();
    let mut daemon = daemon(&context, &podman);
    for (arguments, device) in [
        ("--gpus all", "nvidia.com/gpu=all"),
        ("--gpus 0,1", "nvidia.com/gpu=0"),
        ("--device test.com/device=a", "test.com/device=a"),
    ] {
        let task = enqueue(arguments);
        context.wait_for_status(&task, "failed");
        let console = context.console(&task);
        let why = format!("podman {version} does not give `{device}` to a container: ");
        let said = format!("\nclearml_agent: ERROR: {why}");
        assert_eq!(console.matches(&said).count(), 1, "{console}");
        assert!(
            console.contains("\nhint: podman 5.4 or newer does"),
            "{console}"
        );
        let reason = context.reason(&task);
        let start = format!("worker execution exit code 1: {why}");
        assert!(reason.starts_with(&start), "{reason}");
        assert!(!console.contains("\nran\n"), "{console}");
    }
    let without = enqueue("-e A=1");
    context.wait_for_status(&without, "completed");
    assert_eq!(daemon.terminate(), 254);
    assert_nothing_left(&context, &podman);
}
