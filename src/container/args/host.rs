//! What a command line of docker takes from the machine on which it is read: variables, files, the current folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::ArgsError;

/// The machine on which a command line of docker is read.
#[derive(Clone, Default)]
pub struct HostContext {
    /// Variables, for `-e NAME` and lines without a value in an `--env-file`.
    pub variables: BTreeMap<String, String>,
    /// Folder that relative paths begin at.
    pub folder: PathBuf,
    /// Variables with proxies that docker's own configuration gives to each container, unless it has them already.
    pub proxies: BTreeMap<String, String>,
    /// Whether the engine is podman, which knows CDI devices without saying so by the version of its API.
    pub is_podman: bool,
}

impl std::fmt::Debug for HostContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets.
        f.debug_struct("HostContext")
            .field("folder", &self.folder)
            .field("is_podman", &self.is_podman)
            .finish_non_exhaustive()
    }
}

impl HostContext {
    /// This machine, as this process sees it.
    pub fn here() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let proxies = configuration(&variables)
            .and_then(|path| fs::read_to_string(path).ok())
            .map(|text| proxies(&text, variables.get("DOCKER_HOST").map(String::as_str)))
            .unwrap_or_default();
        Self {
            variables,
            folder: std::env::current_dir().unwrap_or_default(),
            proxies,
            is_podman: false,
        }
    }

    /// A path as docker makes it absolute: without asking the disk.
    pub(super) fn absolute(&self, path: &str) -> String {
        let mut clean = PathBuf::new();
        for part in self.folder.join(path).components() {
            match part {
                Component::CurDir => {}
                Component::ParentDir => {
                    clean.pop();
                }
                part => clean.push(part),
            }
        }
        clean.to_string_lossy().into_owned()
    }

    /// The content of a file that a flag names.
    pub(super) fn read(&self, flag: &'static str, path: &str) -> Result<String, ArgsError> {
        let path = self.folder.join(path);
        fs::read_to_string(&path).map_err(|source| ArgsError::File { flag, path, source })
    }

    /// The lines `NAME=value` of a file. A name alone takes its value from `lookup`, and is
    /// left out without one.
    pub(super) fn pairs(
        &self,
        flag: &'static str,
        path: &str,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<String>, ArgsError> {
        let text = self.read(flag, path)?;
        let mut pairs = Vec::new();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refuse = |reason| ArgsError::Line {
                flag,
                path: self.folder.join(path),
                line: index + 1,
                reason,
            };
            let (name, value) = match line.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (line, None),
            };
            if name.is_empty() {
                return Err(refuse("has no name before the `=`"));
            }
            if name.contains([' ', '\t']) {
                return Err(refuse("has a name with blanks"));
            }
            if let Some(value) = value.or_else(|| lookup(name)) {
                pairs.push(format!("{name}={value}"));
            }
        }
        Ok(pairs)
    }
}

/// Where docker's own configuration is.
fn configuration(variables: &BTreeMap<String, String>) -> Option<PathBuf> {
    let folder = match variables
        .get("DOCKER_CONFIG")
        .filter(|path| !path.is_empty())
    {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(variables.get("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

/// The variables that docker's own configuration gives to containers of this engine.
pub(super) fn proxies(configuration: &str, engine: Option<&str>) -> BTreeMap<String, String> {
    let configuration: serde_json::Value = serde_json::from_str(configuration).unwrap_or_default();
    let all = &configuration["proxies"];
    let of_engine = engine.and_then(|engine| all.get(engine));
    let settings = of_engine.unwrap_or(&all["default"]);
    let mut variables = BTreeMap::new();
    for (key, name) in [
        ("httpProxy", "HTTP_PROXY"),
        ("httpsProxy", "HTTPS_PROXY"),
        ("noProxy", "NO_PROXY"),
        ("ftpProxy", "FTP_PROXY"),
        ("allProxy", "ALL_PROXY"),
    ] {
        if let Some(value) = settings[key].as_str().filter(|value| !value.is_empty()) {
            variables.insert(name.to_owned(), value.to_owned());
            variables.insert(name.to_lowercase(), value.to_owned());
        }
    }
    variables
}
