//! What decides where pip finds packages, apart from the agent's own settings.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::key::Input;

/// Variables of pip that change what is installed.
const VARIABLES: [&str; 13] = [
    "PIP_CONSTRAINT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_NO_BINARY",
    "PIP_NO_COMPILE",
    "PIP_NO_DEPS",
    "PIP_NO_INDEX",
    "PIP_ONLY_BINARY",
    "PIP_PRE",
    "PIP_PREFER_BINARY",
    "PIP_REQUIREMENT",
    "PIP_UPLOADED_PRIOR_TO",
];

/// The variables of pip that are set, and its configuration files by their content.
pub fn index_settings(variable: impl Fn(&str) -> Option<String>) -> Vec<Input> {
    let variables = VARIABLES
        .iter()
        .filter_map(|name| Some(Input::new(*name, with_content(name, variable(name)?))));
    let named = variable("PIP_CONFIG_FILE").map(PathBuf::from);
    let home = variable("HOME").map(PathBuf::from);
    let configuration = variable("XDG_CONFIG_HOME").map(PathBuf::from);
    let configuration = configuration.or_else(|| home.as_ref().map(|home| home.join(".config")));
    let files = [
        Some(PathBuf::from("/etc/pip.conf")),
        Some(PathBuf::from("/etc/xdg/pip/pip.conf")),
        home.map(|home| home.join(".pip/pip.conf")),
        configuration.map(|folder| folder.join("pip/pip.conf")),
        named,
    ];
    let files = files.into_iter().flatten().filter_map(|path| {
        let name = path.display().to_string();
        Some(Input::new(name, content(&path)?))
    });
    variables.chain(files).collect()
}

/// Variables that name files stand for what is in these as well.
fn with_content(name: &str, value: String) -> String {
    if !["PIP_CONSTRAINT", "PIP_REQUIREMENT"].contains(&name) {
        return value;
    }
    let contents = value
        .split_whitespace()
        .map(|file| content(Path::new(file)));
    let contents: Vec<String> = contents.map(Option::unwrap_or_default).collect();
    format!("{value} ({})", contents.join(", "))
}

/// A file stands for what is in it; there may be passwords.
fn content(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(format!("SHA-256 {:x}", Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_files_count_and_passwords_do_not_show() {
        let home = tempfile::tempdir().expect("folder");
        fs::create_dir(home.path().join(".pip")).expect("folder");
        fs::write(home.path().join(".pip/pip.conf"), "password-in-file").expect("file");
        let settings = index_settings(|name| match name {
            "HOME" => Some(home.path().display().to_string()),
            "PIP_INDEX_URL" => Some("https://me:pw-settings@h/simple".into()),
            "PIP_CERT" => Some("x".into()),
            _ => None,
        });
        let pins = home.path().join("pins.txt");
        let pinned = |text: &str| {
            fs::write(&pins, text).expect("file");
            let named = pins.display().to_string();
            index_settings(|name| (name == "PIP_CONSTRAINT").then(|| named.clone()))
        };
        assert_ne!(pinned("six==1.15.0"), pinned("six==1.16.0"));
        let text = format!("{settings:?}");
        assert!(text.contains("https://xxxxxx@h/simple"), "{text}");
        assert!(
            text.contains(".pip/pip.conf") && text.contains("SHA-256 "),
            "{text}"
        );
        assert!(
            !text.contains("PIP_CERT") && !text.contains("password-in"),
            "{text}"
        );
    }
}
