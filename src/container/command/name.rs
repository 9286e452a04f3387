//! The name of a container, made by a format in Python's braces (C-081, C-082).

use super::templates::field;
use super::{ContainerFacts, Launch};
use crate::settings::ContainerSettings;
use crate::visible;

/// The name, or the warning that the container has none; nothing without a format.
pub(super) fn name(
    settings: &ContainerSettings,
    facts: &ContainerFacts,
    launch: &Launch,
) -> Option<Result<String, String>> {
    let format = settings.name_format.as_deref()?;
    let value = |name: &str| match name {
        "task_id" => Some(tidy(&facts.task)),
        "worker_id" => Some(tidy(&launch.worker)),
        "rand_string" => Some(launch.random.clone()),
        name => {
            let (_, path) = settings
                .name_fields
                .iter()
                .find(|(field, _)| field == name)?;
            let text = field(&facts.fields, path).and_then(plain);
            Some(text.unwrap_or_default())
        }
    };
    Some(match formatted(format, &value) {
        Err(error) => Err(format!(
            "Warning: failed generating docker container name: {error}"
        )),
        Ok(name) if is_name(&name) => Ok(name),
        Ok(name) => Err(format!(
            "Warning: generated docker container name is invalid: {}",
            visible::line(&name)
        )),
    })
}

/// Docker's rule for names.
fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric();
    let mut characters = name.chars();
    characters.next().is_some_and(is_plain)
        && !characters.as_str().is_empty()
        && characters.all(|c| is_plain(c) || "_.-".contains(c))
}

/// What docker does not take becomes a dash.
fn tidy(text: &str) -> String {
    let tidy = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '-'
        }
    };
    text.chars().map(tidy).collect()
}

fn plain(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Null => None,
        other => Some(other.to_string()),
    }
}

/// `str.format` of Python, as far as texts go: `{name}`, `{name:.8}`, `{name:>12}`, `{{`, `}}`.
fn formatted(format: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = format;
    while let Some(place) = rest.find(['{', '}']) {
        out += &rest[..place];
        let brace = &rest[place..=place];
        rest = &rest[place + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out += brace;
            rest = after;
        } else if brace == "}" {
            return Err("Single '}' encountered in format string".to_owned());
        } else {
            let (field, after) = rest
                .split_once('}')
                .ok_or("expected '}' before end of string")?;
            let (name, specification) = field.split_once(':').unwrap_or((field, ""));
            let text = value(name).ok_or_else(|| format!("'{name}'"))?;
            out += &padded(&text, specification)
                .ok_or_else(|| format!("Invalid format specifier '{specification}'"))?;
            rest = after;
        }
    }
    Ok(out + rest)
}

/// `[[FILL]ALIGN][WIDTH][.PRECISION][s]`
fn padded(text: &str, specification: &str) -> Option<String> {
    let characters: Vec<char> = specification.trim_end_matches('s').chars().collect();
    let is_align = |c: &char| "<>^".contains(*c);
    let (fill, align, rest) = match characters.as_slice() {
        [fill, align, rest @ ..] if is_align(align) => (*fill, *align, rest),
        [align, rest @ ..] if is_align(align) => (' ', *align, rest),
        rest => (' ', '<', rest),
    };
    let rest: String = rest.iter().collect();
    let (width, precision) = match rest.split_once('.') {
        Some((width, precision)) => (width, Some(precision.parse::<usize>().ok()?)),
        None => (rest.as_str(), None),
    };
    let width = if width.is_empty() {
        0
    } else {
        usize::from(width.parse::<u16>().ok()?)
    };
    let text: String = text.chars().take(precision.unwrap_or(usize::MAX)).collect();
    let missing = width.saturating_sub(text.chars().count());
    let before = match align {
        '>' => missing,
        '^' => missing / 2,
        _ => 0,
    };
    let fill = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    Some(format!("{}{text}{}", fill(before), fill(missing - before)))
}
