//! Hands passwords to git without argv, URL or file: git asks this very binary, which answers from the
//! environment of that one git process (E-050 to E-052).

use serde::{Deserialize, Serialize};

use super::GitUrl;
use super::credentials::{CredentialRules, Credentials};
use super::rewrite::Remote;
use crate::secrets::SecretString;

/// Set (to `1`) where this binary has been started to answer a prompt; `main` looks at it before anything else.
pub const ASKPASS_MODE: &str = "CLEARML_AGENT_ASKPASS_MODE";

/// The answers, as JSON; present only in the environment of a git process and its children.
pub(super) const ASKPASS_ANSWERS: &str = "CLEARML_AGENT_ASKPASS_ANSWERS";

/// Who is answered what. The first entry that matches wins.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers(Vec<Answer>);

#[derive(Clone, Debug)]
struct Answer {
    matching: Matching,
    user: String,
    password: SecretString,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Matching {
    /// `scheme://host[:port]` exactly.
    Origin(String),
    /// A host, whatever scheme and port.
    Host(String),
    /// The beginning of the URL without user and password.
    Prefix(String),
    /// Every host.
    Any,
}

#[derive(Deserialize, Serialize)]
struct Entry<'a> {
    matching: Matching,
    user: std::borrow::Cow<'a, str>,
    password: std::borrow::Cow<'a, str>,
}

impl Answers {
    /// Answers for the one server of `remote`: what a fetch of it may ask.
    pub(super) fn for_remote(remote: &Remote) -> Self {
        let answer = remote.credentials.as_ref().zip(remote.url.origin());
        Self(
            answer
                .map(|(pair, origin)| Answer::new(Matching::Origin(origin), pair))
                .into_iter()
                .collect(),
        )
    }

    /// Answers by the matching rules of the settings, for git calls that reach several servers.
    pub(super) fn for_any(remote: Option<&Remote>, rules: &CredentialRules) -> Self {
        let mut answers = remote.map(Self::for_remote).unwrap_or_default();
        answers.0.extend(rules.configured().map(|(host, pair)| {
            let matching = match host {
                None => Matching::Any,
                Some(prefix) if rules.match_prefix => Matching::Prefix(prefix.to_lowercase()),
                Some(host) => Matching::Host(host.to_lowercase()),
            };
            Answer::new(matching, &pair)
        }));
        answers
    }

    pub(super) fn add(&mut self, origin: String, pair: &Credentials) {
        self.0
            .insert(0, Answer::new(Matching::Origin(origin), pair));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of [`ASKPASS_ANSWERS`].
    pub(super) fn to_variable(&self) -> String {
        let entries: Vec<Entry<'_>> = self
            .0
            .iter()
            .map(|answer| Entry {
                matching: answer.matching.clone(),
                user: answer.user.as_str().into(),
                password: answer.password.expose().into(),
            })
            .collect();
        serde_json::to_string(&entries).expect("strings and enums of strings are always JSON")
    }
}

impl Answer {
    fn new(matching: Matching, pair: &Credentials) -> Self {
        Self {
            matching,
            user: pair.user.clone(),
            password: pair.password.clone(),
        }
    }
}

impl Matching {
    fn matches(&self, url: &GitUrl) -> bool {
        match self {
            Self::Any => true,
            Self::Origin(origin) => url.origin().as_deref() == Some(origin),
            Self::Host(host) => url.host() == Some(host),
            // git names only the server, so a prefix with a path decides by the server alone.
            Self::Prefix(prefix) => {
                let meant = GitUrl::parse(if prefix.contains("://") { prefix } else { "" });
                match meant.origin() {
                    Some(origin) => url.origin() == Some(origin),
                    None => url.host() == prefix.split([':', '/']).next(),
                }
            }
        }
    }
}

/// The answer to a prompt of git such as `Password for 'https://bob@host.example': `, or none where this host is not
/// to be answered; `environment` gives a variable's value.
///
/// The caller prints the answer and a line feed on stdout; without an answer it exits with 1.
pub fn askpass(prompt: &str, environment: impl Fn(&str) -> Option<String>) -> Option<String> {
    let answers = environment(ASKPASS_ANSWERS)?;
    let entries: Vec<Entry<'_>> = serde_json::from_str(&answers).ok()?;
    let asks_user = prompt.trim_start().starts_with(['u', 'U']);
    let start = prompt.find('\'')? + 1;
    let end = prompt.rfind('\'').filter(|end| *end > start)?;
    let url = GitUrl::parse(prompt.get(start..end)?);
    let entry = entries
        .into_iter()
        .find(|entry| entry.matching.matches(&url))?;
    Some(
        if asks_user {
            entry.user
        } else {
            entry.password
        }
        .into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::credentials::{CredentialSource, HostCredentials};
    use super::super::rewrite::UrlRules;
    use super::*;

    fn ask(answers: &Answers, prompt: &str) -> Option<String> {
        askpass(prompt, |name| {
            (name == ASKPASS_ANSWERS).then(|| answers.to_variable())
        })
    }

    fn rules(host: Option<&str>, password: &str) -> UrlRules {
        UrlRules {
            credentials: CredentialRules {
                global: HostCredentials {
                    user: "bob".to_owned(),
                    password: Some(SecretString::new(password)),
                    host: host.map(str::to_owned),
                    label: None,
                },
                ..CredentialRules::default()
            },
            ..UrlRules::default()
        }
    }

    /// E-051: no character of a password is special.
    #[test]
    fn every_password_arrives_as_it_is() {
        let password = "a$b`c\\d\"e'f g%h\u{e9}";
        let remote = rules(None, password).resolve(&GitUrl::parse("https://h.example:8443/a"));
        let answers = Answers::for_remote(&remote);
        assert_eq!(
            ask(&answers, "Username for 'https://h.example:8443': ").as_deref(),
            Some("bob")
        );
        assert_eq!(
            ask(&answers, "Password for 'https://bob@h.example:8443': ").as_deref(),
            Some(password)
        );
    }

    /// E-052
    #[test]
    fn a_foreign_host_gets_no_answer() {
        let remote = rules(None, "tok123").resolve(&GitUrl::parse("https://h.example/a"));
        let answers = Answers::for_remote(&remote);
        for prompt in [
            "Password for 'https://evil.example': ",
            "Password for 'https://h.example@evil.example': ",
            "Password for 'http://h.example': ",
            "Password for 'https://h.example:444': ",
            "Password: ",
            "'",
            "",
        ] {
            assert_eq!(ask(&answers, prompt), None, "{prompt}");
        }
    }

    /// E-052: submodules are answered by the rules of the settings.
    #[test]
    fn submodules_are_answered_by_the_matching_rule() {
        let mut rules = rules(Some("h.example"), "tok123");
        rules.credentials.extra.push(HostCredentials {
            user: "eve".to_owned(),
            password: Some(SecretString::new("eves-token")),
            host: Some("sub.example".to_owned()),
            label: None,
        });
        let answers = Answers::for_any(None, &rules.credentials);
        assert_eq!(
            ask(&answers, "Password for 'https://sub.example': ").as_deref(),
            Some("eves-token")
        );
        assert_eq!(
            ask(&answers, "Password for 'https://h.example': ").as_deref(),
            Some("tok123")
        );
        assert_eq!(
            ask(&answers, "Password for 'https://other.example': "),
            None
        );
    }

    #[test]
    fn answers_do_not_show_in_debug() {
        let pair = Credentials {
            user: "bob".to_owned(),
            password: SecretString::new("hunter2-secret"),
            source: CredentialSource::Url,
        };
        let mut answers = Answers::default();
        answers.add("https://h".to_owned(), &pair);
        assert!(!format!("{answers:?}").contains("hunter2"));
    }
}
