//! The options of `daemon`, `execute` and `build`: those that reach the task, and those that are not obeyed yet.

use std::process::Command;

use serde_json::json;

use super::code::{NO_ENVIRONMENT, Repository};
use super::support::{Script, TestContext, wait_until};

const PRINT_VARIABLES: &str =
    "env | grep -E '^(CLEARML_LOG_LEVEL|NVIDIA_VISIBLE_DEVICES|CUDA_VISIBLE_DEVICES)=' | sort";
const PRINT_OPTIMIZATION: &str = "import os, sys\n\
     print('level', os.environ['CLEARML_LOG_LEVEL'], os.environ['TRAINS_LOG_LEVEL'])\n\
     print('optimize', sys.flags.optimize)\n";

/// D-018, D-019: a daemon hands them on.
#[test]
fn log_level_and_optimisation_pass_through_the_daemon() {
    let context = TestContext::new();
    let task = context.enqueue(Script::python(PRINT_OPTIMIZATION, ""));
    let words = ["daemon", "--foreground", "-OO", "--log-level", "debug"];
    let mut daemon = context.start_with(&words, NO_ENVIRONMENT);
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    assert!(
        console.contains("\nlevel DEBUG DEBUG\noptimize 2\n"),
        "{console}"
    );
    assert_eq!(daemon.terminate(), 254);
}

/// D-017, D-074, E-026: the option and the variable are one.
#[test]
fn without_gpus_the_task_sees_none() {
    for (words, variables) in [
        (
            &["daemon", "--foreground", "--cpu-only"] as &[&str],
            &[("CUDA_VERSION", "12.4")] as &[(&str, &str)],
        ),
        (&["daemon", "--foreground"], &[("CLEARML_CPU_ONLY", "1")]),
    ] {
        let context = TestContext::new();
        let task = context.enqueue(Script::shell(PRINT_VARIABLES));
        let mut daemon = context.start_with(words, variables);
        context.wait_for_status(&task, "completed");
        let console = context.console(&task);
        let expected =
            "\nCLEARML_LOG_LEVEL=INFO\nCUDA_VISIBLE_DEVICES=none\nNVIDIA_VISIBLE_DEVICES=none\n";
        assert!(console.contains(expected), "{console}");
        assert!(
            console.contains("\nagent.cuda_version = 0\nagent.cudnn_version = 0\n"),
            "{console}"
        );
        let output = daemon.output();
        assert!(
            output.contains("Worker \"host:cpu:0\" - Listening to queues:"),
            "{output}"
        );
        assert!(output.contains("\nagent.cuda_version = 0\n"), "{output}");
        assert_eq!(daemon.terminate(), 254);
    }
    let context = TestContext::new();
    let task = context.create(Script::shell(PRINT_VARIABLES));
    let finished = context.run(&["execute", "--cpu-only", "--id", &task]);
    assert_eq!(finished.code, 0);
    assert!(
        finished.stdout.contains("\nNVIDIA_VISIBLE_DEVICES=none\n"),
        "{}",
        finished.stdout
    );
}

/// The environment folder of a task for `python3`.
fn environment_folder(context: &TestContext) -> std::path::PathBuf {
    let program = "import sys; print('%d.%d' % sys.version_info[:2])";
    let output = Command::new("python3")
        .args(["-c", program])
        .output()
        .unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    context
        .home()
        .join(".clearml/venvs-builds")
        .join(version.trim())
}

/// D-035, D-046, E-006, E-029, E-030, E-031: code and packages of the machine, for `execute` and below a daemon.
#[test]
fn standalone_mode_fetches_and_installs_nothing() {
    let context = TestContext::new();
    let repository = Repository::new(&context, "project");
    let commit = repository.commit(&[(
        "main.py",
        "import sys\nprint('prepared', sys.prefix == sys.base_prefix)\n",
    )]);
    let url = repository.url();
    let place = environment_folder(&context).join("task_repository/project");
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    // Where the task looks for it there is nothing any more.
    std::fs::rename(url.strip_prefix("file://").unwrap(), &place).unwrap();
    let script = |requirements| {
        Script::python("", requirements)
            .with("repository", url.as_str())
            .with("version_num", commit.as_str())
    };
    let none = "no-such-package-anywhere==1\n";
    let task = context.create(script(none));
    let finished = context.run(&["execute", "--standalone-mode", "--id", &task]);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    assert!(
        finished.stdout.contains("\nprepared True\n"),
        "{}",
        finished.stdout
    );
    assert!(finished.stdout.contains("No freeze information available"));
    assert_eq!(context.count("tasks.set_requirements"), 0);

    let task = context.enqueue(script(none));
    let mut daemon = context.start(&["daemon", "--foreground", "--standalone-mode"]);
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    assert!(console.contains("\nprepared True\n"), "{console}");
    assert_eq!(daemon.terminate(), 254);

    // A script of the task is written beside it.
    let task = context.create(Script::python("print('literal')\n", none));
    let finished = context.run(&["execute", "--standalone-mode", "--id", &task]);
    assert!(
        finished.stdout.contains("\nliteral\n"),
        "{}",
        finished.stdout
    );
    assert!(place.join("main.py").is_file());

    std::fs::remove_dir_all(&place).unwrap();
    let task = context.create(script(""));
    let finished = context.run(&["execute", "--standalone-mode", "--id", &task]);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    assert!(
        finished
            .stdout
            .contains("and `--standalone-mode` fetches none"),
        "{}",
        finished.stdout
    );
    assert!(finished.stdout.contains("hint: "), "{}", finished.stdout);
}

/// Fails with this error and a hint, on stdout, and says nothing to the server.
#[track_caller]
fn assert_refused(context: &TestContext, words: &[&str], path: &str, expected: &str) {
    let finished = context.run_with(words, &[("PATH", path)]);
    assert_eq!(
        (finished.code, finished.stderr.as_str()),
        (1, ""),
        "{words:?}"
    );
    let error = format!("\nclearml_agent: ERROR: {expected}\nhint: ");
    assert!(
        finished.stdout.starts_with(&error),
        "{words:?}: {}",
        finished.stdout
    );
    assert!(context.server.requests().is_empty());
}

/// D-056, D-064: nothing is passed over in silence.
#[test]
fn a_build_without_a_task_is_refused() {
    let context = TestContext::new();
    let path = "/no/such/folder";
    let no_id = "Worker build must have valid task id";
    assert_refused(&context, &["build", "--id", ""], path, no_id);
}

/// D-023, D-049, D-050, D-052: contradictions come first, in the reference's words.
#[test]
fn what_does_not_go_together_is_said_first() {
    let context = TestContext::new();
    let path = "/no/such/folder";
    let no_docker = "Running in Docker mode, 'docker' command was not found";
    for words in [
        &["daemon", "--docker"] as &[&str],
        &["daemon", "--podman", "image", "--stop"],
        &["execute", "--id", "x", "--docker"],
        &["build", "--id", "x", "--docker"],
    ] {
        assert_refused(&context, words, path, no_docker);
    }
    assert_refused(
        &context,
        &["daemon", "--services-mode", "--dynamic-gpus", "--gpus", "0"],
        path,
        "Combining --dynamic-gpus and --services-mode is not supported",
    );
    assert_refused(
        &context,
        &["daemon", "--docker", "a", "--podman", "b"],
        path,
        "Running in docker+podman mode, different containers provided. Please use --docker or --podman with container details, not both.",
    );
}

/// C-408: nobody takes an environment for an image.
#[test]
fn options_of_images_are_not_passed_over_without_docker() {
    let context = TestContext::new();
    let words = ["build", "--id", "x", "--without-credentials"];
    let refused = context.run(&words);
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    let line = "clearml_agent: ERROR: --without-credentials is for images, and without --docker none is made\nhint: add `--docker`\n";
    assert!(refused.stdout.contains(line), "{}", refused.stdout);
    // The official agent goes on with these.
    for words in [&["--entry-point", "reuse_task"][..], &["--force-docker"]] {
        let built = context.run(&[&["build", "--id", "x"], words].concat());
        let line = format!(
            "clearml_agent: Warning: {} is for images, and without --docker none is made\n",
            words[0]
        );
        assert!(built.stdout.contains(&line), "{}", built.stdout);
    }
}

/// D-024, D-025, D-026, D-032, D-038: what has no effect here has none in the reference either.
#[test]
fn what_has_no_effect_is_accepted() {
    let context = TestContext::new();
    let words = [
        "daemon",
        "--foreground",
        "--detached",
        "--services-mode",
        "0",
        "--force-current-version",
        "--check-bootstrap",
    ];
    let mut daemon = context.start(&words);
    daemon.wait_for_output("No tasks in Queues, sleeping for");
    let output = daemon.output();
    assert!(
        output.contains("Nothing to check: this agent needs no bootstrap package\n"),
        "{output}"
    );
    assert_eq!(daemon.terminate(), 254);
    let finished = context.run(&["install-bootstrap", "--force", "--version", "v1"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
    assert_eq!(
        finished.stdout,
        "Nothing to install: this agent needs no bootstrap package\n"
    );
}

/// D-021, D-029
#[test]
fn a_queue_that_is_missing_is_created_when_wanted() {
    let context = TestContext::new();
    let words = [
        "daemon",
        "--foreground",
        "--create-queue",
        "--queue",
        "new",
        "default",
    ];
    let mut daemon = context.start(&words);
    daemon.wait_for_output("No tasks in Queues, sleeping for");
    let found = context.call("queues.get_all", json!({ "name": "new" }));
    assert_eq!(found["queues"].as_array().map(Vec::len), Some(1));
    assert_eq!(daemon.terminate(), 254);
}

/// The lines of stderr and stdout that are log records of the agent's own.
fn records(output: &str) -> Vec<&str> {
    let is_record = |line: &&str| line.contains(":clearml_agent::");
    output.lines().filter(is_record).collect()
}

/// D-015, D-067: by the option and by the configuration; without them nothing of it is on stderr.
#[test]
fn debug_says_more_and_keeps_the_output() {
    for by_option in [true, false] {
        let context = TestContext::new();
        if !by_option {
            context.configure("agent.debug: true");
        }
        let option: &[&str] = if by_option { &["--debug"] } else { &[] };
        let list = context.run(&[option, &["list"]].concat());
        assert_eq!((list.code, list.stdout.as_str()), (0, "workers: []\n\n"));
        let expected = format!(
            "DEBUG:clearml_agent::api::http:GET {}/auth.login 200\n",
            context.server.url()
        );
        assert!(list.stderr.starts_with(&expected), "{}", list.stderr);
        assert_eq!(records(&list.stderr).len(), 2, "{}", list.stderr);

        let task = context.enqueue(Script::shell("echo from the task"));
        let mut daemon = context.start(&[option, &["daemon"]].concat());
        context.wait_for_status(&task, "completed");
        // Idle messages without `--foreground`, in a file that stays (D-146).
        let log = super::background::log_file(&daemon.output());
        let logged = || std::fs::read_to_string(&log).unwrap();
        assert!(wait_until(
            || logged().contains("No tasks in Queues, sleeping for")
        ));
        assert_eq!(daemon.terminate(), 254);
        context.wait_for_no_runs();
        let left = context.leftovers();
        let kept = left
            .iter()
            .find(|name| name.starts_with(".clearml_agent_out."));
        let kept = kept.unwrap_or_else(|| panic!("{left:?}"));
        let text = std::fs::read_to_string(context.temporary().join(kept)).unwrap();
        assert!(text.contains("from the task\n"), "{text}");
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(!logged().contains(&context.server.credentials().secret_key));
        let secret = &context.server.credentials().secret_key;
        assert!(!daemon.output().contains(secret) && !list.stderr.contains(secret));
    }
    let context = TestContext::new();
    assert_eq!(context.run(&["list"]).stderr, "");
}

/// Completions and man pages are written by the program itself.
#[test]
fn completions_and_man_pages_are_written() {
    let context = TestContext::new();
    std::fs::write(context.home().join("clearml.conf"), "broken {").unwrap();
    let finished = context.run(&["generate", "completions", "bash"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
    let script = context.folder().join("completions.bash");
    std::fs::write(&script, &finished.stdout).unwrap();
    let ask = "source \"$0\"; COMP_WORDS=(clearml-agent $1 $2); COMP_CWORD=2; \
               $(complete -p clearml-agent | sed 's/.*-F \\([^ ]*\\).*/\\1/') clearml-agent $2 $1; echo \"${COMPREPLY[@]}\"";
    for [verb, start, whole] in [
        ["daemon", "--fore", "--foreground"],
        ["install-bootstrap", "--from", "--from-file"],
        ["list", "--j", "--json"],
    ] {
        let mut bash = Command::new("bash");
        let answer = bash
            .args(["-c", ask])
            .arg(&script)
            .args([verb, start])
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&answer.stdout),
            format!("{whole}\n")
        );
    }

    let folder = context.folder().join("share/man/man1");
    let finished = context.run(&["generate", "man", folder.to_str().unwrap()]);
    assert_eq!(
        (
            finished.code,
            finished.stdout.as_str(),
            finished.stderr.as_str()
        ),
        (0, "", "")
    );
    for page in [
        "clearml-agent.1",
        "clearml-agent-daemon.1",
        "clearml-agent-install-bootstrap.1",
    ] {
        let text = std::fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.contains(".TH"), "{text}");
    }
    assert!(!folder.join("clearml-agent-supervise.1").exists());
    let file = context.home().join("clearml.conf");
    let finished = context.run(&["generate", "man", file.to_str().unwrap()]);
    assert_eq!(finished.code, 1);
    assert!(
        finished.stdout.contains("could not write man pages to"),
        "{}",
        finished.stdout
    );
}
