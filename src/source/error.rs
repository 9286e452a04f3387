//! Why a task's code could not be prepared.

use std::io;
use std::path::PathBuf;

use super::request::CodeRequest;
use crate::process::ProcessError;
use crate::visible;

/// Why a task's code could not be prepared. `Display` is one clear line without secrets.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A URL or revision that git would take for an option (E-036).
    #[error("the task's {field} `{}` begins with `-`, which git would take for an option", visible::line(.value))]
    OptionLike {
        /// Field of the task.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// A URL or revision that is none, and that could look like lines of the agent's.
    #[error("the task's {field} `{}` has a control character", visible::line(.value))]
    ControlCharacter {
        /// Field of the task.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// Clone or fetch failed.
    #[error("could not fetch `{url}`: {}", first_line(.message))]
    Unreachable {
        /// URL without password.
        url: String,
        /// What is the matter.
        cause: FetchFailure,
        /// What git said.
        message: String,
        /// Host, user and source of the credentials that were tried.
        credentials: String,
    },
    /// The repository is there, the wanted revision is not.
    #[error("there is no {kind} `{revision}` in `{url}`")]
    RevisionMissing {
        /// What was looked for.
        kind: RevisionKind,
        /// Its name.
        revision: String,
        /// URL without password.
        url: String,
    },
    /// Only a `git` program speaks the protocol of this address, and there is none (E-072).
    #[error("cannot find \"git\" executable, which `{url}` needs")]
    GitMissing {
        /// URL without password.
        url: String,
    },
    /// The repository is reached by ssh, and there is neither a `git` nor an `ssh` program (E-072).
    #[error("cannot find \"ssh\" executable, which `{url}` needs")]
    SshMissing {
        /// URL without password.
        url: String,
    },
    /// The uncommitted changes do not fit the checkout; nothing of them has been applied (E-077).
    #[error("failed applying git diff: {}", first_line(.message))]
    DiffDoesNotApply {
        /// The task's diff.
        diff: String,
        /// What git said.
        message: String,
        /// Files that the diff changes and that the checkout does not have.
        missing: Vec<String>,
    },
    /// A submodule that is not fetched, and why.
    #[error("{0}")]
    SubmoduleRefused(String),
    /// E-094
    #[error("Working dir \"{}\" does not exist in the repository", visible::line(.0))]
    WorkingDirectoryMissing(String),
    /// A path of the task leads out of the code's folder.
    #[error("the task's {field} `{}` leads out of the code's folder", visible::line(.value))]
    OutsideFolder {
        /// Field of the task.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// `CLEARML_AGENT_FORCE_CODE_DIR` names a folder that is not there (E-074).
    #[error("code folder `{0}` does not exist")]
    CodeFolderMissing(PathBuf),
    /// Standalone mode, and nobody has put the code there (E-029).
    #[error("there is no checkout at `{0}`, and `--standalone-mode` fetches none")]
    PreparedCodeMissing(PathBuf),
    /// The task was stopped.
    #[error("the task was stopped while its code was being prepared")]
    Cancelled,
    /// A program could not be started.
    #[error(transparent)]
    Process(ProcessError),
    /// A file or folder of this machine.
    #[error("could not {action} `{path}`: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// With which path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The checkout or the mirror could not be made or read.
    #[error("could not {action}: {}", .source.message())]
    Git {
        /// What was tried.
        action: &'static str,
        /// What libgit2 said.
        source: git2::Error,
    },
    /// A file or program of this machine failed while the repository was being prepared.
    #[error(transparent)]
    Checkout(Box<Self>),
    /// The git program failed in the checkout.
    #[error("could not {action}: {}", first_line(.message))]
    GitProgram {
        /// What was tried.
        action: &'static str,
        /// What git said.
        message: String,
    },
}

/// What is the matter with a remote repository.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FetchFailure {
    /// The server, or the file system, has no such repository.
    DoesNotExist,
    /// The server wants other credentials, or any.
    AccessDenied,
    /// The server does not answer.
    NoConnection,
    /// There is no room for it.
    DiskFull,
    /// The server's certificate is not trusted.
    Certificate,
    /// The repository belongs to another user of this machine.
    ForeignOwner,
    /// Anything else.
    Other,
}

/// What a task asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RevisionKind {
    /// `script.version_num`.
    Commit,
    /// `script.tag`.
    Tag,
    /// `script.branch`.
    Branch,
    /// None of them: the default branch.
    DefaultBranch,
}

impl std::fmt::Display for RevisionKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Commit => "commit",
            Self::Tag => "tag",
            Self::Branch => "branch",
            Self::DefaultBranch => "default branch",
        })
    }
}

impl SourceError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreachable {
                cause, credentials, ..
            } => {
                let tried = credentials;
                match cause {
                    // Servers do not tell a stranger what they keep.
                    FetchFailure::DoesNotExist => {
                        format!("check the task's repository, and who may read it ({tried})")
                    }
                    FetchFailure::AccessDenied => {
                        format!("{tried}; check that it may read the repository, docs/git.md says what is tried when")
                    }
                    FetchFailure::NoConnection => "check name, network and proxy settings".to_owned(),
                    FetchFailure::DiskFull => {
                        "make room on the disk of `agent.vcs_cache.path`".to_owned()
                    }
                    FetchFailure::Certificate => {
                        "name the file of its certificate authority in `REQUESTS_CA_BUNDLE` or `SSL_CERT_FILE`, and for the git program in `http.sslCAInfo`".to_owned()
                    }
                    FetchFailure::ForeignOwner => {
                        "run the agent as the owner of the repository, or add it to git's `safe.directory`".to_owned()
                    }
                    FetchFailure::Other => return None,
                }
            }
            Self::RevisionMissing {
                kind: RevisionKind::Commit,
                ..
            } => "make sure you pushed the requested commit".to_owned(),
            Self::RevisionMissing { .. } => {
                "make sure you pushed it, and check its name".to_owned()
            }
            Self::GitMissing { .. } => {
                "you can install it by running: sudo apt-get install git".to_owned()
            }
            Self::SshMissing { .. } => {
                "you can install it by running: sudo apt-get install git openssh-client".to_owned()
            }
            Self::DiffDoesNotApply { missing, .. } if !missing.is_empty() => format!(
                "{} not in the repository: perhaps you forgot to push your changes?",
                missing.join(", ")
            ),
            Self::DiffDoesNotApply { .. } => {
                "the uncommitted changes were made on another commit than the one checked out"
                    .to_owned()
            }
            Self::PreparedCodeMissing(_) => {
                "run the task once without it on this machine, or put the repository there"
                    .to_owned()
            }
            Self::WorkingDirectoryMissing(_) => "check the task's working directory".to_owned(),
            Self::Checkout(error) => return error.hint(),
            Self::Process(ProcessError::Start { .. }) => {
                "check that the program may be run".to_owned()
            }
            _ => return None,
        };
        Some(hint)
    }

    /// True for the failures of E-080, after which the status reason is `failed cloning repository`.
    pub fn is_repository_failure(&self) -> bool {
        match self {
            Self::OptionLike { .. }
            | Self::ControlCharacter { .. }
            | Self::Unreachable { .. }
            | Self::RevisionMissing { .. }
            | Self::Git { .. }
            | Self::Checkout(_)
            | Self::GitProgram { .. } => true,
            Self::GitMissing { .. }
            | Self::SshMissing { .. }
            | Self::SubmoduleRefused(_)
            | Self::DiffDoesNotApply { .. }
            | Self::WorkingDirectoryMissing(_)
            | Self::OutsideFolder { .. }
            | Self::CodeFolderMissing(_)
            | Self::PreparedCodeMissing(_)
            | Self::File { .. }
            | Self::Process(_)
            | Self::Cancelled => false,
        }
    }

    /// The text that follows `clearml_agent: ERROR: ` on the console (E-077, E-080, E-081).
    pub fn console_text(&self, request: &CodeRequest, docker_cmd: &str) -> String {
        match self {
            Self::DiffDoesNotApply { diff, .. } => {
                format!(
                    "Failed applying git diff:\n{diff}\n\nERROR! Failed applying git diff, see diff above.\n"
                )
            }
            Self::GitMissing { .. } | Self::SshMissing { .. } => {
                let program = if matches!(self, Self::GitMissing { .. }) {
                    "git"
                } else {
                    "ssh"
                };
                let hint = self.hint().unwrap_or_default();
                let hint = hint.replacen("you can", "You can", 1);
                format!("Cannot find \"{program}\" executable. {hint}")
            }
            error if error.is_repository_failure() => format!(
                "Failed cloning repository. \n1) Make sure you pushed the requested commit:\n{}\n\
                 2) Check if remote-worker has valid credentials [see worker configuration file]\n",
                request.summary(docker_cmd)
            ),
            error => error.to_string(),
        }
    }

    /// Marks what happened to this machine's files and programs as a failure of the repository (E-080).
    pub(super) fn in_repository(self) -> Self {
        match self {
            error @ (Self::File { .. } | Self::Process(_)) => Self::Checkout(Box::new(error)),
            error => error,
        }
    }

    pub(super) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    pub(super) fn git(action: &'static str) -> impl FnOnce(git2::Error) -> Self {
        move |source| Self::Git { action, source }
    }
}

impl From<ProcessError> for SourceError {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::Cancelled(_) => Self::Cancelled,
            start @ ProcessError::Start { .. } => Self::Process(start),
        }
    }
}

impl FetchFailure {
    /// Reads what git prints in the C locale.
    pub(super) fn of_message(message: &str) -> Self {
        let message = message.to_lowercase();
        let has = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
        if has(&["dubious ownership", "unsafe repository", "not owned by"]) {
            Self::ForeignOwner
        } else if has(&["no space left", "file too large", "disk quota exceeded"]) {
            Self::DiskFull
        } else if has(&["certificate"]) {
            Self::Certificate
        } else if has(&[
            "authentication failed",
            "could not read username",
            "could not read password",
            "terminal prompts disabled",
            "permission denied",
            "access denied",
            "error: 403",
            "error: 401",
            "host key verification failed",
        ]) {
            Self::AccessDenied
        } else if has(&[
            "not found",
            "does not appear to be a git repository",
            "could not find repository",
            "no such file",
            "does not exist",
        ]) {
            Self::DoesNotExist
        } else if has(&[
            "could not resolve",
            "connection refused",
            "timed out",
            "network is unreachable",
            "no route to host",
            "connection reset",
            "failed to connect",
            "couldn't connect",
            "unable to access",
            "too slow",
            "has been silent",
            "early eof",
            "rpc failed",
            "unexpected disconnect",
            "hung up",
            "ended the connection",
            "connection failed",
            "connection closed",
            "not responding",
        ]) {
            Self::NoConnection
        } else {
            Self::Other
        }
    }
}

/// The line that says what the matter is, where one does; a program may have chatted before.
fn first_line(message: &str) -> &str {
    let lines = || message.lines().map(str::trim);
    lines()
        .find(|line| FetchFailure::of_message(line) != FetchFailure::Other)
        .or_else(|| lines().find(|line| line.starts_with("fatal: ") || line.starts_with("error: ")))
        .or_else(|| lines().find(|line| !line.is_empty()))
        .unwrap_or("no reason was given")
}
