//! Rules that choose a container by the properties of a task (C-021 to C-028).

use pep440_rs::{Operator, Version, VersionSpecifiers};
use regex::Regex;
use serde_json::Value;

use super::ContainerFacts;
use super::facts::{ContainerSection, WantedContainer};
use super::templates::field;
use crate::settings::{Condition, MatchRule};

/// The container that a rule has made.
pub(super) struct Ruled {
    pub(super) section: ContainerSection,
    /// The key of the arguments, where they are the rule's.
    pub(super) arguments_key: Option<String>,
    pub(super) is_written_back: bool,
    /// C-028
    pub(super) lines: [String; 2],
}

/// The first rule that fits, applied (C-022, C-023, C-025); lines about patterns that are none go to `warnings`.
pub(super) fn ruled(
    rules: &[MatchRule],
    facts: &ContainerFacts,
    section: &ContainerSection,
    is_from_command_line: bool,
    warnings: &mut Vec<String>,
) -> Option<Ruled> {
    let rule = rules.iter().find(|rule| fits(rule, facts, warnings))?;
    let has_image = !section.image.trim().is_empty();
    let is_rules = rule.is_forced || section.arguments.trim().is_empty();
    let section = if rule.is_forced {
        ContainerSection {
            image: rule.image.clone(),
            arguments: rule.arguments.clone(),
            setup_shell_script: rule.setup_shell_script.clone(),
        }
    } else if has_image || is_from_command_line {
        return None;
    } else {
        let filled = |own: &str, ruled: &str| {
            let own = Some(own).filter(|text| !text.trim().is_empty());
            own.unwrap_or(ruled).to_owned()
        };
        ContainerSection {
            image: rule.image.clone(),
            arguments: filled(&section.arguments, &rule.arguments),
            setup_shell_script: filled(&section.setup_shell_script, &rule.setup_shell_script),
        }
    };
    Some(Ruled {
        section,
        arguments_key: is_rules.then(|| rule.arguments_key()),
        is_written_back: rule.is_written_back,
        lines: [
            "INFO: Updating Task Container with matched rule:".to_owned(),
            rule.text.clone(),
        ],
    })
}

fn fits(rule: &MatchRule, facts: &ContainerFacts, warnings: &mut Vec<String>) -> bool {
    rule.conditions.iter().all(|condition| match condition {
        Condition::Text(path, expressions) => {
            let texts = texts(path, facts);
            expressions.iter().all(|term| {
                if let Ok(expression) = Regex::new(term) {
                    return texts.iter().any(|text| expression.is_match(text));
                }
                let rule = &rule.text;
                warnings.push(format!(
                    "Failed parsing regular expression \"{term}\" in rule: {rule}"
                ));
                false
            })
        }
        Condition::Packages(list, wanted) => {
            let required = required(&facts.fields, list);
            wanted.iter().all(|(name, versions)| {
                let name = normalised(name);
                required
                    .iter()
                    .any(|(own, own_versions)| *own == name && overlap(own_versions, versions))
            })
        }
    })
}

/// What a condition of this name looks at; for tags, any one of them will do.
fn texts(path: &str, facts: &ContainerFacts) -> Vec<String> {
    let text = |path: &str| {
        let value = field(&facts.fields, path).and_then(Value::as_str);
        vec![value.unwrap_or_default().to_owned()]
    };
    match path {
        "project" => vec![facts.project_name.clone().unwrap_or_default()],
        "project_id" => text("project"),
        "user_id" => text("user"),
        "container" => match &facts.wanted {
            WantedContainer::Section(section) => vec![section.image.trim().to_owned()],
            WantedContainer::DockerCommand(_) => Vec::new(),
        },
        "tags" => {
            let tags = facts.fields.get("tags").and_then(Value::as_array);
            let tags = tags.into_iter().flatten();
            tags.filter_map(|tag| Some(tag.as_str()?.to_owned()))
                .collect()
        }
        "script.repository" | "script.branch" | "script.binary" => text(path),
        // A property that nobody knows fits nothing.
        _ => Vec::new(),
    }
}

/// Name and versions of each package in a list of the task.
fn required(fields: &Value, list: &str) -> Vec<(String, String)> {
    let list = field(fields, &format!("script.requirements.{list}"));
    let lines: Vec<&str> = match list {
        Some(Value::String(text)) => text.lines().collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let lines = lines.into_iter().map(str::trim);
    lines
        .filter(|line| !line.starts_with(['#', '-']))
        .filter_map(|line| {
            let end = line.find(|c: char| !c.is_alphanumeric() && !"._-".contains(c));
            let (name, rest) = line.split_at(end.unwrap_or(line.len()));
            let rest = rest.split([';', '#', '@']).next().unwrap_or_default();
            // Extras say nothing of the version.
            let rest = rest.trim().strip_prefix('[').map_or(rest, |extras| {
                extras.split_once(']').map_or("", |(_, rest)| rest)
            });
            (!name.is_empty()).then(|| (normalised(name), rest.trim().to_owned()))
        })
        .collect()
}

fn normalised(name: &str) -> String {
    name.trim().to_lowercase().replace(['_', '.'], "-")
}

/// Whether a version may be in both ranges (C-026). A range that cannot be read holds every version.
fn overlap(one: &str, other: &str) -> bool {
    let mut low: Option<(Version, bool)> = None;
    let mut high: Option<(Version, bool)> = None;
    for bound in [one, other].into_iter().flat_map(bounds) {
        let (is_low, version, is_included) = bound;
        let place = if is_low { &mut low } else { &mut high };
        let is_narrower =
            place
                .as_ref()
                .is_none_or(|(known, known_included)| match version.cmp(known) {
                    std::cmp::Ordering::Equal => *known_included && !is_included,
                    order => (order == std::cmp::Ordering::Greater) == is_low,
                });
        if is_narrower {
            *place = Some((version, is_included));
        }
    }
    match (low, high) {
        (Some((low, includes_low)), Some((high, includes_high))) => {
            low < high || (low == high && includes_low && includes_high)
        }
        _ => true,
    }
}

/// The ends of a range: whether it is the low one, the version, and whether that is in the range.
fn bounds(versions: &str) -> Vec<(bool, Version, bool)> {
    // conda writes one `=`, and a bare version.
    let versions = versions.trim();
    let text = match versions.chars().next() {
        Some(first) if first.is_ascii_digit() => format!("=={versions}"),
        Some('=') if !versions.starts_with("==") => format!("={versions}.*"),
        _ => versions.to_owned(),
    };
    let Ok(specifiers) = text.parse::<VersionSpecifiers>() else {
        return Vec::new();
    };
    let mut bounds = Vec::new();
    for specifier in specifiers.iter() {
        let version = specifier.version().clone();
        let next = |keep: usize| {
            let mut release: Vec<u64> = version.release().iter().copied().take(keep).collect();
            if let Some(last) = release.last_mut() {
                *last += 1;
            }
            Version::new(release)
        };
        match specifier.operator() {
            Operator::Equal | Operator::ExactEqual => {
                bounds.push((true, version.clone(), true));
                bounds.push((false, version, true));
            }
            Operator::EqualStar => {
                let end = next(version.release().len());
                bounds.push((true, version, true));
                bounds.push((false, end, false));
            }
            Operator::TildeEqual => {
                let keep = version.release().len().saturating_sub(1).max(1);
                let start = version.release().iter().copied().take(keep);
                bounds.push((true, Version::new(start.collect::<Vec<u64>>()), true));
                bounds.push((false, next(keep), false));
            }
            Operator::GreaterThan => bounds.push((true, version, false)),
            Operator::GreaterThanEqual => bounds.push((true, version, true)),
            Operator::LessThan => bounds.push((false, version, false)),
            Operator::LessThanEqual => bounds.push((false, version, true)),
            Operator::NotEqual | Operator::NotEqualStar => {}
        }
    }
    bounds
}
