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

/// One page for the program, one for each verb, and one for each verb of a verb.
pub fn man_pages() -> io::Result<Vec<ManPage>> {
    let mut program = public();
    program.build();
    let mut pages = vec![page(program.clone(), program.get_name())?];
    for verb in program.get_subcommands() {
        let name = format!("{}-{}", program.get_name(), verb.get_name());
        pages.push(page(verb.clone(), &name)?);
        for inner in verb.get_subcommands() {
            if inner.get_name() != "help" {
                let name = format!("{name}-{}", inner.get_name());
                pages.push(page(inner.clone(), &name)?);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_of_verbs_have_pages_too() {
        let pages = man_pages().unwrap();
        let named = |file: &str| pages.iter().find(|page| page.file == file);
        assert!(named("clearml-agent-daemon.1").is_some());
        let install = named("clearml-agent-service-install.1").expect("a page");
        let text = String::from_utf8_lossy(&install.text);
        assert!(text.contains("run\\-as"), "{text}");
        let mut files: Vec<&str> = pages.iter().map(|page| &*page.file).collect();
        files.sort_unstable();
        let count = files.len();
        files.dedup();
        assert_eq!(files.len(), count);
        assert!(!files.iter().any(|file| file.contains("help")), "{files:?}");
    }
}
