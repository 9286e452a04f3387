//! The other shapes of `execute`: `--disable-monitoring` and `--full-monitoring`.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::json;

use super::execute::{NO_ENVIRONMENT, PRINT_VARIABLES, bodies};
use super::support::{Script, TestContext};

/// D-042, E-001, E-265, E-272: the same process, its streams untouched, nothing said to the server.
#[test]
fn without_monitoring_the_agent_becomes_the_program() {
    let context = TestContext::new();
    let program = "echo \"pid $$\"; grep -E '^Sig(Ign|Blk)' /proc/self/status; read -r line; echo \"got $line\"; echo err >&2; exit 3";
    let task = context.create(Script::shell(program));
    let mut command = context.command(&["execute", "--disable-monitoring", "--id", &task]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    child.stdin.take().unwrap().write_all(b"a line\n").unwrap();
    let finished = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(finished.stdout).unwrap();
    assert_eq!(finished.status.code(), Some(3), "{stdout}");
    assert_eq!(String::from_utf8(finished.stderr).unwrap(), "err\n");
    let (preparation, output) = stdout.split_once("Starting Task Execution:\n\n").unwrap();
    assert!(
        preparation.starts_with("Current configuration"),
        "{preparation}"
    );
    assert!(output.starts_with(&format!("pid {pid}\n")), "{output}");
    assert!(output.ends_with("got a line\n"), "{output}");
    for (name, signal) in [("SigIgn", Signal::SIGPIPE), ("SigBlk", Signal::SIGINT)] {
        let mask = output
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}:\t")))
            .unwrap();
        let mask = u64::from_str_radix(mask, 16).unwrap();
        assert_eq!(mask & (1 << (signal as i32 - 1)), 0, "{name} {mask:x}");
    }
    assert_eq!(
        context.calls(),
        [
            "auth.login",
            "tasks.get_by_id",
            "tasks.dequeue",
            "tasks.started",
            "tasks.started"
        ]
    );
    assert_eq!(context.count("workers.status_report"), 0);
    assert_eq!(context.status(&task), "in_progress");
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert!(context.runs().is_empty());
    context.wait_for_silence();
}

/// E-016, E-017: who prepares knows the reason, also where somebody else sets the final status.
#[test]
fn without_monitoring_a_failed_repository_is_reported() {
    let context = TestContext::new();
    let url = format!("file://{}/nosuch", context.folder().display());
    let task = context.create(Script::shell("").with("repository", url));
    let words = ["execute", "--disable-monitoring", "--id", &task];
    let finished = context.run_with(&words, &[NO_ENVIRONMENT]);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    assert!(
        finished
            .stdout
            .contains("\nclearml_agent: ERROR: Failed cloning repository. \n")
    );
    assert_eq!(context.reason(&task), "failed cloning repository");
    assert_eq!(context.console(&task), "");
}

/// E-003, D-043, D-061, D-089: a worker for one task, with slot and configuration of its own.
#[test]
fn full_monitoring_is_a_worker_for_one_task() {
    let context = TestContext::new();
    let gate = context.folder().join("gate");
    let program = format!(
        "{PRINT_VARIABLES}; echo ready; until test -e '{}'; do sleep 0.02; done; exit 5",
        gate.display()
    );
    let task = context.create(Script::shell(&program));
    let mut agent = context.start(&["execute", "--full-monitoring", "--id", &task]);
    context.wait_for_console(&task, "ready\n");
    let configuration = context
        .leftovers()
        .into_iter()
        .find(|name| name.starts_with(".clearml_agent."))
        .expect("a configuration");
    let configuration = context.temporary().join(configuration);
    let mode = std::fs::metadata(&configuration)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let slot = context
        .leftovers()
        .into_iter()
        .find(|name| name.starts_with(&format!(".clearmlagent_{}_", agent.pid())))
        .expect("a slot");
    let slot = std::fs::read_to_string(context.temporary().join(slot)).unwrap();
    assert_eq!(slot, "host:0\n0");
    std::fs::write(&gate, "").unwrap();
    assert_eq!(agent.wait(), 0, "{}", agent.output());

    assert_eq!(context.reason(&task), "worker execution exit code 5");
    let console = context.console(&task);
    let configuration = configuration.display();
    for part in [
        &format!(
            "Using custom configuration file from env var: {configuration}\nCurrent configuration (clearml_agent v3.0.3, location: {configuration}):\n"
        ),
        "\nagent.worker_id = host:0\n",
        "\nStarting Task Execution:\n\n",
        &format!("\nCLEARML_CONFIG_FILE={configuration}\n"),
        &format!("\nTRAINS_CONFIG_FILE={configuration}\n"),
        "\nCLEARML_WORKER_ID=host:0\n",
        "\nTRAINS_WORKER_ID=host:0\n",
    ] {
        assert!(console.contains(part), "{part} is not in\n{console}");
    }
    assert!(
        console.ends_with("ready\nProcess failed, exit code 5"),
        "{console}"
    );
    let output = agent.output();
    assert!(
        output.contains(&format!("Running task '{task}'\n")),
        "{output}"
    );
    assert!(
        output.contains(&format!("DONE: Running task '{task}', exit status 5\n")),
        "{output}"
    );
    assert_eq!(
        bodies(&context, "tasks.started")[0]["status_message"],
        "launch by agent"
    );
    assert!(context.field(&task, "runtime")["_exec_agent_hostname"].is_string());
    assert_eq!(
        bodies(&context, "workers.unregister"),
        [json!({ "worker": "host:0", "queues": [] })]
    );
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert!(context.runs().is_empty());
}

/// D-061, D-079
#[test]
fn full_monitoring_passes_the_exit_code_on_when_told() {
    let context = TestContext::new();
    let propagate = [("CLEARML_AGENT_PROPAGATE_EXITCODE", "1")];
    for (program, expected) in [("exit 5", 5), ("kill -9 $$", 247), ("exit 0", 0)] {
        let task = context.create(Script::shell(program));
        let words = ["execute", "--full-monitoring", "--id", &task];
        assert_eq!(
            context.run_with(&words, &propagate).code,
            expected,
            "{program}"
        );
    }
}
