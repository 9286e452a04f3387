//! The commands of the documents, each as it stands there, run by a shell.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::{Agent, NvmlStandIn, Repository, Script, TestContext, wait_until};

#[path = "../../src/documents/commands.rs"]
mod commands;

/// What other tests run, with what it needs.
const ELSEWHERE: [(&str, &str); 8] = [
    ("clearml-agent init", "tests/it/init.rs, with a terminal"),
    (
        "clearml-agent service ",
        "tests/it/service.rs, on a machine with systemd",
    ),
    ("clearml-agent slurm ", "tests/it/slurm.rs, with a Slurm"),
    (
        "clearml-agent k8s ",
        "tests/it/kubernetes.rs, with a stand-in of the API",
    ),
    ("--require-queue", "tests/it/slurm.rs, within a job"),
    ("clearml-agent supervise ", "the worker, for each task"),
    (
        "execute --id TASK --docker",
        "tests/it/container.rs, with an image",
    ),
    (
        "build --id TASK --docker",
        "tests/it/build_image.rs, with an image",
    ),
];

/// A machine as the documents have it: the queues that they name, a repository, a task, GPUs.
struct Reader {
    context: TestContext,
    gpus: NvmlStandIn,
    repository: Repository,
    task: String,
}

impl Reader {
    fn new() -> Self {
        let context = TestContext::new();
        let queues = [
            "important",
            "training",
            "services",
            "gpu",
            "quad",
            "dual",
            "small",
            "colab",
        ];
        for queue in queues {
            context.call("queues.create", serde_json::json!({ "name": queue }));
        }
        let completions = context
            .home()
            .join(".local/share/bash-completion/completions");
        fs::create_dir_all(completions).unwrap();
        let gpus = NvmlStandIn::new(&context, &["GPUS=8"]);
        let repository = Repository::create(&context.folder().join("project"), &[("main.py", "")]);
        let task = context.create(Script::shell("echo done"));
        Self {
            context,
            gpus,
            repository,
            task,
        }
    }

    /// The line with what stands for something of the reader's own.
    fn line(&self, line: &str) -> String {
        let words = line.split(' ').map(|word| match word {
            "TASK" | "T" | "0123456789abcdef0123456789abcdef" => self.task.clone(),
            "Q" | "YOUR_QUEUE" => "default".to_owned(),
            "WORKER" => self.context.workers().remove(0),
            "REPOSITORY" | "URL" | "https://git.example.com/team/project.git" => {
                self.repository.url()
            }
            "KEY" => "agent.worker_name".to_owned(),
            "127.0.0.1:9090" => "127.0.0.1:0".to_owned(),
            word => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn shell(&self, line: &str) -> Agent {
        let mut command = self.context.beside_agent("bash");
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_clearml-agent"));
        let path = super::support::path_with(program.parent().unwrap());
        let (name, value) = self.gpus.variable();
        command
            .args(["-c", &format!("exec {line}")])
            .env("PATH", path)
            .env(name, value);
        self.context.start_command(command)
    }

    /// Runs the line to its end, or until it waits for tasks.
    #[track_caller]
    fn run(&self, line: &str) {
        let is_stop = line.contains(" --stop");
        if is_stop {
            assert_eq!(self.shell(daemon_to_stop(line)).wait(), 0);
            assert!(wait_until(|| self.is_known()), "{line}");
        }
        let mut agent = self.shell(&self.line(line));
        let mut waits = false;
        wait_until(|| {
            // A daemon knows its queues, and the server knows it.
            waits = agent.output().contains("Listening to queues") && self.is_known();
            waits || agent.has_ended()
        });
        let waits = waits && !agent.has_ended();
        let (code, expected) = if waits {
            (agent.terminate(), 254)
        } else {
            (agent.wait(), 0)
        };
        assert_eq!(code, expected, "{line}\n{}", agent.output());
        if !is_stop {
            // What has gone into the background.
            for pid in self.context.processes() {
                // It may have ended in the meantime.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        self.context.wait_for_no_processes();
    }

    fn is_known(&self) -> bool {
        !self.context.workers().is_empty()
    }
}

/// One that the line is to end.
fn daemon_to_stop(line: &str) -> &'static str {
    if line.contains("--dynamic-gpus") {
        "clearml-agent daemon --dynamic-gpus --gpus 0-7 --queue quad=4 small=1 --detached"
    } else if line.contains("--services-mode") {
        "clearml-agent daemon --services-mode 4 --queue services --detached"
    } else {
        "clearml-agent daemon --queue default --detached"
    }
}

#[test]
fn each_command_in_the_documents_does_what_it_is_for() {
    let texts = commands::documents();
    let lines: BTreeSet<_> = texts
        .iter()
        .flat_map(|(_, text)| commands::commands(text))
        .collect();
    let is_elsewhere = |line: &&str| ELSEWHERE.iter().any(|(part, _)| line.contains(part));
    let here: Vec<_> = lines
        .iter()
        .copied()
        .filter(|line| !is_elsewhere(line))
        .collect();
    assert!(here.len() > 30, "{here:?}");
    let reader = Reader::new();
    for line in here {
        reader.run(line);
    }
}
