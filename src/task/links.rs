//! Links to repositories among a task's requirements: the rules and credentials of its own repository hold for them (E-246).

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use crate::python::{Links, RewrittenLink};
use crate::secrets::register_url_passwords;
use crate::source::{self, PipLink, SourceOptions};

/// The rules of `options`; a password of a link reaches git by askpass and stands in no argument.
pub(super) fn links(options: &SourceOptions) -> Links {
    let found: Arc<Mutex<Vec<PipLink>>> = Arc::default();
    let (rules, seen) = (options.rules.clone(), Arc::clone(&found));
    let options = options.clone();
    Links::new(move |url| {
        register_url_passwords(url);
        let link = rules.rewrite_pip_link(&format!("git+{url}"))?;
        let url = link.argument.strip_prefix("git+")?.to_owned();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(link);
        Some(RewrittenLink {
            shown: url.clone(),
            url,
        })
    })
    .with_variables(move || {
        let found = found.lock().unwrap_or_else(PoisonError::into_inner);
        source::installer_variables(&options, &found)
    })
}

/// The variables without which no installer asks for the configured credentials.
pub(super) fn variables(options: &SourceOptions) -> Vec<(OsString, OsString)> {
    source::installer_variables(options, &[])
}
