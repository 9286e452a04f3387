//! Git URLs: one parser for the URL form, the scp-like form and plain paths (E-039, E-041).
//!
//! Neither `Display` nor `Debug` shows a password.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::secrets::SecretString;

/// What a URL's user and password may hold unescaped (RFC 3986, unreserved).
const USER_INFO: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where a repository is, as a task names it or as git is told.
#[derive(Clone, Eq, PartialEq)]
pub struct GitUrl(Form);

#[derive(Clone, Eq, PartialEq)]
enum Form {
    Url(Url),
    Scp {
        user: Option<String>,
        host: String,
        path: String,
    },
    /// A path of this machine, or something that only git may understand.
    Other(String),
}

/// `scheme://[user[:password]@]host[:port]path`; the path keeps its query, its fragment and its escapes.
#[derive(Clone, Eq, PartialEq)]
struct Url {
    scheme: String,
    user: Option<String>,
    password: Option<SecretString>,
    host: String,
    port: Option<u16>,
    path: String,
}

/// The parts of an ssh address, none of them escaped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SshAddress {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) path: String,
}

impl GitUrl {
    /// Reads any text: what is neither a URL nor the scp-like form is taken as a path.
    pub fn parse(text: &str) -> Self {
        Self(
            parse_url(text)
                .map(Form::Url)
                .or_else(|| parse_scp(text))
                .unwrap_or_else(|| Form::Other(text.to_owned())),
        )
    }

    /// The scheme in lower case; none for the scp-like form and for paths.
    pub fn scheme(&self) -> Option<&str> {
        match &self.0 {
            Form::Url(url) => Some(&url.scheme),
            Form::Scp { .. } | Form::Other(_) => None,
        }
    }

    /// The host in lower case, without port.
    pub fn host(&self) -> Option<&str> {
        match &self.0 {
            Form::Url(url) => Some(url.host.as_str()).filter(|host| !host.is_empty()),
            Form::Scp { host, .. } => Some(host),
            Form::Other(_) => None,
        }
    }

    /// True for paths and `file://`: nothing leaves the machine.
    ///
    /// A colon before the first slash means a host, as for git.
    pub fn is_local(&self) -> bool {
        match &self.0 {
            Form::Url(url) => url.scheme == "file",
            Form::Scp { .. } => false,
            Form::Other(path) => path
                .find(':')
                .is_none_or(|colon| path[..colon].contains('/')),
        }
    }

    /// True for `ssh://` and the scp-like form.
    pub fn is_ssh(&self) -> bool {
        matches!(&self.0, Form::Scp { .. }) || self.scheme() == Some("ssh")
    }

    /// True for `http://` and `https://`.
    pub fn is_http(&self) -> bool {
        matches!(self.scheme(), Some("http" | "https"))
    }

    /// User and password where the URL holds both (E-048).
    pub fn embedded_pair(&self) -> Option<(&str, &SecretString)> {
        match &self.0 {
            Form::Url(Url {
                user: Some(user),
                password: Some(password),
                ..
            }) if !user.is_empty() && !password.is_empty() => Some((user, password)),
            _ => None,
        }
    }

    /// The name of the checkout folder: the last part of the path, a trailing slash ignored (E-056).
    pub fn folder_name(&self) -> String {
        let path = match &self.0 {
            Form::Url(url) => url.path.split(['?', '#']).next().unwrap_or_default(),
            Form::Scp { path, .. } | Form::Other(path) => path,
        };
        let name = path.trim_end_matches('/').rsplit('/').next();
        match name.unwrap_or_default() {
            "" | "." | ".." | ".git" => "repository".to_owned(),
            name => name.to_owned(),
        }
    }

    /// The URL without its password, and without its user too where git would only ask for the password
    /// (http and https): what is given to git and kept in configuration files (E-050).
    #[must_use]
    pub fn without_credentials(&self) -> Self {
        let mut bare = self.clone();
        if let Form::Url(url) = &mut bare.0 {
            url.password = None;
            if matches!(url.scheme.as_str(), "http" | "https") {
                url.user = None;
            }
        }
        bare
    }

    /// `scheme://host[:port]`, by which git knows to whom a header or an answer belongs.
    pub fn origin(&self) -> Option<String> {
        match &self.0 {
            Form::Url(url) if self.is_http() => Some(Url {
                path: String::new(),
                ..url.clone()
            })
            .map(|url| Self(Form::Url(url)).without_credentials().to_string()),
            _ => None,
        }
    }

    /// The same place by https (or another `scheme`), or none where this is no ssh address (E-038).
    ///
    /// The users `git` and `hg` are ssh's own and go, unless they have a password; an ssh port goes always (E-042).
    pub fn to_http(&self, scheme: &str) -> Option<Self> {
        let url = match &self.0 {
            Form::Url(url) if url.scheme == "ssh" => {
                let user = url.user.clone().filter(|user| {
                    url.password.is_some() || !matches!(user.as_str(), "git" | "hg")
                });
                Url {
                    scheme: scheme.to_owned(),
                    user,
                    port: None,
                    ..url.clone()
                }
            }
            Form::Scp { user, host, path } => Url {
                scheme: scheme.to_owned(),
                user: user
                    .clone()
                    .filter(|user| !matches!(user.as_str(), "git" | "hg")),
                password: None,
                host: host.clone(),
                port: None,
                path: format!("/{path}"),
            },
            Form::Url(_) | Form::Other(_) => return None,
        };
        Some(Self(Form::Url(url)))
    }

    /// The same place by ssh for an https, ssh or scp-like address; none for any other (E-037, E-043).
    pub fn to_ssh(&self, user: &str, port: Option<u16>) -> Option<Self> {
        let (host, path) = match &self.0 {
            Form::Url(url) if matches!(url.scheme.as_str(), "https" | "ssh") => {
                (url.host.clone(), url.path.clone())
            }
            Form::Scp { host, path, .. } => (host.clone(), format!("/{path}")),
            Form::Url(_) | Form::Other(_) => return None,
        };
        Some(Self(Form::Url(Url {
            scheme: "ssh".to_owned(),
            user: Some(user.to_owned()),
            password: None,
            host,
            port,
            path,
        })))
    }

    /// Every spelling that a configured prefix may mean (E-044, E-046): without user, password and port-free default.
    pub(super) fn spellings(&self, replacement_scheme: &str) -> Vec<String> {
        let mut plain = self.clone();
        match &mut plain.0 {
            Form::Url(url) => {
                url.user = None;
                url.password = None;
            }
            Form::Scp { user, .. } => *user = None,
            Form::Other(_) => {}
        }
        let translated = plain.to_http(replacement_scheme);
        [Some(plain), translated]
            .into_iter()
            .flatten()
            .map(|url| url.to_string().to_lowercase())
            .collect()
    }

    /// The URL with its password, for the program that takes it in no other way.
    #[cfg(test)]
    pub(super) fn expose(&self) -> String {
        match &self.0 {
            Form::Url(url) => url.text(url.password.as_ref()),
            Form::Scp { .. } | Form::Other(_) => self.to_string(),
        }
    }

    /// The path of a local repository.
    pub fn local_path(&self) -> Option<String> {
        match &self.0 {
            Form::Url(url) if url.scheme == "file" => Some(
                percent_decode_str(&url.path)
                    .decode_utf8_lossy()
                    .into_owned(),
            ),
            Form::Other(path) if self.is_local() => Some(path.clone()),
            _ => None,
        }
    }

    /// Where ssh finds the repository; none for what is no ssh address.
    pub(super) fn ssh_address(&self) -> Option<SshAddress> {
        match &self.0 {
            Form::Url(url) if url.scheme == "ssh" => {
                let path = percent_decode_str(&url.path)
                    .decode_utf8_lossy()
                    .into_owned();
                Some(SshAddress {
                    user: url.user.clone(),
                    // Brackets are a URL's own way to set an address of IPv6 apart from the port.
                    host: url.host.trim_matches(['[', ']']).to_owned(),
                    port: url.port,
                    // `/~user` means that user's home folder.
                    path: path
                        .strip_prefix('/')
                        .filter(|path| path.starts_with('~'))
                        .map_or_else(|| path.clone(), str::to_owned),
                })
            }
            Form::Scp { user, host, path } => Some(SshAddress {
                user: user.clone(),
                host: host.clone(),
                port: None,
                path: path.clone(),
            }),
            // `host:/path`
            Form::Other(text) if !self.is_local() => {
                let (place, path) = text.split_once(':')?;
                let (user, host) = match place.split_once('@') {
                    Some((user, host)) => (Some(user.to_owned()), host),
                    None => (None, place),
                };
                path.starts_with('/').then(|| SshAddress {
                    user,
                    host: host.to_owned(),
                    port: None,
                    path: path.to_owned(),
                })
            }
            Form::Url(_) | Form::Other(_) => None,
        }
    }

    /// Splits `@revision` off the path of a package link (E-246).
    pub(super) fn split_revision(&self) -> (Self, Option<String>) {
        let mut base = self.clone();
        let (Form::Url(Url { path, .. }) | Form::Scp { path, .. }) = &mut base.0 else {
            return (base, None);
        };
        let revision = path
            .rsplit_once('@')
            .map(|(left, right)| (left.to_owned(), right.to_owned()));
        match revision {
            Some((left, right)) => {
                *path = left;
                (base, Some(right))
            }
            None => (base, None),
        }
    }
}

impl Url {
    fn text(&self, password: Option<&SecretString>) -> String {
        let mut text = format!("{}://", self.scheme);
        if let Some(user) = &self.user {
            text.extend(utf8_percent_encode(user, USER_INFO));
            if let Some(password) = password {
                text.push(':');
                text.extend(utf8_percent_encode(password.expose(), USER_INFO));
            }
            text.push('@');
        }
        text.push_str(&self.host);
        let default = match self.scheme.as_str() {
            "https" => Some(443),
            "http" => Some(80),
            "ssh" => Some(22),
            _ => None,
        };
        if let Some(port) = self.port.filter(|port| Some(*port) != default) {
            text.push(':');
            text.push_str(&port.to_string());
        }
        text.push_str(&self.path);
        text
    }
}

impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Url(url) => f.write_str(&url.text(None)),
            Form::Scp { user, host, path } => match user {
                Some(user) => write!(f, "{user}@{host}:{path}"),
                None => write!(f, "{host}:{path}"),
            },
            Form::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitUrl({self})")
    }
}

fn parse_url(text: &str) -> Option<Url> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if !is_scheme {
        return None;
    }
    // A password may hold `/`, `?` and `#` unescaped; the last `@` before the path decides only among authorities.
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user_info, place) = match authority.rsplit_once('@') {
        Some((user_info, place)) => (Some(user_info), place),
        None => (None, authority),
    };
    let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let (user, password) = match user_info.map(|info| info.split_once(':').unwrap_or((info, ""))) {
        None => (None, None),
        Some((user, password)) => (
            Some(decode(user)).filter(|user| !user.is_empty()),
            Some(decode(password))
                .filter(|password| !password.is_empty())
                .map(SecretString::new),
        ),
    };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => match port {
            "" => (host, None),
            port => (host, Some(port.parse().ok()?)),
        },
        _ => (place, None),
    };
    Some(Url {
        scheme: scheme.to_ascii_lowercase(),
        user,
        password,
        host: host.to_lowercase(),
        port,
        path: path.to_owned(),
    })
}

/// E-039: `[user@]host:path`, the path not beginning with `/ @ : #`, no slash before the colon.
fn parse_scp(text: &str) -> Option<Form> {
    let (left, path) = text.split_once(':')?;
    let is_name = |name: &str| !name.is_empty() && !name.contains(['/', '@', ':', '#']);
    let (user, host) = match left.split_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, left),
    };
    let is_path = !path.is_empty() && !path.starts_with(['/', '@', ':', '#']);
    (is_path && is_name(host) && user.is_none_or(is_name)).then(|| Form::Scp {
        user: user.map(str::to_owned),
        host: host.to_lowercase(),
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// E-019
    #[test]
    fn a_password_is_never_shown() {
        let url = GitUrl::parse("https://bob:hunter2!@host.example/a.git");
        assert_eq!(url.to_string(), "https://bob@host.example/a.git");
        assert_eq!(format!("{url:?}"), "GitUrl(https://bob@host.example/a.git)");
    }

    /// E-039
    #[test]
    fn a_slash_before_the_colon_is_a_path() {
        assert!(GitUrl::parse("./a:b").is_local());
        assert!(GitUrl::parse("/srv/x:y").is_local());
        assert!(!GitUrl::parse("host:x").is_local());
        assert!(!GitUrl::parse("host:/x").is_local());
        assert!(GitUrl::parse("file:///srv/x").is_local());
    }

    /// E-041
    #[test]
    fn default_ports_vanish_and_escapes_stay() {
        assert_eq!(
            GitUrl::parse("HTTPS://H.example:443/My%20Repo").to_string(),
            "https://h.example/My%20Repo"
        );
        assert_eq!(
            GitUrl::parse("ssh://git@h:22/a").to_string(),
            "ssh://git@h/a"
        );
        assert_eq!(
            GitUrl::parse("ssh://git@[::1]:2222/a").host(),
            Some("[::1]")
        );
    }

    #[test]
    fn special_folder_names_are_replaced() {
        for text in [
            "/",
            "/srv/a/..",
            "https://host",
            "/srv/a/.git",
            "file:///srv/a/.git/",
        ] {
            assert_eq!(GitUrl::parse(text).folder_name(), "repository", "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*") {
            let url = GitUrl::parse(&text);
            let _ = (url.to_string(), url.folder_name(), url.to_http("https"), url.to_ssh("git", None));
        }

        #[test]
        fn no_password_comes_out(password in "[a-zA-Z0-9%$]{12,20}") {
            let url = GitUrl::parse(&format!("https://u:{password}@h/p"));
            prop_assert!(!url.to_string().contains(&password));
        }
    }
}
