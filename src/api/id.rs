//! The server's ids as types. They are opaque text (D-158), but never text that could leave a folder or a line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::visible;

/// No id of the server comes near this length; longer text is not one.
const LONGEST: usize = 512;

/// Text that cannot be an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {kind} id: {reason}")]
pub struct InvalidId {
    kind: &'static str,
    reason: &'static str,
}

/// True for text that stands for an id without asking the server: 30 or more of `a-f`, `0-9`, `-`.
pub(super) fn looks_like_id(text: &str) -> bool {
    text.len() >= 30
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'f' | b'0'..=b'9' | b'-'))
}

/// Ids become parts of paths, lines and host names: what could break out of these is refused.
fn checked(kind: &'static str, text: String, slash: bool) -> Result<String, InvalidId> {
    let reason = if text.is_empty() {
        "it is empty"
    } else if text.len() > LONGEST {
        "it is too long"
    } else if visible::line(&text) != text {
        "it holds a control character"
    } else if !slash && text.contains(['/', '\\']) {
        "it holds a slash"
    } else if text.starts_with('.') {
        "it starts with a dot"
    } else if !slash && text.starts_with('-') {
        "it starts with a dash"
    } else {
        return Ok(text);
    };
    Err(InvalidId { kind, reason })
}

macro_rules! id {
    ($name:ident, $kind:literal, slash: $slash:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes an id as it stands; fails for text that no server gives out.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                checked($kind, text.into(), $slash).map(Self)
            }

            /// The id's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// True where a user's text names an id rather than a name.
            pub fn is_written_in(text: &str) -> bool {
                looks_like_id(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(TaskId, "task", slash: false, "Names a task.");
id!(QueueId, "queue", slash: false, "Names a queue.");
id!(ProjectId, "project", slash: false, "Names a project.");
id!(UserId, "user", slash: true, "Names a user; service users have words for ids.");
id!(WorkerId, "worker", slash: true, "Names a worker, `<name>:<slot>` (D-120).");

#[cfg(test)]
mod tests {
    use super::*;

    ///
    #[test]
    fn ids_and_names_are_told_apart() {
        assert!(TaskId::is_written_in("ad54fcc1c0a0449d9a2bc64324997a13"));
        assert!(TaskId::is_written_in(
            "ad54fcc1-c0a0-449d-9a2b-c64324997a13"
        ));
        assert!(!TaskId::is_written_in("AD54FCC1C0A0449D9A2BC64324997A13"));
        assert!(!TaskId::is_written_in("ad54fcc1c0a0449d9a2bc64324997"));
        assert!(!TaskId::is_written_in("train the digits of the data set"));
    }

    #[test]
    fn an_id_stays_in_its_folder_and_line() {
        for text in [
            "",
            "..",
            "../x",
            "a/b",
            "a\\b",
            "a\nb",
            ".hidden",
            "--docker",
            "a\u{202e}b",
            "a\u{1b}[2Jb",
        ] {
            assert!(TaskId::new(text).is_err(), "{text:?}");
        }
        assert!(WorkerId::new("host:gpu0,1").is_ok());
        assert_eq!(
            serde_json::from_str::<TaskId>("\"abc\"")
                .unwrap()
                .to_string(),
            "abc"
        );
        assert!(serde_json::from_str::<TaskId>("\"../../etc\"").is_err());
    }
}
