//! The tables against the recorded lists of the official agent, and its published samples against the tables.

use std::collections::BTreeSet;
use std::fs;

use serde::Deserialize;
use serde_json::Value as Json;

use super::{Key, KeyKind, State, key, keys};
use crate::settings::env_vars::{self, Use, Variable, VariableKind};
use crate::settings::hocon::{Kind, Value};
use crate::settings::{Environment, Overrides, Settings, layers};

#[derive(Deserialize)]
struct KeyTable {
    count: usize,
    keys: Vec<KeyRow>,
    sdk_pass_through: PassThrough,
    post_3_0_3: Later,
}

#[derive(Deserialize)]
struct KeyRow {
    key: String,
    #[serde(rename = "type")]
    kind: String,
    default: Json,
    default_source: String,
    env: Vec<String>,
}

#[derive(Deserialize)]
struct PassThrough {
    defaults: serde_json::Map<String, Json>,
}

#[derive(Deserialize)]
struct Later {
    keys: Vec<LaterKey>,
}

#[derive(Deserialize)]
struct LaterKey {
    key: String,
}

#[derive(Deserialize)]
struct VariableTable {
    count: usize,
    variables: Vec<VariableRow>,
}

#[derive(Deserialize)]
struct VariableRow {
    name: String,
    aliases: Vec<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    default: Option<String>,
    direction: String,
}

fn key_table() -> KeyTable {
    let table = include_str!("../../../tests/data/settings/config-keys.json");
    serde_json::from_str(table).expect("the table is JSON")
}

/// The type of the recorded list in our words.
fn is_kind(ours: KeyKind, theirs: &str) -> bool {
    if let (KeyKind::Choice(words), Some(theirs)) = (ours, theirs.strip_prefix("enum ")) {
        return words.join(",") == theirs;
    }
    let expected = match theirs {
        "string" => KeyKind::Text,
        "bool" => KeyKind::Boolean,
        "int" | "int or null" | "int bytes" => KeyKind::Integer,
        "float" | "number" => KeyKind::Number,
        "int seconds" | "float seconds" => KeyKind::Seconds,
        "path" | "path or URL" => KeyKind::Path,
        "URL" => KeyKind::Url,
        "list[string]" | "list[int,int]" | "list[URL]" => KeyKind::List,
        "string or list[string]" | "list[string] or string" => KeyKind::ListOrText,
        "list[regex]" => KeyKind::Patterns,
        "bool or CA path" | "bool or string" => KeyKind::BooleanOrText,
        "string or float" | "string or number" => KeyKind::TextOrNumber,
        "object" => KeyKind::Object,
        _ if theirs.starts_with("list[object{") => KeyKind::Objects,
        _ => return false,
    };
    ours == expected
}

fn to_json(value: &Value) -> Json {
    serde_json::to_value(value).expect("values are JSON")
}

/// Whether ours is the recorded default; one that is described in words there is described in words here.
fn is_default(ours: &Key, row: &KeyRow) -> bool {
    let built_in = layers::value(&layers::DEFAULTS, ours.path).map(to_json);
    let in_words = row
        .default
        .as_str()
        .filter(|text| text.starts_with(['<', '(']));
    match (in_words, row.default_source.as_str()) {
        (Some("(8 rules)"), _) => {
            built_in.is_some_and(|rules| rules.as_array().is_some_and(|rules| rules.len() == 8))
        }
        (Some(_), _) => ours.otherwise.is_some_and(|text| text.starts_with('(')),
        (None, "code") if row.default.is_null() => ours.otherwise.is_none() && built_in.is_none(),
        (None, "code") => {
            let text = format!("x: {}", ours.otherwise.unwrap_or("null"));
            let settings = Settings::from_text(&text, &Environment::default()).expect("a value");
            built_in.is_none() && settings.value("x").map(to_json).as_ref() == Some(&row.default)
        }
        (None, _) => built_in.as_ref() == Some(&row.default) && ours.otherwise.is_none(),
    }
}

/// F-200, F-001
#[test]
fn every_recorded_key_is_in_the_tables_with_its_type_default_and_variables() {
    let table = key_table();
    assert_eq!(table.keys.len(), table.count);
    let mut failures = Vec::new();
    for row in &table.keys {
        let Some(ours) = keys().find(|key| key.path == row.key) else {
            failures.push(format!("{} is missing", row.key));
            continue;
        };
        if !is_kind(ours.kind, &row.kind) {
            failures.push(format!("{}: {} is not {}", row.key, ours.kind, row.kind));
        }
        if !is_default(ours, row) {
            failures.push(format!("{}: another default than {}", row.key, row.default));
        }
        let names: Vec<_> = ours
            .variables
            .iter()
            .flat_map(|variable| variable.names())
            .collect();
        let theirs: Vec<_> = row
            .env
            .iter()
            .map(|name| name.trim_start_matches("(dead) "))
            .collect();
        if names != theirs {
            failures.push(format!("{}: variables {names:?}, not {theirs:?}", row.key));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// F-001, F-205
#[test]
fn what_is_only_handed_to_tasks_is_in_the_tables_with_its_default() {
    for (path, default) in key_table().sdk_pass_through.defaults {
        let ours = keys().find(|key| key.path == path);
        assert_eq!(ours.map(|key| key.state), Some(State::ForTasks), "{path}");
        let value = layers::value(&layers::DEFAULTS, &path).map(to_json);
        assert_eq!(value.as_ref(), Some(&default), "{path}");
    }
}

#[test]
fn keys_of_later_releases_are_known() {
    for later in key_table().post_3_0_3.keys {
        assert!(
            key(&later.key).is_some_and(|key| key.state == State::Ignored),
            "{}",
            later.key
        );
    }
}

/// The paths of all values below one.
fn leaves(prefix: &str, value: &Value, out: &mut Vec<String>) {
    match &value.kind {
        Kind::Object(members) => {
            for (name, value) in members {
                leaves(&format!("{prefix}.{name}"), value, out);
            }
        }
        _ => out.push(prefix.to_owned()),
    }
}

#[test]
fn no_key_is_described_twice_and_every_default_is_described() {
    let mut seen = BTreeSet::new();
    for key in keys() {
        assert!(seen.insert(key.path), "{} stands in two places", key.path);
    }
    let mut paths = Vec::new();
    for (name, value) in &*layers::DEFAULTS {
        leaves(name, value, &mut paths);
    }
    for path in paths {
        assert!(seen.contains(path.as_str()), "{path} is not described");
    }
}

/// Where our list of variables is not the recorded one, and why.
const DEVIATIONS: [(&str, &str); 7] = [
    (
        "CLEARML_CPU_ONLY",
        "the official agent registers it and never looks at it; here it does what its name says",
    ),
    (
        "HTTP_PROXY",
        "the recorded row has six names; each proxy is a row of its own here",
    ),
    ("SSL_CERT_FILE", "this program reads it too"),
    (
        "CLEARML_AGENT_CONFIG_VERBOSE",
        "recorded as text of which any counts",
    ),
    (
        "CLEARML_AGENT_USE_POWERSHELL",
        "recorded as text of which any counts",
    ),
    (
        "CLEARML_AGENT_NO_UPDATE",
        "recorded as text of which any counts",
    ),
    (
        "CLEARML_AGENT_SKIP_CONTAINER_APT",
        "recorded as text of which any counts",
    ),
];

fn is_variable_kind(ours: VariableKind, theirs: &str) -> bool {
    match ours {
        VariableKind::Boolean | VariableKind::SessionBoolean => matches!(theirs, "bool" | "0/1"),
        VariableKind::Presence => theirs == "any text",
        VariableKind::Words => theirs.starts_with("shell list"),
        VariableKind::Integer => theirs.starts_with("int"),
        VariableKind::Number => theirs == "float",
        VariableKind::Path => matches!(theirs, "path" | "directory"),
        // What has a grammar of its own is text here.
        VariableKind::Text => !matches!(
            theirs,
            "bool" | "0/1" | "any text" | "float" | "int" | "path" | "directory" | "shell list"
        ),
    }
}

fn direction(variable: &Variable) -> String {
    let words = variable.uses.iter().map(|used| match used {
        Use::Read => "read",
        Use::Set => "set",
        Use::Removed => "removed",
        Use::SetInContainer => "set in container",
        Use::ReadInContainer => "read in container",
    });
    match words.collect::<Vec<_>>().join(",") {
        none if none.is_empty() => "dead".to_owned(),
        words => words,
    }
}

/// F-210
#[test]
fn every_recorded_variable_is_in_the_table_with_its_names_type_and_default() {
    let table = include_str!("../../../tests/data/settings/env-vars.json");
    let table: VariableTable = serde_json::from_str(table).expect("the table is JSON");
    assert_eq!(table.variables.len(), table.count);
    let mut failures = Vec::new();
    for row in &table.variables {
        let Some(ours) = env_vars::ALL
            .iter()
            .find(|variable| variable.name == row.name)
        else {
            failures.push(format!("{} is missing", row.name));
            continue;
        };
        let theirs = row
            .default
            .as_deref()
            .filter(|default| *default != "(unset)");
        let is_same = ours.aliases == row.aliases
            && ours.default == theirs
            && row
                .kind
                .as_deref()
                .is_none_or(|kind| is_variable_kind(ours.kind, kind))
            && direction(ours) == row.direction;
        let deviates = DEVIATIONS.iter().any(|(name, _)| *name == row.name);
        if is_same == deviates {
            let kind = row.kind.as_deref().unwrap_or_default();
            failures.push(format!(
                "{}: {ours:?}, recorded {kind} {theirs:?} {} (deviates: {deviates})",
                row.name, row.direction
            ));
        }
        if row.name == "HTTP_PROXY" {
            let known: BTreeSet<_> = env_vars::ALL.iter().flat_map(Variable::names).collect();
            assert!(row.aliases.iter().all(|name| known.contains(name.as_str())));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What people have is read without a word: the keys of an old and of the present sample, below a server of an SDK file.
#[test]
fn the_published_samples_are_understood() {
    let old = include_str!("../../../tests/data/settings/old-agent-section.conf");
    let current = include_str!("../../../tests/data/settings/current-agent-section.conf");
    for (text, expected) in [
        (old, ("bench-7", "<20", "101")),
        (current, ("", "<20.2 ; python_version < '3.10'", "101")),
    ] {
        let home = tempfile::tempdir().expect("a temporary folder");
        fs::write(home.path().join("clearml.conf"), text).expect("written");
        let settings = Settings::load(&Environment::default(), home.path(), &Overrides::default())
            .expect("good");
        let unknown: Vec<_> = settings
            .unknown_keys()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(unknown, [""; 0]);
        let agent = settings.agent().expect("every value has its type");
        assert_eq!(agent.worker_name.unwrap_or_default(), expected.0);
        assert_eq!(
            agent
                .package_manager
                .pip_version
                .first()
                .map(String::as_str),
            Some(expected.1)
        );
        assert_eq!(agent.cuda.cuda.as_deref(), Some(expected.2));
        let api = settings.api().expect("server and keys are there");
        assert!(api.host.starts_with("http"));
    }
}
