//! GPUs: which ones a task sees, what the worker is called, what it reports.

use serde_json::{Value, json};

use super::code::NO_ENVIRONMENT;
use super::support::{NvmlStandIn, Script, TestContext, wait_until};

const PRINT_VARIABLES: &str =
    "env | grep -E '^(CUDA_DEVICE_ORDER|(NVIDIA|CUDA|HIP|ROCR)_VISIBLE_DEVICES)=' | sort; echo end";

/// What the task of this console has printed of its variables.
fn variables(console: &str) -> Vec<&str> {
    let is_variable = |line: &&str| line.contains("_DEVICES=") || line.contains("_ORDER=");
    console.lines().filter(is_variable).collect()
}

/// D-016, D-072, D-089, D-117, D-118, D-119, D-313, D-314, D-315, F-114, F-115: below a daemon, whose supervisor finds the same.
#[test]
fn tasks_see_the_gpus_of_their_worker() {
    type Variables<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, Variables<'_>, &str, &[&str]); 5] = [
        (
            "1,2",
            &[("CUDA_VISIBLE_DEVICES", "7")],
            "host:gpu1,2",
            &[
                "CUDA_DEVICE_ORDER=PCI_BUS_ID",
                "CUDA_VISIBLE_DEVICES=1,2",
                "NVIDIA_VISIBLE_DEVICES=1,2",
            ],
        ),
        (
            "all",
            &[("CUDA_VISIBLE_DEVICES", "7")],
            "host:gpuall",
            &["CUDA_DEVICE_ORDER=PCI_BUS_ID", "NVIDIA_VISIBLE_DEVICES=all"],
        ),
        (
            "0.1",
            &[],
            "host:gpu0.1",
            &[
                "CUDA_DEVICE_ORDER=PCI_BUS_ID",
                "CUDA_VISIBLE_DEVICES=0:1",
                "NVIDIA_VISIBLE_DEVICES=0:1",
            ],
        ),
        (
            "",
            &[("CUDA_VISIBLE_DEVICES", "3")],
            "host:gpu3",
            &[
                "CUDA_DEVICE_ORDER=PCI_BUS_ID",
                "CUDA_VISIBLE_DEVICES=3",
                "NVIDIA_VISIBLE_DEVICES=3",
            ],
        ),
        (
            "5",
            &[("KUBERNETES_PORT", "tcp://10.0.0.1:443")],
            "host:0",
            &["CUDA_DEVICE_ORDER=PCI_BUS_ID"],
        ),
    ];
    for (gpus, variables_of_agent, worker, expected) in cases {
        let context = TestContext::new();
        let task = context.enqueue(Script::shell(PRINT_VARIABLES));
        let words = ["daemon", "--foreground", "--gpus", gpus];
        let words = if gpus.is_empty() { &words[..2] } else { &words };
        let mut daemon = context.start_with(words, variables_of_agent);
        context.wait_for_status(&task, "completed");
        let console = context.console(&task);
        assert_eq!(variables(&console), expected, "{console}");
        assert_eq!(context.field(&task, "last_worker"), worker);
        assert_eq!(daemon.terminate(), 254);
    }
}

/// D-016, D-122, D-313: `execute` as well, also where it becomes the program; it is called by its process.
#[test]
fn execute_obeys_gpus() {
    let context = TestContext::new();
    for options in [&["--disable-monitoring"] as &[&str], &[]] {
        let task = context.create(Script::shell(PRINT_VARIABLES));
        let words = [&["execute", "--gpus", "all", "--id", &task], options].concat();
        let finished = context.run_with(&words, &[("CUDA_VISIBLE_DEVICES", "7")]);
        assert_eq!(finished.code, 0, "{}", finished.stdout);
        let expected = ["CUDA_DEVICE_ORDER=PCI_BUS_ID", "NVIDIA_VISIBLE_DEVICES=all"];
        assert_eq!(variables(&finished.stdout), expected, "{}", finished.stdout);
        assert!(!finished.stdout.contains(":gpuall"), "{}", finished.stdout);
    }
}

/// D-117, D-128, D-129: the GPUs are taken; the slot counts for those without GPUs of their own.
#[test]
fn a_second_worker_for_the_same_gpus_is_refused() {
    let context = TestContext::new();
    let words = ["daemon", "--foreground", "--gpus", "0,1"];
    let mut first = context.start(&words);
    first.wait_for_output("No tasks in Queues, sleeping for");
    let finished = context.run(&words);
    assert_eq!(finished.code, 1);
    assert!(
        finished.stdout.contains(
            "clearml_agent: ERROR: Instance with the same WORKER_ID [host:gpu0,1] is already running\nhint: "
        ),
        "{}",
        finished.stdout
    );
    let mut other = context.start(&["daemon", "--foreground"]);
    other.wait_for_output("Worker \"host:1\" - Listening to queues:");
    other.wait_for_output("No tasks in Queues, sleeping for");
    assert_eq!((other.terminate(), first.terminate()), (254, 254));
}

/// D-117: the next worker for these GPUs takes over the task of one that was killed; one for others does not.
#[test]
fn the_next_worker_for_the_same_gpus_adopts_its_task() {
    let context = TestContext::new();
    let gate = context.gate("gate");
    let task = context.enqueue(Script::shell(&format!(
        "echo arrived; {}; {PRINT_VARIABLES}",
        gate.wait()
    )));
    let words = ["daemon", "--foreground", "--gpus", "2"];
    let mut first = context.start_with(&words, NO_ENVIRONMENT);
    context.wait_for_console(&task, "\narrived\n");
    first.kill();
    let mut other = context.start(&["daemon", "--foreground", "--gpus", "3"]);
    other.wait_for_output("No tasks in Queues, sleeping for");
    let mut second = context.start(&words);
    second.wait_for_output(&format!("Adopted running task '{task}'"));
    gate.open();
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    assert!(console.contains("\nCUDA_VISIBLE_DEVICES=2\n"), "{console}");
    assert_eq!((other.terminate(), second.terminate()), (254, 254));
}

/// The machine's figures in the first report that has them.
#[track_caller]
fn first_figures(context: &TestContext) -> Value {
    let figures = || {
        let mut reports = context.requests("workers.status_report").into_iter();
        reports.find_map(|mut report| {
            let figures = report.body["machine_stats"].take();
            figures.is_object().then_some(figures)
        })
    };
    assert!(wait_until(|| figures().is_some()), "no report has figures");
    figures().unwrap()
}

/// Load, temperature, used and free memory.
fn gpus(figures: &Value) -> [Value; 4] {
    [
        "gpu_usage",
        "gpu_temperature",
        "gpu_memory_used",
        "gpu_memory_free",
    ]
    .map(|name| figures[name].clone())
}

/// D-193, D-194, D-195, D-198, D-199, D-200, D-318, D-320
#[test]
fn the_figures_of_the_workers_gpus_arrive() {
    let nothing = || [(); 4].map(|()| Value::Null);
    let both = || {
        [
            json!([30.0, 31.0]),
            json!([40.0, 41.0]),
            json!([1000.0, 2000.0]),
            json!([15000.0, 14000.0]),
        ]
    };
    let second = || {
        [
            json!([31.0]),
            json!([41.0]),
            json!([2000.0]),
            json!([14000.0]),
        ]
    };
    let part = |load| [load, json!([41.0]), json!([302.0]), json!([4698.0])];
    let whole = &["GPUS=2"] as &[&str];
    let parts = &["GPUS=2", "MIG_GPU=1"] as &[&str];
    let cases: [(&[&str], &[&str], &str, [Value; 4]); 11] = [
        (whole, &[], "", both()),
        (whole, &["--gpus", "all"], "", both()),
        (whole, &["--gpus", "1"], "", second()),
        (whole, &["--gpus", "GPU-00000001-stand-in"], "", second()),
        // No such GPU: the list is not about this machine's names.
        (whole, &["--gpus", "7"], "", both()),
        (whole, &["--cpu-only"], "", nothing()),
        (parts, &["--gpus", "1.2"], "", part(json!([100.0]))),
        (
            parts,
            &["--gpus", "MIG-00000001-2-stand-in"],
            "agent.resource_monitoring.default_gpu_utilization: 0",
            part(json!([0.0])),
        ),
        (
            parts,
            &["--gpus", "1:2"],
            "agent.resource_monitoring.default_gpu_utilization: null",
            part(Value::Null),
        ),
        (&["GPUS=1", "LOST_GPU=0"], &[], "", nothing()),
        (&["DRIVER_NOT_LOADED"], &[], "", nothing()),
    ];
    let started: Vec<_> = cases
        .iter()
        .map(|(macros, options, configuration, _)| {
            let context = TestContext::new();
            context.configure(configuration);
            let library = NvmlStandIn::new(&context, macros);
            let words = [&["daemon", "--foreground"], *options].concat();
            let daemon = context.start_with(&words, &[library.variable()]);
            (context, daemon)
        })
        .collect();
    for ((macros, options, configuration, expected), (context, mut daemon)) in
        cases.iter().zip(started)
    {
        let figures = first_figures(&context);
        let case = format!("{macros:?} {options:?} {configuration}: {figures}");
        assert_eq!(&gpus(&figures), expected, "{case}");
        // Absent, not null and not empty.
        let names = figures.as_object().unwrap().keys();
        let listed = names.filter(|name| name.starts_with("gpu_")).count();
        let expected = expected.iter().filter(|list| !list.is_null()).count();
        assert_eq!(listed, expected, "{case}");
        assert_eq!(daemon.terminate(), 254);
    }
}

/// D-199, D-320: `execute` as well, by the variables it has inherited.
#[test]
fn execute_reports_the_gpus_of_its_variables() {
    let context = TestContext::new();
    let library = NvmlStandIn::new(&context, &["GPUS=3"]);
    let gate = context.gate("gate");
    let task = context.create(Script::shell(&gate.wait()));
    let variables = [library.variable(), ("CUDA_VISIBLE_DEVICES", "2,0")];
    let mut execute = context.start_with(&["execute", "--id", &task], &variables);
    let figures = first_figures(&context);
    assert_eq!(figures["gpu_usage"], json!([30.0, 32.0]), "{figures}");
    gate.open();
    assert_eq!(execute.wait(), 0);
}

/// D-321, D-322, F-112: the driver's version is that of `config`, the daemon and its tasks, unless it is configured.
#[test]
fn the_version_of_cuda_is_the_drivers() {
    let context = TestContext::new();
    let library = NvmlStandIn::new(&context, &["GPUS=1", "CUDA_VERSION=12080"]);
    let config = context.run_with(&["config"], &[library.variable()]);
    assert_eq!(config.code, 0, "{}", config.stdout);
    assert!(
        config.stdout.contains("\nagent.cuda_version = 128\n"),
        "{}",
        config.stdout
    );
    let task = context.enqueue(Script::shell("echo done"));
    let words = ["daemon", "--foreground", "--gpus", "0"];
    let mut daemon = context.start_with(&words, &[library.variable()]);
    context.wait_for_status(&task, "completed");
    let (output, console) = (daemon.output(), context.console(&task));
    for text in [&output, &console] {
        assert!(text.contains("\nagent.cuda_version = 128\n"), "{text}");
    }
    assert!(!output.contains("no CUDA version was detected"), "{output}");
    assert_eq!(daemon.terminate(), 254);
    let variables = [library.variable(), ("CUDA_VERSION", "11.2")];
    let config = context.run_with(&["config"], &variables);
    assert!(
        config.stdout.contains("\nagent.cuda_version = 112\n"),
        "{}",
        config.stdout
    );
}

/// D-101, D-326: said where GPUs are asked for; conda cannot go on.
#[test]
fn gpus_without_cuda_are_warned_of() {
    let warning = "Running with GPUs but no CUDA version was detected!\n";
    let context = TestContext::new();
    let library = NvmlStandIn::new(&context, &["DRIVER_NOT_LOADED"]);
    let daemon_says = |options: &[&str], variable| {
        let words = [&["daemon", "--foreground"], options].concat();
        let mut daemon = context.start_with(&words, &[library.variable(), variable]);
        daemon.wait_for_output("No tasks in Queues, sleeping for");
        let output = daemon.output();
        assert_eq!(daemon.terminate(), 254);
        output.contains(&format!("clearml_agent: Warning: {warning}\t"))
    };
    let unset = ("CUDA_VERSION", "");
    assert!(daemon_says(&["--gpus", "0"], unset));
    assert!(!daemon_says(&["--gpus", "0"], ("CUDA_VERSION", "12.4")));
    assert!(!daemon_says(&[], unset));
    assert!(!daemon_says(&["--cpu-only"], unset));
    context.configure("agent.package_manager.type: conda");
    let finished = context.run_with(&["daemon", "--gpus", "0"], &[library.variable()]);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    let error = format!("clearml_agent: ERROR: {warning}hint: ");
    assert!(finished.stdout.contains(&error), "{}", finished.stdout);
    assert_eq!(context.workers(), [] as [&str; 0]);
}
