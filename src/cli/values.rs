//! The values of options, from the words that `words` has let through.

#![expect(clippy::unnecessary_wraps, reason = "clap's parsers may fail")]

use std::convert::Infallible;
use std::path::PathBuf;

use super::words::unmarked;
use crate::secrets::SecretString;

/// Any text.
pub(super) fn text(word: &str) -> Result<String, Infallible> {
    Ok(unmarked(word).to_owned())
}

/// A text that is not to be shown.
pub(super) fn secret(word: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::new(unmarked(word)))
}

/// A file or folder.
pub(super) fn path(word: &str) -> Result<PathBuf, Infallible> {
    Ok(unmarked(word).into())
}

/// A whole number, as Python reads one: signs and blanks around it are welcome.
pub(super) fn integer(word: &str) -> Result<i64, String> {
    let text = unmarked(word).trim();
    // The caller words the complaint (D-007).
    text.parse().map_err(|_| "not an integer".to_owned())
}
