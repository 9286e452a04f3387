//! Services mode: several long tasks at once, each a worker of its own.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::support::{Agent, Gate, Script, TestContext, wait_until};

const MANAGER: &str = "host:cpu:0";

/// A daemon in services mode whose tasks wait at gates.
struct Services {
    context: TestContext,
}

/// A task that runs until its gate opens.
struct Service {
    task: String,
    gate: Gate,
}

impl Services {
    fn new() -> Self {
        Self {
            context: TestContext::new(),
        }
    }

    fn daemon(&self, limit: &str) -> Agent {
        let mut command = self.context.command(&[
            "daemon",
            "--queue",
            "default",
            "--foreground",
            "--child-report-tags",
            "gold",
            "--services-mode",
            limit,
        ]);
        command.env("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.2");
        self.context.start_command(command)
    }

    fn enqueue(&self, name: &str) -> Service {
        let gate = self.context.gate(name);
        let script = format!(
            "echo $$ >> {}/pids; echo up as $CLEARML_WORKER_ID tags $CLEARML_WORKER_TAGS gpus $NVIDIA_VISIBLE_DEVICES; {}; echo over",
            self.context.folder().display(),
            gate.wait()
        );
        let task = self.context.enqueue(Script::shell(&script));
        Service { task, gate }
    }

    #[track_caller]
    fn wait_until_up(&self, service: &Service) {
        self.context.wait_for_console(&service.task, "up as ");
    }

    /// The run of a task, as its journal says.
    fn journal(&self, task: &str) -> Value {
        let journals = self.context.runs().into_iter().filter_map(|run| {
            let bytes = fs::read(run.join("journal.json")).ok()?;
            serde_json::from_slice::<Value>(&bytes).ok()
        });
        let mut of_task = journals.filter(|journal| journal["task"] == task);
        of_task.next().unwrap_or_default()
    }

    fn supervisor(&self, service: &Service) -> Pid {
        let pid = self.journal(&service.task)["supervisor"]["pid"].as_i64();
        Pid::from_raw(pid.expect("a supervisor").try_into().expect("a pid"))
    }

    /// Status reports of a worker.
    fn reports(&self, worker: &str) -> Vec<Value> {
        let reports = self.context.requests("workers.status_report");
        let bodies = reports.into_iter().map(|request| request.body);
        bodies.filter(|body| body["worker"] == worker).collect()
    }

    /// What the slot files say, by worker, with the process of each.
    fn slots(&self) -> Vec<(String, i32)> {
        let files = self.context.leftovers().into_iter().filter_map(|name| {
            let pid = name.strip_prefix(".clearmlagent_")?.split('_').next()?;
            let content = fs::read_to_string(self.context.temporary().join(&name)).ok()?;
            Some((content.replace('\n', " slot "), pid.parse().ok()?))
        });
        let mut slots: Vec<_> = files.collect();
        slots.sort();
        slots
    }

    fn place_of(&self, service: &Service) -> Option<(String, i32)> {
        let name = service.worker();
        let slots = self.slots().into_iter();
        slots
            .into_iter()
            .find(|(worker, _)| worker.starts_with(&name))
    }

    /// Its own supervisor holds its slot, alone.
    #[track_caller]
    fn assert_holds_its_slot(&self, service: &Service) {
        let supervisor = self.supervisor(service).as_raw();
        let mine = |slots: Vec<(String, i32)>| -> Vec<i32> {
            let mine = slots
                .into_iter()
                .filter(|(worker, _)| worker.starts_with(&service.worker()));
            mine.map(|(_, pid)| pid).collect()
        };
        let alone = wait_until(|| mine(self.slots()) == [supervisor]);
        assert!(alone, "{:?} and not {supervisor}", self.slots());
    }
}

impl Service {
    fn worker(&self) -> String {
        format!("{MANAGER}:service:{}", self.task)
    }
}

/// C-005, D-102, D-121, D-255, D-256, D-257, D-258, D-259, D-260, D-279, D-356: N services run at once, each as its own worker; the next one
/// begins when one has ended; the limit holds on the open-source server, which is not even asked.
#[test]
fn so_many_services_run_at_once_each_as_its_own_worker() {
    let services = Services::new();
    let context = &services.context;
    let [first, second, third] = ["a", "b", "c"].map(|name| services.enqueue(name));
    let mut daemon = services.daemon("2");
    services.wait_until_up(&first);
    services.wait_until_up(&second);
    daemon.wait_for_output("Reached max number of services 2, sleeping for 0.2 seconds");
    assert_eq!(context.status(&third.task), "queued");
    for service in [&first, &second] {
        let worker = service.worker();
        let up = format!("up as {worker} tags gold gpus none\n");
        assert!(context.console(&service.task).contains(&up));
        assert!(wait_until(|| context.workers().contains(&worker)));
        assert_eq!(context.field(&service.task, "last_worker"), json!(worker));
        services.assert_holds_its_slot(service);
        let reports = services.reports(&worker);
        assert!(reports.iter().all(|report| {
            report["task"] == service.task
                && report["tags"] == json!(["gold"])
                && report["is_daemon"] == false
                && report.get("queues").is_none()
        }));
    }
    // Environments are made in folders of the slot: no two tasks have one.
    let folder = |service: &Service| {
        let path = services.journal(&service.task)["configuration"].clone();
        let text = fs::read_to_string(path.as_str().expect("a path")).expect("read");
        let configuration: Value = serde_json::from_str(&text).expect("json");
        configuration["agent"]["venvs_dir"].clone()
    };
    assert_ne!(folder(&first), folder(&second));
    assert!(folder(&first).as_str().unwrap().ends_with("venvs-builds.1"));

    first.gate.open();
    context.wait_for_status(&first.task, "completed");
    services.wait_until_up(&third);
    assert!(wait_until(|| !context.workers().contains(&first.worker())));
    assert!(wait_until(|| !services.reports(MANAGER).is_empty()));
    second.gate.open();
    third.gate.open();
    context.wait_for_status(&second.task, "completed");
    context.wait_for_status(&third.task, "completed");
    context.wait_for_no_runs();
    assert_eq!(daemon.terminate(), 254);
    assert_eq!(context.workers(), Vec::<String>::new());
    assert_eq!(context.leftovers(), Vec::<String>::new());

    for report in services.reports(MANAGER) {
        assert_eq!(report["tags"], Value::Null);
        assert!(report.get("task").is_none());
    }
    assert_eq!(context.requests("workers.set_runtime_properties").len(), 0);
    let output = daemon.output();
    assert!(output.contains("ClearML-Agent running in services mode\n"));
    assert!(!output.contains("not supported"));
    for service in [&first, &second, &third] {
        let task = &service.task;
        for line in [
            format!("Running task '{task}'\n"),
            format!("Service bootstrap completed: task '{task}'\n"),
            format!("DONE: Running task '{task}', exit status 0\n"),
        ] {
            assert!(output.contains(&line), "{line}{output}");
        }
        assert!(
            context
                .console(task)
                .ends_with("Process completed successfully")
        );
    }
    let started = "Service started, docker running in the background\n";
    assert_eq!(output.matches(started).count(), 3);
    // What services print is on the server, not mixed on one console.
    assert!(!output.contains("up as"));
}

/// D-257, D-213: a service that cannot begin fails with its reason, and takes nobody's room.
#[test]
fn a_service_that_cannot_begin_fails() {
    let services = Services::new();
    let context = &services.context;
    let broken = Script::shell("true").with("repository", "/nowhere/repository.git");
    let broken = context.enqueue(broken);
    let good = services.enqueue("good");
    let mut daemon = services.daemon("1");
    context.wait_for_status(&broken, "failed");
    assert!(context.console(&broken).contains("/nowhere/repository.git"));
    services.wait_until_up(&good);
    good.gate.open();
    context.wait_for_status(&good.task, "completed");
    assert_eq!(daemon.terminate(), 254);
}

/// D-263: what the server has of a service's output takes no room on the disk any more.
#[test]
fn the_output_of_a_service_does_not_fill_the_disk() {
    const BYTES: u64 = 6_000_000;
    let services = Services::new();
    let context = &services.context;
    let gate = context.gate("a");
    let script = format!(
        "head -c {BYTES} /dev/zero | tr '\\0' 'x' | fold -w 99; {}",
        gate.wait()
    );
    let task = context.enqueue(Script::shell(&script));
    let mut daemon = services.daemon("-1");
    assert!(wait_until(|| services.journal(&task)["output"].is_string()));
    let output = services.journal(&task)["output"].clone();
    let output = output.as_str().expect("a path");
    let is_given_back = wait_until(|| {
        // The journal names it before it is made.
        fs::metadata(output).is_ok_and(|file| file.len() > BYTES && file.blocks() * 512 < BYTES / 3)
    });
    assert!(is_given_back);
    gate.open();
    context.wait_for_status(&task, "completed");
    assert!(!std::path::Path::new(output).exists() || wait_until(|| context.runs().is_empty()));
    assert_eq!(daemon.terminate(), 254);
}

/// D-261, D-304: the manager's end is the end of its services, which say so themselves.
#[test]
fn services_end_with_their_manager() {
    let services = Services::new();
    let context = &services.context;
    let [first, second] = ["a", "b"].map(|name| services.enqueue(name));
    let mut daemon = services.daemon("-1");
    services.wait_until_up(&first);
    services.wait_until_up(&second);
    let supervisors = [&first, &second].map(|service| services.supervisor(service));
    assert_eq!(daemon.terminate(), 254);
    for (service, supervisor) in [&first, &second].into_iter().zip(supervisors) {
        assert_eq!(context.status(&service.task), "stopped");
        assert_eq!(context.reason(&service.task), "user abort");
        let console = context.console(&service.task);
        assert!(console.ends_with("Process terminated by user"), "{console}");
        let line = format!("Terminating child process {supervisor}\n");
        assert!(daemon.output().contains(&line));
    }
    assert_eq!(context.workers(), Vec::<String>::new());
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert_eq!(context.processes(), Vec::<i32>::new());
}

/// D-261, D-301: also a manager in a hurry leaves nobody behind who does not obey.
#[test]
fn a_second_signal_ends_services_by_force() {
    let services = Services::new();
    let context = &services.context;
    let first = services.enqueue("a");
    let mut daemon = services.daemon("-1");
    services.wait_until_up(&first);
    let supervisor = services.supervisor(&first);
    kill(supervisor, Signal::SIGSTOP).expect("stopped");
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for_output(&format!("Terminating child process {supervisor}\n"));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), 254);
    let line = format!("child process {supervisor} does not end, killing it\n");
    assert!(daemon.output().contains(&line), "{}", daemon.output());
    context.wait_for_no_processes();
    // Whoever comes next says what has become of it.
    let mut daemon = services.daemon("-1");
    context.wait_for_status(&first.task, "failed");
    assert_eq!(daemon.terminate(), 254);
}

/// D-258, D-356: services outlive a manager that is killed; the next one counts them, and its end is theirs.
#[test]
fn services_outlive_a_manager_that_is_killed() {
    let services = Services::new();
    let context = &services.context;
    let first = services.enqueue("a");
    let mut daemon = services.daemon("1");
    services.wait_until_up(&first);
    services.assert_holds_its_slot(&first);
    let supervisor = services.supervisor(&first);
    let status = || context.run(&["daemon", "--status", "--json"]).stdout;
    let workers = || serde_json::from_str::<Value>(&status()).expect("json")["workers"].clone();
    assert_eq!(workers().as_array().map(Vec::len), Some(1), "{}", status());
    daemon.kill();
    let orphan = workers()[0].clone();
    assert_eq!(orphan["worker"], first.worker());
    let error = orphan["error"].as_str().expect("an explanation");
    assert!(error.starts_with("its worker is gone"), "{error}");
    let second = services.enqueue("b");
    let reported = services.reports(&first.worker()).len();
    let goes_on = wait_until(|| services.reports(&first.worker()).len() > reported);
    assert!(goes_on);
    let mut daemon = services.daemon("1");
    daemon.wait_for_output(&format!("Adopted running task '{}'", first.task));
    daemon.wait_for_output("Reached max number of services 1");
    assert_eq!(services.supervisor(&first), supervisor);
    assert_eq!(context.status(&second.task), "queued");
    first.gate.open();
    context.wait_for_status(&first.task, "completed");
    services.wait_until_up(&second);
    assert_eq!(daemon.terminate(), 254);
    assert_eq!(context.status(&second.task), "stopped");
}

/// SIGUSR1: the services go on, and the next manager has them.
#[test]
fn services_are_handed_over() {
    let services = Services::new();
    let context = &services.context;
    let first = services.enqueue("a");
    let mut daemon = services.daemon("-1");
    services.wait_until_up(&first);
    daemon.signal(Signal::SIGUSR1);
    assert_eq!(daemon.wait(), 0);
    assert_eq!(context.status(&first.task), "in_progress");
    let mut daemon = services.daemon("-1");
    daemon.wait_for_output("Adopted running task");
    first.gate.open();
    context.wait_for_status(&first.task, "completed");
    assert_eq!(daemon.terminate(), 254);
}

/// A supervisor that is killed takes its service with it, and nobody else's; its worker and its slot are gone then.
#[test]
fn one_service_is_lost_and_the_others_go_on() {
    let services = Services::new();
    let context = &services.context;
    let [lost, other] = ["a", "b"].map(|name| services.enqueue(name));
    let mut daemon = services.daemon("-1");
    services.wait_until_up(&lost);
    services.wait_until_up(&other);
    kill(services.supervisor(&lost), Signal::SIGKILL).expect("killed");
    context.wait_for_status(&lost.task, "failed");
    assert_eq!(context.reason(&lost.task), "the agent process was lost");
    assert!(wait_until(|| !context.workers().contains(&lost.worker())));
    assert!(wait_until(|| services.place_of(&lost).is_none()));
    other.gate.open();
    context.wait_for_status(&other.task, "completed");
    assert_eq!(daemon.terminate(), 254);
}

/// D-229, D-258: a service that is enqueued again begins anew when its former run has ended.
#[test]
fn a_service_that_is_enqueued_again_runs_once_at_a_time() {
    let services = Services::new();
    let context = &services.context;
    let service = services.enqueue("a");
    let mut daemon = services.daemon("-1");
    services.wait_until_up(&service);
    let body = json!({ "task": service.task, "queue": context.queue(), "force": true });
    context.call(
        "tasks.reset",
        json!({ "task": service.task, "force": true }),
    );
    context.call("tasks.enqueue", body);
    let pids = || fs::read_to_string(context.folder().join("pids")).unwrap_or_default();
    assert!(wait_until(|| pids().lines().count() == 2));
    let first = pids().lines().next().expect("a process").to_owned();
    assert!(!std::path::Path::new("/proc").join(first).exists());
    service.gate.open();
    context.wait_for_status(&service.task, "completed");
    assert_eq!(daemon.terminate(), 254);
}

/// D-262, D-288: two managers have slots of their own, beside those of the services; `--stop` ends the first one.
#[test]
fn two_managers_share_a_machine() {
    let services = Services::new();
    let context = &services.context;
    let first = services.enqueue("a");
    let mut one = services.daemon("-1");
    services.wait_until_up(&first);
    services.assert_holds_its_slot(&first);
    let mut other = services.daemon("-1");
    other.wait_for_output("Worker \"host:cpu:2\" - Listening to queues:");
    let stopped = context.run(&["daemon", "--services-mode", "--stop"]);
    assert!(
        stopped.stdout.contains("worker_id=host:cpu:0 "),
        "{}",
        stopped.stdout
    );
    let next = "Still running: host:cpu:2; the next --stop ends the first of them";
    assert!(stopped.stdout.contains(next), "{}", stopped.stdout);
    assert_eq!(one.wait(), 254);
    assert_eq!(context.status(&first.task), "stopped");
    assert_eq!(other.terminate(), 254);
}
