//! The rules for links in lists of requirements, which belong to the code and not to Python.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

/// A link with the credentials that it needs (E-246).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RewrittenLink {
    /// What the installer gets.
    pub url: String,
    /// What is printed.
    pub shown: String,
}

/// Turns the URL of a `git+` link into the one to fetch from; none where it stays as it is.
pub type LinkRewriter = dyn Fn(&str) -> Option<RewrittenLink> + Send + Sync;

/// Variables for the installer, after all links of a list have been rewritten.
type LinkVariables = dyn Fn() -> Vec<(OsString, OsString)> + Send + Sync;

/// The rules for links, which belong to the code and not to Python.
#[derive(Clone, Default)]
pub struct Links {
    rewrite: Option<Arc<LinkRewriter>>,
    variables: Option<Arc<LinkVariables>>,
}

impl Links {
    /// Links that pass through `rewrite`.
    pub fn new(rewrite: impl Fn(&str) -> Option<RewrittenLink> + Send + Sync + 'static) -> Self {
        Self {
            rewrite: Some(Arc::new(rewrite)),
            variables: None,
        }
    }

    /// The same with variables by which the installer's git finds the credentials of the links.
    #[must_use]
    pub fn with_variables(
        mut self,
        variables: impl Fn() -> Vec<(OsString, OsString)> + Send + Sync + 'static,
    ) -> Self {
        self.variables = Some(Arc::new(variables));
        self
    }

    pub(super) fn rewrite(&self, url: &str) -> Option<RewrittenLink> {
        self.rewrite.as_ref().and_then(|rewrite| rewrite(url))
    }

    pub(super) fn variables(&self) -> Vec<(OsString, OsString)> {
        let variables = self.variables.as_ref();
        variables.map_or_else(Vec::new, |variables| variables())
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Links")
    }
}
