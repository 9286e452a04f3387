//! Every key of the configuration, described once. The documentation, the sample, the hints for unknown keys and
//! `config --explain` are made of these tables; nothing here runs when a configuration is merely read (F-200).

mod agent_keys;
mod container_keys;
mod explain;
mod python_keys;
mod server_keys;
mod unknown;

#[cfg(test)]
mod documents;
#[cfg(test)]
mod reference_cases;
#[cfg(test)]
mod sample_text;
#[cfg(test)]
mod states;

pub use explain::Explanation;
pub use unknown::UnknownKey;

use std::fmt;

use super::env_vars::Variable;

/// A key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Where it stands; a `*` at the end stands for everything below.
    pub path: &'static str,
    /// What its value is.
    pub kind: KeyKind,
    /// What holds where neither the defaults nor anybody else say something: a value as in a file, or words in brackets.
    pub otherwise: Option<&'static str>,
    /// The variables that set it, beside `CLEARML_AGENT__...`.
    pub variables: &'static [&'static Variable],
    /// A value to show in the sample, as in a file.
    pub example: Option<&'static str>,
    /// How far this program does what the meaning says.
    pub state: State,
    /// What it does, in sentences.
    pub meaning: &'static str,
}

/// What the value of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Text.
    Text,
    /// True or false.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A number of seconds.
    Seconds,
    /// A file or folder; `~` and `$VAR` count.
    Path,
    /// An address.
    Url,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    List,
    /// A list of texts, or one of them alone.
    ListOrText,
    /// A list of regular expressions.
    Patterns,
    /// True, false, or text.
    BooleanOrText,
    /// Text, or a number.
    TextOrNumber,
    /// An object.
    Object,
    /// A list of objects.
    Objects,
    /// Anything.
    Any,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Boolean => "true or false",
            Self::Integer => "whole number",
            Self::Number => "number",
            Self::Seconds => "seconds",
            Self::Path => "path",
            Self::Url => "URL",
            Self::Choice(words) => return f.write_str(&words.join(", ")),
            Self::List => "list",
            Self::ListOrText => "list or text",
            Self::Patterns => "list of patterns",
            Self::BooleanOrText => "true, false or text",
            Self::TextOrNumber => "text or number",
            Self::Object => "object",
            Self::Objects => "list of objects",
            Self::Any => "anything",
        })
    }
}

/// How far this program does what a key or a variable says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    InUse,
    /// Not yet.
    Later,
    /// The agent only hands it to tasks.
    ForTasks,
    /// It is known, and nothing follows from it.
    Ignored,
}

impl State {
    /// What people are told about it; nothing where all is as the meaning says.
    pub fn note(self) -> &'static str {
        match self {
            Self::InUse => "",
            Self::Later => "not in use yet",
            Self::ForTasks => "for tasks",
            Self::Ignored => "without effect",
        }
    }
}

/// Keys that belong together.
#[derive(Debug)]
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// In the order of the documentation.
    pub keys: &'static [Key],
}

/// All keys.
pub const GROUPS: [Group; 11] = [
    server_keys::SERVER,
    agent_keys::GENERAL,
    agent_keys::GIT,
    python_keys::PYTHON,
    container_keys::CONTAINERS,
    container_keys::BOOTSTRAP,
    agent_keys::MONITORING,
    agent_keys::PRINTING,
    server_keys::SECTIONS,
    server_keys::SDK,
    agent_keys::OTHER_RELEASES,
];

impl Key {
    /// Whether this row describes the dotted path: its own, or one below an object.
    fn describes(&self, path: &str) -> bool {
        let own = self.path.strip_suffix(".*").unwrap_or(self.path);
        match path.strip_prefix(own) {
            Some("") => true,
            Some(below) => below.starts_with('.') && self.is_open(),
            None => false,
        }
    }

    /// What it means, for people.
    pub fn text(&self) -> &'static str {
        self.meaning.trim()
    }

    /// Whether only other releases than 3.0.3 read it.
    pub fn is_of_other_releases(&self) -> bool {
        let others = agent_keys::OTHER_RELEASES.keys;
        others.iter().any(|other| other.path == self.path)
    }

    /// Whether what stands below is its owner's business.
    fn is_open(&self) -> bool {
        matches!(self.kind, KeyKind::Object | KeyKind::Objects | KeyKind::Any)
    }
}

/// All keys, in the order of the documentation.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    const ALL: &[Group] = &GROUPS;
    ALL.iter().flat_map(|group| group.keys)
}

/// The row that describes a dotted path.
pub fn key(path: &str) -> Option<&'static Key> {
    keys().find(|key| key.describes(path))
}

macro_rules! optional {
    () => {
        None
    };
    ($value:literal) => {
        Some($value)
    };
}

macro_rules! state {
    () => {
        $crate::settings::schema::State::InUse
    };
    ($state:ident) => {
        $crate::settings::schema::State::$state
    };
}

macro_rules! kind {
    ($kind:ident) => {
        $crate::settings::schema::KeyKind::$kind
    };
    ($kind:ident $($choice:literal)+) => {
        $crate::settings::schema::KeyKind::$kind(&[$($choice),+])
    };
}

// A row: what it means, its path and kind, `= value` that holds without any, its variables, an example for the sample, and
// the state where it is not `InUse`.
macro_rules! group {
    ($title:literal: $(
        $(#[doc = $meaning:literal])+
        $path:literal: $kind:ident $(($($choice:literal),+))? $(= $otherwise:literal)? $([$($variable:ident)+])?
        $(eg $example:literal)? $(=> $state:ident)?;
    )+) => {
        $crate::settings::schema::Group {
            title: $title,
            keys: &[$(
                $crate::settings::schema::Key {
                    path: $path,
                    kind: $crate::settings::schema::kind!($kind $($($choice)+)?),
                    otherwise: $crate::settings::schema::optional!($($otherwise)?),
                    variables: &[$($(&$crate::settings::env_vars::$variable),+)?],
                    example: $crate::settings::schema::optional!($($example)?),
                    state: $crate::settings::schema::state!($($state)?),
                    meaning: concat!($($meaning),+),
                },
            )+],
        }
    };
}

use {group, kind};
pub(super) use {optional, state};
