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
    /// Off between two questions too: a paste goes on while its lines are looked at. Restored however the end comes.
    _echo: Option<Echo>,
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
        Self {
            printer,
            kind: match editor {
                Some(editor) => Kind::Edited(Some(Box::new(editor))),
                None => Kind::Plain { terminal },
            },
            _echo: terminal.then(|| Echo::set(false)).flatten(),
        }
    }

    /// The next line, without its end.
    pub async fn line(&mut self, prompt: &str) -> Result<String, NoAnswer> {
        self.read(prompt, Sight::All).await
    }

    /// The next line, of which a terminal shows no secret key and no password of a URL.
    pub async fn line_with_secrets(&mut self, prompt: &str) -> Result<String, NoAnswer> {
        self.read(prompt, Sight::Harmless).await
    }

    /// The next line, which a terminal does not show.
    pub async fn secret(&mut self, prompt: &str) -> Result<String, NoAnswer> {
        self.read(prompt, Sight::Nothing).await
    }

    /// In a thread of its own, so that a signal is heard while it waits.
    async fn read(&mut self, prompt: &str, sight: Sight) -> Result<String, NoAnswer> {
        match &mut self.kind {
            Kind::Plain { terminal } => {
                let visible = *terminal && sight == Sight::All;
                let _echo = visible.then(|| Echo::set(true));
                self.printer.prompt(prompt);
                let line = blocking(plain_line).await?;
                if *terminal && !visible {
                    self.printer.line("");
                }
                line
            }
            Kind::Edited(slot) => {
                let mut editor = slot.take().ok_or(NoAnswer::Interrupted)?;
                if let Some(mask) = editor.helper_mut() {
                    mask.0 = sight;
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

fn plain_line() -> Result<String, NoAnswer> {
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

/// Whether the terminal shows by itself what is typed; as before when this is dropped.
#[derive(Debug)]
struct Echo(Termios);

impl Echo {
    fn set(on: bool) -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut wanted = before.clone();
        wanted.local_flags.set(LocalFlags::ECHO, on);
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &wanted).ok()?;
        Some(Self(before))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // A terminal that has gone away needs no echo.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

/// How much of an answer a terminal shows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Sight {
    #[default]
    All,
    /// All but what looks like a secret.
    Harmless,
    Nothing,
}

/// Shows stars in place of secrets.
#[derive(Default)]
struct Mask(Sight);

/// What stands before a secret, and the secret: in quotes, without quotes, in a URL with and before its `@`.
static SECRETS: LazyLock<[Regex; 4]> = LazyLock::new(|| {
    [
        r#"((?i-u:secret(?:_?key)?)["']?\s*[:=]\s*["'])([^"'\r\n]+)"#,
        r#"((?i-u:secret(?:_?key)?)["']?\s*[:=]\s*)([^"'\s,}]+)"#,
        r#"(://[^/\s:@"]*:)([^/\s@"]+)@"#,
        // A host has a dot, as a rule, and a user has none.
        r#"(://[^/\s:@".]+:)([^/\s@"]+)"#,
    ]
    .map(|pattern| Regex::new(pattern).expect("the pattern is constant"))
});

fn harmless(line: &str) -> String {
    SECRETS.iter().fold(line.to_owned(), |line, pattern| {
        let hide = |found: &Captures<'_>| {
            let (before, secret) = (&found[1], &found[2]);
            if before == "://localhost:" {
                return found[0].to_owned();
            }
            let behind = &found[0][before.len() + secret.len()..];
            format!("{before}{}{behind}", stars(secret))
        };
        pattern.replace_all(&line, hide).into_owned()
    })
}

fn stars(text: &str) -> String {
    "*".repeat(text.chars().count())
}

impl Highlighter for Mask {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        match self.0 {
            Sight::All => Cow::Borrowed(line),
            Sight::Harmless => Cow::Owned(harmless(line)),
            Sight::Nothing => Cow::Owned(stars(line)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// W15
    #[test]
    fn a_line_that_is_typed_shows_no_secret() {
        for (typed, shown) in [
            (
                r#""secret_key" = "a b}@c,d""#,
                r#""secret_key" = "********""#,
            ),
            ("  secret_key: abc}", "  secret_key: ***}"),
            (
                r#"{"secret_key":"abc","access_key":"K"}"#,
                r#"{"secret_key":"***","access_key":"K"}"#,
            ),
            (
                "export CLEARML_API_SECRET_KEY=abc",
                "export CLEARML_API_SECRET_KEY=***",
            ),
            ("https://user:pass", "https://user:****"),
            (
                "https://a.user:pass@h:1/simple",
                "https://a.user:****@h:1/simple",
            ),
            ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
            ("http://localhost:8080", "http://localhost:8080"),
            (r#""access_key" = "K""#, r#""access_key" = "K""#),
        ] {
            assert_eq!(harmless(typed), shown);
        }
    }
}
