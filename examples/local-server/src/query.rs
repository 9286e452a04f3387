//! The common part of all `get_all` calls: filters, order, pages, and the choice of fields.

use std::cmp::Ordering;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::{
    call::{Call, lookup, texts},
    error::ApiError,
    schema::{Document, Field, Kind, optional},
};

/// Which fields of a collection can be asked for, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Fields with a list of wanted values.
    pub(crate) lists: &'static [&'static str],
    /// Fields with a regular expression, matched anywhere and in any case.
    pub(crate) patterns: &'static [&'static str],
    /// Fields with one value.
    pub(crate) exact: &'static [&'static str],
    /// Fields with bounds such as `>=2026-01-01T00:00:00`.
    pub(crate) times: &'static [&'static str],
    /// Fields that `search_text` looks at.
    pub(crate) searched: &'static [&'static str],
    /// Documents with such a system tag stay out unless they are asked for (A-105).
    pub(crate) hidden: &'static [&'static str],
}

/// So much is given at once, also where more or nothing is asked for.
const LARGEST_PAGE: usize = 500;

/// The fields that every `get_all` knows.
pub(crate) const COMMON_FIELDS: &[Field] = &[
    optional("id", Kind::TextOrTexts),
    optional("name", Kind::Text),
    optional("only_fields", Kind::Texts),
    optional("order_by", Kind::Texts),
    optional("page", Kind::Integer),
    optional("page_size", Kind::Integer),
    optional("project", Kind::TextOrTexts),
    optional("scroll_id", Kind::Text),
    optional("search_hidden", Kind::Flag),
    optional("search_text", Kind::Text),
    optional("size", Kind::Integer),
    optional("status", Kind::TextOrTexts),
    optional("system_tags", Kind::Texts),
    optional("tags", Kind::Texts),
    optional("type", Kind::TextOrTexts),
    optional("user", Kind::TextOrTexts),
    optional("_all_", Kind::Object),
    optional("_any_", Kind::Object),
];

/// The answer of a `get_all`.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) documents: Vec<Document>,
    /// Where the next page begins, if the request asked for scrolling.
    pub(crate) scroll_id: Option<String>,
}

/// The documents that match the request, ordered, cut to the wanted page, with the wanted fields.
pub(crate) fn select(
    call: &Call<'_>,
    documents: Vec<Document>,
    rules: &Rules,
) -> Result<Selection, ApiError> {
    let mut documents = filter(call, documents, rules)?;
    order(&mut documents, &call.texts("order_by"));
    let (page, scroll_id) = page(call, documents)?;
    let only = call.texts("only_fields");
    let documents = page
        .into_iter()
        .map(|document| {
            if only.is_empty() {
                document
            } else {
                project(&document, &only)
            }
        })
        .collect();
    Ok(Selection {
        documents,
        scroll_id,
    })
}

fn filter(
    call: &Call<'_>,
    mut documents: Vec<Document>,
    rules: &Rules,
) -> Result<Vec<Document>, ApiError> {
    if !call.flag("search_hidden") && !call.has("id") && !call.has("name") {
        documents.retain(|document| {
            let tags = texts(document.get("system_tags"));
            !tags.iter().any(|tag| rules.hidden.contains(&tag.as_str()))
        });
    }
    for (name, wanted) in &call.parameters {
        let is_member = name == "id" || rules.lists.contains(&name.as_str());
        // A member of a member can always be asked for, e.g. `models.input.model`.
        if is_member || name.contains('.') {
            let wanted = Choice::parse(wanted);
            documents.retain(|document| wanted.matches(&members(document, name)));
        }
    }
    for name in ["name"].iter().chain(rules.patterns) {
        if let Some(pattern) = call.given(name) {
            let pattern = compile(pattern)?;
            documents.retain(|document| matches_text(&pattern, lookup(document, name)));
        }
    }
    for name in rules.exact {
        if let Some(wanted) = call.parameters.get(*name) {
            documents.retain(|document| lookup(document, name) == Some(wanted));
        }
    }
    for name in rules.times {
        for bound in texts(call.parameters.get(*name)) {
            documents.retain(|document| within(lookup(document, name), &bound));
        }
    }
    if let Some(text) = call.given("search_text") {
        let pattern = compile(&regex::escape(text))?;
        documents.retain(|document| {
            rules
                .searched
                .iter()
                .any(|name| matches_text(&pattern, lookup(document, name)))
        });
    }
    for (name, all) in [("_all_", true), ("_any_", false)] {
        let Some(multiple) = call.parameters.get(name) else {
            continue;
        };
        let fields = texts(multiple.get("fields"));
        let Some(pattern) = multiple.get("pattern").and_then(Value::as_str) else {
            continue;
        };
        let pattern = compile(pattern)?;
        documents.retain(|document| {
            let mut hits = fields
                .iter()
                .map(|field| matches_text(&pattern, lookup(document, field)));
            if all {
                hits.all(|hit| hit)
            } else {
                hits.any(|hit| hit)
            }
        });
    }
    Ok(documents)
}

fn compile(pattern: &str) -> Result<Regex, ApiError> {
    RegexBuilder::new(pattern)
        .case_insensitive(true)
        .build()
        .map_err(|error| {
            ApiError::bad_request(21, format!("Malformed regular expression ({error})"))
        })
}

fn matches_text(pattern: &Regex, value: Option<&Value>) -> bool {
    texts(value).iter().any(|text| pattern.is_match(text))
}

/// The wanted and unwanted values of one field, with the operators that tag filters know.
#[derive(Debug, Default)]
struct Choice {
    wanted: Vec<Value>,
    unwanted: Vec<Value>,
    all: bool,
}

impl Choice {
    fn parse(value: &Value) -> Self {
        let items = match value {
            Value::Array(items) => items.clone(),
            single => vec![single.clone()],
        };
        let mut choice = Self::default();
        let mut negated = false;
        for item in items {
            match item.as_str() {
                Some("__$all" | "__$and") => choice.all = true,
                Some("__$any" | "__$or") => choice.all = false,
                Some("__$not") => negated = true,
                Some("__$nop") => {}
                Some(text) if negated => {
                    choice.unwanted.push(text.into());
                    negated = false;
                }
                Some(text) if text.len() > 1 && text.starts_with('-') => {
                    choice.unwanted.push(text[1..].into());
                }
                _ => choice.wanted.push(item),
            }
        }
        choice
    }

    /// `values`: all that the document has for the field.
    fn matches(&self, values: &[&Value]) -> bool {
        let holds = |wanted: &Value| match wanted {
            Value::Null => values.iter().all(|value| value.is_null()),
            wanted => values.contains(&wanted),
        };
        if self.unwanted.iter().any(holds) {
            return false;
        }
        let mut wanted = self.wanted.iter();
        self.wanted.is_empty()
            || if self.all {
                wanted.all(holds)
            } else {
                wanted.any(holds)
            }
    }
}

/// All values at a dotted path; a list stands for each of its items.
fn members<'a>(document: &'a Document, path: &str) -> Vec<&'a Value> {
    let items = |value: &'a Value| match value {
        Value::Array(items) => items.iter().collect(),
        value => vec![value],
    };
    let mut parts = path.split('.');
    let mut values: Vec<&Value> = parts
        .next()
        .and_then(|name| document.get(name))
        .map(items)
        .unwrap_or_default();
    for part in parts {
        values = values
            .into_iter()
            .filter_map(|value| value.get(part))
            .flat_map(items)
            .collect();
    }
    values
}

/// `>=t`, `>t`, `<=t`, `<t`, or a least value. Time stamps compare as text.
fn within(value: Option<&Value>, bound: &str) -> bool {
    let Some(value) = value.and_then(Value::as_str) else {
        return false;
    };
    if let Some(bound) = bound.strip_prefix(">=") {
        value >= bound
    } else if let Some(bound) = bound.strip_prefix("<=") {
        value <= bound
    } else if let Some(bound) = bound.strip_prefix('>') {
        value > bound
    } else if let Some(bound) = bound.strip_prefix('<') {
        value < bound
    } else {
        value >= bound
    }
}

fn order(documents: &mut [Document], keys: &[String]) {
    if keys.is_empty() {
        return;
    }
    documents.sort_by(|left, right| {
        keys.iter()
            .map(|key| {
                let (name, reverse) = match key.strip_prefix('-') {
                    Some(name) => (name, true),
                    None => (key.as_str(), false),
                };
                let ordering = compare(lookup(left, name), lookup(right, name));
                if reverse {
                    ordering.reverse()
                } else {
                    ordering
                }
            })
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    });
}

fn compare(left: Option<&Value>, right: Option<&Value>) -> Ordering {
    match (left, right) {
        (Some(Value::Number(left)), Some(Value::Number(right))) => {
            let number = |number: &serde_json::Number| number.as_f64().unwrap_or(f64::NAN);
            number(left).total_cmp(&number(right))
        }
        (Some(Value::String(left)), Some(Value::String(right))) => left.cmp(right),
        (left, right) => left.is_some().cmp(&right.is_some()),
    }
}

fn page(
    call: &Call<'_>,
    documents: Vec<Document>,
) -> Result<(Vec<Document>, Option<String>), ApiError> {
    let size = |name: &str| -> Result<Option<usize>, ApiError> {
        call.integer(name)
            .map(|number| {
                usize::try_from(number).map_err(|_| {
                    ApiError::validation(format!("error for field '{name}'. value is negative"))
                })
            })
            .transpose()
    };
    if call.has("scroll_id") || call.has("size") {
        let start = match call.given("scroll_id") {
            Some(id) => parse_scroll(id).ok_or_else(|| {
                ApiError::bad_request(1104, format!("Invalid scroll id: scroll_id={id}"))
            })?,
            None => 0,
        };
        let length = size("size")?.map_or(LARGEST_PAGE, |size| size.min(LARGEST_PAGE));
        let page: Vec<_> = documents.into_iter().skip(start).take(length).collect();
        let next = scroll_id(start + page.len());
        return Ok((page, Some(next)));
    }
    let length = size("page_size")?.map_or(LARGEST_PAGE, |size| size.min(LARGEST_PAGE));
    let start = size("page")?.unwrap_or(0).saturating_mul(length);
    let page = documents.into_iter().skip(start).take(length);
    Ok((page.collect(), None))
}

/// A place in a list, as an opaque text.
pub(crate) fn scroll_id(offset: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("offset {offset}"))
}

pub(crate) fn parse_scroll(text: &str) -> Option<usize> {
    let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    decoded.strip_prefix("offset ")?.parse().ok()
}

/// The wanted fields alone; the object around a missing member is there, but empty.
pub(crate) fn project(document: &Document, only: &[String]) -> Document {
    let mut result = Document::new();
    for path in only {
        copy_path(document, &mut result, path);
    }
    result
}

fn copy_path(from: &Document, to: &mut Document, path: &str) {
    match path.split_once('.') {
        None => {
            if let Some(value) = from.get(path) {
                to.insert(path.to_owned(), value.clone());
            }
        }
        Some((name, rest)) => {
            if let Some(Value::Object(inner)) = from.get(name) {
                let target = to
                    .entry(name)
                    .or_insert_with(|| Value::Object(Document::new()));
                if let Value::Object(target) = target {
                    copy_path(inner, target, rest);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tag_operators() {
        let document = json!({"tags": ["a", "b"]});
        let document = document.as_object().unwrap();
        let matches = |filter: Value| Choice::parse(&filter).matches(&members(document, "tags"));
        assert!(matches(json!(["a", "x"])));
        assert!(!matches(json!(["__$all", "a", "x"])));
        assert!(matches(json!(["__$all", "a", "__$not", "x"])));
        assert!(!matches(json!(["-b"])));
        assert!(matches(json!([])));
    }

    /// Lists inside a document are looked through.
    #[test]
    fn paths_through_lists() {
        let document = json!({"models": {"input": [{"model": "1"}, {"model": "2"}]}});
        let found = members(document.as_object().unwrap(), "models.input.model");
        assert_eq!(found, [&json!("1"), &json!("2")]);
    }

    /// A-163: the object around missing members is answered empty.
    #[test]
    fn projection() {
        let document = json!({"id": "1", "runtime": {}, "script": {"diff": "x", "branch": "b"}});
        let only = ["runtime._abort".to_owned(), "script.diff".to_owned()];
        assert_eq!(
            Value::Object(project(document.as_object().unwrap(), &only)),
            json!({"runtime": {}, "script": {"diff": "x"}})
        );
    }

    /// A-105: the pattern of a name is escaped by the agents.
    #[test]
    fn escaped_names() {
        assert!(compile(r"^my\-queue\ a$").unwrap().is_match("My-Queue a"));
        assert_eq!(compile("(").unwrap_err().subcode, 21);
    }
}
