//! Tells flags and values apart in the words after `docker run`, unknown flags included.

use std::ops::Range;

use super::table::{self, Flag, Takes};

/// The flags of a command line, and where they end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Flags {
    /// In the order in which they are written.
    pub given: Vec<GivenFlag>,
    /// Index of the first word that belongs to no flag: the image of a whole command line, a stray word of a list of
    /// arguments. The number of words where there is none. A `--` before it belongs to no flag either.
    pub rest: usize,
}

/// One flag as it is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GivenFlag {
    /// Docker's long name without dashes, whichever way it is written: `volume` for `-v`, `network` for `--net`. An
    /// unknown flag has the name that is written.
    pub name: String,
    /// The name or letter as it is written, without dashes.
    pub written: String,
    /// What it is set to. A flag without a value is `true`; `None` where the value is missing.
    pub value: Option<String>,
    /// The words that it takes. Letters that are joined into one word (`-itv a:b`) share it.
    pub words: Range<usize>,
    /// Where its value is written: index of the word, and of the byte in it, from which the value goes to the word's end.
    pub value_at: Option<(usize, usize)>,
    /// Where the letter stands in the first word, for one of letters that are joined (`-it`).
    pub letter_at: Option<usize>,
    /// What is wrong with it.
    pub trouble: Option<Trouble>,
}

/// Why docker would refuse a word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// Docker has no such flag. The next word is taken for its value where it does not begin with `-`.
    Unknown,
    /// The words end before its value.
    ValueMissing,
    /// `---x`, `--=x`
    Syntax,
}

impl GivenFlag {
    /// The flag of docker that comes nearest to this one, if docker does not know it.
    pub fn nearest(&self) -> Option<&'static str> {
        match self.trouble {
            Some(Trouble::Unknown) if self.letter_at.is_none() => table::nearest(&self.written),
            _ => None,
        }
    }

    /// Whether this switch is on. A value that is no truth counts as on.
    pub fn is_on(&self) -> bool {
        self.value
            .as_deref()
            .is_none_or(|value| truth(value) != Some(false))
    }
}

/// Go's idea of a truth, which is docker's.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The flags at the head of `words`, which are those after `docker run`: up to the image, or all of a list of arguments.
///
/// Never fails: what docker would refuse is kept and says so ([`GivenFlag::trouble`]), so that a block list sees it too.
/// To look behind a stray word, call it again with the words after it.
pub fn flags(words: &[String]) -> Flags {
    let mut given = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if word == "--" {
            at += 1;
            break;
        }
        at = if let Some(long) = word.strip_prefix("--") {
            let flag = long_flag(words, at, long);
            let next = flag.words.end;
            given.push(flag);
            next
        } else if word.len() > 1 && word.starts_with('-') {
            letters(words, at, &mut given)
        } else {
            break;
        };
    }
    Flags { given, rest: at }
}

/// The words without the flags that `is_unwanted` names, and without their values. A letter goes out of its joined word
/// alone. All that is behind the first word of no flag is kept.
pub fn without(words: &[String], is_unwanted: impl Fn(&GivenFlag) -> bool) -> Vec<String> {
    let mut kept: Vec<Option<String>> = words.iter().cloned().map(Some).collect();
    // From the end, so that bytes of a word that go leave the places before them.
    for flag in flags(words).given.iter().rev().filter(|f| is_unwanted(f)) {
        let first = flag.words.start;
        match (flag.letter_at, flag.value_at) {
            (Some(letter), value) => {
                if let Some(word) = &mut kept[first] {
                    let end = match value {
                        Some((index, _)) if index == first => word.len(),
                        _ => letter + flag.written.len(),
                    };
                    word.replace_range(letter..end.min(word.len()), "");
                    if word == "-" {
                        kept[first] = None;
                    }
                }
                kept[first + 1..flag.words.end].fill(None);
            }
            (None, _) => kept[flag.words.clone()].fill(None),
        }
    }
    kept.into_iter().flatten().collect()
}

/// `--name`, `--name=value`, `--name value`.
fn long_flag(words: &[String], at: usize, long: &str) -> GivenFlag {
    let (written, joined) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (long, None),
    };
    let mut found = GivenFlag::new(table::named(written), written, at);
    if written.is_empty() || written.starts_with('-') {
        found.trouble = Some(Trouble::Syntax);
    }
    if let Some(value) = joined {
        found.value = Some(value.to_owned());
        found.value_at = Some((at, "--".len() + written.len() + "=".len()));
    } else {
        found.take_next(words, table::named(written).map(|flag| flag.takes));
    }
    found
}

/// `-i`, `-it`, `-eX=Y`, `-e=X=Y`, `-itv a:b`. Returns the index of the next word to read.
fn letters(words: &[String], at: usize, given: &mut Vec<GivenFlag>) -> usize {
    let word = &words[at];
    for (place, letter) in word.char_indices().skip(1) {
        let known = table::lettered(letter);
        let after = place + letter.len_utf8();
        let mut found = GivenFlag::new(known, letter.encode_utf8(&mut [0; 4]), at);
        found.letter_at = Some(place);
        let rest = &word[after..];
        let is_last = if rest.len() > 1 && rest.starts_with('=') {
            found.value = Some(rest[1..].to_owned());
            found.value_at = Some((at, after + 1));
            true
        } else if known.is_some_and(|flag| flag.takes == Takes::Truth) {
            found.value = Some("true".to_owned());
            rest.is_empty()
        } else if rest.is_empty() {
            found.take_next(words, known.map(|flag| flag.takes));
            true
        } else {
            // What stands behind an unknown letter may be its value or more letters; docker refuses both.
            found.value = Some(rest.to_owned());
            found.value_at = Some((at, after));
            true
        };
        let end = found.words.end;
        given.push(found);
        if is_last {
            return end;
        }
    }
    at + 1
}

impl GivenFlag {
    fn new(known: Option<&Flag>, written: &str, at: usize) -> Self {
        Self {
            name: known.map_or(written, |flag| flag.name).to_owned(),
            written: written.to_owned(),
            value: None,
            words: at..at + 1,
            value_at: None,
            letter_at: None,
            trouble: known.is_none().then_some(Trouble::Unknown),
        }
    }

    /// Takes the word behind as value, if this flag has one.
    fn take_next(&mut self, words: &[String], takes: Option<Takes>) {
        let next = words.get(self.words.end);
        match (takes, next) {
            (Some(Takes::Truth), _) => self.value = Some("true".to_owned()),
            (Some(_), None) => self.trouble = Some(Trouble::ValueMissing),
            (None, None) => {}
            (None, Some(word)) if word.starts_with('-') => {}
            (_, Some(word)) => {
                self.value = Some(word.clone());
                self.value_at = Some((self.words.end, 0));
                self.words.end += 1;
            }
        }
    }
}
