//! Keys that nobody reads, most of them misspelt: a hint for whoever looks, never an error.

use std::fmt;

use super::{key, keys};
use crate::settings::Settings;
use crate::settings::hocon::{Kind, Object, Origin};

/// A key of `agent` or `api` that no release knows.
#[derive(Clone, Debug)]
pub struct UnknownKey {
    /// Where it stands.
    pub path: String,
    /// Where it was written.
    pub origin: Origin,
}

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown key {} ({})", self.path, self.origin)?;
        match nearest(&self.path) {
            Some(path) => write!(f, "; hint: did you mean {path}?"),
            None => Ok(()),
        }
    }
}

/// The sections whose keys are all known. Others are handed to tasks, or are their owner's.
const OWN_SECTIONS: [&str; 2] = ["agent", "api"];

/// How much of a key must be right for the nearest one to be worth a word, from 0 to 1.
const WORTH_A_HINT: f64 = 0.6;

impl Settings {
    /// The keys of the agent's own sections that no release knows, in the order of the configuration.
    pub fn unknown_keys(&self) -> Vec<UnknownKey> {
        let mut found = Vec::new();
        for section in OWN_SECTIONS {
            if let Some(Kind::Object(members)) = self.root().get(section).map(|value| &value.kind) {
                look(section, members, &mut found);
            }
        }
        found
    }
}

fn look(section: &str, members: &Object, found: &mut Vec<UnknownKey>) {
    for (name, value) in members {
        let path = format!("{section}.{name}");
        if key(&path).is_some() {
            continue;
        }
        if !is_section(&path) {
            let origin = value.origin.clone();
            found.push(UnknownKey { path, origin });
        } else if let Kind::Object(members) = &value.kind {
            look(&path, members, found);
        }
    }
}

/// Whether keys stand below this path.
pub(super) fn is_section(path: &str) -> bool {
    keys().any(|key| is_below(key.path, path))
}

pub(super) fn is_below(path: &str, section: &str) -> bool {
    path.strip_prefix(section)
        .is_some_and(|below| below.starts_with('.'))
}

/// The known key or section that a path looks most like.
pub(super) fn nearest(path: &str) -> Option<&'static str> {
    let wanted = path.to_lowercase();
    let known = keys().map(|key| key.path.strip_suffix(".*").unwrap_or(key.path));
    known
        .flat_map(|known| {
            let sections = known.match_indices('.').map(move |(at, _)| &known[..at]);
            sections.chain([known])
        })
        .map(|known| (known, likeness(&wanted, known)))
        .filter(|(_, likeness)| *likeness >= WORTH_A_HINT)
        // The first of those that are equally near.
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map(|(known, _)| known)
}

/// Without the first part, which many keys share; the user may have left it out.
fn likeness(wanted: &str, known: &str) -> f64 {
    let rest = |path: &str| {
        path.split_once('.')
            .map(|(first, rest)| (first.to_owned(), rest.to_owned()))
    };
    match (rest(wanted), rest(known)) {
        (Some((first, wanted)), Some((known_first, known))) => {
            strsim::normalized_damerau_levenshtein(&wanted, &known)
                * (0.9 + 0.1 * strsim::normalized_damerau_levenshtein(&first, &known_first))
        }
        (None, Some((_, known))) => 0.9 * strsim::normalized_damerau_levenshtein(wanted, &known),
        (_, None) => strsim::normalized_damerau_levenshtein(wanted, known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    fn hints(text: &str) -> Vec<String> {
        let settings =
            Settings::from_text(text, &Environment::default()).expect("the text is good");
        let unknown = settings.unknown_keys();
        unknown.iter().map(ToString::to_string).collect()
    }

    /// F-200: what is unknown is kept, and a hint says what it may have been meant to be.
    #[test]
    fn a_misspelt_key_gets_the_nearest_one() {
        for (text, expected) in [
            (
                "agent.git_usr: me",
                "unknown key agent.git_usr (text); hint: did you mean agent.git_user?",
            ),
            (
                "agent.git.user: me",
                "unknown key agent.git.user (text); hint: did you mean agent.git_user?",
            ),
            (
                "agent.packge_manager { type: uv }",
                "unknown key agent.packge_manager (text); hint: did you mean agent.package_manager?",
            ),
            (
                "agent.package_manager.Type: uv",
                "unknown key agent.package_manager.Type (text); hint: did you mean agent.package_manager.type?",
            ),
            (
                "api.http.retries.totl: 3",
                "unknown key api.http.retries.totl (text); hint: did you mean api.http.retries.total?",
            ),
            ("agent.xyzzy: 1", "unknown key agent.xyzzy (text)"),
        ] {
            assert_eq!(hints(text), [expected]);
        }
    }

    /// F-200
    #[test]
    fn what_others_read_is_not_reported() {
        let text = "mine { a: 1 }\nsdk { new: 1, development.anything: 2 }\nenvironment.A_B: 1\nfiles.f.path: x\n\
                    logging.handlers.file.level: DEBUG\nlocal_modules: [1]\nagent.snug { enabled: true, deep.er: 1 }\n\
                    agent.dynamic_gpus_reservation_timeout_sec: 5\nagent.docker_container_name_format_fields.x: y\n\
                    agent.default_docker.match_rules: [{ image: i, new: 1 }]\nagent.vcs_cache: 5";
        assert_eq!(hints(text), [""; 0]);
    }

    #[test]
    fn nothing_of_the_defaults_is_unknown() {
        assert_eq!(hints(""), [""; 0]);
    }
}
