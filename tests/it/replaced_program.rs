//! Another binary takes the name of the running one, as an upgrade does it: tasks, workers and containers go on.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::code::{NO_ENVIRONMENT, Repository};
use super::support::containers::{containers, docker, image_line};
use super::support::{
    Agent, Counter, GitServer, Script, TestContext, copy_program, images, wait_until,
};

const PASSWORD: &str = "password-of-git";

/// A context whose agent is installed in a folder of its own.
struct Installed {
    context: TestContext,
    program: PathBuf,
}

impl Installed {
    fn new() -> Self {
        let context = TestContext::new();
        let bin = context.folder().join("bin");
        fs::create_dir(&bin).unwrap();
        let program = bin.join("clearml-agent");
        copy_program(&program);
        Self { context, program }
    }

    fn daemon(&self, words: &[&str], variables: &[(&str, &str)]) -> Agent {
        let mut command = self.context.beside_agent(&self.program);
        command
            .args(["daemon", "--queue", "default", "--foreground"])
            .args(words)
            .env("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.2")
            .envs(variables.iter().copied());
        self.context.start_command(command)
    }

    /// Puts another build in its place: the file that runs has no name any more.
    fn upgrade(&self) {
        let fresh = self.program.with_extension("new");
        copy_program(&fresh);
        // Behind the program's own bytes nothing is read.
        let append = Command::new("truncate")
            .arg("--size=+1")
            .arg(&fresh)
            .status();
        assert!(append.unwrap().success());
        fs::rename(&fresh, &self.program).unwrap();
    }

    /// The file that the process runs.
    fn file_of(pid: u64) -> String {
        let file = fs::read_link(format!("/proc/{pid}/exe")).expect("it lives");
        file.to_string_lossy().into_owned()
    }
}

/// D-299: the new one adopts the task of the old one as the same worker; reports and aborts go on.
#[test]
fn the_next_release_adopts_the_task_of_the_one_before() {
    let installed = Installed::new();
    let context = &installed.context;
    let (counter, script) = Counter::new(context, "");
    let task = context.enqueue(script);
    let mut old = installed.daemon(&[], &[]);
    context.wait_for_console(&task, "line 5\n");
    installed.upgrade();
    old.kill();
    let mut new = installed.daemon(&[], &[]);
    new.wait_for_output(&format!("Adopted running task '{task}'"));
    new.wait_for_output("Worker \"host:0\"");
    let supervisor = context.journal()["supervisor"]["pid"]
        .as_u64()
        .expect("one");
    assert!(Installed::file_of(supervisor).ends_with(" (deleted)"));
    let own = Installed::file_of(new.pid().into());
    assert_eq!(own, installed.program.display().to_string());
    let reports = || {
        let requests = context.requests("workers.status_report");
        let is_of_it =
            |body: &serde_json::Value| body["worker"] == "host:0" && body["task"] == task;
        requests
            .iter()
            .filter(|request| is_of_it(&request.body))
            .count()
    };
    let before = reports();
    assert!(wait_until(|| reports() >= before + 3));
    counter.wait_for(10);
    context.call(
        "tasks.stop",
        serde_json::json!({ "task": task, "force": false }),
    );
    context.wait_for_status(&task, "stopped");
    let console = context.console(&task);
    assert!(console.ends_with("Process aborted by user"), "{console}");
    // The abort is told among them.
    let lines = console.lines().filter(|line| line.starts_with("line "));
    let numbered = (1..).map(|number| format!("line {number}"));
    let count = lines.clone().count();
    assert!(count > 10 && lines.eq(numbered.take(count)), "{console}");
    let next = context.enqueue(Script::shell("echo next"));
    context.wait_for_status(&next, "completed");
    assert_eq!(new.terminate(), 254);
    assert_eq!(context.leftovers(), Vec::<String>::new());
}

/// D-299, E-050: a worker whose file has lost its name starts the next task's supervisor, and git asks that one for passwords.
#[test]
fn a_worker_goes_on_when_its_file_is_replaced() {
    let installed = Installed::new();
    let context = &installed.context;
    context.configure(&format!(
        "agent {{ git_user: me, git_pass: \"{PASSWORD}\" }}"
    ));
    let repository = Repository::new(context, "demo");
    let commit = repository.commit(&[("main.sh", "echo from the repository")]);
    let server = GitServer::start(&context.folder().join("repositories"), "me", PASSWORD);
    let mut daemon = installed.daemon(&[], NO_ENVIRONMENT);
    daemon.wait_for_output("No tasks in Queues");
    installed.upgrade();
    let script = Script::shell("")
        .with("repository", server.url("127.0.0.1", "demo/.git"))
        .with("branch", "master")
        .with("version_num", commit.as_str());
    let task = context.enqueue(script);
    context.wait_for_status(&task, "completed");
    let console = context.console(&task);
    assert!(console.contains("\nfrom the repository\n"), "{console}");
    assert!(server.authorizations().contains(&format!("me:{PASSWORD}")));
    assert_eq!(daemon.terminate(), 254);
}

/// C-235: what is mounted into a container stays, and the next container gets the same.
#[test]
fn containers_do_not_notice_that_the_agent_is_replaced() {
    let installed = Installed::new();
    let context = &installed.context;
    let gate = context.gate("gate");
    let task = context.enqueue(Script::shell(&format!("echo begun; {}", gate.wait())));
    let image = image_line(context, &images::python());
    let mut daemon = installed.daemon(&["--cpu-only", "--docker", &image], &[]);
    context.wait_for_console(&task, "begun\n");
    let runners = || {
        fs::read_dir(context.home().join(".clearml/agent-runner"))
            .unwrap()
            .count()
    };
    assert_eq!(runners(), 1);
    installed.upgrade();
    let [container] = containers(&task).try_into().expect("one container");
    let version = docker(&[
        "exec",
        &container,
        "/.clearml-agent/clearml-agent",
        "--version",
    ]);
    assert!(version.starts_with("CLEARML-AGENT version "), "{version}");
    gate.open();
    context.wait_for_status(&task, "completed");
    let next = context.enqueue(Script::shell("echo next"));
    context.wait_for_status(&next, "completed");
    assert_eq!(runners(), 1);
    assert_eq!(daemon.terminate(), 254);
    context.wait_for_no_runs();
}
