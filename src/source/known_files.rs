//! The files of a checkout that has not been made: read from the mirror, the task's changes applied in memory.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use git2::{Index, Oid, Repository};

use super::diff::{self, DiffField};
use super::request::{CodeRequest, Revision};

/// Every path of a revision with the task's changes.
pub struct KnownFiles {
    repository: Repository,
    index: Index,
}

/// Objects made in memory are looked up before those on disk; nothing is written to the mirror.
const BEFORE_ALL_OTHERS: i32 = 1000;

impl KnownFiles {
    /// The files of `request` in the mirror at `path`; none where there is no such mirror or revision, an error where
    /// the task's changes do not apply.
    pub(super) fn in_mirror(
        path: &Path,
        request: &CodeRequest,
    ) -> Option<Result<Self, git2::Error>> {
        let repository = Repository::open_bare(path).ok()?;
        let tree = find(&repository, &request.revision())?;
        Some(Self::with_changes(repository, tree, &request.diff))
    }

    fn with_changes(repository: Repository, tree: Oid, changes: &str) -> Result<Self, git2::Error> {
        let index = {
            let tree = repository.find_tree(tree)?;
            match DiffField::of(changes) {
                DiffField::Diff(text) => {
                    let store = repository.odb()?;
                    store.add_new_mempack_backend(BEFORE_ALL_OTHERS)?;
                    let tidy = diff::parse(&format!("{text}\n")).tidy;
                    let diff = git2::Diff::from_buffer(&tidy)?;
                    repository.apply_to_tree(&tree, &diff, None)?
                }
                DiffField::Empty | DiffField::Script(_) => {
                    let mut index = Index::new()?;
                    index.read_tree(&tree)?;
                    index
                }
            }
        };
        Ok(Self { repository, index })
    }

    /// Text of the file at `path`, from the root of the checkout.
    pub fn text(&self, path: &Path) -> Option<String> {
        let entry = self.index.get_path(inside(path)?, 0)?;
        let blob = self.repository.find_blob(entry.id).ok()?;
        Some(String::from_utf8_lossy(blob.content()).into_owned())
    }

    /// True for a file.
    pub fn is_file(&self, path: &Path) -> bool {
        inside(path).is_some_and(|path| self.index.get_path(path, 0).is_some())
    }

    /// True for a folder that has a file, and for the root.
    pub(super) fn is_folder(&self, path: &Path) -> bool {
        let Some(path) = inside(path) else {
            return false;
        };
        let folder = path.as_os_str().as_bytes();
        let is_in = |file: &[u8]| {
            file.strip_prefix(folder)
                .is_some_and(|rest| folder.is_empty() || rest.starts_with(b"/"))
        };
        self.index.iter().any(|entry| is_in(&entry.path))
    }
}

/// The path, if it can be one of a checkout: libgit2 takes no other.
fn inside(path: &Path) -> Option<&Path> {
    let is_name = |part| matches!(part, Component::Normal(_));
    let is_text = !path.as_os_str().as_bytes().contains(&0);
    (is_text && path.components().all(is_name)).then_some(path)
}

impl std::fmt::Debug for KnownFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownFiles")
            .field("files", &self.index.len())
            .finish_non_exhaustive()
    }
}

/// The tree of a revision as the mirror knows it.
fn find(repository: &Repository, revision: &Revision) -> Option<Oid> {
    let candidates = match revision {
        Revision::Commit(id) => vec![id.to_string()],
        Revision::Named(name) => vec![name.clone(), format!("refs/heads/{name}")],
        Revision::Tag(name) => vec![format!("refs/tags/{name}"), name.clone()],
        Revision::Branch(name) => vec![format!("refs/heads/{name}")],
        Revision::Default => ["refs/heads/master", "refs/heads/main", "HEAD"]
            .map(str::to_owned)
            .to_vec(),
    };
    candidates.iter().find_map(|candidate| {
        let object = repository.revparse_single(candidate).ok()?;
        Some(object.peel_to_tree().ok()?.id())
    })
}
