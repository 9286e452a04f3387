//! Whoever was dead or cut off finds the task taken from it: another run is not ended, and nothing is said in its console.
//!
//! The agent of another machine is played by its calls, so that each state in which a run may find its task can be made.

use std::fs;

use nix::sys::signal::{Signal, kill};
use serde_json::json;

use super::loss::{Lost, pid, requeuing};
use super::support::containers::{containers, daemon};
use super::support::{Agent, Counter, Fault, FaultProxy, Script, TestContext, images, wait_until};

const LETS_GO: &str = "was begun again by another run";

/// The operator's part: the task leaves its dead run for a queue.
fn enqueue_again(context: &TestContext, task: &str, reset: bool) {
    let stop = json!({ "task": task, "status_reason": "its machine is dead", "force": true });
    context.call("tasks.stopped", stop);
    if reset {
        context.call("tasks.reset", json!({ "task": task, "force": true }));
    }
    let queue = context.call("queues.create", json!({ "name": "another" }));
    context.call(
        "tasks.enqueue",
        json!({ "task": task, "queue": queue["id"] }),
    );
}

/// The part of another machine's agent, as far as a program of its own.
fn run_elsewhere(context: &TestContext, task: &str) {
    let queues = context.call("queues.get_all", json!({ "name": "another" }));
    let next = json!({ "queue": queues["queues"][0]["id"] });
    let next = context.call("queues.get_next_task", next);
    assert_eq!(next["entry"]["task"], task);
    for message in ["pulled by agent", "Changed by clearml-agent elsewhere:0"] {
        let started = json!({ "task": task, "force": true, "status_message": message });
        context.call("tasks.started", started);
    }
}

/// As the web page shows it.
fn state(context: &TestContext, task: &str) -> [String; 3] {
    let message = context.field(task, "status_message");
    [
        context.status(task),
        message.as_str().unwrap_or_default().to_owned(),
        context.console(task),
    ]
}

/// A daemon clears up what an earlier one has left, and has said that.
#[track_caller]
fn clear_up(context: &TestContext) {
    let mut daemon = context.daemon();
    context.wait_for_no_runs();
    daemon.wait_for_output(LETS_GO);
    assert_eq!(daemon.terminate(), 254);
    assert_eq!(context.leftovers(), Vec::<String>::new());
}

/// The same, and nothing is said of the task, which stays as it was.
#[track_caller]
fn assert_left_alone(context: &TestContext, task: &str) -> [String; 3] {
    let before = state(context, task);
    clear_up(context);
    assert_eq!(state(context, task), before);
    before
}

#[test]
fn a_run_elsewhere_is_not_ended_by_the_agent_that_has_lost_the_task() {
    for (context, reset) in [(TestContext::new(), false), (requeuing(), true)] {
        let lost = Lost::in_context(context);
        let (context, task) = (&lost.context, lost.task.as_str());
        enqueue_again(context, task, reset);
        run_elsewhere(context, task);
        let before = assert_left_alone(context, task);
        assert_eq!(before[0], "in_progress");
    }
}

/// Its journal knows how the program ended, but not that anybody was told.
#[test]
fn an_end_that_nobody_was_told_of_is_no_other_runs_end() {
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    let (mut daemon, lost) = Lost::running(context);
    let (context, task) = (&lost.context, lost.task.as_str());
    proxy.set(|_| Some(Fault::Refused));
    lost.counter.stop();
    assert!(wait_until(
        || context.journal()["phase"]["Ended"]["outcome"] == json!({ "Exited": 0 })
    ));
    let supervisor = pid(&context.journal()["supervisor"]);
    daemon.kill();
    kill(supervisor, Signal::SIGKILL).expect("it lives");
    enqueue_again(context, task, false);
    run_elsewhere(context, task);
    let before = state(context, task);
    proxy.set(|_| None);
    clear_up(context);
    assert_eq!(state(context, task), before);
}

#[test]
fn a_task_that_waits_in_a_queue_again_is_left_there() {
    for reset in [false, true] {
        let lost = Lost::in_context(requeuing());
        let (context, task) = (&lost.context, lost.task.as_str());
        enqueue_again(context, task, reset);
        let before = assert_left_alone(context, task);
        assert_eq!(before[0], "queued");
    }
}

#[test]
fn a_task_that_was_reset_gets_no_lines_of_the_run_before() {
    let lost = Lost::in_context(TestContext::new());
    let (context, task) = (&lost.context, lost.task.as_str());
    let reset = json!({ "task": task, "force": true });
    context.call("tasks.reset", reset);
    clear_up(context);
    assert_eq!(state(context, task), ["created", "reset", ""]);
}

/// D-247: the console of the run is whole, and the status that somebody has set stays.
#[test]
fn a_task_that_somebody_has_ended_keeps_its_status() {
    for (call, status) in [
        ("tasks.stopped", "stopped"),
        ("tasks.failed", "failed"),
        ("tasks.completed", "completed"),
    ] {
        let lost = Lost::in_context(requeuing());
        let (context, task) = (&lost.context, lost.task.as_str());
        let end = json!({ "task": task, "status_reason": "enough", "force": true });
        context.call(call, end);
        let mut daemon = context.daemon();
        context.wait_for_no_runs();
        assert_eq!(context.status(task), status);
        assert_eq!(context.reason(task), "enough");
        let said =
            format!("Process failed, the agent process was lost; the task was {status} already");
        lost.counter.assert_complete(&context.console(task), &said);
        assert_eq!(daemon.terminate(), 254);
    }
}

/// The agent was killed before it had said a word of the task.
#[test]
fn a_task_that_was_only_pulled_is_not_run_twice() {
    let context = TestContext::new();
    let (counter, script) = Counter::new(&context, "");
    let task = context.enqueue(script);
    let parking = context.folder().join("parking");
    fs::create_dir(&parking).unwrap();
    let wish = format!("Recorded:{}", parking.display());
    let mut daemon = context.daemon_with(&[("CLEARML_AGENT_PARK", &wish)]);
    let parked = || fs::read_to_string(parking.join("Recorded")).unwrap_or_default();
    assert!(wait_until(|| !parked().is_empty()));
    daemon.kill();
    context.wait_for_no_processes();
    let path = context.runs()[0].join("journal.json");
    let mut journal = context.journal();
    // A while ago.
    journal["since"] = json!(1_700_000_000_000_u64);
    fs::write(path, journal.to_string()).unwrap();
    enqueue_again(&context, &task, true);
    run_elsewhere(&context, &task);
    assert_left_alone(&context, &task);
    assert_eq!(counter.count(), 0);
}

/// The network is away, and the operator takes the machine for dead; its supervisor lives, and its program prints on.
#[test]
fn a_machine_that_was_cut_off_lets_go_of_a_task_that_runs_elsewhere() {
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    let (mut daemon, lost) = Lost::running(context);
    let (context, task) = (&lost.context, lost.task.as_str());
    proxy.set(|_| Some(Fault::Refused));
    lost.counter.wait_for(5);
    enqueue_again(context, task, true);
    run_elsewhere(context, task);
    let before = state(context, task);
    lost.counter.wait_for(60);
    let program = pid(&context.journal()["phase"]["Running"]["program"]);
    proxy.set(|_| None);
    context.wait_for_no_runs();
    daemon.wait_for_output(LETS_GO);
    assert!(wait_until(|| kill(program, None).is_err()));
    assert_eq!(state(context, task), before);
    assert_eq!(daemon.terminate(), 254);
}

/// The machine, or the agent alone, has slept meanwhile, and knows nothing of it.
#[test]
fn an_agent_that_was_stopped_lets_go_of_a_task_that_runs_elsewhere() {
    let (daemon, lost) = Lost::running(TestContext::new());
    lose_while_stopped(daemon, &lost, 60);
}

/// The next look at the task is seconds away, and the next lines are not.
#[test]
fn an_agent_that_was_stopped_between_two_looks_sends_nothing_before_the_next_one() {
    let variables = [("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "5")];
    let (daemon, lost) = Lost::running_with(TestContext::new(), &variables);
    lose_while_stopped(daemon, &lost, 120);
}

/// Another run begins while daemon and supervisor are stopped and the program prints as many lines.
#[track_caller]
fn lose_while_stopped(mut daemon: Agent, lost: &Lost, lines: usize) {
    let (context, task) = (&lost.context, lost.task.as_str());
    let supervisor = pid(&context.journal()["supervisor"]);
    for signal in [Signal::SIGSTOP, Signal::SIGCONT] {
        daemon.signal(signal);
        kill(supervisor, signal).expect("it lives");
        if signal == Signal::SIGCONT {
            break;
        }
        enqueue_again(context, task, true);
        run_elsewhere(context, task);
        lost.counter.wait_for(lines);
        assert_eq!(context.console(task), "");
    }
    context.wait_for_no_runs();
    daemon.wait_for_output(LETS_GO);
    assert_eq!(context.console(task), "");
    assert_eq!(context.status(task), "in_progress");
    assert_eq!(daemon.terminate(), 254);
}

/// Its worker is dead, and its supervisor alone watches over it.
#[test]
fn a_supervisor_alone_lets_go_of_a_task_that_runs_elsewhere() {
    let (mut daemon, lost) = Lost::running(TestContext::new());
    let (context, task) = (&lost.context, lost.task.as_str());
    daemon.kill();
    enqueue_again(context, task, false);
    run_elsewhere(context, task);
    context.wait_for_no_runs();
    context.wait_for_no_processes();
    assert_eq!(context.status(task), "in_progress");
    assert!(
        !context.console(task).contains("Process "),
        "{}",
        context.console(task)
    );
}

/// Its program may complete the task and go on: that is no other run.
#[test]
fn a_program_that_begins_its_own_task_anew_is_not_ended() {
    let (mut daemon, lost) = Lost::running(TestContext::new());
    let (context, task) = (&lost.context, lost.task.as_str());
    let looks = || context.requests("tasks.get_all").len();
    context.call("tasks.completed", json!({ "task": task, "force": true }));
    context.call("tasks.started", json!({ "task": task, "force": true }));
    let before = looks();
    assert!(wait_until(|| looks() > before + 4));
    lost.counter.stop();
    context.wait_for_status(task, "completed");
    lost.counter
        .assert_complete(&context.console(task), "Process completed successfully");
    assert_eq!(daemon.terminate(), 254);
}

/// A container outlives its agent; it does not outlive its right to the task.
#[test]
fn a_container_of_a_task_that_runs_elsewhere_is_removed() {
    let context = TestContext::new();
    let (counter, script) = Counter::new(&context, "");
    let task = context.enqueue(script);
    let mut first = daemon(&context, &images::python(), &[]);
    context.wait_for_console(&task, "line 5\n");
    let supervisor = pid(&context.journal()["supervisor"]);
    first.kill();
    kill(supervisor, Signal::SIGKILL).expect("it lives");
    counter.wait_for(5);
    enqueue_again(&context, &task, true);
    run_elsewhere(&context, &task);
    let before = state(&context, &task);
    let mut second = daemon(&context, &images::python(), &[]);
    context.wait_for_no_runs();
    second.wait_for_output(LETS_GO);
    assert!(containers(&task).is_empty());
    assert_eq!(state(&context, &task), before);
    assert_eq!(second.terminate(), 254);
}

/// `execute` with a counting program, killed with it.
fn killed_execute(context: &TestContext) -> (Counter, String) {
    let (counter, script) = Counter::new(context, "");
    let task = context.create(script);
    let mut agent = context.start(&["execute", "--id", &task]);
    context.wait_for_console(&task, "line 5\n");
    let program = pid(&context.journal()["phase"]["Running"]["program"]);
    agent.kill();
    assert!(wait_until(|| kill(program, None).is_err()));
    assert_eq!(context.status(&task), "in_progress");
    (counter, task)
}

/// Nobody runs a daemon there.
#[test]
fn the_next_execute_settles_what_a_killed_one_has_left() {
    let context = TestContext::new();
    let (_, lost) = killed_execute(&context);
    let next = context.create(Script::shell("echo done"));
    let mut agent = context.start(&["execute", "--id", &next]);
    agent.wait_for_output(&format!("Task '{lost}' was lost with an earlier execute"));
    assert_eq!(agent.wait(), 0);
    context.wait_for_status(&lost, "failed");
    assert_eq!(context.reason(&lost), "the agent process was lost");
    assert_eq!(context.status(&next), "completed");
    context.wait_for_no_runs();
    assert_eq!(context.leftovers(), Vec::<String>::new());
}

/// Its program dies with it; what has hidden itself is ended before anybody runs the task again.
#[test]
fn what_a_killed_execute_has_started_ends_with_the_next_one() {
    let context = TestContext::new();
    let hidden = context.folder().join("hidden");
    let task = context.create(Script::shell(&format!(
        "if [ -e {0} ]; then
             # One that has ended has no words, though nobody may have asked yet how it ended.
             if grep -qs sleep /proc/$(cat {0})/cmdline; then echo it lives; else echo it is gone; fi; exit 0
         fi
         ( env -i setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600' & )
         until [ -e {0} ]; do sleep 0.05; done; echo up; sleep 600",
        hidden.display()
    )));
    let mut agent = context.start(&["execute", "--id", &task]);
    agent.wait_for_output("up\n");
    agent.kill();
    let pid = fs::read_to_string(&hidden).unwrap();
    let process = std::path::Path::new("/proc").join(pid.trim());
    assert!(process.exists());
    let again = context.run(&["execute", "--id", &task]);
    assert_eq!(again.code, 0, "{}", again.stdout);
    assert!(again.stdout.contains("it is gone\n"), "{}", again.stdout);
}

#[test]
fn a_task_of_a_killed_execute_may_run_again_at_once() {
    let context = TestContext::new();
    let (counter, task) = killed_execute(&context);
    let mut agent = context.start(&["execute", "--id", &task]);
    counter.stop();
    assert_eq!(agent.wait(), 0);
    assert_eq!(context.status(&task), "completed");
    let console = context.console(&task);
    let (first, second) = console.split_once("Process failed, ").unwrap();
    assert!(first.contains("line 5\n"), "{console}");
    assert!(second.contains("line 1\nline 2\n"), "{console}");
    assert!(!second.contains("Process failed"), "{console}");
    context.wait_for_no_runs();
}

/// The server cannot tell the two: the task was in progress all the time.
#[test]
fn a_lost_run_does_not_end_the_one_that_took_its_place_on_the_machine() {
    let context = TestContext::new();
    let (counter, task) = killed_execute(&context);
    let lost = context.runs().remove(0);
    let aside = context.folder().join("aside");
    fs::rename(&lost, &aside).unwrap();
    let mut agent = context.start(&["execute", "--id", &task]);
    agent.wait_for_output("Storing stdout and stderr log");
    counter.wait_for(5);
    fs::rename(&aside, &lost).unwrap();
    let mut daemon = context.daemon();
    daemon.wait_for_output(LETS_GO);
    assert!(wait_until(|| context.runs().len() == 1));
    counter.stop();
    assert_eq!(agent.wait(), 0);
    assert_eq!(context.status(&task), "completed");
    assert_eq!(daemon.terminate(), 254);
    let console = context.console(&task);
    assert!(!console.contains("lost"), "{console}");
}

/// Nobody was dead or cut off: an operator's script was faster than the next look at the task, and than the program's end.
#[test]
fn a_task_that_was_taken_between_two_looks_is_let_go() {
    for is_over in [false, true] {
        let context = TestContext::new();
        let (counter, script) = Counter::new(&context, "");
        let task = context.enqueue(script);
        let interval = if is_over { "30" } else { "2" };
        let mut daemon = context.daemon_with(&[("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", interval)]);
        context.wait_for_console(&task, "line 5\n");
        enqueue_again(&context, &task, true);
        let report =
            json!({ "worker": "elsewhere:0", "task": task, "timestamp": now(), "queues": [] });
        context.call("workers.status_report", report);
        run_elsewhere(&context, &task);
        if is_over {
            // What was heard a second ago is believed.
            counter.wait_for(60);
            counter.stop();
        }
        context.wait_for_no_runs();
        daemon.wait_for_output(LETS_GO);
        let [status, message, console] = state(&context, &task);
        assert_eq!(status, "in_progress");
        assert_eq!(message, "Changed by clearml-agent elsewhere:0");
        assert!(!console.contains("Process "), "{console}");
        assert_eq!(daemon.terminate(), 254);
    }
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    u64::try_from(now.unwrap().as_millis()).unwrap()
}

/// Two programs of one task write the same files.
#[test]
fn who_starts_a_task_that_runs_here_is_told() {
    let context = TestContext::new();
    let (counter, script) = Counter::new(&context, "");
    let task = context.enqueue(script);
    let mut daemon = context.daemon();
    context.wait_for_console(&task, "line 5\n");
    let mut agent = context.start(&["execute", "--id", &task]);
    agent.wait_for_output(&format!(
        "Warning: task '{task}' runs on this machine already, by worker 'host:0' (process "
    ));
    counter.stop();
    agent.wait();
    assert_eq!(daemon.terminate(), 254);
}
