//! Tasks in containers of the real engine: what they print, how they end, what is left.

use std::net::UdpSocket;

use serde_json::json;

use super::support::containers::{containers, daemon, distant_engine, docker, image_line};
use super::support::{Repository, Script, TestContext, download_cache, images, wait_until};

#[track_caller]
fn assert_nothing_left(context: &TestContext, task: &str) {
    context.wait_for_no_runs();
    context.wait_for_no_processes();
    assert_eq!(containers(task), Vec::<String>::new());
    assert_eq!(context.leftovers(), Vec::<String>::new());
}

/// C-140, C-200, C-300, C-303, C-305, D-209, D-311
#[test]
fn a_task_runs_in_a_container_and_leaves_nothing() {
    let context = TestContext::new();
    let image = images::python();
    let text =
        "cat /etc/hostname; echo \"I am $CLEARML_TASK_ID in $CLEARML_DOCKER_IMAGE\"; tty; exit 3";
    let task = context.enqueue(Script::shell(text));
    let mut daemon = daemon(&context, &image, &[]);
    context.wait_for_status(&task, "failed");
    let console = context.console(&task);
    let reason = context.reason(&task);
    assert_eq!(reason, "worker execution exit code 3", "{console}");
    for line in [
        &*format!(
            "Running Task {task} inside default docker: {image} arguments: ['--network', 'host', '-v',"
        ),
        "Executing: ['docker', 'run', '-t', ",
        &format!("I am {task} in {image}\n"),
        "/dev/pts/0\n",
        "Process failed, exit code 3",
    ] {
        assert!(console.contains(line), "no {line} in\n{console}");
    }
    assert_eq!(daemon.terminate(), 254);
    assert_nothing_left(&context, &task);
}

/// C-306, E-004
#[test]
fn execute_runs_a_task_in_a_container() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo inside; exit 3"));
    let line = image_line(&context, &images::python());
    let execute = |variables: &[(&str, &str)]| {
        let mut command =
            context.command(&["execute", "--cpu-only", "--id", &task, "--docker", &line]);
        command.envs(variables.iter().copied());
        context.start_command(command).wait()
    };
    assert_eq!(execute(&[]), 0);
    assert_eq!(context.status(&task), "failed");
    assert!(
        context.console(&task).contains("\ninside\n"),
        "{}",
        context.console(&task)
    );
    context.call("tasks.reset", json!({"task": task, "force": true}));
    assert_eq!(execute(&[("CLEARML_AGENT_PROPAGATE_EXITCODE", "1")]), 3);
    assert_nothing_left(&context, &task);
}

/// What is done before the agent inside begins has its time as well, and the program knows nothing of that.
#[test]
fn the_time_before_the_agent_inside_counts() {
    let context = TestContext::new();
    let task = context.create(Script::shell("env | grep EARLIER; echo over"));
    let line = image_line(&context, &images::python());
    let words = ["execute", "--cpu-only", "--timings", "--id", &task];
    let mut command = context.command(&words);
    command.args(["--docker", &line]);
    assert_eq!(context.start_command(command).wait(), 0);
    let console = context.console(&task);
    assert!(console.contains("\nover\n"), "{console}");
    assert!(!console.contains("EARLIER"), "{console}");
    let (_, line) = console.split_once("\nPrepared in ").unwrap_or_default();
    let line = line.lines().next().unwrap_or_default();
    assert!(line.contains("container "), "{console}");
    let (_, table) = console.split_once("\nTimings (").unwrap_or_default();
    let steps: Vec<&str> = table.lines().skip(1).take(3).collect();
    let names = steps
        .iter()
        .filter_map(|step| step.split_whitespace().nth(2));
    let names: Vec<&str> = names.collect();
    assert_eq!(names, ["image", "container", "task"], "{console}");
}

/// C-088, C-310, C-311, C-312: the container gets the time that the official agent gives it, and is gone before the status is set.
#[test]
fn an_abort_stops_exactly_this_container() {
    let context = TestContext::new();
    let folder = context.folder().display();
    let text = format!(
        "trap 'echo asked > {folder}/asked; exit 1' TERM; echo begun; while :; do sleep 0.1; done"
    );
    let task = context.enqueue(Script::shell(&text));
    let _daemon = daemon(&context, &images::python(), &[]);
    context.wait_for_console(&task, "begun");
    let running = containers(&task);
    assert_eq!(running.len(), 1);
    context.call("tasks.stop", json!({ "task": task, "force": false }));
    context.wait_for_status(&task, "stopped");
    assert_eq!(context.reason(&task), "task was stopped by tasks.stop");
    assert!(wait_until(|| containers(&task).is_empty()));
    assert!(context.folder().join("asked").exists());
}

/// The reason says that it was memory, and whose limit.
#[test]
fn a_container_without_memory_is_named_so() {
    let context = TestContext::new();
    let text = "echo filling; exec tail /dev/zero";
    let container = json!({
        "image": images::python(),
        "arguments": "--network host --memory 32m --memory-swap 32m",
    });
    let task = context.create(Script::shell(text));
    context.call("tasks.edit", json!({"task": task, "container": container}));
    context.call(
        "tasks.enqueue",
        json!({"task": task, "queue": context.queue()}),
    );
    let _daemon = daemon(&context, "unused:1", &[]);
    context.wait_for_status(&task, "failed");
    let reason = context.reason(&task);
    assert!(
        reason.starts_with("worker execution exit code 137: out of memory"),
        "{reason}\n{}",
        context.console(&task)
    );
}

/// C-016, C-330 and what else is wrong with a container before its task runs: one line, the right code, the next task.
#[test]
fn what_is_wrong_with_a_container_is_said_in_one_line() {
    let context = TestContext::new();
    let image = images::python();
    let cases = [
        (json!({"image": image, "arguments": "-e A='b"}), "quote", 1),
        (
            json!({"image": image, "arguments": "--no-such-flag 3"}),
            "--no-such-flag",
            1,
        ),
        (json!({"image": "Not A Name"}), "Not A Name", 125),
        (
            json!({"image": "localhost:1/no/such:image"}),
            "could not pull the image `localhost:1/no/such:image`",
            125,
        ),
        (
            json!({"image": image, "arguments": "--network no-such-network"}),
            "no-such-network",
            125,
        ),
        (
            json!({"image": image, "arguments": "--network host --entrypoint /bin/true"}),
            "entrypoint",
            1,
        ),
        (
            json!({"image": image, "arguments": "--mount type=bind,source=/no/such,target=/x"}),
            "bind source path does not exist: /no/such",
            125,
        ),
    ];
    let tasks: Vec<String> = cases
        .iter()
        .map(|(container, ..)| {
            let task = context.create(Script::shell("echo never"));
            context.call("tasks.edit", json!({"task": task, "container": container}));
            context.call(
                "tasks.enqueue",
                json!({"task": task, "queue": context.queue()}),
            );
            task
        })
        .collect();
    context.configure("agent.forbidden_docker_args: []");
    let mut daemon = daemon(&context, &image, &[]);
    for (task, (container, words, code)) in tasks.iter().zip(&cases) {
        context.wait_for_status(task, "failed");
        let console = context.console(task);
        let line = console
            .lines()
            .find(|line| line.starts_with("clearml_agent: ERROR: "));
        let line = line.unwrap_or_else(|| panic!("{container}: no error in\n{console}"));
        assert!(line.contains(words), "{container}: {line}");
        assert!(!console.contains("never"), "{container}: {console}");
        let reason = context.reason(task);
        let expected = format!("worker execution exit code {code}: ");
        assert!(reason.starts_with(&expected), "{container}: {reason}");
        assert!(reason.contains(words), "{container}: {reason}");
    }
    let next = context.enqueue(Script::shell("echo next"));
    context.wait_for_status(&next, "completed");
    assert_eq!(daemon.terminate(), 254);
    for task in &tasks {
        assert_nothing_left(&context, task);
    }
}

/// C-060, C-330: the engine finds out when the container is to start.
#[test]
fn a_port_that_is_taken_is_said_in_one_line() {
    let context = TestContext::new();
    let image = images::python();
    // Ports of TCP that are taken when the agent looks are moved.
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let arguments = format!("-p {address}:80/udp");
    let task = enqueue(&context, &image, &arguments);
    let mut daemon = daemon(&context, &image, &[]);
    context.wait_for_status(&task, "failed");
    let console = context.console(&task);
    let why = format!(
        "the port `{address}` of this machine is taken: another program or container listens there"
    );
    let said = format!("\nclearml_agent: ERROR: {why}\nhint: choose another port with `-p`, ");
    assert_eq!(console.matches(&said).count(), 1, "{console}");
    let errors = console.lines();
    let errors = errors.filter(|line| line.starts_with("clearml_agent: ERROR"));
    assert_eq!(errors.count(), 1, "{console}");
    assert_eq!(
        context.reason(&task),
        format!("worker execution exit code 125: {why}")
    );
    let next = context.enqueue(Script::shell("echo next"));
    context.wait_for_status(&next, "completed");
    assert_eq!(daemon.terminate(), 254);
    assert_nothing_left(&context, &task);
}

/// C-207
#[test]
fn an_image_without_bash_runs_the_task_by_sh() {
    let context = TestContext::new();
    let image = "clearml-agent-test-without-bash:1";
    let made = docker(&["create", &images::python(), "rm", "/bin/bash"]);
    docker(&["start", "--attach", made.trim()]);
    docker(&["commit", made.trim(), image]);
    docker(&["rm", made.trim()]);
    let script = Script::shell("echo in sh").with("binary", "/bin/sh");
    let task = context.enqueue(script);
    let _daemon = daemon(&context, image, &[]);
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    assert!(console.contains("\nin sh\n"), "{console}");
}

const TRAINING: &str = "import pathlib, six
from clearml import Task

task = Task.init(auto_connect_frameworks=False, auto_resource_monitoring=False)
print('six', six.__version__, 'with', pathlib.Path('data.txt').read_text().split())
task.get_logger().report_scalar('loss', 'train', 0.5, 1)
";

/// C-108, C-120, C-231, C-302: code from git with changes, packages and the SDK, all in the container.
#[test]
fn a_python_task_finds_code_packages_and_sdk_in_its_container() {
    let context = TestContext::new();
    let files = [("main.py", TRAINING), ("data.txt", "before\n")];
    let repository = Repository::create(&context.folder().join("repository"), &files);
    let diff = repository.append("data.txt", "after\n");
    let script = Script::python(&diff, "six==1.16.0\nclearml==2.1.12")
        .with("repository", repository.url())
        .with("branch", "main")
        .with("version_num", repository.commit())
        .with("entry_point", "main.py");
    let task = context.enqueue(script);
    let cache = download_cache().display().to_string();
    context.configure(&format!("agent.docker_pip_cache: \"{cache}\""));
    let variables = [(
        "CLEARML_AGENT_EXTRA_DOCKER_ARGS",
        "-e GIT_CONFIG_COUNT=1 -e GIT_CONFIG_KEY_0=safe.directory -e GIT_CONFIG_VALUE_0=*",
    )];
    let _daemon = daemon(&context, &images::python(), &variables);
    context.wait_for_console(&task, "Collecting clearml");
    context.wait_for_console(&task, "Environment setup completed successfully");
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    assert!(
        console.contains("six 1.16.0 with ['before', 'after']"),
        "{console}"
    );
    let scalars = context.requests("events.add_batch");
    assert!(
        scalars
            .iter()
            .any(|request| request.body.to_string().contains("training_stats_scalar"))
    );
}

/// C-236: an engine that does not see this machine's files gets them over its API.
#[test]
fn a_distant_engine_gets_the_agent_and_its_configuration() {
    let context = TestContext::new();
    let engine = format!("tcp://{}", distant_engine());
    let gate = context.gate("gate");
    let task = context.enqueue(Script::shell(&format!("echo inside; {}", gate.wait())));
    let _daemon = daemon(&context, &images::python(), &[("DOCKER_HOST", &engine)]);
    context.wait_for_console(&task, "\ninside\n");
    let found = containers(&task);
    let binds = docker(&[
        "inspect",
        "--format",
        "{{json .HostConfig.Binds}}",
        &found[0],
    ]);
    assert!(!binds.contains("/.clearml-agent"), "{binds}");
    assert!(!binds.contains("clearml.conf"), "{binds}");
    gate.open();
    context.wait_for_status(&task, "completed");
}

fn enqueue(context: &TestContext, image: &str, arguments: &str) -> String {
    let task = context.create(Script::shell("echo ran"));
    let container = json!({"image": image, "arguments": arguments});
    context.call("tasks.edit", json!({"task": task, "container": container}));
    let queue = context.queue();
    context.call("tasks.enqueue", json!({"task": task, "queue": queue}));
    task
}

/// What has nowhere to write is told what its container needs; that helps.
#[test]
fn a_container_without_a_place_to_write_is_told_what_helps() {
    let context = TestContext::new();
    let image = images::python();
    let refused = ["--read-only", "--user 54321"]
        .map(|arguments| enqueue(&context, &image, &format!("--network host {arguments}")));
    let helped = [
        "--read-only -e HOME=/tmp --tmpfs /tmp:exec",
        "--user 54321 -e HOME=/tmp",
    ]
    .map(|arguments| enqueue(&context, &image, &format!("--network host {arguments}")));
    let _daemon = daemon(&context, "unused:1", &[]);
    for task in &refused {
        context.wait_for_status(task, "failed");
        let console = context.console(task);
        let hint = "hint: put `-e HOME=/tmp` into the container's arguments, with `--tmpfs /tmp:exec` where its root is read-only";
        assert_eq!(console.matches(hint).count(), 1, "{console}");
    }
    for task in &helped {
        context.wait_for_status(task, "completed");
        assert!(context.console(task).contains("\nran\n"));
    }
}

/// C-231: packages with Python are for tasks that need it.
#[test]
fn a_shell_task_needs_no_python_in_its_image() {
    let context = TestContext::new();
    let task = enqueue(&context, &images::bare(), "--network host");
    let _daemon = daemon(&context, "unused:1", &[]);
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    assert!(console.contains("\nran\n"), "{console}");
    assert!(!console.contains("Installing packages"), "{console}");
}

/// Before anything is built: an address that is not reached from inside is one line.
#[test]
fn a_container_that_does_not_reach_the_server_is_told_so() {
    let context = TestContext::new();
    let task = |arguments: &str, setup: &str| {
        let task = context.create(Script::python("print('never')", "six==1.16.0"));
        let container = json!({
            "image": images::python(), "arguments": arguments, "setup_shell_script": setup,
        });
        context.call("tasks.edit", json!({"task": task, "container": container}));
        let queue = context.queue();
        context.call("tasks.enqueue", json!({"task": task, "queue": queue}));
        task
    };
    let tasks = [
        task("--network none", ""),
        task("--network none", "echo the script"),
        // A proxy at which nobody listens.
        task("--network host -e http_proxy=http://127.0.0.1:9", ""),
    ];
    let mut daemon = daemon(&context, "unused:1", &[]);
    for task in &tasks {
        context.wait_for_status(task, "failed");
        let console = context.console(task);
        let server = context.server.url();
        let line = format!(
            "clearml_agent: ERROR: the API server {server} cannot be reached from inside the container: connection refused\n\
             hint: check the network, the proxy and the firewall of the container; with `--network host`"
        );
        assert_eq!(console.matches(&line).count(), 1, "{console}");
        let errors = console
            .lines()
            .filter(|line| line.starts_with("clearml_agent: ERROR"));
        assert_eq!(errors.count(), 1, "{console}");
        assert!(!console.contains("Collecting"), "{console}");
        let reason = format!(
            "worker execution exit code 1: the API server {server} cannot be reached from inside the container: connection refused"
        );
        assert_eq!(context.reason(task), reason);
    }
    let console = context.console(&tasks[1]);
    assert!(console.contains("\nthe script\n"), "{console}");
    assert_eq!(daemon.terminate(), 254);
}

/// A server on the loopback address alone is not behind the gateway of the container's network.
#[test]
fn a_server_that_listens_for_its_own_machine_alone_is_named_so() {
    let context = TestContext::new();
    let task = enqueue(&context, &images::python(), "");
    let _daemon = daemon(&context, "unused:1", &[]);
    context.wait_for_status(&task, "failed");
    let console = context.console(&task);
    let server = context.server.url();
    let there = server.replace("127.0.0.1", "host.docker.internal");
    let line = format!(
        "NOTICE: the container reaches api.api_server {server} of this machine as {there}\n"
    );
    assert!(console.contains(&line), "{console}");
    let line = format!("ERROR: the API server {there} cannot be reached from inside the container");
    assert_eq!(console.matches(&line).count(), 1, "{console}");
    let hint = "hint: this is the machine of the container, by the gateway of its network: let the server listen there";
    assert!(console.contains(hint), "{console}");
}

/// C-002a: nothing has been done to the task.
#[test]
fn a_machine_without_docker_refuses_before_it_takes_the_task() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo never"));
    let mut command = context.command(&["execute", "--id", &task, "--docker", "image:1"]);
    command.env("PATH", context.folder());
    let mut agent = context.start_command(command);
    assert_eq!(agent.wait(), 1);
    let output = agent.output();
    assert!(
        output.contains("Running in Docker mode, 'docker' command was not found"),
        "{output}"
    );
    assert_eq!(context.status(&task), "created");
}

/// C-300: what the arguments say about the log does not cost a line.
#[test]
fn a_container_keeps_its_output_whatever_its_log_is_to_be() {
    let context = TestContext::new();
    let text = "for number in $(seq 1 4000); do echo \"line $number\"; done";
    let task = |log: &str| {
        let task = context.create(Script::shell(text));
        let arguments = format!("--network host {log}");
        let container = json!({"image": images::python(), "arguments": arguments});
        context.call("tasks.edit", json!({"task": task, "container": container}));
        let queue = context.queue();
        context.call("tasks.enqueue", json!({"task": task, "queue": queue}));
        task
    };
    let tasks = ["--log-opt max-size=20k", "--log-driver none"].map(task);
    let _daemon = daemon(&context, "unused:1", &[]);
    for task in &tasks {
        context.wait_for_status(task, "completed");
        let console = context.console(task);
        assert!(console.contains("WARNING: `--log-driver`"), "{console}");
        let lines: Vec<&str> = console
            .lines()
            .filter(|line| line.starts_with("line "))
            .collect();
        let expected: Vec<String> = (1..=4000).map(|number| format!("line {number}")).collect();
        assert_eq!(lines, expected);
    }
}

/// C-140: a plan shows the mounts of the run, but for the letters of its folder.
#[test]
fn the_mounts_of_a_plan_are_those_of_the_run() {
    let context = TestContext::new();
    std::fs::create_dir(context.home().join(".ssh")).unwrap();
    std::fs::write(context.home().join(".gitconfig"), "[user]\n").unwrap();
    let task = context.create(Script::shell("echo inside"));
    let line = image_line(&context, &images::python());
    let words = ["execute", "--cpu-only", "--id", &task, "--docker", &line];
    let planned = context.run(&[&words[..], &["--plan", "--json"]].concat());
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    assert!(!context.home().join(".clearml/agent-runner").exists());
    let plan: serde_json::Value = serde_json::from_str(&planned.stdout).unwrap();
    let argv = plan["container"]["argv"].as_array().unwrap();
    let argv: Vec<&str> = argv.iter().filter_map(|word| word.as_str()).collect();
    let planned = argv.windows(2).filter(|pair| pair[0] == "-v");
    let general = |mount: &str| match mount.split_once(&format!("{task}.")) {
        Some((before, after)) => format!("{before}RUN{}", &after[8..]),
        None => mount.to_owned(),
    };
    let planned: Vec<String> = planned.map(|pair| general(pair[1])).collect();
    assert_eq!(context.start(&words).wait(), 0);
    let console = context.console(&task);
    let executed = console.lines().find(|line| line.starts_with("Executing: "));
    let executed = executed.unwrap().split("'-v', '").skip(1);
    let executed: Vec<String> = executed
        .map(|rest| general(rest.split('\'').next().unwrap()))
        .collect();
    assert_eq!(planned, executed);
    for inside in [
        "/.clearml-agent:ro",
        "/tmp/clearml.conf",
        "/.ssh",
        "/.ssh.git/.gitconfig",
    ] {
        assert!(
            planned.iter().any(|mount| mount.ends_with(inside)),
            "{inside}"
        );
    }
}
