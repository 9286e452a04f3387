//! `agent.stop_grace_period`: a program that is to stop gets time to end by itself.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::support::{Agent, Fault, FaultProxy, Script, TestContext, wait_until};

/// Less than the periods below, and enough for a slow machine.
const AT_ONCE: Duration = Duration::from_secs(20);

/// A running task under an agent with a period of so many seconds.
struct Running {
    context: TestContext,
    daemon: Agent,
    task: String,
}

impl Running {
    fn new(period: &str, script: &str) -> Self {
        let context = TestContext::new();
        context.configure(&format!("agent.stop_grace_period: {period}"));
        Self::in_context(context, script)
    }

    fn in_context(context: TestContext, script: &str) -> Self {
        let here = context.folder().display().to_string();
        let task = context.enqueue(Script::shell(&script.replace("HERE", &here)));
        let daemon = context.daemon();
        context.wait_for_console(&task, "up and running\n");
        Self {
            context,
            daemon,
            task,
        }
    }

    fn abort(&self) {
        let reported = wait_until(|| self.context.field(&self.task, "last_worker") == "host:0");
        assert!(reported);
        let body = serde_json::json!({ "task": self.task });
        self.context.call("tasks.stop", body);
    }

    /// The process whose id is in this file has ended.
    #[track_caller]
    fn assert_gone(&self, name: &str) {
        let pid = std::fs::read_to_string(self.context.folder().join(name)).expect("a process");
        let process = Path::new("/proc").join(pid.trim());
        assert!(wait_until(|| !process.exists()), "{}", process.display());
    }
}

/// D-236: the whole tree is asked to end; what it says then is in the console, and nothing is killed before its time.
#[test]
fn a_program_saves_its_work_when_it_is_aborted() {
    let context = TestContext::new();
    context.configure("agent.stop_grace_period: 600");
    let saving = context.gate("saving");
    let script = format!(
        "bash -c 'trap \"{}; echo saved below; exit 0\" TERM; echo up and running; while :; do sleep 0.1; done' &
         trap 'echo told; wait; echo saved; exit 0' TERM
         wait",
        saving.wait().replace('\'', "")
    );
    let running = Running::in_context(context, &script);
    running.abort();
    running.context.wait_for_console(&running.task, "told\n");
    running
        .daemon
        .wait_for_output("Waiting up to 600.0 seconds for the program to end\n");
    assert_eq!(running.context.status(&running.task), "in_progress");
    saving.open();
    running.context.wait_for_status(&running.task, "stopped");
    let reason = running.context.reason(&running.task);
    assert_eq!(reason, "task was stopped by tasks.stop");
    // The shell says so of its own `sleep`, where that was told first.
    let console = running.context.console(&running.task);
    let console = console.replace("Terminated\n", "");
    let end = "told\nsaved below\nsaved\nProcess aborted by user";
    assert!(console.ends_with(end), "{console}");
    running.context.wait_for_no_runs();
}

/// D-236: what does not end by itself is killed when the time is over, also where it has left its group and its parent.
#[test]
fn a_program_that_ignores_the_signal_is_killed_when_its_time_is_over() {
    let running = Running::new(
        "0.3",
        "trap '' TERM; echo $$ > HERE/program; ( setsid bash -c 'trap \"\" TERM; echo $$ > HERE/detached; sleep 600; sleep 600' & )
         until [ -s HERE/detached ]; do sleep 0.05; done; echo up and running; sleep 600; sleep 600",
    );
    running.abort();
    running.context.wait_for_status(&running.task, "stopped");
    running.context.wait_for_no_runs();
    for name in ["program", "detached"] {
        running.assert_gone(name);
    }
}

/// D-236: a program that has ended does not wait for the rest of its time.
#[test]
fn nobody_waits_for_a_program_that_has_ended() {
    let mut running = Running::new("600", "echo up and running; sleep 600");
    running.daemon.signal(Signal::SIGTERM);
    assert_eq!(running.daemon.wait_at_most(AT_ONCE), 254);
    assert_eq!(running.context.status(&running.task), "stopped");
    assert_eq!(running.context.reason(&running.task), "user abort");
}

/// D-301, D-297: a second SIGTERM or Ctrl-C ends the time at once, and the server is told all the same.
#[test]
fn a_second_signal_cuts_the_time_short() {
    for (signal, said) in [
        (Signal::SIGTERM, "Waiting up to 600.0 seconds"),
        (Signal::SIGINT, "press Ctrl-C again to end the agent"),
    ] {
        let context = TestContext::new();
        context.configure("agent.stop_grace_period: 600");
        let proxy = FaultProxy::start(&context.server.url());
        context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
        // Its answers take their time.
        let is_late = |call: &str| call != "events.add_batch";
        let mut running = Running::in_context(
            context,
            "trap '' TERM; echo $$ > HERE/program; echo up and running; sleep 600; sleep 600",
        );
        proxy.set(move |call| is_late(call).then_some(Fault::AnswerDrips));
        running.daemon.signal(signal);
        running.daemon.wait_for_output(said);
        running.daemon.signal(signal);
        assert_eq!(running.daemon.wait_at_most(AT_ONCE), 254);
        running.assert_gone("program");
        running.context.wait_for_no_processes();
        assert_eq!(running.context.status(&running.task), "stopped");
        assert_eq!(running.context.reason(&running.task), "user abort");
    }
}

/// D-056: a period that is none is refused.
#[test]
fn a_negative_time_is_refused() {
    let context = TestContext::new();
    context.configure("agent.stop_grace_period: -3");
    let finished = context.run(&["daemon", "--foreground"]);
    assert_eq!(finished.code, 1);
    let error = "agent.stop_grace_period";
    assert!(finished.stdout.contains(error), "{}", finished.stdout);
}
