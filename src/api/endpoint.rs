//! One call of the API as constant data: name, version, method, and whether it may be repeated.

use super::options::HttpMethod;
use super::retry::Retry;
use super::token::ApiVersion;

/// A call, as the call overview lists it (api.md section 7).
#[derive(Debug, Clone, Copy)]
pub(super) struct Endpoint {
    /// `<service>.<action>`.
    pub(super) name: &'static str,
    /// The version in the URL; none: the server's newest.
    pub(super) version: Option<ApiVersion>,
    /// What stands behind the path; empty for all calls but one.
    pub(super) query: &'static str,
    /// The method where the call does not follow the session's.
    pub(super) method: Option<HttpMethod>,
    /// Whether the call may be repeated after a failure.
    pub(super) retry: Retry,
}

impl Endpoint {
    /// A call that can be repeated without harm, without a version, by the session's method.
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            name,
            version: None,
            query: "",
            method: None,
            retry: Retry::Always,
        }
    }

    /// With this version in the URL.
    pub(super) const fn version(mut self, major: u16, minor: u16) -> Self {
        self.version = Some(ApiVersion { major, minor });
        self
    }

    /// With arguments in the URL.
    pub(super) const fn query(mut self, query: &'static str) -> Self {
        self.query = query;
        self
    }

    /// Always by POST.
    pub(super) const fn post(mut self) -> Self {
        self.method = Some(HttpMethod::Post);
        self
    }

    /// A second delivery would do something a second time.
    pub(super) const fn once(mut self) -> Self {
        self.retry = Retry::WhenNotSent;
        self
    }

    /// The path below the host's own, for a server of the version `newest`.
    ///
    /// A server refuses versions above its own, so an old server gets its own.
    pub(super) fn path(&self, newest: Option<ApiVersion>) -> String {
        let version = match (self.version, newest) {
            (Some(wanted), Some(newest)) => Some(wanted.min(newest)),
            (wanted, _) => wanted,
        };
        let mut path = match version {
            Some(version) => format!("v{version}/{}", self.name),
            None => self.name.to_owned(),
        };
        if !self.query.is_empty() {
            path.push('?');
            path.push_str(self.query);
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    ///
    #[test]
    fn the_version_is_the_calls_own_but_never_above_the_servers() {
        let call = Endpoint::new("tasks.get_all").version(2, 14);
        let version = |text: &str| text.parse::<ApiVersion>().ok();
        assert_eq!(call.path(version("2.34")), "v2.14/tasks.get_all");
        assert_eq!(call.path(version("2.9")), "v2.9/tasks.get_all");
        assert_eq!(call.path(None), "v2.14/tasks.get_all");
        assert_eq!(
            Endpoint::new("workers.register").path(version("2.34")),
            "workers.register"
        );
    }
}
