//! The units under a systemd that runs them, on a machine of the test's own.

use super::support::{Machine, Script, TestContext, wait_until};

const UNIT: &str = "clearml-agent.service";

/// Faster than a machine of a user needs it, in the way that a user changes a unit.
const FASTER: &str = "[Service]\n\
    RestartSec=100ms\n\
    WatchdogSec=3s\n\
    Environment=CLEARML_WORKER_NAME=host CLEARML_AGENT_QUEUE_POLL_FREQ_SEC=0.2 CLEARML_AGENT_STATUS_REPORT_FREQ_SEC=0.2\n";

/// Prints a word when a file of that name appears in the home.
fn waiting(words: &[&str]) -> Script {
    let lines = words.iter().map(|word| {
        format!("until [ -e ~/{word} ]; do sleep 0.05; done; echo \"has seen {word}\"\n")
    });
    Script::shell(&format!("echo begins\n{}", lines.collect::<String>()))
}

/// Start, restart, stop, crash, a worker that is of no use, and the end.
#[test]
fn a_task_outlives_what_systemd_does_to_its_worker() {
    let context = TestContext::new();
    let machine = Machine::start(&context);
    let install = |more: &[&str]| {
        let words = ["clearml-agent", "service", "install", "--run-as", "agent"];
        let options = ["--", "--queue", "default"];
        machine.must(&[&words, more, &options[..]].concat())
    };
    let path = format!("/etc/systemd/system/{UNIT}");
    assert_eq!(
        install(&[]),
        format!("Written: {path}\nStart it: systemctl enable --now clearml-agent\n")
    );
    machine.write(&format!("{path}.d/override.conf"), FASTER);
    assert_eq!(
        install(&["--start"]),
        format!("Unchanged: {path}\nStarted: clearml-agent\n")
    );
    assert_eq!(machine.property(UNIT, "UnitFileState"), "enabled");
    machine.wait_for(UNIT, "StatusText", "host:0: waiting for tasks");
    let says = |active: &str| {
        let status = machine.must(&["clearml-agent", "service", "status"]);
        assert_eq!(status, format!("{path}\n  {UNIT}: {active}\n"));
    };
    says("active (running), host:0: waiting for tasks");

    let task = context.enqueue(waiting(&["restarted", "stopped", "crashed", "watched"]));
    let running = format!("host:0: running task {task}");
    let see = |word: &str| {
        std::fs::write(context.home().join(word), "").unwrap();
        context.wait_for_console(&task, &format!("has seen {word}\n"));
    };
    context.wait_for_console(&task, "begins\n");
    let worker = || machine.property(UNIT, "MainPID");
    let first = worker();
    machine.must(&["systemctl", "restart", UNIT]);
    machine.wait_for(UNIT, "StatusText", &running);
    assert_ne!(worker(), first);
    see("restarted");

    machine.must(&["systemctl", "stop", UNIT]);
    assert_eq!(machine.property(UNIT, "ActiveState"), "inactive");
    assert_eq!(machine.property(UNIT, "Result"), "success");
    see("stopped");
    assert_eq!(context.status(&task), "in_progress");
    machine.must(&["systemctl", "start", UNIT]);
    machine.wait_for(UNIT, "StatusText", &running);
    says(&format!("active (running), {running}"));

    machine.must(&["sh", "-c", &format!("kill -9 {}", worker())]);
    machine.wait_for(UNIT, "NRestarts", "1");
    machine.wait_for(UNIT, "StatusText", &running);
    see("crashed");

    context.server.stop_listening().unwrap();
    let is_replaced = || machine.property(UNIT, "NRestarts") != "1";
    assert!(wait_until(is_replaced), "the watchdog did not bite");
    let journal = machine.must(&["journalctl", "--no-pager", "--unit", UNIT]);
    assert!(journal.contains("Watchdog timeout"), "{journal}");
    context.server.resume().unwrap();
    machine.wait_for(UNIT, "StatusText", &running);
    assert_eq!(context.status(&task), "in_progress");

    let restarts = machine.property(UNIT, "NRestarts");
    machine.must_as_user(&["clearml-agent", "daemon", "--stop", "host:0"]);
    context.wait_for_status(&task, "stopped");
    machine.wait_for(UNIT, "ActiveState", "inactive");
    assert_eq!(machine.property(UNIT, "ExecMainStatus"), "254");
    assert_eq!(machine.property(UNIT, "Result"), "success");
    assert_eq!(machine.property(UNIT, "NRestarts"), restarts);
    assert!(!context.console(&task).contains("watched"));

    let removed = machine.must(&["clearml-agent", "service", "uninstall"]);
    assert!(
        removed.starts_with(&format!("Removed: {path}\n")),
        "{removed}"
    );
    machine.wait_for(UNIT, "FragmentPath", "");
    assert_eq!(machine.property(UNIT, "UnitFileState"), "");
}

/// Units of a user, one for each GPU, and what goes wrong.
#[test]
fn users_and_gpus_have_units_of_their_own() {
    let context = TestContext::new();
    let machine = Machine::start(&context);
    let install = ["clearml-agent", "service", "install"];
    let fails = |words: &[&str], error: &str| {
        let output = machine.call(words);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{printed}");
        assert!(printed.contains(error), "{printed}");
    };
    let as_user = [
        "setpriv",
        "--reuid=agent",
        "--regid=agent",
        "--clear-groups",
    ];
    fails(
        &[&as_user[..], &install, &["--system", "--run-as", "agent"]].concat(),
        "could not write `/etc/systemd/system/clearml-agent.service`: Permission denied (os error 13)\n\
         hint: call it with sudo, or with `--user` for a unit of your own\n",
    );
    // Who has no configuration has no worker.
    fails(
        &[
            &install[..],
            &["--run-as", "root", "--name", "lost", "--start"],
        ]
        .concat(),
        "hint: `journalctl -u lost` has the reason in its last lines\n",
    );
    let journal = machine.must(&["journalctl", "--no-pager", "--unit", "lost"]);
    assert!(journal.contains("clearml_agent: ERROR: "), "{journal}");

    machine.must(&["loginctl", "enable-linger", "agent"]);
    let manager = "user@12345.service";
    machine.wait_for(manager, "ActiveState", "active");
    let path = "/home/agent/.config/systemd/user/clearml-agent.service";
    let start = ["--start", "--", "--queue", "default"];
    assert_eq!(
        machine.must_as_user(&[&install[..], &start].concat()),
        format!("Written: {path}\nStarted: clearml-agent\n")
    );
    let status = ["clearml-agent", "service", "status", "--user"];
    let printed = machine.must_as_user(&status);
    let active = format!("{path}\n  clearml-agent.service: active (running), ");
    assert!(printed.starts_with(&active), "{printed}");
    machine.must_as_user(&["systemctl", "--user", "stop", "clearml-agent"]);
    let printed = machine.must_as_user(&status);
    assert!(printed.contains("inactive (dead)"), "{printed}");
    machine.must_as_user(&["clearml-agent", "service", "uninstall"]);
    assert!(
        !context
            .home()
            .join(".config/systemd/user/clearml-agent.service")
            .exists()
    );

    let options = ["--run-as", "agent", "--gpus", "0", "1"];
    let printed = machine.must(&[&install[..], &options, &start].concat());
    assert!(
        printed.ends_with("\nStarted: clearml-agent-gpu@0 clearml-agent-gpu@1\n"),
        "{printed}"
    );
    for gpu in ["0", "1"] {
        let unit = format!("clearml-agent-gpu@{gpu}.service");
        assert_eq!(machine.property(&unit, "ActiveState"), "active");
        let worker = format!(":gpu{gpu}");
        assert!(wait_until(|| {
            let workers = context.workers();
            workers.iter().any(|id| id.ends_with(&worker))
        }));
    }
    let printed = machine.must(&["clearml-agent", "service", "status"]);
    assert!(
        printed.contains("  clearml-agent-gpu@1.service: active (running), "),
        "{printed}"
    );
    machine.must(&[
        "clearml-agent",
        "service",
        "uninstall",
        "--name",
        "clearml-agent-gpu",
    ]);
    machine.wait_for("clearml-agent-gpu@0.service", "LoadState", "not-found");
    let units = machine.must(&[
        "systemctl",
        "list-units",
        "--plain",
        "--no-legend",
        "clearml-agent*",
    ]);
    assert!(!units.contains("active"), "{units}");
}
