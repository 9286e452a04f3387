//! Programs that prepare tasks: git, Python, uv; and whether a repository can be read.

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::report::Finding;
use crate::commands::Failed;
use crate::commands::cuda::printed;
use crate::commands::git_options;
use crate::commands::options;
use crate::process::{Command, find_program};
use crate::python::{self, PythonOptions, StoreOptions};
use crate::settings::{AgentSettings, PackageManagerKind, Settings, env_vars};
use crate::source::{self, GitUrl};

/// How long a git server may take to say what it has.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn look(
    settings: &Settings,
    url: Option<&str>,
    in_containers: bool,
) -> Result<Vec<Finding>, Failed> {
    let settings = &settings.clone().with_folders(0);
    let agent = settings.agent()?;
    let mut findings = vec![git(settings).await];
    if let Some(url) = url {
        findings.push(repository(settings, &agent, url).await);
    }
    findings.push(interpreter(settings, &agent, in_containers).await);
    findings.push(uv(settings, &agent).await);
    Ok(findings)
}

async fn git(settings: &Settings) -> Finding {
    const SUBJECT: &str = "git";
    let search_path = settings.environment().get("PATH").unwrap_or_default();
    let Some(program) = find_program("git", search_path) else {
        return Finding::warn(
            SUBJECT,
            "no git program: repositories are fetched by the agent itself, without git's own configuration and helpers",
            "you can install it by running: sudo apt-get install git",
        );
    };
    match version(&program).await {
        Some(version) => Finding::ok(SUBJECT, format!("{version} ({})", program.display())),
        None => Finding::fail(
            SUBJECT,
            format!("{} does not run", program.display()),
            "install git anew",
        ),
    }
}

/// Reads the repository's list of branches, with the credentials that a task would have.
async fn repository(settings: &Settings, agent: &AgentSettings, url: &str) -> Finding {
    const SUBJECT: &str = "repository";
    let shown = GitUrl::parse(url).to_string();
    let options = git_options::source(settings, agent);
    if find_program(
        "git",
        settings.environment().get("PATH").unwrap_or_default(),
    )
    .is_none()
    {
        return Finding::warn(
            SUBJECT,
            format!("{shown} was not looked at: that needs the git program"),
            "tasks fetch without it too: run one",
        );
    }
    let cancel = CancellationToken::new();
    let reached = tokio::time::timeout(PATIENCE, source::reach(url, &options, &cancel)).await;
    match reached {
        Ok(Ok(reached)) => Finding::ok(
            SUBJECT,
            match reached.branch {
                Some(branch) => {
                    let branch = branch.trim_start_matches("refs/heads/");
                    format!("{} can be read, default branch {branch}", reached.url)
                }
                None => format!("{} can be read", reached.url),
            },
        ),
        Ok(Err(error)) => {
            let hint = error.hint();
            let hint = hint.unwrap_or_else(|| "docs/git.md says what is tried when".to_owned());
            Finding::fail(SUBJECT, error.to_string(), hint)
        }
        Err(_) => Finding::fail(
            SUBJECT,
            format!("{shown}: no answer in {} seconds", PATIENCE.as_secs()),
            "check name, network and proxy settings",
        ),
    }
}

async fn interpreter(settings: &Settings, agent: &AgentSettings, in_containers: bool) -> Finding {
    const SUBJECT: &str = "Python";
    // Its answer is not kept: nothing is to be written.
    let options = PythonOptions {
        store: StoreOptions::off(),
        ..options::python(settings, agent, false)
    };
    match python::machine_interpreter(&options).await {
        Ok(found) if found.brings_pip() => Finding::ok(
            SUBJECT,
            format!("{} ({})", found.version, found.path.display()),
        ),
        Ok(found) => Finding::warn(
            SUBJECT,
            format!(
                "{} ({}) makes no environments: it has neither ensurepip nor virtualenv",
                found.version,
                found.path.display()
            ),
            "you can install it by running: sudo apt-get install python3-venv",
        ),
        Err(_) if in_containers => {
            Finding::ok(SUBJECT, "none on this machine: containers bring their own")
        }
        Err(error) => Finding::fail(
            SUBJECT,
            error.to_string(),
            "install Python 3, or name one in `agent.python_binary`; shell scripts run without",
        ),
    }
}

async fn uv(settings: &Settings, agent: &AgentSettings) -> Finding {
    const SUBJECT: &str = "uv";
    let is_wanted = agent.package_manager.kind == PackageManagerKind::Uv;
    let environment = settings.environment();
    let search_path = environment.get("PATH").unwrap_or_default();
    let named = environment.text(&env_vars::BOOTSTRAP_UV_EXEC);
    let named = named.map(|path| settings.expand(path));
    let Some(program) = named.or_else(|| find_program("uv", search_path)) else {
        if is_wanted {
            return Finding::warn(
                SUBJECT,
                "not on this machine: tasks install it first, each into its environment",
                "install uv, so that it is on PATH",
            );
        }
        return Finding::ok(SUBJECT, "not on this machine, and not asked for");
    };
    match version(&program).await {
        Some(version) => Finding::ok(SUBJECT, format!("{version} ({})", program.display())),
        None => Finding::warn(
            SUBJECT,
            format!("{} does not run", program.display()),
            "install uv anew",
        ),
    }
}

/// What the program says its version is.
async fn version(program: &Path) -> Option<String> {
    let text = printed(Command::new(program).arg("--version")).await?;
    let mut words = text.split_whitespace();
    let number = words.find(|word| word.starts_with(|letter: char| letter.is_ascii_digit()));
    number.map(str::to_owned)
}
