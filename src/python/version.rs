//! Version numbers: of an interpreter, and of pip as the resolver rules compare them.

use std::fmt;
use std::str::FromStr;

/// Version of an interpreter.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PythonVersion {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Patch number.
    pub patch: u32,
}

impl PythonVersion {
    /// `major.minor`, the name of the environment folder (E-115).
    pub fn short(&self) -> String {
        format!("{}.{}", self.major, self.minor)
    }

    /// True for versions that need Cython beside pip (E-138).
    pub(super) fn is_before_3_9(self) -> bool {
        (self.major, self.minor) < (3, 9)
    }

    /// True where every number of `key` (`3`, `3.11`, `3.11.2`) is this version's (E-116).
    pub fn matches(&self, key: &str) -> bool {
        let own = [self.major, self.minor, self.patch];
        let mut parts = 0;
        key.split('.').zip(own).all(|(part, number)| {
            parts += 1;
            part.parse() == Ok(number)
        }) && parts == key.split('.').count()
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The text is not `a.b.c`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a version of Python")]
pub struct InvalidVersion(String);

impl FromStr for PythonVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.trim().split('.').map(str::parse);
        match (
            numbers.next(),
            numbers.next(),
            numbers.next(),
            numbers.next(),
        ) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) => Ok(Self {
                major,
                minor,
                patch,
            }),
            _ => Err(InvalidVersion(text.to_owned())),
        }
    }
}

/// Whether `version` satisfies every comma part of `rule`, for example `>=20.3,<24.3` (E-140).
///
/// Only the first three numbers count, as many as both sides have.
pub(super) fn satisfies(version: &str, rule: &str) -> bool {
    rule.split(',').all(|part| {
        let part = part.trim();
        let end = part.find(|c| !"=!<>~".contains(c)).unwrap_or(part.len());
        let (operator, bound) = part.split_at(end);
        compare(version, operator, bound.trim())
    })
}

/// `version operator bound`; an unknown operator is never true.
pub(super) fn compare(version: &str, operator: &str, bound: &str) -> bool {
    let left = numbers(version);
    let right = numbers(bound);
    match operator {
        // `1.2.3 == 1.2` is false, `1.2.3 == 1.2.*` true.
        "==" | "===" if bound.ends_with(".*") => left.starts_with(&right),
        "==" | "===" => left == right,
        "!=" => !compare(version, "==", bound),
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        ">=" => left >= right,
        "~=" => {
            let fixed = right.len().saturating_sub(1);
            left >= right && left.get(..fixed) == right.get(..fixed)
        }
        _ => false,
    }
}

fn numbers(version: &str) -> Vec<u64> {
    let mut numbers = Vec::new();
    for part in version.trim().trim_start_matches('v').split('.').take(3) {
        let digits = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        let Ok(number) = part[..digits].parse() else {
            break;
        };
        numbers.push(number);
        if digits < part.len() {
            break;
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::cases::{case_id, cases};

    /// E-116: `3.1` is not a prefix of `3.11`.
    #[test]
    fn versions_are_compared_by_components() {
        let version: PythonVersion = "3.11.2".parse().expect("version");
        assert!(version.matches("3") && version.matches("3.11") && version.matches("3.11.2"));
        assert!(!version.matches("3.1") && !version.matches("3.11.2.1") && !version.matches("2"));
        assert!("3.11".parse::<PythonVersion>().is_err());
    }

    /// E-140: the reference cases of version comparison that the resolver rules use.
    #[test]
    fn pip_versions_compare_as_the_reference_does() {
        let mut count = 0;
        for case in cases("compare_versions") {
            if case["exact"] == true {
                continue; // used by the direct resolution of torch alone
            }
            let text = |key: &str| case[key].as_str().expect("text").to_owned();
            assert_eq!(
                compare(&text("a"), &text("op"), &text("b")),
                case["expect"]["result"] == true,
                "{}",
                case_id(&case)
            );
            count += 1;
        }
        assert_eq!(count, 8);
    }
}
