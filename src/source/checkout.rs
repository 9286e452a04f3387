//! The task's own repository: shares the mirror's objects, has the remote's branches and tags, and a detached HEAD at
//! the wanted commit (E-033 to E-035, E-060, E-069).

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use git2::build::CheckoutBuilder;
use git2::{CheckoutNotificationType, Commit, Repository, RepositoryInitOptions};
use tokio_util::sync::CancellationToken;

use super::error::RevisionKind;
use super::request::Revision;
use super::{SourceError, filters};

/// libgit2 takes three times as long for a file as git, which has to be started first.
const MANY_ENTRIES: usize = 1000;

/// A finished checkout.
#[derive(Debug)]
pub(super) struct Checkout {
    /// The folder, without symbolic links in its path.
    pub(super) root: PathBuf,
    /// Its `.git`.
    pub(super) git_folder: PathBuf,
    /// The filters that its files name (E-070).
    pub(super) filters: BTreeSet<String>,
    /// Full commit id.
    pub(super) commit: String,
    /// `<short id> <first line of the message>`
    pub(super) title: String,
    /// How far the files are.
    pub(super) files: Files,
    /// Whether the revision has submodules.
    pub(super) has_submodules: bool,
}

/// Who writes the files of a checkout.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Files {
    /// They are there.
    Written,
    /// There are filters (such as LFS) that only the git program runs, or so many files that it is faster.
    LeftToGit,
    /// As before, but there is no git program: the files are there unfiltered.
    Unfiltered,
}

/// What to make.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) mirror: PathBuf,
    pub(super) folder: PathBuf,
    /// Where the repository itself lies; none means `.git` in `folder`.
    pub(super) git_folder: Option<PathBuf>,
    /// The remote's URL without credentials.
    pub(super) url: String,
    pub(super) revision: Revision,
    pub(super) has_git_program: bool,
}

impl Plan {
    /// Makes the checkout; blocks.
    pub(super) fn carry_out(&self, cancel: &CancellationToken) -> Result<Checkout, SourceError> {
        let repository = self
            .repository()
            .map_err(SourceError::git("make the checkout's repository"))?;
        self.copy_references(&repository)?;
        let commit = self.resolve(&repository)?;
        let contents = filters::contents(&repository, &commit).unwrap_or_else(|error| {
            tracing::warn!(%error, "could not read the folders of the revision");
            filters::Contents::default()
        });
        let filters = contents.filters;
        let is_large = contents.entries > MANY_ENTRIES;
        let files = match (filters.is_empty(), self.has_git_program) {
            (true, true) if is_large => Files::LeftToGit,
            (true, _) => Files::Written,
            (false, true) => Files::LeftToGit,
            (false, false) => Files::Unfiltered,
        };
        let action = "check out the files";
        if files != Files::LeftToGit {
            let mut options = CheckoutBuilder::new();
            options
                .force()
                .notify_on(CheckoutNotificationType::all())
                .notify(|_, _, _, _, _| !cancel.is_cancelled());
            repository
                .checkout_tree(commit.as_object(), Some(&mut options))
                .map_err(|error| {
                    if cancel.is_cancelled() {
                        SourceError::Cancelled
                    } else {
                        SourceError::git(action)(error)
                    }
                })?;
        }
        repository
            .set_head_detached(commit.id())
            .map_err(SourceError::git(action))?;
        let id = commit.id().to_string();
        let root =
            fs::canonicalize(&self.folder).map_err(SourceError::file("find", &self.folder))?;
        let subject = commit
            .summary()
            .ok()
            .flatten()
            .unwrap_or_default()
            .to_owned();
        let has_submodules = commit
            .tree()
            .is_ok_and(|tree| tree.get_name(".gitmodules").is_some());
        Ok(Checkout {
            root,
            git_folder: repository.path().to_owned(),
            filters,
            title: format!("{} {subject}", &id[..7]),
            commit: id,
            files,
            has_submodules,
        })
    }

    fn repository(&self) -> Result<Repository, git2::Error> {
        let mut options = RepositoryInitOptions::new();
        options
            .external_template(false)
            .mkpath(true)
            .initial_head("main");
        let place = match &self.git_folder {
            Some(git_folder) => {
                options.no_dotgit_dir(true).workdir_path(&self.folder);
                git_folder
            }
            None => &self.folder,
        };
        let repository = Repository::init_opts(place, &options)?;
        let git_folder = repository.path().to_owned();
        let as_git_error = |error: std::io::Error| git2::Error::from_str(&error.to_string());
        let mirror = fs::canonicalize(&self.mirror).map_err(as_git_error)?;
        let alternates = [mirror.join("objects").as_os_str().as_bytes(), b"\n"].concat();
        fs::write(git_folder.join("objects/info/alternates"), alternates).map_err(as_git_error)?;
        if mirror.join("shallow").exists() {
            fs::copy(mirror.join("shallow"), git_folder.join("shallow")).map_err(as_git_error)?;
        }
        let settings = remote_settings(&self.url, &["+refs/heads/*:refs/remotes/origin/*"]);
        append_settings(&git_folder, &settings).map_err(as_git_error)?;
        // Alternates are read when a repository is opened.
        Repository::open(&self.folder)
    }

    /// The remote's branches and tags, in one file however many they are.
    fn copy_references(&self, repository: &Repository) -> Result<(), SourceError> {
        let action = "read the mirror's branches";
        let mirror = Repository::open_bare(&self.mirror).map_err(SourceError::git(action))?;
        let mut lines: Vec<Vec<u8>> = Vec::new();
        for reference in mirror.references().map_err(SourceError::git(action))? {
            let reference = reference.map_err(SourceError::git(action))?;
            let Some(id) = reference.target() else {
                continue;
            };
            let name = reference.name_bytes();
            if name.starts_with(super::fetch::COMMITS.as_bytes()) {
                continue;
            }
            let copied = match name.strip_prefix(b"refs/heads/") {
                Some(branch) => [b"refs/remotes/origin/", branch].concat(),
                None => name.to_vec(),
            };
            lines.push([copied.as_slice(), b"\0", id.to_string().as_bytes()].concat());
        }
        lines.sort();
        let path = repository.path().join("packed-refs");
        let mut text = b"# pack-refs with: sorted \n".to_vec();
        for line in lines {
            let (name, id) = line.split_at(
                line.iter()
                    .position(|byte| *byte == 0)
                    .unwrap_or(line.len()),
            );
            text.extend([&id[1..], b" ", name, b"\n"].concat());
        }
        fs::File::create(&path)
            .and_then(|mut file| file.write_all(&text))
            .map_err(SourceError::file("write", &path))?;
        if let Some(branch) = mirror
            .head()
            .ok()
            .as_ref()
            .and_then(|head| head.shorthand().ok())
            && let Err(error) = repository.reference_symbolic(
                "refs/remotes/origin/HEAD",
                &format!("refs/remotes/origin/{branch}"),
                true,
                "the remote's default branch",
            )
        {
            tracing::debug!(%error, "no default branch");
        }
        Ok(())
    }

    fn resolve<'a>(&self, repository: &'a Repository) -> Result<Commit<'a>, SourceError> {
        let origin = |name: &str| format!("refs/remotes/origin/{name}");
        let (kind, shown, candidates) = match &self.revision {
            Revision::Commit(id) => (RevisionKind::Commit, id.to_string(), vec![id.to_string()]),
            // A branch's bare name comes last: git, too, would first take it for a tag or an id.
            Revision::Named(name) => (
                RevisionKind::Commit,
                name.clone(),
                vec![name.clone(), origin(name)],
            ),
            Revision::Tag(name) => (
                RevisionKind::Tag,
                name.clone(),
                vec![format!("refs/tags/{name}"), name.clone()],
            ),
            Revision::Branch(name) => (RevisionKind::Branch, name.clone(), vec![origin(name)]),
            Revision::Default => (
                RevisionKind::DefaultBranch,
                "master or main".to_owned(),
                vec![origin("master"), origin("main"), origin("HEAD")],
            ),
        };
        candidates
            .iter()
            .find_map(|candidate| {
                repository
                    .revparse_single(candidate)
                    .ok()?
                    .peel_to_commit()
                    .ok()
            })
            .ok_or_else(|| SourceError::RevisionMissing {
                kind,
                revision: shown,
                url: self.url.clone(),
            })
    }
}

/// The section of a configuration file that names the remote `origin`.
pub(super) fn remote_settings(url: &str, refspecs: &[&str]) -> String {
    let mut text = format!("[remote \"origin\"]\n\turl = \"{}\"\n", quoted(url));
    for refspec in refspecs {
        text.push_str("\tfetch = ");
        text.push_str(refspec);
        text.push('\n');
    }
    text
}

/// `text` as it stands between the quotes of a configuration file.
pub(super) fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Adds `text` to the configuration of a new repository in one piece; libgit2 would write the whole file for each
/// value, which takes longer than all the rest of a small checkout.
pub(super) fn append_settings(git_folder: &Path, text: &str) -> std::io::Result<()> {
    fs::OpenOptions::new()
        .append(true)
        .open(git_folder.join("config"))?
        .write_all(text.as_bytes())
}
