//! Submodules of a checkout, at their recorded commits, each from a mirror of its own (E-066, E-070).

use std::fs;
use std::path::{Component, Path, PathBuf};

use git2::{Oid, Repository, SubmoduleUpdate};
use tokio_util::sync::CancellationToken;

use super::checkout::{self, Checkout, Plan, quoted};
use super::credentials::CredentialSource;
use super::mirror::{Mirror, Wanted};
use super::request::{Revision, SourceOptions};
use super::rewrite::Remote;
use super::{GitUrl, SourceError, blocking, filters, literal};
use crate::process::Output;
use crate::visible;

/// Submodules of submodules of submodules: more than this is a circle.
const DEEPEST: usize = 20;

/// With what the submodules of one task are fetched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Submodules<'a> {
    pub(super) options: &'a SourceOptions,
    pub(super) output: &'a Output,
    pub(super) cancel: &'a CancellationToken,
}

/// A submodule as the checkout records it.
#[derive(Debug)]
struct Recorded {
    name: String,
    path: String,
    /// As `.gitmodules` has it; none where it has none.
    url: Option<String>,
    commit: Oid,
}

impl Submodules<'_> {
    /// Brings in the submodules of `checkout`, and theirs; a failure is a warning, because a task may not need them.
    pub(super) async fn update(
        self,
        checkout: &Checkout,
        remote: &Remote,
        depth: usize,
    ) -> Result<(), SourceError> {
        let root = checkout.root.clone();
        let recorded = blocking(move || {
            recorded(&root).map_err(SourceError::git("read the list of submodules"))
        });
        let recorded = match recorded.await {
            Ok(recorded) => recorded,
            Err(error @ SourceError::Cancelled) => return Err(error),
            Err(error) => {
                self.output.line(format!("WARNING: {error}"));
                return Ok(());
            }
        };
        for submodule in &recorded {
            let done = self.bring(submodule, checkout, remote, depth).await;
            match done.map_err(SourceError::in_repository) {
                Ok(()) => {}
                Err(error) if self.cancel.is_cancelled() => return Err(error),
                Err(error) => {
                    let path = visible::line(&submodule.path);
                    self.output.line(format!(
                        "WARNING: updating the submodule `{path}` failed: {error}"
                    ));
                    if let Some(hint) = error.hint() {
                        self.output.line(format!("hint: {hint}"));
                    }
                }
            }
        }
        Ok(())
    }

    async fn bring(
        self,
        submodule: &Recorded,
        parent: &Checkout,
        parent_remote: &Remote,
        depth: usize,
    ) -> Result<(), SourceError> {
        let refused = |reason: &str| SourceError::SubmoduleRefused(reason.to_owned());
        if depth >= DEEPEST {
            return Err(refused("it is the submodule of too many others"));
        }
        let url = submodule
            .url
            .as_deref()
            .ok_or_else(|| refused("`.gitmodules` has no URL of it"))?;
        let folder = folder_inside(&parent.root, &submodule.path)
            .ok_or_else(|| refused("its path leads out of the checkout"))?;
        let remote = self.remote(url, parent_remote)?;
        for message in &remote.messages {
            self.output.line(message);
        }
        // A name may hold slashes; one folder for each keeps one from lying in another.
        let name = submodule.name.replace('%', "%25").replace('/', "%2F");
        if matches!(name.as_str(), "" | "." | "..") || name.contains(char::is_control) {
            return Err(refused("its name is not that of a folder"));
        }
        let git_folder = parent.git_folder.join("modules").join(&name);
        self.output.line(format!(
            "submodule: {} {}",
            visible::line(&submodule.path),
            submodule.commit
        ));
        let revision = Revision::Commit(submodule.commit);
        let private_folder = parent
            .git_folder
            .join("modules")
            .join(format!("{name}.private"));
        let wanted = Wanted {
            remote: &remote,
            revision: &revision,
            private_folder: &private_folder,
        };
        let mirror = Mirror::prepare(&wanted, self.options, self.output, self.cancel).await?;
        let plan = Plan {
            mirror: mirror.path.clone(),
            folder,
            git_folder: Some(git_folder),
            url: remote.url.to_string(),
            revision: revision.clone(),
            has_git_program: super::git::Git::find(&self.options.environment).is_some(),
        };
        let cancel = self.cancel.clone();
        let checkout = blocking(move || plan.carry_out(&cancel)).await?;
        let settings = format!(
            "[submodule \"{}\"]\n\tactive = true\n\turl = \"{}\"\n",
            quoted(&submodule.name),
            quoted(&remote.url.to_string())
        );
        checkout::append_settings(&parent.git_folder, &settings)
            .map_err(SourceError::file("write", &parent.git_folder))?;
        let (options, output) = (self.options, self.output);
        filters::finish(
            &checkout,
            &mirror.path,
            &remote,
            options,
            output,
            self.cancel,
        )
        .await?;
        drop(mirror);
        if checkout.has_submodules {
            Box::pin(self.update(&checkout, &remote, depth + 1)).await?;
        }
        Ok(())
    }

    /// The submodule's repository by the same rules as the task's own.
    fn remote(self, url: &str, parent: &Remote) -> Result<Remote, SourceError> {
        if url.starts_with('-') {
            return Err(SourceError::OptionLike {
                field: "submodule's URL",
                value: url.to_owned(),
            });
        }
        if url.contains(char::is_control) {
            return Err(SourceError::ControlCharacter {
                field: "submodule's URL",
                value: url.to_owned(),
            });
        }
        let absolute = relative_to(&parent.url.to_string(), url);
        let mut remote = self.options.rules.resolve(&GitUrl::parse(&absolute));
        remote.is_of_user = false;
        // Whoever may name a repository of this machine may name its neighbours; one from the network may not.
        if remote.url.is_local() && !parent.url.is_local() {
            let reason = format!("a repository of a server cannot name `{url}` of this machine");
            return Err(SourceError::SubmoduleRefused(reason));
        }
        let is_neighbour =
            remote.url.origin().is_some() && remote.url.origin() == parent.url.origin();
        // The password in the task's URL is for that server.
        if is_neighbour
            && let Some(pair) = &parent.credentials
            && pair.source == CredentialSource::Url
        {
            remote.credentials = Some(pair.clone());
        }
        Ok(remote)
    }
}

fn recorded(root: &Path) -> Result<Vec<Recorded>, git2::Error> {
    let repository = Repository::open(root)?;
    let mut found = Vec::new();
    for submodule in repository.submodules()? {
        let Some(commit) = submodule.index_id().or_else(|| submodule.head_id()) else {
            // In `.gitmodules` alone, which counts for nothing.
            continue;
        };
        if submodule.update_strategy() == SubmoduleUpdate::None {
            continue;
        }
        let path = submodule.path().to_string_lossy().into_owned();
        let name = String::from_utf8_lossy(submodule.name_bytes()).into_owned();
        let url = submodule.url().ok().flatten().map(str::to_owned);
        found.push(Recorded {
            name,
            path,
            url,
            commit,
        });
    }
    Ok(found)
}

/// `url`, which may begin with `./` and `../`, seen from the repository at `base`.
fn relative_to(base: &str, url: &str) -> String {
    if !url.starts_with("./") && !url.starts_with("../") {
        return url.to_owned();
    }
    let mut base = base.trim_end_matches('/');
    let mut rest = url;
    let mut separator = '/';
    loop {
        if let Some(below) = rest.strip_prefix("./") {
            rest = below;
        } else if let Some(above) = rest.strip_prefix("../") {
            rest = above;
            (base, separator) = match (base.rfind('/'), base.rfind(':')) {
                (Some(slash), _) => (&base[..slash], '/'),
                (None, Some(colon)) => (&base[..colon], ':'),
                (None, None) => (".", '/'),
            };
        } else {
            return format!("{base}{separator}{rest}");
        }
    }
}

/// The submodule's folder, unless a symbolic link or `..` leads somewhere else.
fn folder_inside(root: &Path, path: &str) -> Option<PathBuf> {
    let is_plain = |part| matches!(part, Component::Normal(_));
    let below = Path::new(path);
    if path.is_empty() || !below.components().all(is_plain) || literal::is_of_git(below) {
        return None;
    }
    let folder = root.join(path);
    let is_link = |folder: &Path| fs::symlink_metadata(folder).is_ok_and(|data| data.is_symlink());
    let mut ancestors = folder.ancestors().take_while(|folder| *folder != root);
    (!ancestors.any(is_link)).then(|| folder.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-070
    #[test]
    fn a_submodule_s_url_is_seen_from_its_parent() {
        for (base, url, expected) in [
            (
                "https://h/acme/demo.git",
                "../sub.git",
                "https://h/acme/sub.git",
            ),
            (
                "https://h/acme/demo.git/",
                "../../other/sub",
                "https://h/other/sub",
            ),
            (
                "https://h/acme/demo.git",
                "./sub",
                "https://h/acme/demo.git/sub",
            ),
            ("git@h:acme/demo.git", "../sub.git", "git@h:acme/sub.git"),
            ("git@h:demo.git", "../sub.git", "git@h:sub.git"),
            ("/srv/git/demo", "../sub", "/srv/git/sub"),
            ("https://h/a", "https://other/b", "https://other/b"),
            ("https://h/a", "/srv/b", "/srv/b"),
        ] {
            assert_eq!(relative_to(base, url), expected, "{base} {url}");
        }
    }

    #[test]
    fn no_submodule_lies_outside() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path();
        std::os::unix::fs::symlink("/tmp", root.join("link")).expect("linked");
        for path in [
            "../x",
            "/x",
            "",
            "a/../../x",
            "link/x",
            "link",
            ".git/hooks",
            "a/.Git",
        ] {
            assert_eq!(folder_inside(root, path), None, "{path}");
        }
        assert_eq!(folder_inside(root, "libs/x"), Some(root.join("libs/x")));
    }
}
