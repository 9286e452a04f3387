//! `clearml.conf.sample`, made of the tables: every key once, those that have a default switched on.

use std::fmt::Write as _;

use super::documents::{compare, inline};
use super::{GROUPS, Group, Key, KeyKind, State};
use crate::settings::hocon::{Kind, Value};
use crate::settings::layers;

const HEAD: &str = "\
# Configuration of the agent, to be copied to ~/clearml.conf and changed. All keys are here; the ones to begin with are the
# server and its credentials, which `clearml-agent init` asks for. What you do not change you can take out.
#
# A line that begins with # and a key is switched off; take the # away to use it. Values with special characters (= @ ! # $ and
# others) need quotes. A variable that is named sets the same value; CLEARML_AGENT__AGENT__VENVS_DIR sets agent.venvs_dir, and so
# for every key.
";

/// What has no default and must be filled in.
const TO_FILL_IN: [&str; 5] = [
    "api.api_server",
    "api.web_server",
    "api.files_server",
    "api.credentials.access_key",
    "api.credentials.secret_key",
];

/// Where a line of a comment ends.
const WIDTH: usize = 120;

/// A key, or what stands below one part of a path.
struct Node {
    name: &'static str,
    key: Option<(&'static Group, &'static Key)>,
    below: Vec<Self>,
}

impl Node {
    fn insert(&mut self, path: &'static str, leaf: (&'static Group, &'static Key)) {
        let (name, rest) = match path.split_once('.') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        let at = self.below.iter().position(|node| node.name == name);
        let at = at.unwrap_or_else(|| {
            self.below.push(Self {
                name,
                key: None,
                below: Vec::new(),
            });
            self.below.len() - 1
        });
        match rest {
            Some(rest) => self.below[at].insert(rest, leaf),
            None => self.below[at].key = Some(leaf),
        }
    }

    fn leaves(&self) -> Vec<(&'static Group, &'static Key)> {
        let below = self.below.iter().flat_map(Self::leaves);
        self.key.into_iter().chain(below).collect()
    }
}

/// The default of a key that is switched on.
fn set(key: &Key) -> Option<&'static Value> {
    layers::value(&layers::DEFAULTS, key.path)
}

fn is_on(key: &Key) -> bool {
    set(key).is_some() || TO_FILL_IN.contains(&key.path)
}

/// What a key that is switched off could be.
fn proposal(key: &Key) -> &'static str {
    let literal = key.otherwise.filter(|text| !text.starts_with('('));
    key.example.or(literal).unwrap_or_else(|| match key.kind {
        KeyKind::Boolean | KeyKind::BooleanOrText => "false",
        KeyKind::List | KeyKind::ListOrText | KeyKind::Objects => "[]",
        KeyKind::Text => "\"\"",
        other => panic!("{} needs an example of a {other}", key.path),
    })
}

struct Writer {
    out: String,
    title: &'static str,
}

impl Writer {
    fn comment(&mut self, depth: usize, text: &str) {
        let start = format!("{}#", "    ".repeat(depth));
        let mut line = start.clone();
        for word in text.split(' ') {
            if line.len() + 1 + word.len() > WIDTH && line.len() > start.len() {
                let _ = writeln!(self.out, "{line}");
                line.clone_from(&start);
            }
            let _ = write!(line, " {word}");
        }
        let _ = writeln!(self.out, "{line}");
    }

    fn heading(&mut self, depth: usize, node: &Node) {
        let Some((group, _)) = node.leaves().first().copied() else {
            return;
        };
        if depth < 2 && group.title != self.title {
            self.title = group.title;
            self.comment(depth, &format!("---- {} ----", group.title));
            self.out.push('\n');
        }
    }

    fn leaf(&mut self, depth: usize, name: &str, key: &Key) {
        let mut text = key.text().to_owned();
        if key.state != State::InUse {
            let _ = write!(text, " [{}]", key.state.note());
        }
        let variables: Vec<_> = key.variables.iter().map(|variable| variable.name).collect();
        if !variables.is_empty() {
            let _ = write!(text, " [{}]", variables.join(", "));
        }
        self.comment(depth, &text);
        let indent = "    ".repeat(depth);
        let _ = match (set(key), is_on(key)) {
            (
                Some(Value {
                    kind: Kind::List(items),
                    ..
                }),
                _,
            ) if inline_length(items) > WIDTH => {
                let items: Vec<_> = items
                    .iter()
                    .map(|item| format!("{indent}    {}", inline(item)))
                    .collect();
                writeln!(
                    self.out,
                    "{indent}{name}: [\n{}\n{indent}]",
                    items.join(",\n")
                )
            }
            (Some(value), _) => writeln!(self.out, "{indent}{name}: {}", inline(value)),
            (None, true) => writeln!(self.out, "{indent}{name}: {}", proposal(key)),
            (None, false) => writeln!(self.out, "{indent}#{name}: {}", proposal(key)),
        };
    }

    fn node(&mut self, depth: usize, prefix: &str, node: &Node) {
        let name = format!("{prefix}{}", node.name);
        if let Some((_, key)) = node.key {
            self.leaf(depth, &name, key);
        } else if node.leaves().iter().any(|(_, key)| is_on(key)) {
            let indent = "    ".repeat(depth);
            let _ = writeln!(self.out, "{indent}{name} {{");
            for (index, below) in node.below.iter().enumerate() {
                if index > 0 {
                    self.out.push('\n');
                }
                self.heading(depth + 1, below);
                self.node(depth + 1, "", below);
            }
            let _ = writeln!(self.out, "{indent}}}");
        } else {
            // An object without members would be something else than no object.
            for (index, below) in node.below.iter().enumerate() {
                if index > 0 {
                    self.out.push('\n');
                }
                self.node(depth, &format!("{name}."), below);
            }
        }
    }
}

fn inline_length(items: &[Value]) -> usize {
    items.iter().map(|item| inline(item).len()).sum()
}

fn sample() -> String {
    static SHOWN: &[Group] = &GROUPS;
    let mut root = Node {
        name: "",
        key: None,
        below: Vec::new(),
    };
    for group in SHOWN {
        for key in group.keys {
            if !key.is_of_other_releases() {
                root.insert(key.path, (group, key));
            }
        }
    }
    let mut writer = Writer {
        out: HEAD.to_owned(),
        title: "",
    };
    for below in &root.below {
        writer.out.push('\n');
        writer.heading(0, below);
        writer.node(0, "", below);
    }
    writer.out
}

/// F-200
#[test]
fn the_sample_is_that_of_the_tables() {
    compare("clearml.conf.sample", &sample());
}
