//! What waiting tasks need is fetched while another one runs; it costs them nothing, and leaves nothing.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use serde_json::{Value, json};

use super::code::{Packages, offline_packages};
use super::store::WHEELS;
use super::support::{Agent, Gate, Repository, Script, TestContext, wait_until};

const PROGRAM: &str = "import load_one\nprint('answer', load_one.VALUE)\n";
const WAITED: &str = "The environment of this task is being made already, waiting for it";

/// A queue with a task that runs until its gate is opened, and nothing behind it yet.
struct Queue {
    context: TestContext,
    gate: Gate,
    first: String,
    packages: Packages,
}

impl Queue {
    fn new(configuration: &str) -> Self {
        let context = TestContext::new();
        let packages = offline_packages(&context);
        let mut make = Command::new("python3");
        make.args(["-c", WHEELS]).arg(packages.folder());
        assert!(make.status().unwrap().success());
        context.configure(configuration);
        let gate = context.gate("first");
        let first = context.enqueue(Script::shell(&format!("echo begun\n{}", gate.wait())));
        Self {
            context,
            gate,
            first,
            packages,
        }
    }

    fn daemon(&self) -> Agent {
        self.context.daemon_with(&self.packages.variables())
    }

    fn python_task(&self, requirements: &str) -> String {
        let folder = self.context.folder().join("code");
        let repository = Repository::create(&folder, &[("main.py", PROGRAM)]);
        let script = Script::python("", requirements)
            .with("repository", repository.url())
            .with("version_num", repository.commit());
        self.context.enqueue(script)
    }

    fn task(&self, task: &str) -> Value {
        self.context
            .call("tasks.get_by_id", json!({ "task": task }))
    }

    /// An environment with this package is in the store.
    fn is_kept(&self, package: &str) -> bool {
        let entries = self.context.home().join(".clearml/store/entries");
        folders(&entries)
            .iter()
            .filter_map(|entry| fs::read_to_string(entry.join("entry.json")).ok())
            .any(|text| text.contains(package))
    }

    fn prefetch_folder(&self) -> PathBuf {
        self.context
            .home()
            .join(".local/state/clearml-agent/prefetch")
    }

    /// Environments that have been begun in advance.
    fn environments(&self) -> Vec<PathBuf> {
        folders(&self.context.home().join(".clearml/venvs-builds.prefetch"))
    }
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// A server that answers its only client when it is told to.
struct HeldServer {
    address: SocketAddr,
    asked: Receiver<()>,
    answer: Sender<Vec<u8>>,
}

impl HeldServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, asked) = channel();
        let (answer, answers) = channel::<Vec<u8>>();
        thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let _ = client.read(&mut [0; 4096]);
            let _ = heard.send(());
            let Ok(body) = answers.recv() else { return };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = client.write_all(head.as_bytes());
            let _ = client.write_all(&body);
        });
        Self {
            address,
            asked,
            answer,
        }
    }
}

#[test]
fn what_a_waiting_task_needs_is_there_when_it_comes() {
    let queue = Queue::new("");
    let context = &queue.context;
    let second = queue.python_task("load_one==1.0");
    let before = queue.task(&second);
    let mut daemon = queue.daemon();
    context.wait_for_console(&queue.first, "begun");
    let is_kept = wait_until(|| queue.is_kept("load_one"));
    assert!(
        is_kept,
        "{}",
        fs::read_to_string(queue.prefetch_folder().join("0/log")).unwrap_or_default()
    );
    assert!(wait_until(|| queue.environments().is_empty()));
    assert_eq!(queue.task(&second), before);
    assert_eq!(context.console(&second), "");
    queue.gate.open();
    context.wait_for_status(&second, "completed");
    let console = context.console(&second);
    assert!(
        console.contains("::: Using Cached environment"),
        "{console}"
    );
    assert!(console.contains("answer 42\n"), "{console}");
    assert!(!console.contains(WAITED), "{console}");
    assert_eq!(daemon.terminate(), 254);
    assert_eq!(folders(&queue.prefetch_folder()), [] as [PathBuf; 0]);
}

#[test]
fn a_task_whose_environment_is_being_made_waits_for_it() {
    let queue = Queue::new("");
    let context = &queue.context;
    let server = HeldServer::start();
    let wheel = "load_one-1.0-py3-none-any.whl";
    let second = queue.python_task(&format!("load_one @ http://{}/{wheel}", server.address));
    let mut daemon = queue.daemon();
    server.asked.recv().expect("pip asks");
    assert_eq!(context.status(&second), "queued");
    queue.gate.open();
    context.wait_for_console(&second, WAITED);
    let body = fs::read(Path::new(queue.packages.folder()).join(wheel)).unwrap();
    server.answer.send(body).unwrap();
    context.wait_for_status(&second, "completed");
    let console = context.console(&second);
    assert!(
        console.contains("::: Using Cached environment"),
        "{console}"
    );
    assert_eq!(daemon.terminate(), 254);
}

#[test]
fn what_is_fetched_ends_with_its_worker_and_leaves_nothing() {
    let queue = Queue::new("");
    let context = &queue.context;
    let server = HeldServer::start();
    let url = format!("http://{}/load_one-1.0-py3-none-any.whl", server.address);
    let second = queue.python_task(&format!("load_one @ {url}"));
    let mut daemon = queue.daemon();
    server.asked.recv().expect("pip asks");
    assert_eq!(queue.environments().len(), 1);
    // The supervisor of the first task goes on; the rest dies with its worker.
    daemon.kill();
    let fetches = || {
        let line = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/cmdline"));
        let mut lines = context
            .processes()
            .iter()
            .filter_map(|pid| line(pid).ok())
            .collect::<Vec<_>>();
        lines.retain(|line| line.contains("prefetch") || line.contains("pip"));
        !lines.is_empty()
    };
    assert!(wait_until(|| !fetches()));
    assert_eq!(context.status(&second), "queued");
    context.configure("agent.prefetch.enabled: true\nagent.prefetch.tasks: 0");
    let mut daemon = queue.daemon();
    assert!(wait_until(|| queue.environments().is_empty()));
    assert!(wait_until(|| folders(&queue.prefetch_folder()).is_empty()));
    assert_eq!(daemon.terminate(), 254);
}

#[test]
fn a_worker_that_is_to_fetch_nothing_does_not_look() {
    let queue = Queue::new("agent.prefetch.enabled: false");
    let context = &queue.context;
    let second = context.enqueue(Script::shell("echo second"));
    let mut daemon = queue.daemon();
    context.wait_for_console(&queue.first, "begun");
    queue.gate.open();
    context.wait_for_status(&second, "completed");
    assert!(context.requests("queues.get_by_id").is_empty());
    assert_eq!(daemon.terminate(), 254);
}
