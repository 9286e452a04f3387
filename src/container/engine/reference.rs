//! Names of images, as far as a registry and a pull need them.

use super::error::EngineError;

/// The registry of names without one, as files of logins call it.
const HUB: &str = "https://index.docker.io/v1/";

/// The name of an image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Reference {
    /// The name that is pulled, without its tag.
    pub(super) name: String,
    /// Tag or digest; `latest` where none was given.
    pub(super) tag: String,
    /// The registry under which a login is kept.
    pub(super) registry: String,
}

impl Reference {
    /// Takes a name apart.
    pub(super) fn parse(image: &str) -> Result<Self, EngineError> {
        let refused = |why| EngineError::Reference {
            image: image.to_owned(),
            why,
        };
        if image.is_empty() {
            return Err(refused("it is empty"));
        }
        if image.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(refused("it has a space in it"));
        }
        let (rest, digest) = match image.split_once('@') {
            Some((rest, digest)) if digest.contains(':') => (rest, Some(digest)),
            Some(_) => return Err(refused("the part behind `@` must be a digest")),
            None => (image, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            // A port of the registry is followed by a path.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(refused(
                "a tag has letters, digits, `_`, `.` and `-`, at most 128",
            ));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_registry(first) => (first, path),
            _ => (HUB, name),
        };
        if path.is_empty() || path.starts_with('/') || path.ends_with('/') || path.contains("//") {
            return Err(refused("a part of it is empty"));
        }
        if path.chars().any(char::is_uppercase) {
            return Err(refused("it must be in lower case"));
        }
        let is_hub = ["docker.io", "index.docker.io", "registry-1.docker.io"].contains(&registry);
        Ok(Self {
            name: name.to_owned(),
            tag: digest.or(tag).unwrap_or("latest").to_owned(),
            registry: if is_hub { HUB } else { registry }.to_owned(),
        })
    }
}

fn is_registry(word: &str) -> bool {
    word.contains(['.', ':']) || word == "localhost"
}

fn is_tag(tag: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=128).contains(&tag.len())
        && tag.starts_with(is_word)
        && tag.chars().all(|c| is_word(c) || c == '.' || c == '-')
}
