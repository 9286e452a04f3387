//! A task from its queue to its final status.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::support::{Script, TestContext, wait_until};

/// D-239, D-248, D-294, D-350
#[test]
fn a_queued_task_runs_to_its_end() {
    let context = TestContext::new();
    let task = context.enqueue(Script::shell("echo one; echo two >&2; echo done"));
    let mut daemon = context.daemon();
    context.wait_for_status(&task, "completed");
    assert_eq!(context.reason(&task), "worker execution done");
    let console = context.console(&task);
    assert!(
        console.contains("Starting Task Execution:\n\none\ntwo\ndone\n"),
        "{console}"
    );
    assert!(
        console.ends_with("Process completed successfully"),
        "{console}"
    );
    daemon.wait_for_output("Process completed successfully\n");
    assert_eq!(daemon.terminate(), 254);
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert!(context.runs().is_empty());
}

/// D-241, D-350
#[test]
fn an_exit_code_is_a_failure_with_its_number() {
    let context = TestContext::new();
    let task = context.enqueue(Script::shell("echo bad; exit 3"));
    let daemon = context.daemon();
    context.wait_for_status(&task, "failed");
    assert_eq!(context.reason(&task), "worker execution exit code 3");
    assert!(
        context
            .console(&task)
            .ends_with("bad\nProcess failed, exit code 3"),
        "{}",
        context.console(&task)
    );
    daemon.wait_for_output(&format!("DONE: Running task '{task}', exit status 3"));
}

/// D-241, D-350
#[test]
fn death_by_a_signal_is_a_failure_with_a_negative_number() {
    let context = TestContext::new();
    let _daemon = context.daemon();
    for (signal, code) in [("KILL", -9), ("SEGV", -11), ("TERM", -15)] {
        let task = context.enqueue(Script::shell(&format!("echo so long; kill -{signal} $$")));
        context.wait_for_status(&task, "failed");
        let reason = format!("worker execution exit code {code}");
        assert_eq!(context.reason(&task), reason);
        let console = context.console(&task);
        let end = format!("so long\nProcess failed, exit code {code}");
        assert!(console.ends_with(&end), "{console}");
    }
}

/// D-240
#[test]
fn a_program_that_was_interrupted_has_been_stopped() {
    let context = TestContext::new();
    let task = context.enqueue(Script::shell("kill -INT $$; read -r _"));
    let daemon = context.daemon();
    context.wait_for_status(&task, "stopped");
    assert_eq!(context.reason(&task), "user abort");
    let console = context.console(&task);
    assert!(console.ends_with("Process terminated by user"), "{console}");
    daemon.wait_for_output("exit status -2\n");
}

/// D-351, D-220, D-223, D-224
#[test]
fn whatever_a_program_prints_arrives_whole_and_in_order() {
    let context = TestContext::new();
    let (half, rest) = (context.gate("half"), context.gate("rest"));
    let script = format!(
        "printf '%70000s\\n' '' | tr ' ' x
         seq -f 'line %06.0f of a burst' 1 15000
         printf ' 1%%\\r20%%\\r100%% done\\n'
         printf 'split \\342\\202'
         {}
         printf '\\254 end\\n'
         {}
         printf 'bad \\377 byte\\n\\n'
         printf 'no line feed'",
        half.wait(),
        rest.wait(),
    );
    let task = context.enqueue(Script::shell(&script));
    let _daemon = context.daemon();
    // A character of which two bytes are there is held back, the text before it is not for long.
    context.wait_for_console(&task, "\nsplit ");
    half.open();
    context.wait_for_console(&task, "\nsplit € end\n");
    rest.open();
    context.wait_for_status(&task, "completed");
    let burst: String = (1..=15_000)
        .map(|number| format!("line {number:06} of a burst\n"))
        .collect();
    let expected = format!(
        "{}\n{burst}100% done\nsplit € end\nbad \u{fffd} byte\n\nno line feedProcess completed successfully",
        "x".repeat(70_000)
    );
    let console = context.console(&task);
    let printed = console
        .split_once("Starting Task Execution:\n\n")
        .unwrap()
        .1;
    assert_eq!(printed.len(), expected.len());
    assert!(
        printed == expected,
        "{}",
        first_difference(printed, &expected)
    );
    let log = context.log(&task);
    let longest = log.iter().map(|event| text(event).chars().count()).max();
    assert_eq!(longest, Some(65_536));
}

/// D-214: the console is live, on the server and on the agent's own output.
#[test]
fn the_console_is_live_while_the_program_runs() {
    let context = TestContext::new();
    let gates = [context.gate("first"), context.gate("second")];
    let script = format!(
        "echo one\n{}\necho two\nprintf 'half a '\n{}\necho line",
        gates[0].wait(),
        gates[1].wait()
    );
    let task = context.enqueue(Script::shell(&script));
    let daemon = context.daemon();
    for (printed, gate) in ["\none\n", "\none\ntwo\nhalf a "].into_iter().zip(&gates) {
        context.wait_for_console(&task, printed);
        daemon.wait_for_output(printed);
        assert_eq!(context.status(&task), "in_progress");
        assert!(!context.console(&task).contains("Process completed"));
        gate.open();
    }
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    let end = "\none\ntwo\nhalf a line\nProcess completed successfully";
    assert!(console.ends_with(end), "{console}");
}

/// D-215, E-274
#[test]
fn nothing_that_a_program_started_outlives_its_task() {
    let context = TestContext::new();
    let pids = context.folder().join("pids");
    let script = format!(
        "trap '' HUP
         pids='{}'
         sleep 600 & echo $! >> $pids
         ( ( echo $BASHPID >> $pids; exec sleep 600 ) & )
         ( setsid bash -c 'echo $$ >> '$pids'; exec sleep 600' & )
         ( setsid bash -c 'echo $$ >> '$pids'; while true; do sleep 600; done' & )
         until [ $(wc -l < $pids) = 4 ]; do sleep 0.02; done
         echo all there",
        pids.display()
    );
    let task = context.enqueue(Script::shell(&script));
    let _daemon = context.daemon();
    context.wait_for_status(&task, "completed");
    context.wait_for_no_runs();
    for pid in fs::read_to_string(&pids).unwrap().lines() {
        let gone = wait_until(|| !Path::new("/proc").join(pid).exists());
        assert!(gone, "{pid} lives");
    }
}

/// D-208, D-249, D-150, D-152
#[test]
fn the_files_of_a_run_are_private_and_go_with_it() {
    let context = TestContext::new();
    let gate = context.gate("gate");
    let task = context.enqueue(Script::shell(&format!("echo here\n{}", gate.wait())));
    let daemon = context.daemon();
    context.wait_for_console(&task, "here");
    let mut files = context.leftovers();
    files.sort();
    let prefixes = [".clearml_agent.", ".clearml_agent_out.", ".clearmlagent_"];
    assert_eq!(files.len(), prefixes.len(), "{files:?}");
    for (file, prefix) in files.iter().zip(prefixes) {
        assert!(file.starts_with(prefix), "{files:?}");
        let path = context.temporary().join(file);
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let announced = format!(
        "Storing stdout and stderr log to '{0}/{1}', '{0}/{1}'",
        context.temporary().display(),
        files[1]
    );
    daemon.wait_for_output(&announced);
    gate.open();
    context.wait_for_status(&task, "completed");
    let left = wait_until(|| context.leftovers() == files[2..]);
    assert!(left, "{:?}", context.leftovers());
    context.wait_for_no_runs();
}

/// D-161, D-164: no pause between tasks; the pause here is longer than any test waits.
#[test]
fn one_task_follows_the_other_at_once() {
    let context = TestContext::new();
    let tasks = ["one", "two"].map(|word| context.enqueue(Script::shell(&format!("echo {word}"))));
    let _daemon = context.daemon_with(&[("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "3600")]);
    for task in &tasks {
        context.wait_for_status(task, "completed");
    }
    let starts: Vec<Value> = context
        .requests("tasks.started")
        .into_iter()
        .filter(|request| request.body["status_message"] == "pulled by agent")
        .map(|request| request.body["task"].clone())
        .collect();
    assert_eq!(starts, tasks);
}

/// D-225
#[test]
fn the_times_of_a_log_rise() {
    let context = TestContext::new();
    let script = "for i in 1 2 3 4 5; do seq 1 20000; sleep 0.2; done; echo end";
    let task = context.enqueue(Script::shell(script));
    let _daemon = context.daemon();
    context.wait_for_status(&task, "completed");
    let batches = context.requests("events.add_batch");
    let events = batches
        .iter()
        .flat_map(|request| request.body["__json_lines__"].as_array().unwrap());
    let times: Vec<u64> = events
        .filter(|event| event["task"] == task)
        .map(|event| event["timestamp"].as_u64().unwrap())
        .collect();
    assert!(times.len() > 3, "{times:?}");
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

/// D-112, D-155, D-164
#[test]
fn queues_are_asked_in_the_order_of_the_command_line() {
    let context = TestContext::new();
    let [high, low] = ["high", "low"].map(|name| {
        let queue = context.call("queues.create", json!({ "name": name }));
        queue["id"].as_str().unwrap().to_owned()
    });
    let gate = context.gate("gate");
    let first = context.enqueue_to(&low, Script::shell(&gate.wait()));
    let _daemon = context.start(&["daemon", "--queue", "high", "low", "--foreground"]);
    context.wait_for_console(&first, "Starting Task Execution");
    let third = context.enqueue_to(&low, Script::shell("echo third"));
    let second = context.enqueue_to(&high, Script::shell("echo second"));
    gate.open();
    context.wait_for_status(&third, "completed");
    let reports = context.requests("workers.status_report");
    let mut started: Vec<(Value, Value)> = reports
        .iter()
        .filter(|report| report.body.get("task").is_some())
        .map(|report| (report.body["task"].clone(), report.body["queue"].clone()))
        .collect();
    started.dedup();
    let expected = [(first, low.clone()), (second, high), (third, low)];
    assert_eq!(
        started,
        expected.map(|(task, queue)| (task.into(), queue.into()))
    );
}

/// D-125, D-254, E-253 to E-265: variables, folder, signals.
#[test]
fn a_program_sees_the_agents_environment_and_what_the_reference_adds() {
    let context = TestContext::new();
    context.configure("agent.git_user: somebody\nagent.git_pass: secret-of-git");
    let folder = context.folder().display().to_string();
    let script = format!(
        "cat /proc/$$/environ > '{folder}/environment'
         pwd -P > '{folder}/cwd'
         grep -E '^Sig(Ign|Blk)' /proc/self/status > '{folder}/signals'
         stat -c '%a' \"$CLEARML_CONFIG_FILE\""
    );
    let task = context.enqueue(Script::shell(&script));
    let _daemon = context.daemon_with(&[("OPENBLAS_CORETYPE", "ARMV8"), ("MINE", "a b")]);
    context.wait_for_status(&task, "completed");
    assert!(context.console(&task).contains("\n600\n"));

    let read = |name: &str| fs::read_to_string(context.folder().join(name)).unwrap();
    let environment = read("environment");
    let variables: BTreeMap<&str, &str> = environment
        .split_terminator('\0')
        .filter_map(|variable| variable.split_once('='))
        .collect();
    let home = context.home().display().to_string();
    let expected = [
        ("OPENBLAS_CORETYPE", "ARMV8"),
        ("MINE", "a b"),
        ("HOME", &home),
        ("CLEARML_TASK_ID", &task),
        ("TRAINS_TASK_ID", &task),
        ("CLEARML_LOG_LEVEL", "INFO"),
        ("TRAINS_LOG_LEVEL", "INFO"),
        ("CLEARML_LOG_TASK_TO_BACKEND", "0"),
        ("TRAINS_LOG_TASK_TO_BACKEND", "0"),
        ("CLEARML_WORKER_ID", "host:0"),
        ("TRAINS_WORKER_ID", "host:0"),
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
    ];
    for (name, value) in expected {
        assert_eq!(variables.get(name), Some(&value), "{name}");
    }
    let configuration = variables["CLEARML_CONFIG_FILE"];
    assert_eq!(variables["TRAINS_CONFIG_FILE"], configuration);
    let prefix = context.temporary().join(".clearml_agent.");
    assert!(
        configuration.starts_with(&prefix.display().to_string()),
        "{configuration}"
    );
    for absent in ["CLEARML_PROC_MASTER_ID", "LOCAL_PYTHON", "LD_LIBRARY_PATH"] {
        assert!(!variables.contains_key(absent), "{absent}");
    }
    let keys = context.server.credentials();
    for secret in [&keys.secret_key, "secret-of-git"] {
        assert!(!environment.contains(secret), "{environment}");
    }
    let code = context.home().join(".clearml/venvs-builds/code");
    assert_eq!(Path::new(read("cwd").trim()), code.canonicalize().unwrap());
    let here = fs::read_to_string("/proc/thread-self/status").unwrap();
    let there = read("signals");
    let (given, seen) = (signals(&here), signals(&there));
    // The runtime of this test's language ignores SIGPIPE, nohup and shells the others; a program must not inherit that.
    let ignored = [Signal::SIGPIPE, Signal::SIGHUP, Signal::SIGINT];
    let ignored = ignored.map(|signal| 1 << (signal as u32 - 1));
    assert_eq!(
        seen["SigIgn"],
        given["SigIgn"] & !ignored.iter().sum::<u64>()
    );
    assert_eq!(seen["SigBlk"], given["SigBlk"]);
}

/// The masks of a process that `status` tells.
fn signals(status: &str) -> BTreeMap<&str, u64> {
    // 32 and 33, which it uses and ignores for its own ends once there are threads.
    const OF_THE_C_LIBRARY: u64 = 0b11 << 31;
    let lines = status.lines().filter_map(|line| line.split_once(":\t"));
    lines
        .filter(|(name, _)| ["SigBlk", "SigIgn"].contains(name))
        .map(|(name, mask)| {
            (
                name,
                u64::from_str_radix(mask, 16).unwrap() & !OF_THE_C_LIBRARY,
            )
        })
        .collect()
}

/// D-076, D-124, D-174, D-177, D-178, D-179, D-180, D-181, D-183, D-185, D-358
#[test]
fn status_reports_name_the_task_while_it_runs() {
    let context = TestContext::new();
    let gate = context.gate("gate");
    let task = context.enqueue(Script::shell(&gate.wait()));
    let queue = context.queue();
    let _daemon = context.daemon_with(&[("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.2")]);
    let reports = || {
        let requests = context.requests("workers.status_report");
        requests
            .into_iter()
            .map(|request| request.body)
            .collect::<Vec<_>>()
    };
    let of_task = |report: &Value| report["task"] == task;
    let full = |report: &&Value| of_task(report) && report["machine_stats"].is_object();
    assert!(wait_until(|| reports().iter().filter(full).count() >= 2));
    gate.open();
    context.wait_for_status(&task, "completed");
    assert!(wait_until(|| reports()
        .last()
        .is_some_and(|last| !of_task(last))));
    let reports = reports();
    for report in &reports {
        let timestamp = report["timestamp"].as_u64().unwrap();
        assert!(
            timestamp > 1_600_000_000_000 && timestamp.is_multiple_of(1000),
            "{report}"
        );
        assert_eq!(report["worker"], "host:0");
        assert_eq!(report["queues"], json!([queue]));
        assert_eq!(report["is_daemon"], true);
        assert_eq!(report.get("queue").is_some(), report.get("task").is_some());
    }
    // From the pull to the end no report forgets the task.
    let first = reports.iter().position(of_task).unwrap();
    let last = reports.iter().rposition(of_task).unwrap();
    assert!(reports[first..=last].iter().all(of_task), "{reports:?}");
    assert_eq!(reports[first]["queue"], queue);
    assert_eq!(reports[first]["machine_stats"], Value::Null);
    assert_eq!(context.field(&task, "last_worker"), "host:0");
}

/// A secret of the configuration shows neither on the server nor on the agent's output, however a program prints it.
#[test]
fn secrets_are_masked_in_console_and_log() {
    let context = TestContext::new();
    context.configure("agent.git_user: somebody\nagent.git_pass: \"p@ss/word 1\"");
    let key = context.server.credentials().secret_key.clone();
    let script = format!(
        "echo 'plain p@ss/word 1 end'
         echo 'https://somebody:p%40ss%2Fword%201@example.com'
         printf 'cut p@ss'; sleep 0.3; echo '/word 1 end'
         echo 'key {key} end'"
    );
    let task = context.enqueue(Script::shell(&script));
    let daemon = context.daemon();
    context.wait_for_status(&task, "completed");
    daemon.wait_for_output("Process completed successfully\n");
    let console = context.console(&task);
    for printed in [&console, &daemon.output()] {
        let masked =
            "plain **** end\nhttps://somebody:****@example.com\ncut **** end\nkey **** end\n";
        assert!(printed.contains(masked), "{printed}");
        for secret in ["p@ss/word 1", "p%40ss%2Fword%201", key.as_str()] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}

/// D-226: a pipe that nobody reads holds up neither the task nor its log.
#[test]
fn an_output_that_nobody_reads_does_not_hold_up_a_task() {
    let context = TestContext::new();
    let task = context.enqueue(Script::shell("seq 1 100000; echo end"));
    let _daemon = context.unread_daemon();
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    assert!(console.contains("\n99999\n100000\nend\n"));
    context.wait_for_no_runs();
}

fn text(event: &Value) -> &str {
    event["msg"].as_str().unwrap_or_default()
}

fn first_difference(a: &str, b: &str) -> String {
    let differs = |(a, b): &(&str, &str)| a != b;
    format!("{:?}", a.lines().zip(b.lines()).find(differs))
}
