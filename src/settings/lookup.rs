//! Values by dotted key, turned into the types that Python would make of them.

use std::path::PathBuf;
use std::time::Duration;

use super::environment::truth;
use super::hocon::{Kind, Origin, Value};
use super::{Settings, SettingsError, files, layers};
use crate::secrets::SecretString;

impl Settings {
    /// The value at a key, null included.
    pub fn value(&self, key: &str) -> Option<&Value> {
        layers::value(self.root(), key)
    }

    /// Where the value of a key was written.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.value(key).map(|value| &value.origin)
    }

    /// The value as text: numbers in decimal, booleans as `True` and `False`; `None` for null and collections (F-047, F-201).
    pub fn text(&self, key: &str) -> Option<String> {
        self.value(key)?.to_text()
    }

    /// As [`Settings::text`], and `None` for the empty text.
    pub fn filled_text(&self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// A secret, which may be a number in the file (F-046); `None` where it is empty.
    pub fn secret(&self, key: &str) -> Option<SecretString> {
        self.filled_text(key).map(SecretString::new)
    }

    /// The value as a condition: the boolean words mean what they say, other text and numbers are true
    /// unless empty or zero, null and a missing key are `None` (F-201).
    pub fn boolean(&self, key: &str) -> Option<bool> {
        condition(self.value(key)?)
    }

    /// As [`Settings::boolean`], false for null and a missing key.
    pub fn is_on(&self, key: &str) -> bool {
        self.boolean(key).unwrap_or(false)
    }

    /// A whole number; text of digits counts, a fraction is cut off.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, SettingsError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let number = match &value.kind {
            Kind::Null => return Ok(None),
            Kind::Text(text) if text.is_empty() => return Ok(None),
            Kind::Boolean(boolean) => Some(i64::from(*boolean)),
            Kind::Integer(number) => number.to_i64(),
            Kind::Float(number) => whole(*number),
            Kind::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        number
            .map(Some)
            .ok_or_else(|| wrong_type(key, "a whole number", value))
    }

    /// A number; text that is one counts.
    pub fn number(&self, key: &str) -> Result<Option<f64>, SettingsError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let number = match &value.kind {
            Kind::Null => return Ok(None),
            Kind::Text(text) if text.is_empty() => return Ok(None),
            Kind::Boolean(boolean) => Some(f64::from(*boolean)),
            Kind::Integer(number) => number.to_string().parse().ok(),
            Kind::Float(number) => Some(*number),
            Kind::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        number
            .map(Some)
            .ok_or_else(|| wrong_type(key, "a number", value))
    }

    /// A number of seconds; a negative one is an error.
    pub fn seconds(&self, key: &str) -> Result<Option<Duration>, SettingsError> {
        let Some(seconds) = self.number(key)? else {
            return Ok(None);
        };
        Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| {
            self.value(key)
                .map_or(SettingsError::NoConfiguration, |value| {
                    wrong_type(key, "a number of seconds", value)
                })
        })
    }

    /// The elements of a list as text; a single value is a list of one; null and a missing key are `None`.
    pub fn list(&self, key: &str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        match &value.kind {
            Kind::Null | Kind::Object(_) => None,
            Kind::List(items) => Some(items.iter().filter_map(Value::to_text).collect()),
            Kind::Text(text) if text.is_empty() => Some(Vec::new()),
            _ => value.to_text().map(|text| vec![text]),
        }
    }

    /// As [`Settings::list`], but text is split into the words of a shell line, which is how docker arguments may be written.
    pub fn words(&self, key: &str) -> Option<Vec<String>> {
        match &self.value(key)?.kind {
            Kind::Text(text) => Some(
                shlex::split(text)
                    .unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect()),
            ),
            _ => self.list(key),
        }
    }

    /// A file or folder, `~` and `$VAR` replaced; `None` where it is empty, which switches it off (F-116, F-201).
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        self.filled_text(key).map(|text| self.expand(&text))
    }

    /// A path as users write it, `~` and `$VAR` replaced (F-116).
    pub fn expand(&self, path: &str) -> PathBuf {
        files::expand(path, self.environment(), self.home())
    }
}

/// See [`Settings::boolean`].
pub(super) fn condition(value: &Value) -> Option<bool> {
    Some(match &value.kind {
        Kind::Null => return None,
        Kind::Boolean(boolean) => *boolean,
        Kind::Integer(number) => number.to_i64() != Some(0),
        Kind::Float(number) => *number != 0.0,
        Kind::Text(text) => truth(text).unwrap_or(!text.is_empty()),
        Kind::List(items) => !items.is_empty(),
        Kind::Object(members) => !members.is_empty(),
    })
}

/// The whole part of a number that is small enough to have one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "cutting the fraction off is the purpose, the range is checked"
)]
fn whole(number: f64) -> Option<i64> {
    (number.abs() < 9e15).then_some(number as i64)
}

pub(super) fn wrong_type(key: &str, expected: &'static str, value: &Value) -> SettingsError {
    SettingsError::WrongType {
        key: key.to_owned(),
        expected,
        origin: Box::new(value.origin.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    fn settings(text: &str) -> Settings {
        Settings::from_text(text, &Environment::from([("DATA", "/data")]))
            .expect("the text is good")
    }

    /// F-046, F-047
    #[test]
    fn values_become_text_as_in_python() {
        let settings = settings("a: 3.10, b: 007, c: true, d: null, e: \"3.10\", f: [1]");
        assert_eq!(settings.text("a").as_deref(), Some("3.1"));
        assert_eq!(settings.text("b").as_deref(), Some("7"));
        assert_eq!(settings.text("c").as_deref(), Some("True"));
        assert_eq!(settings.text("d"), None);
        assert_eq!(settings.text("e").as_deref(), Some("3.10"));
        assert_eq!(settings.text("f"), None);
        assert_eq!(settings.text("no.such.key"), None);
    }

    /// F-201
    #[test]
    fn conditions_are_read_from_every_type() {
        let settings = settings(
            "a: yes, b: off, c: 0, d: 2, e: \"\", f: null, g: word, h: \"false\", i: [], j: 0.0",
        );
        let expected = [
            ("a", Some(true)),
            ("b", Some(false)),
            ("c", Some(false)),
            ("d", Some(true)),
            ("e", Some(false)),
            ("f", None),
            ("g", Some(true)),
            ("h", Some(false)),
            ("i", Some(false)),
            ("j", Some(false)),
        ];
        for (key, expected) in expected {
            assert_eq!(settings.boolean(key), expected, "{key}");
        }
    }

    #[test]
    fn numbers_say_where_they_are_wrong() {
        let settings = settings("a: 5, b: \"6\", c: 7.9, d: word, e: -1, f: 2.5, g: \"\"");
        let integer = |key| settings.integer(key).expect("a number");
        assert_eq!(integer("a"), Some(5));
        assert_eq!(integer("b"), Some(6));
        assert_eq!(integer("c"), Some(7));
        assert_eq!(integer("g"), None);
        assert_eq!(
            settings.seconds("f").expect("seconds"),
            Some(Duration::from_millis(2500))
        );
        let error = settings.integer("d").expect_err("a word is no number");
        assert_eq!(error.to_string(), "d must be a whole number (text)");
        settings
            .seconds("e")
            .expect_err("time does not run backwards");
    }

    /// W25
    #[test]
    fn one_value_is_a_list_of_one() {
        let settings = settings("a: [x, 1, null], b: \"-v '/a b:/c'\", c: \"\", d: null");
        assert_eq!(
            settings.list("a"),
            Some(vec!["x".to_owned(), "1".to_owned()])
        );
        assert_eq!(settings.list("b"), Some(vec!["-v '/a b:/c'".to_owned()]));
        assert_eq!(
            settings.words("b"),
            Some(vec!["-v".to_owned(), "/a b:/c".to_owned()])
        );
        assert_eq!(settings.list("c"), Some(Vec::new()));
        assert_eq!(settings.list("d"), None);
    }

    /// F-116
    #[test]
    fn paths_are_expanded() {
        let settings = settings("a: ~/x, b: \"$DATA/y\", c: \"\"");
        assert_eq!(settings.path("a"), Some("/home/user/x".into()));
        assert_eq!(settings.path("b"), Some("/data/y".into()));
        assert_eq!(settings.path("c"), None);
    }
}
