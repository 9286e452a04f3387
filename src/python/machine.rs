//! The Python that the machine has, where neither task nor settings name one (E-287, E-288).

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::error::PythonError;
use super::interpreter::{Interpreter, choose, known_or_probed};
use super::options::{PythonOptions, StoreOptions};
use crate::process::find_program;

/// What the machine's Python is called, the one to take first.
const NAMES: [&str; 2] = ["python3", "python"];

/// The interpreter of a task that asks for none.
pub async fn machine_interpreter(options: &PythonOptions) -> Result<Interpreter, PythonError> {
    let cancel = CancellationToken::new();
    Ok(choose("", options, &cancel).await?.interpreter)
}

/// `major.minor` of the first of `named`, `python3` and `python` that runs; none where there is none. A container has named
/// one in `LOCAL_PYTHON` (C-204). What the store has as its last answer counts while that holds.
pub async fn default_version(named: Option<&str>, store: &StoreOptions) -> Option<String> {
    let cancel = CancellationToken::new();
    let named = named.filter(|named| !named.is_empty());
    for name in named.into_iter().chain(NAMES) {
        if let Ok(Some(interpreter)) = known_or_probed(name, store, &cancel).await {
            return Some(interpreter.version.short());
        }
    }
    None
}

/// The same by the name of the file behind the links, such as `python3.12`, for who must not wait for an interpreter to
/// start. None where the name does not say it.
pub fn version_by_name(search_path: &str) -> Option<String> {
    let file = find_program(NAMES[0], search_path)?.canonicalize().ok()?;
    named_version(&file)
}

fn named_version(file: &Path) -> Option<String> {
    let version = file.file_name()?.to_str()?.strip_prefix("python")?;
    let (major, minor) = version.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(major) && is_number(minor)).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// C-204, E-113
    #[tokio::test]
    async fn the_python_that_a_container_names_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python");
        std::fs::write(&python, "#!/bin/sh\nprintf '3.7.9\\n/python\\nFalse\\n'\n").unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&python, mode).unwrap();
        let off = StoreOptions::off();
        let named = default_version(python.to_str(), &off).await;
        assert_eq!(named.as_deref(), Some("3.7"));
        let own = default_version(None, &off).await;
        for nothing in ["", "/no/python"] {
            assert_eq!(default_version(Some(nothing), &off).await, own);
        }
    }

    /// F-110
    #[test]
    fn the_name_behind_the_links_tells_the_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let search_path = format!("/nowhere:{}", folder.path().display());
        assert_eq!(version_by_name(&search_path), None);
        std::fs::write(path("python3.12"), "").unwrap();
        symlink("python3.12", path("python3")).unwrap();
        assert_eq!(version_by_name(&search_path).as_deref(), Some("3.12"));
        for name in [
            "python3",
            "python3.12d",
            "python",
            "pyenv",
            "python3.",
            "python3.1.2",
        ] {
            assert_eq!(named_version(Path::new(name)), None, "{name}");
        }
    }
}
