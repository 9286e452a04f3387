//! Brings objects and branches of a remote into a mirror: libgit2 for paths of this machine, the `git` program for
//! the network.

use std::io::Write;
use std::path::Path;

use git2::{
    AutotagOption, Direction, ErrorCode, FetchOptions, Oid, RemoteCallbacks, RemoteUpdateFlags,
    Repository,
};
use tokio_util::sync::CancellationToken;

use super::error::FetchFailure;
use super::git::{Access, Git};
use super::request::{Revision, SourceOptions};
use super::rewrite::Remote;
use super::{SourceError, blocking};
use crate::process::{Finished, Output};
use crate::secrets;

/// All branches and tags, under their own names; not the thousands of other references that some servers keep.
pub(super) const REFSPECS: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

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
    /// Fails where the remote is away and no git program is here (E-072).
    pub(super) fn new(
        remote: &'a Remote,
        options: &'a SourceOptions,
        output: &'a Output,
        cancel: &'a CancellationToken,
    ) -> Result<Self, SourceError> {
        let git = Git::find(&options.environment);
        if git.is_none() && !remote.url.is_local() {
            return Err(SourceError::GitMissing {
                url: remote.url.to_string(),
            });
        }
        Ok(Self {
            remote,
            options,
            output,
            cancel,
            git,
        })
    }

    /// Fetches all branches and tags; `revision` says whether the remote's default branch is of interest.
    pub(super) async fn fetch_branches(
        &self,
        mirror: &Path,
        revision: &Revision,
    ) -> Result<(), SourceError> {
        if let Some(path) = self.remote.url.local_path() {
            let (mirror, cancel) = (mirror.to_owned(), self.cancel.clone());
            let fetched = blocking(move || Ok(fetch_local(&mirror, &path, &cancel))).await?;
            match (fetched, &self.git) {
                (Ok(()), _) => return Ok(()),
                _ if self.cancel.is_cancelled() => return Err(SourceError::Cancelled),
                // The program can be told to trust a repository of another user for one call; libgit2 cannot.
                (Err(error), Some(_)) if failure(&error) == FetchFailure::ForeignOwner => {}
                (Err(error), _) => return Err(self.local_error(&error)),
            }
        }
        self.fetch_by_program(mirror).await?;
        if *revision == Revision::Default {
            self.learn_default_branch(mirror).await?;
        }
        Ok(())
    }

    /// Asks for a commit that no branch or tag leads to; whether it came is for the checkout to say.
    pub(super) async fn fetch_commit(&self, mirror: &Path, id: Oid) {
        if self.remote.url.is_local() {
            return;
        }
        let id = id.to_string();
        if let Err(error) = self
            .run(mirror, &["fetch", "--quiet", "--no-tags", "origin", &id])
            .await
        {
            tracing::debug!(%error, "the commit could not be asked for by its id");
        }
    }

    pub(super) async fn fetch_by_program(&self, mirror: &Path) -> Result<(), SourceError> {
        let verbosity = if self.options.verbose {
            "--verbose"
        } else {
            "--quiet"
        };
        let mut arguments = vec!["fetch", verbosity];
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
        let text = finished.text();
        let branch = text
            .lines()
            .find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"));
        if let Some(branch) = branch {
            let repository =
                Repository::open_bare(mirror).map_err(SourceError::git("open the mirror"))?;
            repository
                .set_head(branch)
                .map_err(SourceError::git("set the mirror's HEAD"))?;
        }
        Ok(())
    }

    async fn run(&self, mirror: &Path, arguments: &[&str]) -> Result<Finished, SourceError> {
        let Some(git) = &self.git else {
            return Err(SourceError::GitMissing {
                url: self.remote.url.to_string(),
            });
        };
        let access = Access::to_remote(self.remote);
        let mut command = git.network(
            &self.options.environment,
            &access,
            &self.options.askpass_program,
            &[],
        );
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

    fn local_error(&self, error: &git2::Error) -> SourceError {
        let message = error.message().to_owned();
        let cause = failure(error);
        self.output.line(format!("fatal: {message}"));
        self.unreachable(cause, message)
    }

    fn unreachable(&self, cause: FetchFailure, message: String) -> SourceError {
        let credentials = self.remote.credentials.as_ref().map(|pair| {
            format!(
                "user `{}` from {} was tried",
                pair.user,
                pair.source.describe()
            )
        });
        SourceError::Unreachable {
            url: self.remote.url.to_string(),
            cause,
            message,
            credentials,
        }
    }
}

/// libgit2's local transport keeps the message of an error and loses its code.
fn failure(error: &git2::Error) -> FetchFailure {
    match error.code() {
        ErrorCode::NotFound => FetchFailure::DoesNotExist,
        ErrorCode::Owner => FetchFailure::ForeignOwner,
        _ => FetchFailure::of_message(error.message()),
    }
}

fn fetch_local(mirror: &Path, path: &str, cancel: &CancellationToken) -> Result<(), git2::Error> {
    let repository = Repository::open_bare(mirror)?;
    let mut remote = repository.find_remote("origin")?;
    // libgit2 looks for the path itself, whatever `url.<base>.insteadOf` says of the URL.
    if !Path::new(path).exists() {
        return Err(git2::Error::new(
            ErrorCode::NotFound,
            git2::ErrorClass::Repository,
            format!("'{path}' does not exist"),
        ));
    }
    let mut callbacks = RemoteCallbacks::new();
    callbacks.transfer_progress(|_| !cancel.is_cancelled());
    let mut options = FetchOptions::new();
    options
        .remote_callbacks(callbacks)
        .download_tags(AutotagOption::None);
    remote.connect(Direction::Fetch)?;
    remote.download(&[] as &[&str], Some(&mut options))?;
    let default_branch = remote.default_branch().ok();
    // Before the new names: a branch `a` that has gone stands in the way of a branch `a/b`.
    remote.prune(None)?;
    remote.update_tips(None, RemoteUpdateFlags::empty(), AutotagOption::None, None)?;
    remote.disconnect()?;
    if let Some(branch) = default_branch.as_ref().and_then(|name| name.as_str().ok()) {
        repository.set_head(branch)?;
    }
    Ok(())
}
