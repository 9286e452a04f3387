//! The address of a package index, whose password is never printed (E-141).

use std::fmt;

use url::Url;

use crate::secrets::SecretString;

/// An extra package index.
#[derive(Clone, Eq, PartialEq)]
pub struct IndexUrl {
    plain: String,
    shown: String,
}

impl IndexUrl {
    /// Takes the address and registers its password, or its lone user name, with the redactor.
    pub fn new(address: impl Into<String>) -> Self {
        let plain = address.into();
        let shown = Self::masked(&plain).unwrap_or_else(|| plain.clone());
        Self { plain, shown }
    }

    fn masked(plain: &str) -> Option<String> {
        let url = Url::parse(plain).ok()?;
        let user = Some(url.username()).filter(|user| !user.is_empty());
        let secret = url.password().or(user)?;
        let decoded = percent_encoding::percent_decode_str(secret).decode_utf8_lossy();
        SecretString::new(decoded.into_owned());
        SecretString::new(secret);
        // Replaced in the text, not in the parsed form, so that the rest stays as it was written.
        let (scheme, rest) = plain.split_once("://")?;
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let host_start = rest[..authority_end].rfind('@')?;
        let user = match rest[..host_start].split_once(':') {
            Some((user, _)) => format!("{user}:xxxxxx"),
            None => "xxxxxx".to_owned(),
        };
        Some(format!("{scheme}://{user}{}", &rest[host_start..]))
    }

    /// The address as it was written, for the one place that hands it to the installer.
    pub(super) fn expose(&self) -> &str {
        &self.plain
    }

    /// True where the address holds a password or token.
    pub fn is_private(&self) -> bool {
        self.plain != self.shown
    }
}

impl fmt::Display for IndexUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for IndexUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-141
    #[test]
    fn a_password_or_token_is_never_shown() {
        let url = IndexUrl::new("https://bob:s3cr%40t-word@h.local:8443/simple?x=a@b");
        assert!(url.is_private());
        assert_eq!(
            url.to_string(),
            "https://bob:xxxxxx@h.local:8443/simple?x=a@b"
        );
        assert!(!format!("{url:?}").contains("word"));
        assert_eq!(crate::secrets::mask("got s3cr@t-word"), "got ****");
        assert_eq!(
            IndexUrl::new("https://tok-abcdef@h/s").to_string(),
            "https://xxxxxx@h/s"
        );
        assert!(!IndexUrl::new("https://h.local/simple").is_private());
    }
}
