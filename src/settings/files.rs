//! Which files the configuration is read from, and the writing of one for another process.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf, absolute};

use super::environment::Environment;
use super::error::SettingsError;
use super::{Settings, env_vars, hocon};

/// The user's file (F-002).
pub const FILE_NAME: &str = "clearml.conf";

/// The file of the program's earlier name (F-002).
pub const LEGACY_FILE_NAME: &str = "trains.conf";

/// The files to read, from weak to strong, and what to tell about them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Discovery {
    /// Files of the configuration folder, each with the section that it fills (F-006).
    pub(super) sections: Vec<(Vec<String>, PathBuf)>,
    pub(super) files: Vec<PathBuf>,
    /// What `config` shows as the location (F-017).
    pub(super) location: Option<String>,
    /// Lines for standard output.
    pub(super) notices: Vec<String>,
}

/// Looks for the configuration files (F-002 to F-006). A file that is not there is no error (F-004).
pub(super) fn discover(environment: &Environment, home: &Path) -> Result<Discovery, SettingsError> {
    let mut told = Vec::new();
    let sections = folder_files(environment, home, &mut told)?;
    let mut discovery = user_files(environment, home);
    discovery.sections = sections;
    if environment.is_set(&env_vars::CONFIG_VERBOSE) {
        told.extend(discovery.files.iter().map(|path| loading(path)));
        discovery.notices.extend(told);
    }
    Ok(discovery)
}

/// F-007
fn loading(path: &Path) -> String {
    format!("Loading config from file {}", path.display())
}

/// The files of the user's folder, or the one that is named instead (F-002, F-003).
fn user_files(environment: &Environment, home: &Path) -> Discovery {
    let mut discovery = Discovery::default();
    // The value is used as given, blanks included: it is a path and is printed.
    let named = env_vars::CONFIG_FILE
        .names()
        .find_map(|name| environment.get(name).filter(|value| !value.is_empty()));
    if let Some(named) = named {
        discovery.notices.push(format!(
            "Using custom configuration file from env var: {named}"
        ));
        discovery.location = Some(named.to_owned());
        let path = expand_home(named, home);
        if path.is_file() {
            discovery.files.push(path);
        }
        return discovery;
    }
    let [legacy, current] = [LEGACY_FILE_NAME, FILE_NAME].map(|name| home.join(name));
    discovery.location = [&current, &legacy]
        .into_iter()
        .find(|path| path.exists())
        .map(|path| path.display().to_string());
    discovery.files = [legacy, current]
        .into_iter()
        .filter(|path| path.is_file())
        .collect();
    discovery
}

/// The file that `--config-file` names: variables and `~` replaced, absolute (F-005).
pub(super) fn named_by_option(
    path: &Path,
    environment: &Environment,
    home: &Path,
) -> Result<PathBuf, SettingsError> {
    let text = expand_variables(&path.to_string_lossy(), environment);
    let expanded = expand_home(&text, home);
    let path = absolute(&expanded).unwrap_or(expanded);
    if path.is_file() {
        Ok(path)
    } else {
        Err(SettingsError::NoSuchFile(path))
    }
}

/// The text of a file (F-024). What is not UTF-8 is read with replacement characters.
pub(super) fn read(path: &Path) -> Result<String, SettingsError> {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|source| SettingsError::Unreadable {
            path: path.to_owned(),
            source,
        })
}

/// `~` and `$VAR` replaced, as in every path of the configuration (F-116).
pub(super) fn expand(text: &str, environment: &Environment, home: &Path) -> PathBuf {
    expand_home(&expand_variables(text, environment), home)
}

/// `~` at the start is the user's folder; `~name` is left alone.
fn expand_home(text: &str, home: &Path) -> PathBuf {
    match text.strip_prefix('~') {
        Some("") => home.to_owned(),
        Some(rest) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(text),
    }
}

/// `$VAR` and `${VAR}`; a variable that is not set stays as written.
fn expand_variables(text: &str, environment: &Environment) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, length) = if let Some(braced) = after.strip_prefix('{') {
            match braced.find('}') {
                Some(end) => (&braced[..end], end + 2),
                None => ("", 0),
            }
        } else {
            let end = after
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(after.len());
            (&after[..end], end)
        };
        match environment.get(name) {
            Some(value) if !name.is_empty() => out.push_str(value),
            _ => out.push_str(&rest[at..=at + length]),
        }
        rest = &after[length..];
    }
    out.push_str(rest);
    out
}

/// The files of `CLEARML_CONFIG_PATH`: below `default`, then below the chosen environment (F-006). What is found where
/// is told as F-007 has it.
fn folder_files(
    environment: &Environment,
    home: &Path,
    told: &mut Vec<String>,
) -> Result<Vec<(Vec<String>, PathBuf)>, SettingsError> {
    let chosen = environment
        .text(&env_vars::CONFIG_ENVIRONMENT)
        .unwrap_or("default");
    if !["default", "demo", "local"].contains(&chosen) {
        return Err(SettingsError::InvalidEnvironment(chosen.to_owned()));
    }
    told.push(format!("Config env:{chosen}"));
    let Some(folder) = environment.text(&env_vars::CONFIG_PATH) else {
        return Ok(Vec::new());
    };
    let folder = expand_home(folder, home);
    let mut found = Vec::new();
    let other = Some(chosen).filter(|chosen| *chosen != "default");
    for name in ["default"].into_iter().chain(other) {
        let folder = folder.join(name);
        let before = found.len();
        let says = if folder.is_dir() {
            "Loading config from"
        } else {
            "No config in"
        };
        told.push(format!("{says} {}", folder.display()));
        collect(&folder, &[], &mut found);
        told.extend(found[before..].iter().map(|(_, path)| loading(path)));
    }
    Ok(found)
}

/// `*.conf` of a folder and the folders in it, in the order of their names.
fn collect(folder: &Path, section: &[String], found: &mut Vec<(Vec<String>, PathBuf)>) {
    // Deeper than this there is no section; a link back up would have no end.
    const DEEPEST: usize = 16;
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Some(stem) = path.file_stem() else {
            continue;
        };
        if path.is_dir() && section.len() < DEEPEST {
            let name = path.file_name().unwrap_or(stem).to_string_lossy();
            collect(&path, &[section, &[name.into_owned()]].concat(), found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "conf")
        {
            let section = [section, &[stem.to_string_lossy().into_owned()]].concat();
            found.push((section, path));
        }
    }
}

impl Settings {
    /// Writes the settings as one file that nobody else can read (mode 0600), all or nothing.
    ///
    /// What [`Settings::load`] reads from it is what these settings are (F-117).
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        // A temporary file is made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(hocon::print(self.root()).as_bytes())?;
        file.persist(path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment::from([("BASE", "/data"), ("EMPTY", "")])
    }

    /// F-116
    #[test]
    fn paths_have_their_home_and_variables_replaced() {
        let home = Path::new("/home/u");
        for (text, expected) in [
            ("~", "/home/u"),
            ("~/x", "/home/u/x"),
            ("~other/x", "~other/x"),
            ("$BASE/v", "/data/v"),
            ("${BASE}v", "/datav"),
            ("$NOPE/${NOPE}/$", "$NOPE/${NOPE}/$"),
            ("a${", "a${"),
            ("$EMPTY/x", "/x"),
        ] {
            assert_eq!(
                expand(text, &environment(), home),
                Path::new(expected),
                "{text}"
            );
        }
    }

    /// F-002, F-003, F-017
    #[test]
    fn the_variable_replaces_both_files_of_the_home_folder() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| home.path().join(name);
        let none = discover(&Environment::default(), home.path()).expect("no file is no error");
        assert_eq!(none, Discovery::default());

        fs::write(path("trains.conf"), "a: 1").expect("written");
        fs::write(path("clearml.conf"), "a: 2").expect("written");
        let both = discover(&Environment::default(), home.path()).expect("found");
        assert_eq!(both.files, [path("trains.conf"), path("clearml.conf")]);
        assert_eq!(
            both.location,
            Some(path("clearml.conf").display().to_string())
        );

        fs::write(path("own.conf"), "a: 3").expect("written");
        let named = Environment::from([("TRAINS_CONFIG_FILE", "~/own.conf")]);
        let named = discover(&named, home.path()).expect("found");
        assert_eq!(named.files, [path("own.conf")]);
        assert_eq!(named.location.as_deref(), Some("~/own.conf"));
        assert_eq!(
            named.notices,
            ["Using custom configuration file from env var: ~/own.conf"]
        );
    }

    /// F-024
    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().display().to_string();
        let error = read(folder.path()).expect_err("a folder has no text");
        assert_eq!(
            error.to_string(),
            format!("{path}: Is a directory (os error 21)")
        );
        let hint = error.hint().expect("a hint");
        assert!(hint.ends_with(&path), "{hint}");
    }

    /// F-004
    #[test]
    fn a_named_file_that_is_not_there_is_ignored() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let environment = Environment::from([("CLEARML_CONFIG_FILE", "/no/such.conf")]);
        let found = discover(&environment, home.path()).expect("no error");
        assert!(found.files.is_empty());
        assert_eq!(found.location.as_deref(), Some("/no/such.conf"));
    }

    /// F-006
    #[test]
    fn a_folder_of_files_fills_sections() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let folder = home.path().join("conf");
        fs::create_dir_all(folder.join("default/sub")).expect("made");
        fs::create_dir_all(folder.join("local")).expect("made");
        fs::write(folder.join("default/a.conf"), "x: 1").expect("written");
        fs::write(folder.join("default/sub/b.conf"), "y: 2").expect("written");
        fs::write(folder.join("local/a.conf"), "x: 3").expect("written");
        let variables =
            Environment::from([("CLEARML_CONFIG_PATH", "~/conf"), ("TRAINS_ENV", "local")]);
        let sections: Vec<_> = discover(&variables, home.path())
            .expect("found")
            .sections
            .into_iter()
            .map(|(section, _)| section.join("."))
            .collect();
        assert_eq!(sections, ["a", "sub.b", "a"]);
        let wrong = Environment::from([("TRAINS_ENV", "moon")]);
        let error = discover(&wrong, home.path()).expect_err("no such environment");
        assert_eq!(error.to_string(), "Invalid environment moon");
    }
}
