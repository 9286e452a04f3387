//! The restart policy of services (C-084, C-085).

use super::templates::field;
use super::{ContainerFacts, Launch};
use serde_json::Value;

/// The policy for this task, or the warning that there is none of this name. `text` is
/// `POLICY[;FIELD[=VALUE]]`.
pub(super) fn restart(
    text: &str,
    facts: &ContainerFacts,
    launch: &Launch,
) -> Result<Option<String>, String> {
    if !facts.is_advanced || !launch.is_service {
        return Ok(None);
    }
    let (policy, selector) = match text.split_once(';') {
        Some((policy, selector)) => (policy.trim(), Some(selector.trim())),
        None => (text.trim(), None),
    };
    if !matches!(policy, "no" | "always" | "unless-stopped") && !policy.starts_with("on-failure") {
        return Err(format!(
            "Invalid value \"{text}\" provided for CLEARML_AGENT_SERVICES_DOCKER_RESTART, ignoring"
        ));
    }
    let is_chosen = selector
        .filter(|selector| !selector.is_empty())
        .is_none_or(|selector| is_selected(selector, &facts.fields));
    Ok(is_chosen.then(|| policy.to_owned()))
}

/// The field must be there, and be the value: booleans and numbers as such, the rest as text.
fn is_selected(selector: &str, fields: &Value) -> bool {
    let (path, wanted) = match selector.split_once('=') {
        Some((path, wanted)) => (path.trim(), Some(wanted.trim())),
        None => (selector, None),
    };
    let found = field(fields, path).filter(|value| !value.is_null());
    let Some(wanted) = wanted else {
        return found.is_some();
    };
    found.is_some_and(|value| match value {
        Value::Bool(value) => crate::settings::truth(wanted) == Some(*value),
        Value::Number(number) => {
            let wanted = wanted.parse::<f64>();
            wanted.is_ok_and(|wanted| {
                number
                    .as_f64()
                    .is_some_and(|number| (number - wanted).abs() < f64::EPSILON)
            })
        }
        Value::String(text) => text == wanted,
        other => *other == *wanted,
    })
}
