//! Every form in which a program may print a secret: as it is, in URLs, in JSON, in base64, line by line.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::visible;

/// What a URL's user and password may hold unescaped (RFC 3986, unreserved).
const USER_INFO: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Python's `quote` leaves the slash as well.
const QUOTED: &AsciiSet = &USER_INFO.remove(b'/');
/// `encodeURIComponent`
const COMPONENT: &AsciiSet = &USER_INFO
    .remove(b'!')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// `encodeURI`, which leaves what parts an address.
const ADDRESS: &AsciiSet = &COMPONENT
    .remove(b';')
    .remove(b',')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b'#');
/// Clients that take an address as it was typed, such as Python's `requests`.
const TYPED: &AsciiSet = &ADDRESS.remove(b'[').remove(b']');
const TYPED_WITH_ESCAPES: &AsciiSet = &TYPED.remove(b'%');
/// Who encodes leaves more or less of a text as it is.
const ENCODINGS: [&AsciiSet; 6] = [
    USER_INFO,
    QUOTED,
    COMPONENT,
    ADDRESS,
    TYPED,
    TYPED_WITH_ESCAPES,
];
/// Of shorter ones too few letters of base64 are sure: they would blank ordinary words.
const SHORTEST_IN_BASE64: usize = 6;
/// A line of a secret that has several, such as a private key, is a secret from this length on.
const SHORTEST_LINE: usize = 16;

/// All forms of `secret`, itself among them.
pub(super) fn forms(secret: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::from([secret.to_owned()]);
    for encoding in ENCODINGS {
        let encoded = utf8_percent_encode(secret, encoding).to_string();
        forms.extend([
            lower_escapes(&encoded),
            encoded.replace("%20", "+"),
            encoded,
        ]);
    }
    forms.extend(in_json(secret));
    // As a value of others is printed.
    forms.extend([visible::line(secret), visible::lines(secret)].map(Cow::into_owned));
    if secret.len() >= SHORTEST_IN_BASE64 {
        forms.extend(in_base64(secret.as_bytes()));
    }
    if secret.contains('\n') {
        let lines = secret.lines().map(str::trim);
        forms.extend(
            lines
                .filter(|line| line.len() >= SHORTEST_LINE && !line.starts_with("-----"))
                .map(str::to_owned),
        );
    }
    forms
}

/// Inside the quotes of JSON: as most programs write it, with escaped slashes, and with nothing but ASCII.
fn in_json(secret: &str) -> [String; 3] {
    let quoted = serde_json::Value::from(secret).to_string();
    let plain = quoted[1..quoted.len() - 1].to_owned();
    let slashes = plain.replace('/', "\\/");
    let mut ascii = String::new();
    for letter in plain.chars() {
        if letter.is_ascii() {
            ascii.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            // A String takes everything.
            let _ = write!(ascii, "\\u{unit:04x}");
        }
    }
    [plain, slashes, ascii]
}

/// The letters that stand for `secret` wherever it stands in something that is encoded, such as `user:password`: they
/// depend on its place among groups of three bytes. Letters that its neighbours have a part in are left out.
fn in_base64(secret: &[u8]) -> impl Iterator<Item = String> {
    (0..3_usize).flat_map(|before| {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret);
        // A letter stands for six bits; those that begin within `before` bytes are not sure.
        let first = (before * 8).div_ceil(6);
        let behind = bytes.len() * 8 / 6;
        [
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
        ]
        .map(|letters| letters[first..behind].to_owned())
    })
}

/// Some clients write `%2f` where others write `%2F`.
fn lower_escapes(encoded: &str) -> String {
    let mut rest_of_escape = 0;
    encoded
        .chars()
        .map(|c| {
            if c == '%' {
                rest_of_escape = 2;
                c
            } else if rest_of_escape > 0 {
                rest_of_escape -= 1;
                c.to_ascii_lowercase()
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_encode_an_address_is_known() {
        for (secret, form) in [
            // `quote`, `quote_plus` and `requests` of Python; `encodeURIComponent` and `encodeURI`.
            ("Gp4ss/w+rd=9zq", "Gp4ss/w%2Brd%3D9zq"),
            ("Gp4ss/w+rd=9zq", "Gp4ss%2Fw%2Brd%3D9zq"),
            ("pw with & \"q\"", "pw%20with%20&%20%22q%22"),
            ("pw with & \"q\"", "pw+with+%26+%22q%22"),
            ("it's (one)*/&", "it's%20(one)*%2F%26"),
            ("it's (one)*/&", "it's%20(one)*/&"),
            ("a[1]{b}50%", "a[1]%7Bb%7D50%"),
        ] {
            assert!(forms(secret).contains(form), "{form}: {:?}", forms(secret));
        }
    }
}
