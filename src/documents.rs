//! Compiled under `#[cfg(test)]` only.
//!
//! What the documents say of the program: its commands are there, and the texts that are explained are those that it prints.

mod commands;

use std::ffi::OsString;
use std::fs;

use commands::{commands, documents, files, root};

use crate::cli::{self, Refused};

/// The words of the first command of a line of the shell.
fn words(line: &str) -> Vec<OsString> {
    let words = shlex::split(line).expect("it could be typed");
    let ends = |word: &String| ["&&", "|", ">", "2>", "<"].contains(&word.as_str());
    words
        .into_iter()
        .take_while(|word| !ends(word))
        .map(OsString::from)
        .collect()
}

#[test]
fn each_command_in_the_documents_is_one_that_there_is() {
    let mut count = 0;
    let mut unknown = Vec::new();
    for (name, text) in documents() {
        for line in commands(&text) {
            count += 1;
            let parsed = cli::parse(words(line));
            if !matches!(parsed, Ok(_) | Err(Refused::Help(_))) {
                unknown.push(format!("{name}: {line}"));
            }
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    assert!(count > 50, "{count}");
}

/// Lines outside of blocks of code.
fn prose(document: &str) -> impl Iterator<Item = &str> {
    let mut is_block = false;
    document.lines().filter(move |line| {
        let is_fence = line.starts_with("```");
        is_block ^= is_fence;
        !is_block && !is_fence
    })
}

/// The names that GitHub gives to headings.
fn anchors(document: &str) -> Vec<String> {
    let headings = prose(document).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let kept = text
                .chars()
                .filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn each_link_leads_to_a_file_and_a_heading_that_are_there() {
    let mut paths = files(&root().join("docs"), "md");
    paths.extend(files(&root().join("examples"), "md"));
    paths.push(root().join("README.md"));
    let mut count = 0;
    let mut broken = Vec::new();
    for path in &paths {
        let text = fs::read_to_string(path).unwrap();
        let links = prose(&text).flat_map(|line| line.split("](").skip(1));
        let links = links.filter_map(|rest| rest.split_once(')').map(|(link, _)| link));
        for link in links.filter(|link| !link.contains("://")) {
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            let has_anchor =
                || anchors(&fs::read_to_string(&target).unwrap()).contains(&anchor.to_owned());
            if !target.exists() || !(anchor.is_empty() || has_anchor()) {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(count > 100, "{count}");
}

#[test]
fn each_text_that_is_explained_is_one_that_is_printed() {
    let sources = files(&root().join("src"), "rs");
    let sources = sources.iter().map(|path| fs::read_to_string(path).unwrap());
    let sources: String = sources.collect();
    // A text that goes on in the next line of the source, with quotes in it.
    let pieces: Vec<&str> = sources
        .split("\\\n")
        .enumerate()
        .map(|(number, piece)| {
            if number == 0 {
                piece
            } else {
                piece.trim_start()
            }
        })
        .collect();
    let sources = pieces.concat().replace("\\\"", "\"");
    let path = root().join("docs/troubleshooting.md");
    let document = fs::read_to_string(path).unwrap();
    let cells = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| line.split('|').nth(1));
    let texts = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let mut count = 0;
    for text in texts {
        let parts = text
            .split("...")
            .map(|part| part.trim_matches([' ', '"', '(', ')']));
        for part in parts.filter(|part| part.len() > 4 && !part.starts_with('/')) {
            count += 1;
            assert!(sources.contains(part), "nothing prints `{part}`");
        }
    }
    assert!(count > 20, "{count}");
}
