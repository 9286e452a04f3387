//! What conda answers with `--json`, and which packages it says it does not have (E-202, E-208).

use serde_json::Value;

/// The last object or list of an answer; what stands before it are warnings.
///
/// An answer begins at the beginning of a line, as conda prints it.
pub(super) fn last_json(text: &str) -> Option<Value> {
    let text = without_colours(text);
    let mut last = None;
    let mut at = 0;
    while let Some(start) = next_start(&text, at) {
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        at = match values.next() {
            Some(Ok(value)) => {
                last = Some(value);
                start + values.byte_offset()
            }
            _ => start + 1,
        };
    }
    last
}

/// The next `{` or `[` that begins a line, or follows what has been read up to `from`.
fn next_start(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    (from..bytes.len()).find(|&at| {
        let begins = at == 0 || matches!(bytes[at - 1], b'\n' | b'\r' | 0 | b'}' | b']');
        begins && matches!(bytes[at], b'{' | b'[')
    })
}

/// Without the sequences that colour a terminal.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            plain.push(c);
        } else if rest.next_if_eq(&'[').is_some() {
            while rest.next_if(|c| !c.is_ascii_alphabetic()).is_some() {}
            rest.next();
        }
    }
    plain
}

/// What conda says went wrong; none where it says nothing of the kind.
pub(super) fn error(answer: &Value) -> Option<&str> {
    let text = |name: &str| answer[name].as_str().filter(|text| !text.trim().is_empty());
    text("error").or_else(|| text("message"))
}

/// The packages that conda cannot install, by name; empty where it names none.
pub(super) fn unavailable(answer: &Value) -> Vec<String> {
    let listed = ["bad_deps", "packages"]
        .into_iter()
        .find_map(|name| answer[name].as_array().filter(|list| !list.is_empty()));
    let specifications: Vec<String> = match listed {
        // A conflict is a list of specifications.
        Some(list) => list
            .iter()
            .flat_map(|entry| match entry {
                Value::Array(inner) => inner.as_slice(),
                _ => std::slice::from_ref(entry),
            })
            .filter_map(|entry| entry.as_str().map(str::to_owned))
            .collect(),
        None => error(answer).map(named_in_words).unwrap_or_default(),
    };
    let mut names = Vec::new();
    for specification in specifications {
        let name = name_of(&specification);
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// `UnsatisfiableError` of the older solver lists them between two blank lines, the newer one says so in sentences.
fn named_in_words(error: &str) -> Vec<String> {
    let mut lines = error.lines();
    let first = lines.next().unwrap_or_default().trim().to_lowercase();
    if first.starts_with("unsatisfiableerror:") {
        let listed = error
            .lines()
            .skip_while(|line| !line.trim().is_empty())
            .skip_while(|line| line.trim().is_empty())
            .take_while(|line| !line.trim().is_empty());
        return listed
            .filter_map(|line| line.trim().strip_prefix("- "))
            .map(str::to_owned)
            .collect();
    }
    error
        .lines()
        .filter_map(|line| {
            let line = line.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let missing = line.strip_prefix("nothing provides requested ");
            missing.or_else(|| line.contains(" does not exist").then_some(line))
        })
        .map(str::to_owned)
        .collect()
}

/// The name of a specification, which may have a channel before it and versions behind it.
fn name_of(specification: &str) -> String {
    let text = specification.trim().trim_start_matches("- ");
    let text = text.rsplit("::").next().unwrap_or(text);
    let end = text.find(|c: char| c.is_whitespace() || "[=~<>!".contains(c));
    text[..end.unwrap_or(text.len())].to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// E-202: warnings may stand before the answer, also such that look like one.
    #[test]
    fn the_last_object_is_the_answer() {
        let text = "WARNING: a\n[notice] {not json\n{\"fetch\": 1}\0{\"fetch\": 2}\0\u{1b}[0m\n{\n  \"success\": true,\n  \"a\": [\n    {\"b\": 1}\n  ]\n}\n";
        let answer = last_json(text).expect("an answer");
        assert_eq!(answer, json!({"success": true, "a": [{"b": 1}]}));
        assert_eq!(last_json("[]\n"), Some(json!([])));
        for broken in ["", "no answer", "{\"a\": \n", "\u{1b}[", "{{{{[[[["] {
            assert_eq!(last_json(broken), None, "{broken}");
        }
    }

    /// E-208: each form in which conda tells what it does not have.
    #[test]
    fn packages_that_are_not_to_be_had_are_named() {
        let of = |answer: Value| unavailable(&answer);
        let not_found = json!({"exception_name": "ResolvePackageNotFound", "bad_deps": ["nosuch~=1.0", "conda-forge::Other[version='>=3']"]});
        assert_eq!(of(not_found), ["nosuch", "other"]);
        let not_found = json!({"exception_name": "PackagesNotFoundError", "packages": ["a==1", "a"], "error": "x"});
        assert_eq!(of(not_found), ["a"]);
        let conflict = json!({"error": "UnsatisfiableError: The following specifications were found\nto be incompatible:\n\n  - a==1 -> python[version='<3']\n  - b_c\n\nIn short.\n  - d\n"});
        assert_eq!(of(conflict), ["a", "b_c"]);
        let newer = json!({"error": "LibMambaUnsatisfiableError: Encountered problems while solving:\n  - nothing provides requested nosuch 1.0**\n\n\u{251c}\u{2500} other =* * does not exist (perhaps a typo)"});
        assert_eq!(of(newer), ["nosuch", "other"]);
        let unknown = json!({"error": "CondaHTTPError: HTTP 000 CONNECTION FAILED\n\n  - url\n\n"});
        assert_eq!(of(unknown), Vec::<String>::new());
        assert_eq!(of(json!({"success": true})), Vec::<String>::new());
    }
}
