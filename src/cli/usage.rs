//! Help and usage errors in the shape that the official agent gives them, since scripts match it (D-006, D-007).

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

use super::Cli;

/// What stands above the help of the whole program (D-011).
const HEADER: &str = "CLEARML-AGENT AI Orchestration DevOps";

/// A command line that starts nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refused {
    /// Help was asked for: stdout, exit code 0 (D-010).
    Help(String),
    /// Something is wrong: stderr, exit code 2 (D-006).
    Usage(String),
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
        let names: Vec<String> = program
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .collect();
        let verb = words.iter().skip(1).find_map(|word| {
            let word = word.to_str()?;
            names.iter().find(|name| *name == word)
        });
        if error.kind() == ErrorKind::DisplayHelp {
            return Self::Help(match verb {
                Some(_) => error.to_string(),
                None => help(&mut program, words),
            });
        }
        let message = message(error, verb.map(String::as_str));
        let failed = verb
            .filter(|_| is_said_by_command(error.kind(), &message))
            .and_then(|verb| program.find_subcommand_mut(verb));
        match failed {
            Some(command) => Self::usage(command, &message),
            None => Self::usage(&mut program, &message),
        }
    }

    /// A mistake that is found before the words are looked at.
    pub(super) fn by_program(message: &str) -> Self {
        Self::usage(&mut complete(), message)
    }

    fn usage(command: &mut Command, message: &str) -> Self {
        let usage = plain(&command.render_usage()).replacen("Usage:", "usage:", 1);
        let name = command.get_bin_name().unwrap_or("clearml-agent");
        Self::Usage(format!("{usage}\n{name}: error: {message}"))
    }
}

fn complete() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

fn plain(text: &StyledStr) -> String {
    text.to_string()
}

/// The summary; for `--help` with every command's own help (D-011, D-012).
fn help(program: &mut Command, words: &[OsString]) -> String {
    let mut text = format!("{HEADER}\n\n{}", program.render_help());
    if words.iter().any(|word| word == "--help") {
        for command in program.get_subcommands_mut() {
            if !command.is_hide_set() {
                text = format!("{text}\n\n{}", command.render_help());
            }
        }
    }
    text
}

/// Unknown words are the whole program's complaint, everything else that of the command they follow.
fn is_said_by_command(kind: ErrorKind, message: &str) -> bool {
    let is_unknown = matches!(
        kind,
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand
    );
    !is_unknown || message.starts_with(AMBIGUOUS)
}

/// How the complaint about a word begins that several options begin with.
const AMBIGUOUS: &str = "ambiguous option";

fn message(error: &clap::Error, verb: Option<&str>) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let list = |kind| match error.get(kind) {
        Some(ContextValue::Strings(texts)) => texts.clone(),
        Some(ContextValue::String(text)) => vec![text.clone()],
        _ => Vec::new(),
    };
    let argument = option_name(&text(ContextKind::InvalidArg));
    let value = text(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::UnknownArgument => unknown(&text(ContextKind::InvalidArg), verb),
        ErrorKind::InvalidSubcommand => {
            let name = text(ContextKind::InvalidSubcommand);
            let program = complete();
            let commands = program
                .get_subcommands()
                .filter(|known| !known.is_hide_set());
            let names: Vec<String> = commands.map(|known| known.get_name().to_owned()).collect();
            format!(
                "argument command: invalid choice: '{name}' (choose from {})",
                choices(&names)
            )
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = list(ContextKind::InvalidArg);
            let names: Vec<String> = missing.iter().map(|name| option_name(name)).collect();
            format!("the following arguments are required: {}", names.join(", "))
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            let several = text(ContextKind::InvalidArg).contains("...");
            let count = if several { "at least one" } else { "one" };
            format!("argument {argument}: expected {count} argument")
        }
        ErrorKind::InvalidValue => format!(
            "argument {argument}: invalid choice: '{value}' (choose from {})",
            choices(&list(ContextKind::ValidValue))
        ),
        ErrorKind::ValueValidation => format!("argument {argument}: invalid int value: '{value}'"),
        ErrorKind::ArgumentConflict => {
            let others = list(ContextKind::PriorArg);
            let other = others.first().map(|other| option_name(other));
            let other = other.unwrap_or_default();
            format!("argument {argument}: not allowed with argument {other}")
        }
        ErrorKind::TooManyValues => {
            format!("argument {argument}: ignored explicit argument '{value}'")
        }
        _ => {
            let text = plain(&error.render());
            let line = text.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        }
    }
}

/// A word that no option has; it may be the beginning of several (D-004).
fn unknown(word: &str, verb: Option<&str>) -> String {
    let program = complete();
    let command = verb
        .and_then(|verb| program.find_subcommand(verb))
        .unwrap_or(&program);
    let name = option_name(word);
    let longs = command.get_arguments().filter_map(clap::Arg::get_long);
    let candidates: Vec<String> = longs
        .map(|long| format!("--{long}"))
        .filter(|long| name.len() > 2 && long.starts_with(&name))
        .collect();
    if candidates.len() > 1 {
        return format!("{AMBIGUOUS}: {name} could match {}", candidates.join(", "));
    }
    format!("unrecognized arguments: {word}")
}

/// `--id` of `--id <TASK>` and `--id=x`.
fn option_name(shown: &str) -> String {
    let end = shown.find([' ', '=']).unwrap_or(shown.len());
    shown[..end].to_owned()
}

fn choices(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn refused(words: &[&str]) -> Refused {
        let words = std::iter::once("clearml-agent").chain(words.iter().copied());
        cli::parse(words.map(OsString::from).collect()).expect_err("refused")
    }

    fn complaint(words: &[&str]) -> String {
        match refused(words) {
            Refused::Usage(text) => {
                assert!(text.starts_with("usage: clearml-agent"), "{text}");
                text.lines().last().unwrap_or_default().to_owned()
            }
            Refused::Help(text) => panic!("help: {text}"),
        }
    }

    /// D-002, D-006, D-007
    #[test]
    fn mistakes_are_named_as_scripts_know_them() {
        for (words, expected) in [
            (
                &["--bogus"] as &[&str],
                "clearml-agent: error: unrecognized arguments: --bogus",
            ),
            (
                &["daemon", "--nosuchflag"],
                "clearml-agent: error: unrecognized arguments: --nosuchflag",
            ),
            (
                &["daemon", "--debug"],
                "clearml-agent: error: unrecognized arguments: --debug",
            ),
            (
                &["daem"],
                "clearml-agent: error: argument command: invalid choice: 'daem' (choose from 'config', 'daemon', 'execute', 'init')",
            ),
            (
                &["execute"],
                "clearml-agent execute: error: the following arguments are required: --id",
            ),
            (
                &["execute", "--id"],
                "clearml-agent execute: error: argument --id: expected one argument",
            ),
            (
                &["daemon", "--queue"],
                "clearml-agent daemon: error: argument --queue: expected at least one argument",
            ),
            (
                &["daemon", "--polling-interval", "x"],
                "clearml-agent daemon: error: argument --polling-interval: invalid int value: 'x'",
            ),
            (
                &["execute", "--id", "a", "--log-level", "LOUD"],
                "clearml-agent execute: error: argument --log-level: invalid choice: 'LOUD' (choose from 'DEBUG', 'INFO', 'WARN', 'WARNING', 'ERROR', 'CRITICAL')",
            ),
            (
                &["execute", "--id", "a", "--git", "x"],
                "clearml-agent execute: error: ambiguous option: --git could match --git-user, --git-pass",
            ),
            (
                &["@/no/such/file"],
                "clearml-agent: error: [Errno 2] No such file or directory: '/no/such/file'",
            ),
        ] {
            assert_eq!(complaint(words), expected, "{words:?}");
        }
    }

    /// D-010, D-011, D-012
    #[test]
    fn help_is_no_mistake() {
        let help = |words: &[&str]| match refused(words) {
            Refused::Help(text) => text,
            Refused::Usage(text) => panic!("usage: {text}"),
        };
        let short = help(&["-h"]);
        assert!(short.starts_with("CLEARML-AGENT AI Orchestration DevOps\n\n"));
        assert!(!short.contains("--require-queue"), "{short}");
        assert!(help(&["--help"]).contains("--require-queue"));
        for words in [["execute", "-h"], ["execute", "--help"]] {
            let help = help(&words);
            assert!(
                help.contains("--require-queue") && !help.contains("DevOps"),
                "{help}"
            );
        }
        assert!(!short.contains("supervise"), "{short}");
    }

    /// D-004, D-009
    #[test]
    fn options_may_be_shortened_and_the_last_one_counts() {
        let words = "clearml-agent -d daemon --que a b --fore --queue c";
        let words = words.split(' ').map(OsString::from).collect();
        let parsed = cli::parse(words).expect("parsed");
        assert!(parsed.debug);
        match parsed.command {
            Some(cli::Command::Daemon(daemon)) => {
                assert_eq!(daemon.queue, ["c"]);
                assert!(daemon.foreground);
            }
            other => panic!("{other:?}"),
        }
    }
}
