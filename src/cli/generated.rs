//! What is written from the types of the command line: shell completions and man pages.

use std::io;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::Cli;

/// A man page.
#[derive(Clone, Debug)]
pub struct ManPage {
    /// The file's name, such as `clearml-agent-daemon.1`.
    pub file: String,
    /// The page, in roff.
    pub text: Vec<u8>,
}

/// The completions of a shell.
pub fn completions(shell: Shell) -> String {
    let mut program = public();
    let name = program.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut program, name, &mut text);
    let text = String::from_utf8_lossy(&text);
    match shell {
        // It calls a program with a hyphen in its name by two names: github.com/clap-rs/clap/issues/6421.
        Shell::Bash => text.replace("clearml__subcmd__agent", "clearml__agent"),
        _ => text.into_owned(),
    }
}

/// One page for the program and one for each verb.
pub fn man_pages() -> io::Result<Vec<ManPage>> {
    let mut program = public();
    program.build();
    let mut pages = vec![page(program.clone(), program.get_name())?];
    for verb in program.get_subcommands() {
        let name = format!("{}-{}", program.get_name(), verb.get_name());
        pages.push(page(verb.clone(), &name)?);
    }
    Ok(pages)
}

fn page(command: Command, title: &str) -> io::Result<ManPage> {
    let file = format!("{title}.1");
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .title(title)
        .manual("clearml-agent")
        .source(format!("clearml-agent {}", env!("CARGO_PKG_VERSION")))
        .render(&mut text)?;
    Ok(ManPage { file, text })
}

/// The program without its hidden verbs.
fn public() -> Command {
    let program = Cli::command();
    let verbs: Vec<Command> = program
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set())
        .cloned()
        .collect();
    let arguments: Vec<clap::Arg> = program.get_arguments().cloned().collect();
    let about = program.get_about().cloned().unwrap_or_default();
    Command::new("clearml-agent")
        .about(about)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(arguments)
        .subcommands(verbs)
}
