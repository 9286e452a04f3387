//! Entry point and working folder as the rest of the agent uses them (E-009 to E-013, E-100), and what kind of
//! interpreter runs them (E-102).

use super::git::Environment;

/// What runs an entry point.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Interpreter {
    /// Python, also for an unknown or missing `script.binary`.
    Python,
    /// `bash`, `zsh` or `sh`.
    Shell,
}

impl Interpreter {
    /// E-102: by the base name of `script.binary`.
    pub fn of(binary: &str) -> Self {
        match binary.trim().rsplit('/').next() {
            Some("bash" | "zsh" | "sh") => Self::Shell,
            _ => Self::Python,
        }
    }
}

/// Entry point and working folder after E-010 to E-012.
pub(super) fn normalise(
    entry_point: &str,
    working_dir: &str,
    environment: &Environment,
) -> (String, String) {
    let mut entry_point = entry_point;
    let mut working_dir = working_dir;
    // A colon in arguments is not ours to split at.
    if working_dir.is_empty()
        && !entry_point.contains(char::is_whitespace)
        && let Some((script, folder)) = entry_point.split_once(':')
    {
        (entry_point, working_dir) = (script, folder);
    }
    (
        normalise_entry_point(entry_point, environment),
        path(working_dir, environment),
    )
}

/// E-011: only the script is a path; arguments, modules and commands are left alone.
fn normalise_entry_point(entry_point: &str, environment: &Environment) -> String {
    let is_option = matches!(entry_point.split_whitespace().next(), Some("-m" | "-c"));
    if is_option {
        return entry_point.to_owned();
    }
    let end = entry_point
        .find(char::is_whitespace)
        .unwrap_or(entry_point.len());
    let (script, arguments) = entry_point.split_at(end);
    if script.contains(['"', '\'', '\\']) {
        return entry_point.to_owned();
    }
    path(script, environment) + arguments
}

/// E-100: `[dir:]file`.
pub(super) fn forced(script: &str) -> (String, String) {
    match script.split_once(':') {
        Some((folder, file)) => (file.to_owned(), folder.to_owned()),
        None => (script.to_owned(), ".".to_owned()),
    }
}

fn path(text: &str, environment: &Environment) -> String {
    if text.is_empty() {
        return String::new();
    }
    lexical(&expand_variables(
        &expand_home(text, environment),
        environment,
    ))
}

fn expand_home(text: &str, environment: &Environment) -> String {
    match (text.strip_prefix('~'), environment.get("HOME")) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            format!("{}{rest}", home.trim_end_matches('/'))
        }
        _ => text.to_owned(),
    }
}

/// `$NAME` and `${NAME}`; what is not set stays as it is written.
fn expand_variables(text: &str, environment: &Environment) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        let (name, length) = variable(&rest[1..]);
        match environment.get(name) {
            Some(value) => expanded.push_str(value),
            None => expanded.push_str(&rest[..=length]),
        }
        rest = &rest[length + 1..];
    }
    expanded + rest
}

/// The name that follows a `$`, and how many bytes it takes with its braces; an open brace is no name.
fn variable(text: &str) -> (&str, usize) {
    if let Some(braced) = text.strip_prefix('{') {
        return braced
            .find('}')
            .map_or(("", 0), |end| (&braced[..end], end + 2));
    }
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    (&text[..end], end)
}

/// Removes `.`, `..` and doubled slashes without looking at the file system; nothing left is `.`.
pub(super) fn lexical(text: &str) -> String {
    let is_absolute = text.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    match (is_absolute, parts.join("/")) {
        (true, path) => format!("/{path}"),
        (false, path) if path.is_empty() => ".".to_owned(),
        (false, path) => path,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment() -> Environment {
        [("HOME", "/home/u"), ("SUB", "models/a"), ("E", "")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn normalised(entry_point: &str, working_dir: &str) -> (String, String) {
        normalise(entry_point, working_dir, &environment())
    }

    /// E-010
    #[test]
    fn paths_are_expanded_and_normalised() {
        for (given, expected) in [
            ("a/../b", "b"),
            ("./src/", "src"),
            ("~/x", "/home/u/x"),
            ("$SUB/t.py", "models/a/t.py"),
            ("${SUB}/t.py", "models/a/t.py"),
            ("$NOSUCH/t.py", "$NOSUCH/t.py"),
            ("${SUB", "${SUB"),
            ("a$", "a$"),
            ("/../a", "/a"),
            ("../a", "../a"),
            ("a/..", "."),
            ("", ""),
        ] {
            assert_eq!(normalised("x", given).1, expected, "{given}");
        }
    }

    /// E-011
    #[test]
    fn arguments_stay_as_they_are() {
        for (given, expected) in [
            (
                "./train.py --url http://a/b x/../y",
                "train.py --url http://a/b x/../y",
            ),
            ("a//b.py", "a/b.py"),
            ("-m pkg.mod a//b", "-m pkg.mod a//b"),
            ("-c echo a//b", "-c echo a//b"),
            ("'my  dir//a.py' x", "'my  dir//a.py' x"),
            ("", ""),
        ] {
            assert_eq!(normalised(given, ".").0, expected, "{given}");
        }
    }

    /// E-012
    #[test]
    fn an_entry_point_may_name_its_folder() {
        assert_eq!(
            normalised("main.py:pkg", ""),
            ("main.py".to_owned(), "pkg".to_owned())
        );
        assert_eq!(
            normalised("main.py --a 1:2", ""),
            ("main.py --a 1:2".to_owned(), String::new())
        );
        assert_eq!(
            normalised("main.py:pkg", "x"),
            ("main.py:pkg".to_owned(), "x".to_owned())
        );
    }

    /// E-102
    #[test]
    fn shells_are_recognised_by_base_name() {
        assert_eq!(Interpreter::of("/bin/bash"), Interpreter::Shell);
        assert_eq!(Interpreter::of("python3.11"), Interpreter::Python);
        assert_eq!(Interpreter::of("bash5"), Interpreter::Python);
    }

    proptest! {
        #[test]
        fn no_text_panics(entry_point in "\\PC*", working_dir in "\\PC*") {
            let _ = normalised(&entry_point, &working_dir);
        }
    }
}
