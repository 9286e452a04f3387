//! What can be wrong with a document, and where.

use std::fmt;
use std::sync::Arc;

use super::Source;

/// A place in a document as users and scripts know it (F-021).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Characters before the place; a tab counts up to the next multiple of eight.
    pub offset: usize,
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1, tabs expanded.
    pub column: usize,
}

/// A document that cannot be used. Its text is the one of F-020.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    /// The document.
    pub source_of_text: Arc<Source>,
    /// Where it cannot be read on.
    pub position: Position,
    /// What is wrong there.
    pub kind: ErrorKind,
}

/// The ways in which a document can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A construct was begun and cannot go on here.
    Syntax,
    /// The document could end here, but this character follows.
    Trailing(char),
    /// A key of nothing but dots or quotes.
    EmptyKey,
    /// `${x}` with neither a value nor a variable of that name.
    Unresolved(String),
    /// Substitutions that need each other, in the order in which they were followed.
    Cycle(Vec<(String, Position)>),
    /// `{...}` after the same key had a plain value.
    ScalarThenObject {
        /// The key.
        key: String,
        /// The type of the value before, as Python calls it.
        type_name: &'static str,
    },
    /// Pieces that stand side by side but cannot be joined.
    Mixed {
        /// What the first piece is.
        first: &'static str,
        /// What the piece at the position is.
        other: &'static str,
    },
    /// The document is a list.
    RootList,
    /// Objects, lists, includes or substitutions inside each other without end.
    TooDeep,
    /// Substitutions that multiply the document beyond any use.
    TooLarge,
    /// A required file cannot be included.
    Include {
        /// The file as written.
        file: String,
        /// What the operating system says.
        reason: String,
    },
    /// An include over the network.
    IncludeUrl,
}

impl ParseError {
    /// What a user can do about it.
    pub fn hint(&self) -> Option<String> {
        let place = match &*self.source_of_text {
            Source::Variable(name) => format!("the value of {name}"),
            _ => format!("line {}", self.position.line),
        };
        match &self.kind {
            ErrorKind::Trailing(_) | ErrorKind::Syntax => Some(format!(
                "look at {place}: a value with one of ^ ` + ? ! @ * & \" [ ] {{ }} # , = $ needs quotes, as in key: \"value\""
            )),
            ErrorKind::Unresolved(name) => Some(format!(
                "set {name} in the same file or in the environment, or write ${{?{name}}} to allow its absence"
            )),
            ErrorKind::IncludeUrl => {
                Some("copy the file to this machine and include it from there".to_owned())
            }
            _ => None,
        }
    }

    /// The line that is printed before the error for a file whose substitutions fail (F-020).
    pub fn preamble(&self) -> Option<String> {
        match (&self.kind, &*self.source_of_text) {
            (
                ErrorKind::Unresolved(_)
                | ErrorKind::Cycle(_)
                | ErrorKind::ScalarThenObject { .. }
                | ErrorKind::Mixed { .. },
                Source::File(path),
            ) => Some(format!("Failed loading {}: {self}", path.display())),
            _ => None,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.position;
        let parsing = |f: &mut fmt::Formatter<'_>, class: &str| match &*self.source_of_text {
            Source::File(path) => write!(f, "Failed parsing {} ({class}): ", path.display()),
            _ => Ok(()),
        };
        match &self.kind {
            ErrorKind::Syntax => {
                parsing(f, "ParseSyntaxException")?;
                write!(
                    f,
                    "(at char {}, line:{}, col:{})",
                    at.offset, at.line, at.column
                )
            }
            ErrorKind::Trailing(found) => {
                parsing(f, "ParseException")?;
                write!(
                    f,
                    "Expected end of text, found {}  (at char {}), (line:{}, col:{})",
                    quoted(*found),
                    at.offset,
                    at.line,
                    at.column
                )
            }
            ErrorKind::EmptyKey => {
                parsing(f, "ParseException")?;
                write!(
                    f,
                    "Expected a key  (at char {}), (line:{}, col:{})",
                    at.offset, at.line, at.column
                )
            }
            ErrorKind::Unresolved(name) => {
                write!(f, "Cannot resolve variable ${{{name}}} {at}")
            }
            ErrorKind::Cycle(links) => {
                f.write_str("Cannot resolve ")?;
                for (index, (name, at)) in links.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}${{{name}}}: {at}")?;
                }
                f.write_str(". Check for cycles.")
            }
            ErrorKind::ScalarThenObject { key, type_name } => write!(
                f,
                "Cannot concatenate the list {key}: {{...}} to a value of {type_name} {at}"
            ),
            ErrorKind::Mixed { first, other } => write!(f, "Cannot join {other} to {first} {at}"),
            ErrorKind::RootList => f.write_str("'ConfigList' object has no attribute 'items'"),
            ErrorKind::TooDeep => write!(f, "nested too deeply {at}"),
            ErrorKind::TooLarge => write!(f, "substitutions make the document too large {at}"),
            ErrorKind::Include { file, reason } => {
                write!(f, "cannot include the required file {file}: {reason} {at}")
            }
            ErrorKind::IncludeUrl => write!(f, "cannot include from a URL {at}"),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(line: {}, col: {})", self.line, self.column)
    }
}

/// A character between quotes, invisible ones by number.
fn quoted(found: char) -> String {
    match found {
        '\'' => "\"'\"".to_owned(),
        '\\' => "'\\\\'".to_owned(),
        '\u{feff}' | '\u{a0}' | '\0'..='\u{1f}' => {
            let number = u32::from(found);
            if number < 0x100 {
                format!("'\\x{number:02x}'")
            } else {
                format!("'\\u{number:04x}'")
            }
        }
        other => format!("'{other}'"),
    }
}
