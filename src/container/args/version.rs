//! Versions of the Engine API.

use std::fmt;
use std::str::FromStr;

use super::ArgsError;

/// A version of the Engine API.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ApiVersion {
    /// `1`
    pub major: usize,
    /// `41`
    pub minor: usize,
}

impl ApiVersion {
    /// The oldest one that containers are run with: docker 19.03.
    pub const MINIMUM: Self = Self::new(1, 40);

    /// `major.minor`
    pub const fn new(major: usize, minor: usize) -> Self {
        Self { major, minor }
    }

    /// Fails by name where the engine does not know `what`, which came with `needed`.
    pub(super) fn needs(self, needed: Self, what: impl Into<String>) -> Result<(), ArgsError> {
        if self >= needed {
            return Ok(());
        }
        Err(ArgsError::EngineLacks {
            what: what.into(),
            needed,
            version: self,
        })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that is no `major.minor`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a version of the engine's API")]
pub struct InvalidApiVersion;

impl FromStr for ApiVersion {
    type Err = InvalidApiVersion;

    fn from_str(text: &str) -> Result<Self, InvalidApiVersion> {
        let (major, minor) = text.split_once('.').ok_or(InvalidApiVersion)?;
        let number = |text: &str| text.parse().map_err(|_| InvalidApiVersion);
        Ok(Self::new(number(major)?, number(minor)?))
    }
}
