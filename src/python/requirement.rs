//! One requirement line, parsed: name, specifiers, marker, or the link it points to (E-143, E-148).

/// A parsed line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Requirement {
    /// Name in the spelling of the line, where there is one.
    pub(super) name: Option<String>,
    /// Extras, sorted.
    pub(super) extras: Vec<String>,
    /// Environment marker.
    pub(super) marker: Option<String>,
    /// Written with `-e` or `--editable`.
    pub(super) editable: bool,
    /// Where the package comes from.
    pub(super) target: Target,
}

/// Where a package comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Target {
    /// A package index; operator and version, in the order of the line.
    Index(Vec<(String, String)>),
    /// A version control system.
    Vcs(Vcs),
    /// A file on a server or on this machine, without its fragment.
    Url(String),
    /// A file or folder on this machine.
    Path(String),
}

/// A link into a version control system.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Vcs {
    /// `git`, `hg`, `svn` or `bzr`.
    pub(super) system: String,
    /// The link without revision and fragment, scheme included.
    pub(super) uri: String,
    /// What stands behind `@`.
    pub(super) revision: Option<String>,
    /// What stands behind `#`.
    pub(super) fragment: Option<String>,
}

/// The line is no requirement; installers may still know it as a local package (E-149).
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a requirement")]
pub(super) struct InvalidRequirement(String);

const VCS_SCHEMES: [&str; 20] = [
    "git",
    "git+https",
    "git+ssh",
    "git+git",
    "hg+http",
    "hg+https",
    "hg+static-http",
    "hg+ssh",
    "svn",
    "svn+svn",
    "svn+http",
    "svn+https",
    "svn+ssh",
    "bzr+http",
    "bzr+https",
    "bzr+ssh",
    "bzr+sftp",
    "bzr+ftp",
    "bzr+lp",
    "bzr",
];
const URL_SCHEMES: [&str; 5] = ["http", "https", "ftp", "ftps", "file"];
const OPERATORS: [&str; 8] = ["===", "~=", "==", "!=", "<=", ">=", "<", ">"];

impl Requirement {
    /// Parses a trimmed line without comment and installer options.
    pub(super) fn parse(line: &str) -> Result<Self, InvalidRequirement> {
        let invalid = || InvalidRequirement(line.to_owned());
        let editable = ["-e ", "--editable ", "--editable="]
            .iter()
            .find_map(|flag| line.strip_prefix(flag));
        let text = editable.unwrap_or(line).trim();
        let (head, marker) = split_marker(text);
        let mut requirement = Self {
            name: None,
            extras: Vec::new(),
            marker: marker.map(str::to_owned),
            editable: editable.is_some(),
            target: Target::Index(Vec::new()),
        };
        if requirement.point_to(head) {
            return Ok(requirement);
        }
        if editable.is_some() {
            requirement.target = Target::Path(head.to_owned());
            return Ok(requirement);
        }
        let (name, extras, rest) = split_name(head).ok_or_else(invalid)?;
        requirement.name = Some(name.to_owned());
        requirement.extras = extras;
        if let Some(link) = rest.strip_prefix('@') {
            return if requirement.point_to(link.trim()) {
                requirement.name = Some(name.to_owned());
                Ok(requirement)
            } else {
                Err(invalid())
            };
        }
        requirement.target = Target::Index(specifiers(rest).ok_or_else(invalid)?);
        Ok(requirement)
    }

    /// Takes `text` as a link or as a path with a name; false where it is neither.
    fn point_to(&mut self, text: &str) -> bool {
        let (body, fragment) = match text.split_once('#') {
            Some((body, fragment)) => (body, Some(fragment)),
            None => (text, None),
        };
        let egg = fragment.and_then(|fragment| part_of(fragment, "egg"));
        let scheme = body.split_once("://").map(|(scheme, _)| scheme);
        if scheme.is_some_and(|scheme| VCS_SCHEMES.contains(&scheme))
            || body.starts_with("git+git@")
        {
            self.target = Target::Vcs(Vcs::new(body, fragment));
        } else if scheme.is_some_and(|scheme| URL_SCHEMES.contains(&scheme)) {
            self.target = Target::Url(body.to_owned());
        } else if egg.is_some() && scheme.is_none() {
            self.target = Target::Path(body.to_owned());
        } else {
            return false;
        }
        self.name = egg
            .map(|egg| egg.split('[').next().unwrap_or(egg).to_owned())
            .filter(|name| !name.is_empty());
        true
    }

    /// The line as the installer gets it: `name[extras]spec; marker`, or the link alone.
    pub(super) fn rendered(&self) -> String {
        match &self.target {
            Target::Index(specifiers) => {
                let mut text = self.name.clone().unwrap_or_default();
                if !self.extras.is_empty() {
                    text.push_str(&["[", &self.extras.join(","), "]"].concat());
                }
                let specifiers: Vec<String> = specifiers
                    .iter()
                    .map(|(operator, version)| format!("{operator}{version}"))
                    .collect();
                text.push_str(&specifiers.join(","));
                if let Some(marker) = &self.marker {
                    text.push_str("; ");
                    text.push_str(marker);
                }
                text
            }
            Target::Vcs(vcs) => {
                let flag = if self.editable { "-e " } else { "" };
                format!("{flag}{}", vcs.link())
            }
            Target::Url(uri) => uri.clone(),
            Target::Path(path) => self.name.clone().unwrap_or_else(|| path.clone()),
        }
    }

    /// The same package without its marker, as post packages are installed (E-153).
    pub(super) fn without_marker(&self) -> Self {
        Self {
            marker: None,
            ..self.clone()
        }
    }

    /// True for a file or folder of this machine.
    #[cfg(test)]
    pub(super) fn is_local(&self) -> bool {
        match &self.target {
            Target::Path(_) => true,
            Target::Url(uri) => uri.starts_with("file://"),
            Target::Index(_) | Target::Vcs(_) => false,
        }
    }

    /// True where the name is one of `names`, without regard to case.
    pub(super) fn is_one_of<S: AsRef<str>>(&self, names: &[S]) -> bool {
        self.name.as_ref().is_some_and(|own| {
            names
                .iter()
                .any(|name| name.as_ref().trim().eq_ignore_ascii_case(own))
        })
    }
}

impl Vcs {
    fn new(body: &str, fragment: Option<&str>) -> Self {
        // A revision stands behind the last `@` of the path; those of the authority are logins.
        let path_start = match body.find("://") {
            Some(at) => body[at + 3..]
                .find('/')
                .map_or(body.len(), |slash| at + 3 + slash),
            None => body.find(':').unwrap_or(body.len()),
        };
        let revision_at = body[path_start..].rfind('@').map(|at| path_start + at);
        let (uri, revision) = match revision_at {
            Some(at) => (&body[..at], Some(&body[at + 1..])),
            None => (body, None),
        };
        let system = uri.split(['+', ':']).next().unwrap_or(uri);
        Self {
            system: system.to_owned(),
            uri: uri.to_owned(),
            revision: revision.filter(|r| !r.is_empty()).map(str::to_owned),
            fragment: fragment.map(str::to_owned),
        }
    }

    /// The whole link.
    pub(super) fn link(&self) -> String {
        let mut link = self.uri.clone();
        if let Some(revision) = &self.revision {
            link.push('@');
            link.push_str(revision);
        }
        if let Some(fragment) = &self.fragment {
            link.push('#');
            link.push_str(fragment);
        }
        link
    }

    /// The folder inside the repository.
    #[cfg(test)]
    pub(super) fn subdirectory(&self) -> Option<&str> {
        part_of(self.fragment.as_deref()?, "subdirectory")
    }
}

fn part_of<'a>(fragment: &'a str, key: &str) -> Option<&'a str> {
    fragment
        .split('&')
        .find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
}

/// A link may hold `;`, so there it separates only behind white space, as for pip.
fn split_marker(text: &str) -> (&str, Option<&str>) {
    let head = text.split(';').next().unwrap_or(text);
    let is_link = head.contains("://") || head.starts_with("git+git@");
    let at = if is_link {
        text.find(" ;").map(|at| at + 1).or_else(|| text.find("; "))
    } else {
        text.find(';')
    };
    match at {
        Some(at) => {
            let marker = text[at + 1..].trim();
            (text[..at].trim(), Some(marker).filter(|m| !m.is_empty()))
        }
        None => (text, None),
    }
}

/// Name, sorted extras and what follows them.
fn split_name(text: &str) -> Option<(&str, Vec<String>, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let valid = |c: char| c.is_ascii_alphanumeric();
    if !name.starts_with(valid) || !name.ends_with(valid) {
        return None;
    }
    let rest = rest.trim_start();
    let Some(inner) = rest.strip_prefix('[') else {
        return Some((name, Vec::new(), rest));
    };
    let (inner, rest) = inner.split_once(']')?;
    let mut extras: Vec<String> = inner
        .split(',')
        .map(|extra| extra.trim().to_owned())
        .filter(|extra| !extra.is_empty())
        .collect();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !extras.iter().all(|extra| extra.chars().all(is_plain)) {
        return None;
    }
    extras.sort();
    Some((name, extras, rest.trim_start()))
}

fn specifiers(text: &str) -> Option<Vec<(String, String)>> {
    let text = text.trim();
    let text = text
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
        .unwrap_or(text);
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim) {
        if part.is_empty() {
            continue;
        }
        let operator = OPERATORS.iter().find(|op| part.starts_with(**op))?;
        let version = part[operator.len()..].trim();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".*+!_-".contains(c);
        if version.is_empty() || !version.chars().all(is_plain) {
            return None;
        }
        found.push(((*operator).to_owned(), version.to_owned()));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::cases::{case_id, cases, strings, unordered};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// E-143, E-148: every recorded line.
    #[test]
    fn lines_parse_as_the_reference_parses_them() {
        let cases = cases("parse");
        assert_eq!(cases.len(), 13);
        for case in cases {
            let line = case["line"].as_str().expect("line");
            let expect = &case["expect"];
            let id = case_id(&case);
            let parsed = Requirement::parse(line);
            if expect["raises"].is_string() {
                assert!(parsed.is_err(), "{id}");
                continue;
            }
            let parsed = parsed.unwrap_or_else(|error| panic!("{id}: {error}"));
            assert_eq!(json!(parsed.name), expect["name"], "{id}");
            assert_eq!(parsed.extras, strings(&expect["extras"]), "{id}");
            assert_eq!(json!(parsed.editable), expect["editable"], "{id}");
            assert_eq!(json!(parsed.marker), expect["marker"], "{id}");
            let rendered = expect["rendered"].as_str().expect("text");
            assert_eq!(unordered(&parsed.rendered()), unordered(rendered), "{id}");
            assert_eq!(json!(parsed.is_local()), expect["local_file"], "{id}");
            let (mut specs, mut vcs, mut uri, mut path) =
                (json!([]), Value::Null, Value::Null, Value::Null);
            let (mut revision, mut subdirectory) = (Value::Null, Value::Null);
            match &parsed.target {
                Target::Index(specifiers) => {
                    let mut sorted = specifiers.clone();
                    sorted.sort();
                    specs = json!(sorted);
                }
                Target::Vcs(found) => {
                    vcs = json!(found.system);
                    uri = json!(found.uri);
                    revision = json!(found.revision);
                    subdirectory = json!(found.subdirectory());
                }
                Target::Url(url) => uri = json!(url),
                Target::Path(local) => path = json!(local),
            }
            assert_eq!(specs, expect["specs"], "{id}");
            assert_eq!(vcs, expect["vcs"], "{id}");
            assert_eq!(uri, expect["uri"], "{id}");
            assert_eq!(revision, expect["revision"], "{id}");
            assert_eq!(subdirectory, expect["subdirectory"], "{id}");
            assert_eq!(path, expect["path"], "{id}");
        }
    }

    /// E-148
    #[test]
    fn scp_like_links_and_logins_keep_their_at_signs() {
        let parsed = Requirement::parse("git+git@github.com:org/repo.git@v2").expect("parsed");
        let Target::Vcs(vcs) = parsed.target else {
            panic!("no vcs link");
        };
        assert_eq!(vcs.uri, "git+git@github.com:org/repo.git");
        assert_eq!(vcs.revision.as_deref(), Some("v2"));
    }

    proptest! {
        /// Broken lines are refused, never a panic.
        #[test]
        fn any_line_is_parsed_or_refused(line in ".{0,200}") {
            let _ = Requirement::parse(&line).map(|parsed| parsed.rendered());
        }
    }
}
