//! Links to repositories in requirement lines, rewritten by the same rules as a task's own (E-246).
//!
//! Users and passwords do not go into the link: the installer's git asks this binary for them.

use std::ffi::OsString;

use super::GitUrl;
use super::credentials::Credentials;
use super::git::Access;
use super::request::SourceOptions;
use super::rewrite::UrlRules;

/// A rewritten link.
#[derive(Clone, Debug)]
pub struct PipLink {
    /// What the installer gets: `git+<url>[@revision][#fragment]`, no user and no password.
    pub argument: String,
    /// The repository's server and the pair that the link itself held; [`installer_variables`] wants it.
    pub embedded: Option<(String, Credentials)>,
    /// Lines for the console.
    pub messages: Vec<String>,
}

impl UrlRules {
    /// Rewrites a requirement that is a `git+` link, alone, behind `-e` or behind `name @`; none for any other line.
    pub fn rewrite_pip_link(&self, requirement: &str) -> Option<PipLink> {
        let text = requirement.trim();
        let start = text.find("git+")?;
        let before = text[..start].trim_end();
        if !(matches!(before, "" | "-e" | "--editable") || before.ends_with('@')) {
            return None;
        }
        let link = &text[start + "git+".len()..];
        let (address, fragment) = match link.split_once('#') {
            Some((address, fragment)) => (address, Some(fragment)),
            None => (link, None),
        };
        // Nobody serves git's own protocol any more; the same place answers by ssh.
        let by_ssh = address
            .strip_prefix("git://")
            .map(|place| format!("ssh://{place}"));
        let written = GitUrl::parse(by_ssh.as_deref().unwrap_or(address));
        let (url, revision) = written.split_revision();
        let mut remote = self.resolve(&url);
        let assemble = |base: &GitUrl| {
            let mut whole = format!("git+{base}");
            for (mark, part) in [('@', revision.as_deref()), ('#', fragment)] {
                if let Some(part) = part {
                    whole.push(mark);
                    whole.push_str(part);
                }
            }
            whole
        };
        let mut messages = std::mem::take(&mut remote.messages);
        let is_rewritten = remote.translated != url;
        let argument =
            if is_rewritten || remote.credentials.is_some() || url.embedded_pair().is_some() {
                assemble(&remote.url)
            } else {
                // What no rule is for stays letter by letter, `git://` and users included.
                format!("git+{link}")
            };
        if is_rewritten {
            let mut old = assemble(&url);
            if by_ssh.is_some() {
                old = old.replacen("git+ssh:", "git+git:", 1);
            }
            messages.push(format!(
                "Replacing original pip vcs '{old}' with '{argument}'"
            ));
        }
        let embedded = remote
            .translated
            .embedded_pair()
            .and_then(|_| Some((remote.url.origin()?, remote.credentials.clone()?)));
        Some(PipLink {
            argument,
            embedded,
            messages,
        })
    }
}

/// The variables with which an installer's git finds credentials; `links` are those of its requirements.
pub fn installer_variables(
    options: &SourceOptions,
    links: &[PipLink],
) -> Vec<(OsString, OsString)> {
    let mut access = Access::to_any(None, &options.rules.credentials);
    for (origin, pair) in links.iter().filter_map(|link| link.embedded.as_ref()) {
        access.answers_mut().add(origin.clone(), pair);
    }
    access.variables(&options.askpass_program)
}
