//! One test's world: a local server, a home with the configuration that the official wizard writes, folders.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use local_server::{Edition, LocalServer, Options, RecordedRequest};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::agent::processes_with_home;
use super::{Agent, Gate, Script, wait_until};

/// Variables of the machine that agent and programs may see: what finds programs and packages.
const PASSED_ON: [&str; 12] = [
    "PATH",
    "LANG",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "PIP_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_DEFAULT_TIMEOUT",
    "PYENV_ROOT",
    "RUST_BACKTRACE",
];

/// A server and a machine for one test.
#[derive(Debug)]
pub(crate) struct TestContext {
    pub(crate) server: LocalServer,
    folder: TempDir,
}

impl TestContext {
    /// The open-source server, with nothing but the queue `default`.
    pub(crate) fn new() -> Self {
        Self::with_server(Options::default())
    }

    /// The commercial server, as far as api.md describes it.
    pub(crate) fn enterprise() -> Self {
        Self::with_server(Options {
            edition: Edition::Enterprise,
            ..Options::default()
        })
    }

    fn with_server(options: Options) -> Self {
        let server = LocalServer::start_blocking(options).expect("the server starts");
        let folder = tempfile::Builder::new()
            .prefix("agent-test")
            .tempdir()
            .expect("a folder");
        let context = Self { server, folder };
        std::fs::create_dir_all(context.home()).unwrap();
        std::fs::create_dir_all(context.temporary()).unwrap();
        std::fs::write(
            context.home().join("clearml.conf"),
            context.server.configuration(),
        )
        .unwrap();
        context
    }

    /// The agent's home.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The agent's temporary folder.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// A folder for what the test itself makes.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The agent with these words, in an environment of its own; looks at queues and tasks five times a second.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clearml-agent"));
        command
            .args(words)
            .env_clear()
            .stdin(Stdio::null())
            .current_dir(self.folder.path());
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("HOME", self.home())
            .env("TMPDIR", self.temporary())
            .env("CLEARML_WORKER_NAME", "host")
            .env("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "0.2");
        command
    }

    /// Another program, in the environment and folder that the agent gets.
    pub(crate) fn beside_agent(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let agent = self.command(&[]);
        let variables = agent.get_envs();
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(variables.filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null())
            .current_dir(self.folder.path());
        command
    }

    /// Starts the agent with these words.
    pub(crate) fn start(&self, words: &[&str]) -> Agent {
        self.start_command(self.command(words))
    }

    /// Starts an agent that was made ready with [`Self::command`].
    pub(crate) fn start_command(&self, command: Command) -> Agent {
        Agent::start(command, self)
    }

    /// Starts `daemon --queue default --foreground`.
    pub(crate) fn daemon(&self) -> Agent {
        self.daemon_with(&[])
    }

    /// The same with these variables.
    pub(crate) fn daemon_with(&self, variables: &[(&str, &str)]) -> Agent {
        let mut command = self.command(&["daemon", "--queue", "default", "--foreground"]);
        command.envs(variables.iter().copied());
        self.start_command(command)
    }

    /// Lets a daemon with these variables run one task and ends it; what it has printed.
    #[track_caller]
    pub(crate) fn run_one_task(&self, variables: &[(&str, &str)]) -> String {
        let mut daemon = self.daemon_with(variables);
        daemon.wait_for_output("DONE: Running task");
        self.wait_for_no_runs();
        daemon.terminate();
        daemon.output()
    }

    /// The same with stdout on a pipe that nobody reads.
    pub(crate) fn unread_daemon(&self) -> Agent {
        let command = self.command(&["daemon", "--queue", "default", "--foreground"]);
        Agent::start_unread(command, self)
    }

    /// Adds to the agent's configuration.
    pub(crate) fn configure(&self, text: &str) {
        let path = self.home().join("clearml.conf");
        let before = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("{before}\n{text}\n")).unwrap();
    }

    /// A place where a program waits; one for each name.
    pub(crate) fn gate(&self, name: &str) -> Gate {
        Gate::new(self.folder.path().join(name))
    }

    /// Calls the server as its administrator.
    pub(crate) fn call(&self, endpoint: &str, body: Value) -> Value {
        self.server
            .call(endpoint, body.clone())
            .unwrap_or_else(|error| panic!("{endpoint} {body}: {error:?}"))
    }

    /// The id of the queue `default`.
    pub(crate) fn queue(&self) -> String {
        let queues = self.call("queues.get_all", json!({ "name": "default" }));
        queues["queues"][0]["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    }

    /// Creates a task.
    pub(crate) fn create(&self, script: Script) -> String {
        let task = json!({ "name": "test", "type": "training", "script": script.into_value() });
        self.call("tasks.create", task)["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    }

    /// Creates a task and puts it into the queue `default`.
    pub(crate) fn enqueue(&self, script: Script) -> String {
        self.enqueue_to(&self.queue(), script)
    }

    /// Creates a task and puts it into this queue.
    pub(crate) fn enqueue_to(&self, queue: &str, script: Script) -> String {
        let task = self.create(script);
        self.call("tasks.enqueue", json!({ "task": task, "queue": queue }));
        task
    }

    /// A field of the task.
    pub(crate) fn field(&self, task: &str, field: &str) -> Value {
        self.call("tasks.get_by_id", json!({ "task": task }))["task"][field].clone()
    }

    /// The task's status.
    pub(crate) fn status(&self, task: &str) -> String {
        self.field(task, "status")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The task's status reason.
    pub(crate) fn reason(&self, task: &str) -> String {
        self.field(task, "status_reason")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits until the task has this status.
    #[track_caller]
    pub(crate) fn wait_for_status(&self, task: &str, status: &str) {
        let reached = wait_until(|| self.status(task) == status);
        assert!(
            reached,
            "{task} is {} and not {status}; its console:\n{}",
            self.status(task),
            self.console(task)
        );
    }

    /// The task's console on the server, all messages in the order of their times.
    pub(crate) fn console(&self, task: &str) -> String {
        let messages = self.log(task);
        messages
            .iter()
            .filter_map(|event| event["msg"].as_str())
            .collect()
    }

    /// The task's log events, oldest first.
    pub(crate) fn log(&self, task: &str) -> Vec<Value> {
        let query = json!({ "task": task, "batch_size": 10_000, "navigate_earlier": false });
        self.call("events.get_task_log", query)["events"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// Waits until the task's console on the server contains this text.
    #[track_caller]
    pub(crate) fn wait_for_console(&self, task: &str, text: &str) {
        let printed = wait_until(|| self.console(task).contains(text));
        assert!(
            printed,
            "`{text}` is not in the console:\n{}",
            self.console(task)
        );
    }

    /// The requests of this call, in the order of their arrival.
    pub(crate) fn requests(&self, endpoint: &str) -> Vec<RecordedRequest> {
        let mut requests = self.server.requests();
        requests.retain(|request| request.endpoint == endpoint);
        requests
    }

    /// The ids of the workers that the server knows.
    pub(crate) fn workers(&self) -> Vec<String> {
        let workers = self.call("workers.get_all", json!({}))["workers"].clone();
        let workers = workers.as_array().cloned().unwrap_or_default();
        workers
            .iter()
            .filter_map(|worker| Some(worker["id"].as_str()?.to_owned()))
            .collect()
    }

    /// Living processes of the agent and of its programs.
    pub(crate) fn processes(&self) -> Vec<i32> {
        processes_with_home(&self.home())
    }

    /// Waits until no process of the agent and of its programs lives.
    #[track_caller]
    pub(crate) fn wait_for_no_processes(&self) {
        let gone = wait_until(|| self.processes().is_empty());
        assert!(gone, "alive: {:?}", self.processes());
    }

    /// The journal of the only run there is; `Null` where there is none.
    pub(crate) fn journal(&self) -> Value {
        let runs = self.runs();
        assert!(runs.len() < 2, "several runs: {runs:?}");
        let journal = runs
            .first()
            .and_then(|run| std::fs::read(run.join("journal.json")).ok());
        journal
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Waits until no run is left to be settled.
    #[track_caller]
    pub(crate) fn wait_for_no_runs(&self) {
        let are_settled = wait_until(|| self.runs().is_empty());
        assert!(
            are_settled,
            "{:?}",
            self.runs().iter().map(left_in).collect::<Vec<_>>()
        );
    }

    /// Files that the agent has left in its temporary folder.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.temporary()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }

    /// Journals of runs that are not settled.
    pub(crate) fn runs(&self) -> Vec<PathBuf> {
        let folder = self.home().join(".local/state/clearml-agent/runs");
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .collect()
    }
}

impl Drop for TestContext {
    /// Ends what the test has left running: agents, supervisors, their programs; known by their HOME.
    fn drop(&mut self) {
        wait_until(|| {
            let processes = self.processes();
            for pid in &processes {
                // It may have ended in the meantime.
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            processes.is_empty()
        });
    }
}

/// What is left of a run: its files, and what its journal says.
fn left_in(run: &PathBuf) -> String {
    let files = std::fs::read_dir(run).into_iter().flatten().flatten();
    let names: Vec<_> = files.map(|file| file.file_name()).collect();
    let journal = std::fs::read_to_string(run.join("journal.json")).unwrap_or_default();
    format!("{}: {names:?} {journal}", run.display())
}

/// A number that makes a long test longer or other, from a variable.
pub(crate) fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is a whole number")),
        Err(_) => default,
    }
}
