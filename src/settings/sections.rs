//! The sections `environment` and `files`: variables for everything that the agent starts, and files that are made
//! before it (F-090 to F-096).

use std::path::PathBuf;
use std::sync::Arc;

use super::env_vars::{ENABLE_ENV_CONFIG_SECTION, ENABLE_FILES_CONFIG_SECTION, Variable};
use super::hocon::{Kind, Value};
use super::lookup::condition;
use super::{Inner, Settings};

/// A member of the section `files`.
#[derive(Clone, Debug, PartialEq)]
pub struct FileEntry {
    /// Its name in the section.
    pub name: String,
    /// Where the file is to be; `None` where the member names no path.
    pub path: Option<PathBuf>,
    /// What is to be in it; null where the member does not say.
    pub contents: Value,
    /// The contents are base64.
    pub is_base64: bool,
    /// How the contents are written.
    pub target: TargetFormat,
    /// A file that is there already is replaced.
    pub overwrite: bool,
    /// Its mode as it is written, read as an octal number.
    pub mode: Option<String>,
}

/// How the contents of a file are written (F-096).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TargetFormat {
    /// Decoded bytes as they are.
    Bytes,
    /// Indented JSON.
    Json,
    /// The text itself.
    Text,
    /// YAML in block style.
    Yaml,
}

impl Settings {
    /// The variables of the section `environment` in its order; nothing where the section is not to be applied (F-090).
    pub fn environment_section(&self) -> Vec<(String, String)> {
        if !self.is_applied(&ENABLE_ENV_CONFIG_SECTION, "agent.apply_environment") {
            return Vec::new();
        }
        let members = self
            .members("environment")
            .filter(|(name, _)| !name.is_empty());
        members
            .map(|(name, value)| (name.to_owned(), variable_text(value)))
            .collect()
    }

    /// With these variables in the environment of everything that the agent starts; the values of keys stay (F-092).
    #[must_use]
    pub fn with_variables(&self, variables: Vec<(String, String)>) -> Self {
        let environment = variables
            .iter()
            .fold(self.0.environment.clone(), |environment, (name, value)| {
                environment.with(name, value)
            });
        Self(Arc::new(Inner {
            environment,
            applied: variables,
            ..self.parts(self.0.root.clone())
        }))
    }

    /// The variables that were added with [`Settings::with_variables`].
    pub fn applied_variables(&self) -> &[(String, String)] {
        &self.0.applied
    }

    /// The members of the section `files` in its order; nothing where the section is not to be applied (F-095).
    pub fn files_section(&self) -> Vec<FileEntry> {
        if !self.is_applied(&ENABLE_FILES_CONFIG_SECTION, "agent.apply_files") {
            return Vec::new();
        }
        self.members("files")
            .map(|(name, value)| self.file_entry(name, value))
            .collect()
    }

    fn file_entry(&self, name: &str, entry: &Value) -> FileEntry {
        let member = |key: &str| entry.member(key).filter(|value| !value.is_null());
        let text = |key: &str| member(key).and_then(Value::to_text);
        let null = Value::new(Kind::Null, entry.origin.clone());
        FileEntry {
            name: name.to_owned(),
            path: text("path")
                .filter(|path| !path.is_empty())
                .map(|path| self.expand(&path)),
            contents: member("contents").cloned().unwrap_or(null),
            is_base64: text("format").is_some_and(|format| format == "base64"),
            target: match text("target_format").as_deref() {
                Some("json") => TargetFormat::Json,
                Some("yaml" | "yml") => TargetFormat::Yaml,
                Some("bytes") => TargetFormat::Bytes,
                _ => TargetFormat::Text,
            },
            overwrite: member("overwrite").and_then(condition).unwrap_or(true),
            mode: text("mode").filter(|mode| !mode.is_empty()),
        }
    }

    /// The variable where it is a boolean word, else the key.
    fn is_applied(&self, gate: &Variable, key: &str) -> bool {
        let by_variable = self.environment().boolean(gate).ok().flatten();
        by_variable.unwrap_or_else(|| self.is_on(key))
    }

    /// The names and texts of a section whose names are the user's.
    pub fn texts(&self, section: &str) -> impl Iterator<Item = (String, String)> {
        self.members(section)
            .filter_map(|(name, value)| Some((name.to_owned(), value.to_text()?)))
    }

    pub(super) fn members(&self, section: &str) -> impl Iterator<Item = (&str, &Value)> {
        let members = match self.value(section).map(|value| &value.kind) {
            Some(Kind::Object(members)) => Some(members),
            _ => None,
        };
        members
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value))
    }
}

/// Null is empty, collections are JSON, the rest is spelt as Python does (F-091).
fn variable_text(value: &Value) -> String {
    match &value.kind {
        Kind::Null => String::new(),
        Kind::List(_) | Kind::Object(_) => serde_json::to_string(value).unwrap_or_default(),
        _ => value.to_text().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    fn settings(text: &str, variables: &[(&str, &str)]) -> Settings {
        let environment: Environment = variables.iter().copied().collect();
        Settings::from_text(text, &environment).unwrap()
    }

    /// F-091
    #[test]
    fn variables_are_spelt_as_scripts_expect_them() {
        let text =
            "environment { A: text, B: true, C: 2.0, D: 007, E: null, F: [1, {a: b}], G: \"x y\" }";
        let variables = settings(text, &[]).environment_section();
        let expected = [
            ("A", "text"),
            ("B", "True"),
            ("C", "2.0"),
            ("D", "7"),
            ("E", ""),
            ("F", "[1,{\"a\":\"b\"}]"),
            ("G", "x y"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables, expected);
    }

    /// F-090, F-095, F-072
    #[test]
    fn a_variable_or_a_key_switches_the_sections_off() {
        let text = "environment.A: a\nfiles.f { path: /f }";
        let counts = |text: &str, variables: &[(&str, &str)]| {
            let settings = settings(text, variables);
            [
                settings.environment_section().len(),
                settings.files_section().len(),
            ]
        };
        let off = format!("{text}\nagent {{ apply_environment: false, apply_files: false }}");
        let both = |word| {
            [
                ("CLEARML_AGENT_ENABLE_ENV_CONFIG_SECTION", word),
                ("CLEARML_AGENT_ENABLE_FILES_CONFIG_SECTION", word),
            ]
        };
        assert_eq!(counts(text, &[]), [1, 1]);
        assert_eq!(counts(&off, &[]), [0, 0]);
        assert_eq!(counts(text, &both("no")), [0, 0]);
        assert_eq!(counts(&off, &both("1")), [1, 1]);
        assert_eq!(counts(&off, &both("maybe")), [0, 0]);
    }

    /// F-092
    #[test]
    fn applied_variables_change_no_key() {
        let settings = settings(
            "environment { AWS_ACCESS_KEY_ID: x }\nsdk.aws.s3.key: k",
            &[],
        );
        let applied = settings.with_variables(settings.environment_section());
        assert_eq!(applied.environment().get("AWS_ACCESS_KEY_ID"), Some("x"));
        assert_eq!(applied.text("sdk.aws.s3.key").as_deref(), Some("k"));
        let reread = applied.reread().unwrap();
        assert_eq!(reread.environment().get("AWS_ACCESS_KEY_ID"), Some("x"));
        assert_eq!(reread.text("sdk.aws.s3.key").as_deref(), Some("k"));
    }

    /// F-095
    #[test]
    fn files_say_where_what_and_how() {
        let text = "files {
            plain { path: \"$DIR/a\", contents: hello }
            full { path: \"~/b\", contents: aGk, format: base64, target_format: bytes, overwrite: false, mode: 644 }
            nothing {}
        }";
        let files = settings(text, &[("DIR", "/d"), ("HOME", "/home/me")]).files_section();
        let [plain, full, nothing] = &files[..] else {
            panic!("{files:?}");
        };
        assert_eq!(plain.path.as_deref(), Some("/d/a".as_ref()));
        assert_eq!(plain.contents.to_text().as_deref(), Some("hello"));
        assert!(plain.overwrite && !plain.is_base64 && plain.mode.is_none());
        assert_eq!(full.path.as_deref(), Some("/home/me/b".as_ref()));
        assert!(full.is_base64 && !full.overwrite);
        assert_eq!(
            (full.target, full.mode.as_deref()),
            (TargetFormat::Bytes, Some("644"))
        );
        assert_eq!((&nothing.path, nothing.contents.is_null()), (&None, true));
    }
}
