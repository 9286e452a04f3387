//! Agents of several containers that keep their instance files in one folder of the host.
//!
//! Process and mount namespaces stand for the containers: in each, the agent is process 1.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::{Agent, Finished, TestContext};

/// A container, as far as its agent can tell.
struct Cell {
    agent: Agent,
    state: PathBuf,
}

impl Cell {
    /// The agent of a container that is called `name`, at work.
    fn start(context: &TestContext, name: &str) -> Self {
        let state = context.folder().join(name);
        let mut command = inside(context, "unshare", &state);
        command
            .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
            .arg(env!("CARGO_BIN_EXE_clearml-agent"))
            .args(["daemon", "--foreground"]);
        let agent = context.start_command(command);
        agent.wait_for_output("No tasks in Queues, sleeping for");
        Self { agent, state }
    }

    /// The agent as the host sees it: the child of the program that made the namespaces.
    fn process(&self) -> String {
        let pid = self.agent.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.trim().to_owned()
    }

    /// Another call of the agent in this container.
    fn call(&self, context: &TestContext, words: &[&str]) -> Finished {
        let mut command = inside(context, "nsenter", &self.state);
        command
            .args(["--target", &self.process(), "--pid", "--mount"])
            .arg(env!("CARGO_BIN_EXE_clearml-agent"))
            .args(words);
        context.finish(command)
    }

    /// The end of the container by the host.
    fn signal(&mut self, signal: Signal) -> i32 {
        kill(Pid::from_raw(self.process().parse().unwrap()), signal).unwrap();
        self.agent.wait()
    }
}

/// A program with the folder that all share, and a state of its own.
fn inside(context: &TestContext, program: &str, state: &PathBuf) -> Command {
    let mut command = context.beside_agent(program);
    let shared = shared(context);
    let mount = format!("/opt/clearml:{}", shared.display());
    command
        .env("CLEARML_AGENT_DOCKER_HOST_MOUNT", mount)
        .env("XDG_STATE_HOME", state);
    command
}

fn shared(context: &TestContext) -> PathBuf {
    let folder = context.folder().join("shared");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The instance files in the folder.
fn workers(context: &TestContext) -> Vec<String> {
    let files = fs::read_dir(shared(context)).unwrap().flatten();
    let files = files.filter(|file| file.file_name().to_string_lossy().ends_with(".tmp"));
    let mut workers: Vec<String> = files
        .map(|file| fs::read_to_string(file.path()).unwrap())
        .collect();
    workers.sort();
    workers
}

/// C-075, D-081, D-127: a place is taken as long as the server knows its worker, whatever its process looks like here.
#[test]
fn places_are_taken_across_containers() {
    let context = TestContext::new();
    let mut first = Cell::start(&context, "one");
    let mut second = Cell::start(&context, "two");
    second
        .agent
        .wait_for_output("Worker \"host:1\" - Listening to queues:");
    assert_eq!(workers(&context), ["host:0\n0", "host:1\n1"]);
    // Nobody has told the server that it is gone; the container is started again.
    first.signal(Signal::SIGKILL);
    let mut first = Cell::start(&context, "one");
    first
        .agent
        .wait_for_output("Worker \"host:0\" - Listening to queues:");
    assert_eq!(workers(&context), ["host:0\n0", "host:1\n1"]);
    // Another one is not.
    first.signal(Signal::SIGKILL);
    let mut third = Cell::start(&context, "three");
    third
        .agent
        .wait_for_output("Worker \"host:2\" - Listening to queues:");
    assert_eq!(workers(&context).len(), 3);
    assert_eq!(second.signal(Signal::SIGTERM), 254);
    assert_eq!(third.signal(Signal::SIGTERM), 254);
    assert_eq!(workers(&context), ["host:0\n0"]);
}

/// D-081, D-288: the process that has the same number in this container is another agent.
#[test]
fn stop_ends_no_agent_of_another_number() {
    let context = TestContext::new();
    let mut first = Cell::start(&context, "one");
    let mut second = Cell::start(&context, "two");
    let stopped = second.call(&context, &["daemon", "--stop", "host:0"]);
    assert_eq!(stopped.code, 1, "{}", stopped.stdout);
    // With its first process everything in a container ends, this call included.
    let stopped = second.call(&context, &["daemon", "--stop"]);
    assert!(
        stopped.stdout.contains("worker_id=host:1 pid=1\n"),
        "{}",
        stopped.stdout
    );
    assert_eq!(second.agent.wait(), 254);
    assert!(!first.agent.has_ended());
    assert_eq!(workers(&context), ["host:0\n0"]);
    assert_eq!(first.signal(Signal::SIGTERM), 254);
}

/// D-081, D-129
#[test]
fn an_id_may_be_taken_twice_with_a_warning() {
    let context = TestContext::new();
    context.configure("agent.worker_id: both");
    let warning = "clearml_agent: Warning: Instance with the same WORKER_ID [both] was found on this machine. \
                   We are ignoring it, make sure this not a mistake.\n";
    let mut first = Cell::start(&context, "one");
    assert!(!first.agent.output().contains(warning));
    let mut second = Cell::start(&context, "two");
    second.agent.wait_for_output(warning);
    assert_eq!(workers(&context), ["both\n0", "both\n1"]);
    assert_eq!(second.signal(Signal::SIGTERM), 254);
    assert_eq!(first.signal(Signal::SIGTERM), 254);
}
