//! Processes of the agent are killed: worker, supervisor, both; no task is lost, run twice or left running.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::support::{Agent, Counter, Fault, FaultProxy, Script, TestContext, wait_until};

const COMPLETED: &str = "Process completed successfully";
pub(crate) const LOST: &str = "Process failed, the agent process was lost (hint: enqueue the task again; \
    `agent.requeue_on_agent_loss: true` does that by itself)";

/// A counting task under a daemon.
struct Running {
    context: TestContext,
    daemon: Agent,
    counter: Counter,
    task: String,
}

impl Running {
    fn new() -> Self {
        Self::in_context(TestContext::new(), "")
    }

    fn in_context(context: TestContext, end: &str) -> Self {
        let (counter, script) = Counter::new(&context, end);
        let task = context.enqueue(script);
        let daemon = start(&context);
        context.wait_for_console(&task, "line 5\n");
        Self {
            context,
            daemon,
            counter,
            task,
        }
    }

    /// The process that runs the task for the daemon.
    fn supervisor(&self) -> i32 {
        pid(&self.context.journal()["supervisor"])
    }

    /// Kills the supervisor, and with it the program.
    fn kill_supervisor(&self) {
        let journal = self.context.journal();
        let program = pid(&journal["phase"]["Running"]["program"]);
        send(self.supervisor(), Signal::SIGKILL);
        assert!(wait_until(|| is_gone(program)), "{program} lives");
    }

    /// Lets the program end and waits for the task's end.
    #[track_caller]
    fn complete(&self) {
        self.counter.stop();
        self.context.wait_for_status(&self.task, "completed");
        assert_eq!(self.context.reason(&self.task), "worker execution done");
        let console = self.context.console(&self.task);
        self.counter.assert_complete(&console, COMPLETED);
    }

    #[track_caller]
    fn assert_lost(&self) {
        self.context.wait_for_status(&self.task, "failed");
        let reason = self.context.reason(&self.task);
        assert_eq!(reason, "the agent process was lost");
        let console = self.context.console(&self.task);
        self.counter.assert_complete(&console, LOST);
    }

    /// Which processes hold a slot, with what the file says.
    fn slots(&self) -> Vec<(i32, String)> {
        slots(&self.context)
    }
}

fn start(context: &TestContext) -> Agent {
    context.daemon_with(&[("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.2")])
}

fn pid(process: &Value) -> i32 {
    let pid = process["pid"]
        .as_i64()
        .unwrap_or_else(|| panic!("{process}"));
    pid.try_into().unwrap()
}

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("the process lives");
}

/// True also for a zombie whose parent has not looked yet.
fn is_gone(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.is_empty() || status.contains("State:\tZ")
}

fn slots(context: &TestContext) -> Vec<(i32, String)> {
    let files = context.leftovers().into_iter();
    let slots = files.filter_map(|name| {
        let pid = name.strip_prefix(".clearmlagent_")?.split('_').next()?;
        let text = fs::read_to_string(context.temporary().join(&name)).ok()?;
        Some((pid.parse().ok()?, text))
    });
    slots.collect()
}

#[track_caller]
fn assert_nothing_left(context: &TestContext) {
    context.wait_for_no_runs();
    context.wait_for_no_processes();
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert_eq!(context.workers(), Vec::<String>::new());
}

/// D-299: a task does not notice the death of its worker; its supervisor keeps the worker's place until it has ended.
#[test]
fn a_task_survives_its_worker() {
    let mut running = Running::new();
    let context = &running.context;
    running.daemon.kill();
    let supervisor = running.supervisor();
    let held = [(supervisor, "host:0\n0".to_owned())];
    assert!(
        wait_until(|| running.slots() == held),
        "{:?}",
        running.slots()
    );
    let reports = || {
        let requests = context.requests("workers.status_report");
        let full = |body: &Value| body["machine_stats"].is_object() && body["task"] == running.task;
        requests
            .into_iter()
            .filter(|request| full(&request.body))
            .count()
    };
    let before = reports();
    assert!(wait_until(|| reports() >= before + 2));
    let pings = || context.requests("tasks.get_all").len();
    let looks = pings();
    assert!(wait_until(|| pings() > looks));
    running.counter.wait_for(10);
    running.complete();
    assert_nothing_left(context);
    let left = context.requests("workers.unregister");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].body["worker"], "host:0");
}

/// D-299: the next worker gets the same id and adopts the task before it asks for another one.
#[test]
fn the_next_worker_adopts_the_task_before_it_polls() {
    let mut running = Running::new();
    running.daemon.kill();
    let supervisor = running.supervisor();
    assert!(wait_until(|| running
        .slots()
        .iter()
        .any(|(pid, _)| *pid == supervisor)));
    let next = running.context.enqueue(Script::shell("echo next"));
    running.daemon = start(&running.context);
    let adopted = format!("Adopted running task '{}'", running.task);
    running.daemon.wait_for_output(&adopted);
    running.daemon.wait_for_output("Worker \"host:0\"");
    let worker = (
        i32::try_from(running.daemon.pid()).unwrap(),
        "host:0\n0".to_owned(),
    );
    assert!(
        wait_until(|| running.slots() == [worker.clone()]),
        "{:?}",
        running.slots()
    );
    running.counter.wait_for(20);
    running.complete();
    running.context.wait_for_status(&next, "completed");

    let requests = running.context.server.requests();
    let position = |endpoint: &str, from: usize| {
        let found = requests[from..]
            .iter()
            .position(|request| request.endpoint == endpoint);
        from + found.unwrap_or_else(|| panic!("no {endpoint}"))
    };
    let second_start = position("workers.register", position("workers.register", 0) + 1);
    let end = position("tasks.completed", 0);
    let pull = position("queues.get_next_task", second_start);
    assert!(
        second_start < end && end < pull,
        "{second_start} {end} {pull}"
    );
    // The task stayed the worker's in every report.
    let tasks = requests[second_start..end].iter().filter(|request| {
        request.endpoint == "workers.status_report" && request.body["task"] != running.task
    });
    assert_eq!(tasks.count(), 0);
    assert_eq!(running.daemon.terminate(), 254);
    assert_nothing_left(&running.context);
}

/// D-129: the place of a worker that is gone is kept from others: another worker gets another slot.
#[test]
fn a_worker_of_another_name_does_not_take_the_place() {
    let mut running = Running::new();
    running.daemon.kill();
    let supervisor = running.supervisor();
    assert!(wait_until(|| running
        .slots()
        .iter()
        .any(|(pid, _)| *pid == supervisor)));
    let mut other = running
        .context
        .command(&["daemon", "--queue", "default", "--foreground"]);
    other.env("CLEARML_WORKER_NAME", "other");
    let mut other = running.context.start_command(other);
    other.wait_for_output("Worker \"other:1\"");
    other.wait_for_output("No tasks in Queues");
    running.complete();
    assert_eq!(other.terminate(), 254);
    assert_nothing_left(&running.context);
}

/// D-288, D-290, D-295: `--stop` of any agent finds the supervisor in the slot and ends task and worker with it.
#[test]
fn a_supervisor_that_keeps_a_place_is_stopped_like_a_worker() {
    let mut running = Running::new();
    running.daemon.kill();
    let supervisor = running.supervisor();
    assert!(wait_until(|| running
        .slots()
        .iter()
        .any(|(pid, _)| *pid == supervisor)));
    let words = fs::read_to_string(format!("/proc/{supervisor}/cmdline")).unwrap();
    assert!(words.starts_with("clearml-agent\0"), "{words}");
    send(supervisor, Signal::SIGTERM);
    running.context.wait_for_status(&running.task, "stopped");
    assert_eq!(running.context.reason(&running.task), "user abort");
    let console = running.context.console(&running.task);
    running
        .counter
        .assert_complete(&console, "Process terminated by user");
    assert_nothing_left(&running.context);
}

/// The program ends with its supervisor; what it printed is delivered, and the task has failed.
#[test]
fn a_task_whose_supervisor_was_killed_has_failed() {
    let context = TestContext::new();
    let gate = context.gate("gate");
    let pids = context.folder().join("pids");
    let script = format!(
        "sleep 600 & echo $! > {0}
         ( setsid sleep 600 & echo $! >> {0} )
         ( ( echo $BASHPID >> {0}; exec sleep 600 ) & )
         echo $$ >> {0}
         echo printed
         printf 'open line: '
         {1}",
        pids.display(),
        gate.wait()
    );
    let task = context.enqueue(Script::shell(&script));
    let mut daemon = start(&context);
    context.wait_for_console(&task, "open line: ");
    send(pid(&context.journal()["supervisor"]), Signal::SIGKILL);
    context.wait_for_status(&task, "failed");
    assert_eq!(context.reason(&task), "the agent process was lost");
    let console = context.console(&task);
    let end = format!("\nprinted\nopen line: {LOST}");
    assert!(console.ends_with(&end), "{console}");
    context.wait_for_no_runs();
    let pids = fs::read_to_string(&pids).unwrap();
    assert_eq!(pids.lines().count(), 4);
    for pid in pids.lines() {
        assert!(
            wait_until(|| !Path::new("/proc").join(pid).exists()),
            "{pid} lives"
        );
    }
    let next = context.enqueue(Script::shell("echo next"));
    context.wait_for_status(&next, "completed");
    assert_eq!(daemon.terminate(), 254);
    assert_nothing_left(&context);
}

/// What leaves its session and its parents, and forgets its environment, stays in the cgroup of its supervisor, whoever is killed.
#[test]
fn a_program_that_hides_ends_with_its_supervisor() {
    for kills_worker in [false, true] {
        let context = TestContext::new();
        let hidden = context.folder().join("hidden");
        let script = format!(
            "( env -i setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600' & )
             echo up; sleep 600",
            hidden.display()
        );
        let task = context.enqueue(Script::shell(&script));
        let mut daemon = start(&context);
        context.wait_for_console(&task, "up\n");
        assert!(wait_until(|| hidden.exists()));
        let hidden = fs::read_to_string(&hidden).unwrap();
        let process = Path::new("/proc").join(hidden.trim());
        let cgroup = context.journal()["cgroup"].clone();
        let cgroup = cgroup.as_str().unwrap_or_default();
        assert!(
            Path::new(cgroup).is_dir(),
            "no cgroup `{cgroup}`: this test needs cgroups of version 2 and the right to make some (root, outside of containers)"
        );
        if kills_worker {
            daemon.kill();
        }
        assert!(process.exists());
        send(pid(&context.journal()["supervisor"]), Signal::SIGKILL);
        if kills_worker {
            daemon = start(&context);
        }
        context.wait_for_status(&task, "failed");
        assert!(wait_until(|| !process.exists()), "{hidden} lives");
        context.wait_for_no_runs();
        assert!(!Path::new(cgroup).exists(), "{cgroup}");
        let next = context.enqueue(Script::shell("echo next"));
        context.wait_for_status(&next, "completed");
        assert_eq!(daemon.terminate(), 254);
    }
}

/// D-172: where no supervisor can even start, the task does not stay in progress, and the next one has its turn.
#[test]
fn a_run_whose_supervisors_cannot_start_is_given_up() {
    let mut running = Running::new();
    let configuration = running.context.journal()["configuration"].clone();
    fs::write(configuration.as_str().unwrap(), "agent { broken").unwrap();
    running.kill_supervisor();
    let context = &running.context;
    context.wait_for_status(&running.task, "failed");
    let reason = context.reason(&running.task);
    let expected = "the task's supervisor failed at its start, again and again (exit status: 1)";
    assert_eq!(reason, expected);
    let next = context.enqueue(Script::shell("echo next"));
    context.wait_for_status(&next, "completed");
    let output = running.daemon.output();
    let kept = format!("what task '{}' has printed is kept in ", running.task);
    let (_, file) = output.split_once(&kept).expect("the output is kept");
    let file = file.lines().next().unwrap();
    let printed = fs::read_to_string(file).unwrap();
    assert!(printed.contains("line 1\nline 2\n"), "{printed}");
    fs::remove_file(file).unwrap();
    assert_eq!(running.daemon.terminate(), 254);
    assert_nothing_left(&running.context);
}

/// What the task's own URLs hold is masked also by a supervisor that did not prepare the task.
#[test]
fn the_next_supervisor_knows_the_tasks_secrets() {
    let context = TestContext::new();
    let gate = context.gate("gate");
    let text = format!(
        "echo begun; {}; echo it is url-password-1.; sleep 600",
        gate.wait()
    );
    let requirements = json!({ "conda": "x @ https://me:url-password-1@host.example/x.whl" });
    let task = context.enqueue(Script::shell(&text).with("requirements", requirements));
    let _daemon = start(&context);
    context.wait_for_console(&task, "begun");
    context.server.stop_listening().unwrap();
    let output = context.journal()["output"].as_str().unwrap().to_owned();
    gate.open();
    let is_printed = || fs::read(&output).is_ok_and(|text| text.ends_with(b"url-password-1.\n"));
    assert!(wait_until(is_printed));
    send(pid(&context.journal()["supervisor"]), Signal::SIGKILL);
    context.server.resume().unwrap();
    context.wait_for_status(&task, "failed");
    let console = context.console(&task);
    assert!(
        console.ends_with(&format!("begun\nit is ****.\n{LOST}")),
        "{console}"
    );
}

/// Every byte that the program printed until then is delivered once.
#[test]
fn the_console_of_a_killed_supervisor_is_complete() {
    let running = Running::new();
    running.counter.wait_for(20);
    running.kill_supervisor();
    running.assert_lost();
}

/// D-222: the killed supervisor had sent a request whose answer it never saw; its successor does not send it again.
#[test]
fn a_request_in_doubt_is_not_repeated_by_the_next_supervisor() {
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    let running = Running::in_context(context, "");
    proxy.set(|call| match call {
        "events.add_batch" => Some(Fault::AnswerLost),
        "events.get_task_log" => Some(Fault::BadGateway),
        _ => None,
    });
    assert!(wait_until(|| proxy
        .faults()
        .iter()
        .any(|call| call == "events.get_task_log")));
    running.counter.wait_for(10);
    running.kill_supervisor();
    proxy.set(|_| None);
    running.assert_lost();
}

/// The outcome was in the journal before the server could be told.
#[test]
fn an_end_that_the_killed_supervisor_knew_is_told_by_the_next_one() {
    let running = Running::in_context(TestContext::new(), "exit 3");
    running.context.server.stop_listening().unwrap();
    running.counter.wait_for(10);
    running.counter.stop();
    let ended = wait_until(|| running.context.journal()["phase"]["Ended"].is_object());
    assert!(ended, "{}", running.context.journal());
    send(running.supervisor(), Signal::SIGKILL);
    running.context.server.resume().unwrap();
    running.context.wait_for_status(&running.task, "failed");
    assert_eq!(
        running.context.reason(&running.task),
        "worker execution exit code 3"
    );
    let console = running.context.console(&running.task);
    running
        .counter
        .assert_complete(&console, "Process failed, exit code 3");
}

/// The last line of the log is said once, also where the status could not be set behind it.
#[test]
fn a_supervisor_that_was_killed_before_the_last_call_has_said_the_last_line() {
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    let running = Running::in_context(context, "");
    let last = "tasks.completed";
    proxy.set(move |call| (call == last).then_some(Fault::BadGateway));
    running.counter.stop();
    assert!(wait_until(|| proxy
        .faults()
        .iter()
        .any(|call| call == last)));
    send(running.supervisor(), Signal::SIGKILL);
    proxy.set(|_| None);
    running.complete();
}

/// D-299: as after a loss of power, but for the machine's memory.
#[test]
fn a_new_start_settles_what_the_death_of_both_has_left() {
    let mut running = Running::new();
    let supervisor = running.supervisor();
    running.daemon.kill();
    running.kill_supervisor();
    assert!(wait_until(|| is_gone(supervisor)));
    assert_eq!(running.context.status(&running.task), "in_progress");
    let next = running.context.enqueue(Script::shell("echo next"));
    running.daemon = start(&running.context);
    running.assert_lost();
    running.daemon.wait_for_output("Worker \"host:0\"");
    running.context.wait_for_status(&next, "completed");
    assert_eq!(running.daemon.terminate(), 254);
    assert_nothing_left(&running.context);
}

/// D-299: no new start is needed where another worker is there.
#[test]
fn a_worker_settles_between_its_tasks_what_the_death_of_another_has_left() {
    let mut running = Running::new();
    let mut other = running
        .context
        .command(&["daemon", "--queue", "default", "--foreground"]);
    other.env("CLEARML_WORKER_NAME", "other");
    let mut other = running.context.start_command(other);
    other.wait_for_output("No tasks in Queues");
    running.daemon.kill();
    running.kill_supervisor();
    let next = running.context.enqueue(Script::shell("echo next"));
    running.context.wait_for_status(&next, "completed");
    running.assert_lost();
    running.context.wait_for_no_runs();
    assert_eq!(other.terminate(), 254);
}

/// D-299: nobody has the place of a worker that was killed, so that the next one takes leave for it, whatever its own id is.
#[test]
fn a_worker_that_was_killed_does_not_stay_in_the_servers_list() {
    let context = TestContext::new();
    let mut killed = start(&context);
    killed.wait_for_output("No tasks in Queues");
    killed.kill();
    assert_eq!(context.workers(), ["host:0"]);
    let mut other = context.daemon_with(&[("CLEARML_WORKER_NAME", "other")]);
    other.wait_for_output("No tasks in Queues");
    let is_alone = wait_until(|| context.workers() == ["other:0"]);
    assert!(is_alone, "{:?}", context.workers());
    assert_eq!(other.terminate(), 254);
    assert_nothing_left(&context);
}

/// Who was killed while he wrote a run down, or removed one, has left a folder without a journal.
#[test]
fn what_is_left_of_a_run_is_removed_while_the_worker_rests() {
    let context = TestContext::new();
    let mut daemon = start(&context);
    daemon.wait_for_output("No tasks in Queues");
    let folder = context.home().join(".local/state/clearml-agent/runs");
    let [old, new] = ["old", "new"].map(|name| folder.join(name));
    let hours_ago = SystemTime::now() - Duration::from_hours(2);
    for run in [&old, &new] {
        fs::create_dir_all(run).unwrap();
        fs::write(run.join("worker.json"), "{}").unwrap();
    }
    let opened = fs::File::open(&old).unwrap();
    opened.set_modified(hours_ago).unwrap();
    let later = SystemTime::now() + Duration::from_hours(1);
    fs::File::open(&new).unwrap().set_modified(later).unwrap();
    assert!(wait_until(|| !old.exists()));
    assert!(new.exists(), "somebody may still write it down");
    fs::remove_dir_all(new).unwrap();
    assert_eq!(daemon.terminate(), 254);
}

/// A run as its worker has left it between the pull and the start of a supervisor.
fn leave_pulled(context: &TestContext, task: &str, change: impl FnOnce(&mut Value)) {
    // Made of a real one: the journal and the configuration of a task that runs.
    let gate = context.gate(&format!("gate of {task}"));
    let model = context.create(Script::shell(&gate.wait()));
    let queue = context.queue();
    let enqueue =
        |task: &str| context.call("tasks.enqueue", json!({ "task": task, "queue": queue }));
    enqueue(&model);
    let mut daemon = start(context);
    context.wait_for_console(&model, "Starting Task Execution");
    let mut journal = context.journal();
    let configuration = fs::read(journal["configuration"].as_str().unwrap()).unwrap();
    gate.open();
    context.wait_for_status(&model, "completed");
    assert_eq!(daemon.terminate(), 254);
    assert_nothing_left(context);

    enqueue(task);
    let pulled = context.call("queues.get_next_task", json!({ "queue": queue }));
    assert_eq!(pulled["entry"]["task"], task);
    journal["task"] = task.into();
    journal["phase"] = "Pulled".into();
    journal["started"] = Value::Null;
    journal["progress"]["acknowledged"] = 0.into();
    journal["progress"]["in_doubt"] = Value::Null;
    change(&mut journal);
    fs::write(journal["configuration"].as_str().unwrap(), configuration).unwrap();
    let run = context
        .home()
        .join(".local/state/clearml-agent/runs/left-behind");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("journal.json"), journal.to_string()).unwrap();
}

/// D-172: a task that has left its queue and was not begun is run by the next worker, before it polls.
#[test]
fn a_task_that_was_pulled_and_not_handed_over_is_run() {
    assert_is_run(|journal| journal["supervisor"] = Value::Null);
}

/// D-172: the same where its supervisor had not said a word about it.
#[test]
fn a_task_that_was_handed_over_and_not_begun_is_run() {
    assert_is_run(|_| ());
}

#[track_caller]
fn assert_is_run(change: impl FnOnce(&mut Value)) {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo first"));
    leave_pulled(&context, &task, change);
    let next = context.enqueue(Script::shell("echo second"));
    let mut daemon = start(&context);
    context.wait_for_status(&next, "completed");
    assert_eq!(context.status(&task), "completed");
    let console = context.console(&task);
    assert!(
        console.contains("pulled from") && console.contains("\nfirst\n"),
        "{console}"
    );
    assert_eq!(daemon.terminate(), 254);
    assert_nothing_left(&context);
}

/// D-299: after a reboot the numbers of the processes mean others; none of them is touched.
#[test]
fn a_task_that_a_reboot_ended_has_failed() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo never"));
    // This very test must survive.
    let other = json!({ "pid": std::process::id(), "started": 1 });
    leave_pulled(&context, &task, |journal| {
        journal["boot"] = "another boot".into();
        journal["supervisor"] = other.clone();
        journal["phase"] = json!({ "Running": { "program": other } });
        fs::write(journal["output"].as_str().unwrap(), "the last words\n").unwrap();
    });
    context.call("tasks.started", json!({ "task": task, "force": true }));
    let mut daemon = start(&context);
    context.wait_for_status(&task, "failed");
    assert_eq!(context.reason(&task), "agent host restarted");
    let console = context.console(&task);
    let end =
        "the last words\nProcess failed, agent host restarted (hint: enqueue the task again; ";
    assert!(console.starts_with(end), "{console}");
    assert_eq!(daemon.terminate(), 254);
    assert_nothing_left(&context);
}

/// What cannot be read is left alone, and said once, however often it is looked at; what a newer release has added is no reason.
#[test]
fn journals_of_other_releases_are_settled_or_left_alone() {
    let context = TestContext::new();
    let newer = context.create(Script::shell("echo never"));
    leave_pulled(&context, &newer, |journal| {
        journal["boot"] = "another boot".into();
        journal["supervisor"] = json!({ "pid": std::process::id(), "started": 1 });
        journal["phase"] = "Preparing".into();
        journal["colour"] = "unknown".into();
    });
    context.call("tasks.started", json!({ "task": newer, "force": true }));
    let runs = context.home().join(".local/state/clearml-agent/runs");
    let strange = [
        ("of-tomorrow", r#"{"version": 2, "phase": "Dancing"}"#),
        ("damaged", r#"{"version": 1, "task": "#),
    ];
    for (name, text) in strange {
        fs::create_dir_all(runs.join(name)).unwrap();
        fs::write(runs.join(name).join("journal.json"), text).unwrap();
    }
    let mut daemon = start(&context);
    context.wait_for_status(&newer, "failed");
    assert_eq!(context.reason(&newer), "agent host restarted");
    // It looks for runs again behind each task.
    for _ in 0..2 {
        let next = context.enqueue(Script::shell("echo next"));
        context.wait_for_status(&next, "completed");
        assert!(wait_until(|| context.runs().len() == strange.len()));
        let rests = || daemon.output().matches("No tasks in Queues").count();
        let before = rests();
        assert!(wait_until(|| rests() > before));
    }
    assert_eq!(daemon.terminate(), 254);
    let output = daemon.output();
    let lines = |name: &str| {
        let path = runs.join(name).join("journal.json");
        let line = format!("Warning: `{}` ", path.display());
        let found = output.lines().filter(|one| one.contains(&line));
        found.map(str::to_owned).collect::<Vec<_>>()
    };
    let [tomorrow, damaged] = [lines("of-tomorrow"), lines("damaged")];
    assert!(tomorrow.len() == 1 && damaged.len() == 1, "{output}");
    let said =
        "is of a newer release (format 2, this one reads up to 1); its task is left alone (hint: ";
    assert!(tomorrow[0].contains(said), "{tomorrow:?}");
    assert!(
        damaged[0].contains("cannot be read as a journal"),
        "{damaged:?}"
    );
    for (name, text) in strange {
        let journal = fs::read_to_string(runs.join(name).join("journal.json")).unwrap();
        assert_eq!(journal, text);
    }
}
