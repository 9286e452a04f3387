//! Files that pass through filters on their way into a checkout, Git LFS above all (E-070).
//!
//! The filters are programs that only git itself runs, so the git program writes such files.

use std::collections::BTreeSet;
use std::path::Path;

use git2::{AttrCheckFlags, Commit, ObjectType, Repository, TreeWalkMode, TreeWalkResult};
use tokio_util::sync::CancellationToken;

use super::checkout::{Checkout, Files, append_settings, quoted};
use super::git::{Access, Git};
use super::request::SourceOptions;
use super::rewrite::Remote;
use super::{SourceError, blocking};
use crate::process::{Output, find_program};
use crate::secrets;

const LFS: &str = "lfs";

/// A pointer of LFS is a few lines long.
const LONGEST_POINTER: u32 = 1024;

/// What the settings of a user's git would say after `git lfs install`.
const LFS_FILTER: [(&str, &str); 4] = [
    ("filter.lfs.process", "git-lfs filter-process"),
    ("filter.lfs.smudge", "git-lfs smudge -- %f"),
    ("filter.lfs.clean", "git-lfs clean -- %f"),
    ("filter.lfs.required", "true"),
];

/// What of a revision decides who writes its files.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The filters that any `.gitattributes` names, in whatever folder.
    pub(super) filters: BTreeSet<String>,
    /// How many files and folders there are.
    pub(super) entries: usize,
}

/// Looks through the revision's folders.
pub(super) fn contents(
    repository: &Repository,
    commit: &Commit<'_>,
) -> Result<Contents, git2::Error> {
    let mut entries = 0;
    let mut filters = BTreeSet::new();
    commit.tree()?.walk(TreeWalkMode::PreOrder, |_, entry| {
        entries += 1;
        if entry.name_bytes() == b".gitattributes"
            && entry.kind() == Some(ObjectType::Blob)
            && let Ok(blob) = repository.find_blob(entry.id())
        {
            let text = String::from_utf8_lossy(blob.content()).into_owned();
            let lines = text.lines().filter(|line| !line.trim().starts_with('#'));
            let words = lines.flat_map(str::split_whitespace);
            filters.extend(words.filter_map(|word| Some(word.strip_prefix("filter=")?.to_owned())));
        }
        TreeWalkResult::Ok
    })?;
    Ok(Contents { filters, entries })
}

/// Lets the git program write the files, and says which ones stay as they are stored for want of a program.
pub(super) async fn finish(
    checkout: &Checkout,
    mirror: &Path,
    remote: &Remote,
    options: &SourceOptions,
    output: &Output,
    cancel: &CancellationToken,
) -> Result<(), SourceError> {
    let git = Git::find(&options.environment);
    match (checkout.files, git) {
        (Files::LeftToGit, Some(git)) => {
            write(&git, checkout, mirror, remote, options, output, cancel).await?;
        }
        (Files::Unfiltered, _) => output.line(
            "WARNING: .gitattributes names filters (such as Git LFS), which need the \"git\" executable; files are left as they are stored",
        ),
        _ => {}
    }
    if !checkout.filters.contains(LFS) {
        return Ok(());
    }
    let root = checkout.root.clone();
    let pointers =
        blocking(move || pointers(&root).map_err(SourceError::git("look for pointers of Git LFS")))
            .await?;
    if let Some((first, count)) = pointers {
        let reason = if has_lfs(options) {
            "were not fetched"
        } else {
            "need the \"git-lfs\" executable, which cannot be found"
        };
        output.line(format!(
            "WARNING: {count} files of the repository are in Git LFS and {reason}; there are pointers in their place, such as `{first}`"
        ));
        output.line("hint: you can install it by running: sudo apt-get install git-lfs");
    }
    Ok(())
}

async fn write(
    git: &Git,
    checkout: &Checkout,
    mirror: &Path,
    remote: &Remote,
    options: &SourceOptions,
    output: &Output,
    cancel: &CancellationToken,
) -> Result<(), SourceError> {
    let mut settings = vec![("advice.detachedHead", "false")];
    if checkout.filters.contains(LFS) && has_lfs(options) {
        let own = git
            .local(&options.environment)
            .args(["config", "--name-only", "--get-regexp", "lfs"])
            .folder(&checkout.root)
            .capture(cancel)
            .await?
            .text();
        let is_set = |name: &str| own.lines().any(|own| own == name);
        if !is_set("filter.lfs.process") && !is_set("filter.lfs.smudge") {
            settings.extend(LFS_FILTER);
        }
        if !is_set("lfs.storage") {
            // One store for all checkouts of the repository: what has come once is not fetched again.
            let store = mirror.join("lfs");
            let text = format!(
                "[lfs]\n\tstorage = \"{}\"\n",
                quoted(&store.to_string_lossy())
            );
            append_settings(&checkout.git_folder, &text)
                .map_err(SourceError::file("write", &checkout.git_folder))?;
        }
    }
    let access = Access::to_any(Some(remote), &options.rules.credentials);
    let finished = git
        .network(
            &options.environment,
            &access,
            &options.askpass_program,
            &settings,
            options.stall_limit,
        )
        .args([
            "checkout",
            "--quiet",
            "--force",
            "--detach",
            &checkout.commit,
        ])
        .folder(&checkout.root)
        .capture(cancel)
        .await?;
    let message = secrets::mask(String::from_utf8_lossy(&finished.stderr).trim_end());
    if !message.is_empty() {
        output.line(&message);
    }
    if finished.is_success() {
        return Ok(());
    }
    Err(SourceError::GitProgram {
        action: "check out the files",
        message,
    })
}

fn has_lfs(options: &SourceOptions) -> bool {
    let path = options.environment.get("PATH");
    path.is_some_and(|path| find_program("git-lfs", path).is_some())
}

/// The first pointer in the place of a file, and how many there are.
fn pointers(root: &Path) -> Result<Option<(String, usize)>, git2::Error> {
    let repository = Repository::open(root)?;
    let mut first = None;
    let mut count = 0;
    for entry in repository.index()?.iter() {
        let Ok(path) = std::str::from_utf8(&entry.path) else {
            continue;
        };
        if entry.file_size > LONGEST_POINTER || !is_pointer(&root.join(path)) {
            continue;
        }
        let filter = repository.get_attr(Path::new(path), "filter", AttrCheckFlags::default())?;
        if filter == Some(LFS) {
            count += 1;
            first.get_or_insert_with(|| path.to_owned());
        }
    }
    Ok(first.map(|first| (first, count)))
}

fn is_pointer(path: &Path) -> bool {
    let is_file = path
        .symlink_metadata()
        .is_ok_and(|data| data.is_file() && data.len() <= u64::from(LONGEST_POINTER));
    is_file
        && std::fs::read(path)
            .is_ok_and(|bytes| bytes.starts_with(b"version https://git-lfs.github.com/spec/"))
}
