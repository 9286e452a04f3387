//! The configuration file: whether it is there, who may read it, what in it means nothing.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::report::Finding;
use crate::settings::Settings;

const SUBJECT: &str = "configuration";
/// Unknown keys that are named; the rest is a number.
const MOST_NAMED: usize = 3;

pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    match settings.location() {
        Some(location) => findings.push(file(Path::new(location))),
        None => findings.push(Finding::ok(
            SUBJECT,
            "no file, variables and defaults alone",
        )),
    }
    let unknown = settings.unknown_keys();
    let unknown: Vec<String> = unknown.iter().map(ToString::to_string).collect();
    if !unknown.is_empty() {
        let more = unknown.len().saturating_sub(MOST_NAMED);
        let more = if more > 0 {
            format!("\nand {more} more")
        } else {
            String::new()
        };
        let named = unknown[..unknown.len().min(MOST_NAMED)].join("\n");
        findings.push(Finding::warn(
            SUBJECT,
            format!("{named}{more}"),
            "a key that is not known does nothing: check how it is spelt",
        ));
    }
    findings
}

fn file(path: &Path) -> Finding {
    let shown = path.display();
    match path.metadata() {
        Ok(file) if file.mode() & 0o044 != 0 => Finding::warn(
            SUBJECT,
            format!("{shown} can be read by other users of this machine"),
            format!("it holds keys: chmod 600 {shown}"),
        ),
        Ok(_) => Finding::ok(SUBJECT, shown.to_string()),
        // It has been read a moment ago.
        Err(error) => Finding::warn(
            SUBJECT,
            format!("{shown}: {error}"),
            "is somebody writing it?",
        ),
    }
}
