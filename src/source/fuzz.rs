//! The readers of this room for any text, driven by tests and by fuzzers (`tests/fuzz/`).

use std::path::{Component, Path};

use super::literal::{self, is_of_git};
use super::prepare::{reject_options, relative_folder};
use super::{CodeRequest, GitUrl, Interpreter};

/// Reads a URL, and all that is made of it.
pub(crate) fn url(text: &str) {
    let url = GitUrl::parse(text);
    let shown = url.to_string();
    assert!(
        GitUrl::parse(&shown).embedded_pair().is_none(),
        "{shown} has a password"
    );
    let name = url.folder_name();
    assert!(
        !name.contains('/') && !matches!(name.as_str(), "" | "." | ".."),
        "{text:?} is kept in {name:?}"
    );
    let _ = (url.origin(), url.local_path(), url.ssh_address());
    let _ = url.split_revision();
    let _ = url.spellings("https");
    let _ = (url.to_http("https"), url.to_ssh("git", None));
}

/// Reads uncommitted changes, and places a script; what is placed stays in its folder.
pub(crate) fn diff(text: &str) {
    let parsed = super::diff::parse(text);
    let _ = git2::Diff::from_buffer(&parsed.tidy);
    // The first line is an entry point, the second a working folder.
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (entry_point, working_dir, script) = (next(), next(), next());
    for interpreter in [Interpreter::Python, Interpreter::Shell] {
        let _ = literal::place(entry_point, working_dir, interpreter, script);
        let _ = literal::text(script, interpreter);
    }
    let request = CodeRequest {
        repository: entry_point.to_owned(),
        branch: working_dir.to_owned(),
        ..CodeRequest::default()
    };
    if reject_options(&request).is_ok() {
        assert!(!request.branch.starts_with('-') && !request.branch.contains(char::is_control));
    }
    if let Ok(Some(folder)) = relative_folder(working_dir) {
        let folder = Path::new(&folder);
        let is_inside = folder
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        assert!(
            is_inside && !is_of_git(folder),
            "{working_dir:?} leads to {}",
            folder.display()
        );
    }
}
