//! The configuration language: the HOCON dialect in which users' files are written (F-030 to F-068).
//!
//! `scan` cuts the text into tokens, `parse` builds the tree, `resolve` replaces substitutions, `print`
//! writes a document back. docs/configuration.md says why this is not a library.

mod error;
mod origin;
mod parse;
mod print;
mod resolve;
mod scan;
mod serialize;
mod tree;
mod value;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod properties;

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

pub use error::{ErrorKind, ParseError, Position};
pub use origin::{Origin, Source};
pub use print::{print, quoted};
pub(crate) use value::merge;
pub use value::{Integer, Kind, Object, Value, float_text};

/// What a document may look at beside its own text: the variables and the files it includes.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The value of an environment variable; an empty one exists (F-053).
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of an included file.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
}

impl std::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

impl<'a> World<'a> {
    /// These variables, and the files of this machine.
    pub fn new(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            variable,
            read: &|path| fs::read_to_string(path),
        }
    }
}

/// Parses a document and resolves its substitutions on their own (F-014).
///
/// Includes are looked for beside the file when `source` is one, else in the working directory (F-057).
/// Errors carry line and column (F-021).
pub fn parse(text: &str, source: Source, world: World<'_>) -> Result<Object, ParseError> {
    let source = Arc::new(source);
    let root = parse::document(text, &source, world)?;
    resolve::resolve(&root, &source, world)
}
