//! A user's project: a git repository with a training script, a change that is not committed, and a task of both.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use git2::{DiffFormat, Repository, RepositoryInitOptions, Signature};
use local_server::LocalServer;
use serde_json::json;
use url::Url;

const SCRIPT: &str = include_str!("train.py");
const REQUIREMENTS: &str = include_str!("requirements.txt");
const BRANCH: &str = "main";

/// What is run: a commit and what was changed since.
#[derive(Debug)]
pub(crate) struct Project {
    /// Id of the commit.
    pub(crate) commit: String,
    /// Epochs that the changed script trains; the committed one trains fewer.
    pub(crate) epochs: usize,
    repository: PathBuf,
    diff: String,
}

impl Project {
    /// Makes the repository `digits` in `folder`.
    pub(crate) fn create(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("digits");
        let repository =
            Repository::init_opts(&path, RepositoryInitOptions::new().initial_head(BRANCH))?;
        fs::write(path.join("train.py"), SCRIPT)?;
        fs::write(path.join("requirements.txt"), REQUIREMENTS)?;
        let commit = commit(&repository)?;
        let epochs = 10;
        let changed = SCRIPT.replace("EPOCHS = 3", &format!("EPOCHS = {epochs}"));
        fs::write(path.join("train.py"), changed)?;
        Ok(Self {
            commit,
            epochs,
            diff: uncommitted(&repository)?,
            repository: path,
        })
    }

    /// Creates the task as `Task.init` would on a developer's machine, puts it into the queue, and gives its id.
    pub(crate) fn enqueue(&self, server: &LocalServer) -> anyhow::Result<String> {
        let url = Url::from_file_path(&self.repository)
            .map_err(|()| anyhow!("{} is no absolute path", self.repository.display()))?;
        let project = server.call("projects.create", json!({ "name": "Quick start" }))?;
        let task = json!({
            "name": "digits",
            "type": "training",
            "project": project["id"],
            "script": {
                "repository": url.as_str(),
                "branch": BRANCH,
                "version_num": self.commit,
                "working_dir": ".",
                "entry_point": "train.py",
                "binary": "python3",
                "diff": self.diff,
                "requirements": { "pip": REQUIREMENTS },
            },
        });
        let created = server.call("tasks.create", task)?;
        let queues = server.call("queues.get_all", json!({ "name": "default" }))?;
        server.call(
            "tasks.enqueue",
            json!({ "task": created["id"], "queue": queues["queues"][0]["id"] }),
        )?;
        let id = created["id"].as_str().context("the task has no id")?;
        Ok(id.to_owned())
    }
}

fn commit(repository: &Repository) -> anyhow::Result<String> {
    let mut index = repository.index()?;
    index.add_path(Path::new("train.py"))?;
    index.add_path(Path::new("requirements.txt"))?;
    index.write()?;
    let tree = repository.find_tree(index.write_tree()?)?;
    let author = Signature::now("Quick start", "quick-start@localhost")?;
    let id = repository.commit(
        Some("HEAD"),
        &author,
        &author,
        "Train on the digits",
        &tree,
        &[],
    )?;
    Ok(id.to_string())
}

/// What `git diff` prints.
fn uncommitted(repository: &Repository) -> anyhow::Result<String> {
    let mut text = Vec::new();
    repository
        .diff_index_to_workdir(None, None)?
        .print(DiffFormat::Patch, |_, _, line| {
            if matches!(line.origin(), '+' | '-' | ' ') {
                text.push(line.origin() as u8);
            }
            text.extend_from_slice(line.content());
            true
        })?;
    Ok(String::from_utf8(text)?)
}
