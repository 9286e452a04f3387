//! Lines for people and for scripts that read them: flushed one by one, without secrets (D-064 to D-068), and with
//! nothing in them that acts on a terminal.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::json_lines::{self, LogLevel};
use super::status_line;
use crate::{secrets, visible};

/// Set once, before anything is printed.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// From here on this process prints warnings, errors and what was asked for, and nothing else.
pub fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

/// True from [`be_quiet`] on.
pub fn is_quiet() -> bool {
    IS_QUIET.load(Ordering::Relaxed)
}

/// Writes to stdout, but for notes; a reader that has gone away is not an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct Printer {
    stdout_is_for_data: bool,
}

impl Printer {
    /// The same with all lines on stderr, for a command whose stdout is read by a program.
    #[must_use]
    pub fn beside_data(self) -> Self {
        Self {
            stdout_is_for_data: true,
        }
    }

    /// One line, or several; none where the user wants to hear of trouble only.
    pub fn line(self, text: impl AsRef<str>) {
        if !is_quiet() {
            self.message(text);
        }
    }

    fn message(self, text: impl AsRef<str>) {
        if json_lines::logs_as_json() {
            self.objects(&json_lines::records(text.as_ref()));
        } else if self.stdout_is_for_data {
            self.note(text);
        } else {
            self.data(text);
        }
    }

    /// What was asked for, always on stdout.
    pub fn data(self, text: impl AsRef<str>) {
        let mut stdout = status_line::cleared();
        // The agent goes on where nobody listens: a closed terminal must not end a task.
        let _ = writeln!(stdout, "{}", harmless(text.as_ref())).and_then(|()| stdout.flush());
    }

    /// What was asked for as JSON, on several lines.
    pub fn json(self, value: &impl Serialize) -> serde_json::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        self.data(visible::json(&text));
        Ok(())
    }

    /// One line to stderr, for whoever asked for more with `--debug`.
    pub fn note(self, text: impl AsRef<str>) {
        if json_lines::logs_as_json() {
            json_lines::print(io::stderr().lock(), &json_lines::records(text.as_ref()));
            return;
        }
        let _ = writeln!(io::stderr().lock(), "{}", harmless(text.as_ref()));
    }

    /// A question, behind which the answer is typed.
    pub fn prompt(self, text: &str) {
        let mut stdout = status_line::cleared();
        // As above.
        let _ = write!(stdout, "{}", harmless(text)).and_then(|()| stdout.flush());
    }

    /// A mistake, in the shape that log scrapers know (D-065), and what to do about it.
    pub fn error(self, message: &str, hint: Option<&str>) {
        if json_lines::logs_as_json() {
            self.objects(&json_lines::message(LogLevel::Error, message, hint, None));
            return;
        }
        self.message(format!("\nclearml_agent: ERROR: {message}"));
        if let Some(hint) = hint {
            self.message(format!("hint: {hint}"));
        }
        self.message("");
    }

    /// Something that a person should know (D-065).
    pub fn warning(self, message: &str) {
        self.message(format!("clearml_agent: Warning: {message}"));
    }

    fn objects(self, lines: &str) {
        if self.stdout_is_for_data {
            json_lines::print(io::stderr().lock(), lines);
        } else {
            json_lines::print_out(lines);
        }
    }
}

fn harmless(text: &str) -> String {
    visible::lines(&secrets::mask(text)).into_owned()
}
