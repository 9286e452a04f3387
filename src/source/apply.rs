//! Applies uncommitted changes to a checkout, all of them or none (E-075 to E-079).
//!
//! Where the `git` program is installed it does it: it finds hunks that have moved, which libgit2 does not. Without it
//! libgit2 does; a test holds both against one table.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use git2::{ApplyLocation, Diff, FileMode, Repository};
use tokio_util::sync::CancellationToken;

use super::diff::{self, Expected};
use super::git::Git;
use super::request::SourceOptions;
use super::{SourceError, blocking, literal};
use crate::process::Output;
use crate::secrets;

/// Applies `diff`, the task's text, in the checkout at `root`.
pub(super) async fn apply(
    diff: &str,
    root: &Path,
    options: &SourceOptions,
    output: &Output,
    cancel: &CancellationToken,
) -> Result<(), SourceError> {
    output.line("Applying uncommitted changes");
    // What was stripped on the way ended in a line feed, and a binary patch in a blank line too.
    let text = format!("{diff}\n\n");
    let parsed = diff::parse(&text);
    let missing: Vec<&Expected> = parsed
        .expected
        .iter()
        .filter(|file| root.join(&file.path).symlink_metadata().is_err())
        .collect();
    let made = create_empty(root, &missing);
    let applied = if let Some(git) = Git::find(&options.environment) {
        apply_by_program(&git, &text, root, options, cancel).await?
    } else {
        let (root, tidy) = (root.to_owned(), parsed.tidy.clone());
        blocking(move || Ok(apply_by_library(&tidy, &root))).await?
    };
    let message = match applied {
        Ok(notes) => {
            if !notes.is_empty() {
                output.line(notes);
            }
            return Ok(());
        }
        Err(message) => message,
    };
    for path in made {
        // Made a moment ago for a diff that did not apply after all.
        let _ = fs::remove_file(path);
    }
    output.line(&message);
    output.line("Failed applying diff");
    let missing: Vec<String> = missing
        .into_iter()
        .filter(|file| !file.is_empty)
        .map(|file| file.path.clone())
        .collect();
    if !missing.is_empty() {
        output.line(
            "NOTE: files were not found when applying diff, perhaps you forgot to push your changes?",
        );
    }
    Err(SourceError::DiffDoesNotApply {
        diff: diff.to_owned(),
        message,
        missing,
    })
}

/// Creates the files that the diff takes to be there and empty.
fn create_empty(root: &Path, missing: &[&Expected]) -> Vec<PathBuf> {
    let mut made = Vec::new();
    for file in missing.iter().filter(|file| file.is_empty) {
        match literal::write_inside(root, Path::new(&file.path), b"") {
            Ok(path) => made.push(path),
            Err(error) => {
                tracing::warn!(%error, "failed creating file for git diff ({})", file.path);
            }
        }
    }
    made
}

/// What git printed, as a note where it succeeded and as the reason where it failed.
async fn apply_by_program(
    git: &Git,
    text: &str,
    root: &Path,
    options: &SourceOptions,
    cancel: &CancellationToken,
) -> Result<Result<String, String>, SourceError> {
    // Beside the checkout, so that the next task removes it where this process is killed.
    let folder = root.parent().unwrap_or(root);
    let failed = |error| SourceError::file("write", folder)(error);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.flush())
        .map_err(failed)?;
    let finished = git
        .local(&options.environment)
        .args(["apply", "--unidiff-zero", "--"])
        .arg(file.path())
        .folder(root)
        .capture(cancel)
        .await?;
    let message = secrets::mask(String::from_utf8_lossy(&finished.stderr).trim());
    Ok(if finished.is_success() {
        Ok(message)
    } else {
        Err(message)
    })
}

fn apply_by_library(tidy: &[u8], root: &Path) -> Result<String, String> {
    let applied = Diff::from_buffer(tidy).and_then(|diff| {
        refuse_links(&diff, root)?;
        Repository::open(root)?.apply(&diff, ApplyLocation::WorkDir, None)
    });
    match applied {
        Ok(()) => Ok(String::new()),
        Err(error) => Err(format!("error: {}", error.message())),
    }
}

/// Refuses a file whose folder is a symbolic link, of the checkout or of the diff itself, as the git program does.
fn refuse_links(diff: &Diff<'_>, root: &Path) -> Result<(), git2::Error> {
    let made: HashSet<&Path> = diff
        .deltas()
        .filter(|delta| delta.new_file().mode() == FileMode::Link)
        .filter_map(|delta| delta.new_file().path())
        .collect();
    for delta in diff.deltas() {
        for path in [delta.old_file().path(), delta.new_file().path()]
            .into_iter()
            .flatten()
        {
            let is_link = |folder: &Path| {
                !folder.as_os_str().is_empty()
                    && (made.contains(folder) || root.join(folder).is_symlink())
            };
            if path.ancestors().skip(1).any(is_link) {
                return Err(git2::Error::from_str(&format!(
                    "{}: beyond a symbolic link",
                    path.display()
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
