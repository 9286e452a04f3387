//! The official agent 3.0.3 beside this one: against the local server, as the parent of ours, on the same machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::support::{
    Agent, Repository, Script, TestContext, download_cache, package_folder, path_with, wait_until,
};

/// The release that this agent stands in for.
const OFFICIAL: &str = "clearml-agent==3.0.3";

/// The words of a daemon that stays in the foreground.
const DAEMON: [&str; 4] = ["daemon", "--queue", "default", "--foreground"];

/// The official agent with these words, in the environment that ours gets in the tests.
pub(crate) fn official(context: &TestContext, words: &[&str]) -> Command {
    let bin = package_folder(OFFICIAL);
    let mut command = context.beside_agent(bin.join("clearml-agent"));
    command
        .args(words)
        .env("PATH", path_with(&bin))
        .env("PIP_CACHE_DIR", download_cache())
        .env("PYTHONUNBUFFERED", "1");
    command
}

/// The official daemon, with `interpreter` in the place of the Python by which it starts itself for a task.
fn official_daemon_that_starts(context: &TestContext, interpreter: &Path) -> Agent {
    let starter = context.folder().join("official.py");
    let text = "import sys\n\
                sys.executable = sys.argv.pop(1)\n\
                sys.argv[0] = 'clearml-agent'\n\
                from clearml_agent.__main__ import main\n\
                sys.exit(main())\n";
    fs::write(&starter, text).unwrap();
    let like = official(context, &DAEMON);
    let mut command = Command::new(package_folder(OFFICIAL).join("python"));
    command
        .arg(starter)
        .arg(interpreter)
        .args(like.get_args())
        .env_clear();
    command.envs(
        like.get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command.current_dir(context.folder());
    context.start_command(command)
}

/// A program that takes the words for the official agent's Python and gives them to this agent.
fn interpreter_that_is_this_agent(context: &TestContext) -> PathBuf {
    let path = context.folder().join("interpreter");
    let agent = env!("CARGO_BIN_EXE_clearml-agent");
    let text = format!(
        "#!/bin/sh\n[ \"$1 $2 $3\" = '-u -m clearml_agent' ] || exec python3 \"$@\"\nshift 3\nexec '{agent}' \"$@\"\n"
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// The task of the quick start in small: a repository, a commit, a change, a requirement.
fn repository_task(context: &TestContext) -> Script {
    let folder = context.folder().join("repos/demo");
    let repository = Repository::create(&folder, &[("train.py", "print('committed')\n")]);
    let change = "import six\nprint('six works:', six.PY3)\n";
    Script::python(&repository.append("train.py", change), "six\n")
        .with("entry_point", "train.py")
        .with("repository", repository.url())
        .with("branch", "main")
        .with("version_num", repository.commit())
}

/// The local server is good enough for the official `daemon`, and this project's task is one that it can run.
#[test]
fn the_official_daemon_runs_a_task_of_the_local_server() {
    let context = TestContext::new();
    let task = context.enqueue(repository_task(&context));
    let mut daemon = context.start_command(official(&context, &DAEMON));
    context.wait_for_console(&task, "Environment setup completed successfully");
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    assert!(
        console.contains("committed\nsix works: True\n"),
        "{console}"
    );
    assert_eq!(context.reason(&task), "worker execution done");
    // Before its end: a request that the end cuts off is none of the server's business.
    assert_nothing_unknown(&context);
    assert_eq!(daemon.terminate(), 254);
    let farewells = context.requests("workers.unregister");
    assert!(farewells.iter().any(|request| request.status == Some(200)));
}

/// The local server is good enough for the official `execute` and `list`.
#[test]
fn the_official_execute_runs_a_task_of_the_local_server() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo from the task; exit 3"));
    let mut execute = context.start_command(official(&context, &["execute", "--id", &task]));
    assert_eq!(execute.wait(), 3, "{}", execute.output());
    assert_eq!(context.status(&task), "failed");
    assert_eq!(context.console(&task).matches("from the task\n").count(), 1);
    let mut list = context.start_command(official(&context, &["list"]));
    assert_eq!(list.wait(), 0, "{}", list.output());
    assert_nothing_unknown(&context);
}

/// E-001, D-211: below an official daemon our `execute --disable-monitoring` becomes the program itself. It uploads
/// nothing and sets no final status; what it prints and how it ends is the official daemon's to report.
#[test]
fn ours_is_a_child_of_the_official_daemon() {
    let context = TestContext::new();
    let interpreter = interpreter_that_is_this_agent(&context);
    let mut daemon = official_daemon_that_starts(&context, &interpreter);
    let text = "echo parent $PPID; echo worker $CLEARML_WORKER_ID; echo task $CLEARML_TASK_ID; echo error >&2";
    let good = context.enqueue(Script::shell(text));
    let bad = context.enqueue(Script::shell("exit 3"));
    context.wait_for_status(&good, "completed");
    context.wait_for_status(&bad, "failed");
    assert_eq!(context.reason(&good), "worker execution done");
    assert_eq!(context.reason(&bad), "worker execution exit code 3");
    let console = context.console(&good);
    let printed = format!(
        "Starting Task Execution:\n\nparent {}\nworker host:0\ntask {good}\nerror\n",
        daemon.pid()
    );
    assert_eq!(console.matches(&printed).count(), 1, "{console}");
    assert_eq!(daemon.terminate(), 254);

    let requests = context.server.requests();
    let is_ours = |agent: &str| agent.starts_with("clearml-agent/");
    let ours = requests.iter().filter(|request| {
        request
            .headers
            .get("user-agent")
            .is_some_and(|agent| is_ours(agent))
    });
    let calls: Vec<&str> = ours.map(|request| request.endpoint.as_str()).collect();
    let of_one_task = [
        "auth.login",
        "tasks.get_by_id",
        "tasks.dequeue",
        "tasks.started",
        "tasks.started",
        "tasks.started",
    ];
    assert_eq!(calls, of_one_task.repeat(2));
}

/// D-126 to D-128: both keep their places in files of one folder, so no id is taken twice, whoever comes first.
#[test]
fn official_and_own_daemons_share_the_slots_of_a_machine() {
    let context = TestContext::new();
    let mut daemons = [
        context.start(&DAEMON),
        {
            wait_for_worker(&context, "host:0");
            context.start_command(official(&context, &DAEMON))
        },
        {
            wait_for_worker(&context, "host:1");
            context.start(&DAEMON)
        },
    ];
    wait_for_worker(&context, "host:2");
    let [own, official, later] = &daemons;
    for (daemon, worker) in [(own, "host:0"), (official, "host:1"), (later, "host:2")] {
        daemon.wait_for_output(&format!("Worker \"{worker}\" - Listening to queues:"));
    }
    for daemon in &mut daemons {
        assert_eq!(daemon.terminate(), 254);
    }
    assert!(
        wait_until(|| context.leftovers().is_empty()),
        "{:?}",
        context.leftovers()
    );
}

fn wait_for_worker(context: &TestContext, id: &str) {
    let is_registered = || {
        let workers = context.call("workers.get_all", json!({ "last_seen": 0 }));
        let workers = workers["workers"].as_array().cloned().unwrap_or_default();
        workers.iter().any(|worker| worker["id"] == id)
    };
    assert!(wait_until(is_registered), "{id} did not register");
}

/// No call may meet an endpoint or a field that the server does not know, but for those that an open-source server
/// lacks. One that was on its way when the agent ended has no answer.
fn assert_nothing_unknown(context: &TestContext) {
    for request in context.server.requests() {
        let is_lacking = request.endpoint.ends_with("_runtime_properties");
        assert!(
            request.status.is_none_or(|status| status == 200) || is_lacking,
            "{:?} {} {}: {}",
            request.status,
            request.path,
            request.body,
            request.response
        );
    }
}

/// One home, one configuration, both agents in turn: what each leaves behind makes the other one neither fail nor
/// do anything else than alone.
#[test]
fn both_agents_take_turns_in_one_home() {
    let context = TestContext::new();
    let script = repository_task(&context);
    for is_ours in [true, false, true] {
        let task = context.create(script.clone());
        let words = ["execute", "--id", &task];
        let mut command = if is_ours {
            context.command(&words)
        } else {
            official(&context, &words)
        };
        command.env("PIP_CACHE_DIR", download_cache());
        let mut agent = context.start_command(command);
        assert_eq!(agent.wait(), 0, "{}", agent.output());
        assert_eq!(context.status(&task), "completed");
        let console = context.console(&task);
        assert!(
            console.contains("committed\nsix works: True\n"),
            "{console}"
        );
    }
    // A daemon of ours that was killed leaves its slot, its worker and its task's files.
    let gate = context.gate("program");
    let lost = context.enqueue(Script::shell(&format!("echo ready\n{}", gate.wait())));
    let mut ours = context.daemon();
    context.wait_for_console(&lost, "ready\n");
    ours.kill();
    let next = context.enqueue(script);
    let mut theirs = context.start_command(official(&context, &DAEMON));
    context.wait_for_status(&next, "completed");
    assert_eq!(theirs.terminate(), 254);
    // Its program has run on beside the other agent.
    assert_eq!(context.status(&lost), "in_progress");
    gate.open();
    context.wait_for_status(&lost, "completed");
    context.wait_for_no_runs();
}
