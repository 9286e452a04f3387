//! `execute` as a person starts it, without options that change its shape.

use serde_json::{Value, json};

use super::support::{Fault, FaultProxy, Repository, Script, TestContext, wait_until};

/// A program with a child, which waits for its end; the line `ready` says that both run.
pub(crate) const LONG_PROGRAM: &str = "sleep 600 & echo child $!; echo ready; wait";
/// Prints the variables of the hand-over.
pub(crate) const PRINT_VARIABLES: &str = "env | grep -E '^(CLEARML|TRAINS|CUDA)_' | sort";
/// No environment, for the tests that need Python and no package.
pub(crate) const NO_ENVIRONMENT: (&str, &str) = ("CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL", "1");

/// The bodies of these calls, in the order of their arrival.
pub(crate) fn bodies(context: &TestContext, endpoint: &str) -> Vec<Value> {
    let requests = context.server.requests();
    let of_endpoint = requests
        .into_iter()
        .filter(|call| call.endpoint == endpoint);
    of_endpoint.map(|call| call.body).collect()
}

/// A child of [`LONG_PROGRAM`], by its own line.
#[track_caller]
pub(crate) fn child_of_program(text: &str) -> i32 {
    let line = text.lines().find_map(|line| line.strip_prefix("child "));
    line.unwrap_or_else(|| panic!("no child in {text}"))
        .parse()
        .unwrap()
}

#[track_caller]
pub(crate) fn assert_gone(pid: i32) {
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

/// One line says where the time before the program went; `--timings` says it of every step.
#[test]
fn the_console_says_how_long_the_preparation_took() {
    let context = TestContext::new();
    let task = context.create(Script::shell("true"));
    let prepared = |words: &[&str]| {
        let finished = context.run_with(words, &[NO_ENVIRONMENT]);
        assert_eq!(finished.code, 0, "{}", finished.stdout);
        finished.stdout
    };
    let words = ["execute", "--id", &task];
    let stdout = prepared(&words);
    let line = stdout.lines().find(|line| line.starts_with("Prepared in "));
    let (seconds, _) = line.unwrap()["Prepared in ".len()..]
        .split_once(" s")
        .unwrap();
    assert!(seconds.parse::<f64>().is_ok(), "{stdout}");
    assert!(!stdout.contains("Timings"), "{stdout}");
    let stdout = prepared(&[&words[..], &["--timings"]].concat());
    let (_, table) = stdout
        .split_once("Timings (begin and length in ms):\n")
        .unwrap();
    let steps: Vec<&str> = table
        .lines()
        .take_while(|line| line.starts_with(' '))
        .map(|line| line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()))
        .collect();
    assert_eq!(
        steps,
        [
            "task",
            "environment",
            "code",
            "packages",
            "list of packages",
            "program"
        ]
    );
}
