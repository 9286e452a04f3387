//! Help and usage errors in the shape that the official agent gives them, since scripts match it (D-006, D-007).

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use clap::error::ErrorKind;
use clap::{Command, Parser};

use super::complaint::{Complaint, Speaker, unknown_word};
use super::{Cli, complete, words};

/// What stands above the help of the whole program (D-011).
const HEADER: &str = "CLEARML-AGENT AI Orchestration DevOps";

/// Most unknown words that are named.
const MOST_UNKNOWN: usize = 20;

/// A command line that starts nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refused {
    /// Help was asked for: stdout, exit code 0 (D-010).
    Help(String),
    /// Something is wrong: stderr, exit code 2 (D-006).
    Usage(Mistake),
}

/// A command line that cannot be understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// How the command is written.
    pub usage: String,
    /// What is wrong, behind the name of the command.
    pub message: String,
    /// What may have been meant.
    pub hint: Option<String>,
}

impl fmt::Display for Mistake {
    /// As scripts match it (D-007).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.usage, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl Cli {
    /// The short help of the whole program (D-003).
    pub fn summary() -> String {
        complete().render_help().to_string()
    }
}

impl Refused {
    /// The answer to a call with these words.
    pub(super) fn new(error: &clap::Error, words: &[OsString]) -> Self {
        let mut program = complete();
        let verb = words::verb(&program, words).map(|verb| verb.get_name().to_owned());
        if error.kind() == ErrorKind::DisplayHelp {
            return Self::Help(match words::help_of_program(&program, words) {
                Some(word) => help(&mut program, word),
                None => error.to_string(),
            });
        }
        // A verb with verbs of its own, and none of them.
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return Self::Help(error.to_string());
        }
        let complaint = complaint_about(error, &program, words);
        let speaker = match (complaint.speaker, &verb) {
            (Speaker::Verb, Some(verb)) => program.find_subcommand_mut(verb),
            _ => None,
        };
        match speaker {
            Some(command) => Self::usage(command, &complaint),
            None => Self::usage(&mut program, &complaint),
        }
    }

    /// A mistake that is found before the words are looked at.
    pub(super) fn by_program(message: &str) -> Self {
        let complaint = Complaint {
            message: message.to_owned(),
            hint: None,
            speaker: Speaker::Program,
        };
        Self::usage(&mut complete(), &complaint)
    }

    fn usage(command: &mut Command, complaint: &Complaint) -> Self {
        let usage = command.render_usage().to_string();
        let usage = usage.replacen("Usage:", "usage:", 1);
        let name = command.get_bin_name().unwrap_or("clearml-agent");
        Self::Usage(Mistake {
            message: format!("{name}: error: {}", complaint.message),
            hint: complaint.hint.clone(),
            usage,
        })
    }
}

/// The complaint about these words. Unknown ones are named all together, and only where nothing else is wrong, as the
/// reference does.
fn complaint_about(error: &clap::Error, program: &Command, words: &[OsString]) -> Complaint {
    let verb = words::verb(program, words).unwrap_or(program);
    let first = Complaint::of(error, program, verb);
    let mut left = words.to_vec();
    let mut unknown = Vec::new();
    let mut next = unknown_word(error).filter(|_| first.speaker == Speaker::Program);
    while let Some(position) = next.as_deref().and_then(|word| position(&left, word)) {
        unknown.push(left.remove(position).to_string_lossy().into_owned());
        next = match Cli::try_parse_from(&left) {
            Err(error) if unknown_word(&error).is_some() => unknown_word(&error),
            Err(error) if error.kind() != ErrorKind::DisplayHelp => {
                return Complaint::of(&error, program, verb);
            }
            Ok(_) | Err(_) => None,
        };
        if unknown.len() == MOST_UNKNOWN {
            break;
        }
    }
    if unknown.is_empty() {
        return first;
    }
    Complaint {
        message: Complaint::unrecognized(&unknown),
        ..first
    }
}

/// Where the word stands that clap names without what follows its `=`.
fn position(words: &[OsString], name: &str) -> Option<usize> {
    let is_it = |word: &OsString| {
        let rest = word.as_bytes().strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
    };
    let position = words.iter().skip(1).position(is_it)?;
    Some(position + 1)
}

/// The summary; for `--help` with every command's own help (D-011, D-012).
fn help(program: &mut Command, word: &OsStr) -> String {
    let mut text = format!("{HEADER}\n\n{}", program.render_help());
    if word.as_bytes().starts_with(b"--") {
        for command in program.get_subcommands_mut() {
            if !command.is_hide_set() {
                text = format!("{text}\n\n{}", command.render_help());
            }
        }
    }
    text
}
