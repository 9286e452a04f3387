//! Secrets as types, and the registry of what must never be printed.
//!
//! Making a [`SecretString`] registers it; every log line, error and console byte passes a
//! [`Masker`] built from the registry. What is registered stays so until the process ends.

mod forms;
mod masker;
mod registry;
mod url;
mod variables;

use std::fmt;

use secrecy::ExposeSecret;

pub use masker::Masker;
pub use registry::{Registry, mask};
pub use url::register_url_passwords;
pub use variables::{
    may_name_a_secret, register_assignment, register_assignments, register_variable,
};

/// A value that is never printed: not by `Debug`, not by the redactor's output, not in an error.
#[derive(Clone)]
pub struct SecretString(secrecy::SecretString);

impl SecretString {
    /// Takes the value and registers it with the redactor of this process.
    pub fn new(value: impl Into<String>) -> Self {
        let value = value.into();
        Registry::global().register(&value);
        Self(value.into())
    }

    /// The plain value, for the one place that hands it to its user.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// True where the configuration left the value empty, which means "not set".
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(registry::MASK)
    }
}

impl PartialEq for SecretString {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for SecretString {}
