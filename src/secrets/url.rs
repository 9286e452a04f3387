//! Passwords inside URLs, wherever in a text they stand.

use std::sync::LazyLock;

use regex::Regex;

use super::SecretString;

/// User and password; a password may hold an `@` that should have been escaped.
static USER_INFO: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"://(?:[^\s/:@]*:([^\s/]+)|([^\s/:@]+))@").expect("the pattern is constant")
});

/// How the tokens of well-known services begin.
const TOKEN_PREFIXES: [&str; 8] = [
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "hf_",
    "pypi-",
];
/// A lone user of this length with letters and digits is no person's name.
const LONG_AS_A_TOKEN: usize = 16;

/// Makes the passwords of all URLs in `text` known to the masker, as they are written and as they are meant.
/// A lone user counts where it looks like a token.
pub fn register_url_passwords(text: &str) {
    if !text.contains("://") {
        return;
    }
    for found in USER_INFO.captures_iter(text) {
        let password = found.get(1).map(|found| found.as_str());
        let token = found.get(2).map(|found| found.as_str());
        let Some(written) = password.or(token.filter(|user| is_token(user))) else {
            continue;
        };
        let decoded = percent_encoding::percent_decode_str(written).decode_utf8_lossy();
        SecretString::new(decoded);
        SecretString::new(written);
    }
}

fn is_token(user: &str) -> bool {
    let has = |of_kind: fn(char) -> bool| user.chars().any(of_kind);
    TOKEN_PREFIXES.iter().any(|prefix| user.starts_with(prefix))
        || user.len() >= LONG_AS_A_TOKEN
            && has(|letter| letter.is_ascii_digit())
            && has(|letter| letter.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::mask;

    #[test]
    fn passwords_of_urls_are_masked_from_then_on() {
        register_url_passwords(
            "torch @ https://me:first-one@h/x.whl\n--index-url http://u:sec%2Fond@h:80/simple ssh://git@h/x https://h:443/a@b",
        );
        assert_eq!(
            mask("first-one sec%2Fond sec/ond git 443 a@b"),
            "**** **** **** git 443 a@b"
        );
    }

    #[test]
    fn a_lone_user_is_masked_where_it_looks_like_a_token() {
        register_url_passwords(
            "https://ghp_short1@h/x https://somebody@h/x https://1a2b3c4d5e6f7a8b9c@h/x https://me:has@sign@h/x",
        );
        assert_eq!(
            mask("ghp_short1 somebody 1a2b3c4d5e6f7a8b9c has@sign"),
            "**** somebody **** ****"
        );
    }
}
