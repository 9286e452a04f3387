//! Proxies as the environment names them, read from variables that the caller hands in.

use std::fmt;

use reqwest::{NoProxy, Proxy};
use url::Url;

use super::error::ConfigurationError;
use crate::secrets::SecretString;

/// Which proxy serves which addresses. Never prints a proxy's password.
#[derive(Clone, Default)]
pub struct ProxySettings {
    http: Option<Named>,
    https: Option<Named>,
    all: Option<Named>,
    except: String,
}

#[derive(Clone)]
struct Named {
    variable: String,
    address: String,
}

impl ProxySettings {
    /// No proxy for anything.
    pub fn none() -> Self {
        Self::default()
    }

    /// `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`; the lower-case spelling wins, and an
    /// empty value means none.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let read = |name: &str| {
            let lower = name.to_ascii_lowercase();
            match variable(&lower) {
                Some(value) => Some((lower, value)),
                None => variable(name).map(|value| (name.to_owned(), value)),
            }
        };
        let named = |name: &str| {
            let (variable, address) = read(name)?;
            let address = address.trim().to_owned();
            (!address.is_empty()).then(|| Named::new(variable, address))
        };
        Self {
            http: named("HTTP_PROXY"),
            https: named("HTTPS_PROXY"),
            all: named("ALL_PROXY"),
            except: read("NO_PROXY").map(|(_, list)| list).unwrap_or_default(),
        }
    }

    /// The HTTP library's form; the first that fits an address is used.
    ///
    /// `server` is the address that exceptions with a port are compared with.
    pub(super) fn proxies(&self, server: &Url) -> Result<Vec<Proxy>, ConfigurationError> {
        let mut proxies = Vec::new();
        let Some(except) = self.except_for(server) else {
            return Ok(proxies);
        };
        let kinds = [
            (
                &self.http,
                Proxy::http as fn(String) -> reqwest::Result<Proxy>,
            ),
            (&self.https, Proxy::https),
            (&self.all, Proxy::all),
        ];
        for (named, make) in kinds {
            let Some(named) = named else { continue };
            let proxy = named
                .checked()
                .and_then(|address| make(address).map_err(|_| "it is no address".to_owned()))
                .map_err(|reason| ConfigurationError::Proxy {
                    variable: named.variable.clone(),
                    reason,
                })?;
            proxies.push(proxy.no_proxy(NoProxy::from_string(&except)));
        }
        Ok(proxies)
    }

    /// The exceptions as the HTTP library takes them, which knows no ports, and `*` only for names.
    /// None where everything is excepted.
    fn except_for(&self, server: &Url) -> Option<String> {
        let mut except = Vec::new();
        for entry in self.except.split(',').map(str::trim) {
            if entry == "*" {
                return None;
            }
            let with_port = entry
                .rsplit_once(':')
                .filter(|(host, _)| !host.contains(':') || host.ends_with(']'))
                .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
            match with_port {
                None => except.push(entry),
                Some((host, port)) if Some(port) == server.port_or_known_default() => {
                    except.push(host);
                }
                Some(_) => {}
            }
        }
        Some(except.join(","))
    }
}

impl Named {
    fn new(variable: String, address: String) -> Self {
        let address = if address.contains("://") {
            address
        } else {
            format!("http://{address}")
        };
        // The password must not be printed, wherever an error may carry it.
        if let Ok(url) = Url::parse(&address)
            && let Some(password) = url.password()
        {
            SecretString::new(password);
        }
        Self { variable, address }
    }

    fn checked(&self) -> Result<String, String> {
        let url = Url::parse(&self.address).map_err(|error| error.to_string())?;
        match url.scheme() {
            "http" | "https" => Ok(self.address.clone()),
            other => Err(format!("`{other}` proxies are not supported")),
        }
    }
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |named: &Option<Named>| named.as_ref().map(|named| named.variable.clone());
        f.debug_struct("ProxySettings")
            .field("http", &shown(&self.http))
            .field("https", &shown(&self.https))
            .field("all", &shown(&self.all))
            .field("except", &self.except)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> ProxySettings {
        ProxySettings::from_variables(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn server() -> Url {
        "http://10.0.0.7:8008".parse().unwrap()
    }

    ///
    #[test]
    fn exceptions_may_name_a_port() {
        let except = |list: &str| settings(&[("NO_PROXY", list)]).except_for(&server());
        assert_eq!(
            except("a.com:8008, b.com:80,::1,[::1]:8008"),
            Some("a.com,::1,[::1]".into())
        );
        assert_eq!(except("a.com,*"), None);
    }

    ///
    #[test]
    fn lower_case_wins_and_empty_means_none() {
        let both = settings(&[("HTTPS_PROXY", "upper:1"), ("https_proxy", "lower:2")]);
        assert_eq!(both.https.unwrap().address, "http://lower:2");
        assert!(
            settings(&[("HTTPS_PROXY", "upper:1"), ("https_proxy", "")])
                .https
                .is_none()
        );
        assert_eq!(
            settings(&[("ALL_PROXY", "a:1")])
                .proxies(&server())
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_said_without_its_password() {
        let error = settings(&[("ALL_PROXY", "socks5://jane:hunter2hunter2@p:1080")])
            .proxies(&server())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("ALL_PROXY") && error.contains("socks5"),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
        let shown = format!(
            "{:?}",
            settings(&[("http_proxy", "http://j:hunter2hunter2@p")])
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
