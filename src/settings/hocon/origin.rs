//! Where a value was written.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A place that configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The defaults inside this program.
    Defaults,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable, by name.
    Variable(String),
    /// An option of the command line, as written.
    Option(String),
    /// Found out at start-up, such as the host name.
    Detected,
    /// A configuration vault of the server, by name.
    Vault(String),
    /// Text without a file, such as a pasted block.
    Text,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => f.write_str("built-in default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Option(flag) => write!(f, "option {flag}"),
            Self::Detected => f.write_str("detected"),
            Self::Text => f.write_str("text"),
            Self::Vault(name) => write!(f, "vault `{name}`"),
        }
    }
}

/// The line of a [`Source`] on which a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    source: Arc<Source>,
    line: usize,
}

impl Origin {
    /// A value of this line, counted from 1.
    pub fn new(source: &Arc<Source>, line: usize) -> Self {
        Self {
            source: Arc::clone(source),
            line,
        }
    }

    /// The file, variable or option.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The line, counted from 1; 1 where the source has no lines.
    pub fn line(&self) -> usize {
        self.line
    }
}

impl From<Source> for Origin {
    fn from(source: Source) -> Self {
        Self::new(&Arc::new(source), 1)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.source {
            Source::File(path) => write!(f, "{}:{}", path.display(), self.line),
            other => other.fmt(f),
        }
    }
}
