//! The tasks of a pool in containers, each a worker of its own. There is no runtime of NVIDIA's here, so the engine is not asked
//! for devices (`CLEARML_DOCKER_SKIP_GPUS_FLAG`), and the driver's library is a stand-in, outside and inside.

use serde_json::{Value, json};

use super::Machine;
use crate::support::containers::{containers, docker, image_line};
use crate::support::{Agent, Gate, NvmlStandIn, Script, TestContext, images, wait_until};

const POOL: [&str; 4] = ["--gpus", "0-3", "--queue", "dual=2"];

impl Machine {
    /// `daemon --dynamic-gpus` over four GPUs, two for each task of `dual` and one for each of `small`.
    fn start_with_containers(&self, library: &NvmlStandIn, arguments: &str) -> Agent {
        let (name, folder) = library.variable();
        let inside = format!("-e {name}={folder} {arguments}");
        let line = format!("{} {inside}", image_line(&self.context, &images::python()));
        let mut command = self
            .context
            .command(&["daemon", "--foreground", "--dynamic-gpus"]);
        command.args(POOL).args(["small=1", "--docker", &line]);
        command.env(name, folder);
        command.env("CLEARML_DOCKER_SKIP_GPUS_FLAG", "1");
        command.env("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.5");
        self.context.start_command(command)
    }

    /// A task that says which GPUs it has, and waits.
    fn contained(&self, queue: &str, name: &str) -> (String, Gate) {
        let gate = self.context.gate(name);
        let text = format!(
            "echo \"on $NVIDIA_VISIBLE_DEVICES as $CLEARML_WORKER_ID\"; {}; echo over",
            gate.wait()
        );
        (self.context.enqueue_to(queue, Script::shell(&text)), gate)
    }

    /// The first figures of this worker with those of GPUs.
    #[track_caller]
    fn figures_of(&self, worker: &str) -> Value {
        let figures = || {
            let reports = self.context.requests("workers.status_report").into_iter();
            let mut of_worker = reports.filter(|report| report.body["worker"] == worker);
            of_worker.find_map(|report| {
                let figures = report.body["machine_stats"].clone();
                figures["gpu_usage"].is_array().then_some(figures)
            })
        };
        assert!(
            wait_until(|| figures().is_some()),
            "{worker} has reported no GPU"
        );
        figures().unwrap_or_default()
    }
}

/// Label, words and variables of a container.
fn described(container: &str) -> Value {
    let text = docker(&["inspect", container]);
    let mut all: Vec<Value> = serde_json::from_str(&text).unwrap();
    all.remove(0)
}

/// C-080, C-302, C-320, C-700, D-120, D-271, D-275: two tasks at once, each with GPUs and a worker of its own; these come back.
#[test]
fn tasks_in_containers_get_gpus_of_the_pool() {
    let machine = Machine::new();
    let context = &machine.context;
    let library = NvmlStandIn::new(context, &["GPUS=4"]);
    let (dual, small) = (machine.queue("dual"), machine.queue("small"));
    let (first, first_gate) = machine.contained(&dual, "first");
    let (second, second_gate) = machine.contained(&small, "second");
    let mut daemon = machine.start_with_containers(&library, "");
    for (task, gpus, usage) in [
        (&first, "0,1", json!([30.0, 31.0])),
        (&second, "2", json!([32.0])),
    ] {
        let worker = format!("host:gpu{gpus}");
        context.wait_for_console(task, &format!("\non {gpus} as {worker}\n"));
        let found = containers(task);
        assert_eq!(found.len(), 1);
        let container = described(&found[0]);
        let labels = &container["Config"]["Labels"];
        assert_eq!(labels["clearml-worker-id"], worker);
        assert_eq!(labels["clearml-parent-worker-id"], "host:dgpu0-3");
        assert_eq!(container["HostConfig"]["DeviceRequests"], Value::Null);
        let variables = container["Config"]["Env"].to_string();
        for variable in [
            &*format!("\"CLEARML_WORKER_ID={worker}\""),
            "\"CLEARML_AGENT_SERVICE_TASK=1\"",
        ] {
            assert!(variables.contains(variable), "no {variable} in {variables}");
        }
        let figures = machine.figures_of(&worker);
        assert_eq!(figures["gpu_usage"], usage);
        assert_eq!(figures["gpu_fraction"], Value::Null);
        assert_eq!(context.field(task, "last_worker"), worker);
        let line = format!("Service bootstrap completed: task '{task}'");
        daemon.wait_for_output(&line);
        let console = context.console(task);
        assert_eq!(console.matches("\non ").count(), 1, "{console}");
    }
    machine.wait_for_files(&[
        "host:dgpu0-3",
        "host:gpu0,1",
        "host:gpu2",
        "host:lease:gpu0,1",
        "host:lease:gpu2",
    ]);
    // One GPU is free, and the next needs two.
    let (third, third_gate) = machine.contained(&dual, "third");
    daemon.wait_for_output("Not enough free GPUs 1/2, sleeping for 0.2 seconds\n");
    assert_eq!(context.status(&third), "queued");
    first_gate.open();
    context.wait_for_console(&third, "\non 0,1 as host:gpu0,1\n");
    second_gate.open();
    third_gate.open();
    for task in [&first, &second, &third] {
        context.wait_for_status(task, "completed");
        let console = context.console(task);
        assert_eq!(console.matches("\nover\n").count(), 1, "{console}");
    }
    machine.wait_for_files(&["host:dgpu0-3"]);
    for task in [&first, &second, &third] {
        assert_eq!(containers(task), Vec::<String>::new());
    }
    assert_eq!(daemon.terminate(), 254);
    context.wait_for_no_processes();
    assert_eq!(context.workers(), [] as [&str; 0]);
    assert_eq!(context.leftovers(), Vec::<String>::new());
}

/// C-322, D-273: its containers end with the worker, and their GPUs are free.
#[test]
fn a_worker_that_is_stopped_ends_the_containers_of_its_pool() {
    let machine = Machine::new();
    let context = &machine.context;
    let library = NvmlStandIn::new(context, &["GPUS=4"]);
    let (dual, small) = (machine.queue("dual"), machine.queue("small"));
    let (first, _first_gate) = machine.contained(&dual, "first");
    let (second, _second_gate) = machine.contained(&small, "second");
    let mut daemon = machine.start_with_containers(&library, "");
    for task in [&first, &second] {
        context.wait_for_console(task, "\non ");
    }
    assert_eq!(daemon.terminate(), 254);
    for task in [&first, &second] {
        assert_eq!(context.status(task), "stopped");
        assert_eq!(containers(task), Vec::<String>::new());
    }
    machine.wait_for_files(&[]);
    assert_eq!(context.workers(), [] as [&str; 0]);
}

/// C-702, C-800, D-196, D-204: the share that the container is told is what its agent reports, to a server that knows shares; else whole
/// GPUs, which are its own from the moment in which they were chosen.
#[test]
fn an_agent_in_a_container_reports_its_share_of_a_gpu() {
    for (share, expected) in [
        ("-e CLEARML_AGENT_GPU_FRACTIONS=0.5,0.25", [0.5, 0.25]),
        ("", [1.0, 1.0]),
    ] {
        let machine = Machine {
            context: TestContext::enterprise(),
        };
        let context = &machine.context;
        let library = NvmlStandIn::new(context, &["GPUS=4"]);
        let (dual, _small) = (machine.queue("dual"), machine.queue("small"));
        let (task, gate) = machine.contained(&dual, "first");
        let mut daemon = machine.start_with_containers(&library, share);
        context.wait_for_console(&task, "\non 0,1 as host:gpu0,1\n");
        let figures = machine.figures_of("host:gpu0,1");
        assert_eq!(figures["gpu_fraction"], json!(expected));
        let figures = machine.figures_of("host:dgpu0-3");
        assert_eq!(figures["gpu_fraction"], json!([1.0, 1.0, 1.0, 1.0]));
        gate.open();
        context.wait_for_status(&task, "completed");
        assert_eq!(daemon.terminate(), 254);
    }
}
