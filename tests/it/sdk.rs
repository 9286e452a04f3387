//! The real `clearml` package in tasks that this agent runs: it and the agent report to one task, side by side.

use std::fs;

use serde_json::json;

use super::support::{
    Script, TestContext, download_cache, environment_cache, package_folder, path_with,
};

/// The version of the recordings.
const REQUIREMENTS: &str = "clearml==2.1.12\n";

const TRAINING: &str = r#"
from clearml import Task

task = Task.init(
    project_name="ignored", task_name="ignored", auto_connect_frameworks=False, auto_resource_monitoring=False
)
print("task of the program:", task.id)
parameters = task.connect({"rate": 0.1, "layers": 3})
print("rate of the server:", parameters["rate"])
logger = task.get_logger()
for iteration in range(3):
    logger.report_scalar("loss", "train", 0.5**iteration, iteration)
    print("iteration number", iteration)
logger.report_text("reported text")
print("größe ∆ unfinished line", end="")
task.close()
print("\nafter the close")
"#;

const ENDLESS: &str = r#"
import time
from clearml import Task

task = Task.init(
    project_name="ignored", task_name="ignored", auto_connect_frameworks=False, auto_resource_monitoring=False
)
for second in range(600):
    task.get_logger().report_scalar("tick", "seconds", second, second)
    print("tick number", second, flush=True)
    time.sleep(0.2)
"#;

/// D-254, E-254, E-263, D-236: parameters come from the server and scalars go to it, the console is there once, and an
/// abort ends a program whose SDK would rather go on.
#[test]
fn the_clearml_package_reports_beside_the_agent() {
    let context = TestContext::new();
    let cache = format!("agent.store.path: \"{}\"\n", environment_cache().display());
    let configuration = context.server.configuration() + &cache;
    fs::write(context.home().join("clearml.conf"), configuration).unwrap();
    let training = context.create(Script::python(TRAINING, REQUIREMENTS));
    let rate = json!({ "section": "General", "name": "rate", "value": "0.5" });
    let edit = json!({ "task": training, "hyperparams": { "General": { "rate": rate } } });
    context.call("tasks.edit", edit);
    let endless = context.create(Script::python(ENDLESS, REQUIREMENTS));
    for task in [&training, &endless] {
        context.call(
            "tasks.enqueue",
            json!({ "task": task, "queue": context.queue() }),
        );
    }
    let mut command = context.command(&["daemon", "--queue", "default", "--foreground"]);
    let virtualenv = package_folder("virtualenv==20.39.1");
    command
        .env("PATH", path_with(&virtualenv))
        .env("PIP_CACHE_DIR", download_cache());
    let mut daemon = context.start_command(command);

    context.wait_for_console(&training, "Environment setup completed successfully");
    context.wait_for_status(&training, "completed");
    assert_eq!(context.reason(&training), "worker execution done");
    let console = context.console(&training);
    let (_, printed) = console
        .split_once("Starting Task Execution:\n")
        .expect("a start");
    for line in [
        &format!("task of the program: {training}"),
        "rate of the server: 0.5",
        "iteration number 0",
        "iteration number 1",
        "iteration number 2",
        "reported text",
        "größe ∆ unfinished line",
        "after the close",
        "Process completed successfully",
    ] {
        assert_eq!(printed.matches(line).count(), 1, "`{line}` in\n{console}");
    }
    let scalars = context.call(
        "events.scalar_metrics_iter_histogram",
        json!({ "task": training }),
    );
    assert_eq!(scalars["loss"]["train"]["x"], json!([0, 1, 2]));
    assert_eq!(scalars["loss"]["train"]["y"], json!([1.0, 0.5, 0.25]));
    let parameters = context.field(&training, "hyperparams");
    assert_eq!(parameters["General"]["rate"]["value"], "0.5");

    context.wait_for_console(&endless, "tick number 5\n");
    context.call("tasks.stop", json!({ "task": endless }));
    context.wait_for_status(&endless, "stopped");
    assert_eq!(context.reason(&endless), "task was stopped by tasks.stop");
    let console = context.console(&endless);
    assert!(console.ends_with("Process aborted by user"), "{console}");
    for tick in 0..=5 {
        let line = format!("tick number {tick}\n");
        assert_eq!(console.matches(&line).count(), 1, "`{line}` in\n{console}");
    }
    daemon.wait_for_output("Process aborted by user\n");
    assert_eq!(daemon.terminate(), 254);
    // Nobody made a task beside those of the queue.
    let tasks = context.call("tasks.get_all", json!({ "only_fields": ["id"] }));
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(2), "{tasks}");
    // The package keeps a lock file there; what the agent makes begins with a dot.
    let mut left = context.leftovers();
    left.retain(|name| name.starts_with('.'));
    assert_eq!(left, Vec::<String>::new());
}
