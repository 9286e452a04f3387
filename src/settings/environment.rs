//! A snapshot of the environment variables; the only place that reads those of the process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::env_vars::{self, Variable, VariableKind};
use super::schema::State;

/// Variables as they were at one moment. Cheap to clone; nothing changes it from outside.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(Arc<BTreeMap<String, String>>);

/// A word that is neither true nor false (F-072).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid truth value '{word}'")]
pub struct InvalidTruth {
    /// The variable that holds it.
    pub variable: &'static str,
    /// The word.
    pub word: String,
}

impl InvalidTruth {
    /// What is printed where a session goes on with its default (F-072, second family).
    pub fn notice(&self) -> String {
        format!(
            "Environment configuration: invalid value {}={}: {self}",
            self.variable, self.word
        )
    }
}

impl Environment {
    /// The variables of this process. What is not UTF-8 is read with replacement characters.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| {
                (
                    name.to_string_lossy().into_owned(),
                    value.to_string_lossy().into_owned(),
                )
            })
            .collect()
    }

    /// The variable of exactly this name, also an empty one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All variables in the byte order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first of the variable's names that is not empty, without blanks at the ends (F-070, F-071).
    pub fn text(&self, variable: &Variable) -> Option<&str> {
        self.named_text(variable).map(|(_, text)| text)
    }

    /// As [`Self::text`], with the name that was set.
    pub fn named_text(&self, variable: &Variable) -> Option<(&'static str, &str)> {
        variable
            .names()
            .find_map(|name| Some((name, self.get(name).filter(|text| !text.is_empty())?)))
            .map(|(name, text)| (name, text.trim()))
    }

    /// A boolean word (F-072); `None` where the variable is not set.
    pub fn boolean(&self, variable: &Variable) -> Result<Option<bool>, InvalidTruth> {
        let Some((name, word)) = self.named_text(variable) else {
            return Ok(None);
        };
        truth(word).map(Some).ok_or_else(|| InvalidTruth {
            variable: name,
            word: word.to_owned(),
        })
    }

    /// As [`Self::boolean`], and another word counts as no word (F-072, second family); [`Self::session_notices`] tells of it.
    pub fn lenient(&self, variable: &Variable) -> Option<bool> {
        self.boolean(variable).unwrap_or_default()
    }

    /// What to tell when a session begins: the lenient booleans that hold another word (F-072, second family).
    pub fn session_notices(&self) -> Vec<String> {
        let lenient = env_vars::ALL
            .iter()
            .filter(|variable| variable.kind == VariableKind::SessionBoolean);
        lenient
            .filter_map(|variable| self.boolean(variable).err())
            .map(|error| error.notice())
            .collect()
    }

    /// Fails on a boolean that is in use and holds another word (F-072, first family), so that it is told at the start, not
    /// in the middle of a task.
    pub fn check_booleans(&self) -> Result<(), InvalidTruth> {
        let strict = env_vars::ALL.iter().filter(|variable| {
            variable.kind == VariableKind::Boolean && variable.state == State::InUse
        });
        for variable in strict {
            self.boolean(variable)?;
        }
        Ok(())
    }

    /// True where the variable holds any text, even `0` (F-072, third family).
    pub fn is_set(&self, variable: &Variable) -> bool {
        self.text(variable).is_some()
    }

    /// The words of a shell line (F-073). A line with an open quote is split at its blanks.
    pub fn words(&self, variable: &Variable) -> Option<Vec<String>> {
        let text = self.text(variable)?;
        Some(
            shlex::split(text)
                .unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect()),
        )
    }

    /// The same with one variable changed.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut variables = (*self.0).clone();
        variables.insert(name.to_owned(), value.to_owned());
        Self(Arc::new(variables))
    }

    /// The same without a variable, under all its names.
    #[must_use]
    pub fn without(&self, variable: &Variable) -> Self {
        let mut variables = (*self.0).clone();
        for name in variable.names() {
            variables.remove(name);
        }
        Self(Arc::new(variables))
    }

    /// The same without the variable of this name.
    #[must_use]
    pub fn without_name(&self, name: &str) -> Self {
        if self.get(name).is_none() {
            return self.clone();
        }
        let mut variables = (*self.0).clone();
        variables.remove(name);
        Self(Arc::new(variables))
    }

    /// The same with `TRAINS_X` for every `CLEARML_X`, which is what child processes get (F-074).
    #[must_use]
    pub fn mirrored(&self) -> Self {
        let mut variables = (*self.0).clone();
        for (name, value) in &*self.0 {
            if let Some(rest) = name.strip_prefix("CLEARML_") {
                variables
                    .entry(format!("TRAINS_{rest}"))
                    .or_insert_with(|| value.clone());
            }
        }
        Self(Arc::new(variables))
    }
}

/// The boolean words in any case (F-072).
pub fn truth(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "y" | "yes" | "t" | "true" | "on" | "1" => Some(true),
        "n" | "no" | "f" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(Arc::new(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        ))
    }
}

impl<const COUNT: usize> From<[(&str, &str); COUNT]> for Environment {
    fn from(variables: [(&str, &str); COUNT]) -> Self {
        variables.into_iter().collect()
    }
}

/// Names only; values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::env_vars;
    use super::*;

    /// F-070, F-071
    #[test]
    fn the_first_name_that_is_not_empty_wins_and_is_trimmed() {
        let environment =
            Environment::from([("CLEARML_WORKER_ID", ""), ("TRAINS_WORKER_ID", "  w:1 ")]);
        assert_eq!(environment.text(&env_vars::WORKER_ID), Some("w:1"));
        assert_eq!(environment.text(&env_vars::WORKER_NAME), None);
    }

    /// F-072
    #[test]
    fn boolean_words_in_any_case() {
        for (word, expected) in [("Yes", true), ("ON", true), ("0", false), ("f", false)] {
            let environment = Environment::from([("CLEARML_AGENT_FORCE_UV", word)]);
            assert_eq!(environment.boolean(&env_vars::FORCE_UV), Ok(Some(expected)));
        }
        let environment = Environment::from([("CLEARML_API_VERBOSE", "maybe")]);
        let error = environment
            .boolean(&env_vars::API_VERBOSE)
            .expect_err("no boolean word");
        assert_eq!(error.to_string(), "invalid truth value 'maybe'");
        assert_eq!(
            error.notice(),
            "Environment configuration: invalid value CLEARML_API_VERBOSE=maybe: invalid truth value 'maybe'"
        );
    }

    /// F-072
    #[test]
    fn each_family_has_its_way_with_other_words() {
        let environment = Environment::from([
            ("CLEARML_AGENT_PROPAGATE_EXITCODE", "maybe"),
            ("CLEARML_DOCKER_SKIP_GPUS_FLAG", "0"),
        ]);
        let notice = "Environment configuration: invalid value CLEARML_AGENT_PROPAGATE_EXITCODE=maybe: \
                      invalid truth value 'maybe'";
        assert_eq!(environment.session_notices(), [notice]);
        assert_eq!(environment.lenient(&env_vars::PROPAGATE_EXITCODE), None);
        assert!(environment.is_set(&env_vars::DOCKER_SKIP_GPUS_FLAG));
        environment.check_booleans().expect("no strict one is set");
        let strict = environment.with("CLEARML_AGENT_FORCE_TASK_INIT", "maybe");
        let error = strict
            .check_booleans()
            .expect_err("a strict one holds another word");
        assert_eq!(error.to_string(), "invalid truth value 'maybe'");
        assert_eq!(error.variable, "CLEARML_AGENT_FORCE_TASK_INIT");
        assert_eq!(strict.session_notices(), [notice]);
    }

    /// F-073
    #[test]
    fn lists_are_split_like_a_shell_line() {
        let environment =
            Environment::from([("CLEARML_AGENT_EXTRA_DOCKER_ARGS", "-v '/a b:/c' x")]);
        assert_eq!(
            environment.words(&env_vars::EXTRA_DOCKER_ARGS),
            Some(vec!["-v".to_owned(), "/a b:/c".to_owned(), "x".to_owned()])
        );
    }

    /// F-074
    #[test]
    fn children_see_both_names_and_an_existing_one_stays() {
        let environment =
            Environment::from([("CLEARML_A", "1"), ("CLEARML_B", "2"), ("TRAINS_B", "old")])
                .mirrored();
        assert_eq!(environment.get("TRAINS_A"), Some("1"));
        assert_eq!(environment.get("TRAINS_B"), Some("old"));
    }

    #[test]
    fn debug_shows_no_value() {
        let environment = Environment::from([("CLEARML_API_SECRET_KEY", "hidden")]);
        assert!(!format!("{environment:?}").contains("hidden"));
    }
}
