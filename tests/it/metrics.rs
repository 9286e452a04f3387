//! `daemon --metrics-listen`: what a monitoring system reads, and that nobody who asks holds up the worker.

#![expect(clippy::float_cmp, reason = "what is counted is whole")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::support::containers::HeldEngine;
use super::support::{
    Agent, Fault, FaultProxy, NvmlStandIn, Script, TestContext, package_folder, wait_until,
};

/// Prints each sample as the parser of Prometheus understands it.
const READ: &str = "
import sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation and family.type != 'unknown', family
    for sample in family.samples:
        labels = ','.join(f'{k}={v}' for k, v in sorted(sample.labels.items()))
        print(f'{sample.name}[{labels}]', sample.value)
";

/// A worker that answers on a port of its own.
pub(crate) struct Watched {
    pub(crate) daemon: Agent,
    address: String,
}

impl Watched {
    fn start(context: &TestContext, variables: &[(&str, &str)]) -> Self {
        Self::start_with(context, &[], variables)
    }

    fn start_with(context: &TestContext, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let words = [
            "daemon",
            "--queue",
            "default",
            "--foreground",
            "--metrics-listen",
            "127.0.0.1:0",
        ];
        let mut command = context.command(&words);
        command.args(more).envs(variables.iter().copied());
        Self::of(context.start_command(command))
    }

    /// One that was started with `--metrics-listen 127.0.0.1:0`.
    pub(crate) fn of(daemon: Agent) -> Self {
        daemon.wait_for_output("/metrics\n");
        let output = daemon.output();
        let address = output.split("Metrics: http://").nth(1).unwrap();
        let address = address.split('/').next().unwrap().to_owned();
        Self { daemon, address }
    }

    /// Status line and body of the answer to these bytes.
    fn say(&self, question: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(question.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
        let length = format!("Content-Length: {}", body.len());
        assert!(head.lines().any(|line| line == length), "{head}");
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    pub(crate) fn get(&self, path: &str) -> (String, String) {
        self.say(&format!("GET {path} HTTP/1.1\r\nHost: worker\r\n\r\n"))
    }

    pub(crate) fn is_ok(&self, path: &str) -> bool {
        self.get(path).0 == "HTTP/1.1 200 OK"
    }

    /// All samples, as the parser of Prometheus understands them.
    pub(crate) fn samples(&self) -> BTreeMap<String, f64> {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, "HTTP/1.1 200 OK");
        let python = package_folder("prometheus_client==0.26.0").join("python");
        let mut parser = Command::new(python)
            .args(["-c", READ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        parser
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let parsed = parser.wait_with_output().unwrap();
        assert!(parsed.status.success(), "{text}");
        let parsed = String::from_utf8(parsed.stdout).unwrap();
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        };
        parsed.lines().map(sample).collect()
    }
}

#[test]
fn prometheus_reads_what_the_worker_counts() {
    let context = TestContext::new();
    let gate = context.gate("gate");
    let good = context.enqueue(Script::shell("exit 0"));
    let bad = context.enqueue(Script::shell("exit 3"));
    let task = context.enqueue(Script::shell(&format!("echo here\n{}", gate.wait())));
    let worker = Watched::start(&context, &[]);
    context.wait_for_status(&good, "completed");
    context.wait_for_status(&bad, "failed");
    context.wait_for_console(&task, "here\n");
    let samples = worker.samples();
    let info = "clearml_agent_build_info[reference_version=3.0.3,version=0.1.0,worker=host:0]";
    assert_eq!(samples[info], 1.0);
    let by_outcome = |outcome| samples[&format!("clearml_agent_tasks_total[outcome={outcome}]")];
    let outcomes = ["completed", "failed", "stopped", "lost", "unknown"];
    assert_eq!(outcomes.map(by_outcome), [1.0, 1.0, 0.0, 0.0, 0.0]);
    let by_phase = |phase| samples[&format!("clearml_agent_tasks[phase={phase}]")];
    let phases = ["pulled", "preparing", "running", "ended", "announced"];
    assert_eq!(phases.map(by_phase), [0.0, 0.0, 1.0, 0.0, 0.0]);
    assert_eq!(samples["clearml_agent_poll_errors_total[]"], 0.0);
    assert!(samples["clearml_agent_polls_total[]"] >= 3.0);
    assert!(samples["clearml_agent_spool_bytes[]"] >= 0.0);
    assert!(samples["clearml_agent_last_server_contact_timestamp_seconds[]"] > 1.7e9);
    assert_eq!(samples["clearml_agent_draining[]"], 0.0);
    let idle = samples["clearml_agent_idle_seconds_total[]"];
    assert!(
        idle < samples["clearml_agent_uptime_seconds[]"],
        "{samples:?}"
    );
    assert!(
        !samples.keys().any(|name| name.contains("gpu")),
        "{samples:?}"
    );

    context.call("tasks.stopped", serde_json::json!({ "task": task }));
    context.wait_for_no_runs();
    let stopped = "clearml_agent_tasks_total[outcome=stopped]";
    assert!(wait_until(|| worker.samples()[stopped] == 1.0));
    let grows = || worker.samples()["clearml_agent_idle_seconds_total[]"] > idle;
    assert!(wait_until(grows));
}

/// A program that was lost, and one that an earlier worker had begun.
#[test]
fn tasks_that_lost_their_supervisor_or_worker_are_counted() {
    use nix::sys::signal::{Signal, kill};
    let context = TestContext::new();
    let gate = context.gate("gate");
    let lost = context.enqueue(Script::shell("echo here; sleep 600"));
    let mut worker = Watched::start(&context, &[]);
    context.wait_for_console(&lost, "here\n");
    let supervisor = context.journal()["supervisor"]["pid"].as_i64().unwrap();
    let supervisor = i32::try_from(supervisor).unwrap();
    kill(nix::unistd::Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    context.wait_for_status(&lost, "failed");
    let is = |worker: &Watched, outcome: &str| {
        let name = format!("clearml_agent_tasks_total[outcome={outcome}]");
        wait_until(|| worker.samples()[&name] == 1.0)
    };
    assert!(is(&worker, "lost"));

    let task = context.enqueue(Script::shell(&format!("echo here\n{}", gate.wait())));
    context.wait_for_console(&task, "here\n");
    worker.daemon.signal(Signal::SIGUSR1);
    assert_eq!(worker.daemon.wait(), 0);
    let worker = Watched::start(&context, &[]);
    worker.daemon.wait_for_output("Adopted running task");
    gate.open();
    context.wait_for_status(&task, "completed");
    assert!(is(&worker, "completed"));
}

#[test]
fn gpus_that_wait_for_a_program_are_counted() {
    let context = TestContext::new();
    let driver = NvmlStandIn::new(&context, &["GPUS=2"]);
    let worker = Watched::start(&context, &[driver.variable()]);
    let of = |gpu| worker.samples()[&format!("clearml_agent_gpu_idle_seconds_total[gpu={gpu}]")];
    let first = "clearml_agent_gpu_idle_seconds_total[gpu=0]";
    assert!(wait_until(|| {
        worker.samples().get(first).is_some_and(|idle| *idle > 0.0)
    }));
    assert!(of(1) > 0.0);
    let gate = context.gate("gate");
    let task = context.enqueue(Script::shell(&format!("echo here\n{}", gate.wait())));
    context.wait_for_console(&task, "here\n");
    let uptime = || worker.samples()["clearml_agent_uptime_seconds[]"];
    // The look that is under way may not have seen the program.
    let seen = uptime() + 2.0;
    assert!(wait_until(|| uptime() > seen));
    let idle = of(0);
    assert!(wait_until(|| uptime() > seen + 2.0));
    assert_eq!(of(0), idle);
    gate.open();
    assert!(wait_until(|| of(0) > idle));
}

#[test]
fn a_worker_whose_reports_are_not_taken_is_not_well() {
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    proxy.set(|call| {
        let asks = call == "queues.get_next_task" || call == "workers.register";
        asks.then_some(Fault::BadGateway)
    });
    let variables = [("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.2")];
    let worker = Watched::start(&context, &variables);
    let unready = |reason: &str| {
        let reason = format!("{reason}\n");
        wait_until(|| worker.get("/readyz").1 == reason)
    };
    assert!(unready("the server does not know this worker yet"));
    assert!(worker.is_ok("/healthz"));
    proxy.set(|_| None);
    assert!(wait_until(|| worker.is_ok("/readyz")));
    proxy.set(|call| (call == "workers.status_report").then_some(Fault::BadGateway));
    let ill = || worker.get("/healthz").0 == "HTTP/1.1 503 Service Unavailable";
    assert!(wait_until(ill));
    let (_, line) = worker.get("/healthz");
    assert!(
        line.starts_with("the server has taken no status report for "),
        "{line}"
    );
    proxy.set(|_| None);
    assert!(wait_until(|| worker.is_ok("/healthz")));

    let gate = context.gate("gate");
    let task = context.enqueue(Script::shell(&format!("echo here\n{}", gate.wait())));
    context.wait_for_console(&task, "here\n");
    assert_eq!(context.run(&["daemon", "--stop", "--drain"]).code, 0);
    assert!(unready("it drains"));
    assert_eq!(worker.samples()["clearml_agent_draining[]"], 1.0);
    gate.open();
}

#[test]
fn nonsense_is_refused_and_silence_holds_up_nobody() {
    let context = TestContext::new();
    let mut worker = Watched::start(&context, &[]);
    let refused = |question: &str, status: &str| {
        assert_eq!(worker.say(question).0, format!("HTTP/1.1 {status}"));
    };
    refused("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed");
    refused("GET /secrets HTTP/1.1\r\n\r\n", "404 Not Found");
    refused("hello\r\n\r\n", "400 Bad Request");
    let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20_000));
    refused(&long, "431 Request Header Fields Too Large");
    let half = TcpStream::connect(&worker.address).unwrap();
    (&half).write_all(b"GET /metr").unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    // More than are answered at once: they have their seconds, and then it is the next one's turn.
    let _silent: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(&worker.address).unwrap())
        .collect();
    let task = context.enqueue(Script::shell("echo done"));
    context.wait_for_status(&task, "completed");
    assert!(worker.is_ok("/readyz"));
    assert_eq!(worker.daemon.terminate(), 254);
    assert!(TcpStream::connect(&worker.address).is_err());
}

/// D-050: whoever watches gets to know why no task is taken.
#[test]
fn a_worker_tells_that_its_engine_is_away() {
    let context = TestContext::new();
    let engine = HeldEngine::holding(&[]);
    let socket = context.folder().join("engine.sock");
    let host = format!("unix://{}", socket.display());
    let words = ["--cpu-only", "--docker", "image:1"];
    let mut worker = Watched::start_with(&context, &words, &[("DOCKER_HOST", &host)]);
    let status = || {
        let asked = context.run(&["daemon", "--status", "--json"]);
        let all: Value = serde_json::from_str(&asked.stdout).unwrap();
        all["workers"][0]["container_engine"].clone()
    };
    let is_up = |answer: &str| {
        let line = format!("\nclearml_agent_container_engine_up {answer}\n");
        worker.get("/metrics").1.contains(&line)
    };
    let unready = "the container engine does not answer\n";
    assert!(wait_until(|| worker.get("/readyz").1 == unready));
    assert!(is_up("0"));
    let reason = format!("no container engine answers at `{host}`: there is no such socket");
    assert_eq!(status(), json!({"answers": false, "reason": reason}));
    std::os::unix::fs::symlink(engine.socket(), &socket).unwrap();
    assert!(wait_until(|| worker.is_ok("/readyz")));
    assert!(is_up("1"));
    assert_eq!(status(), json!({"answers": true, "reason": null}));
    assert_eq!(worker.daemon.terminate(), 254);
}

#[test]
fn a_port_in_use_is_one_line_at_the_start() {
    let context = TestContext::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = |address| ["daemon", "--foreground", "--metrics-listen", address];
    let finished = context.run(&words(&address));
    assert_eq!(finished.code, 1);
    let line = format!(
        "\nclearml_agent: ERROR: could not listen on `{address}` for `--metrics-listen`: Address already in use (os error 98)\nhint: "
    );
    assert!(finished.stdout.contains(&line), "{}", finished.stdout);
    assert_eq!(context.workers(), Vec::<String>::new());
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert_eq!(context.run(&words("9090")).code, 1);
}
