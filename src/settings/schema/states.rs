//! What is said to be not in use must not be in use, and the reverse.

use std::fs;
use std::path::Path;

use super::{State, keys};
use crate::settings::env_vars;

/// The program's own text: without its tests and comments, what only describes or collects settings.
fn program(folder: &Path, out: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder of the source") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            if !matches!(name, "schema" | "tests" | "hocon") {
                program(&path, out);
            }
        } else if path.extension().is_some_and(|end| end == "rs")
            && !matches!(
                name,
                "tests.rs" | "env_vars.rs" | "agent.rs" | "packages.rs" | "layers.rs"
            )
            && !name.ends_with("_cases.rs")
        {
            let text = fs::read_to_string(&path).expect("text");
            let text = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            for line in text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
            {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
}

/// A row of the tables goes from `Later` to `InUse` with the code that makes it so.
#[test]
fn what_is_not_in_use_yet_is_read_nowhere() {
    let mut text = String::new();
    program(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut text,
    );
    // Read to be expanded or checked, and for nothing else so far.
    let prepared = ["agent.docker_pip_cache", "agent.docker_apt_cache"];
    for key in keys().filter(|key| key.state == State::Later && !prepared.contains(&key.path)) {
        assert!(
            !text.contains(&format!("\"{}\"", key.path)),
            "{} is in use",
            key.path
        );
    }
    for variable in env_vars::ALL
        .iter()
        .filter(|variable| variable.state == State::Later)
    {
        assert!(
            !variable
                .names()
                .any(|name| text.contains(&format!("\"{name}\""))),
            "{} is in use",
            variable.name
        );
    }
}

/// A key cannot be in use that nothing mentions.
#[test]
fn what_is_in_use_is_read_somewhere() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut text = String::new();
    program(&folder, &mut text);
    for name in ["agent.rs", "packages.rs", "layers.rs"] {
        text += &fs::read_to_string(folder.join("settings").join(name)).expect("text");
    }
    for key in keys().filter(|key| key.state == State::InUse) {
        let last = key.path.rsplit('.').next().unwrap_or_default();
        assert!(
            text.contains(&format!("\"{}\"", key.path)) || text.contains(&format!("{last}\"")),
            "{} is mentioned nowhere",
            key.path
        );
    }
}
