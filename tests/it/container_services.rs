//! Several services at once, each an agent of its own in a container.

use serde_json::json;

use super::support::containers::{containers, docker, image_line};
use super::support::{Agent, Gate, Script, TestContext, images, wait_until};

struct Service {
    task: String,
    gate: Gate,
}

/// It outlives its agents, by intention: also where a test has failed.
impl Drop for Service {
    fn drop(&mut self) {
        for container in containers(&self.task) {
            docker(&["rm", "--force", &container]);
        }
    }
}

fn daemon(context: &TestContext) -> Agent {
    daemon_with(context, &[])
}

fn daemon_with(context: &TestContext, variables: &[(&str, &str)]) -> Agent {
    let line = image_line(context, &images::python());
    let mut command = context.command(&["daemon", "--queue", "default", "--foreground"]);
    command.args(["--services-mode", "3", "--docker", &line]);
    command.env("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.5");
    command.envs(variables.iter().copied());
    context.start_command(command)
}

fn enqueue(context: &TestContext, name: &str) -> Service {
    let gate = context.gate(name);
    let text = format!(
        "echo \"up as $CLEARML_WORKER_ID\"; {}; echo over",
        gate.wait()
    );
    Service {
        task: context.enqueue(Script::shell(&text)),
        gate,
    }
}

/// C-080, C-302, C-320, C-322, C-323: each is a worker, they outlive the worker that started them, and its next one has
/// no more than the limit.
#[test]
fn services_run_in_containers_as_workers_of_their_own() {
    let context = TestContext::new();
    let services: Vec<Service> = ["a", "b", "c", "d"]
        .map(|name| enqueue(&context, name))
        .into();
    let mut agent = daemon(&context);
    for service in &services[..3] {
        let worker = format!("host:cpu:0:service:{}", service.task);
        context.wait_for_console(&service.task, &format!("up as {worker}"));
        assert!(
            wait_until(|| context.workers().contains(&worker)),
            "{worker}"
        );
        let line = format!("Running task '{}'", service.task);
        // It comes by another way: the agent outside copies what the container prints.
        context.wait_for_console(&service.task, &line);
        let console = context.console(&service.task);
        assert_eq!(console.matches(&line).count(), 1, "{console}");
        assert_eq!(console.matches("\nup as ").count(), 1, "{console}");
        let line = format!("Service bootstrap completed: task '{}'", service.task);
        agent.wait_for_output(&line);
    }
    assert_eq!(context.status(&services[3].task), "queued");
    assert_eq!(agent.terminate(), 254);
    for service in &services[..3] {
        assert_eq!(context.status(&service.task), "in_progress");
        assert_eq!(containers(&service.task).len(), 1);
    }
    services[0].gate.open();
    context.wait_for_status(&services[0].task, "completed");
    assert!(wait_until(|| containers(&services[0].task).is_empty()));
    let mut agent = daemon(&context);
    context.wait_for_console(&services[3].task, "up as ");
    for service in &services[1..] {
        service.gate.open();
        context.wait_for_status(&service.task, "completed");
        assert!(wait_until(|| containers(&service.task).is_empty()));
        let console = context.console(&service.task);
        assert_eq!(console.matches("\nover\n").count(), 1, "{console}");
    }
    context.wait_for_no_runs();
    assert_eq!(agent.terminate(), 254);
}

/// A service whose container dies without a word does not stay in progress for ever.
#[test]
fn a_service_whose_container_is_killed_has_failed() {
    let context = TestContext::new();
    let service = enqueue(&context, "a");
    let _agent = daemon(&context);
    context.wait_for_console(&service.task, "up as ");
    for container in containers(&service.task) {
        docker(&["kill", &container]);
    }
    context.wait_for_status(&service.task, "failed");
    let reason = context.reason(&service.task);
    assert!(
        reason.starts_with("worker execution exit code 137"),
        "{reason}"
    );
}

/// D-248: the agent in the container ends well, and its program has not.
#[test]
fn a_service_that_fails_is_not_called_done() {
    let context = TestContext::new();
    let task = context.enqueue(Script::shell("exit 3"));
    let mut agent = daemon(&context);
    context.wait_for_status(&task, "failed");
    agent.wait_for_output(&format!("DONE: Running task '{task}' (failed)\n"));
    assert_eq!(context.reason(&task), "worker execution exit code 3");
    context.wait_for_no_runs();
    assert_eq!(agent.terminate(), 254);
}

/// C-321: it never was a service.
#[test]
fn a_service_whose_container_ends_early_has_failed() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo never"));
    let container = json!({"setup_shell_script": "exit 3"});
    context.call("tasks.edit", json!({"task": task, "container": container}));
    context.call(
        "tasks.enqueue",
        json!({"task": task, "queue": context.queue()}),
    );
    let mut agent = daemon(&context);
    context.wait_for_status(&task, "failed");
    let reason = "worker execution exit code 3: the setup script of the task ended the container with code 3 before the task was run";
    assert_eq!(context.reason(&task), reason);
    context.wait_for_no_runs();
    assert_eq!(containers(&task), Vec::<String>::new());
    assert_eq!(agent.terminate(), 254);
    assert!(
        !agent.output().contains("Service bootstrap completed"),
        "{}",
        agent.output()
    );
}

/// C-084, C-324: the engine starts a container again whose agent was killed, and the agent in it runs the same task again.
#[test]
fn a_service_with_a_restart_policy_runs_again() {
    let context = TestContext::enterprise();
    let gate = context.gate("gate");
    let text = format!(
        "cd {}; echo run >> runs; echo \"this is run $(wc -l < runs)\"; {}; echo over",
        context.folder().display(),
        gate.wait()
    );
    let service = Service {
        task: context.enqueue(Script::shell(&text)),
        gate,
    };
    let task = &service.task;
    let policy = [("CLEARML_AGENT_SERVICES_DOCKER_RESTART", "on-failure:5")];
    let mut agent = daemon_with(&context, &policy);
    context.wait_for_console(task, "this is run 1\n");
    let container = containers(task);
    assert_eq!(container.len(), 1);
    let pid = docker(&["inspect", "--format", "{{.State.Pid}}", &container[0]]);
    let pid = nix::unistd::Pid::from_raw(pid.trim().parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    context.wait_for_console(task, "this is run 2\n");
    assert_eq!(containers(task), container);
    service.gate.open();
    context.wait_for_status(task, "completed");
    assert!(wait_until(|| containers(task).is_empty()));
    context.wait_for_no_runs();
    let console = context.console(task);
    for number in 1..=2 {
        let line = format!("this is run {number}\n");
        assert_eq!(console.matches(&line).count(), 1, "{console}");
    }
    assert_eq!(agent.terminate(), 254);
}
