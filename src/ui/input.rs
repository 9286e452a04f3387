//! Answers to questions: lines of a pipe, or of a terminal with editing and with secrets that stay unseen.

use std::borrow::Cow;
use std::io::{self, BufRead, IsTerminal};
use std::sync::LazyLock;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use regex::{Captures, Regex};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, Config, Editor, Helper};

use super::Printer;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The input has ended (F-146).
    #[error("EOF when reading a line")]
    End,
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The input cannot be read.
    #[error("cannot read the answer: {0}")]
    Unreadable(#[from] io::Error),
}

/// Where answers come from: the standard input of this process.
#[derive(Debug)]
pub struct Input {
    printer: Printer,
    kind: Kind,
    /// Restores the terminal in the end, however that comes.
    _echo: Option<EchoOff>,
}

enum Kind {
    /// A pipe, a file, or a terminal without a cursor that can be moved.
    Plain { terminal: bool },
    /// Taken out while a line is read.
    Edited(Option<Box<Editor<Mask, MemHistory>>>),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain { .. } => "Plain",
            Self::Edited(_) => "Edited",
        })
    }
}

impl Input {
    /// The input of this process; `terminal_type` is `$TERM`.
    pub fn of_process(terminal_type: Option<&str>, printer: Printer) -> Self {
        let terminal = io::stdin().is_terminal();
        let movable = !matches!(terminal_type, None | Some("" | "dumb" | "cons25" | "emacs"));
        let editor = (terminal && movable && io::stdout().is_terminal())
            .then(editor)
            .flatten();
        match editor {
            // Between two lines nothing may show either: a paste goes on while the line before is looked at.
            Some(editor) => Self {
                printer,
                kind: Kind::Edited(Some(Box::new(editor))),
                _echo: EchoOff::new(),
            },
            None => Self {
                printer,
                kind: Kind::Plain { terminal },
                _echo: None,
            },
        }
    }

    /// The next line, without its end.
    pub async fn line(&mut self, prompt: &str) -> Result<String, NoAnswer> {
        self.read(prompt, false).await
    }

    /// The next line, which a terminal does not show.
    pub async fn secret(&mut self, prompt: &str) -> Result<String, NoAnswer> {
        self.read(prompt, true).await
    }

    /// In a thread of its own, so that a signal is heard while it waits.
    async fn read(&mut self, prompt: &str, hidden: bool) -> Result<String, NoAnswer> {
        match &mut self.kind {
            Kind::Plain { terminal } => {
                let hidden = hidden && *terminal;
                self.printer.prompt(prompt);
                let line = blocking(move || plain_line(hidden)).await?;
                if hidden {
                    self.printer.line("");
                }
                line
            }
            Kind::Edited(slot) => {
                let mut editor = slot.take().ok_or(NoAnswer::Interrupted)?;
                if let Some(mask) = editor.helper_mut() {
                    mask.everything = hidden;
                }
                let prompt = prompt.to_owned();
                let (editor, line) = blocking(move || {
                    let line = editor.readline(&prompt);
                    (editor, line)
                })
                .await?;
                *slot = Some(editor);
                line.map_err(|error| match error {
                    ReadlineError::Eof => NoAnswer::End,
                    ReadlineError::Interrupted => NoAnswer::Interrupted,
                    other => NoAnswer::Unreadable(io::Error::other(other)),
                })
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoAnswer> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| NoAnswer::Unreadable(io::Error::other(error)))
}

fn plain_line(hidden: bool) -> Result<String, NoAnswer> {
    let _echo = hidden.then(EchoOff::new);
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(NoAnswer::End);
    }
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn editor() -> Option<Editor<Mask, MemHistory>> {
    let config = Config::builder()
        // Without colours no highlighter is asked, and ours is what hides secrets.
        .color_mode(ColorMode::Forced)
        .auto_add_history(false)
        .build();
    let mut editor = Editor::with_history(config, MemHistory::new()).ok()?;
    editor.set_helper(Some(Mask::default()));
    Some(editor)
}

/// The terminal does not show what is typed, until this is dropped.
#[derive(Debug)]
struct EchoOff(Termios);

impl EchoOff {
    fn new() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &quiet).ok()?;
        Some(Self(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        // A terminal that has gone away needs no echo.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

/// Shows stars: for a whole answer, or for the secrets in a pasted block.
#[derive(Default)]
struct Mask {
    everything: bool,
}

/// A pasted `secret_key`, and the password of a URL.
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?x)
        (?<before> (?i: secret (?:_?key)? ) ['"]? \s* [:=] \s* ['"]? | ://[^/\s:@"]*: )
        (?<secret> [^\s"'@,}/]+ )"#,
    )
    .expect("the pattern is constant")
});

fn stars(text: &str) -> String {
    "*".repeat(text.chars().count())
}

impl Highlighter for Mask {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.everything {
            return Cow::Owned(stars(line));
        }
        SECRET.replace_all(line, |found: &Captures<'_>| {
            format!("{}{}", &found["before"], stars(&found["secret"]))
        })
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

impl Completer for Mask {
    type Candidate = String;
}
impl Hinter for Mask {
    type Hint = String;
}
impl Validator for Mask {}
impl Helper for Mask {}
