//! `@file` on the command line: each line of the file is one word (D-008).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// Files in files in files: deeper than this is a file that names itself.
const DEEPEST: usize = 16;

/// The words with every `@file` replaced by its lines; the error is the text for the user.
pub(super) fn expand(words: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let mut words = words.into_iter();
    let mut expanded: Vec<OsString> = words.next().into_iter().collect();
    for word in words {
        add(&word, DEEPEST, &mut expanded)?;
    }
    Ok(expanded)
}

fn add(word: &OsStr, depth: usize, expanded: &mut Vec<OsString>) -> Result<(), String> {
    let Some(name) = word.as_bytes().strip_prefix(b"@") else {
        expanded.push(word.to_owned());
        return Ok(());
    };
    let name = OsStr::from_bytes(name);
    let shown = name.to_string_lossy();
    if depth == 0 {
        return Err(format!("too many files inside each other: '{shown}'"));
    }
    let text = fs::read(name).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("[Errno 2] No such file or directory: '{shown}'"),
        _ => format!("could not read '{shown}': {error}"),
    })?;
    let lines = text.strip_suffix(b"\n").unwrap_or(&text);
    if lines.is_empty() {
        return Ok(());
    }
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        add(OsStr::from_bytes(line), depth - 1, expanded)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    /// D-008
    #[test]
    fn each_line_of_a_file_is_a_word() {
        let folder = tempfile::tempdir().expect("a folder");
        let (inner, outer) = (folder.path().join("inner"), folder.path().join("outer"));
        fs::write(&inner, "--queue\na b\n").expect("written");
        fs::write(
            &outer,
            format!("daemon\n@{}\r\n--foreground", inner.display()),
        )
        .expect("written");
        let named = format!("@{}", outer.display());
        let expanded = expand(words(&["@program", &named, "--cpu-only"])).expect("expanded");
        let expected = [
            "@program",
            "daemon",
            "--queue",
            "a b",
            "--foreground",
            "--cpu-only",
        ];
        assert_eq!(expanded, words(&expected));
    }

    /// D-008
    #[test]
    fn a_file_that_is_missing_or_names_itself_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("loop");
        let named = format!("@{}", path.display());
        let error = expand(words(&["program", &named])).expect_err("no such file");
        assert!(error.contains("No such file or directory"), "{error}");
        fs::write(&path, &named).expect("written");
        let error = expand(words(&["program", &named])).expect_err("endless");
        assert!(error.contains("inside each other"), "{error}");
    }
}
