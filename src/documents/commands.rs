//! Compiled under `#[cfg(test)]` only.
//!
//! The command lines of the documents; the tests of the whole program read them as well.

use std::fs;
use std::path::{Path, PathBuf};

const PROGRAM: &str = "clearml-agent ";

/// All files below the folder with this ending.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|own| own == ending) {
            found.push(path);
        }
    }
    found
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Documents with their names; figures name commands in titles, which are no command lines.
pub(crate) fn documents() -> Vec<(String, String)> {
    let mut paths = files(&root().join("docs"), "md");
    paths.push(root().join("README.md"));
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let documents = paths
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).unwrap()));
    documents
        .filter(|(name, _)| name != "performance.md")
        .collect()
}

/// The command lines of a document: lines in blocks of code, and pieces of code in sentences.
pub(crate) fn commands(document: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut is_block = false;
    for line in document.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            let line = line.trim_start();
            let line = line.strip_prefix("$ ").unwrap_or(line);
            found.push(line.strip_prefix("sudo ").unwrap_or(line));
        } else {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    // A form with choices in it, and a mistake that is shown.
    let is_line = |line: &&str| {
        line.starts_with(PROGRAM)
            && !["[", "COMMAND", "--qeue"]
                .iter()
                .any(|mark| line.contains(mark))
    };
    found.retain(is_line);
    found
}
