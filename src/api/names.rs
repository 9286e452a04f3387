//! Names as the server's search understands them: a regular expression, found anywhere, in any case.

/// `name` as a pattern that matches exactly its characters, escaped as the official agent does.
pub fn pattern(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len() + 8);
    for character in name.chars() {
        if "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// What a search by name found (D-108, A-105).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameMatch<T> {
    /// Exactly one has the name, ignoring case.
    One(T),
    /// More than one has it.
    Several(Vec<T>),
    /// None has it; these have names that contain it.
    None {
        /// What to suggest.
        near: Vec<T>,
    },
}

impl<T> NameMatch<T> {
    /// Sorts the server's matches into those with the wanted name and those near it.
    pub(super) fn among(found: Vec<T>, wanted: &str, name_of: impl Fn(&T) -> Option<&str>) -> Self {
        let wanted = wanted.to_lowercase();
        let (mut exact, near): (Vec<T>, Vec<T>) = found
            .into_iter()
            .partition(|item| name_of(item).is_some_and(|name| name.to_lowercase() == wanted));
        match exact.len() {
            0 => Self::None { near },
            1 => Self::One(exact.remove(0)),
            _ => Self::Several(exact),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    ///
    #[test]
    fn names_are_escaped() {
        assert_eq!(pattern("my-queue"), "my\\-queue");
        assert_eq!(pattern("a b"), "a\\ b");
        assert_eq!(pattern("größe_1/x@y:z"), "größe_1/x@y:z");
        assert_eq!(pattern("(gpu.*)"), "\\(gpu\\.\\*\\)");
    }

    /// D-108
    #[test]
    fn one_name_in_any_case_counts() {
        let found = |names: &[&str]| {
            let names = names.iter().map(|n| (*n).to_owned()).collect();
            NameMatch::among(names, "Default", |n: &String| Some(n))
        };
        assert_eq!(
            found(&["default", "default-gpu"]),
            NameMatch::One("default".into())
        );
        assert_eq!(
            found(&["default", "DEFAULT"]),
            NameMatch::Several(vec!["default".into(), "DEFAULT".into()])
        );
        assert_eq!(
            found(&["default-gpu"]),
            NameMatch::None {
                near: vec!["default-gpu".into()]
            }
        );
    }
}
