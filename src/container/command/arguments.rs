//! What becomes of the words for `docker run` that a task and an administrator give (C 1.4).

use std::collections::BTreeSet;

use regex::Regex;

use crate::container::args::{GivenFlag, Trouble, flags, without};
use crate::settings::Environment;

/// The flags among words, those behind words that belong to no flag included; their places are those in `words`.
pub(super) fn all_flags(words: &[String]) -> Vec<GivenFlag> {
    let mut all = Vec::new();
    let mut start = 0;
    while start < words.len() {
        let found = flags(&words[start..]);
        let rest = found.rest;
        all.extend(found.given.into_iter().map(|flag| GivenFlag {
            words: flag.words.start + start..flag.words.end + start,
            value_at: flag.value_at.map(|(word, byte)| (word + start, byte)),
            ..flag
        }));
        start += rest;
        start += strays(&words[start..]).max(usize::from(rest == 0));
    }
    all
}

/// How many words at the head belong to no flag.
fn strays(words: &[String]) -> usize {
    words
        .iter()
        .take_while(|word| !word.starts_with('-'))
        .count()
}

/// The words that the administrator's patterns allow; all of them where there are no patterns (C-032).
pub(super) fn allowed(words: Vec<String>, patterns: &[Regex]) -> Vec<String> {
    if patterns.is_empty() {
        return words;
    }
    let mut kept = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        if !patterns.iter().any(|pattern| pattern.is_match(&word)) {
            continue;
        }
        let has_value = !word.contains('=');
        kept.push(word);
        if let Some(value) = words.next_if(|next| has_value && !next.starts_with('-')) {
            kept.push(value);
        }
    }
    kept
}

/// The patterns, each from the start of a word (C-032), and those that are none.
pub(super) fn patterns(texts: &[String]) -> (Vec<Regex>, Vec<&str>) {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for text in texts {
        match Regex::new(&format!("^(?:{text})")) {
            Ok(pattern) => good.push(pattern),
            Err(_) => bad.push(text.as_str()),
        }
    }
    (good, bad)
}

/// With variables of this machine in the values behind `-e` and `--env`; unknown ones stay (C-033).
pub(super) fn with_host_variables(words: Vec<String>, variables: &Environment) -> Vec<String> {
    let mut is_value = false;
    let expand = |word: String| {
        let expanded = if is_value {
            expanded(&word, variables)
        } else {
            word.clone()
        };
        is_value = word == "-e" || word == "--env";
        expanded
    };
    words.into_iter().map(expand).collect()
}

/// `$NAME` and `${NAME}` behind the first `=` of `text`.
fn expanded(text: &str, variables: &Environment) -> String {
    let start = text.find('=').map_or(0, |place| place + 1);
    let mut out = text[..start].to_owned();
    let mut rest = &text[start..];
    while let Some(place) = rest.find('$') {
        out += &rest[..place];
        rest = &rest[place..];
        let braced = rest[1..]
            .strip_prefix('{')
            .and_then(|text| text.split_once('}'));
        let (name, after) = if let Some((name, _)) = braced {
            (name, "${".len() + name.len() + "}".len())
        } else {
            let end = rest[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let end = end.map_or(rest.len(), |end| end + 1);
            (&rest[1..end], end)
        };
        match variables.get(name) {
            Some(value) if !name.is_empty() => out += value,
            _ => out += &rest[..after],
        }
        rest = &rest[after..];
    }
    out + rest
}

/// The words without the flags of these names, and the names that were found (C-037, C-041).
///
/// A flag goes with its value, and with the stray words behind it. Where anything goes, stray words behind a kept
/// `x=y` go too.
pub(super) fn removed(
    words: &[String],
    is_unwanted: &dyn Fn(&GivenFlag) -> Option<String>,
) -> (Vec<String>, BTreeSet<String>) {
    let found: BTreeSet<String> = all_flags(words).iter().filter_map(is_unwanted).collect();
    if found.is_empty() {
        return (words.to_vec(), found);
    }
    let mut kept = Vec::new();
    let mut start = 0;
    while start < words.len() {
        let part = flags(&words[start..]);
        let end = start + part.rest;
        kept.extend(without(&words[start..end], |flag| {
            is_unwanted(flag).is_some()
        }));
        let stray = strays(&words[end..]).max(usize::from(part.rest == 0));
        let takes_strays = part.given.last().is_some_and(|flag| {
            let is_joined = flag.words.len() == 1 && words[end - 1].contains('=');
            is_unwanted(flag).is_some() || is_joined
        });
        if !takes_strays {
            kept.extend_from_slice(&words[end..end + stray]);
        }
        start = end + stray;
    }
    (kept, found)
}

/// The flag at the end of the words whose value is missing: docker takes what comes next for it.
pub(super) fn without_value(words: &[String]) -> Option<String> {
    let last = all_flags(words).pop()?;
    (last.trouble == Some(Trouble::ValueMissing)).then(|| dashed(&last.written))
}

fn dashed(written: &str) -> String {
    let dashes = if written.chars().count() == 1 {
        "-"
    } else {
        "--"
    };
    format!("{dashes}{written}")
}

/// Both lists in one: the first one wins where both use a protected switch (C-038, C-039); which of the second are left out.
pub(super) fn merged(
    first: Vec<String>,
    second: &[String],
    protected: &[String],
) -> (Vec<String>, Vec<String>) {
    let used: BTreeSet<String> = all_flags(&first)
        .into_iter()
        .map(|flag| flag.written)
        .filter(|name| protected.contains(name))
        .collect();
    let (second, dropped) = removed(second, &|flag| {
        used.contains(&flag.written).then(|| flag.written.clone())
    });
    let dropped = dropped.iter().map(|name| dashed(name)).collect();
    (first.into_iter().chain(second).collect(), dropped)
}

/// A word as a shell reads it again: in quotes where it needs them (C-020a).
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\"'\"'"))
    }
}

/// Words in one line.
pub(super) fn line(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

/// The words of a shell line as Python's `shlex.split` sees them: no comments, no expansion. Where a quote stays open,
/// what stands before it (C-014, C-016).
pub(super) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        None => return Err(line[..place].to_owned()),
                        Some((_, end)) if end == character => break,
                        Some((_, '\\')) if character == '"' => match characters.next() {
                            None => return Err(line[..place].to_owned()),
                            Some((_, next)) => {
                                if !matches!(next, '"' | '\\') {
                                    word.push('\\');
                                }
                                word.push(next);
                            }
                        },
                        Some((_, next)) => word.push(next),
                    }
                }
            }
            '\\' => match characters.next() {
                None => return Err(line[..place].to_owned()),
                Some((_, next)) => word.get_or_insert_default().push(next),
            },
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}
