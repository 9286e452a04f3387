//! The quick start: a task with code from git, packages from PyPI and results on a server, on this machine alone.
//!
//! `cargo run --example quick-start`. With `-- --keep`, everything that it made stays to be looked at; with `-- --agent PATH` that
//! program is the agent, in place of one that is built from this clone.
#![expect(clippy::print_stdout, reason = "it talks to its user")]
#![expect(clippy::print_stderr, reason = "it talks to its user")]

mod agent;
mod console;
mod project;
mod python;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use local_server::{Database, LocalServer, Options};
use tokio::signal::unix::{SignalKind, signal};

use agent::Agent;
use project::Project;
use report::Report;

const USAGE: &str = "usage: cargo run --example quick-start [-- [--keep] [--agent PATH]]";

/// What the command line asks for.
#[derive(Debug, Default)]
struct Wishes {
    traces: Traces,
    /// An agent that is there already.
    agent: Option<PathBuf>,
}

impl Wishes {
    fn parse(words: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut wishes = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--keep" => wishes.traces = Traces::Keep,
                "--agent" => wishes.agent = Some(words.next()?.into()),
                _ => return None,
            }
        }
        Some(wishes)
    }
}

/// What happens to the folder with server, repository and environment in the end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Traces {
    #[default]
    Remove,
    Keep,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(wishes) = Wishes::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match quick_start(wishes).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn quick_start(Wishes { traces, agent }: Wishes) -> anyhow::Result<()> {
    let version = python::check()?;
    let binary = if let Some(binary) = agent {
        step(1, "Take the agent that is there");
        binary
    } else {
        step(1, "Build the agent of this clone");
        agent::build()?
    };
    note(binary.display());

    let mut folder = tempfile::Builder::new()
        .prefix("clearml-quick-start-")
        .tempdir()
        .context("no folder for temporary files")?;
    folder.disable_cleanup(traces == Traces::Keep);
    let interrupted = interrupted()?;
    let server = start_server(folder.path()).await?;

    step(3, "Make a git repository and a task of it");
    let project = Project::create(folder.path())?;
    note(format!("commit {}, and a change on top", project.commit));
    let task = project.enqueue(&server)?;
    note(format!("task {task} waits in the queue `default`"));

    step(4, "Start the agent, which takes the task and runs it");
    note("clearml-agent daemon --queue default --foreground");
    note(format!("Python {version}; packages come from PyPI\n"));
    let mut agent = Agent::start(&binary, folder.path(), &server)?;
    let followed = tokio::select! {
        status = console::follow(&server, &task, &mut agent) => status,
        () = interrupted => Err(anyhow::anyhow!("interrupted")),
    };
    agent.stop().await?;
    let status = followed?;

    step(5, "Look at the results");
    let report = Report::of(&server, &task)?;
    println!("{report}");
    show_traces(folder.path(), traces);
    if status != "completed" {
        bail!("the task ended as {status}");
    }
    report.check(project.epochs)?;
    println!("\n{status}");
    Ok(())
}

async fn start_server(folder: &Path) -> anyhow::Result<LocalServer> {
    step(2, "Start a ClearML server with an empty database");
    let options = Options {
        database: Database::File(folder.join("server.sqlite")),
        record: false,
        ..Options::default()
    };
    let server = LocalServer::start(options)
        .await
        .context("the server did not start")?;
    note(server.url());
    Ok(server)
}

fn show_traces(folder: &Path, traces: Traces) {
    match traces {
        Traces::Remove => println!(
            "    All of it is removed now. To look round in server, repository and environment:\n    \
             cargo run --example quick-start -- --keep"
        ),
        Traces::Keep => println!(
            "    agent's output  {0}/agent.log\n    repository      {0}/digits\n    environment     {0}/home/.clearml/venvs-builds\n    \
             server          cargo run -p local-server -- --database {0}/server.sqlite",
            folder.display()
        ),
    }
}

/// Ends when this program is told to end; from now on no signal ends it at once.
fn interrupted() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

fn step(number: usize, what: &str) {
    println!("\n[{number}/5] {what}");
}

fn note(text: impl std::fmt::Display) {
    println!("    {text}");
}
