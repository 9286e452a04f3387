//! Brings objects and branches of a remote into a mirror: libgit2 for paths of this machine, the `git` program for
//! the network, and libgit2 there too where the program is missing (E-072).

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use git2::{Oid, Repository};
use reqwest::header::HeaderValue;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::credentials::Delivery;
use super::error::FetchFailure;
use super::git::{Access, Git};
use super::http_transport::HttpRoad;
use super::library::{self, Fetch};
use super::request::{Revision, SourceOptions};
use super::rewrite::Remote;
use super::ssh_transport::{self, SshRoad};
use super::transport::{Patience, Road, along};
use super::{SourceError, blocking};
use crate::process::{Finished, Output, PipedProgram, ProcessError};
use crate::secrets;

/// All branches and tags, under their own names; not the thousands of other references that some servers keep.
pub(super) const REFSPECS: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/// A program that is about to end says why within this time.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// What a program says beyond this many bytes is not read.
const MOST_WORDS: u64 = 64 << 10;

/// Where commits are kept that were fetched by their ids; no checkout sees these names.
pub(super) const COMMITS: &str = "refs/commits/";

/// With a name of its own for the commit, the tags of its history come along: versions are made of them.
pub(super) fn commit_refspec(id: Oid) -> String {
    format!("{id}:{COMMITS}{id}")
}

/// The way to one remote.
#[derive(Debug)]
pub(super) struct Fetcher<'a> {
    remote: &'a Remote,
    options: &'a SourceOptions,
    output: &'a Output,
    cancel: &'a CancellationToken,
    git: Option<Git>,
}

impl<'a> Fetcher<'a> {
    /// Fails where the remote is away and neither a git program nor libgit2 gets there (E-072).
    pub(super) fn new(
        remote: &'a Remote,
        options: &'a SourceOptions,
        output: &'a Output,
        cancel: &'a CancellationToken,
    ) -> Result<Self, SourceError> {
        let git = Git::find(&options.environment);
        let fetcher = Self {
            remote,
            options,
            output,
            cancel,
            git,
        };
        if fetcher.git.is_none() && !remote.url.is_local() && !remote.url.is_http() {
            if remote.url.ssh_address().is_none() {
                return Err(fetcher.git_missing());
            }
            ssh_transport::program(&remote.url, options)?;
        }
        Ok(fetcher)
    }

    /// Fetches all branches and tags; `revision` says whether the remote's default branch is of interest.
    pub(super) async fn fetch_branches(
        &self,
        mirror: &Path,
        revision: &Revision,
    ) -> Result<(), SourceError> {
        if self.remote.url.is_local() || self.git.is_none() {
            match (self.by_library(mirror, None).await, &self.git) {
                // The program can be told to trust a repository of another user for one call; libgit2 cannot.
                (
                    Err(SourceError::Unreachable {
                        cause: FetchFailure::ForeignOwner,
                        ..
                    }),
                    Some(_),
                ) => {}
                (fetched, _) => return self.told(fetched, "fatal: "),
            }
        }
        self.fetch_by_program(mirror).await?;
        if *revision == Revision::Default {
            self.learn_default_branch(mirror).await?;
        }
        Ok(())
    }

    /// Fetches one commit with its history and the tags in it; false where the server gives no single commits.
    pub(super) async fn fetch_commit(&self, mirror: &Path, id: Oid) -> Result<bool, SourceError> {
        if self.remote.url.is_local() {
            return Ok(false);
        }
        let mut prefix = "";
        let fetched = if self.git.is_some() {
            let refspec = commit_refspec(id);
            let arguments = ["fetch", self.verbosity(), "--force", "origin", &refspec];
            let finished = self.run(mirror, &arguments).await?;
            let message = secrets::mask(String::from_utf8_lossy(&finished.stderr).trim_end());
            if finished.is_success() {
                Ok(())
            } else {
                Err(self.unreachable(FetchFailure::of_message(&message), message))
            }
        } else {
            prefix = "fatal: ";
            self.by_library(mirror, Some(id)).await
        };
        match fetched {
            Err(error) if is_refusal(&error) => {
                tracing::debug!(%error, "the commit could not be asked for by its id");
                Ok(false)
            }
            fetched => self.told(fetched, prefix).map(|()| true),
        }
    }

    /// Whether one commit alone is worth asking for: not where the settings say what to fetch.
    pub(super) fn may_fetch_commits(&self) -> bool {
        self.options.fetch_arguments.is_none()
    }

    fn verbosity(&self) -> &'static str {
        if self.options.verbose {
            "--verbose"
        } else {
            "--quiet"
        }
    }

    /// Lets libgit2 fetch, in a thread of its own.
    async fn by_library(&self, mirror: &Path, commit: Option<Oid>) -> Result<(), SourceError> {
        let failure = Arc::new(OnceLock::new());
        let patience = Patience {
            runtime: Handle::current(),
            cancel: self.cancel.clone(),
            limit: self.options.stall_limit,
            failure: failure.clone(),
        };
        let mut ssh = None;
        let road = if self.remote.url.is_local() {
            None
        } else if self.remote.url.is_http() {
            Some(Road::Http(self.http_road(patience)))
        } else {
            let (road, program, stderr) = self.ssh_road(patience)?;
            ssh = Some((program, stderr));
            Some(road)
        };
        let fetch = Fetch {
            mirror: mirror.to_owned(),
            path: self.remote.url.local_path(),
            commit,
            depth: self.options.depth().filter(|_| commit.is_none()),
        };
        let cancel = self.cancel.clone();
        let activity = self.output.activity().clone();
        let work = blocking(move || {
            let carry_out = || fetch.carry_out(&activity, &cancel);
            Ok(match road {
                Some(road) => along(road, carry_out),
                None => carry_out(),
            })
        });
        let (fetched, said) = match ssh {
            Some((program, stderr)) => {
                let heard = hear_out(work, stderr).await;
                program.end().await;
                heard
            }
            None => (work.await, String::new()),
        };
        let error = match fetched? {
            Ok(()) => return Ok(()),
            Err(_) if self.cancel.is_cancelled() => return Err(SourceError::Cancelled),
            Err(error) => error,
        };
        let mut message = error.message().to_owned();
        let mut cause = failure.get().copied();
        let said = secrets::mask(said.trim_end());
        if !said.is_empty() {
            // The server, or the ssh program, knows better.
            let spoken = FetchFailure::of_message(&said);
            cause = cause.or(Some(spoken).filter(|cause| *cause != FetchFailure::Other));
            message = format!("{said}\n{message}");
        }
        let cause = cause.unwrap_or_else(|| library::failure(&error));
        Err(self.unreachable(cause, message))
    }

    fn http_road(&self, patience: Patience) -> HttpRoad {
        let authorization = Access::authorization(self.remote).and_then(|value| {
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        HttpRoad {
            clients: self.options.http.clone(),
            origin: self.remote.url.origin(),
            authorization,
            is_sent_first: self.remote.delivery != Delivery::Askpass,
            patience,
        }
    }

    fn ssh_road(
        &self,
        patience: Patience,
    ) -> Result<(Road, PipedProgram, ChildStderr), SourceError> {
        let command = ssh_transport::program(&self.remote.url, self.options)?;
        let (program, pipes) = command.start_with_pipes().map_err(|error| match error {
            ProcessError::Start { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                SourceError::SshMissing {
                    url: self.remote.url.to_string(),
                }
            }
            error => error.into(),
        })?;
        let road = SshRoad {
            stdin: pipes.stdin,
            stdout: pipes.stdout,
            patience,
        };
        Ok((Road::Ssh(road), program, pipes.stderr))
    }

    pub(super) async fn fetch_by_program(&self, mirror: &Path) -> Result<(), SourceError> {
        let mut arguments = vec!["fetch", self.verbosity()];
        match &self.options.fetch_arguments {
            // A mirror has no submodules that could be fetched along; the checkout sees to them.
            Some(own) => {
                arguments.extend(
                    own.iter()
                        .map(String::as_str)
                        .filter(|word| !word.starts_with("--recurse-submodules")),
                );
            }
            None => arguments.extend(["--prune", "--force", "origin"]),
        }
        let finished = self.run(mirror, &arguments).await?;
        let message = self.show(&finished);
        if finished.is_success() {
            Ok(())
        } else {
            Err(self.unreachable(FetchFailure::of_message(&message), message))
        }
    }

    /// Points the mirror's HEAD to the remote's default branch.
    async fn learn_default_branch(&self, mirror: &Path) -> Result<(), SourceError> {
        let finished = self
            .run(mirror, &["ls-remote", "--symref", "origin", "HEAD"])
            .await?;
        if let Some(branch) = named_head(&finished.text()) {
            let repository =
                Repository::open_bare(mirror).map_err(SourceError::git("open the mirror"))?;
            repository
                .set_head(branch)
                .map_err(SourceError::git("set the mirror's HEAD"))?;
        }
        Ok(())
    }

    /// What the server calls its default branch; nothing is fetched. None where the repository has no commit.
    pub(super) async fn default_branch(&self) -> Result<Option<String>, SourceError> {
        // As it stands in the configuration of a mirror; user and password are asked for.
        let url = self.remote.url.to_string();
        let folder = std::env::temp_dir();
        let arguments = ["ls-remote", "--symref", "--", &url, "HEAD"];
        let finished = self.run(&folder, &arguments).await?;
        if !finished.is_success() {
            let message = secrets::mask(String::from_utf8_lossy(&finished.stderr).trim_end());
            return Err(self.unreachable(FetchFailure::of_message(&message), message));
        }
        Ok(named_head(&finished.text()).map(str::to_owned))
    }

    async fn run(&self, mirror: &Path, arguments: &[&str]) -> Result<Finished, SourceError> {
        let Some(git) = &self.git else {
            return Err(self.git_missing());
        };
        let access = Access::to_remote(self.remote);
        let mut command = git.network(
            &self.options.environment,
            &access,
            &self.options.askpass_program,
            &[],
            self.options.stall_limit,
        );
        if !self.remote.is_of_user {
            // As git itself does for submodules: helpers such as `ext::` are not for who names the URL alone.
            command = command.env("GIT_PROTOCOL_FROM_USER", "0");
        }
        // The process that serves a local repository takes `safe.directory` from files alone.
        let trusting = self
            .remote
            .url
            .is_local()
            .then(|| self.trusting_configuration())
            .transpose();
        let trusting = trusting.map_err(SourceError::file("write", std::env::temp_dir()))?;
        if let Some(file) = &trusting {
            command = command.env("GIT_CONFIG_GLOBAL", file.path());
        }
        Ok(command
            .args(arguments)
            .folder(mirror)
            .capture(self.cancel)
            .await?)
    }

    /// A global configuration for one call: the user's own, and trust in every folder (E-062).
    pub(super) fn trusting_configuration(&self) -> std::io::Result<tempfile::NamedTempFile> {
        let environment = &self.options.environment;
        let mut file = tempfile::NamedTempFile::new()?;
        let home = environment.get("HOME").map_or("/", String::as_str);
        let own = match environment.get("GIT_CONFIG_GLOBAL") {
            Some(own) => vec![own.clone()],
            None => vec![
                environment.get("XDG_CONFIG_HOME").map_or_else(
                    || format!("{home}/.config/git/config"),
                    |folder| format!("{folder}/git/config"),
                ),
                format!("{home}/.gitconfig"),
            ],
        };
        for path in own {
            let quoted = path.replace('\\', "\\\\").replace('"', "\\\"");
            writeln!(file, "[include]\n\tpath = \"{quoted}\"")?;
        }
        writeln!(file, "[safe]\n\tdirectory = *")?;
        file.flush()?;
        Ok(file)
    }

    /// Shows what git said on the console, without secrets.
    fn show(&self, finished: &Finished) -> String {
        let message = secrets::mask(String::from_utf8_lossy(&finished.stderr).trim_end());
        if !message.is_empty() {
            self.output.line(&message);
        }
        message
    }

    /// Shows on the console why libgit2, or a fetch that was tried first, failed.
    fn told(&self, fetched: Result<(), SourceError>, prefix: &str) -> Result<(), SourceError> {
        if let Err(SourceError::Unreachable { message, .. }) = &fetched {
            // What a server said stands before the words of libgit2.
            match message.rsplit_once('\n') {
                Some((said, own)) => self.output.line(format!("{said}\n{prefix}{own}")),
                None => self.output.line(format!("{prefix}{message}")),
            }
        }
        fetched
    }

    fn git_missing(&self) -> SourceError {
        SourceError::GitMissing {
            url: self.remote.url.to_string(),
        }
    }

    fn unreachable(&self, cause: FetchFailure, message: String) -> SourceError {
        let credentials = self.options.rules.tried(self.remote);
        SourceError::Unreachable {
            url: self.remote.url.to_string(),
            cause,
            message,
            credentials,
        }
    }
}

/// The branch that an answer of `ls-remote --symref` names, with its folder `refs/heads/`.
fn named_head(answer: &str) -> Option<&str> {
    let mut lines = answer.lines();
    lines.find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"))
}

/// Whether the server is there and gives no single commits, so that all branches are worth asking for.
fn is_refusal(error: &SourceError) -> bool {
    matches!(
        error,
        SourceError::Unreachable {
            cause: FetchFailure::Other,
            ..
        }
    )
}

/// What came of `work`, and what the program on which it depends said meanwhile. After a failure the program is
/// listened to a little longer: it is about to say why.
async fn hear_out<T, E>(
    work: impl Future<Output = Result<Result<T, git2::Error>, E>>,
    stderr: ChildStderr,
) -> (Result<Result<T, git2::Error>, E>, String) {
    let mut said = Vec::new();
    let mut limited = stderr.take(MOST_WORDS);
    let done = {
        let mut reading = std::pin::pin!(limited.read_to_end(&mut said));
        let mut work = std::pin::pin!(work);
        let mut is_silent = false;
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                _ = &mut reading, if !is_silent => is_silent = true,
            }
        };
        if !is_silent && !matches!(done, Ok(Ok(_))) {
            // Whatever has come by then is all there is.
            let _ = tokio::time::timeout(LAST_WORDS, reading).await;
        }
        done
    };
    (done, String::from_utf8_lossy(&said).into_owned())
}
