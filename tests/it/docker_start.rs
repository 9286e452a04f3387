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

/// C-011a: the words are parted at blanks all the same.
#[test]
fn a_quote_that_is_not_closed_is_a_warning() {
    let context = TestContext::new();
    let mut agent = started(&context, &["--cpu-only", "--docker", "image:1 -e 'A=b"]);
    let warning = format!(
        "{WARNED}a quote in the agent's container arguments is not closed: they are parted at blanks\nhint: close it, or leave it out\n"
    );
    assert!(agent.output().contains(&warning), "{}", agent.output());
    assert_eq!(agent.terminate(), 254);
}

/// C-021, C-023, C-025: the rules that a task may meet are read as well; each is named by its place in the list.
#[test]
fn mistakes_in_the_arguments_of_match_rules_are_warnings() {
    const CONFIGURATION: &str = r#"agent.default_docker.match_rules: [
        { image: none, arguments: "--no-such-flag" }
        { image: good, arguments: ["--ipc=host", "-e A=1"], match { project: "^p$" } }
        { image: flag, arguments: "--ipcc=host", match { project: "^p$" } }
        { image: quote, arguments: "--ipc=host -e 'RULE_TOKEN=rule-secret-1", match { project: "^p$" } }
        { image: value, arguments: "--memory much", force_container_rules: true, match { project: "^p$" } }
    ]"#;
    let fault = |text: &str, hint: &str| {
        format!("{WARNED}{text}: tasks with the container of this rule fail\nhint: {hint}\n")
    };
    let flag = fault(
        "docker has no flag `--ipcc`; it stands in `agent.default_docker.match_rules[2].arguments`",
        "did you mean `--ipc`?",
    );
    let quote = fault(
        "the container arguments in `agent.default_docker.match_rules[3].arguments` have a quote that is not closed, \
         behind `-e`",
        "close the quote there",
    );
    let value = "it stands in `agent.default_docker.match_rules[4].arguments`";
    let context = TestContext::new();
    context.configure(CONFIGURATION);
    for (words, faults, others) in [
        (
            &["--cpu-only", "--docker"][..],
            &[&flag, &quote, value][..],
            &[][..],
        ),
        // An image on the command line comes before all rules that do not force theirs.
        (
            &["--cpu-only", "--docker", "image:1"],
            &[value],
            &[&flag, &quote],
        ),
    ] {
        let mut agent = started(&context, words);
        let output = agent.output();
        for fault in faults {
            assert!(output.contains(fault), "{fault}\n{output}");
        }
        for other in others {
            assert!(!output.contains(&**other), "{other}\n{output}");
        }
        assert_eq!(output.matches(WARNED).count(), faults.len(), "{output}");
        // The printout of the configuration has it as it stands there, as that of the official agent (F-164).
        let mut said = output.lines().filter(|line| !line.starts_with("agent."));
        assert!(!said.any(|line| line.contains("rule-secret-1")), "{output}");
        assert_eq!(agent.terminate(), 254);
    }
    context.configure(&format!(
        "{CONFIGURATION}\nagent.disable_task_docker_override: true"
    ));
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
