//! What a connection to the server needs.

use std::path::PathBuf;
use std::time::Duration;

use super::env_vars;
use super::environment::truth;
use super::hocon::{Kind, Value};
use super::lookup::wrong_type;
use super::{Settings, SettingsError};
use crate::secrets::SecretString;

/// The server, how to log in and how to behave towards it.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Address of the API server without slashes at its ends.
    pub host: String,
    /// Address of the web server, given or derived from the API server's.
    pub web_server: Option<String>,
    /// Address of the file server, given or derived from the API server's.
    pub files_server: Option<String>,
    /// How to log in.
    pub credentials: Credentials,
    /// How certificates are checked.
    pub certificates: CertificateCheck,
    /// Requests and retries.
    pub http: HttpSettings,
    /// The token is refreshed when it lives less than this; `api.auth.token_expiration_threshold_sec`.
    pub token_refresh_threshold: Duration,
    /// Life time to ask for with each token; `api.auth.request_token_expiration_sec`.
    pub requested_token_life: Option<Duration>,
    /// Upper limit of the API version in use.
    pub forced_max_version: Option<String>,
    /// Retries while the first connection is made.
    pub initial_connect: InitialConnect,
    /// Lines for standard output that say where the credentials come from.
    pub notices: Vec<String>,
}

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A bearer token that stands for itself; `CLEARML_AUTH_TOKEN`.
    Token(SecretString),
    /// A pair of keys to log in with.
    Keys {
        /// The public half.
        access_key: String,
        /// The secret half.
        secret_key: SecretString,
    },
}

/// How the server's certificate is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateCheck {
    /// Against the certificates that this machine trusts.
    System,
    /// Against the certificates of this file or folder alone.
    Bundle(PathBuf),
    /// Not at all; the user said so.
    Off,
}

/// Requests and retries; `api.http`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSettings {
    /// Method of ordinary calls.
    pub method: RequestMethod,
    /// Largest body of one request in bytes.
    pub max_request_size: usize,
    /// When and how often to try again.
    pub retries: RetrySettings,
    /// Goes on without end while the server says that it is under maintenance.
    pub wait_on_maintenance_forever: bool,
    /// Idle connections to keep per host.
    pub pool_size: usize,
}

/// The method of ordinary calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestMethod {
    /// GET with a body, as the server expects from an agent.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
}

/// `api.http.retries`; `None` is no limit of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetrySettings {
    /// Retries of one call in total.
    pub total: Option<u32>,
    /// Retries after errors of connecting.
    pub connect: Option<u32>,
    /// Retries after errors of reading.
    pub read: Option<u32>,
    /// Redirects to follow.
    pub redirect: Option<u32>,
    /// Retries after status codes.
    pub status: Option<u32>,
    /// Seconds before the second retry; doubled before each further one.
    pub backoff_factor: f64,
    /// Longest pause.
    pub backoff_max: Duration,
}

/// Retries while the first connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialConnect {
    /// Nothing is said: it depends on the command.
    Default,
    /// So many, that a wrong address shows soon.
    Limited(u32),
    /// As many as for every other call.
    AsConfigured,
}

/// The server for those who have none and allow it.
const DEMO_SERVER: &str = "https://demoapi.demo.clear.ml";

impl InitialConnect {
    /// Few retries, so that a wrong address shows soon.
    pub const FEW: u32 = 4;
}

impl Settings {
    /// What a connection needs. Fails where no server or no credentials are known, and on values that cannot be used.
    pub fn api(&self) -> Result<ApiSettings, SettingsError> {
        let environment = self.environment();
        let mut notices = self.environment().session_notices();
        let host = self.api_host()?;
        let credentials = self.credentials(&host, &mut notices)?;
        let requested = self.seconds("api.auth.request_token_expiration_sec")?;
        Ok(ApiSettings {
            web_server: self.server("api.web_server", &host, "app", "8080"),
            files_server: self.server("api.files_server", &host, "files", "8081"),
            credentials,
            certificates: self.certificates(),
            http: self.http()?,
            token_refresh_threshold: self
                .seconds("api.auth.token_expiration_threshold_sec")?
                .unwrap_or(Duration::from_hours(12)),
            requested_token_life: requested.filter(|life| !life.is_zero()),
            forced_max_version: environment
                .text(&env_vars::FORCE_MAX_API_VERSION)
                .map(str::to_owned),
            initial_connect: self.initial_connect()?,
            notices,
            host,
        })
    }

    /// The variables are in the layers already.
    fn api_host(&self) -> Result<String, SettingsError> {
        let host = ["api.api_server", "api.host"]
            .into_iter()
            .find_map(|key| self.filled_text(key));
        if let Some(host) = host {
            return Ok(host.trim().trim_matches('/').to_owned());
        }
        let environment = self.environment();
        match environment.lenient(&env_vars::NO_DEFAULT_SERVER) {
            Some(false) => Ok(DEMO_SERVER.to_owned()),
            _ => Err(SettingsError::NoConfiguration),
        }
    }

    fn credentials(
        &self,
        host: &str,
        notices: &mut Vec<String>,
    ) -> Result<Credentials, SettingsError> {
        let environment = self.environment();
        if let Some((name, token)) = environment.named_text(&env_vars::AUTH_TOKEN) {
            notices.push(format!("Using environment access token {name}=********"));
            return Ok(Credentials::Token(SecretString::new(token)));
        }
        if let Some(key) = environment.text(&env_vars::API_ACCESS_KEY) {
            let name = env_vars::API_ACCESS_KEY.name;
            notices.push(format!("Using environment access key {name}={key}"));
        }
        if environment.text(&env_vars::API_SECRET_KEY).is_some() {
            let name = env_vars::API_SECRET_KEY.name;
            notices.push(format!("Using environment secret key {name}=********"));
        }
        match (
            self.filled_text("api.credentials.access_key"),
            self.secret("api.credentials.secret_key"),
        ) {
            (Some(access_key), Some(secret_key)) => Ok(Credentials::Keys {
                access_key,
                secret_key,
            }),
            _ => Err(SettingsError::NoCredentials {
                host: host.to_owned(),
            }),
        }
    }

    /// A server that is given, else the one that belongs to the API server.
    fn server(&self, key: &str, host: &str, name: &str, port: &str) -> Option<String> {
        if let Some(server) = self.filled_text(key) {
            return Some(server);
        }
        for (from, to) in [
            ("//demoapi.", format!("//demo{name}.")),
            ("//api.", format!("//{name}.")),
        ] {
            if host.contains(from) {
                return Some(host.replacen(from, &to, 1));
            }
        }
        host.contains(":8008")
            .then(|| host.replacen(":8008", &format!(":{port}"), 1))
    }

    fn certificates(&self) -> CertificateCheck {
        let environment = self.environment();
        let from_variable = environment.lenient(&env_vars::API_HOST_VERIFY_CERT);
        let key = "api.verify_certificate";
        let own_bundle = match self.value(key).map(|value| &value.kind) {
            Some(Kind::Text(text)) if truth(text).is_none() => self.path(key),
            _ => None,
        };
        let verified = from_variable.or_else(|| self.boolean(key)).unwrap_or(true);
        if !verified {
            return CertificateCheck::Off;
        }
        let bundle = environment
            .text(&env_vars::REQUESTS_CA_BUNDLE)
            .map(|path| self.expand(path));
        match bundle.or(own_bundle.filter(|_| from_variable.is_none())) {
            Some(path) => CertificateCheck::Bundle(path),
            None => CertificateCheck::System,
        }
    }

    /// Requests and retries; fails on values that cannot be used.
    pub fn http(&self) -> Result<HttpSettings, SettingsError> {
        let size = |key| -> Result<Option<usize>, SettingsError> {
            Ok(self
                .integer(key)?
                .and_then(|size| usize::try_from(size).ok()))
        };
        Ok(HttpSettings {
            method: self.method()?,
            max_request_size: size("api.http.max_req_size")?
                .filter(|size| *size > 0)
                .ok_or(SettingsError::NoRequestSize)?,
            retries: self.retries()?,
            wait_on_maintenance_forever: self
                .boolean("api.http.wait_on_maintenance_forever")
                .unwrap_or(true),
            pool_size: size("api.http.pool_maxsize")?.unwrap_or(512),
        })
    }

    fn method(&self) -> Result<RequestMethod, SettingsError> {
        const EXPECTED: &str = "GET, POST, PUT";
        let named = |word: &str| match word.to_ascii_lowercase().as_str() {
            "get" => Some(RequestMethod::Get),
            "post" => Some(RequestMethod::Post),
            "put" => Some(RequestMethod::Put),
            _ => None,
        };
        if let Some((variable, word)) = self
            .environment()
            .named_text(&env_vars::API_DEFAULT_REQ_METHOD)
        {
            return named(word).ok_or_else(|| SettingsError::InvalidVariable {
                variable,
                value: word.to_owned(),
                expected: EXPECTED,
            });
        }
        let key = "api.http.default_method";
        match (self.value(key), self.filled_text(key)) {
            (Some(value), Some(word)) => {
                named(&word).ok_or_else(|| wrong_type(key, "get, post or put", value))
            }
            _ => Ok(RequestMethod::Get),
        }
    }

    fn retries(&self) -> Result<RetrySettings, SettingsError> {
        let count = |name: &str| {
            let key = format!("api.http.retries.{name}");
            match self.value(&key) {
                None
                | Some(Value {
                    kind: Kind::Null, ..
                }) => Ok(None),
                Some(Value {
                    kind: Kind::Integer(number),
                    ..
                }) if number.to_i64().is_some() => Ok(number
                    .to_i64()
                    .map(|number| u32::try_from(number.max(0)).unwrap_or(u32::MAX))),
                Some(value) => Err(SettingsError::RetryCount {
                    key,
                    origin: Box::new(value.origin.clone()),
                }),
            }
        };
        Ok(RetrySettings {
            total: count("total")?,
            connect: count("connect")?,
            read: count("read")?,
            redirect: count("redirect")?,
            status: count("status")?,
            backoff_factor: self
                .number("api.http.retries.backoff_factor")?
                .unwrap_or(1.0)
                .max(0.0),
            backoff_max: self
                .seconds("api.http.retries.backoff_max")?
                .unwrap_or(Duration::from_mins(2)),
        })
    }

    fn initial_connect(&self) -> Result<InitialConnect, SettingsError> {
        let Some((variable, word)) = self
            .environment()
            .named_text(&env_vars::INITIAL_CONNECT_RETRY_OVERRIDE)
        else {
            return Ok(InitialConnect::Default);
        };
        // A number is a number before it is a word for true; 0 is a word for false.
        match word.parse() {
            Ok(0) => Ok(InitialConnect::AsConfigured),
            Ok(number) => Ok(InitialConnect::Limited(number)),
            Err(_) => match truth(word) {
                Some(true) => Ok(InitialConnect::Limited(InitialConnect::FEW)),
                Some(false) => Ok(InitialConnect::AsConfigured),
                None => Err(SettingsError::InvalidVariable {
                    variable,
                    value: word.to_owned(),
                    expected: "a number, true, false",
                }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    const SERVER: &str =
        "api { api_server: http://h:8008/, credentials { access_key: K, secret_key: 12345 } }";

    fn api(text: &str, variables: &[(&str, &str)]) -> Result<ApiSettings, SettingsError> {
        let environment = variables.iter().copied().collect::<Environment>();
        Settings::from_text(text, &environment)?.api()
    }

    ///
    #[test]
    fn a_file_gives_server_and_keys() {
        let api = api(SERVER, &[]).expect("all is said");
        assert_eq!(api.host, "http://h:8008");
        assert_eq!(api.web_server.as_deref(), Some("http://h:8080"));
        assert_eq!(api.files_server.as_deref(), Some("http://h:8081"));
        let expected = Credentials::Keys {
            access_key: "K".to_owned(),
            secret_key: SecretString::new("12345"),
        };
        assert_eq!(api.credentials, expected);
        assert!(api.notices.is_empty());
        assert_eq!(api.certificates, CertificateCheck::System);
        assert_eq!(api.http.max_request_size, 15_728_640);
        assert_eq!(api.http.retries.total, Some(240));
        assert_eq!(api.http.retries.backoff_max, Duration::from_mins(2));
        assert_eq!(api.initial_connect, InitialConnect::Default);
        assert_eq!(api.token_refresh_threshold, Duration::from_hours(12));
    }

    ///
    #[test]
    fn variables_alone_are_enough() {
        let variables = [
            ("CLEARML_API_HOST", "https://api.clear.ml"),
            ("CLEARML_API_ACCESS_KEY", "AK"),
            ("TRAINS_API_SECRET_KEY", "SK"),
        ];
        let api = api("", &variables).expect("all is said");
        assert_eq!(api.web_server.as_deref(), Some("https://app.clear.ml"));
        assert_eq!(api.files_server.as_deref(), Some("https://files.clear.ml"));
        assert_eq!(
            api.notices,
            [
                "Using environment access key CLEARML_API_ACCESS_KEY=AK",
                "Using environment secret key CLEARML_API_SECRET_KEY=********",
            ]
        );
    }

    ///
    #[test]
    fn without_a_server_the_way_to_one_is_shown() {
        let error = api("", &[]).expect_err("no server");
        assert!(matches!(error, SettingsError::NoConfiguration));
        assert!(error.to_string().starts_with(
            "Could not find host server definition (missing `~/clearml.conf` or Environment CLEARML_API_HOST)\n"
        ));
        assert_eq!(error.hint().as_deref(), Some("run `clearml-agent init`"));
        let variables = [
            ("CLEARML_NO_DEFAULT_SERVER", "0"),
            ("CLEARML_AUTH_TOKEN", "t"),
        ];
        let demo = api("", &variables).expect("the demo server is allowed");
        assert_eq!(demo.host, DEMO_SERVER);
        assert_eq!(demo.credentials, Credentials::Token(SecretString::new("t")));
    }

    ///
    #[test]
    fn a_server_without_keys_is_an_error() {
        let error = api("api.api_server: http://h", &[]).expect_err("no keys");
        assert_eq!(
            error.to_string(),
            "no credentials for the API server http://h"
        );
    }

    ///
    #[test]
    fn certificates_by_file_and_variable() {
        let check = |line: &str, variables: &[(&str, &str)]| {
            api(&format!("{SERVER}\n{line}"), variables)
                .expect("all is said")
                .certificates
        };
        let off = "api.verify_certificate: false";
        let file = "api.verify_certificate: \"/etc/ca.pem\"";
        assert_eq!(check(off, &[]), CertificateCheck::Off);
        assert_eq!(
            check(file, &[]),
            CertificateCheck::Bundle("/etc/ca.pem".into())
        );
        assert_eq!(
            check(off, &[("CLEARML_API_HOST_VERIFY_CERT", "yes")]),
            CertificateCheck::System
        );
        assert_eq!(
            check(file, &[("CLEARML_API_HOST_VERIFY_CERT", "0")]),
            CertificateCheck::Off
        );
        assert_eq!(
            check(off, &[("REQUESTS_CA_BUNDLE", "/b")]),
            CertificateCheck::Off
        );
        assert_eq!(
            check("", &[("CURL_CA_BUNDLE", "/b")]),
            CertificateCheck::Bundle("/b".into())
        );
    }

    ///
    #[test]
    fn values_that_cannot_be_used_are_errors() {
        let error = |line: &str| {
            api(&format!("{SERVER}\n{line}"), &[])
                .expect_err("unusable")
                .to_string()
        };
        assert_eq!(
            error("api.http.max_req_size: 0"),
            "missing max request size"
        );
        assert_eq!(
            error("api.http.retries.total: many"),
            "Bad configuration. All retry count values must be null or int"
        );
        let unlimited =
            api(&format!("{SERVER}\napi.http.retries.total: null"), &[]).expect("null is good");
        assert_eq!(unlimited.http.retries.total, None);
    }

    ///
    #[test]
    fn method_and_first_connection_by_variable() {
        let variables = [
            ("CLEARML_API_DEFAULT_REQ_METHOD", "post"),
            ("CLEARML_AGENT_INITIAL_CONNECT_RETRY_OVERRIDE", "1"),
        ];
        let set = api(SERVER, &variables).expect("all is said");
        assert_eq!(set.http.method, RequestMethod::Post);
        assert_eq!(set.initial_connect, InitialConnect::Limited(1));
        let never = [("CLEARML_AGENT_INITIAL_CONNECT_RETRY_OVERRIDE", "false")];
        let set = api(SERVER, &never).expect("all is said");
        assert_eq!(set.initial_connect, InitialConnect::AsConfigured);
        api(SERVER, &[("CLEARML_API_DEFAULT_REQ_METHOD", "HEAD")]).expect_err("no such method");
    }
}
