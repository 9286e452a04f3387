//! The reference part of docs/configuration.md, and docs/environment-variables.md, made of the tables.
//!
//! `UPDATE_DOCS=1 cargo test --lib settings::schema` writes what is compared here.

use std::fmt::Write as _;
use std::path::Path;

use super::{GROUPS, Group, Key, State};
use crate::settings::env_vars::{self, Use, Variable, VariableKind};
use crate::settings::hocon::{Kind, Value, float_text};
use crate::settings::layers;

const BEGIN: &str = "<!-- generated: keys -->\n";
const END: &str = "<!-- end of what is generated -->\n";

/// Defaults that are longer than this are left to the sample.
const LONGEST_DEFAULT: usize = 160;

/// Compares a file of the repository with what it should be; writes it where UPDATE_DOCS is set.
#[track_caller]
pub(super) fn compare(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).expect("the file can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let same = found
        .lines()
        .zip(expected.lines())
        .take_while(|(found, expected)| found == expected);
    let line = same.count() + 1;
    assert!(
        found == expected,
        "{name} is not what the tables say (line {line}): UPDATE_DOCS=1 cargo test --lib settings::schema"
    );
}

/// A value as in a file, on one line.
pub(super) fn inline(value: &Value) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match &value.kind {
        Kind::Null => "null".to_owned(),
        Kind::Boolean(boolean) => boolean.to_string(),
        Kind::Integer(number) => number.to_string(),
        Kind::Float(number) => float_text(*number),
        Kind::Text(text) => quoted(text),
        Kind::List(items) => {
            let items: Vec<_> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Object(members) if members.is_empty() => "{}".to_owned(),
        Kind::Object(members) => {
            let member = |(key, value): (&String, &Value)| format!("{key}: {}", inline(value));
            let members: Vec<_> = members.iter().map(member).collect();
            format!("{{ {} }}", members.join(", "))
        }
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn code(text: &str) -> String {
    // Two blanks of backquotes would do for any text; none of ours has one.
    assert!(!text.contains('`'), "{text}");
    format!("`{}`", cell(text))
}

fn default(key: &Key) -> String {
    if let Some(otherwise) = key.otherwise {
        return match otherwise
            .strip_prefix('(')
            .and_then(|text| text.strip_suffix(')'))
        {
            Some("absent") => String::new(),
            Some(text) => format!("*{text}*"),
            None => code(otherwise),
        };
    }
    match layers::value(&layers::DEFAULTS, key.path).map(inline) {
        Some(value) if value.len() > LONGEST_DEFAULT => "*see the sample*".to_owned(),
        Some(value) => code(&value),
        None => String::new(),
    }
}

fn note(state: State) -> String {
    match state.note() {
        "" => String::new(),
        note => format!("*{note}*"),
    }
}

fn names(variables: &[&Variable]) -> String {
    let names = variables.iter().flat_map(|variable| variable.names());
    names.map(code).collect::<Vec<_>>().join(" ")
}

fn table_of(group: &Group) -> String {
    let mut out = format!(
        "### {}\n\n| key | type | default | variables | what it does | |\n|---|---|---|---|---|---|\n",
        group.title
    );
    for key in group.keys {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            code(key.path),
            key.kind,
            default(key),
            names(key.variables),
            cell(key.text()),
            note(key.state)
        );
    }
    out
}

fn use_of(variable: &Variable) -> String {
    let words = variable.uses.iter().map(|used| match used {
        Use::Read => "read",
        Use::Set => "set",
        Use::Removed => "removed before the task starts",
        Use::SetInContainer => "set in containers",
        Use::ReadInContainer => "read in containers",
    });
    words.collect::<Vec<_>>().join(", ")
}

fn kind_of(kind: VariableKind) -> &'static str {
    match kind {
        VariableKind::Text => "text",
        VariableKind::Boolean => "boolean",
        VariableKind::SessionBoolean => "boolean, lenient",
        VariableKind::Presence => "any text",
        VariableKind::Words => "words",
        VariableKind::Integer => "whole number",
        VariableKind::Number => "number",
        VariableKind::Path => "path",
    }
}

fn variables() -> String {
    let mut out = "\
# Environment variables

Every variable that the agent reads, sets or takes away. This file is made of the table in `src/settings/env_vars.rs`; how to
change it: [contributing.md](contributing.md). Keys of the configuration and the order in which files and variables count:
[configuration.md](configuration.md).

Where a variable has several names, the first that is set and not empty counts. For every `CLEARML_X` that is set, the agent's
children see `TRAINS_X` too.

| type | how its text is read |
|---|---|
| boolean | `y yes t true on 1` or `n no f false off 0`, in any case; any other word ends the program |
| boolean, lenient | the same words; any other word is reported, and the default is used |
| any text | true when it is set to anything, even to `0` |
| words | split as a shell does it: quotes and backslashes count |

The last column says what this release does not do: *not in use yet* is meant to come, *without effect* is not.

| variable | type | default | the agent | what it does | |
|---|---|---|---|---|---|
"
    .to_owned();
    for variable in env_vars::ALL {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            names(&[variable]),
            kind_of(variable.kind),
            variable.default.map(code).unwrap_or_default(),
            use_of(variable),
            cell(&variable.text()),
            note(variable.state)
        );
    }
    out
}

/// F-200
#[test]
fn the_documented_keys_are_those_of_the_tables() {
    let name = "docs/configuration.md";
    let text = include_str!("../../../docs/configuration.md");
    let (before, rest) = text.split_once(BEGIN).expect("the marker is there");
    let (_, after) = rest.split_once(END).expect("the other marker is there");
    let tables: Vec<_> = GROUPS.iter().map(table_of).collect();
    let tables = tables.join("\n");
    compare(name, &format!("{before}{BEGIN}\n{tables}\n{END}{after}"));
}

/// F-210
#[test]
fn the_documented_variables_are_those_of_the_table() {
    compare("docs/environment-variables.md", &variables());
}

/// Nobody has to know what `F-003` is.
#[test]
fn no_meaning_names_a_requirement() {
    let id = regex::Regex::new("\\b[A-F]-[0-9]{3}").expect("a pattern");
    for variable in env_vars::ALL {
        let text = variable.text();
        assert!(
            !id.is_match(&text) && text.ends_with('.'),
            "{}: {text}",
            variable.name
        );
    }
    for key in super::keys() {
        assert!(
            !id.is_match(key.text()) && key.text().ends_with('.'),
            "{}",
            key.path
        );
    }
}
