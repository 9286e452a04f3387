//! What an environment holds, read from its folders without starting an interpreter.

use std::fs;
use std::path::{Path, PathBuf};

/// A package by the name and version of its own description.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct InstalledPackage {
    pub(super) name: String,
    pub(super) version: String,
}

/// The packages of the environment itself, not those of the system that it may see.
pub(super) fn packages(environment: &Path) -> Vec<InstalledPackage> {
    let mut found: Vec<InstalledPackage> = site_packages(environment)
        .iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".dist-info"))
        .filter_map(|entry| read(&entry.path().join("METADATA")))
        .collect();
    found.sort_by_key(|package| package.name.to_lowercase());
    found
}

/// `lib/python<a.b>/site-packages` of the environment.
fn site_packages(environment: &Path) -> Vec<PathBuf> {
    fs::read_dir(environment.join("lib"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("site-packages"))
        .filter(|path| path.is_dir())
        .collect()
}

fn read(metadata: &Path) -> Option<InstalledPackage> {
    let text = fs::read(metadata).ok()?;
    let text = String::from_utf8_lossy(&text);
    let header = |name: &str| {
        text.lines()
            .take_while(|line| !line.is_empty())
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
    };
    Some(InstalledPackage {
        name: header("Name")?,
        version: header("Version")?,
    })
}

impl InstalledPackage {
    /// As `freeze` writes it.
    pub(super) fn line(&self) -> String {
        format!("{}=={}", self.name, self.version)
    }
}
