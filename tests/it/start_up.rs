//! What a daemon has found out before its first look at a queue: itself, its options, its queues.

use std::process::Command;

use nix::unistd::gethostname;
use serde_json::{Value, json};

use super::contract::{calls, create_queue, wait_for_rounds};
use super::support::{Finished, Script, TestContext, wait_until};

/// D-090, D-114: login comes first, under a version of the API; options and variables are in the printed configuration, with
/// the names of host and interpreter where nobody has set others.
#[test]
fn the_configuration_is_complete_before_the_banner() {
    let context = TestContext::new();
    let mut command = context.command(&["daemon", "--foreground", "--cpu-only"]);
    command
        .env_remove("CLEARML_WORKER_NAME")
        .env("CLEARML_AGENT__AGENT__GIT_USER", "somebody")
        .env("CUDA_VERSION", "12.4");
    let mut daemon = context.start_command(command);
    daemon.wait_for_output("No tasks in Queues");
    let requests = context.server.requests();
    assert_eq!(requests[0].endpoint, "auth.login");
    assert_eq!(requests[0].headers["authorization"], "Basic");
    assert!(requests[1].path.starts_with("/v2."), "{}", requests[1].path);
    assert_eq!(requests[1].headers["authorization"], "Bearer");
    let host = gethostname().unwrap().into_string().unwrap();
    let program = "import sys; print('%d.%d' % sys.version_info[:2])";
    let python = Command::new("python3").args(["-c", program]).output();
    let python = String::from_utf8(python.unwrap().stdout).unwrap();
    let output = daemon.output();
    let (configuration, rest) = output.split_once("\nWorker \"").expect("a banner");
    for line in [
        format!("\nagent.worker_name = {host}\n"),
        format!("\nagent.default_python = {}\n", python.trim()),
        "\nagent.git_user = somebody\n".to_owned(),
        // Without GPUs the version of the machine's toolkit does not matter.
        "\nagent.cuda_version = 0\n".to_owned(),
        "\nagent.cudnn_version = 0\n".to_owned(),
    ] {
        assert!(configuration.contains(&line), "{line} in {output}");
    }
    let id = format!("{host}:cpu:0\" - Listening to queues:\n");
    assert!(rest.starts_with(&id), "{output}");
    assert_eq!(daemon.terminate(), 254);
}

/// D-052, D-092: `--stop` comes before the queues, these before `--status`, and that before a place is taken.
#[test]
fn options_are_judged_in_the_order_of_the_reference() {
    let context = TestContext::new();
    let run = |words: &[&str]| {
        let finished = context.run(&[&["daemon"], words].concat());
        (finished.code, finished.stdout)
    };
    let (code, said) = run(&["--stop", "--status", "--queue", "nosuch"]);
    assert_eq!(code, 1);
    assert!(
        said.starts_with("Could not find a running clearml-agent instance"),
        "{said}"
    );
    assert!(context.server.requests().is_empty());
    let (code, said) = run(&["--status", "--queue", "nosuch"]);
    assert_eq!(code, 1);
    assert!(
        said.contains("ERROR: Could not find queue with name/id \"nosuch\"\n"),
        "{said}"
    );

    context.configure("agent.worker_id: only-one");
    let mut daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    let (code, said) = run(&["--status"]);
    assert!(
        code == 0 && said.contains("  - Listening to queue 'default'\n"),
        "{said}"
    );
    let (code, said) = run(&["--foreground"]);
    assert_eq!(code, 1);
    let refused = "ERROR: Instance with the same WORKER_ID [only-one] is already running\n";
    assert!(
        said.contains(refused) && !said.contains("Listening to queues"),
        "{said}"
    );
    assert_eq!(context.count("workers.register"), 1);
    assert_eq!(daemon.terminate(), 254);
}

/// D-106, D-107, D-109, D-110, D-111, D-347: which queues a daemon takes, by default, by name, and new ones.
#[test]
fn queues_are_found_as_the_reference_finds_them() {
    let context = TestContext::new();
    let mut daemon = context.start(&["daemon", "--foreground"]);
    wait_for_rounds(&daemon, 1);
    let first = &context.server.requests()[1..3];
    assert_eq!(
        calls(first),
        [
            ("queues.get_default", &json!({})),
            ("queues.get_all", &json!({ "id": [context.queue()] }))
        ]
    );
    assert_eq!(daemon.terminate(), 254);

    let twins = ["Twin", "twin"].map(|name| create_queue(&context, name));
    let refused = |words: &[&str], text: &str| {
        let Finished { code, stdout, .. } = context.run(&[&["daemon"], words].concat());
        assert!(code == 1 && stdout.contains(text), "{code}: {stdout}");
        stdout
    };
    // Which of them is meant would be a guess, and a third would make it worse.
    let said = refused(
        &["--create-queue", "--queue", "TWIN"],
        "ERROR: Found multiple queues with name \"TWIN\":\n* ",
    );
    assert!(
        twins.iter().all(|id| said.contains(&format!("\n* {id}"))),
        "{said}"
    );
    assert_eq!(context.count("queues.create"), 0);
    refused(
        &["--queue", "nosuch"],
        "ERROR: Could not find queue with name/id \"nosuch\"\n",
    );
    refused(
        &["--queue", "win"],
        "ERROR: Could not find queue with name/id \"win\". Did you mean this?\n* (",
    );
    let words = [
        "daemon",
        "--foreground",
        "--create-queue",
        "--queue",
        "win",
        "twice",
        "win",
    ];
    let mut daemon = context.start(&words);
    wait_for_rounds(&daemon, 1);
    let created = context.requests("queues.create");
    let names: Vec<&Value> = created.iter().map(|request| &request.body).collect();
    assert_eq!(
        names,
        [&json!({ "name": "win" }), &json!({ "name": "twice" })]
    );
    assert_eq!(daemon.terminate(), 254);
}

/// D-106: a server that has no default queue: the name counts.
#[test]
fn without_a_default_queue_the_name_counts() {
    let context = TestContext::new();
    let body = json!({ "queue": context.queue(), "force": true });
    context.call("queues.delete", body);
    let finished = context.run(&["daemon"]);
    let expected = "ERROR: Could not find queue with name/id \"default\"";
    assert!(finished.stdout.contains(expected), "{}", finished.stdout);
    let queue = create_queue(&context, "Default");
    let task = context.enqueue_to(&queue, Script::shell("true"));
    let _daemon = context.start(&["daemon", "--foreground"]);
    context.wait_for_status(&task, "completed");
}

/// Each name with its random part cut out; that part is right.
fn patterns(context: &TestContext) -> Vec<String> {
    let random = |text: &str| {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        text.len() == 8 && text.chars().all(known)
    };
    let mut patterns: Vec<String> = context
        .leftovers()
        .into_iter()
        .map(|name| {
            let (stem, end) = name.rsplit_once('.').expect("an ending");
            let (start, middle) = stem.split_at(stem.len() - 8);
            assert!(random(middle), "{name}");
            format!("{start}*.{end}")
        })
        .collect();
    patterns.sort();
    patterns
}

/// D-126, D-305, D-307, D-308, D-309, D-312: scripts that clean up know these names.
#[test]
fn temporary_files_have_the_names_of_the_reference() {
    let context = TestContext::new();
    let gate = context.gate("gate");
    let task = context.enqueue(Script::shell(&gate.wait()));
    let mut agent = context.start(&["daemon", "--queue", "default"]);
    assert!(wait_until(|| context.status(&task) == "in_progress"));
    assert!(wait_until(|| context.leftovers().len() == 4));
    let expected = [
        ".clearml_agent.*.cfg".to_owned(),
        ".clearml_agent_daemon_out*.txt".to_owned(),
        ".clearml_agent_out.*.txt".to_owned(),
        format!(".clearmlagent_{}_*.tmp", agent.pid()),
    ];
    assert_eq!(patterns(&context), expected);
    gate.open();
    context.wait_for_status(&task, "completed");
    assert_eq!(agent.terminate(), 254);
    assert_eq!(context.leftovers(), Vec::<String>::new());
}

/// D-130, D-306: who registers waits for the lock file of another agent, and leaves none.
#[test]
fn the_lock_of_the_registration_is_shared_with_the_official_agent() {
    let context = TestContext::new();
    let lock = context.temporary().join("_.clearmlagent_global.lock");
    std::fs::write(&lock, "").unwrap();
    let mut agent = context.daemon();
    assert!(wait_until(|| !context
        .requests("queues.get_all")
        .is_empty()));
    // While it starts it tries for a moment whether a file can be made there.
    assert!(
        wait_until(|| context.leftovers() == ["_.clearmlagent_global.lock"]),
        "{:?}",
        context.leftovers()
    );
    assert!(context.requests("workers.register").is_empty());
    std::fs::remove_file(&lock).unwrap();
    agent.wait_for_output("No tasks in Queues");
    assert!(!lock.exists());
    assert_eq!(agent.terminate(), 254);
}
