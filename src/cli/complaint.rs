//! What is wrong with a command line, in the reference's words, and what the user may have meant (D-006, D-007).

use std::fmt::Write as _;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::words::{longs, unmarked};

/// Whose usage stands above the complaint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Speaker {
    /// Unknown words are the whole program's complaint.
    Program,
    /// Everything else is that of the verb it follows.
    Verb,
}

/// One mistake.
#[derive(Clone, Debug)]
pub(super) struct Complaint {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) speaker: Speaker,
}

impl Complaint {
    /// What clap found; `verb` is the program itself where the words have no verb.
    pub(super) fn of(error: &clap::Error, program: &Command, verb: &Command) -> Self {
        let by_verb = |message: String| Self {
            message,
            hint: None,
            speaker: Speaker::Verb,
        };
        let argument = option_name(&text(error, ContextKind::InvalidArg));
        let value = text(error, ContextKind::InvalidValue);
        match error.kind() {
            ErrorKind::UnknownArgument => unknown(error, program, verb),
            ErrorKind::InvalidSubcommand => invalid_verb(error, program),
            ErrorKind::MissingRequiredArgument => {
                let missing = texts(error, ContextKind::InvalidArg);
                let names: Vec<String> = missing.iter().map(|name| option_name(name)).collect();
                by_verb(format!(
                    "the following arguments are required: {}",
                    names.join(", ")
                ))
            }
            ErrorKind::InvalidValue if value.is_empty() => {
                let shown = text(error, ContextKind::InvalidArg);
                let count = if shown.contains("...") {
                    "at least one"
                } else {
                    "one"
                };
                by_verb(format!("argument {argument}: expected {count} argument"))
            }
            ErrorKind::InvalidValue => invalid_choice(error, &argument, &value),
            ErrorKind::ValueValidation => {
                by_verb(format!("argument {argument}: invalid int value: '{value}'"))
            }
            ErrorKind::ArgumentConflict => {
                let others = texts(error, ContextKind::PriorArg);
                let other = others.first().map(|other| option_name(other));
                let other = other.unwrap_or_default();
                by_verb(format!(
                    "argument {argument}: not allowed with argument {other}"
                ))
            }
            ErrorKind::TooManyValues => by_verb(format!(
                "argument {argument}: ignored explicit argument '{value}'"
            )),
            _ => {
                let rendered = error.render().to_string();
                let line = rendered.lines().next().unwrap_or_default();
                by_verb(line.strip_prefix("error: ").unwrap_or(line).to_owned())
            }
        }
    }

    /// Words that nothing is known about; what may be a password is starred (D-020).
    pub(super) fn unrecognized(words: &[String]) -> String {
        let mut follows_secret = false;
        let mut text = "unrecognized arguments:".to_owned();
        for word in words {
            let word = unmarked(word);
            let (name, value) = word.split_once('=').unzip();
            let name = name.unwrap_or(word);
            text.push(' ');
            if std::mem::replace(&mut follows_secret, is_secret(name) && value.is_none()) {
                text.push_str("****");
            } else if is_secret(name) && value.is_some() {
                let _ = write!(text, "{name}=****");
            } else {
                text.push_str(word);
            }
        }
        text
    }
}

/// An option that looks like one for a secret.
fn is_secret(option: &str) -> bool {
    option.starts_with('-')
        && ["pass", "secret", "token"]
            .iter()
            .any(|part| option.contains(part))
}

/// The word that nobody knows, if that is what is wrong.
pub(super) fn unknown_word(error: &clap::Error) -> Option<String> {
    let is_unknown = error.kind() == ErrorKind::UnknownArgument;
    is_unknown.then(|| raw(error, ContextKind::InvalidArg))
}

/// A word that no option has; it may be the beginning of several (D-004).
fn unknown(error: &clap::Error, program: &Command, verb: &Command) -> Complaint {
    let word = text(error, ContextKind::InvalidArg);
    let name = option_name(&word);
    let candidates: Vec<String> = longs(verb)
        .map(|(long, _)| format!("--{long}"))
        .filter(|long| name.len() > 2 && long.starts_with(&name))
        .collect();
    if candidates.len() > 1 {
        return Complaint {
            message: format!(
                "ambiguous option: {name} could match {}",
                candidates.join(", ")
            ),
            hint: None,
            speaker: Speaker::Verb,
        };
    }
    let is_of_program = longs(program).any(|(long, _)| name == format!("--{long}"));
    let hint = if is_of_program {
        Some(format!("`{name}` is written before the command"))
    } else {
        did_you_mean(error, ContextKind::SuggestedArg)
    };
    Complaint {
        message: Complaint::unrecognized(&[word]),
        hint,
        speaker: Speaker::Program,
    }
}

fn invalid_verb(error: &clap::Error, program: &Command) -> Complaint {
    let name = text(error, ContextKind::InvalidSubcommand);
    let verbs = program.get_subcommands().filter(|verb| !verb.is_hide_set());
    let names: Vec<String> = verbs.map(|verb| verb.get_name().to_owned()).collect();
    Complaint {
        message: format!(
            "argument command: invalid choice: '{name}' (choose from {})",
            choices(&names)
        ),
        hint: did_you_mean(error, ContextKind::SuggestedSubcommand),
        speaker: Speaker::Program,
    }
}

fn invalid_choice(error: &clap::Error, argument: &str, value: &str) -> Complaint {
    let valid = texts(error, ContextKind::ValidValue);
    // The reference looks at the value in the spelling of its choices.
    let are_capital = valid.iter().all(|choice| *choice == choice.to_uppercase());
    let value = if are_capital {
        value.to_uppercase()
    } else {
        value.to_owned()
    };
    Complaint {
        message: format!(
            "argument {argument}: invalid choice: '{value}' (choose from {})",
            choices(&valid)
        ),
        hint: did_you_mean(error, ContextKind::SuggestedValue),
        speaker: Speaker::Verb,
    }
}

/// The nearest known word.
fn did_you_mean(error: &clap::Error, kind: ContextKind) -> Option<String> {
    let near = texts(error, kind).into_iter().next()?;
    Some(format!("did you mean `{near}`?"))
}

/// `--id` of `--id <TASK>` and `--id=x`; without what a positional word has round it.
fn option_name(shown: &str) -> String {
    let end = shown.find([' ', '=']).unwrap_or(shown.len());
    shown[..end].trim_matches(['<', '>', '[', ']']).to_owned()
}

fn choices(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    quoted.join(", ")
}

fn text(error: &clap::Error, kind: ContextKind) -> String {
    unmarked(&raw(error, kind)).to_owned()
}

fn raw(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    }
}

fn texts(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::Strings(texts)) => texts.clone(),
        Some(ContextValue::String(text)) => vec![text.clone()],
        _ => Vec::new(),
    }
}
