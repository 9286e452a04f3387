//! Daemons in the background, and `--stop` and `--status`, also together with the official agent.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::official::official;
use super::support::{Agent, Finished, Script, TestContext, wait_until};

/// A daemon that was started with `--detached`.
struct Detached<'a> {
    context: &'a TestContext,
    started: Finished,
    log: PathBuf,
}

impl<'a> Detached<'a> {
    #[track_caller]
    fn start(context: &'a TestContext, words: &[&str]) -> Self {
        let words = [&["daemon", "--queue", "default", "--detached"], words].concat();
        let started = context.run(&words);
        assert_eq!(started.code, 0, "{}{}", started.stdout, started.stderr);
        let log = log_file(&started.stdout);
        Self {
            context,
            started,
            log,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    fn wait_for_log(&self, text: &str) {
        let is_there = wait_until(|| self.log().contains(text));
        assert!(is_there, "no {text} in {}", self.log());
    }

    /// The process that its slot names.
    fn pid(&self, worker: &str) -> i32 {
        slot(self.context, worker).unwrap_or_else(|| panic!("no {worker}"))
    }
}

/// The file that the daemon says it writes to.
#[track_caller]
pub(crate) fn log_file(stdout: &str) -> PathBuf {
    let (_, path) = stdout
        .split_once("background mode, writing stdout/stderr to ")
        .unwrap_or_else(|| panic!("{stdout}"));
    path.lines().next().unwrap().into()
}

/// The process in the slot of this worker.
fn slot(context: &TestContext, worker: &str) -> Option<i32> {
    context.leftovers().into_iter().find_map(|name| {
        let pid = name.strip_prefix(".clearmlagent_")?.split('_').next()?;
        let text = fs::read_to_string(context.temporary().join(&name)).ok()?;
        (text.lines().next() == Some(worker)).then(|| pid.parse().unwrap())
    })
}

fn stop(context: &TestContext, words: &[&str]) -> Finished {
    context.run(&[&["daemon", "--stop"], words].concat())
}

/// Everything behind the banner is in the log, the banner is in both.
#[track_caller]
fn assert_nothing_left(context: &TestContext) {
    context.wait_for_no_processes();
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert_eq!(context.workers(), Vec::<String>::new());
}

/// D-143: what a daemon and its tasks write is for whom its caller's umask says.
#[test]
fn a_detached_daemon_keeps_the_umask_of_its_caller() {
    let context = TestContext::new();
    let agent = context.command(&[]).get_program().to_owned();
    let mut command = context.beside_agent("sh");
    command
        .args([
            "-c",
            "umask 027; exec \"$0\" daemon --queue default --detached",
        ])
        .arg(agent);
    let started = context.finish(command);
    assert_eq!(started.code, 0, "{}", started.stdout);
    let pid = slot(&context, "host:0").expect("a worker");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("alive");
    assert!(status.contains("Umask:\t0027\n"), "{status}");
    let task = context.enqueue(Script::shell("umask"));
    context.wait_for_status(&task, "completed");
    assert!(context.console(&task).contains("\n0027\n"));
    assert_eq!(stop(&context, &[]).code, 0);
    assert_nothing_left(&context);
}

/// D-055, D-134, D-141, D-143, D-145, D-146, D-288, D-290, D-030, D-308, D-353
#[test]
fn a_detached_daemon_works_on_until_it_is_stopped() {
    let context = TestContext::new();
    let file = context.folder().join("other.conf");
    fs::copy(context.home().join("clearml.conf"), &file).unwrap();
    let words = [
        "--config-file",
        file.to_str().unwrap(),
        "daemon",
        "--queue",
        "default",
        "-d",
    ];
    let started = context.run(&words);
    assert_eq!(started.code, 0, "{}{}", started.stdout, started.stderr);
    let log = log_file(&started.stdout);
    let daemon = Detached {
        context: &context,
        started,
        log,
    };
    let stdout = &daemon.started.stdout;
    for text in [
        "Current configuration (",
        "Worker \"host:0\" - Listening to queues:",
        "| default |",
    ] {
        assert!(stdout.contains(text), "{stdout}");
    }
    assert!(!stdout.contains("polling loop"), "{stdout}");
    assert_eq!(stdout.matches("Using custom configuration file").count(), 1);
    daemon.wait_for_log("Starting infinite task polling loop...");
    let log = daemon.log();
    for text in [
        "Worker \"host:0\" :\n",
        "Current configuration (",
        "| default |",
    ] {
        assert!(log.contains(text), "{log}");
    }
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&daemon.log).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_ne!(
        daemon.pid("host:0"),
        i32::try_from(daemon.started.pid).unwrap()
    );

    for text in ["first", "second"] {
        let task = context.enqueue(Script::shell(&format!("echo this is the {text}")));
        context.wait_for_status(&task, "completed");
        daemon.wait_for_log(&format!("this is the {text}\n"));
    }
    let log = daemon.log();
    assert!(
        !log.contains("this is the first") && !log.contains("Listening"),
        "{log}"
    );

    let pid = daemon.pid("host:0");
    let stopped = stop(&context, &[]);
    assert_eq!(stopped.code, 0, "{}", stopped.stdout);
    assert_eq!(
        stopped.stdout,
        format!("Terminating clearml-agent worker_id=host:0 pid={pid}\n")
    );
    assert_nothing_left(&context);
    assert_eq!(stop(&context, &[]).code, 1, "there is none any more");
}

/// D-104: what goes wrong at the start is said where the command was typed.
#[test]
fn a_detached_daemon_that_cannot_start_says_why() {
    let context = TestContext::new();
    let started = context.run(&["daemon", "--detached", "--queue", "no such queue"]);
    assert_eq!(started.code, 1, "{}", started.stdout);
    let error = "clearml_agent: ERROR: Could not find queue with name/id \"no such queue\"";
    assert!(started.stdout.contains(error), "{}", started.stdout);
    assert_nothing_left(&context);
}

/// D-068, D-103, D-137, D-138, D-141, D-142: without `--foreground` the output moves behind the banner, and the process
/// stays, polls and reports.
#[test]
fn a_daemon_with_a_log_file_stays_attached() {
    let context = TestContext::new();
    let mut daemon = context.start(&["daemon", "--queue", "default"]);
    daemon.wait_for_output("background mode, writing stdout/stderr to ");
    let log = log_file(&daemon.output());
    let printed = || fs::read_to_string(&log).unwrap_or_default();
    assert!(wait_until(
        || printed().contains("Starting infinite task polling loop...\n")
    ));
    let task = context.enqueue(Script::shell("echo from the task"));
    context.wait_for_status(&task, "completed");
    assert!(wait_until(|| printed().contains("from the task\n")));
    // Only a detached daemon keeps no more than one task.
    assert!(printed().contains("Starting infinite"));
    assert!(!daemon.output().contains("from the task"));
    assert!(!printed().contains("No tasks in"), "{}", printed());
    let said = daemon.output();
    assert!(
        said.find("Listening to queues:") < said.find("background mode, writing"),
        "{said}"
    );
    let figures = || {
        let reports = context.requests("workers.status_report");
        reports
            .iter()
            .any(|report| report.body["machine_stats"].is_object())
    };
    assert!(wait_until(figures));
    assert_eq!(daemon.terminate(), 254);
    assert_nothing_left(&context);
}

/// D-298
#[test]
fn a_detached_daemon_does_not_mind_a_closed_terminal() {
    let context = TestContext::new();
    let daemon = Detached::start(&context, &[]);
    kill(Pid::from_raw(daemon.pid("host:0")), Signal::SIGHUP).unwrap();
    let task = context.enqueue(Script::shell("true"));
    context.wait_for_status(&task, "completed");
    assert_eq!(stop(&context, &[]).code, 0);
    assert_nothing_left(&context);
}

/// D-293: a process of this machine is ended without the server.
#[test]
fn an_agent_is_stopped_while_the_server_is_away() {
    let context = TestContext::new();
    let _daemon = Detached::start(&context, &[]);
    context.server.stop_listening().unwrap();
    let stopped = stop(&context, &[]);
    assert_eq!(stopped.code, 0, "{}", stopped.stdout);
    context.wait_for_no_processes();
    context.server.resume().unwrap();
}

/// D-288, D-289, D-291, D-056, D-353
#[test]
fn agents_are_stopped_one_by_one_or_by_their_ids() {
    let context = TestContext::new();
    let nobody = stop(&context, &[]);
    assert_eq!(
        (nobody.code, nobody.stdout.as_str()),
        (
            1,
            "Could not find a running clearml-agent instance with worker_name=host worker_id=\n"
        )
    );
    let _daemons = [
        Detached::start(&context, &[]),
        Detached::start(&context, &["--cpu-only"]),
        Detached::start(&context, &[]),
    ];
    let stopped = stop(&context, &["host:9", "host:2"]);
    assert_eq!(stopped.code, 1, "{}", stopped.stdout);
    assert!(
        stopped
            .stdout
            .starts_with("Terminating clearml-agent worker_id=host:2 pid=")
    );
    assert!(stopped.stdout.ends_with(
        "Could not find a running clearml-agent instance with worker_name=host worker_id=host:9\n"
    ));
    let stopped = stop(&context, &[]);
    assert_eq!(stopped.code, 0);
    assert!(
        stopped
            .stdout
            .starts_with("Terminating clearml-agent worker_id=host:0 pid=")
    );
    assert!(
        stopped
            .stdout
            .ends_with("Still running: host:cpu:1; the next --stop ends the first of them\n"),
        "{}",
        stopped.stdout
    );
    assert_eq!(stop(&context, &["--cpu-only"]).code, 0);
    assert_nothing_left(&context);
}

/// D-292: agents are known by their files in the temporary folder; in another one there are others.
#[test]
fn agents_of_another_temporary_folder_are_not_found() {
    let context = TestContext::new();
    Detached::start(&context, &[]);
    let other = context.folder().join("other");
    fs::create_dir(&other).unwrap();
    let words = ["daemon", "--stop"];
    let elsewhere = context.run_with(&words, &[("TMPDIR", other.to_str().unwrap())]);
    assert_eq!(elsewhere.code, 1);
    let text = "Could not find a running clearml-agent instance with worker_name=host worker_id=";
    assert!(elsewhere.stdout.contains(text), "{}", elsewhere.stdout);
    assert!(slot(&context, "host:0").is_some());
    assert_eq!(stop(&context, &[]).code, 0);
    assert_nothing_left(&context);
}

/// D-126, D-288, D-290, D-295, D-359: each kind of agent stops the other.
#[test]
fn official_and_own_agents_stop_each_other() {
    let context = TestContext::new();
    let ours = Detached::start(&context, &[]);
    let task = context.enqueue(Script::shell("echo begun; sleep 600"));
    context.wait_for_console(&task, "begun");
    let mut theirs = context.start_command(official(&context, &["daemon", "--stop"]));
    assert_eq!(theirs.wait(), 0, "{}", theirs.output());
    assert!(
        theirs
            .output()
            .contains("Terminating clearml-agent worker_id=host:0 pid=")
    );
    context.wait_for_status(&task, "stopped");
    assert_eq!(context.reason(&task), "user abort");
    assert!(!ours.log.exists());
    assert_nothing_left(&context);

    let words = ["daemon", "--queue", "default", "--foreground"];
    let mut theirs: Agent = context.start_command(official(&context, &words));
    theirs.wait_for_output("No tasks in Queues");
    assert_eq!(stop(&context, &[]).code, 0);
    assert_eq!(theirs.wait(), 254);
}

/// D-031, D-059, D-285
#[test]
fn the_status_names_hours_and_queues() {
    let context = TestContext::new();
    let status = context.run(&["daemon", "--queue", "default", "--status"]);
    assert_eq!(
        (status.code, status.stdout.as_str()),
        (
            0,
            "No uptime/downtime configurations found\n \n  - Listening to queue 'default'\n\n"
        )
    );
    assert!(context.requests("workers.register").is_empty());
}

/// Whoever has started it may be gone before it has said its last word.
#[test]
fn a_daemon_whose_starter_reads_nothing_works_all_the_same() {
    let context = TestContext::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = context.command(&["daemon", "--detached"]);
    command.stdout(writer);
    assert!(command.status().unwrap().success());
    let task = context.enqueue(Script::shell("true"));
    context.wait_for_status(&task, "completed");
    assert_eq!(stop(&context, &[]).code, 0);
    assert_nothing_left(&context);
}
