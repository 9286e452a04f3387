//! Damaged configuration files: the parser must neither panic nor print what it reads back differently.
//!
//! The documents of the corpus are changed at random, from a fixed seed. `FUZZ_CASES` sets how many are tried, and
//! `FUZZ_SEED` another seed, for a long run on a free machine (docs/contributing.md).

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use clearml_agent::settings::hocon::{Kind, Object, Source, Value, World, parse, print};

use super::support::number;

/// Some seconds of a debug build.
const CASES: u64 = 60_000;
const SEED: u64 = 0x00c1_ea41;
/// Most changes to one document.
const MOST_CHANGES: usize = 6;
/// Longer documents are cut: their time is better spent on others.
const LONGEST: usize = 4_000;

/// Pieces of the language, and what is near them.
const PIECES: [&str; 48] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "=",
    "+=",
    "\n",
    "\r\n",
    "\t",
    " ",
    "#",
    "//",
    "\"",
    "\"\"\"",
    "\\",
    "\\u00e9",
    "\\ud83d",
    "\\n",
    "$",
    "${",
    "${a}",
    "${?a.b}",
    "${HOME}",
    "${?NOPE}",
    "include ",
    "include \"x\"",
    "include required(\"x\")",
    "include url(",
    ".",
    "..",
    "-",
    "0",
    "1e999",
    "-0.0",
    "007",
    "18446744073709551616",
    "true",
    "null",
    "10s",
    "é",
    "😀",
    "\u{feff}",
    "\u{0}",
    "\u{85}",
    "\u{2028}",
    "'",
];

/// All configuration files of this clone.
fn corpus() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("tests/data/hocon"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conf")
        })
        .collect();
    files.sort();
    let others = [
        "clearml.conf.sample",
        "src/settings/defaults.conf",
        "tests/data/settings/wizard.conf",
    ];
    files.extend(others.map(|file| root.join(file)));
    files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect()
}

/// Somewhere between two characters.
fn place(random: &mut fastrand::Rng, text: &str) -> usize {
    let mut at = random.usize(..=text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A piece of the text, often a short one.
fn range(random: &mut fastrand::Rng, text: &str) -> std::ops::Range<usize> {
    let start = place(random, text);
    let longest = if random.bool() { 8 } else { 400 };
    let mut end = (start + random.usize(0..longest)).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

fn damaged(random: &mut fastrand::Rng, corpus: &[String]) -> String {
    let any = |random: &mut fastrand::Rng| corpus[random.usize(..corpus.len())].as_str();
    let mut text = any(random).to_owned();
    if text.len() > LONGEST {
        let start = place(random, &text);
        let part = &text[start..];
        let end = part
            .char_indices()
            .map(|(at, _)| at)
            .take_while(|at| *at <= LONGEST)
            .last();
        text = part[..end.unwrap_or_default()].to_owned();
    }
    for _ in 0..=random.usize(..MOST_CHANGES) {
        match random.u8(..6) {
            0 => text.replace_range(range(random, &text), ""),
            1 => {
                let piece = text[range(random, &text)].to_owned();
                text.insert_str(place(random, &text), &piece);
            }
            2 => {
                let other = any(random);
                let piece = &other[range(random, other)];
                text.insert_str(place(random, &text), piece);
            }
            3 => {
                let nested = PIECES[random.usize(..PIECES.len())].repeat(random.usize(1..60));
                text.insert_str(place(random, &text), &nested);
            }
            _ => text.insert_str(place(random, &text), PIECES[random.usize(..PIECES.len())]),
        }
    }
    text
}

fn world() -> World<'static> {
    World {
        variable: &|name| (name == "HOME").then(|| "/home/user".to_owned()),
        read: &|_| Ok("a: 1\nb { c: ${?a} }".to_owned()),
    }
}

/// A list that is written with an empty text is read without it (F-061); only a substitution can put one there.
fn without_empty_texts(object: Object) -> Object {
    let members = object.into_iter().map(|(key, value)| (key, kept(value)));
    members.collect()
}

fn kept(mut value: Value) -> Value {
    value.kind = match value.kind {
        Kind::Object(members) => Kind::Object(without_empty_texts(members)),
        Kind::List(items) => {
            let is_empty = |item: &Value| matches!(&item.kind, Kind::Text(text) if text.is_empty());
            let kept_items = items.into_iter().filter(|item| !is_empty(item)).map(kept);
            Kind::List(kept_items.collect())
        }
        kind => kind,
    };
    value
}

fn check(text: &str) -> Result<(), String> {
    let object = match parse(text, Source::Text, world()) {
        Ok(object) => object,
        Err(error) if error.to_string().is_empty() => {
            return Err("an error without words".to_owned());
        }
        Err(_) => return Ok(()),
    };
    let printed = print(&object);
    let read: Object = parse(&printed, Source::Text, world())
        .map_err(|error| format!("what is printed is not read: {error}\n{printed}"))?;
    let object = without_empty_texts(object);
    if read == object && read.keys().eq(object.keys()) {
        Ok(())
    } else {
        Err(format!(
            "what is printed is read as something else:\n{printed}"
        ))
    }
}

/// F-117: no file makes the parser panic, and what it reads from one it writes so that it reads the same.
#[test]
fn damaged_files_are_read_or_refused() {
    let seed = number("FUZZ_SEED", SEED);
    let cases = number("FUZZ_CASES", CASES);
    let corpus = corpus();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut read = 0_u64;
    for case in 0..cases {
        let text = damaged(&mut random, &corpus);
        let result = catch_unwind(AssertUnwindSafe(|| check(&text)));
        let result = result.unwrap_or_else(|_| Err("a panic".to_owned()));
        if let Err(problem) = result {
            panic!(
                "case {case} of seed {seed}: {problem}\n--- the file:\n{text}\n--- as a literal: {text:?}"
            );
        }
        read += u64::from(parse(&text, Source::Text, world()).is_ok());
    }
    // Damage that nothing survives would test one half alone.
    assert!(
        read > cases / 20 && read < cases,
        "{read} of {cases} were read"
    );
}
