//! What `config --explain` says about a key.

use std::fmt;

use super::unknown::{is_below, is_section, nearest};
use super::{Key, State, key, keys};
use crate::settings::hocon::{Source, Value};
use crate::settings::{Settings, SettingsError};

/// A key with its value, where that comes from, what it covers, and what it means.
#[derive(Debug)]
pub struct Explanation {
    /// What is printed of it, secrets starred.
    lines: Vec<String>,
}

impl Settings {
    /// Explains a key, or each key of a section; `completed` are these settings with what was found out at start-up.
    ///
    /// An error names the nearest key where nobody knows this one.
    pub fn explain(&self, path: &str) -> Result<Vec<Explanation>, SettingsError> {
        let paths: Vec<&str> = if key(path).is_none() && is_section(path) {
            let below = keys().map(|key| key.path);
            below.filter(|known| is_below(known, path)).collect()
        } else if key(path).is_none() && self.value(path).is_none() {
            return Err(SettingsError::UnknownKey {
                key: path.to_owned(),
                nearest: nearest(path),
            });
        } else {
            vec![path]
        };
        paths
            .into_iter()
            .map(|path| {
                let history = self.history(path)?;
                Ok(Explanation::new(self, path, &history))
            })
            .collect()
    }
}

impl Explanation {
    fn new(settings: &Settings, path: &str, history: &[Value]) -> Self {
        let row = key(path);
        let mut lines = settings.printout_of(path, None);
        let value = settings.value(path);
        if lines.is_empty() {
            lines.push(match value.map(Value::is_null) {
                Some(true) => format!("{path} is null"),
                Some(false) => format!("{path} is empty"),
                None => format!("{path} is not set"),
            });
        }
        let mut add =
            |what: &str, text: &str| lines.push(format!("  {:<11}{text}", format!("{what}:")));
        if let Some(value) = value {
            add("from", &value.origin.to_string());
        }
        let covered = history.iter().rev().filter(|past| {
            let is_gap = past.is_null() && *past.origin.source() == Source::Detected;
            !is_gap && value.is_none_or(|value| value.origin != past.origin)
        });
        for past in covered {
            let parts = settings.printout_of(path, Some(past));
            let short = |line: &String| {
                line[path.len()..]
                    .trim_start_matches([' ', '=', '.'])
                    .to_owned()
            };
            let text = parts.iter().map(short).collect::<Vec<_>>().join(", ");
            let text = if text.is_empty() { "nothing" } else { &text };
            add("overrides", &format!("{text} ({})", past.origin));
        }
        match row {
            Some(row) => Self::describe(row, settings, value, &mut add),
            None => add("meaning", "no key of the agent"),
        }
        Self { lines }
    }

    fn describe(
        row: &Key,
        settings: &Settings,
        value: Option<&Value>,
        add: &mut impl FnMut(&str, &str),
    ) {
        if let (None, Some(otherwise)) = (value, row.otherwise) {
            add("otherwise", otherwise);
        }
        add("type", &row.kind.to_string());
        for variable in row.variables {
            let origin = value
                .map(|value| value.origin.to_string())
                .unwrap_or_default();
            if let Some((name, _)) = settings.environment().named_text(variable)
                && origin != format!("environment variable {name}")
            {
                add("also set", &format!("{name}: {}", variable.text()));
            }
        }
        let names: Vec<_> = row
            .variables
            .iter()
            .flat_map(|variable| variable.names())
            .collect();
        if !names.is_empty() {
            add("variables", &names.join(", "));
        }
        add("meaning", row.text());
        match row.state {
            State::InUse => {}
            state => add("note", state.note()),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::settings::hocon::Kind;
    use crate::settings::{Environment, Overrides};

    fn explained(path: &str, variables: &[(&str, &str)]) -> Result<String, SettingsError> {
        let home = tempfile::tempdir().expect("a temporary folder");
        let write =
            |name: &str, text: &str| fs::write(home.path().join(name), text).expect("written");
        write(
            "trains.conf",
            "agent { git_pass: first-of-all, worker_name: old }\n",
        );
        write(
            "clearml.conf",
            "agent {\n  worker_name: new\n  git_pass: second-of-all\n  vcs_cache.path: /c\n}\nmine.x: 5\n",
        );
        let environment: Environment = variables.iter().copied().collect();
        let overrides = Overrides::default().with("agent.debug", Kind::Boolean(true), "--debug");
        let settings = Settings::load(&environment, home.path(), &overrides)?;
        let all = settings.explain(path)?;
        let folder = home.path().display().to_string();
        let lines = all.iter().map(ToString::to_string).collect::<Vec<_>>();
        Ok(lines.join("\n").replace(&folder, "HOME"))
    }

    /// F-010, F-160
    #[test]
    fn a_value_is_told_with_what_it_overrides() {
        let told = explained("agent.worker_name", &[("TRAINS_WORKER_NAME", "lab")]).expect("known");
        assert_eq!(
            told,
            "agent.worker_name = lab\n  \
               from:      environment variable TRAINS_WORKER_NAME\n  \
               overrides: new (HOME/clearml.conf:2)\n  \
               overrides: old (HOME/trains.conf:1)\n  \
               overrides: nothing (built-in default)\n  \
               type:      text\n  \
               variables: CLEARML_WORKER_NAME, TRAINS_WORKER_NAME\n  \
               meaning:   First part of the name that the worker makes for itself."
        );
    }

    /// F-164
    #[test]
    fn secrets_are_starred_in_every_layer() {
        let told = explained(
            "agent.git_pass",
            &[("CLEARML_AGENT_GIT_PASS", "third-of-all")],
        )
        .expect("known");
        for secret in ["first-of-all", "second-of-all", "third-of-all"] {
            assert!(!told.contains(secret), "{told}");
        }
        assert!(told.starts_with("agent.git_pass = ****\n"), "{told}");
        assert!(
            told.contains("\n  overrides: **** (HOME/trains.conf:1)"),
            "{told}"
        );
        assert!(
            told.contains("\n  also set:  CLEARML_AGENT_GIT_PASS: "),
            "{told}"
        );
    }

    #[test]
    fn a_key_without_a_value_says_what_holds() {
        let told = explained("agent.task_ping_interval_sec", &[]).expect("known");
        assert!(
            told.starts_with("agent.task_ping_interval_sec is not set\n  otherwise: 60\n"),
            "{told}"
        );
    }

    #[test]
    fn a_section_is_explained_key_by_key() {
        let told = explained("agent.vcs_cache", &[]).expect("known");
        assert!(
            told.starts_with("agent.vcs_cache.enabled = true\n"),
            "{told}"
        );
        assert!(
            told.contains("\nagent.vcs_cache.path = /c\n  from:      HOME/clearml.conf:4\n"),
            "{told}"
        );
        assert!(
            told.contains("\nagent.vcs_cache.clone_on_pull_fail is not set\n"),
            "{told}"
        );
    }

    #[test]
    fn a_list_is_told_as_it_is_printed() {
        let variables = [("CLEARML_AGENT__AGENT__GIT_FETCH_ARGS", "[\"--all\"]")];
        let told = explained("agent.git_fetch_args", &variables).expect("known");
        assert!(
            told.starts_with("agent.git_fetch_args.0 = --all\n  from:"),
            "{told}"
        );
        let overridden =
            "\n  overrides: 0 = --all, 1 = --tags, 2 = --recurse-submodules (built-in default)\n";
        assert!(told.contains(overridden), "{told}");
    }

    #[test]
    fn what_is_the_users_own_has_a_value_and_no_meaning() {
        let told = explained("mine.x", &[]).expect("is there");
        assert_eq!(
            told,
            "mine.x = 5\n  from:      HOME/clearml.conf:6\n  meaning:   no key of the agent"
        );
        let error = explained("agent.git_usr", &[]).expect_err("nobody knows it");
        assert_eq!(error.to_string(), "unknown key agent.git_usr");
        assert_eq!(
            error.hint().as_deref(),
            Some("did you mean agent.git_user?")
        );
    }
}
