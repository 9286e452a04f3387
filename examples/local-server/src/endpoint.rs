//! The dispatch table: every call with its first version, its fields and its handler.

use serde_json::Value;

use crate::{
    call::Call,
    error::ApiError,
    options::Edition,
    schema::Field,
    services,
    version::{NEWEST, Version},
};

/// What a handler gives back: the `data` member of the answer.
pub(crate) type Outcome = Result<Value, ApiError>;

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Anyone,
    User,
}

/// One call of the API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint {
    pub(crate) name: &'static str,
    pub(crate) since: Version,
    pub(crate) access: Access,
    pub(crate) edition: Edition,
    pub(crate) fields: &'static [Field],
    pub(crate) run: fn(&mut Call<'_>) -> Outcome,
}

impl Endpoint {
    pub(crate) const fn new(
        name: &'static str,
        fields: &'static [Field],
        run: fn(&mut Call<'_>) -> Outcome,
    ) -> Self {
        Self {
            name,
            since: Version::new(1, 0),
            access: Access::User,
            edition: Edition::OpenSource,
            fields,
            run,
        }
    }

    pub(crate) const fn since(mut self, major: u32, minor: u32) -> Self {
        self.since = Version::new(major, minor);
        self
    }

    pub(crate) const fn for_anyone(mut self) -> Self {
        self.access = Access::Anyone;
        self
    }

    pub(crate) const fn enterprise(mut self) -> Self {
        self.edition = Edition::Enterprise;
        self
    }
}

/// The newest implementation not above the requested version.
pub(crate) fn find(name: &str, version: Version, edition: Edition) -> Result<Endpoint, ApiError> {
    services::TABLES
        .iter()
        .copied()
        .flatten()
        .filter(|endpoint| endpoint.name == name && endpoint.since <= version && version <= NEWEST)
        .filter(|endpoint| {
            edition == Edition::Enterprise || endpoint.edition == Edition::OpenSource
        })
        .max_by_key(|endpoint| endpoint.since)
        .copied()
        .ok_or_else(|| ApiError::unknown_endpoint(name, version))
}

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// `None`: the newest.
    pub(crate) version: Option<Version>,
}

/// `/[vX.Y/]service.action[/]`.
pub(crate) fn parse_path(path: &str) -> Result<Target, ApiError> {
    let malformed = || ApiError::bad_request(0, format!("Invalid request path {path}"));
    let trimmed = path.strip_prefix('/').unwrap_or(path);
    let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
    let (version, name) = match trimmed.split_once('/') {
        None => (None, trimmed),
        Some((prefix, name)) => (Some(prefix), name),
    };
    let is_name = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && part
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let (service, action) = name.split_once('.').ok_or_else(malformed)?;
    if !is_name(service) || !is_name(action) {
        return Err(malformed());
    }
    let version = match version {
        None => None,
        Some(prefix) => {
            let text = prefix.strip_prefix('v').ok_or_else(malformed)?;
            let version = Version::parse(text).ok_or_else(|| {
                ApiError::bad_request(
                    2,
                    format!("Request path has invalid version: version={text}"),
                )
            })?;
            Some(version)
        }
    };
    Ok(Target {
        name: name.to_owned(),
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    ///
    #[test]
    fn paths() {
        let target = parse_path("/v2.5/tasks.get_by_id").unwrap();
        assert_eq!(target.name, "tasks.get_by_id");
        assert_eq!(target.version, Some(Version::new(2, 5)));
        assert_eq!(parse_path("/auth.login").unwrap().version, None);
        assert_eq!(parse_path("/v2.x/auth.login").unwrap_err().subcode, 2);
        assert_eq!(parse_path("/").unwrap_err().subcode, 0);
        assert_eq!(parse_path("/v2.5/x/auth.login").unwrap_err().code, 400);
    }

    ///
    #[test]
    fn editions() {
        let open = find(
            "workers.get_runtime_properties",
            NEWEST,
            Edition::OpenSource,
        )
        .unwrap_err();
        assert_eq!(
            (open.code, open.subcode, open.message.as_str()),
            (
                404,
                0,
                "Unable to find endpoint for name workers.get_runtime_properties and version 2.34"
            )
        );
        assert!(
            find(
                "workers.get_runtime_properties",
                NEWEST,
                Edition::Enterprise
            )
            .is_ok()
        );
        assert!(
            find(
                "tasks.get_hyper_params",
                Version::new(2, 5),
                Edition::OpenSource
            )
            .is_err()
        );
        assert!(find("tasks.get_all", Version::new(2, 99), Edition::OpenSource).is_err());
    }

    #[test]
    fn no_endpoint_twice() {
        let mut names: Vec<_> = services::TABLES
            .iter()
            .copied()
            .flatten()
            .map(|endpoint| (endpoint.name, endpoint.since))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
