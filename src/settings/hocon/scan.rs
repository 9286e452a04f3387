//! Tokens: keys, words, quoted strings, substitutions and what stands between them.

use std::cell::Cell;

use super::Position;

/// Reads tokens from a text, one character class at a time; never goes past the end.
#[derive(Debug)]
pub(super) struct Scanner {
    characters: Vec<char>,
    at: usize,
    /// The last place asked for; most questions go on from there.
    last: Cell<(usize, Position)>,
}

/// A place in the text, to go back to or to make a [`Position`] of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(usize);

/// `${path}` or `${?path}`.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) optional: bool,
}

const TAB: usize = 8;

const START: Position = Position {
    offset: 0,
    line: 1,
    column: 1,
};

impl Scanner {
    pub(super) fn new(text: &str) -> Self {
        Self {
            characters: text
                .strip_prefix('\u{feff}')
                .unwrap_or(text)
                .chars()
                .collect(),
            at: 0,
            last: Cell::new((0, START)),
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.at)
    }

    pub(super) fn back_to(&mut self, mark: Mark) {
        self.at = mark.0;
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    /// Where a mark is for a reader who sees tabs as columns (F-062).
    pub(super) fn position(&self, mark: Mark) -> Position {
        let (from, mut position) = match self.last.get() {
            (from, position) if from <= mark.0 => (from, position),
            _ => (0, START),
        };
        for &character in &self.characters[from..mark.0] {
            let width = match character {
                '\t' => TAB - (position.column - 1) % TAB,
                _ => 1,
            };
            position.offset += width;
            position.column += width;
            if character == '\n' {
                position.line += 1;
                position.column = 1;
            }
        }
        self.last.set((mark.0, position));
        position
    }

    pub(super) fn eat(&mut self, character: char) -> bool {
        let found = self.peek() == Some(character);
        self.at += usize::from(found);
        found
    }

    pub(super) fn starts_with(&self, text: &str) -> bool {
        self.looks_at(self.at, text)
    }

    pub(super) fn eat_text(&mut self, text: &str) -> bool {
        let found = self.starts_with(text);
        if found {
            self.at += text.chars().count();
        }
        found
    }

    /// Skips blanks within the line and returns them, a tab as one of them (F-034).
    pub(super) fn blanks(&mut self) -> String {
        self.take_while(|character| matches!(character, ' ' | '\t'))
    }

    pub(super) fn at_line_end(&self) -> bool {
        matches!(self.peek(), Some('\n' | '\r'))
    }

    /// Skips a comment, which runs to the end of its line; false where there is none (F-033).
    pub(super) fn comment(&mut self) -> bool {
        let found = self.peek() == Some('#') || self.starts_with("//");
        if found {
            self.take_while(|character| !matches!(character, '\n' | '\r'));
        }
        found
    }

    /// Skips blanks, line ends and comments.
    pub(super) fn lines(&mut self) {
        loop {
            self.take_while(|character| matches!(character, ' ' | '\t' | '\n' | '\r'));
            if !self.comment() {
                return;
            }
        }
    }

    /// Skips blanks, line ends, comments and commas (F-031).
    pub(super) fn separators(&mut self) {
        loop {
            self.lines();
            if !self.eat(',') {
                return;
            }
        }
    }

    /// An unquoted key, without the blanks behind it (F-035).
    pub(super) fn bare_key(&mut self) -> Option<String> {
        let text = self.take_while(|character| {
            character.is_ascii_alphanumeric()
                || matches!(character, '.' | '_' | '-' | ' ' | '/')
                || ('\u{c0}'..='\u{ff}').contains(&character)
                    && !matches!(character, '\u{d7}' | '\u{f7}')
        });
        (!text.is_empty()).then(|| text.trim_end().to_owned())
    }

    /// What stands between a pair of quotes, escapes as written; not over a line end.
    pub(super) fn quoted(&mut self) -> Option<String> {
        let start = self.mark();
        if !self.eat('"') {
            return None;
        }
        let mut text = String::new();
        loop {
            match self.take() {
                Some('"') => return Some(text),
                Some('\\') if !matches!(self.peek(), None | Some('\n')) => {
                    text.push('\\');
                    text.extend(self.take());
                }
                None | Some('\n' | '\\') => {
                    self.back_to(start);
                    return None;
                }
                Some(character) => text.push(character),
            }
        }
    }

    /// `"""..."""`, raw; further quotes before the end belong to it (F-039).
    pub(super) fn raw(&mut self) -> Option<String> {
        let start = self.mark();
        if !self.eat_text("\"\"\"") {
            return None;
        }
        let from = self.at;
        while self.at < self.characters.len() {
            if self.starts_with("\"\"\"") {
                let mut end = self.at;
                self.at += 3;
                while self.eat('"') {
                    end += 1;
                }
                return Some(self.characters[from..end].iter().collect());
            }
            self.at += 1;
        }
        self.back_to(start);
        None
    }

    /// An unquoted word with its escapes as written, or a number that may begin with a sign (F-036).
    pub(super) fn word(&mut self) -> Option<String> {
        if let Some(number) = self.number() {
            return Some(number);
        }
        let start = self.at;
        while let Some(character) = self.peek() {
            if character == '\\' {
                match self.characters.get(self.at + 1) {
                    None | Some('\n') => break,
                    Some(_) => self.at += 2,
                }
            } else if allowed_in_word(character) {
                self.at += 1;
            } else {
                break;
            }
        }
        (self.at > start).then(|| self.characters[start..self.at].iter().collect())
    }

    /// A number that ends its value; only there a `+` may stand.
    fn number(&mut self) -> Option<String> {
        let start = self.mark();
        let mut text = self.take_while(|character| matches!(character, '+' | '-'));
        text += &self.take_while(|character| character.is_ascii_digit() || character == '.');
        if is_number(&text) && matches!(self.peek(), Some('e' | 'E')) {
            text.extend(self.take());
            text += &self.take_while(|character| matches!(character, '+' | '-'));
            text += &self.take_while(|character| character.is_ascii_digit());
        }
        let end = self.mark();
        self.blanks();
        let ends = matches!(
            self.peek(),
            None | Some('$' | '}' | ']' | ',' | '#' | '\n' | '\r')
        ) || self.starts_with("//");
        if ends && is_number(&text) {
            self.back_to(end);
            Some(text)
        } else {
            self.back_to(start);
            None
        }
    }

    /// `${...}` (F-050, F-051).
    pub(super) fn reference(&mut self) -> Option<Reference> {
        let start = self.mark();
        if self.eat_text("${") {
            let name = self.take_while(|character| character != '}');
            if !name.is_empty() && self.eat('}') {
                return Some(match name.strip_prefix('?') {
                    Some(name) => Reference {
                        name: name.to_owned(),
                        optional: true,
                    },
                    None => Reference {
                        name,
                        optional: false,
                    },
                });
            }
        }
        self.back_to(start);
        None
    }

    fn take(&mut self) -> Option<char> {
        let character = self.peek();
        self.at += usize::from(character.is_some());
        character
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
        self.characters[start..self.at].iter().collect()
    }

    fn looks_at(&self, at: usize, text: &str) -> bool {
        text.chars()
            .enumerate()
            .all(|(index, character)| self.characters.get(at + index) == Some(&character))
    }
}

/// True for text that as a whole is a number (F-045).
pub(super) fn is_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let mantissa_is_good = match mantissa.split_once('.') {
        Some((whole, fraction)) => digits(whole) && !fraction.is_empty() && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_is_good = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_is_good && exponent_is_good
}

/// The escapes of quoted and unquoted text; every other sequence stays as written (F-038, F-065).
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some(escaped @ ('\\' | '=' | '#' | '!' | '"')) => out.push(escaped),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

fn allowed_in_word(character: char) -> bool {
    !character.is_whitespace()
        && !matches!(character, '\u{1c}'..='\u{1f}')
        && !matches!(
            character,
            '^' | '`'
                | '+'
                | '?'
                | '!'
                | '@'
                | '*'
                | '&'
                | '"'
                | '['
                | '{'
                | ']'
                | '}'
                | '#'
                | ','
                | '='
                | '$'
                | '\\'
        )
}
