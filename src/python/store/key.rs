//! What an environment depends on, line by line, and the key made of the lines.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::entry::EntryKind;
use crate::secrets;

/// Rises when an environment of an older agent must not be taken any more.
const FORMAT: &str = "1";

/// Name of an environment by what it is made of: lower-case hexadecimal digits of a SHA-256.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct StoreKey(String);

/// One thing that an environment depends on.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Input {
    /// What it is.
    pub name: String,
    /// Its value, without secrets.
    pub value: String,
}

impl Input {
    /// Takes a name and a value; passwords in the value are left out, so that they are in no key and no file.
    pub fn new(name: impl Into<String>, value: impl AsRef<str>) -> Self {
        Self {
            name: name.into(),
            value: without_secrets(value.as_ref()),
        }
    }
}

/// Everything that an environment depends on. Equal inputs give equal keys, and nothing else counts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StoreInputs {
    /// What the entry holds.
    pub kind: EntryKind,
    /// Interpreter, platform, image, CUDA, indexes and flags, in their order.
    pub machine: Vec<Input>,
    /// The packages, one line each.
    pub packages: Vec<String>,
}

impl StoreInputs {
    /// Puts the lines into their canonical form: trimmed and sorted, without blank ones and comments (E-240).
    pub fn new<'a>(
        kind: EntryKind,
        machine: Vec<Input>,
        packages: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut packages: Vec<String> = packages
            .into_iter()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(without_secrets)
            .collect();
        packages.sort();
        Self {
            kind,
            machine,
            packages,
        }
    }

    /// False where the lines do not determine what is installed: one names a file, or there are none where there should
    /// be some (E-241).
    pub fn determine_packages(&self) -> bool {
        // The file may change, and the line stays.
        let names_file = |line: &String| {
            let option = line.split(|c: char| c == '=' || c.is_whitespace()).next();
            let is_long = matches!(option, Some("--requirement" | "--constraint"));
            is_long || line.starts_with("-r") || line.starts_with("-c")
        };
        let is_base = self.kind == EntryKind::Base;
        is_base || !self.packages.is_empty() && !self.packages.iter().any(names_file)
    }

    /// All inputs, one a line.
    pub fn lines(&self) -> Vec<Input> {
        let head = [
            Input::new("format", FORMAT),
            Input::new("kind", self.kind.name()),
        ];
        let packages = self.packages.iter().map(|line| Input {
            name: "package".to_owned(),
            value: line.clone(),
        });
        head.into_iter()
            .chain(self.machine.iter().cloned())
            .chain(packages)
            .collect()
    }

    /// The key of these inputs.
    pub fn key(&self) -> StoreKey {
        let mut digest = Sha256::new();
        for Input { name, value } in self.lines() {
            // With their lengths no two lists of lines make the same text.
            digest.update(format!("{} {}\n{name}={value}\n", name.len(), value.len()));
        }
        StoreKey(format!("{:x}", digest.finalize()))
    }
}

impl StoreKey {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The machine below the interpreter: processor and C library.
pub(in crate::python) fn platform(libc: &str) -> Vec<Input> {
    let mut inputs = vec![Input::new("platform", std::env::consts::ARCH)];
    inputs.push(Input::new("libc", libc));
    inputs
}

/// The text with `xxxxxx` for users and passwords in URLs, and without any secret that the agent knows.
fn without_secrets(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, authority) = rest.split_at(start + 3);
        let end = authority
            .find(|c: char| "/?#'\",".contains(c) || c.is_whitespace())
            .unwrap_or(authority.len());
        clean.push_str(before);
        let (authority, behind) = authority.split_at(end);
        match authority.rsplit_once('@') {
            // The user of ssh is part of the address.
            Some((user, _)) if before.ends_with("ssh://") && !user.contains(':') => {
                clean.push_str(authority);
            }
            Some((_, host)) => {
                clean.push_str("xxxxxx@");
                clean.push_str(host);
            }
            None => clean.push_str(authority),
        }
        let end = behind
            .find(|c: char| "'\",".contains(c) || c.is_whitespace())
            .unwrap_or(behind.len());
        let (path, after) = behind.split_at(end);
        clean.push_str(&without_tokens(path));
        rest = after;
    }
    clean.push_str(rest);
    secrets::mask(&clean)
}

/// The path of a URL without the token that a channel of conda has behind `/t/`. Values of a query may be tokens, and may
/// choose what is fetched: a few digits of their hash stand for them.
fn without_tokens(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut follows = false;
    let parts = path.split('/').map(|part| {
        let shown = if follows { "xxxxxx" } else { part };
        follows = part == "t";
        shown
    });
    let path = parts.collect::<Vec<_>>().join("/");
    if query.is_empty() {
        return path;
    }
    let names = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => {
            let digest = format!("{:x}", Sha256::digest(value));
            format!("{name}=x{}", &digest[..8])
        }
        None => pair.to_owned(),
    });
    format!("{path}?{}", names.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(packages: &[&str]) -> StoreInputs {
        let machine = vec![Input::new("python", "/usr/bin/python3.11")];
        StoreInputs::new(EntryKind::Environment, machine, packages.iter().copied())
    }

    /// E-240: order, blanks and comments of the list do not count, everything else does.
    #[test]
    fn equal_inputs_have_equal_keys_and_no_others() {
        let one = inputs(&["b", " a==1 ", "", "# c"]);
        assert_eq!(one.key(), inputs(&["a==1", "b"]).key());
        assert_ne!(one.key(), inputs(&["a==1", "b", "c"]).key());
        assert_ne!(one.key(), inputs(&["a==1\nb"]).key());
        let mut other = one.clone();
        other.machine[0].value.push('x');
        assert_ne!(one.key(), other.key());
        let base = StoreInputs {
            kind: EntryKind::Base,
            ..one.clone()
        };
        assert_ne!(one.key(), base.key());
        assert_eq!(one.key().as_str().len(), 64);
    }

    /// E-241
    #[test]
    fn a_list_that_names_files_determines_nothing() {
        assert!(inputs(&["a"]).determine_packages());
        for lines in [
            &[][..],
            &["-r more.txt"],
            &["a", "--requirement x"],
            &["a", "--constraint=x"],
            &["-c\tx"],
            &["-rmore.txt"],
        ] {
            assert!(!inputs(lines).determine_packages(), "{lines:?}");
        }
    }

    #[test]
    fn no_password_is_an_input() {
        let clean = |text| Input::new("index", text).value;
        assert_eq!(
            clean("https://me:pw-key-test@h/simple"),
            "https://xxxxxx@h/simple"
        );
        assert_eq!(
            clean("a @ git+https://tok@h/a, x https://u:p@i/b?c"),
            "a @ git+https://xxxxxx@h/a, x https://xxxxxx@i/b?c"
        );
        assert_eq!(clean("git+ssh://git@h/a@1"), "git+ssh://git@h/a@1");
        assert_eq!(clean("https://h/a@b"), "https://h/a@b");
        assert_eq!(
            clean("https://h/t/tok-en/channel, https://h/s?token=abc&x"),
            "https://h/t/xxxxxx/channel, https://h/s?token=xba7816bf&x"
        );
        assert_eq!(
            clean("a @ https://h/a.whl#sha256=0"),
            "a @ https://h/a.whl#sha256=0"
        );
    }
}
