//! Tasks that were lost with their agent or their machine: marked as failed, or back in their queue where that is wanted.
//!
//! A restart of the machine is injected: everybody is killed, and the journal gets the name of another boot.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::support::{Agent, Counter, Fault, FaultProxy, TestContext, wait_until};

const RESTARTED: &str = "agent host restarted";
const REQUEUES: &str = "agent.requeue_on_agent_loss: true";

/// A counting task whose daemon, supervisor and program were killed.
pub(crate) struct Lost {
    pub(crate) context: TestContext,
    pub(crate) counter: Counter,
    pub(crate) task: String,
}

impl Lost {
    pub(crate) fn in_context(context: TestContext) -> Self {
        let (mut daemon, lost) = Self::running(context);
        daemon.kill();
        lost.kill_supervisor();
        lost
    }

    /// It runs still.
    pub(crate) fn running(context: TestContext) -> (Agent, Self) {
        Self::running_with(context, &[])
    }

    /// The same with a daemon that has these variables.
    pub(crate) fn running_with(context: TestContext, variables: &[(&str, &str)]) -> (Agent, Self) {
        let (counter, script) = Counter::new(&context, "");
        let task = context.enqueue(script);
        let daemon = context.daemon_with(variables);
        context.wait_for_console(&task, "line 5\n");
        let lost = Self {
            context,
            counter,
            task,
        };
        (daemon, lost)
    }

    fn kill_supervisor(&self) {
        let journal = self.context.journal();
        let program = pid(&journal["phase"]["Running"]["program"]);
        kill(pid(&journal["supervisor"]), Signal::SIGKILL).expect("it lives");
        assert!(wait_until(|| kill(program, None).is_err()));
    }

    /// What the journal says is changed, as whoever starts next will find it.
    fn edit_journal(&self, change: impl FnOnce(&mut Value)) {
        let mut journal = self.context.journal();
        change(&mut journal);
        let path = self.context.runs()[0].join("journal.json");
        fs::write(path, journal.to_string()).unwrap();
    }

    fn restart_machine(&self) {
        self.edit_journal(|journal| journal["boot"] = "another boot".into());
    }

    /// The whole console: the first run, why it ended, and the second run, each line once.
    #[track_caller]
    fn assert_ran_again(&self, loss: &str) {
        let context = &self.context;
        context.wait_for_status(&self.task, "completed");
        context.wait_for_no_runs();
        let console = context.console(&self.task);
        let queue = context.queue();
        let said = format!("Process failed, {loss}: the task goes back into queue {queue}\n");
        let (first, second) = console
            .split_once(&said)
            .unwrap_or_else(|| panic!("{console}"));
        let second = second
            .strip_suffix("Process completed successfully")
            .unwrap_or_else(|| panic!("{console}"));
        for (run, least) in [(first, 5), (second, 3)] {
            let (_, printed) = run.split_once("Starting Task Execution:\n\n").unwrap();
            let count = printed.lines().count();
            let expected: String = (1..=count)
                .map(|number| format!("line {number}\n"))
                .collect();
            assert!(count >= least && printed == expected, "{console}");
        }
        assert_eq!(second.matches("pulled from").count(), 1, "{console}");
        assert!(!second.contains("goes back"), "{console}");
        assert_eq!(context.requests("tasks.failed").len(), 0);
    }

    /// As before there was a setting.
    #[track_caller]
    fn assert_failed(&self, reason: &str) -> String {
        self.context.wait_for_status(&self.task, "failed");
        assert_eq!(self.context.reason(&self.task), reason);
        self.context.wait_for_no_runs();
        self.context.console(&self.task)
    }
}

pub(crate) fn requeuing() -> TestContext {
    let context = TestContext::new();
    context.configure(REQUEUES);
    context
}

/// With all calls through a proxy.
fn behind_proxy() -> (TestContext, FaultProxy) {
    let context = requeuing();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    (context, proxy)
}

pub(crate) fn pid(process: &Value) -> Pid {
    let pid = process["pid"].as_i64().expect("a process");
    Pid::from_raw(pid.try_into().unwrap())
}

/// D-299: what the program had printed is delivered, and the reason is the machine's.
#[test]
fn a_task_of_an_earlier_boot_has_failed() {
    let lost = Lost::in_context(TestContext::new());
    lost.restart_machine();
    let mut daemon = lost.context.daemon();
    let console = lost.assert_failed(RESTARTED);
    let end = format!(
        "Process failed, {RESTARTED} (hint: enqueue the task again; `{REQUEUES}` does that by itself)"
    );
    lost.counter.assert_complete(&console, &end);
    assert_eq!(daemon.terminate(), 254);
}

#[test]
fn a_task_of_an_earlier_boot_is_queued_again() {
    let lost = Lost::in_context(requeuing());
    lost.restart_machine();
    lost.counter.stop();
    let mut daemon = lost.context.daemon();
    lost.assert_ran_again(RESTARTED);
    let output = daemon.output();
    assert_eq!(
        output.matches("goes back into queue").count(),
        1,
        "{output}"
    );
    assert_eq!(daemon.terminate(), 254);
    assert_eq!(lost.context.leftovers(), Vec::<String>::new());
}

#[test]
fn a_task_whose_supervisor_was_killed_is_queued_again() {
    let (mut daemon, lost) = Lost::running(requeuing());
    lost.kill_supervisor();
    lost.counter.stop();
    lost.assert_ran_again("the agent process was lost");
    assert_eq!(daemon.terminate(), 254);
}

/// A queue that is gone takes nothing.
#[test]
fn a_task_without_a_queue_to_go_back_to_has_failed() {
    let lost = Lost::in_context(requeuing());
    let queue = lost.context.queue();
    lost.context
        .call("queues.create", json!({ "name": "another" }));
    lost.edit_journal(|journal| journal["queue"] = "0123456789abcdef0123456789abcdef".into());
    let mut daemon = lost.context.daemon();
    let console = lost.assert_failed("the agent process was lost");
    let said = "The task could not be put back into queue 0123456789abcdef0123456789abcdef: ";
    assert_eq!(console.matches(said).count(), 1, "{console}");
    assert!(console.ends_with("(hint: enqueue it again)\n"), "{console}");
    assert_eq!(daemon.terminate(), 254);
    let entries = lost
        .context
        .call("queues.get_by_id", json!({ "queue": queue }))["queue"]["entries"]
        .clone();
    assert_eq!(entries, json!([]));
}

/// `execute` has taken it from no queue that it knows.
#[test]
fn a_task_whose_queue_is_not_known_has_failed() {
    let lost = Lost::in_context(requeuing());
    lost.edit_journal(|journal| journal["queue"] = "".into());
    let mut daemon = lost.context.daemon();
    let console = lost.assert_failed("the agent process was lost");
    lost.counter
        .assert_complete(&console, super::recovery::LOST);
    assert_eq!(daemon.terminate(), 254);
}

/// Whatever becomes of the two calls, the task is in its queue once.
#[test]
fn a_lost_answer_queues_no_task_twice() {
    for fault in [
        Fault::AnswerLost,
        Fault::Twice,
        Fault::BadGateway,
        Fault::ServerError,
    ] {
        let (context, proxy) = behind_proxy();
        let lost = Lost::in_context(context);
        lost.counter.stop();
        let mut calls = vec!["tasks.stopped", "tasks.enqueue"];
        proxy.set(move |call| {
            let place = calls.iter().position(|one| *one == call)?;
            calls.remove(place);
            Some(fault)
        });
        let mut daemon = lost.context.daemon();
        lost.assert_ran_again("the agent process was lost");
        assert_eq!(
            proxy.faults(),
            ["tasks.stopped", "tasks.enqueue"],
            "{fault:?}"
        );
        assert_eq!(daemon.terminate(), 254);
    }
}

/// Killed between the two calls, again and again; nothing is said twice.
#[test]
fn a_supervisor_that_is_killed_on_the_way_back_is_replaced() {
    let (context, proxy) = behind_proxy();
    let lost = Lost::in_context(context);
    lost.counter.stop();
    for call in ["tasks.stopped", "tasks.enqueue"] {
        proxy.set(move |other| (other == call).then_some(Fault::BadGateway));
        let mut daemon = lost.context.daemon();
        let is_tried = wait_until(|| proxy.faults().iter().any(|one| one == call));
        assert!(is_tried, "{call}");
        daemon.kill();
        lost.context.processes().into_iter().for_each(|pid| {
            // Gone already is as good.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        });
        lost.context.wait_for_no_processes();
    }
    proxy.set(|_| None);
    let mut daemon = lost.context.daemon();
    lost.assert_ran_again("the agent process was lost");
    assert_eq!(daemon.terminate(), 254);
}

/// The supervisor is killed when its task is in the queue, and its journal does not say so: another worker runs the task meanwhile.
#[test]
fn a_task_that_another_worker_has_taken_is_left_to_it() {
    let lost = Lost::in_context(requeuing());
    let parking = lost.context.folder().join("parking");
    fs::create_dir(&parking).unwrap();
    let wish = format!("Settled:{}", parking.display());
    let mut daemon = lost.context.daemon_with(&[("CLEARML_AGENT_PARK", &wish)]);
    let parked = || fs::read_to_string(parking.join("Settled")).unwrap_or_default();
    assert!(wait_until(|| !parked().is_empty()));
    let mut other = lost
        .context
        .daemon_with(&[("CLEARML_WORKER_NAME", "other")]);
    let pulled = || {
        lost.context
            .console(&lost.task)
            .matches("pulled from")
            .count()
    };
    assert!(wait_until(|| pulled() == 2));
    lost.counter.wait_for(3);
    daemon.kill();
    kill(Pid::from_raw(parked().parse().unwrap()), Signal::SIGKILL).unwrap();
    let mut daemon = lost.context.daemon();
    assert!(wait_until(|| lost.context.runs().len() == 1));
    lost.counter.wait_for(3);
    assert_eq!(lost.context.status(&lost.task), "in_progress");
    lost.counter.stop();
    lost.context.wait_for_status(&lost.task, "completed");
    lost.context.wait_for_no_runs();
    assert_eq!(pulled(), 2);
    assert_eq!(daemon.terminate(), 254);
    assert_eq!(other.terminate(), 254);
}

/// D-247: what a user has decided meanwhile stays.
#[test]
fn a_task_that_was_aborted_meanwhile_is_not_queued_again() {
    let lost = Lost::in_context(requeuing());
    let stop = json!({ "task": lost.task, "status_reason": "enough", "force": true });
    lost.context.call("tasks.stopped", stop);
    let mut daemon = lost.context.daemon();
    lost.context.wait_for_no_runs();
    assert_eq!(lost.context.status(&lost.task), "stopped");
    assert_eq!(lost.context.reason(&lost.task), "enough");
    let console = lost.context.console(&lost.task);
    assert!(!console.contains("goes back into queue"), "{console}");
    assert_eq!(daemon.terminate(), 254);
}

/// D-228, D-247: the agent was lost before it could see that.
#[test]
fn a_task_that_was_being_aborted_is_not_queued_again() {
    let (mut daemon, lost) = Lost::running(requeuing());
    let supervisor = pid(&lost.context.journal()["supervisor"]);
    // It looks at nothing any more.
    kill(supervisor, Signal::SIGSTOP).expect("it lives");
    let stop = json!({ "task": lost.task, "force": false });
    lost.context.call("tasks.stop", stop);
    daemon.kill();
    lost.kill_supervisor();
    assert_eq!(lost.context.status(&lost.task), "in_progress");
    daemon = lost.context.daemon();
    lost.context.wait_for_no_runs();
    assert_eq!(lost.context.status(&lost.task), "stopped");
    let queue = json!({ "queue": lost.context.queue() });
    let queue = lost.context.call("queues.get_by_id", queue);
    assert_eq!(queue["queue"]["entries"], json!([]));
    let console = lost.context.console(&lost.task);
    assert!(!console.contains("goes back into queue"), "{console}");
    assert_eq!(daemon.terminate(), 254);
}
