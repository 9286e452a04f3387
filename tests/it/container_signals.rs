//! The program of a task in a container: signals end it as they do on a machine, and orphans do not stay.

use std::fs;

use serde_json::json;

use super::support::containers::{containers, daemon, docker};
use super::support::{Agent, Script, TestContext, images, wait_until};

/// A task whose program is Python itself: a shell reaps what others leave.
fn python(text: &str) -> Script {
    Script::shell(&format!("exec python3 -u -c '{text}'"))
}

/// Runs it to its end, with these container arguments; the reason of its status, and its console.
#[track_caller]
fn ended(arguments: &str, text: &str) -> (String, String) {
    let context = TestContext::new();
    let task = context.enqueue(python(text));
    let image = images::python();
    let daemon = daemon(&context, format!("{image} {arguments}").trim(), &[]);
    let status = || context.status(&task);
    assert!(
        wait_until(|| !["queued", "in_progress"].contains(&&*status())),
        "{}",
        daemon.output()
    );
    (context.reason(&task), context.console(&task))
}

/// A running task that prints `up` first.
fn running(configuration: &str, text: &str) -> (TestContext, Agent, String) {
    let context = TestContext::new();
    context.configure(configuration);
    let folder = context.folder().display().to_string();
    let task = context.enqueue(python(&text.replace("HERE", &folder)));
    let daemon = daemon(&context, &images::python(), &[]);
    context.wait_for_console(&task, "up\n");
    (context, daemon, task)
}

/// C-239, C-305: the kernel ends no first process by its own signal; the program is none.
#[test]
fn a_program_ends_itself_by_a_signal() {
    for (text, code) in [
        ("import os; os.kill(os.getpid(), 15); print(\"lives\")", 143),
        ("import os; os.abort()", 134),
        ("import os; os.kill(os.getpid(), 9); print(\"lives\")", 137),
        ("import os; os.kill(os.getpid(), 40); print(\"lives\")", 168),
        ("raise SystemExit(7)", 7),
    ] {
        let (reason, console) = ended("", text);
        let expected = format!("worker execution exit code {code}");
        assert_eq!(reason, expected, "{console}");
        assert!(!console.contains("lives\n"), "{console}");
    }
}

/// C-239
#[test]
fn an_orphan_is_buried_and_the_terminal_is_the_programs() {
    let text = r#"
import os, subprocess, sys, time
print("leads", os.getpid() == os.getpgrp() == os.tcgetpgrp(0))
print("first", open("/proc/1/comm").read())
# It outlives who has started it.
script = "me=$$; (while [ -e /proc/$me ]; do sleep 0.01; done) >/dev/null & echo $!"
orphan = subprocess.check_output(["sh", "-c", script], text=True).strip()
until = time.monotonic() + 20
while os.path.exists("/proc/" + orphan):
    if time.monotonic() > until:
        sys.exit(open("/proc/" + orphan + "/stat").read())
    time.sleep(0.01)
print("buried")
"#;
    let (reason, console) = ended("", text);
    assert_eq!(reason, "worker execution done", "{console}");
    for line in ["\nleads True\n", "\nfirst clearml-agent\n", "\nburied\n"] {
        assert!(console.contains(line), "no {line:?} in\n{console}");
    }
}

/// Who has another first process has one already.
#[test]
fn a_first_process_of_others_is_enough() {
    let text = r#"
import os, sys
print("below", open(f"/proc/{os.getppid()}/comm").read())
sys.exit(7)
"#;
    for arguments in ["--init", "--pid host"] {
        let (reason, console) = ended(arguments, text);
        assert_eq!(reason, "worker execution exit code 7", "{console}");
        assert!(console.contains("\nbelow "), "{arguments}: {console}");
        assert!(
            !console.contains("\nbelow clearml-agent"),
            "{arguments}: {console}"
        );
    }
}

/// C-310, C-311: a program that is asked to end has its time, and one that does not care ends at once.
#[test]
fn an_abort_reaches_the_program() {
    let saving = r#"
import os, signal, sys, time
def save(number, frame):
    open("HERE/asked", "w").close()
    while not os.path.exists("HERE/go"):
        time.sleep(0.01)
    open("HERE/saved", "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("up")
while True:
    signal.pause()
"#;
    let careless = "import time; print(\"up\"); time.sleep(3600)";
    for (text, saves) in [(saving, true), (careless, false)] {
        let (context, _daemon, task) = running("agent.stop_grace_period: 600", text);
        let here = |name: &str| context.folder().join(name);
        context.call("tasks.stop", json!({ "task": task, "force": false }));
        if saves {
            assert!(wait_until(|| here("asked").exists()));
            assert_eq!(containers(&task).len(), 1);
            fs::write(here("go"), "").unwrap();
        }
        context.wait_for_status(&task, "stopped");
        assert_eq!(here("saved").exists(), saves);
        context.wait_for_no_runs();
    }
}

/// Whatever somebody sends to the container.
#[test]
fn signals_of_others_reach_the_program() {
    let text = r#"
import signal, sys
# The last one is what images with systemd are stopped by.
wanted = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT, signal.SIGRTMIN + 3]
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
print("up")
while wanted:
    number = signal.sigwait(wanted)
    print("got", int(number))
    wanted = [other for other in wanted if other != number]
"#;
    let (context, _daemon, task) = running("", text);
    let [container] = &containers(&task)[..] else {
        panic!("{:?}", containers(&task));
    };
    for signal in ["USR1", "USR2", "HUP", "QUIT", "INT", "RTMIN+3"] {
        docker(&["kill", "--signal", signal, container]);
    }
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    for number in [10, 12, 1, 3, 2, 37] {
        let line = format!("got {number}\n");
        assert_eq!(console.matches(&line).count(), 1, "{line} in {console}");
    }
}

/// Nobody has to guess who has ended a container that `docker stop` has.
#[test]
fn a_container_that_somebody_stops_says_so() {
    for (words, code, signal) in [
        (&["stop"][..], 143, "SIGTERM"),
        (&["kill"], 137, "SIGKILL"),
        (&["kill", "--signal", "QUIT"], 131, "SIGQUIT"),
    ] {
        let text = "import time; print(\"up\"); time.sleep(3600)";
        let (context, _daemon, task) = running("", text);
        let container = containers(&task).remove(0);
        docker(&[words, &[&*container]].concat());
        context.wait_for_status(&task, "failed");
        let why = format!("somebody has ended the container by its engine, with {signal}");
        let reason = context.reason(&task);
        assert_eq!(reason, format!("worker execution exit code {code}: {why}"));
        let end = format!("\nProcess failed, exit code {code}: {why}");
        assert!(context.console(&task).ends_with(&end));
    }
}
