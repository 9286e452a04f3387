//! Rewriting of a task's URL: forced ssh, translation to https, and the credentials that go with it (E-037 to E-044).

use super::GitUrl;
use super::credentials::{CredentialRules, Credentials, Delivery};

/// The settings that rewrite URLs.
#[derive(Clone, Debug)]
pub struct UrlRules {
    /// `agent.force_git_ssh_protocol`.
    pub force_ssh: bool,
    /// `agent.force_git_ssh_port`.
    pub force_ssh_port: Option<u16>,
    /// `agent.force_git_ssh_user`.
    pub force_ssh_user: Option<String>,
    /// `agent.translate_ssh`.
    pub translate_ssh: bool,
    /// `CLEARML_AGENT_SSH_URL_REPLACEMENT_SCHEME`, else `agent.translate_ssl_replacement_scheme`.
    pub replacement_scheme: String,
    /// Users and passwords.
    pub credentials: CredentialRules,
}

/// A repository as git is told of it.
#[derive(Clone, Debug)]
pub struct Remote {
    /// The task's URL.
    pub task_url: GitUrl,
    /// The rewritten URL; credentials that the task's URL held are still in it.
    pub translated: GitUrl,
    /// What git gets: no password, and no user for http and https.
    pub url: GitUrl,
    /// The pair for this URL, if any.
    pub credentials: Option<Credentials>,
    /// How the pair reaches the server.
    pub delivery: Delivery,
    /// Lines for the console; they hold no password.
    pub messages: Vec<String>,
    /// False where a repository names it, so that git uses no way there that only its user may choose.
    pub is_of_user: bool,
}

impl Default for UrlRules {
    fn default() -> Self {
        Self {
            force_ssh: false,
            force_ssh_port: None,
            force_ssh_user: None,
            translate_ssh: true,
            replacement_scheme: "https".to_owned(),
            credentials: CredentialRules::default(),
        }
    }
}

impl UrlRules {
    /// Decides for one repository, once: URL, credentials and the lines that tell of it.
    pub fn resolve(&self, task_url: &GitUrl) -> Remote {
        let (translated, mut messages) = self.translate(task_url);
        let credentials = takes_credentials(&translated)
            .then(|| {
                // A pair in the translated URL comes before the settings; the settings are matched with the task's URL.
                let embedded = translated.embedded_pair().is_some();
                let subject = if embedded { &translated } else { task_url };
                self.credentials.choose(subject, &self.replacement_scheme)
            })
            .flatten();
        let (mut delivery, warning) = self.credentials.delivery();
        if translated.is_http() {
            messages.extend(warning.map(str::to_owned));
            if delivery != Delivery::Askpass && credentials.is_none() {
                messages.push(
                    "WARNING: cannot use MS Entra Token or Azure PAT since no password was found, skipping".to_owned(),
                );
            }
        } else {
            delivery = Delivery::Askpass;
        }
        Remote {
            task_url: task_url.clone(),
            is_of_user: true,
            url: translated.without_credentials(),
            translated,
            credentials,
            delivery,
            messages,
        }
    }

    /// The rewritten URL, credentials of the URL kept, and the messages of E-040.
    pub fn translate(&self, url: &GitUrl) -> (GitUrl, Vec<String>) {
        if self.force_ssh {
            let limited = self.credentials.global.host();
            let is_meant = limited.is_none_or(|host| {
                self.credentials
                    .matches(url, host, &self.replacement_scheme)
            });
            if !is_meant {
                return (url.clone(), Vec::new());
            }
            if url.is_ssh() || url.scheme() == Some("https") {
                return self.forced_ssh(url);
            }
        }
        let applies = || {
            self.credentials
                .choose(url, &self.replacement_scheme)
                .is_some()
        };
        if self.translate_ssh
            && url.is_ssh()
            && applies()
            && let Some(new) = url.to_http(&self.replacement_scheme)
        {
            let message = format!(
                "Using user/pass credentials - replacing ssh url '{url}' with https url '{new}'"
            );
            return (new, vec![message]);
        }
        (url.clone(), Vec::new())
    }

    /// What was tried in order to be let in to `remote`: host, user, and where the password comes from.
    pub(super) fn tried(&self, remote: &Remote) -> String {
        let url = &remote.url;
        if let Some(pair) = &remote.credentials {
            return format!(
                "host `{}`: tried {} (user `{}`)",
                url.host().unwrap_or_default(),
                pair.source.describe(),
                pair.user
            );
        }
        if let Some(address) = url.ssh_address() {
            let user = address.user.map(|user| format!(" (user `{user}`)"));
            return format!(
                "host `{}`: tried the ssh keys of this machine{}",
                address.host,
                user.unwrap_or_default()
            );
        }
        let Some(host) = url.host() else {
            return "no credentials are needed on this machine".to_owned();
        };
        let others: Vec<String> = self
            .credentials
            .configured()
            .filter_map(|(host, _)| Some(format!("`{}`", host?)))
            .collect();
        if others.is_empty() {
            return format!("no credentials are configured for host `{host}`");
        }
        format!(
            "no credentials are configured for host `{host}`, only for {}",
            others.join(", ")
        )
    }

    fn forced_ssh(&self, url: &GitUrl) -> (GitUrl, Vec<String>) {
        let user = self.force_ssh_user.as_deref().unwrap_or("git");
        let is_ssh = url.is_ssh();
        if is_ssh && self.force_ssh_port.is_none() && self.force_ssh_user.is_none() {
            return (url.clone(), Vec::new());
        }
        let Some(new) = url.to_ssh(user, self.force_ssh_port) else {
            return (url.clone(), Vec::new());
        };
        let message = if is_ssh {
            format!("Using SSH credentials - ssh url '{url}' with ssh url '{new}'")
        } else {
            format!("Using SSH credentials - replacing https url '{url}' with ssh url '{new}'")
        };
        (new, vec![message])
    }
}

/// E-049: ssh and the schemes that begin with `git` never get a password.
fn takes_credentials(url: &GitUrl) -> bool {
    !url.is_ssh() && !url.scheme().is_some_and(|scheme| scheme.starts_with("git"))
}
