//! GPUs: which ones a task sees, what the worker is called, what it reports.

use super::code::NO_ENVIRONMENT;
use super::support::{Script, TestContext};

const PRINT_VARIABLES: &str =
    "env | grep -E '^(CUDA_DEVICE_ORDER|(NVIDIA|CUDA|HIP|ROCR)_VISIBLE_DEVICES)=' | sort; echo end";

/// What the task of this console has printed of its variables.
fn variables(console: &str) -> Vec<&str> {
    let is_variable = |line: &&str| line.contains("_DEVICES=") || line.contains("_ORDER=");
    console.lines().filter(is_variable).collect()
}

/// D-016, D-072, D-117, D-118, D-119, D-313, D-314, D-315, F-114, F-115: below a daemon, whose supervisor finds the same.
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
