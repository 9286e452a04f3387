//! Ending a task early: by the server, by a signal, by a user who changes the task under our hands.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::support::{Agent, Fault, FaultProxy, Gate, Script, TestContext, wait_until};

/// A service manager's patience is 10 seconds at least; a machine under test is slow.
const SECONDS: Duration = Duration::from_secs(25);
/// Less than any limit of a shutdown that waits for its server.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A task that runs until it is stopped: its program listens to no signal, and has started two more.
struct Running {
    context: TestContext,
    daemon: Agent,
    task: String,
    /// Opened, it lets the program end by itself.
    gate: Gate,
}

impl Running {
    fn new() -> Self {
        Self::in_context(TestContext::new())
    }

    fn in_context(context: TestContext) -> Self {
        let gate = context.gate("gate");
        let script = format!(
            "trap '' TERM INT HUP
             echo $$ > {0}/pids
             sleep 600 & echo $! >> {0}/pids
             ( setsid sleep 600 & echo $! >> {0}/pids )
             echo up and running
             {1}",
            context.folder().display(),
            gate.wait()
        );
        let task = context.enqueue(Script::shell(&script));
        let daemon = context.daemon();
        context.wait_for_console(&task, "up and running\n");
        Self {
            context,
            daemon,
            task,
            gate,
        }
    }

    /// Presses Abort on the web page: the server leaves it to the agent, since it has heard of one (D-185).
    fn abort(&self) {
        let reported = wait_until(|| self.context.field(&self.task, "last_worker") == "host:0");
        assert!(reported);
        self.change("tasks.stop");
        assert_eq!(self.context.status(&self.task), "in_progress");
    }

    fn change(&self, endpoint: &str) {
        let body = json!({ "task": self.task, "force": true });
        self.context.call(endpoint, body);
    }

    /// No process of the program lives, and the run is settled.
    #[track_caller]
    fn assert_gone(&self) {
        self.context.wait_for_no_runs();
        let pids = fs::read_to_string(self.context.folder().join("pids")).unwrap();
        assert_eq!(pids.lines().count(), 3);
        for pid in pids.lines() {
            let gone = wait_until(|| !Path::new("/proc").join(pid).exists());
            assert!(gone, "{pid} lives");
        }
    }

    /// The daemon goes on: it runs another task.
    #[track_caller]
    fn assert_daemon_works(&self) {
        let next = self.context.enqueue(Script::shell("echo next"));
        self.context.wait_for_status(&next, "completed");
    }

    /// Nothing of agent or program is left: no process, no file, no worker at the server.
    #[track_caller]
    fn assert_nothing_left(&self) {
        self.assert_gone();
        assert_eq!(self.context.leftovers(), Vec::<String>::new());
        assert_eq!(self.context.processes(), Vec::<i32>::new());
        assert_eq!(self.context.workers(), Vec::<String>::new());
    }

    /// Final statuses that the agent has set.
    fn settlements(&self) -> Vec<Value> {
        let requests = self.context.server.requests();
        let ours = requests.iter().filter(|request| {
            let calls = ["tasks.completed", "tasks.failed", "tasks.stopped"];
            calls.contains(&request.endpoint.as_str()) && request.body["task"] == self.task
        });
        ours.map(|request| request.body.clone()).collect()
    }

    /// Levels and texts of the last events of the log that are not the program's own.
    fn notices(&self) -> Vec<(String, String)> {
        let requests = self.context.requests("events.add_batch");
        let events = requests
            .iter()
            .filter_map(|request| request.body["__json_lines__"].as_array().cloned())
            .flatten();
        let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
        events
            .filter(|event| event["task"] == self.task)
            .map(|event| (text(&event, "level"), text(&event, "msg")))
            .skip_while(|(_, message)| !message.ends_with("up and running\n"))
            .skip(1)
            .collect()
    }
}

fn notice(level: &str, text: &str) -> (String, String) {
    (level.to_owned(), text.to_owned())
}

/// D-228, D-235, D-236, D-242, D-248, D-350
#[test]
fn a_task_is_aborted_by_the_user() {
    let running = Running::new();
    running.abort();
    running.context.wait_for_status(&running.task, "stopped");
    let reason = running.context.reason(&running.task);
    assert_eq!(reason, "task was stopped by tasks.stop");
    let message = running.context.field(&running.task, "status_message");
    assert_eq!(message, "Changed by clearml-agent host:0");
    let expected = [
        notice("ERROR", "User aborted: stopping task (1) stopped\n"),
        notice("DEBUG", "Process aborted by user"),
    ];
    assert_eq!(running.notices(), expected);
    let done = format!("DONE: Running task '{}' (user aborted)", running.task);
    running.daemon.wait_for_output(&done);
    running.daemon.wait_for_output("Process aborted by user\n");
    running.assert_gone();
    running.assert_daemon_works();
}

/// D-243
#[test]
fn a_task_that_failed_while_it_was_aborted_stays_failed() {
    let running = Running::new();
    // Longer than the abort takes to be seen, and ended by the program's own change of its status.
    let runtime = json!({ "_abort_callback_timeout": 600, "_abort_poll_freq": 1 });
    let edit = json!({ "task": running.task, "force": true, "runtime": runtime });
    running.context.call("tasks.edit", edit);
    running.abort();
    running
        .context
        .wait_for_console(&running.task, "### Task abort callback timeout set");
    running.change("tasks.failed");
    let runtime = json!({ "_abort_callback_timeout": 600, "_abort_callback_completed": 1 });
    let edit = json!({ "task": running.task, "force": true, "runtime": runtime });
    running.context.call("tasks.edit", edit);
    running.assert_gone();
    assert_eq!(running.context.status(&running.task), "failed");
    let text = "Process aborted by user - Task status was Failed";
    assert!(running.context.console(&running.task).ends_with(text));
    assert_eq!(running.settlements(), Vec::<Value>::new());
}

/// D-238: a program whose abort callback ended it by force was aborted, it has not failed.
#[test]
fn a_program_killed_by_its_abort_callback_was_aborted() {
    let context = TestContext::new();
    let gate = context.gate("gate");
    let task = context.enqueue(Script::shell(&format!("{}\nkill -9 $$", gate.wait())));
    let _daemon = context.daemon();
    context.wait_for_console(&task, "Starting Task Execution");
    let runtime = json!({ "_abort_callback_timeout": 600, "_abort_callback_completed": 1 });
    let edit = json!({ "task": task, "force": true, "runtime": runtime });
    context.call("tasks.edit", edit);
    gate.open();
    context.wait_for_status(&task, "stopped");
    assert_eq!(context.reason(&task), "task was stopped by tasks.stop");
    assert!(context.console(&task).ends_with("Process aborted by user"));
}

/// D-229, D-235, D-244, D-350
#[test]
fn a_task_whose_status_somebody_sets_is_stopped_and_keeps_it() {
    for (endpoint, status, text) in [
        (
            "tasks.stopped",
            "stopped",
            "User aborted: stopping task (3) status_changed\n",
        ),
        (
            "tasks.failed",
            "failed",
            "Task failed: stopping task (4) exception\n",
        ),
    ] {
        let running = Running::new();
        running.change(endpoint);
        running.assert_gone();
        assert_eq!(running.context.status(&running.task), status);
        assert_eq!(running.notices(), [notice("ERROR", text)]);
        assert_eq!(running.settlements(), Vec::<Value>::new());
        let done = format!("DONE: Running task '{}' (user aborted)", running.task);
        running.daemon.wait_for_output(&done);
        running.assert_daemon_works();
    }
}

/// D-231, D-244, D-350
#[test]
fn a_reset_task_is_stopped_after_five_looks() {
    let running = Running::new();
    running.change("tasks.reset");
    running.assert_gone();
    assert_eq!(running.context.status(&running.task), "created");
    let mut expected: Vec<(String, String)> = (1..=4)
        .map(|seen| {
            let text = format!(
                "Warning: Task {} was reset! if state is consistent we shall terminate ({seen}/4).",
                running.task
            );
            notice("WARNING", &text)
        })
        .collect();
    expected.push(notice("ERROR", "User aborted: stopping task (2) reset\n"));
    assert_eq!(running.notices(), expected);
    assert_eq!(running.settlements(), Vec::<Value>::new());
    running.assert_daemon_works();
}

/// D-231: a reset that was taken back within four looks is forgotten.
#[test]
fn a_task_that_was_reset_by_mistake_goes_on() {
    let running = Running::new();
    running.change("tasks.reset");
    running
        .context
        .wait_for_console(&running.task, "was reset!");
    running.change("tasks.started");
    let looks = || running.context.requests("tasks.get_all").len();
    let before = looks();
    assert!(wait_until(|| looks() > before + 5));
    running.gate.open();
    running.context.wait_for_status(&running.task, "completed");
}

/// D-232, D-235, D-244, D-350
#[test]
fn a_deleted_task_is_stopped() {
    let running = Running::new();
    running.change("tasks.delete");
    running.assert_gone();
    let done = format!("DONE: Running task '{}' (user aborted)", running.task);
    running.daemon.wait_for_output(&done);
    assert_eq!(running.settlements(), Vec::<Value>::new());
    running.assert_daemon_works();
}

/// A `git` that answers nothing.
fn hanging_git(context: &TestContext) -> String {
    let folder = context.folder().join("bin");
    fs::create_dir(&folder).unwrap();
    let git = folder.join("git");
    let pids = context.folder().join("pids");
    let text = format!(
        "#!/bin/bash\ntrap '' TERM\necho $$ > {0}\nsleep 600 & echo $! >> {0}\nwait\n",
        pids.display()
    );
    fs::write(&git, text).unwrap();
    fs::set_permissions(&git, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

/// D-228, D-236, D-242: an abort ends the preparation with all its programs.
#[test]
fn a_task_is_aborted_while_its_code_is_fetched() {
    let context = TestContext::new();
    let path = hanging_git(&context);
    let script = Script::shell("")
        .with("repository", "https://example.invalid/code.git")
        .with("branch", "main");
    let task = context.enqueue(script);
    let _daemon = context.daemon_with(&[("PATH", &path)]);
    let pids = context.folder().join("pids");
    let lines = || {
        fs::read_to_string(&pids)
            .unwrap_or_default()
            .lines()
            .count()
    };
    assert!(wait_until(|| lines() == 2), "{}", context.console(&task));
    assert!(wait_until(
        || context.field(&task, "last_worker") == "host:0"
    ));
    context.call("tasks.stop", json!({ "task": task }));
    context.wait_for_status(&task, "stopped");
    assert_eq!(context.reason(&task), "task was stopped by tasks.stop");
    let console = context.console(&task);
    let end = "User aborted: stopping task (1) stopped\nProcess aborted by user";
    assert!(console.ends_with(end), "{console}");
    assert!(!console.contains("ERROR"), "{console}");
    for pid in fs::read_to_string(&pids).unwrap().lines() {
        let gone = wait_until(|| !Path::new("/proc").join(pid).exists());
        assert!(gone, "{pid} lives");
    }
    context.wait_for_no_runs();
}

/// A daemon that another program, with these words, becomes.
fn daemon_by(context: &TestContext, words: &[&str]) -> Agent {
    let daemon = context.command(&["daemon", "--queue", "default", "--foreground"]);
    let mut command = context.beside_agent(words[0]);
    command.args(&words[1..]);
    command.arg(daemon.get_program()).args(daemon.get_args());
    context.start_command(command)
}

/// D-294, D-296, D-058, D-133, D-149, D-352
#[test]
fn a_signal_ends_the_idle_daemon() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let context = TestContext::new();
        // Whoever runs the tests may ignore it.
        let mut daemon = daemon_by(&context, &["env", "--default-signal=HUP"]);
        daemon.wait_for_output("No tasks in Queues, sleeping for 0.2 seconds");
        assert_eq!(context.workers(), ["host:0"]);
        assert_eq!(context.leftovers().len(), 1);
        daemon.signal(signal);
        assert_eq!(daemon.wait(), 254, "{signal}");
        let end = format!("\nLeaving process id {}\n", daemon.pid());
        assert!(daemon.output().ends_with(&end), "{}", daemon.output());
        assert_eq!(context.leftovers(), Vec::<String>::new());
        assert_eq!(context.workers(), Vec::<String>::new());
        assert_eq!(context.requests("workers.unregister").len(), 1);
    }
}

/// D-298: who starts it by nohup means to close the terminal.
#[test]
fn a_daemon_of_nohup_does_not_mind_a_closed_terminal() {
    let context = TestContext::new();
    let mut daemon = daemon_by(&context, &["nohup"]);
    daemon.wait_for_output("No tasks in Queues");
    daemon.signal(Signal::SIGHUP);
    let task = context.enqueue(Script::shell("true"));
    context.wait_for_status(&task, "completed");
    assert_eq!(daemon.terminate(), 254);
}

/// D-303: a server that does not let the worker go does not keep it.
#[test]
fn a_farewell_that_is_refused_is_a_warning() {
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    let mut daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    proxy.set(|call| (call == "workers.unregister").then_some(Fault::ServerError));
    assert_eq!(daemon.terminate(), 254);
    let warning = "could not unregister the worker: ";
    assert!(daemon.output().contains(warning), "{}", daemon.output());
    assert_eq!(context.leftovers(), Vec::<String>::new());
}

/// D-295, D-058, D-133, D-149, D-153, D-245, D-352
#[test]
fn sigterm_ends_task_and_daemon() {
    let mut running = Running::new();
    assert_eq!(running.daemon.terminate(), 254);
    assert_eq!(running.context.status(&running.task), "stopped");
    assert_eq!(running.context.reason(&running.task), "user abort");
    let expected = [notice("DEBUG", "Process terminated by user")];
    assert_eq!(running.notices(), expected);
    assert_eq!(running.settlements().len(), 1);
    running.assert_nothing_left();
}

/// D-153, D-297, D-352: the daemon goes on; the next Ctrl-C ends it.
#[test]
fn ctrl_c_ends_the_task_first_and_then_the_daemon() {
    let mut running = Running::new();
    running.daemon.signal(Signal::SIGINT);
    running.context.wait_for_status(&running.task, "stopped");
    assert_eq!(running.context.reason(&running.task), "user abort");
    let expected = [notice("DEBUG", "Process terminated by user")];
    assert_eq!(running.notices(), expected);
    running
        .daemon
        .wait_for_output("press Ctrl-C again to end the agent");
    running.assert_gone();
    running.assert_daemon_works();
    let rests = || {
        running
            .daemon
            .output()
            .matches("No tasks in Queues")
            .count()
    };
    let before = rests();
    assert!(wait_until(|| rests() > before));
    running.daemon.signal(Signal::SIGINT);
    assert_eq!(running.daemon.wait(), 254);
    running.assert_nothing_left();
}

/// D-297: while the server is away the first Ctrl-C cannot be told to it; the second one ends the daemon.
#[test]
fn a_second_ctrl_c_ends_a_daemon_whose_server_is_away() {
    let mut running = Running::new();
    running.context.server.stop_listening().unwrap();
    running.daemon.signal(Signal::SIGINT);
    running
        .daemon
        .wait_for_output("press Ctrl-C again to end the agent");
    running.daemon.signal(Signal::SIGINT);
    assert_eq!(running.daemon.wait(), 254);
    running.context.server.resume().unwrap();
    running.context.wait_for_no_processes();
    let _daemon = running.context.daemon();
    running.context.wait_for_status(&running.task, "stopped");
}

/// D-300, D-352: no hanging where the server is away.
#[test]
fn sigterm_does_not_wait_for_a_server_that_is_away() {
    let context = TestContext::new();
    let mut daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    context.server.stop_listening().unwrap();
    daemon.wait_for_output("the server does not answer");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_at_most(SECONDS), 254);
    assert_eq!(context.leftovers(), Vec::<String>::new());
}

/// D-300, D-295: what could not be told to the server is told by the next daemon; nothing runs until then.
#[test]
fn the_next_daemon_settles_what_sigterm_had_to_leave() {
    let mut running = Running::new();
    running.context.server.stop_listening().unwrap();
    running.daemon.signal(Signal::SIGTERM);
    assert_eq!(running.daemon.wait_at_most(SECONDS), 254);
    running.context.wait_for_no_processes();
    running.daemon.wait_for_output(&format!(
        "Warning: the server could not be told how task '{}' ended; the next agent on this machine will",
        running.task
    ));
    assert_eq!(running.context.runs().len(), 1);
    let slots = running.context.leftovers();
    assert!(
        !slots.iter().any(|name| name.starts_with(".clearmlagent_")),
        "{slots:?}"
    );

    running.context.server.resume().unwrap();
    assert_eq!(running.context.status(&running.task), "in_progress");
    running.daemon = running.context.daemon();
    running.context.wait_for_status(&running.task, "stopped");
    assert_eq!(running.context.reason(&running.task), "user abort");
    let expected = [notice("DEBUG", "Process terminated by user")];
    assert_eq!(running.notices(), expected);
    running.assert_daemon_works();
    assert_eq!(running.daemon.terminate(), 254);
    running.assert_nothing_left();
}

/// D-301
#[test]
fn a_second_sigterm_ends_the_daemon_at_once() {
    let mut running = Running::new();
    running.context.server.stop_listening().unwrap();
    running.daemon.signal(Signal::SIGTERM);
    running.daemon.wait_for_output("Leaving process id");
    running.daemon.signal(Signal::SIGTERM);
    assert_eq!(running.daemon.wait_at_most(AT_ONCE), 254);
    running.context.wait_for_no_processes();
}

/// D-295, D-172: whenever the signal comes, the task is neither lost nor left running.
#[test]
fn sigterm_in_the_middle_of_a_pull_loses_no_task() {
    for moment in [
        "queues.get_next_task",
        "workers.status_report",
        "tasks.started",
        "tasks.get_by_id",
    ] {
        let context = TestContext::new();
        let gate = context.gate("gate");
        let mut daemon = context.daemon();
        daemon.wait_for_output("No tasks in Queues");
        let before = context.requests(moment).len();
        let task = context.enqueue(Script::shell(&gate.wait()));
        let pulled = wait_until(|| {
            let requests = context.requests(moment);
            requests.iter().skip(before).any(|request| {
                request.response.to_string().contains(&task)
                    || request.body.to_string().contains(&task)
            })
        });
        assert!(pulled, "{moment}");
        assert_eq!(daemon.terminate(), 254);
        context.wait_for_no_runs();
        context.wait_for_no_processes();
        let status = context.status(&task);
        let queue = context.call("queues.get_by_id", json!({ "queue": context.queue() }));
        let waits = queue["queue"]["entries"].to_string().contains(&task);
        assert!(
            (status == "stopped") != (status == "queued" && waits),
            "{moment}: {status}, {waits}"
        );
        assert_eq!(context.leftovers(), Vec::<String>::new(), "{moment}");
    }
}

/// SIGUSR1 leaves the task to the next worker.
#[test]
fn sigusr1_hands_the_task_over_to_the_next_daemon() {
    let mut running = Running::new();
    running.daemon.signal(Signal::SIGUSR1);
    assert_eq!(running.daemon.wait(), 0);
    assert_eq!(running.context.status(&running.task), "in_progress");
    assert_eq!(running.context.requests("workers.unregister").len(), 0);
    running.daemon = running.context.daemon();
    let adopted = format!("Adopted running task '{}'", running.task);
    running.daemon.wait_for_output(&adopted);
    running.gate.open();
    running.context.wait_for_status(&running.task, "completed");
    running.assert_gone();
    running.assert_daemon_works();
    assert_eq!(running.daemon.terminate(), 254);
    running.assert_nothing_left();
}

/// D-080, D-252, E-268: a command of the site has its time before the program is ended.
#[test]
fn a_command_of_the_site_runs_before_the_program_is_ended() {
    let context = TestContext::new();
    let script = "echo \"own [$CLEARML_AGENT_ABORT_CALLBACK_CMD], registered [$CLEARML_AGENT_ABORT_CALLBACK_CMD_REGISTERED]\"; sleep 600";
    let task = context.enqueue(Script::shell(script));
    let command = "echo saving $((40 + 2))";
    let variables = [
        ("CLEARML_AGENT_ABORT_CALLBACK_CMD", command),
        ("CLEARML_AGENT_ABORT_CALLBACK_TIMEOUT", "60"),
    ];
    let mut daemon = context.daemon_with(&variables);
    context.wait_for_console(&task, &format!("own [], registered [{command}]\n"));
    let runtime = context.field(&task, "runtime");
    assert_eq!(runtime["_abort_callback_timeout"], "60");
    let reported = wait_until(|| context.field(&task, "last_worker") == "host:0");
    assert!(reported);
    context.call("tasks.stop", json!({ "task": task }));
    context.wait_for_status(&task, "stopped");
    context.wait_for_no_runs();
    let console = context.console(&task);
    for part in [
        "INFO: registering bash callback, timout 60s: [echo saving $((40 + 2))]\n",
        "### Task abort callback timeout set, waiting for max 70 sec ###\n",
        "### Task abort callback completed in ",
        "Process aborted by user",
    ] {
        assert!(console.contains(part), "{part} in {console}");
    }
    assert_eq!(console.matches("saving 42\n").count(), 1, "{console}");
    assert_eq!(
        context.field(&task, "runtime")["_abort_callback_completed"],
        1
    );
    assert_eq!(daemon.terminate(), 254);
}

/// E-266, E-268: also where the agent would have become the program itself.
#[test]
fn a_command_of_the_site_runs_below_somebody_elses_agent() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo running; sleep 600"));
    let mut command = context.command(&["execute", "--id", &task, "--disable-monitoring"]);
    command.env("CLEARML_AGENT_ABORT_CALLBACK_CMD", "echo saving");
    let mut agent = context.start_command(command);
    agent.wait_for_output("\nrunning\n");
    context.call("tasks.stop", json!({ "task": task, "force": true }));
    agent.wait_for_output("\nsaving\n");
    let completed = || context.field(&task, "runtime")["_abort_callback_completed"] == 1;
    assert!(wait_until(completed));
    assert_eq!(agent.terminate(), 256 - 15);
}
