//! Addresses: what a person types becomes one, and from one of a server's addresses follow the others (F-139, F-150).

use std::fmt;

/// `scheme://host[:port][/path]`, with a host and a possible port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Address {
    scheme: &'static str,
    host: String,
    port: Option<u16>,
    path: String,
}

/// Text that is no address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum InvalidAddress {
    #[error("Port out of range 0-65535")]
    PortRange,
    #[error("Port could not be cast to integer value as '{0}'")]
    Port(String),
    #[error("'{0}' is not a web address")]
    Host(String),
}

/// The three addresses of one server, as far as one of them tells the others.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Derived {
    pub(super) web: Option<Address>,
    pub(super) api: Address,
    pub(super) files: Option<Address>,
    /// Something to tell the user.
    pub(super) remark: Option<String>,
}

/// Ports of a server that was installed as it comes.
pub(super) const WEB_PORT: u16 = 8080;
pub(super) const API_PORT: u16 = 8008;
pub(super) const FILES_PORT: u16 = 8081;

impl Address {
    /// Reads what was typed: without `http://` or `https://` the one is meant where there is a `:`, else the other;
    /// query and fragment are dropped (F-138, F-139).
    pub(super) fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
            Some(_) => return Err(InvalidAddress::Host(text.to_owned())),
            None if text.contains(':') => ("http", text),
            None => ("https", text),
        };
        let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_port(authority)?;
        let address = Self {
            scheme,
            host: host.to_owned(),
            port,
            path: path.to_owned(),
        };
        // What a browser would take differently is not what was meant.
        let readable = url::Url::parse(&address.to_string()).is_ok();
        let strange = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
        if host.is_empty() || !readable || text.contains(strange) {
            return Err(InvalidAddress::Host(text.to_owned()));
        }
        Ok(address)
    }

    /// The same on another port; none: the scheme's own.
    pub(super) fn with_port(&self, port: Option<u16>) -> Self {
        Self {
            port,
            ..self.clone()
        }
    }

    fn with_prefix(&self, from: &str, to: &str) -> Self {
        Self {
            host: self.host.replacen(from, to, 1),
            ..self.clone()
        }
    }

    fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// The web, API and file addresses that belong to this one; the first rule that fits counts (F-150). None
    /// without a port, on which everything depends then (F-151).
    pub(super) fn derive(&self) -> Option<Derived> {
        let known = |web: Self, api: Self, files: Self, remark| {
            Some(Derived {
                web: Some(web),
                api,
                files: Some(files),
                remark,
            })
        };
        for [web, api, files] in [
            ["demoapp.", "demoapi.", "demofiles."],
            ["app.", "api.", "files."],
        ] {
            if self.host.starts_with(web) {
                let [api, files] = [api, files].map(|to| self.with_prefix(web, to));
                return known(self.clone(), api, files, None);
            }
        }
        for [web, api, files] in [
            ["demoapp.", "demoapi.", "demofiles."],
            ["app.", "api.", "files."],
        ] {
            if self.host.starts_with(api) {
                let remark = format!(
                    "{} is the api server, we need the web server. Replacing '{api}' with '{web}'",
                    self.authority()
                );
                let [web, files] = [web, files].map(|to| self.with_prefix(api, to));
                return known(web, self.clone(), files, Some(remark));
            }
        }
        match self.port {
            Some(API_PORT) => {
                let remark = format!(
                    "Port {API_PORT} is the api port. Replacing {API_PORT} with {WEB_PORT} for Web application"
                );
                let [web, files] = [WEB_PORT, FILES_PORT].map(|port| self.with_port(Some(port)));
                known(web, self.clone(), files, Some(remark))
            }
            Some(WEB_PORT) => {
                let [api, files] = [API_PORT, FILES_PORT].map(|port| self.with_port(Some(port)));
                known(self.clone(), api, files, None)
            }
            Some(_) => Some(self.alone()),
            None => None,
        }
    }

    /// Nothing follows: the address may be the API server's.
    pub(super) fn alone(&self) -> Derived {
        Derived {
            web: None,
            api: self.clone(),
            files: None,
            remark: None,
        }
    }

    /// The same host on these three ports (F-151).
    pub(super) fn on_ports(&self, [web, api, files]: [Option<u16>; 3]) -> Derived {
        Derived {
            web: Some(self.with_port(web)),
            api: self.with_port(api),
            files: Some(self.with_port(files)),
            remark: None,
        }
    }

    /// Where the API server may be, if it is not here.
    pub(super) fn likely_api(&self) -> Vec<Self> {
        let on_its_port = self.with_port(Some(API_PORT));
        let derived = self.derive().map(|derived| derived.api);
        let plain = Self {
            scheme: "http",
            ..on_its_port.clone()
        };
        let mut likely: Vec<Self> = derived.into_iter().chain([on_its_port, plain]).collect();
        likely.retain(|address| address != self);
        likely.dedup();
        likely
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority(), self.path)
    }
}

/// Host and port; what is before an `@` and inside brackets belongs to the host.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), InvalidAddress> {
    let end_of_name = authority.rfind([']', '@']).map_or(0, |at| at + 1);
    let Some(colon) = authority[end_of_name..].rfind(':') else {
        return Ok((authority, None));
    };
    let (host, port) = authority.split_at(end_of_name + colon);
    let port = &port[1..];
    if port.is_empty() {
        return Ok((host, None));
    }
    parse_port(port).map(|port| (host, Some(port)))
}

/// A port as digits.
pub(super) fn parse_port(text: &str) -> Result<u16, InvalidAddress> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidAddress::Port(text.to_owned()));
    }
    text.parse().map_err(|_| InvalidAddress::PortRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).expect("an address")
    }

    /// F-138, F-139, D-336
    #[test]
    fn what_is_typed_becomes_an_address() {
        for (typed, expected) in [
            ("localhost:8080", "http://localhost:8080"),
            ("myhost", "https://myhost"),
            ("http://h", "http://h"),
            ("HTTPS://h/x/", "https://h/x/"),
            (" https://h:1/a?b=c#d ", "https://h:1/a"),
            ("https://h?b", "https://h"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("user:pass@h:8080", "http://user:pass@h:8080"),
            ("h:", "http://h"),
            ("127.0.0.1:8080/sub", "http://127.0.0.1:8080/sub"),
        ] {
            assert_eq!(address(typed).to_string(), expected, "{typed}");
        }
    }

    /// F-139
    #[test]
    fn what_is_no_address_is_told_apart() {
        let refused = |text: &str| Address::parse(text).expect_err("refused").to_string();
        assert_eq!(refused("h:65536"), "Port out of range 0-65535");
        assert_eq!(
            refused("h:99999999999999999999"),
            "Port out of range 0-65535"
        );
        assert_eq!(
            refused("h:80a"),
            "Port could not be cast to integer value as '80a'"
        );
        for text in ["", "https://", "a b", "http:///x", "a\\b", "ftp://h/"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    /// F-150: web, API, files, in the order of the rules.
    #[test]
    fn one_address_tells_the_others() {
        let table = [
            (
                "https://demoapp.x",
                "https://demoapp.x https://demoapi.x https://demofiles.x",
            ),
            (
                "https://app.clear.ml",
                "https://app.clear.ml https://api.clear.ml https://files.clear.ml",
            ),
            (
                "https://app.my.host:8443",
                "https://app.my.host:8443 https://api.my.host:8443 https://files.my.host:8443",
            ),
            (
                "http://app.x:8080/p/",
                "http://app.x:8080/p/ http://api.x:8080/p/ http://files.x:8080/p/",
            ),
            (
                "https://demoapi.x",
                "https://demoapp.x https://demoapi.x https://demofiles.x",
            ),
            (
                "https://api.app.x",
                "https://app.app.x https://api.app.x https://files.app.x",
            ),
            ("http://h:8008", "http://h:8080 http://h:8008 http://h:8081"),
            (
                "http://h:8080/sub/",
                "http://h:8080/sub/ http://h:8008/sub/ http://h:8081/sub/",
            ),
            ("http://h:9090", "- http://h:9090 -"),
            ("http://h:8081", "- http://h:8081 -"),
            ("http://files.h:1", "- http://files.h:1 -"),
        ];
        for (given, expected) in table {
            let derived = address(given).derive().expect("a port or a name");
            let text = |address: Option<Address>| {
                address.map_or_else(|| "-".to_owned(), |address| address.to_string())
            };
            let found = format!(
                "{} {} {}",
                text(derived.web),
                derived.api,
                text(derived.files)
            );
            assert_eq!(found, expected, "{given}");
        }
    }

    /// F-150, F-151
    #[test]
    fn a_host_alone_needs_ports() {
        for given in ["1.2.3.4", "https://clearml.company.com", "https://[::1]"] {
            assert_eq!(address(given).derive(), None, "{given}");
        }
        let derived = address("1.2.3.4").on_ports([None, Some(8008), Some(1)]);
        assert_eq!(derived.api.to_string(), "https://1.2.3.4:8008");
        assert_eq!(
            derived.web.map(|web| web.to_string()).as_deref(),
            Some("https://1.2.3.4")
        );
    }

    /// F-150: the remarks of rules 3 to 5.
    #[test]
    fn an_api_server_in_place_of_the_web_server_is_remarked() {
        let remark = |text: &str| address(text).derive()?.remark;
        assert_eq!(
            remark("https://api.x:1/p").as_deref(),
            Some("api.x:1 is the api server, we need the web server. Replacing 'api.' with 'app.'")
        );
        assert_eq!(
            remark("h:8008").as_deref(),
            Some("Port 8008 is the api port. Replacing 8008 with 8080 for Web application")
        );
        assert_eq!(remark("h:8080"), None);
    }

    #[test]
    fn the_likely_api_server_is_another_address() {
        let likely = |text: &str| -> Vec<String> {
            let likely = address(text).likely_api();
            likely.iter().map(ToString::to_string).collect()
        };
        assert_eq!(likely("http://h:8080"), ["http://h:8008"]);
        assert_eq!(likely("http://h:8008"), [] as [&str; 0]);
        assert_eq!(likely("https://h:8008"), ["http://h:8008"]);
        assert_eq!(likely("https://h"), ["https://h:8008", "http://h:8008"]);
        assert_eq!(
            likely("https://app.x"),
            ["https://api.x", "https://app.x:8008", "http://app.x:8008"]
        );
    }
}
