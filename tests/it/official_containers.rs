//! The official agent 3.0.3 outside, and this one in the containers that it starts.
//!
//! The official agent installs itself there with pip, and calls `python -u -m clearml_agent execute ...`. The wheel that
//! `FORCE_LOCAL_CLEARML_AGENT_WHEEL` names is installed instead: its module of that name becomes the `clearml-agent` on `PATH`,
//! here the program of this build by a mount.

use std::process::Command;

use super::official::official;
use super::support::containers::{containers, docker, image_line};
use super::support::{
    Agent, Gate, Script, TestContext, download_cache, images, package_folder, wait_until,
};

const WHEEL: &str = "clearml_agent-3.0.3-py3-none-any.whl";
/// Builds the wheel in the folder that it is given.
const MAKE_WHEEL: &str = "
import sys, zipfile
name = 'clearml_agent-3.0.3.dist-info'
files = {
    'clearml_agent/__init__.py': '',
    'clearml_agent/__main__.py': 'import os, sys\\nos.execvp(\"clearml-agent\", [\"clearml-agent\", *sys.argv[1:]])\\n',
    name + '/METADATA': 'Metadata-Version: 2.1\\nName: clearml-agent\\nVersion: 3.0.3\\n',
    name + '/WHEEL': 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n',
}
files[name + '/RECORD'] = ''.join(path + ',,\\n' for path in [*files, name + '/RECORD'])
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    for path, text in files.items():
        wheel.writestr(path, text)
";

/// What the official agent says of a program that has ended well.
const LAST_WORDS: &str = "Process completed successfully";

/// A task that the official agent runs in a container.
struct Mixed {
    context: TestContext,
    task: String,
    gate: Gate,
}

impl Mixed {
    fn new() -> Self {
        let context = TestContext::new();
        let gate = context.gate("gate");
        let text = format!(
            "echo up as $CLEARML_WORKER_ID; {}; seq 1 2000; echo error >&2; echo over",
            gate.wait()
        );
        let task = context.enqueue(Script::shell(&text));
        context.configure("agent.docker_install_opencv_libs: false");
        let cache = download_cache().display().to_string();
        context.configure(&format!("agent.docker_pip_cache: \"{cache}\""));
        Self {
            context,
            task,
            gate,
        }
    }

    fn start(&self, words: &[&str]) -> Agent {
        let context = &self.context;
        let wheel = context.folder().join(WHEEL);
        let python = package_folder("pip").join("python");
        let made = Command::new(python)
            .args(["-c", MAKE_WHEEL])
            .arg(&wheel)
            .status();
        assert!(made.unwrap().success());
        let program = env!("CARGO_BIN_EXE_clearml-agent");
        let line = format!(
            "{} -v {program}:/usr/local/bin/clearml-agent:ro",
            image_line(context, &images::python())
        );
        let mut command = official(context, &["daemon", "--queue", "default", "--foreground"]);
        command.args(words).args(["--docker", &line]);
        command.env("FORCE_LOCAL_CLEARML_AGENT_WHEEL", &wheel);
        // By which the test finds the container, as if it were one of ours.
        let label = format!("clearml-agent-task={}", self.task);
        command.env("CLEARML_AGENT_EXTRA_DOCKER_LABELS", label);
        context.start_command(command)
    }
}

/// The program's lines are in the console, once and in order.
#[track_caller]
fn assert_whole(console: &str, worker: &str) {
    let numbers: Vec<String> = (1..=2000).map(|number| number.to_string()).collect();
    let printed = format!("up as {worker}\n{}\nerror\nover\n", numbers.join("\n"));
    assert_eq!(console.matches(&printed).count(), 1, "{console}");
}

/// Services outlive their agents, also where a test has failed.
impl Drop for Mixed {
    fn drop(&mut self) {
        for container in containers(&self.task) {
            docker(&["rm", "--force", &container]);
        }
    }
}

/// C-233, C-305: all that is printed inside is the official agent's to report, and how it ends.
#[test]
fn ours_runs_the_task_in_a_container_of_the_official_agent() {
    let mixed = Mixed::new();
    let context = &mixed.context;
    let mut daemon = mixed.start(&["--cpu-only"]);
    mixed.gate.open();
    context.wait_for_status(&mixed.task, "completed");
    assert_eq!(context.reason(&mixed.task), "worker execution done");
    let console = context.console(&mixed.task);
    assert_eq!(console.matches(LAST_WORDS).count(), 1, "{console}");
    // The official agent dates many lines later than they were printed, and so sometimes behind its last words (D-225).
    assert_whole(&console.replace(LAST_WORDS, ""), "host:cpu:0");
    assert!(wait_until(|| containers(&mixed.task).is_empty()));
    assert_eq!(daemon.terminate(), 254);
}

/// C-233, C-302, C-320: the official agent hears both lines of the hand-over and lets go; the rest is reported inside.
#[test]
fn ours_is_a_service_of_the_official_agent() {
    let mixed = Mixed::new();
    let context = &mixed.context;
    let mut daemon = mixed.start(&["--services-mode"]);
    let worker = format!("host:cpu:0:service:{}", mixed.task);
    context.wait_for_console(&mixed.task, &format!("up as {worker}\n"));
    daemon.wait_for_output(&format!(
        "Service bootstrap completed: task '{}'",
        mixed.task
    ));
    daemon.wait_for_output("Service started, docker running in the background");
    assert!(wait_until(|| context.workers().contains(&worker)));
    mixed.gate.open();
    context.wait_for_status(&mixed.task, "completed");
    let console = context.console(&mixed.task);
    assert_whole(&console, &worker);
    let line = format!("Running task '{}'", mixed.task);
    assert_eq!(console.matches(&line).count(), 1, "{console}");
    assert!(wait_until(|| containers(&mixed.task).is_empty()));
    assert_eq!(daemon.terminate(), 254);
}
