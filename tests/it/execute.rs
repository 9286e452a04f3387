//! The shapes of `execute`, each as a person starts it: plain, `--disable-monitoring`, `--full-monitoring`.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::support::{Agent, Fault, FaultProxy, Repository, Script, TestContext, wait_until};

/// A program with a child, which waits for its end; the line `ready` says that both run.
const LONG_PROGRAM: &str = "sleep 600 & echo child $!; echo ready; wait";
/// Prints the variables of the hand-over.
const PRINT_VARIABLES: &str = "env | grep -E '^(CLEARML|TRAINS|CUDA)_' | sort";
/// No environment, for the tests that need Python and no package.
const NO_ENVIRONMENT: (&str, &str) = ("CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL", "1");

/// The bodies of these calls, in the order of their arrival.
fn bodies(context: &TestContext, endpoint: &str) -> Vec<Value> {
    let requests = context.server.requests();
    let of_endpoint = requests
        .into_iter()
        .filter(|call| call.endpoint == endpoint);
    of_endpoint.map(|call| call.body).collect()
}

/// A child of [`LONG_PROGRAM`], by its own line.
#[track_caller]
fn child_of_program(text: &str) -> i32 {
    let line = text.lines().find_map(|line| line.strip_prefix("child "));
    line.unwrap_or_else(|| panic!("no child in {text}"))
        .parse()
        .unwrap()
}

#[track_caller]
fn assert_gone(pid: i32) {
    let gone = wait_until(|| {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // What has ended and is not yet waited for is gone.
        state.is_empty() || state.contains(") Z ")
    });
    assert!(gone, "{pid} lives");
}

/// E-002, E-018, E-022, E-252, E-269, E-274, E-275 and the order of E 1.4
#[test]
fn the_plain_shape_uploads_the_program_alone() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo out; echo err >&2"));
    let finished = context.run(&["execute", "--id", &task]);
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
    let mut rest = finished.stdout.as_str();
    for part in [
        &format!(
            "Current configuration (clearml_agent v3.0.3, location: {}/clearml.conf):\n",
            context.home().display()
        ),
        &format!("\nExecuting task id [{task}]:\nrepository = \nbranch = \n"),
        "\nentry_point = main.sh\nworking_dir = .\n\n",
        &format!("\nRunning task id [{task}]:\n[.]$ /bin/bash main.sh\n"),
        "\nEnvironment setup completed successfully\n\nStarting Task Execution:\n\n",
        &format!(
            "Storing stdout and stderr log into [{}/.clearml_agent_out.",
            context.temporary().display()
        ),
        "\nout\nerr\n",
        "\nLeaving process id ",
        "\nProcess completed successfully\n",
    ] {
        let at = rest.find(part);
        let at = at.unwrap_or_else(|| panic!("no {part:?} in order in\n{}", finished.stdout));
        rest = &rest[at + part.len() - 1..];
    }
    assert!(!finished.stdout.contains("Using custom configuration"));

    assert_eq!(context.status(&task), "completed");
    assert_eq!(context.reason(&task), "worker execution done");
    assert_eq!(
        context.console(&task),
        "out\nerr\nProcess completed successfully"
    );
    let mut calls = context.calls();
    calls.retain(|call| call != "events.add_batch");
    assert_eq!(
        calls,
        [
            "auth.login",
            "tasks.get_by_id",
            "tasks.dequeue",
            "tasks.started",
            "tasks.started",
            "tasks.completed",
            "workers.unregister"
        ]
    );
    let worker = format!("host:{}", finished.pid);
    let signature = format!("Changed by clearml-agent {worker}");
    assert_eq!(
        bodies(&context, "tasks.dequeue"),
        [json!({ "task": task, "new_status": "in_progress" })]
    );
    let started = |reason: &str| json!({ "task": task, "status_reason": reason, "status_message": signature, "force": true });
    assert_eq!(
        bodies(&context, "tasks.started"),
        [
            started("worker started execution"),
            started("worker starting task execution")
        ]
    );
    assert_eq!(
        bodies(&context, "workers.unregister"),
        [json!({ "worker": worker, "queues": [] })]
    );
    let reports = bodies(&context, "workers.status_report");
    let first = reports.first().expect("a status report");
    assert_eq!(
        (&first["task"], &first["worker"], &first["is_daemon"]),
        (&json!(task), &json!(worker), &json!(false))
    );
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert!(context.runs().is_empty());
}

/// D-060, D-241, D-246, E-276
#[test]
fn the_plain_shape_ends_as_its_program() {
    let context = TestContext::new();
    for (program, code, reason) in [
        ("exit 3", 3, "worker execution exit code 3"),
        ("kill -9 $$", 247, "worker execution exit code -9"),
        ("exit 254", 254, "worker execution exit code 254"),
    ] {
        let task = context.create(Script::shell(program));
        let finished = context.run(&["execute", "--id", &task]);
        assert_eq!(finished.code, code, "{program}");
        assert_eq!(context.status(&task), "failed", "{program}");
        assert_eq!(context.reason(&task), reason);
    }
}

/// E-274: what the program leaves behind ends with it.
#[test]
fn background_jobs_end_with_the_program() {
    let context = TestContext::new();
    let program = "setsid sleep 600 > /dev/null 2>&1 & echo child $!";
    let task = context.create(Script::shell(program));
    let finished = context.run(&["execute", "--id", &task]);
    assert_eq!(finished.code, 0);
    assert_gone(child_of_program(&finished.stdout));
    context.wait_for_silence();
}

/// E-015, D-044
#[test]
fn a_queued_task_leaves_its_queue() {
    let context = TestContext::new();
    let task = context.enqueue(Script::shell("echo ran"));
    let finished = context.run(&["execute", "--id", &task, "--require-queue"]);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    assert_eq!(context.status(&task), "completed");
    assert_eq!(
        bodies(&context, "tasks.started")[0],
        json!({ "task": task, "status_reason": "starting execution soon", "status_message": "", "force": true })
    );
    let queue = context.call("queues.get_by_id", json!({ "queue": context.queue() }));
    assert_eq!(queue["queue"]["entries"], json!([]));
}

/// E-015, D-044: the task is left alone, and so is its status.
#[test]
fn a_required_queue_is_required() {
    let context = TestContext::new();
    for shape in [
        &[] as &[&str],
        &["--disable-monitoring"],
        &["--full-monitoring"],
    ] {
        let task = context.create(Script::shell("echo ran"));
        let words = ["execute", "--id", &task, "--require-queue"];
        let finished = context.run(&[&words, shape].concat());
        assert_eq!((finished.code, finished.stderr.as_str()), (1, ""));
        let expected = format!(
            "\nclearml_agent: ERROR: Execution required enqueued task, but task id={task} is not queued.\nhint: "
        );
        assert!(
            finished.stdout.starts_with(&expected),
            "{}",
            finished.stdout
        );
        assert_eq!(context.status(&task), "created");
        assert_eq!(context.console(&task), "");
    }
    let one = ["auth.login", "tasks.get_by_id", "tasks.dequeue"];
    assert_eq!(
        context
            .calls()
            .into_iter()
            .filter(|call| call != "workers.unregister")
            .collect::<Vec<_>>(),
        one.repeat(3)
    );
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert!(context.runs().is_empty());
}

/// E-014, D-045
#[test]
fn a_clone_is_run_in_place_of_the_task() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo \"I am $CLEARML_TASK_ID\""));
    let finished = context.run(&["execute", "--id", &task, "--clone", "--require-queue"]);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let clones = context.call("tasks.get_all", json!({ "parent": task }));
    let clone = clones["tasks"][0]["id"]
        .as_str()
        .expect("a clone")
        .to_owned();
    let start =
        format!("Cloning task id={task}\nTask cloned, new task id={clone}\nCurrent configuration");
    assert!(finished.stdout.starts_with(&start), "{}", finished.stdout);
    assert_eq!(context.field(&clone, "name"), "Clone of test");
    assert_eq!(context.status(&clone), "completed");
    assert!(context.console(&clone).contains(&format!("I am {clone}\n")));
    assert_eq!(context.status(&task), "created");
    assert_eq!(context.count("tasks.dequeue"), 0);
}

/// D-040, D-113, E-020
#[test]
fn a_task_may_be_named() {
    let context = TestContext::new();
    let named = |name: &str| {
        let script = json!({ "binary": "/bin/bash", "entry_point": "main.sh", "diff": "echo ran" });
        let task = json!({ "name": name, "type": "training", "script": script });
        context.call("tasks.create", task)["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let task = named("Train it (1)");
    let finished = context.run(&["execute", "--id", "train IT (1)"]);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    assert_eq!(context.status(&task), "completed");

    let finished = context.run(&["execute", "--id", "Train it"]);
    let expected = format!(
        "\nclearml_agent: ERROR: Could not find task with name/id \"Train it\". Did you mean this?\n* ({task}) Train it (1)\nhint: "
    );
    assert_eq!(finished.code, 1);
    assert!(
        finished.stdout.starts_with(&expected),
        "{}",
        finished.stdout
    );

    let second = named("Train it (1)");
    let finished = context.run(&["execute", "--id", "Train it (1)"]);
    assert_eq!(finished.code, 1);
    let expected = "\nclearml_agent: ERROR: Found multiple tasks with name \"Train it (1)\":\n* (";
    assert!(finished.stdout.starts_with(expected), "{}", finished.stdout);
    assert_eq!(context.status(&second), "created");
}

/// The transcript of tasks that are completed, and in progress already: whatever the status is, it is of an earlier run.
#[test]
fn a_task_may_be_run_again() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo ran"));
    for status in ["completed", "started", "stopped", "started", "failed"] {
        context.call(
            &format!("tasks.{status}"),
            json!({ "task": task, "force": true }),
        );
        let finished = context.run(&["execute", "--id", &task]);
        assert_eq!(finished.code, 0, "{status}: {}", finished.stdout);
        assert_eq!(context.status(&task), "completed", "{status}");
    }
    assert!(
        !context.console(&task).contains("reset"),
        "{}",
        context.console(&task)
    );
}

/// E-008, E-082
#[test]
fn the_plain_shape_says_why_it_could_not_prepare() {
    let context = TestContext::new();
    let url = format!("file://{}/nosuch", context.folder().display());
    let task = context.create(Script::shell("").with("repository", url));
    let finished = context.run_with(&["execute", "--id", &task], &[NO_ENVIRONMENT]);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    assert_eq!(
        finished
            .stdout
            .matches("Repository cloning failed:")
            .count(),
        1
    );
    assert!(
        finished
            .stdout
            .contains("\nclearml_agent: ERROR: Failed cloning repository. \n")
    );
    assert_eq!(context.status(&task), "failed");
    assert_eq!(context.reason(&task), "failed cloning repository");
    assert_eq!(context.count("tasks.failed"), 1);
    let console = context.console(&task);
    assert!(
        console.starts_with("clearml_agent: ERROR: Failed cloning repository. \n1) Make sure"),
        "{console}"
    );
    assert_eq!(context.calls().last().unwrap(), "workers.unregister");
    assert!(context.runs().is_empty());
}

/// E-277, E-278
#[test]
fn signals_end_the_plain_shape_with_its_program() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let context = TestContext::new();
        let task = context.create(Script::shell(LONG_PROGRAM));
        let mut agent = context.start(&["execute", "--id", &task]);
        agent.wait_for_output("ready\n");
        agent.signal(signal);
        assert_eq!(agent.wait(), 254, "{signal}");
        assert_gone(child_of_program(&agent.output()));
        context.wait_for_silence();
        assert_eq!(context.status(&task), "stopped", "{signal}");
        assert!(
            agent
                .output()
                .contains(&format!("\nUser abort - stopping task {task}\n")),
            "{}",
            agent.output()
        );
        assert!(
            context
                .console(&task)
                .ends_with("ready\nProcess terminated by user")
        );
        assert_eq!(context.calls().last().unwrap(), "workers.unregister");
        assert_eq!(context.leftovers(), Vec::<String>::new());
        assert!(context.runs().is_empty());
    }
}

/// E-277 to E-279: whatever runs while the task is prepared ends with the agent.
#[test]
fn signals_end_the_preparation() {
    for (shape, signal, code, status) in [
        (None, Signal::SIGTERM, 254, "stopped"),
        (None, Signal::SIGINT, 254, "stopped"),
        (
            Some("--disable-monitoring"),
            Signal::SIGINT,
            254,
            "in_progress",
        ),
        (
            Some("--disable-monitoring"),
            Signal::SIGTERM,
            -15,
            "in_progress",
        ),
    ] {
        let context = TestContext::new();
        // An index that takes connections and never answers.
        let index = TcpListener::bind("127.0.0.1:0").unwrap();
        index.set_nonblocking(true).unwrap();
        let address = format!("http://{}/simple", index.local_addr().unwrap());
        let task = context.create(Script::python("print('ran')", "tinydep==1.0\n"));
        let words = [&["execute", "--id", &task], shape.as_slice()].concat();
        let variables = [("PIP_INDEX_URL", address.as_str()), ("PIP_FIND_LINKS", "")];
        let mut agent = context.start_with(&words, &variables);
        let mut installer = None;
        let asked = wait_until(|| {
            installer = index.accept().ok();
            installer.is_some()
        });
        assert!(asked, "{}", agent.output());
        agent.signal(signal);
        assert_eq!(agent.wait(), code, "{shape:?} {signal}: {}", agent.output());
        context.wait_for_silence();
        assert_eq!(context.status(&task), status, "{shape:?} {signal}");
        assert!(!agent.output().contains("Starting Task Execution"));
        assert!(context.runs().is_empty());
    }
}

/// E-005
#[test]
fn the_plain_shape_obeys_the_server() {
    let context = TestContext::new();
    let task = context.create(Script::shell(LONG_PROGRAM));
    let mut agent = context.start(&["execute", "--id", &task]);
    context.wait_for_console(&task, "ready\n");
    context.call("tasks.stop", json!({ "task": task }));
    assert_eq!(agent.wait(), 254, "{}", agent.output());
    assert_gone(child_of_program(&agent.output()));
    assert_eq!(context.status(&task), "stopped");
    assert_eq!(context.reason(&task), "task was stopped by tasks.stop");
    let console = context.console(&task);
    assert!(
        console.ends_with("User aborted: stopping task (1) stopped\nProcess aborted by user"),
        "{console}"
    );
}

/// E-028, D-047
#[test]
fn a_log_file_is_kept() {
    let context = TestContext::new();
    let file = context.folder().join("train.log");
    std::fs::write(&file, "before\n").unwrap();
    let task = context.create(Script::shell("echo out"));
    let words = ["execute", "--id", &task, "--log-file", "train.log"];
    let finished = context.run(&words);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "before\nout\n");
    assert_eq!(
        context.console(&task),
        "out\nProcess completed successfully"
    );

    let task = context.create(Script::shell("echo out"));
    let words = ["execute", "--id", &task, "--log-file", "train.log/inside"];
    let finished = context.run(&words);
    assert_eq!(finished.code, 1);
    let expected = "\nclearml_agent: ERROR: could not write to the log file `train.log/inside`: Not a directory (os error 20)\nhint: ";
    assert!(finished.stdout.starts_with(expected), "{}", finished.stdout);
    assert_eq!(context.status(&task), "created");
}

/// E-254, E-263, F-005
#[test]
fn the_plain_shape_shows_the_users_own_configuration() {
    let context = TestContext::new();
    let own = context.folder().join("own.conf");
    std::fs::copy(context.home().join("clearml.conf"), &own).unwrap();
    let own = own.to_str().unwrap();
    let home = context.home().join("clearml.conf");
    let home = home.to_str().unwrap();
    let none: &[&str] = &[];
    for (before, variable, file) in [
        (none, None, home),
        (&["--config-file", own], None, own),
        (none, Some(("CLEARML_CONFIG_FILE", own)), own),
    ] {
        let task = context.create(Script::shell(PRINT_VARIABLES));
        let words = [before, &["execute", "--id", &task]].concat();
        let finished = context.run_with(&words, variable.as_slice());
        assert_eq!(finished.code, 0, "{}", finished.stdout);
        let notice = format!("Using custom configuration file from env var: {own}\n");
        assert_eq!(
            finished.stdout.matches(&notice).count(),
            usize::from(file == own)
        );
        let console = context.console(&task);
        for name in ["CLEARML", "TRAINS"] {
            for line in [
                format!("{name}_CONFIG_FILE={file}\n"),
                format!("{name}_TASK_ID={task}\n"),
                format!("{name}_LOG_LEVEL=INFO\n"),
                format!("{name}_LOG_TASK_TO_BACKEND=0\n"),
            ] {
                assert!(console.contains(&line), "{line} is not in\n{console}");
            }
        }
        assert!(console.contains("CUDA_DEVICE_ORDER=PCI_BUS_ID\n"));
        assert!(!console.contains("_WORKER_ID="), "{console}");
    }
}

/// E-024, E-025
#[test]
fn optimisation_and_log_level_reach_the_program() {
    let context = TestContext::new();
    let text =
        "import os, sys\nprint('flags', sys.flags.optimize, os.environ['CLEARML_LOG_LEVEL'])\n";
    for (options, expected) in [
        (
            &["-O", "--log-level", "debug"] as &[&str],
            "flags 1 DEBUG\n",
        ),
        (&["-OO", "--log-level=WARNING"], "flags 2 WARNING\n"),
        (&["-O", "-O"], "flags 2 INFO\n"),
    ] {
        let task = context.create(Script::python(text, ""));
        let words = [&["execute", "--id", &task], options].concat();
        let finished = context.run_with(&words, &[NO_ENVIRONMENT]);
        assert_eq!(finished.code, 0, "{}", finished.stdout);
        assert!(
            context.console(&task).starts_with(expected),
            "{}",
            context.console(&task)
        );
    }
}

/// D-042, E-001, E-265, E-272: the same process, its streams untouched, nothing said to the server.
#[test]
fn without_monitoring_the_agent_becomes_the_program() {
    let context = TestContext::new();
    let program = "echo \"pid $$\"; grep -E '^Sig(Ign|Blk)' /proc/self/status; read -r line; echo \"got $line\"; echo err >&2; exit 3";
    let task = context.create(Script::shell(program));
    let mut command = context.command(&["execute", "--disable-monitoring", "--id", &task]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    child.stdin.take().unwrap().write_all(b"a line\n").unwrap();
    let finished = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(finished.stdout).unwrap();
    assert_eq!(finished.status.code(), Some(3), "{stdout}");
    assert_eq!(String::from_utf8(finished.stderr).unwrap(), "err\n");
    let (preparation, output) = stdout.split_once("Starting Task Execution:\n\n").unwrap();
    assert!(
        preparation.starts_with("Current configuration"),
        "{preparation}"
    );
    assert!(output.starts_with(&format!("pid {pid}\n")), "{output}");
    assert!(output.ends_with("got a line\n"), "{output}");
    for (name, signal) in [("SigIgn", Signal::SIGPIPE), ("SigBlk", Signal::SIGINT)] {
        let mask = output
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}:\t")))
            .unwrap();
        let mask = u64::from_str_radix(mask, 16).unwrap();
        assert_eq!(mask & (1 << (signal as i32 - 1)), 0, "{name} {mask:x}");
    }
    assert_eq!(
        context.calls(),
        [
            "auth.login",
            "tasks.get_by_id",
            "tasks.dequeue",
            "tasks.started",
            "tasks.started"
        ]
    );
    assert_eq!(context.count("workers.status_report"), 0);
    assert_eq!(context.status(&task), "in_progress");
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert!(context.runs().is_empty());
    context.wait_for_silence();
}

/// E-001, E-278: signals reach the program itself.
#[test]
fn without_monitoring_the_program_has_the_signals() {
    let context = TestContext::new();
    for (program, expected) in [
        ("echo ready; kill -TERM $$", -15),
        ("trap 'exit 7' INT; echo ready; kill -INT $$; exit 1", 7),
        ("kill -PIPE $$", -13),
        ("exit 0", 0),
    ] {
        let task = context.create(Script::shell(program));
        let words = ["execute", "--disable-monitoring", "--id", &task];
        assert_eq!(context.run(&words).code, expected, "{program}");
        assert_eq!(context.status(&task), "in_progress");
    }
}

/// E-016, E-017: who prepares knows the reason, also where somebody else sets the final status.
#[test]
fn without_monitoring_a_failed_repository_is_reported() {
    let context = TestContext::new();
    let url = format!("file://{}/nosuch", context.folder().display());
    let task = context.create(Script::shell("").with("repository", url));
    let words = ["execute", "--disable-monitoring", "--id", &task];
    let finished = context.run_with(&words, &[NO_ENVIRONMENT]);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    assert!(
        finished
            .stdout
            .contains("\nclearml_agent: ERROR: Failed cloning repository. \n")
    );
    assert_eq!(context.reason(&task), "failed cloning repository");
    assert_eq!(context.console(&task), "");
}

/// E-003, D-043, D-061, D-089: a worker for one task, with slot and configuration of its own.
#[test]
fn full_monitoring_is_a_worker_for_one_task() {
    let context = TestContext::new();
    let gate = context.folder().join("gate");
    let program = format!(
        "{PRINT_VARIABLES}; echo ready; until test -e '{}'; do sleep 0.02; done; exit 5",
        gate.display()
    );
    let task = context.create(Script::shell(&program));
    let mut agent = context.start(&["execute", "--full-monitoring", "--id", &task]);
    context.wait_for_console(&task, "ready\n");
    let configuration = context
        .leftovers()
        .into_iter()
        .find(|name| name.starts_with(".clearml_agent."))
        .expect("a configuration");
    let configuration = context.temporary().join(configuration);
    let mode = std::fs::metadata(&configuration)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let slot = context
        .leftovers()
        .into_iter()
        .find(|name| name.starts_with(&format!(".clearmlagent_{}_", agent.pid())))
        .expect("a slot");
    let slot = std::fs::read_to_string(context.temporary().join(slot)).unwrap();
    assert_eq!(slot, "host:0\n0");
    std::fs::write(&gate, "").unwrap();
    assert_eq!(agent.wait(), 0, "{}", agent.output());

    assert_eq!(context.reason(&task), "worker execution exit code 5");
    let console = context.console(&task);
    let configuration = configuration.display();
    for part in [
        &format!(
            "Using custom configuration file from env var: {configuration}\nCurrent configuration (clearml_agent v3.0.3, location: {configuration}):\n"
        ),
        "\nagent.worker_id = host:0\n",
        "\nStarting Task Execution:\n\n",
        &format!("\nCLEARML_CONFIG_FILE={configuration}\n"),
        &format!("\nTRAINS_CONFIG_FILE={configuration}\n"),
        "\nCLEARML_WORKER_ID=host:0\n",
        "\nTRAINS_WORKER_ID=host:0\n",
    ] {
        assert!(console.contains(part), "{part} is not in\n{console}");
    }
    assert!(
        console.ends_with("ready\nProcess failed, exit code 5"),
        "{console}"
    );
    let output = agent.output();
    assert!(
        output.contains(&format!("Running task '{task}'\n")),
        "{output}"
    );
    assert!(
        output.contains(&format!("DONE: Running task '{task}', exit status 5\n")),
        "{output}"
    );
    assert_eq!(
        bodies(&context, "tasks.started")[0]["status_message"],
        "launch by agent"
    );
    assert!(context.field(&task, "runtime")["_exec_agent_hostname"].is_string());
    assert_eq!(
        bodies(&context, "workers.unregister"),
        [json!({ "worker": "host:0", "queues": [] })]
    );
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert!(context.runs().is_empty());
}

/// D-061, D-079
#[test]
fn full_monitoring_passes_the_exit_code_on_when_told() {
    let context = TestContext::new();
    let propagate = [("CLEARML_AGENT_PROPAGATE_EXITCODE", "1")];
    for (program, expected) in [("exit 5", 5), ("kill -9 $$", 247), ("exit 0", 0)] {
        let task = context.create(Script::shell(program));
        let words = ["execute", "--full-monitoring", "--id", &task];
        assert_eq!(
            context.run_with(&words, &propagate).code,
            expected,
            "{program}"
        );
    }
}

/// E-277, E-278: SIGTERM is for the worker, Ctrl-C for its task.
#[test]
fn signals_end_full_monitoring_with_its_program() {
    for (signal, code) in [(Signal::SIGINT, 0), (Signal::SIGTERM, 254)] {
        let context = TestContext::new();
        let task = context.create(Script::shell(LONG_PROGRAM));
        let mut agent: Agent = context.start(&["execute", "--full-monitoring", "--id", &task]);
        agent.wait_for_output("ready\n");
        agent.signal(signal);
        assert_eq!(agent.wait(), code, "{signal}");
        assert_gone(child_of_program(&agent.output()));
        context.wait_for_silence();
        assert_eq!(context.status(&task), "stopped", "{signal}");
        assert_eq!(context.reason(&task), "user abort");
        assert!(
            context
                .console(&task)
                .ends_with("ready\nProcess terminated by user")
        );
        assert_eq!(context.calls().last().unwrap(), "workers.unregister");
        assert_eq!(context.leftovers(), Vec::<String>::new());
        assert!(context.runs().is_empty());
    }
}

/// D-253, E-198, E-273: one node of several says how it ended, and leaves the task's status to the first.
#[test]
fn a_node_behind_the_first_sets_no_status() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo working"));
    // What the first node has said.
    context.call("tasks.started", json!({ "task": task, "force": true }));
    let variables = [
        ("SLURM_PROCID", "2"),
        ("CLEARML_MULTI_NODE_SINGLE_TASK", "1"),
    ];
    let finished = context.run_with(&["execute", "--id", &task], &variables);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    assert_eq!(
        context.console(&task),
        "\u{1b}[38;5;22mRANK 2:\u{1b}[0m\nworking\nProcess completed successfully - rank 2"
    );
    for endpoint in ["tasks.started", "tasks.completed", "tasks.set_requirements"] {
        assert_eq!(context.count(endpoint), 0, "{endpoint}");
    }
    assert_eq!(context.status(&task), "in_progress");
}

/// E-271: the end of a program shows at once, however seldom the server is asked.
#[test]
fn the_end_of_a_program_is_not_waited_for() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo short"));
    let hour = [("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "3600")];
    let finished = context.run_with(&["execute", "--id", &task], &hour);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    assert_eq!(context.status(&task), "completed");
}

/// E-262: what containers are told to install is not the program's business.
#[test]
fn variables_for_containers_are_removed() {
    let context = TestContext::new();
    let task = context.create(Script::shell("env | grep -c APT_INSTALL; echo looked"));
    let variables = [
        ("CLEARML_APT_INSTALL", "gcc"),
        ("TRAINS_APT_INSTALL", "gcc"),
    ];
    let finished = context.run_with(&["execute", "--id", &task], &variables);
    assert!(
        finished.stdout.contains("\n0\nlooked\n"),
        "{}",
        finished.stdout
    );
}

/// E-280: a status that the program has set itself stays, and only its code counts.
#[test]
fn a_status_that_the_program_has_set_stays() {
    let context = TestContext::new();
    let gate = context.gate("gate");
    let task = context.create(Script::shell(&format!(
        "echo ready; {}; exit 7",
        gate.wait()
    )));
    let mut execute = context.start(&["execute", "--id", &task]);
    context.wait_for_console(&task, "ready\n");
    context.call(
        "tasks.completed",
        json!({ "task": task, "status_reason": "by the program" }),
    );
    gate.open();
    assert_eq!(execute.wait(), 7, "{}", execute.output());
    assert_eq!(context.status(&task), "completed");
    assert_eq!(context.reason(&task), "by the program");
}

/// E-023: what is only written down about a task may fail; what says that it runs may not.
#[test]
fn calls_that_only_tell_may_fail() {
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    let settings = context.server.configuration();
    let settings = settings.replace(&context.server.url(), &proxy.url());
    std::fs::write(context.home().join("clearml.conf"), settings).unwrap();
    let repository = Repository::create(
        &context.folder().join("code"),
        &[("main.py", "print('ran')\n")],
    );
    let script = || {
        Script::python("", "")
            .with("repository", repository.url())
            .with("branch", "main")
    };
    let tells = [
        "tasks.set_requirements",
        "tasks.edit",
        "tasks.ping",
        "workers.status_report",
    ];
    proxy.set(move |call| tells.contains(&call).then_some(Fault::ServerError));
    let task = context.create(script());
    let finished = context.run(&["execute", "--id", &task]);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let said = "\nCould not set task requirements: ";
    assert!(finished.stdout.contains(said), "{}", finished.stdout);
    assert_eq!(context.status(&task), "completed");
    let faults = proxy.faults();
    assert!(faults.iter().any(|call| call == "tasks.edit"), "{faults:?}");

    proxy.set(|call| (call == "tasks.started").then_some(Fault::ServerError));
    let task = context.create(script());
    let finished = context.run(&["execute", "--id", &task]);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    assert!(!finished.stdout.contains("\nran\n"), "{}", finished.stdout);
}
