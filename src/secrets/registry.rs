//! Which strings are secrets.

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};

use super::Masker;
use super::forms::forms;

/// What stands in place of a secret.
pub(super) const MASK: &str = "****";

/// Shorter values are not masked: they would blank ordinary words.
const SHORTEST: usize = 4;

/// The process's set of secrets and the masker made of it.
#[derive(Debug)]
pub struct Registry(RwLock<Known>);

#[derive(Debug)]
struct Known {
    forms: BTreeSet<String>,
    masker: Arc<Masker>,
}

impl Registry {
    /// The registry that [`super::SecretString`] writes to.
    #[cfg(not(test))]
    pub fn global() -> &'static Self {
        static GLOBAL: std::sync::LazyLock<Registry> = std::sync::LazyLock::new(Registry::default);
        &GLOBAL
    }

    /// Each test has a registry of its own: one test's password may be an ordinary word of another's output.
    #[cfg(test)]
    pub fn global() -> &'static Self {
        thread_local!(static OF_THIS_TEST: &'static Registry = Box::leak(Box::default()));
        OF_THIS_TEST.with(|registry| *registry)
    }

    /// Adds a secret in every form in which a program may print it.
    pub fn register(&self, secret: &str) {
        if secret.len() < SHORTEST {
            return;
        }
        let mut known = self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = known.forms.len();
        known.forms.extend(forms(secret));
        if known.forms.len() != before {
            known.masker = Arc::new(Masker::new(&known.forms));
        }
    }

    /// Takes back a secret that is of no use any more, such as a token that has been replaced twice.
    ///
    /// Without that a process that lives for months would know thousands of them.
    pub fn forget(&self, secret: &str) {
        let mut known = self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = known.forms.len();
        for form in forms(secret) {
            known.forms.remove(&form);
        }
        if known.forms.len() != before {
            known.masker = Arc::new(Masker::new(&known.forms));
        }
    }

    /// The masker of all secrets registered until now.
    pub fn masker(&self) -> Arc<Masker> {
        self.0
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .masker
            .clone()
    }
}

impl Default for Registry {
    fn default() -> Self {
        let forms = BTreeSet::new();
        let masker = Arc::new(Masker::new(&forms));
        Self(RwLock::new(Known { forms, masker }))
    }
}

/// `text` without the secrets of this process.
pub fn mask(text: &str) -> String {
    Registry::global().masker().mask(text)
}
