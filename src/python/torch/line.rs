//! The requirement that an index of torch gets (E-167), and what old versions need beside it (E-169).

use std::str::FromStr;

use pep440_rs::Version;

use super::super::requirement::{Requirement, Target};

/// The requirement so that vendors' builds (`2.1.0a0+git`, `2.1.0+cu121`) fit as well.
pub(super) fn for_index(text: &str, parsed: &Requirement) -> String {
    let Target::Index(specifiers) = &parsed.target else {
        return text.to_owned();
    };
    let [(operator, version)] = specifiers.as_slice() else {
        return text.to_owned();
    };
    if operator != "==" {
        return text.to_owned();
    }
    let name = parsed.name.as_deref().unwrap_or_default();
    let extras = match parsed.extras.as_slice() {
        [] => String::new(),
        extras => format!("[{}]", extras.join(",")),
    };
    let mut line = format!("{name}{extras} =={}", shortened(version));
    if let Some(marker) = &parsed.marker {
        line.push_str(" ; ");
        line.push_str(marker);
    }
    line
}

/// At most three numbers, without local part and suffixes.
fn shortened(version: &str) -> String {
    let public = version.split('+').next().unwrap_or(version);
    let mut numbers = Vec::new();
    let mut parts = public.split('.').take(3);
    for part in parts.by_ref() {
        let end = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        if end > 0 {
            numbers.push(&part[..end]);
        }
        if end < part.len() {
            break;
        }
    }
    let is_pattern = public.ends_with(".*") || numbers.len() == 3;
    let pattern = if is_pattern { ".*" } else { "" };
    format!("{}{pattern}", numbers.join("."))
}

/// True for torch in a range that lies below 1.11.0 as a whole (E-169).
pub(super) fn needs_old_setuptools(parsed: &Requirement) -> bool {
    let Target::Index(specifiers) = &parsed.target else {
        return false;
    };
    let limit = Version::new([1, 11, 0]);
    let is_below = |operator: &str, bound: &str| {
        let Ok(bound) = Version::from_str(bound.trim_end_matches(".*")) else {
            return false;
        };
        match operator {
            "==" | "===" | "<=" => bound < limit,
            "<" => bound <= limit,
            // `~=1.10.0` ends before 1.11, `~=1.10` before 2.
            "~=" => bound < limit && bound.release().len() > 2,
            _ => false,
        }
    };
    parsed.name.as_deref() == Some("torch")
        && specifiers
            .iter()
            .any(|(operator, bound)| is_below(operator, bound))
}
