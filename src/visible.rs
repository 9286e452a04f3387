//! Text that others have written (tasks, repositories, servers), where a person reads it: no character of it moves a
//! cursor, changes a terminal, or hides what stands beside it.
//!
//! What a program prints is not meant: its console is its own.

use std::borrow::Cow;
use std::fmt::Write;

/// One or more lines: line feeds and tabs stay, what else acts on a terminal is written out, as in `\x1b[31m`.
pub fn lines(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| acts(c) && !matches!(c, '\n' | '\t')) {
        return Cow::Borrowed(text);
    }
    // Some programs end their lines so, which moves nothing.
    let text = text.replace("\r\n", "\n");
    Cow::Owned(written_out(&text, |c| matches!(c, '\n' | '\t')))
}

/// A value that stands in a line: line feeds are written out too, so that nothing in it looks like a line of the agent's.
pub fn line(text: &str) -> Cow<'_, str> {
    if text.contains(acts) {
        Cow::Owned(written_out(text, |_| false))
    } else {
        Cow::Borrowed(text)
    }
}

/// JSON that reads as the same values: what its writer has left as it is in texts becomes `\u` and a number.
pub fn json(json: &str) -> Cow<'_, str> {
    let is_left = |c: char| acts(c) && !c.is_ascii_whitespace();
    if !json.contains(is_left) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_left(c) {
            // All of them lie in the first plane; writing to a string cannot fail.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

/// Control characters, the marks that turn the direction of writing, and the ends of lines that only some programs see.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

fn written_out(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // Writing to a string cannot fail.
        let _ = match c {
            c if !acts(c) || stays(c) => {
                out.push(c);
                Ok(())
            }
            '\n' | '\r' | '\t' => write!(out, "{}", c.escape_default()),
            c if u32::from(c) < 0x100 => write!(out, "\\x{:02x}", u32::from(c)),
            c => write!(out, "\\u{:04x}", u32::from(c)),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_written_out() {
        for (text, as_lines, as_line) in [
            ("größe\tx\ny", "größe\tx\ny", "größe\\tx\\ny"),
            ("a\r\nb", "a\nb", "a\\r\\nb"),
            ("50 %\rdone", "50 %\\rdone", "50 %\\rdone"),
            (
                "\x1b]52;c;AA==\x07",
                "\\x1b]52;c;AA==\\x07",
                "\\x1b]52;c;AA==\\x07",
            ),
            (
                "\u{9b}31m\x08\x7f",
                "\\x9b31m\\x08\\x7f",
                "\\x9b31m\\x08\\x7f",
            ),
            (
                "a\u{202e}b\u{2066}c\u{2028}d",
                "a\\u202eb\\u2066c\\u2028d",
                "a\\u202eb\\u2066c\\u2028d",
            ),
        ] {
            assert_eq!(lines(text), as_lines);
            assert_eq!(line(text), as_line);
        }
        assert!(matches!(lines("plain\n"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn nothing_that_acts_is_left_and_json_says_the_same(text in "(\\PC|\\p{C}|\n|\r){0,40}") {
            prop_assert!(!line(&text).contains(acts));
            prop_assert!(!lines(&text).contains(|c| acts(c) && c != '\n' && c != '\t'));
            let written = serde_json::to_string_pretty(&[&text]).unwrap();
            let shown = json(&written);
            prop_assert!(!shown.contains(|c| acts(c) && c != '\n'));
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&shown).unwrap(), [text]);
        }
    }
}
