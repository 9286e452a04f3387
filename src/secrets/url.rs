//! Passwords inside URLs, wherever in a text they stand.

use std::sync::LazyLock;

use regex::Regex;

use super::SecretString;

static USER_INFO: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"://[^\s/:@]*:([^\s/@]+)@").expect("the pattern is constant"));

/// Makes the passwords of all URLs in `text` known to the masker, as they are written and as they are meant.
pub fn register_url_passwords(text: &str) {
    if !text.contains("://") {
        return;
    }
    for found in USER_INFO.captures_iter(text) {
        let written = &found[1];
        let decoded = percent_encoding::percent_decode_str(written).decode_utf8_lossy();
        SecretString::new(decoded);
        SecretString::new(written);
    }
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
}
