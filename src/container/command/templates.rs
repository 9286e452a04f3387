//! `${CLEARML_TASK.id}` and its like in the words for docker (C-703, C-704).

use serde_json::Value;

use super::{ContainerFacts, ContainerOptions, Launch};
use crate::settings::Settings;

/// What every template begins with, behind the dollar sign.
const PREFIX: &str = "CLEARML_";

/// Resolves templates in any text.
#[derive(Clone, Copy, Debug)]
pub struct TextTemplates<'a> {
    /// For `CONFIG`.
    pub settings: &'a Settings,
    /// What is known of the task.
    pub facts: &'a ContainerFacts,
    /// For `WORKER_ID`.
    pub worker: &'a str,
}

/// Resolves templates in the words of one run of a task.
#[derive(Clone, Copy)]
pub(super) struct Templates<'a> {
    pub(super) options: &'a ContainerOptions,
    pub(super) facts: &'a ContainerFacts,
    pub(super) launch: &'a Launch,
}

/// What stands for a template.
enum Found {
    Text(String),
    /// There is no such field, or it is no text.
    Nothing,
    /// Nobody knows the name.
    Unknown,
}

impl Templates<'_> {
    /// The words with their templates resolved, all of them, for servers that know templates (C-031).
    pub(super) fn resolve(&self, words: &[String], warnings: &mut Vec<String>) -> Vec<String> {
        if self.facts.api_version < (2, 20) {
            return words.to_vec();
        }
        let templates = TextTemplates {
            settings: &self.options.configuration,
            facts: self.facts,
            worker: &self.launch.worker,
        };
        words
            .iter()
            .map(|word| match templates.text(word) {
                Ok(word) => word,
                Err(why) => {
                    let warning =
                        format!("Failed parsing ClearML Template argument [{word}] skipped: {why}");
                    if !warnings.contains(&warning) {
                        warnings.push(warning);
                    }
                    word.clone()
                }
            })
            .collect()
    }
}

impl TextTemplates<'_> {
    /// The text with its templates resolved; where one cannot be read, why (C-703).
    pub fn text(&self, word: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = word;
        while let Some(place) = rest.find('$') {
            out += &rest[..place];
            rest = &rest[place..];
            if rest.starts_with("$$") {
                out += "$$";
                rest = &rest[2..];
                continue;
            }
            let (template, after) = split(rest);
            out += &match template {
                Some(template) => self.template(template)?.unwrap_or_else(|| {
                    let end = rest.len() - after.len();
                    rest[..end].to_owned()
                }),
                None => "$".to_owned(),
            };
            rest = after;
        }
        Ok(out + rest)
    }

    /// None where the template stays as it is written.
    fn template(&self, template: Template<'_>) -> Result<Option<String>, String> {
        let mut text = match self.found(template.path) {
            Found::Text(text) => text,
            Found::Unknown => return Ok(None),
            Found::Nothing => match template.default {
                Some(default) => default.to_owned(),
                None => return Ok(None),
            },
        };
        let mut is_raw = false;
        for filter in template.filters {
            match filter {
                Filter::Lower => text = text.to_lowercase(),
                Filter::Capitalize => {
                    let mut characters = text.chars();
                    text = characters.next().map_or_else(String::new, |first| {
                        first.to_uppercase().collect::<String>()
                            + &characters.as_str().to_lowercase()
                    });
                }
                Filter::Strip("") => text = String::from(text.trim()),
                Filter::Strip(characters) => {
                    text = String::from(text.trim_matches(|c| characters.contains(c)));
                }
                Filter::RemoveNewlines => text = text.replace(['\r', '\n'], ""),
                Filter::Raw => is_raw = true,
                Filter::Unknown(name) => return Err(format!("no filter `{name}`")),
            }
        }
        Ok(Some(if is_raw {
            text
        } else {
            text.replace(['\r', '\n'], "")
        }))
    }

    fn found(&self, path: &str) -> Found {
        let facts = self.facts;
        let single = |text: Option<&str>| Found::Text(text.unwrap_or_default().to_owned());
        let queue = facts.queue.as_ref();
        let project = facts.fields.get("project").and_then(Value::as_str);
        match path {
            "QUEUE_NAME" => single(queue.and_then(|(_, name)| name.as_deref())),
            "QUEUE_ID" => single(queue.map(|(id, _)| id.as_str())),
            "WORKER_ID" => single(Some(self.worker)),
            "PROJECT_NAME" => single(facts.project_name.as_deref()),
            "PROJECT_ID" => single(project),
            path => match path.split_once('.') {
                Some(("TASK", "id")) => single(Some(&facts.task)),
                Some(("TASK", path)) => found_in(Some(&facts.fields), path),
                Some(("CONFIG", path)) => {
                    let value = self.settings.value(path);
                    let value = value.and_then(|value| serde_json::to_value(value).ok());
                    value.as_ref().map_or(Found::Nothing, scalar)
                }
                Some(("USER_VAULTS", path)) => found_in(facts.owner_vault.as_ref(), path),
                Some(("USER", path)) => found_in(facts.user.as_ref(), path),
                Some(("PROVIDERS_INFO", _)) => Found::Nothing,
                _ => Found::Unknown,
            },
        }
    }
}

/// Whether a word has a template that needs one of these: `TASK`, `USER`, `USER_VAULTS`, `QUEUE`, `PROJECT`.
pub fn mentions(word: &str, name: &str) -> bool {
    word.contains(&format!("${PREFIX}{name}")) || word.contains(&format!("${{{PREFIX}{name}"))
}

fn found_in(value: Option<&Value>, path: &str) -> Found {
    value
        .and_then(|value| field(value, path))
        .map_or(Found::Nothing, scalar)
}

/// Texts, numbers and truths, and lists of them; null is empty.
fn scalar(value: &Value) -> Found {
    let text = |value: &Value| match value {
        Value::Null => Some(String::new()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => None,
    };
    let found = match value {
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(text).collect();
            items.map(|items| items.join(","))
        }
        value => text(value),
    };
    found.map_or(Found::Nothing, Found::Text)
}

/// The field at a dotted path; names may have dots themselves.
pub(super) fn field<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let member = |name: &str| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        value => value.get(name),
    };
    if let Some(found) = member(path) {
        return Some(found);
    }
    path.match_indices('.')
        .find_map(|(dot, _)| field(member(&path[..dot])?, &path[dot + 1..]))
}

/// A template that has been read.
struct Template<'a> {
    /// `TASK.id`, without the beginning that all have.
    path: &'a str,
    filters: Vec<Filter<'a>>,
    default: Option<&'a str>,
}

enum Filter<'a> {
    Lower,
    Capitalize,
    Strip(&'a str),
    RemoveNewlines,
    Raw,
    Unknown(&'a str),
}

impl<'a> Filter<'a> {
    fn read(text: &'a str) -> Self {
        match text.trim() {
            "lower" => Self::Lower,
            "capitalize" => Self::Capitalize,
            "remove_newlines" => Self::RemoveNewlines,
            "raw" => Self::Raw,
            "strip" => Self::Strip(""),
            other => match other
                .strip_prefix("strip(")
                .and_then(|s| s.strip_suffix(')'))
            {
                Some(characters) => Self::Strip(characters.trim_matches(['"', '\''])),
                None => Self::Unknown(other),
            },
        }
    }
}

/// The template at the head of `text`, which begins with a dollar sign, and what is behind it. Where there is none, all
/// but the dollar sign is behind.
fn split(text: &str) -> (Option<Template<'_>>, &str) {
    let none = (None, &text[1..]);
    if let Some(body) = text.strip_prefix("${") {
        let Some((body, after)) = body.split_once('}') else {
            return none;
        };
        return match body.strip_prefix(PREFIX) {
            Some(body) => (Some(read(body)), after),
            None => none,
        };
    }
    let Some(body) = text[1..].strip_prefix(PREFIX) else {
        return none;
    };
    let end = body.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
    let path = body[..end.unwrap_or(body.len())].trim_end_matches('.');
    let template = Template {
        path,
        filters: Vec::new(),
        default: None,
    };
    (Some(template), &body[path.len()..])
}

/// `PATH[|FILTER…][:DEFAULT][|FILTER…]`
fn read(body: &str) -> Template<'_> {
    let end = body.find(['|', ':']).unwrap_or(body.len());
    let (path, mut rest) = body.split_at(end);
    let mut filters = Vec::new();
    let mut default = None;
    while let Some(after) = rest.strip_prefix('|') {
        let end = after.find(['|', ':']).unwrap_or(after.len());
        filters.push(Filter::read(&after[..end]));
        rest = &after[end..];
    }
    if let Some(mut text) = rest.strip_prefix(':') {
        let mut behind = Vec::new();
        while let Some((before, last)) = text.rsplit_once('|') {
            match Filter::read(last) {
                Filter::Unknown(_) => break,
                filter => behind.push(filter),
            }
            text = before;
        }
        filters.extend(behind.into_iter().rev());
        default = Some(text);
    }
    Template {
        path,
        filters,
        default,
    }
}
