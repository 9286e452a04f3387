//! A daemon for containers that has its own arguments wrong says so when it starts, not by its first task.

use std::path::Path;

use super::support::{Agent, TestContext};

const REFUSED: &str = "clearml_agent: ERROR: ";
const WARNED: &str = "clearml_agent: Warning: ";

/// A daemon that ends at once: what it says.
#[track_caller]
fn refused(context: &TestContext, words: &[&str], variables: &[(&str, &str)]) -> String {
    let words = [&["daemon", "--queue", "default", "--foreground"], words].concat();
    let ended = context.run_with(&words, variables);
    assert_eq!(ended.code, 1, "{}", ended.stdout);
    assert_eq!(context.workers(), [] as [&str; 0]);
    ended.stdout + &ended.stderr
}

/// One that takes tasks.
#[track_caller]
fn started(context: &TestContext, words: &[&str]) -> Agent {
    let words = [&["daemon", "--queue", "default", "--foreground"], words].concat();
    let agent = context.start(&words);
    agent.wait_for_output("No tasks in Queues, sleeping for");
    agent
}

/// C-001, C-012, C-034
#[test]
fn mistakes_in_a_daemons_own_docker_arguments_are_said_at_its_start() {
    let context = TestContext::new();
    for (line, error, hint) in [
        (
            "image:1 --no-such-flag 3",
            "docker has no flag `--no-such-flag`; it stands in the words behind the image of `--docker`",
            "`docker run --help` lists the flags",
        ),
        (
            "image:1 --ipcc=host",
            "docker has no flag `--ipcc`; it stands in the words behind the image of `--docker`",
            "did you mean `--ipc`?",
        ),
        (
            "image:1 --memory much",
            "the docker flag `--memory` does not take `much`: ",
            "correct it there, or leave it out",
        ),
        (
            "image:1 -e",
            "the docker flag `-e` needs a value",
            "correct it there, or leave it out",
        ),
        (
            "image:1 --ipc host -v /a:/a gpus=all",
            "`gpus` is neither a flag of docker nor the value of one",
            "correct it there, or leave it out",
        ),
    ] {
        let output = refused(&context, &["--cpu-only", "--docker", line], &[]);
        assert!(output.contains(&format!("{REFUSED}{error}")), "{output}");
        assert!(output.contains(&format!("\nhint: {hint}\n")), "{output}");
    }
    let extra = [("CLEARML_AGENT_EXTRA_DOCKER_ARGS", "--no-such-flag")];
    let output = refused(&context, &["--cpu-only", "--docker", "image:1"], &extra);
    let error = "docker has no flag `--no-such-flag`; it stands in `agent.extra_docker_arguments`";
    assert!(output.contains(error), "{output}");
}

/// A task with an image of its own does not meet them; templates are known with the task alone.
#[test]
fn what_a_task_may_change_is_a_warning() {
    let context = TestContext::new();
    context.configure("agent.default_docker.arguments: [\"--no-such-flag\"]");
    let mut agent = started(&context, &["--cpu-only", "--docker"]);
    let warning = format!(
        "{WARNED}docker has no flag `--no-such-flag`; it stands in `agent.default_docker.arguments`: tasks without an image of their own fail\nhint: "
    );
    assert!(agent.output().contains(&warning), "{}", agent.output());
    assert_eq!(agent.terminate(), 254);
    context.configure(
        "agent.default_docker.arguments: [\"--memory\", \"${CLEARML_TASK.id}\", \"-e\", \"A=b c\"]",
    );
    let mut agent = started(&context, &["--cpu-only", "--docker"]);
    assert!(!agent.output().contains(WARNED), "{}", agent.output());
    assert_eq!(agent.terminate(), 254);
}

/// C-050
#[test]
fn a_daemon_with_gpus_on_a_machine_without_says_so_at_its_start() {
    if Path::new("/proc/driver/nvidia").exists() {
        // Here they are, and what a machine without does is seen elsewhere.
        return;
    }
    let context = TestContext::new();
    for words in [
        &["--gpus", "0", "--docker", "image:1"][..],
        &["--cpu-only", "--docker", "image:1 --gpus all"],
    ] {
        let output = refused(&context, words, &[]);
        assert!(output.contains("this machine has none"), "{output}");
        assert!(
            output.contains("\nhint: start with `--cpu-only`"),
            "{output}"
        );
    }
    let mut agent = started(&context, &["--docker", "image:1"]);
    let output = agent.output();
    assert!(
        output.contains(WARNED) && output.contains("this machine has none"),
        "{output}"
    );
    assert_eq!(agent.terminate(), 254);
}
