//! What each word of the command line is, by the rules of the reference's parser (D-001, D-009).
//!
//! A word that begins with `-` and is a value all the same gets a mark in front, behind which clap sees no option.
//! The parsers in `values` take the mark off again.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::{Arg, Command};

/// No word that a process is given can contain it.
const MARK: char = '\0';

/// The word as it was given.
pub(super) fn unmarked(word: &str) -> &str {
    word.strip_prefix(MARK).unwrap_or(word)
}

/// The words, the values among them marked where they look like options. `program` is complete (`Command::build`).
pub(super) fn marked(program: &Command, words: Vec<OsString>) -> Vec<OsString> {
    let verb = verb_position(program, &words);
    let command = verb
        .and_then(|position| program.find_subcommand(&words[position]))
        .unwrap_or(program);
    let mut is_over = false;
    let mark = |(position, word): (usize, OsString)| {
        is_over |= word == "--";
        let owner = match verb {
            Some(verb) if position > verb => command,
            _ => program,
        };
        match word.to_str() {
            Some(text) if position > 0 && !is_over && is_value(owner, text) => {
                OsString::from(format!("{MARK}{text}"))
            }
            _ => word,
        }
    };
    words.into_iter().enumerate().map(mark).collect()
}

/// The verb of these words, if there is one of that name.
pub(super) fn verb<'a>(program: &'a Command, words: &[OsString]) -> Option<&'a Command> {
    program.find_subcommand(&words[verb_position(program, words)?])
}

/// The word before the verb that asks for help, if there is one (D-011, D-012).
pub(super) fn help_of_program<'a>(program: &Command, words: &'a [OsString]) -> Option<&'a OsStr> {
    let end = verb_position(program, words).unwrap_or(words.len());
    let asks = |word: &&OsString| match word.as_bytes() {
        [b'-', b'-', name @ ..] => name.first() == Some(&b'h'),
        [b'-', letters @ ..] => letters.contains(&b'h'),
        _ => false,
    };
    words
        .get(1..end)?
        .iter()
        .find(asks)
        .map(OsString::as_os_str)
}

/// The first word that is neither an option of the program nor the value of one (D-001).
fn verb_position(program: &Command, words: &[OsString]) -> Option<usize> {
    let mut is_value = false;
    words
        .iter()
        .skip(1)
        .position(|word| {
            if std::mem::take(&mut is_value) {
                return false;
            }
            let is_option = word.as_bytes().starts_with(b"-");
            is_value = is_option && takes_next_word(program, word);
            !is_option
        })
        .map(|position| position + 1)
}

fn takes_next_word(program: &Command, word: &OsStr) -> bool {
    let Some(name) = word.to_str().and_then(|word| word.strip_prefix("--")) else {
        return false;
    };
    let takes_value = |argument: &&Arg| argument.get_action().takes_values();
    !name.is_empty()
        && longs(program)
            .filter(|(long, _)| long.starts_with(name))
            .any(|(_, argument)| takes_value(&argument))
}

/// D-009: a word that begins with `-` is a value if it is a negative number, or if it has a blank and begins with
/// no option of the command.
fn is_value(command: &Command, word: &str) -> bool {
    if word.len() < 2 || !word.starts_with('-') {
        return false;
    }
    if let Some(long) = word.strip_prefix("--") {
        let name = long.split_once('=').map_or(long, |(name, _)| name);
        let is_option = !name.is_empty() && longs(command).any(|(long, _)| long.starts_with(name));
        return !is_option && word.contains(' ');
    }
    let first = word.chars().nth(1);
    let is_option = command.get_arguments().any(|argument| {
        argument
            .get_short()
            .is_some_and(|short| Some(short) == first)
    });
    !is_option && (is_negative_number(word) || word.contains(' '))
}

fn is_negative_number(word: &str) -> bool {
    let digits = word.trim_start_matches('-');
    let parts: Vec<&str> = digits.split('.').collect();
    let are_digits = parts
        .iter()
        .all(|part| part.chars().all(|character| character.is_ascii_digit()));
    word.len() - digits.len() == 1
        && are_digits
        && matches!(parts[..], [whole] if !whole.is_empty())
            | matches!(parts[..], [_, fraction] if !fraction.is_empty())
}

/// The long options of a command, without their dashes.
pub(super) fn longs(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    command
        .get_arguments()
        .filter_map(|argument| Some((argument.get_long()?, argument)))
}
