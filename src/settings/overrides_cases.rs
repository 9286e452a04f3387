//! The cases of `tests/data/settings/env-override-cases.json`: variables and files in, configuration out.
//!
//! Compiled under `#[cfg(test)]` only.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use serde_json::Value as Json;

use super::hocon::Value;
use super::{Detected, Environment, Overrides, Settings};

#[derive(Deserialize)]
struct Table {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    env: BTreeMap<String, String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    query: Vec<String>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    exit_code: i32,
    #[serde(default)]
    values: BTreeMap<String, Json>,
    #[serde(default)]
    config_lines: Vec<String>,
    #[serde(default)]
    stdout: String,
}

/// Deviations that the specification recommends.
fn deviate(case: &mut Case) {
    let (key, value, line) = match &*case.id {
        // W4: the printed server is the one in use.
        "ov-026" => (
            "api.host",
            Json::from("http://10.0.0.2:8008"),
            "api.host = http://10.0.0.2:8008",
        ),
        // F-048: a duration is text.
        "ov-034" => ("agent.poll", Json::from("10s"), "agent.poll = 10s"),
        // W6: a false word in the variable counts.
        "ov-045" => (
            "agent.crash_on_exception",
            Json::from(false),
            "agent.crash_on_exception = false",
        ),
        _ => return,
    };
    case.expected.values.insert(key.to_owned(), value);
    case.expected
        .config_lines
        .retain(|line| !line.starts_with(&format!("{key} =")));
    case.expected.config_lines.push(line.to_owned());
}

fn to_json(value: Option<&Value>) -> Json {
    match value {
        Some(value) => serde_json::to_value(value).expect("values are JSON"),
        None => serde_json::json!({"__missing__": true}),
    }
}

/// F-070 to F-085
#[test]
fn every_recorded_override_gives_the_recorded_configuration() {
    let table = include_str!("../../tests/data/settings/env-override-cases.json");
    let table: Table = serde_json::from_str(table).expect("the table is JSON");
    assert_eq!(table.cases.len(), 52);
    let mut failures = Vec::new();
    for mut case in table.cases {
        deviate(&mut case);
        let home = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in &case.files {
            fs::write(home.path().join(name), text).expect("written");
        }
        let environment: Environment = case.env.iter().collect();
        let result = Settings::load(&environment, home.path(), &Overrides::default());
        match result {
            Err(error) => {
                let printed = format!("\nclearml_agent: ERROR: {error}\n\n");
                if case.expected.exit_code == 0 || printed != case.expected.stdout {
                    failures.push(format!("{}: {printed}", case.id));
                }
            }
            Ok(settings) => {
                if case.expected.exit_code != 0 {
                    failures.push(format!("{}: no error", case.id));
                }
                let settings = settings.completed(&Detected::default());
                for (key, expected) in &case.expected.values {
                    let value = to_json(settings.value(key));
                    if value != *expected {
                        failures.push(format!("{}: {key} is {value}, not {expected}", case.id));
                    }
                }
                let lines = lines_of(&settings, &case.query);
                if lines != case.expected.config_lines {
                    failures.push(format!(
                        "{}: printed {lines:?}, not {:?}",
                        case.id, case.expected.config_lines
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The printed lines of these keys, in order; a line break in a text begins a line of its own.
fn lines_of(settings: &Settings, keys: &[String]) -> Vec<String> {
    settings
        .printout_lines()
        .iter()
        .filter(|line| {
            let path = line.split(" = ").next().unwrap_or(line);
            keys.iter().any(|key| {
                path.strip_prefix(key.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        })
        .flat_map(|line| line.split('\n').map(str::to_owned))
        .collect()
}
