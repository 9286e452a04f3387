//! The name of a wheel, and whether it fits a requirement and a machine (E-172).

use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};
use percent_encoding::percent_decode_str;

use super::super::version::PythonVersion;

/// A wheel by its file name.
#[derive(Debug)]
pub(super) struct Wheel {
    name: String,
    pub(super) version: Version,
    python: String,
    platform: String,
}

impl Wheel {
    /// Reads `<name>-<version>[-<build>]-<python>-<abi>-<platform>.whl`, percent-encoded or not.
    pub(super) fn parse(file: &str) -> Option<Self> {
        let file = percent_decode_str(file).decode_utf8().ok()?;
        let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
        let [name, version, .., python, _, platform] = parts.as_slice() else {
            return None;
        };
        Some(Self {
            name: (*name).to_owned(),
            version: Version::from_str(version).ok()?,
            python: (*python).to_owned(),
            platform: (*platform).to_owned(),
        })
    }

    /// Whether it is `name` for this interpreter on this machine.
    pub(super) fn runs_on(&self, name: &str, python: PythonVersion) -> bool {
        let tag = format!("cp{}{}", python.major, python.minor);
        let machine = std::env::consts::ARCH;
        self.name == name
            && self
                .python
                .split('.')
                .any(|part| part == tag || part == "py3")
            && self
                .platform
                .split('.')
                .any(|part| part == "any" || (part.contains("linux") && part.ends_with(machine)))
    }

    /// Whether its version, without the local part, is one of those; builds before a release only where they are asked for
    /// or allowed.
    pub(super) fn fits(&self, specifiers: &VersionSpecifiers, nightly: bool) -> bool {
        let public = self.version.clone().without_local();
        let asks = |specifier: &pep440_rs::VersionSpecifier| specifier.any_prerelease();
        specifiers.contains(&public)
            && (nightly || !public.any_prerelease() || specifiers.iter().any(asks))
    }
}

/// Addresses of the wheels on a page, in its order.
pub(super) fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in page.split("href=").skip(1) {
        let (quote, rest) = match part.chars().next() {
            Some(quote @ ('"' | '\'')) => (quote, &part[1..]),
            _ => ('>', part),
        };
        let address = rest.split(quote).next().unwrap_or_default();
        let address = address.split('#').next().unwrap_or(address);
        let name = address.rsplit('/').next().unwrap_or(address);
        if Wheel::parse(name).is_some() {
            found.push(address.replace("&amp;", "&"));
        }
    }
    found
}
