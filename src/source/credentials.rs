//! Which user and password belong to a URL: a pure choice, made once for each repository (E-044 to E-049).

use super::GitUrl;
use crate::secrets::SecretString;

/// A user and password with the host they are meant for.
#[derive(Clone, Debug, Default)]
pub struct HostCredentials {
    /// User; empty means not set.
    pub user: String,
    /// Password or token; none or empty means not set.
    pub password: Option<SecretString>,
    /// Host, or the beginning of the URL with `match_prefix`; none means every host.
    pub host: Option<String>,
    /// Where the pair comes from, in words that a user can look for; none means the keys of the configuration.
    pub label: Option<String>,
}

/// All that the settings say about credentials for git.
#[derive(Clone, Debug, Default)]
pub struct CredentialRules {
    /// `agent.git_user`, `agent.git_pass`, `agent.git_host` and their variables (E-045).
    pub global: HostCredentials,
    /// `agent.git.extra_credentials`, in order (E-047).
    pub extra: Vec<HostCredentials>,
    /// `agent.git_host_match_prefix` (E-046).
    pub match_prefix: bool,
    /// `agent.git_use_azure_pat` (E-053).
    pub azure_pat: bool,
    /// `agent.git_use_ms_entra_token`; wins over `azure_pat` (E-053).
    pub entra_token: bool,
}

/// What is used for one URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password or token.
    pub password: SecretString,
    /// Where the pair comes from, for messages.
    pub source: CredentialSource,
}

/// Where a pair comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CredentialSource {
    /// The repository's own URL.
    Url,
    /// The settings, in words that a user can look for.
    Settings(String),
}

/// How a pair reaches the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// git asks the agent's own binary (E-050).
    Askpass,
    /// As the header of an Azure DevOps personal access token (E-053).
    AzurePat,
    /// As a bearer token of Microsoft Entra (E-053).
    EntraToken,
}

impl HostCredentials {
    /// The pair, where both parts are there.
    fn pair(&self, source: CredentialSource) -> Option<Credentials> {
        let password = self
            .password
            .clone()
            .filter(|password| !password.is_empty())?;
        (!self.user.is_empty()).then(|| Credentials {
            user: self.user.clone(),
            password,
            source,
        })
    }

    /// The configured host; an empty one counts as none.
    pub fn host(&self) -> Option<&str> {
        self.host
            .as_deref()
            .map(str::trim)
            .filter(|host| !host.is_empty())
    }
}

impl CredentialRules {
    /// The pair for `url`; `replacement_scheme` is the scheme that an ssh address would be translated to.
    ///
    /// Order: both parts in the URL, the first of the extra credentials that matches, the global pair. A plain path
    /// has no host and is matched only by a pair that is meant for every host.
    pub fn choose(&self, url: &GitUrl, replacement_scheme: &str) -> Option<Credentials> {
        if let Some((user, password)) = url.embedded_pair() {
            let (user, password) = (user.to_owned(), password.clone());
            return Some(Credentials {
                user,
                password,
                source: CredentialSource::Url,
            });
        }
        self.configured()
            .find(|(host, _)| host.is_none_or(|host| self.matches(url, host, replacement_scheme)))
            .map(|(_, pair)| pair)
    }

    /// Every complete pair with its host, the stronger one first.
    pub fn configured(&self) -> impl Iterator<Item = (Option<&str>, Credentials)> {
        let extra = self.extra.iter().enumerate().filter_map(|(index, entry)| {
            let source = format!("`agent.git.extra_credentials[{index}]`");
            let pair = entry.pair(CredentialSource::Settings(source));
            if pair.is_none() || entry.host().is_none() {
                tracing::warn!(
                    host = entry.host(),
                    "incomplete entry of agent.git.extra_credentials, skipped"
                );
            }
            Some((Some(entry.host()?), pair?))
        });
        let label = self.global.label.as_deref();
        let source = label.unwrap_or("`agent.git_user` and `agent.git_pass`");
        let global = self
            .global
            .pair(CredentialSource::Settings(source.to_owned()));
        extra.chain(global.map(|pair| (self.global.host(), pair)))
    }

    /// Whether `configured` (a host, or the beginning of a URL) means `url` (E-046).
    pub fn matches(&self, url: &GitUrl, configured: &str, replacement_scheme: &str) -> bool {
        let configured = configured.to_lowercase();
        if !self.match_prefix {
            return url.host() == Some(configured.as_str());
        }
        url.spellings(replacement_scheme).iter().any(|spelling| {
            spelling
                .strip_prefix(configured.as_str())
                .is_some_and(|rest| {
                    rest.is_empty()
                        || rest == ".git"
                        || rest.starts_with(['/', ':', '?', '#'])
                        || configured.ends_with(['/', ':'])
                })
        })
    }

    /// How a pair is handed over, with the warning of E-053 where both Azure modes are on.
    pub fn delivery(&self) -> (Delivery, Option<&'static str>) {
        match (self.entra_token, self.azure_pat) {
            (true, true) => (
                Delivery::EntraToken,
                Some(
                    "WARNING: Git MS Entra Token and Azure PAT support are both turned on, using MS Entra Token",
                ),
            ),
            (true, false) => (Delivery::EntraToken, None),
            (false, true) => (Delivery::AzurePat, None),
            (false, false) => (Delivery::Askpass, None),
        }
    }
}

impl CredentialSource {
    /// The source in words that a user can look for.
    pub fn describe(&self) -> &str {
        match self {
            Self::Url => "the repository's URL",
            Self::Settings(source) => source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(host: Option<&str>, match_prefix: bool) -> CredentialRules {
        CredentialRules {
            global: HostCredentials {
                user: "bob".to_owned(),
                password: Some(SecretString::new("tok123")),
                host: host.map(str::to_owned),
                label: None,
            },
            match_prefix,
            ..CredentialRules::default()
        }
    }

    /// E-046
    #[test]
    fn a_prefix_ends_at_a_separator() {
        let rules = rules(Some("https://h.example/acme"), true);
        let chosen = |url: &str| rules.choose(&GitUrl::parse(url), "https").is_some();
        assert!(chosen("https://h.example/acme/a.git"));
        assert!(chosen("https://h.example/acme.git"));
        assert!(!chosen("https://h.example/acme-evil/a.git"));
    }

    /// E-044
    #[test]
    fn a_prefix_means_the_place_however_it_is_spelt() {
        let rules = rules(Some("https://h.example/acme"), true);
        assert!(
            rules
                .choose(&GitUrl::parse("git@h.example:acme/a.git"), "https")
                .is_some()
        );
    }

    /// E-045
    #[test]
    fn an_empty_host_is_every_host() {
        assert!(
            rules(Some(""), false)
                .choose(&GitUrl::parse("https://x/y"), "https")
                .is_some()
        );
    }
}
