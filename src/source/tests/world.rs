//! What the tests work with: a remote repository, an environment folder, an output file.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::{Oid, Repository, Signature};
use tokio_util::sync::CancellationToken;

use crate::process::Output;
use crate::source::{
    Code, CodeRequest, HttpClients, SourceError, SourceOptions, UrlRules, fetch_code,
};

/// A remote, a cache and an environment folder of one test.
pub(in crate::source) struct World {
    pub(in crate::source) folder: tempfile::TempDir,
    pub(in crate::source) options: SourceOptions,
}

impl World {
    pub(in crate::source) fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let options = SourceOptions {
            rules: UrlRules::default(),
            cache_folder: folder.path().join("vcs-cache"),
            cache_enabled: true,
            clone_on_pull_fail: false,
            fetch_arguments: None,
            verbose: false,
            stall_limit: Duration::from_mins(1),
            http: HttpClients::new(|_| {
                // The room makes no clients of its own.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let client = reqwest::Client::builder().no_proxy().build();
                client.map_err(|error| error.to_string())
            }),
            force_code_dir: None,
            force_task_init: false,
            force_exec_script: None,
            is_standalone: false,
            askpass_program: "/bin/false".into(),
            environment: std::env::vars().collect(),
        };
        assert!(
            super::super::git::Git::find(&options.environment).is_some(),
            "these tests need git"
        );
        Self { folder, options }
    }

    /// The same without a git program.
    pub(in crate::source) fn without_git() -> Self {
        let mut world = Self::new();
        world
            .options
            .environment
            .insert("PATH".to_owned(), "/nowhere".to_owned());
        world
    }

    pub(in crate::source) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(in crate::source) fn environment(&self) -> PathBuf {
        self.path("environment")
    }

    /// A new remote with one commit on `main` that holds `files`.
    pub(in crate::source) fn remote(&self, name: &str, files: &[(&str, &str)]) -> Remote {
        let path = self.path(name);
        let mut options = git2::RepositoryInitOptions::new();
        options.initial_head("main");
        let repository = Repository::init_opts(&path, &options).expect("made");
        let remote = Remote { path, repository };
        remote.commit("one", files);
        remote
    }

    pub(in crate::source) async fn fetch(
        &self,
        request: &CodeRequest,
    ) -> Result<Code, SourceError> {
        self.fetch_into("environment", request).await
    }

    pub(in crate::source) async fn fetch_into(
        &self,
        name: &str,
        request: &CodeRequest,
    ) -> Result<Code, SourceError> {
        let folder = self.path(name);
        fs::create_dir_all(&folder).expect("made");
        let output = Output::append(&self.path("console")).expect("opened");
        fetch_code(
            request,
            &self.options,
            &folder,
            &output,
            &CancellationToken::new(),
        )
        .await
    }

    /// The one mirror in the cache.
    pub(in crate::source) fn mirror(&self) -> PathBuf {
        fs::read_dir(self.options.cache_folder.join("mirrors"))
            .expect("listed")
            .map(|entry| entry.expect("an entry").path())
            .find(|path| path.is_dir())
            .expect("a mirror")
    }

    /// All that has been printed.
    pub(in crate::source) fn console(&self) -> String {
        fs::read_to_string(self.path("console")).expect("read")
    }

    /// Removes what has been printed until now.
    pub(in crate::source) fn clear_console(&self) {
        fs::remove_file(self.path("console")).expect("removed");
    }
}

/// A repository that stands for a server's.
pub(in crate::source) struct Remote {
    pub(in crate::source) path: PathBuf,
    pub(in crate::source) repository: Repository,
}

impl Remote {
    /// Writes `files` and commits everything on the current branch.
    pub(in crate::source) fn commit(&self, message: &str, files: &[(&str, &str)]) -> Oid {
        for (name, text) in files {
            let path = self.path.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        let mut index = self.repository.index().expect("index");
        index
            .add_all(["*"], git2::IndexAddOption::DEFAULT, None)
            .expect("added");
        index.write().expect("written");
        let tree = index
            .write_tree()
            .and_then(|id| self.repository.find_tree(id))
            .expect("tree");
        let signature = Signature::now("t", "t@example.com").expect("signature");
        let head = self
            .repository
            .head()
            .ok()
            .and_then(|head| head.peel_to_commit().ok());
        let parents: Vec<&git2::Commit<'_>> = head.iter().collect();
        self.repository
            .commit(
                Some("HEAD"),
                &signature,
                &signature,
                message,
                &tree,
                &parents,
            )
            .expect("committed")
    }

    /// Goes on with a new branch from here.
    pub(in crate::source) fn branch(&self, name: &str) {
        let head = self
            .repository
            .head()
            .and_then(|head| head.peel_to_commit())
            .expect("head");
        self.repository.branch(name, &head, true).expect("branched");
        self.repository
            .set_head(&format!("refs/heads/{name}"))
            .expect("switched");
    }

    /// A task of this repository.
    pub(in crate::source) fn request(&self) -> CodeRequest {
        CodeRequest {
            repository: self.path.to_string_lossy().into_owned(),
            entry_point: "train.py".to_owned(),
            working_dir: ".".to_owned(),
            binary: "python3".to_owned(),
            ..CodeRequest::default()
        }
    }

    pub(in crate::source) fn head(&self) -> String {
        self.repository
            .head()
            .expect("head")
            .target()
            .expect("a commit")
            .to_string()
    }
}

pub(in crate::source) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the git program prints in `folder`, without the line feed at its end.
pub(in crate::source) fn git(folder: &Path, arguments: &[&str]) -> String {
    let text = git_text(folder, arguments);
    text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)
}

/// What the git program prints in `folder`.
pub(in crate::source) fn git_text(folder: &Path, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("git");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    let output = command
        .args([
            "-c",
            "safe.directory=*",
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
        ])
        .args(["-c", "protocol.file.allow=always"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("git runs");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
