//! Strings and lists as Python writes them: cache keys and fixed messages are made of these (E-240, E-099).

/// `text` as a Python string literal: single quotes unless only double quotes spare an escape.
pub fn string(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push(quote);
    for c in text.chars() {
        match c {
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            c if c == quote => {
                literal.push('\\');
                literal.push(c);
            }
            c if c.is_ascii_control() => literal.extend(format!("\\x{:02x}", u32::from(c)).chars()),
            c => literal.push(c),
        }
    }
    literal.push(quote);
    literal
}

/// `items` as a Python list of strings.
pub fn list<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    let items: Vec<String> = items
        .into_iter()
        .map(|item| string(item.as_ref()))
        .collect();
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-240
    #[test]
    fn quotes_are_chosen_and_escaped_as_python_does() {
        assert_eq!(list(["a==1", "b"]), "['a==1', 'b']");
        assert_eq!(string("a'b"), "\"a'b\"");
        assert_eq!(string("a'b\"c"), "'a\\'b\"c'");
        assert_eq!(string("C:\\x\n"), "'C:\\\\x\\n'");
    }
}
