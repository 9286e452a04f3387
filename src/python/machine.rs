//! The Python that the machine has, where neither task nor settings name one (E-287, E-288).

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::interpreter::probe;
use crate::process::find_program;

/// What the machine's Python is called, the one to take first.
const NAMES: [&str; 2] = ["python3", "python"];

/// `major.minor` of the first of `python3` and `python` that runs; none where there is none.
pub async fn default_version() -> Option<String> {
    let cancel = CancellationToken::new();
    for name in NAMES {
        if let Ok(Some(interpreter)) = probe(name, &cancel).await {
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
    use std::os::unix::fs::symlink;

    use super::*;

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
