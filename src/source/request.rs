//! What the caller gives and gets: a task's code fields, the settings that matter to them, and the prepared code.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::git::Environment;
use super::http_transport::HttpClients;
use super::rewrite::UrlRules;
use super::{DiffField, GitUrl, entry_point};
use crate::visible;

/// The fields of a task's `script` section that make up its code, as the server gave them; missing is empty.
#[derive(Clone, Default)]
pub struct CodeRequest {
    /// `script.repository`: URL or path.
    pub repository: String,
    /// `script.branch`
    pub branch: String,
    /// `script.tag`
    pub tag: String,
    /// `script.version_num`
    pub version_num: String,
    /// `script.diff`: uncommitted changes, or the whole script.
    pub diff: String,
    /// `script.entry_point`
    pub entry_point: String,
    /// `script.working_dir`
    pub working_dir: String,
    /// `script.binary`
    pub binary: String,
}

/// Settings, as plain values.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the configuration"
)]
pub struct SourceOptions {
    /// URL rewriting and credentials.
    pub rules: UrlRules,
    /// `agent.vcs_cache.path`
    pub cache_folder: PathBuf,
    /// `agent.vcs_cache.enabled`
    pub cache_enabled: bool,
    /// `agent.vcs_cache.clone_on_pull_fail`
    pub clone_on_pull_fail: bool,
    /// `agent.git_fetch_args`; none means the default.
    pub fetch_arguments: Option<Vec<String>>,
    /// `CLEARML_AGENT_GIT_CLONE_VERBOSE` (E-063).
    pub verbose: bool,
    /// The checkout that is there is used; nothing is fetched or removed (E-029).
    pub is_standalone: bool,
    /// `CLEARML_AGENT_FORCE_CODE_DIR` (E-074).
    pub force_code_dir: Option<PathBuf>,
    /// `CLEARML_AGENT_FORCE_EXEC_SCRIPT` (E-100).
    pub force_exec_script: Option<String>,
    /// How long a server may be silent before a fetch is given up.
    pub stall_limit: Duration,
    /// For fetching where no `git` program is.
    pub http: HttpClients,
    /// `CLEARML_AGENT_FORCE_TASK_INIT` (E-101).
    pub force_task_init: bool,
    /// The program that git asks for passwords: this binary, whose `main` calls [`super::askpass`].
    pub askpass_program: PathBuf,
    /// The agent's own environment: PATH, HOME, the variables of E-010 and git's own.
    pub environment: Environment,
}

impl SourceOptions {
    /// The `--depth` of the settings' own arguments.
    pub(super) fn depth(&self) -> Option<i32> {
        let mut words = self.fetch_arguments.iter().flatten();
        let depth = words.find_map(|word| word.strip_prefix("--depth="))?;
        depth.parse().ok().filter(|depth| *depth > 0)
    }
}

/// A task's code, ready to run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Code {
    /// The checkout's root, or the code folder.
    pub root: PathBuf,
    /// Where the command starts (E-093).
    pub script_folder: PathBuf,
    /// The entry point as it is to be run (E-091).
    pub entry_point: String,
    /// The working folder as it is shown (E-087).
    pub working_dir: String,
    /// The checkout, where there is one.
    pub repository: Option<CheckedOut>,
}

/// What was checked out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CheckedOut {
    /// The task's URL without password.
    pub url: String,
    /// Always `HEAD`: nothing but a detached HEAD is made (E-035).
    pub branch: String,
    /// Full id of the commit.
    pub commit: String,
}

/// What to check out, the first of E-033 that the task gives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Revision {
    /// A full commit id.
    Commit(git2::Oid),
    /// Any other revision in `version_num`.
    Named(String),
    /// A tag.
    Tag(String),
    /// A branch of the remote.
    Branch(String),
    /// `master`, else `main`, else what the remote calls its HEAD.
    Default,
}

impl CodeRequest {
    /// The request with E-009 to E-012 and E-100 applied: what is printed before the run (E-018) and used for it.
    ///
    /// Applying it twice changes nothing more, variables in variables apart.
    #[must_use]
    pub fn normalised(&self, options: &SourceOptions) -> Self {
        let (entry_point, working_dir) = match &options.force_exec_script {
            Some(script) => entry_point::forced(script),
            None => {
                entry_point::normalise(&self.entry_point, &self.working_dir, &options.environment)
            }
        };
        Self {
            repository: self.repository.trim().to_owned(),
            branch: self.branch.trim().to_owned(),
            tag: self.tag.trim().to_owned(),
            version_num: self.version_num.trim().to_owned(),
            diff: self.diff.clone(),
            entry_point,
            working_dir,
            binary: self.binary.clone(),
        }
    }

    /// The repository without its password, for every printed line (E-019).
    pub fn shown_repository(&self) -> String {
        GitUrl::parse(self.repository.trim()).to_string()
    }

    /// True where the task brings uncommitted changes.
    pub fn has_changes(&self) -> bool {
        matches!(DiffField::of(&self.diff), DiffField::Diff(_))
    }

    /// The fields in the form of E-080, without password.
    pub(super) fn summary(&self, docker_cmd: &str) -> String {
        let docker_cmd = if docker_cmd.is_empty() {
            "None".to_owned()
        } else {
            format!("'{}'", visible::line(docker_cmd))
        };
        format!(
            "(repository='{}', branch='{}', commit_id='{}', tag='{}', docker_cmd={docker_cmd}, entry_point='{}', working_dir='{}')",
            visible::line(&self.shown_repository()),
            visible::line(&self.branch),
            visible::line(&self.version_num),
            visible::line(&self.tag),
            visible::line(&self.entry_point),
            visible::line(&self.working_dir),
        )
    }

    /// E-033
    pub(super) fn revision(&self) -> Revision {
        if !self.version_num.is_empty() {
            let is_full = self.version_num.len() == 40;
            return match git2::Oid::from_str(&self.version_num) {
                Ok(id) if is_full => Revision::Commit(id),
                _ => Revision::Named(self.version_num.clone()),
            };
        }
        if !self.tag.is_empty() {
            return Revision::Tag(self.tag.clone());
        }
        if !self.branch.is_empty() {
            return Revision::Branch(self.branch.clone());
        }
        Revision::Default
    }
}

impl fmt::Debug for CodeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeRequest")
            .field("repository", &self.shown_repository())
            .field("branch", &self.branch)
            .field("tag", &self.tag)
            .field("version_num", &self.version_num)
            .field("diff", &format_args!("{} bytes", self.diff.len()))
            .field("entry_point", &self.entry_point)
            .field("working_dir", &self.working_dir)
            .field("binary", &self.binary)
            .finish()
    }
}
