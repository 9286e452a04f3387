//! `script.requirements`: named package lists, each a text or a list of lines (A-125, A-138).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// All package lists of a task, in the server's order and spelling.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Requirements(Map<String, Value>);

/// One package list as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// One text with all lines, as a requirements file.
    Text(String),
    /// A list of lines.
    Lines(Vec<String>),
}

impl Requirement {
    /// One text with all lines.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Lines(lines) => lines.join("\n"),
        }
    }

    /// True where no line says anything.
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Text(text) => text.trim().is_empty(),
            Self::Lines(lines) => lines.iter().all(|line| line.trim().is_empty()),
        }
    }
}

impl Requirements {
    /// The list `pip`, `conda`, `org_pip` and so on; none where it is missing or is no list of packages.
    pub fn list(&self, name: &str) -> Option<Requirement> {
        match self.0.get(name)? {
            Value::String(text) => Some(Requirement::Text(text.clone())),
            Value::Array(items) => Some(Requirement::Lines(
                items
                    .iter()
                    .filter_map(|item| item.as_str().map(str::to_owned))
                    .collect(),
            )),
            _ => None,
        }
    }

    /// The names of all lists.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// True where there is no list at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a list in, at the end where there was none of this name.
    pub fn set(&mut self, name: &str, lines: Vec<String>) {
        self.0.insert(name.to_owned(), lines.into());
    }

    /// Puts a text in, as [`Self::set`] does it.
    pub fn set_text(&mut self, name: &str, text: String) {
        self.0.insert(name.to_owned(), text.into());
    }

    /// Puts the installed packages in the place of the lists that were asked for, which are saved once (E-197).
    pub fn set_installed(&mut self, lines: Vec<String>) {
        self.rename("pip", "org_pip");
        self.rename("conda", "org_conda");
        self.set("pip", lines);
    }

    /// Gives a list a new name; it moves to the end. Does nothing where `to` exists, or where `from` says nothing (E-197).
    pub fn rename(&mut self, from: &str, to: &str) {
        let says_nothing = match self.0.get(from) {
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(lines)) => lines.is_empty(),
            _ => false,
        };
        if !says_nothing
            && !self.0.contains_key(to)
            && let Some(list) = self.0.shift_remove(from)
        {
            self.0.insert(to.to_owned(), list);
        }
    }
}

impl<'de> Deserialize<'de> for Requirements {
    /// Old tasks have plain text, which is pip's.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = match Value::deserialize(deserializer)? {
            Value::Object(map) => map,
            text @ Value::String(_) => Map::from_iter([("pip".to_owned(), text)]),
            _ => Map::new(),
        };
        Ok(Self(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Requirements {
        serde_json::from_value(value).unwrap()
    }

    /// A-125
    #[test]
    fn every_written_form_is_read() {
        let lists = read(json!({"pip": "six\n", "conda": ["a", "b"], "odd": 3}));
        assert_eq!(lists.list("pip"), Some(Requirement::Text("six\n".into())));
        assert_eq!(lists.list("conda").unwrap().text(), "a\nb");
        assert_eq!(lists.list("odd"), None);
        assert_eq!(read(json!("six")).list("pip").unwrap().text(), "six");
        assert!(read(Value::Null).is_empty());
        assert!(read(json!({"pip": " \n"})).list("pip").unwrap().is_blank());
    }

    /// E-197: the original is saved once, other keys are kept.
    #[test]
    fn the_users_list_is_saved_once() {
        let after = |current: Value| {
            let mut lists = read(current);
            lists.set_installed(vec!["Six==1.16.0".into(), "attrs==1".into()]);
            serde_json::to_value(lists).unwrap()
        };
        let packages = json!(["Six==1.16.0", "attrs==1"]);
        let first = after(json!({"pip": "six==1.16.0\n", "conda": "", "x": 1}));
        assert_eq!(
            first.to_string(),
            json!({"conda": "", "x": 1, "org_pip": "six==1.16.0\n", "pip": packages}).to_string()
        );
        let second = after(json!({"org_pip": "six==1.16.0\n", "pip": ["six"]}));
        assert_eq!(second, json!({"org_pip": "six==1.16.0\n", "pip": packages}));
        for nothing in [Value::Null, json!({"pip": ""}), json!({"pip": []})] {
            assert_eq!(after(nothing), json!({"pip": packages}));
        }
    }

    /// A-138, E-197: the request of the recorded task.
    #[test]
    fn the_frozen_list_takes_the_place_of_the_original() {
        let mut lists = read(json!({"pip": "six\n"}));
        lists.rename("pip", "org_pip");
        lists.set("pip", vec!["Cython==3.3.1".into(), "six==1.17.0".into()]);
        assert_eq!(
            serde_json::to_string(&lists).unwrap(),
            r#"{"org_pip":"six\n","pip":["Cython==3.3.1","six==1.17.0"]}"#
        );
        lists.rename("pip", "org_pip");
        assert_eq!(lists.list("org_pip").unwrap().text(), "six\n");
    }
}
