//! What was copied from the web page: credentials and addresses, in every shape that it has had (F-134, F-135).

use super::Keys;
use crate::secrets::SecretString;
use crate::settings::hocon::{Kind, Object, Source, Value, World, parse};

/// What a pasted text tells.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Pasted {
    pub(super) keys: Option<Keys>,
    pub(super) web: Option<String>,
    pub(super) api: Option<String>,
    pub(super) files: Option<String>,
}

impl Pasted {
    /// Reads the text; one that cannot be parsed tells nothing.
    pub(super) fn read(text: &str) -> Self {
        let nothing_else = World {
            variable: &|_| None,
            read: &|_| Err(std::io::ErrorKind::NotFound.into()),
        };
        let Ok(root) = parse(text, Source::Text, nothing_else) else {
            return Self::default();
        };
        // Older web pages had the members at the root.
        let (members, api) = match root.get("api").map(|api| &api.kind) {
            Some(Kind::Object(members)) => (members, "api_server"),
            _ => (&root, "host"),
        };
        let address = |key: &str| {
            let text = members.get(key).and_then(Value::to_text)?;
            Some(text).filter(|text| !text.trim().is_empty())
        };
        Self {
            keys: members.get("credentials").and_then(keys),
            web: address("web_server"),
            api: address(api),
            files: address("files_server"),
        }
    }
}

/// An object of exactly the two keys (F-136); a number is text too.
fn keys(credentials: &Value) -> Option<Keys> {
    let Kind::Object(members) = &credentials.kind else {
        return None;
    };
    let text = |members: &Object, key| members.get(key).and_then(Value::to_text);
    let keys = Keys {
        access_key: text(members, "access_key")?,
        secret_key: SecretString::new(text(members, "secret_key")?),
    };
    (members.len() == 2).then_some(keys)
}

/// Finds the end of a pasted block, line by line.
#[derive(Debug, Default)]
pub(super) struct End {
    depth: i32,
}

impl End {
    /// True where the block ends with this line: an empty one, or a `}` at its beginning that closes all braces (F-134).
    pub(super) fn is_at(&mut self, line: &str) -> bool {
        self.depth += depth(line);
        line.is_empty() || (line.trim_end() == "}" && self.depth <= 0)
    }
}

/// How many more braces a line opens than it closes, outside of quotes and comments.
fn depth(line: &str) -> i32 {
    let mut depth = 0;
    let mut quoted = false;
    let mut before = ' ';
    for character in line.chars() {
        match character {
            '"' if before != '\\' => quoted = !quoted,
            _ if quoted => {}
            '#' => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        before = character;
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = r#"credentials { "access_key" = "K", "secret_key" = "S" }"#;

    fn pasted(keys: bool, web: &str, api: &str, files: &str) -> Pasted {
        let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Pasted {
            keys: keys.then(|| Keys {
                access_key: "K".to_owned(),
                secret_key: SecretString::new("S"),
            }),
            web: filled(web),
            api: filled(api),
            files: filled(files),
        }
    }

    /// F-135: the shapes of the table. W12, W13: `files_server` counts, and `web_server` without `api_server`.
    #[test]
    fn every_shape_of_the_web_page_is_read() {
        let api = |members: &str| format!("api {{ {members}\n {CREDENTIALS} }}");
        for (text, expected) in [
            (
                api("web_server: http://w\n api_server: http://a:8008\n files_server: \"http://f\""),
                pasted(true, "http://w", "http://a:8008", "http://f"),
            ),
            (
                r#"{"api": {"credentials": {"secret_key": "S", "access_key": "K"}, "api_server": "http://a"}}"#
                    .to_owned(),
                pasted(true, "", "http://a", ""),
            ),
            (api("web_server = http://w"), pasted(true, "http://w", "", "")),
            (api("host: http://a"), pasted(true, "", "", "")),
            (
                format!("host: http://a\nweb_server: http://w\n{CREDENTIALS}"),
                pasted(true, "http://w", "http://a", ""),
            ),
            (CREDENTIALS.to_owned(), pasted(true, "", "", "")),
            ("api { api_server: http://a }".to_owned(), pasted(false, "", "http://a", "")),
            ("nothing useful".to_owned(), pasted(false, "", "", "")),
            (
                "export CLEARML_API_ACCESS_KEY=K\nexport CLEARML_API_SECRET_KEY=S".to_owned(),
                pasted(false, "", "", ""),
            ),
            ("CLEARML_API_ACCESS_KEY=K".to_owned(), pasted(false, "", "", "")),
            ("%env CLEARML_API_ACCESS_KEY=K".to_owned(), pasted(false, "", "", "")),
            (String::new(), pasted(false, "", "", "")),
        ] {
            assert_eq!(Pasted::read(&text), expected, "{text}");
        }
    }

    /// F-136
    #[test]
    fn credentials_are_exactly_two_keys() {
        for members in [
            "access_key: K",
            "secret_key: S",
            "access_key: K, secret_key: S, other: 1",
            "access_key: K, secret_key: null",
            "access_key: K, secret_key: [S]",
            "",
        ] {
            let text = format!("api {{ credentials {{ {members} }} }}");
            assert_eq!(Pasted::read(&text).keys, None, "{members}");
        }
    }

    /// F-137
    #[test]
    fn a_secret_of_digits_is_text() {
        let keys =
            Pasted::read("api.credentials { access_key: 12, secret_key: 34567890123456789012 }")
                .keys;
        let keys = keys.expect("credentials");
        assert_eq!(
            (keys.access_key.as_str(), keys.secret_key.expose()),
            ("12", "34567890123456789012")
        );
    }

    fn lines_read(text: &str) -> usize {
        let mut end = End::default();
        let ends = text.split('\n').position(|line| end.is_at(line));
        ends.map_or(usize::MAX, |at| at + 1)
    }

    /// F-134
    #[test]
    fn a_block_ends_with_its_last_brace_or_an_empty_line() {
        for (text, lines) in [
            ("api {\n  a {\n  }\n}\n", 4),
            ("api {\n}  \n", 2),
            ("nothing useful\n\n", 2),
            ("\n", 1),
            ("  api {\n  }\n\nx", 3),
            ("api { a: 1 }\n\nx", 2),
            ("api {\n a: 1\n\n}\n", 3),
            ("a: 1\n}\n", 2),
        ] {
            assert_eq!(lines_read(text), lines, "{text:?}");
        }
    }

    /// W14
    #[test]
    fn an_inner_brace_at_the_beginning_of_a_line_does_not_end_the_block() {
        let text = "api {\ncredentials {\n\"secret_key\" = \"a}}{\\\"}\"\n}\n# {{\n}\n";
        assert_eq!(lines_read(text), 6);
    }
}
