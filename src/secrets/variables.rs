//! Which environment variables hold secrets, by their names and values.

use super::SecretString;

/// Words that say so wherever they stand in a name, such as in `DBPASSWORD`.
const WITHIN: [&str; 6] = [
    "secret",
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "credential",
];
/// Those that say so as words of their own: `KEYBOARD`, `COMPASS` and `TOKENIZERS_PARALLELISM` hold none.
const WORDS: [&str; 4] = ["key", "pwd", "pat", "auth"];
/// Those that say so also where they are the whole name.
const ALONE: [&str; 2] = ["token", "pass"];
/// Last words that speak of something beside the secret itself.
const BESIDE: [&str; 22] = [
    "askpass", "command", "dir", "enabled", "expiry", "file", "folder", "host", "id", "length",
    "limit", "method", "mode", "name", "path", "port", "size", "sock", "type", "uri", "url",
    "user",
];
/// Shorter values would blank ordinary words.
const SHORTEST: usize = 6;

/// True where the name of a variable says that its value may be a secret. For what is only shown: it is better to hide
/// too much of that.
pub fn may_name_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "secret", "token", "pass", "pwd", "credential"]
        .iter()
        .any(|part| name.contains(part))
}

/// Makes the value known to the masker if name and value look like those of a secret; narrower than
/// [`may_name_a_secret`], since the value is masked wherever it stands from then on.
pub fn register_variable(name: &str, value: &str) {
    if holds_a_secret(name, value) {
        SecretString::new(value);
    }
}

/// The same for a word of a command line such as `NAME=VALUE`, `-eNAME=VALUE` or `--env=NAME=VALUE`.
pub fn register_assignment(word: &str) {
    let word = word
        .strip_prefix("--env=")
        .or_else(|| word.strip_prefix("-e"))
        .unwrap_or(word);
    if let Some((name, value)) = word.split_once('=') {
        register_variable(name, value);
    }
}

/// The same for all words of a command line. Where a quote stays open nobody knows which words were meant, and every reading
/// counts; so it does where a `#` stands, which not every reader takes for a comment.
pub fn register_assignments(line: &str) {
    let words = shlex::split(line);
    for word in words.iter().flatten() {
        register_assignment(word);
    }
    if words.is_some() && !line.contains('#') {
        return;
    }
    let pairs = line.match_indices('=').map(|(place, _)| {
        let (before, value) = (&line[..place], &line[place + 1..]);
        let start = before.rfind(|letter: char| letter.is_whitespace() || letter == '=');
        let word = &before[start.map_or(0, |start| start + 1)..];
        (word, &value[..value.floor_char_boundary(LONGEST)])
    });
    let named = pairs.filter(|(word, _)| holds_a_secret(&word.replace(QUOTES, ""), LIKELY));
    for (word, value) in named.take(MOST) {
        let name = word.replace(QUOTES, "");
        let is_quoted = word.contains(QUOTES) || value.starts_with(QUOTES);
        let content = value.strip_prefix(QUOTES).unwrap_or(value);
        let to_blank = until(value, char::is_whitespace);
        register_variable(&name, to_blank.trim_matches(QUOTES));
        register_variable(&name, &to_blank.replace(QUOTES, "").replace('\\', ""));
        if is_quoted {
            register_variable(&name, until(content, |letter| QUOTES.contains(&letter)));
        }
        // The quote may be of the other kind, such as one in a password.
        for quote in QUOTES.into_iter().filter(|quote| value.starts_with(*quote)) {
            register_variable(&name, until(content, |letter| letter == quote));
        }
    }
}

/// A value that its name alone makes a secret.
const LIKELY: &str = "abc123";
/// Bytes of a value, and pairs of a line, that are looked at where nobody knows where a value ends.
const LONGEST: usize = 16 * 1024;
const MOST: usize = 256;
const QUOTES: [char; 2] = ['\'', '"'];

/// The head of `text` to the first such letter that has no backslash in front of it.
fn until(text: &str, is_end: impl Fn(char) -> bool) -> &str {
    let mut is_escaped = false;
    let end = text.find(|letter: char| {
        let ends = !is_escaped && is_end(letter);
        is_escaped = !is_escaped && letter == '\\';
        ends
    });
    &text[..end.unwrap_or(text.len())]
}

fn holds_a_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words: Vec<&str> = name
        .split(|letter: char| !letter.is_alphanumeric())
        .collect();
    let is_named = WITHIN.iter().any(|part| name.contains(part))
        || words.iter().any(|word| ALONE.contains(word))
        || words.last().is_some_and(|word| word.ends_with("token"))
        || words.len() > 1 && words.iter().any(|word| WORDS.contains(word));
    // The first half of a pair is printed in messages, so that one sees which pair is meant.
    let is_public = name.ends_with("api_access_key") || words.contains(&"public");
    let is_beside = words.last().is_some_and(|last| BESIDE.contains(last));
    let is_sure = WITHIN[..4].iter().any(|part| name.contains(part));
    let is_place = value.starts_with(['/', '~', '.']) && !is_sure;
    let is_word = ["true", "false", "none", "null"].contains(&value.to_ascii_lowercase().as_str());
    is_named && !is_public && !is_beside && !is_place && !is_word && value.len() >= SHORTEST
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::mask;

    #[test]
    fn variables_that_hold_secrets_are_told_by_name_and_value() {
        for name in [
            "MY_PASSWORD",
            "WANDB_API_KEY",
            "HF_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "DBPASSWORD",
            "db.pwd",
            "GITHUB_PAT",
            "TOKEN",
            "AUTHTOKEN",
            "AZURE_STORAGE_ACCESS_KEY",
        ] {
            assert!(holds_a_secret(name, "abc123"), "{name}");
        }
        for (name, value) in [
            ("OLDPWD", "somewhere"),
            ("KEYBOARD", "german"),
            ("TOKENIZERS_PARALLELISM", "whatever"),
            ("SSH_AUTH_SOCK", "abcdefg"),
            ("SSL_KEY_FILE", "abcdefg"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "/etc/google.json"),
            ("AWS_ACCESS_KEY_ID", "AKIA1234"),
            ("CLEARML_API_ACCESS_KEY", "ABCDEFGH"),
            ("CHANGE_PASSWORD", "false"),
            ("DB_PASSWORD", "short"),
            ("GIT_ASKPASS", "echo abc"),
        ] {
            assert!(!holds_a_secret(name, value), "{name}");
        }
    }

    #[test]
    fn the_value_of_such_a_variable_is_masked_from_then_on() {
        register_variable("MY_PASSWORD", "abc123");
        register_variable("MY_COLOUR", "turquoise");
        assert_eq!(mask("abc123 turquoise"), "**** turquoise");
        register_assignment("--env=MY_TOKEN=def456=");
        register_assignment("-eTOKEN=ghi789");
        register_assignment("AWS_SECRET_ACCESS_KEY=/jkl012");
        assert_eq!(mask("def456= ghi789 /jkl012"), "**** **** ****");
    }

    /// C-016
    #[test]
    fn no_reading_of_an_open_quote_lets_a_secret_through() {
        for line in [
            "-e MY_TOKEN=hidden1 -e A='b",
            "-e A='b -e MY_TOKEN=hidden1 -e C=d",
            "-e MY_TOKEN='hidden1 -e A=b",
            "-e MY_TOKEN=\"hidden1 'hidden2 hidden3 -e A=b",
            "-e 'MY_TOKEN=hidden1 hidden2 hidden3 -e A=b",
            "-e A=\"b -e \"MY_TOKEN=hidden1 hidden2\" 'x",
            "-e A='b -e MY_TOKEN=\"hidden1 hidden2\" -e B='c' d",
            "-e \"MY_TOKEN\"=hidden1 'x",
            "-eMY_TOKEN=hidden1\"hidden2\" 'x",
            "--env=MY_TOKEN=hidden1\\ hidden2 'x",
            "--env MY_TOKEN=\"hidden1\\\"hidden2\" 'x",
            "-e A=\"b\nMY_TOKEN=hidden1",
            "-e A=b # MY_TOKEN=hidden1",
            "-e ÄÖ='ü MY_TOKEN=hidden1",
        ] {
            // Each thread has secrets of its own.
            let shown = std::thread::spawn(move || {
                register_assignments(line);
                mask(line)
            });
            let shown = shown.join().expect("no panic");
            assert!(!shown.contains("hidden"), "{line}: {shown}");
        }
        register_assignments("-e COLOUR=turquoise -e A='b");
        assert_eq!(mask("turquoise"), "turquoise");
    }
}
