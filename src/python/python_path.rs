//! The variables of the task's program that concern Python (E-104..E-109, E-228, E-264).

use std::path::Path;

/// What `PYTHONPATH` is made of.
#[derive(Clone, Copy, Debug)]
pub struct PathParts<'a> {
    /// `PYTHONPATH` of the agent.
    pub previous: Option<&'a str>,
    /// The folder in which the program starts.
    pub script_folder: &'a Path,
    /// `script.entry_point`.
    pub entry_point: &'a str,
    /// The checkout, with `agent.force_git_root_python_path` alone (E-107).
    pub root: Option<&'a Path>,
    /// `sys.path` of the interpreter, joined with colons; none where it is left out or could not be asked (E-106, E-109).
    pub sys_path: Option<&'a str>,
    /// `CLEARML_AGENT_EXTRA_PYTHON_PATH` (E-108).
    pub extra: Option<&'a str>,
}

/// The value of `PYTHONPATH`; none where there is nothing to set.
pub fn python_path(parts: &PathParts<'_>) -> Option<String> {
    let mut folders = Vec::new();
    folders.extend(
        parts
            .previous
            .filter(|value| !value.is_empty())
            .map(str::to_owned),
    );
    if let Some(root) = parts.root {
        folders.push(root.display().to_string());
    } else {
        let script = parts.script_folder.join(parts.entry_point);
        folders.push(parts.script_folder.display().to_string());
        folders.extend(script.parent().map(|folder| folder.display().to_string()));
    }
    folders.extend(parts.sys_path.map(str::to_owned));
    folders.extend(
        parts
            .extra
            .filter(|value| !value.is_empty())
            .map(str::to_owned),
    );
    (!folders.is_empty()).then(|| folders.join(":"))
}

/// Set for shell tasks, which find the programs of the environment by these: `PATH` and `VIRTUAL_ENV` (E-104).
///
/// A Python task gets neither (E-264).
pub fn shell_variables(environment: &Path, search: Option<&str>) -> [(&'static str, String); 2] {
    let bin = environment.join("bin").display().to_string();
    let search = match search.filter(|search| !search.is_empty()) {
        Some(search) => format!("{bin}:{search}"),
        None => bin,
    };
    [
        ("PATH", search),
        ("VIRTUAL_ENV", environment.display().to_string()),
    ]
}

/// `PYTHONIOENCODING`, where the agent's locale cannot say what the program prints (E-259).
///
/// `locale` is the first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set.
pub fn io_encoding(current: Option<&str>, locale: Option<&str>) -> Option<&'static str> {
    let is_ascii = matches!(locale, Some("C" | "POSIX"));
    (current.is_none() && is_ascii).then_some("utf-8")
}

/// Variables of the agent that the program does not get (E-228, E-262).
pub const REMOVED_VARIABLES: [&str; 5] = [
    "CLEARML_APT_INSTALL",
    "TRAINS_APT_INSTALL",
    "UV_CACHE_DIR",
    "UV_PYTHON_CACHE_DIR",
    "UV_PYTHON_INSTALL_DIR",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> PathParts<'static> {
        PathParts {
            previous: None,
            script_folder: Path::new("/r/pkg"),
            entry_point: "sub/main.py",
            root: None,
            sys_path: None,
            extra: None,
        }
    }

    /// E-105, E-108, E-109
    #[test]
    fn the_script_comes_before_the_interpreters_folders() {
        let parts = PathParts {
            previous: Some("/before"),
            sys_path: Some(":/usr/lib/python3.11"),
            extra: Some("/extra"),
            ..shipped()
        };
        assert_eq!(
            python_path(&parts).as_deref(),
            Some("/before:/r/pkg:/r/pkg/sub::/usr/lib/python3.11:/extra")
        );
        assert_eq!(
            python_path(&shipped()).as_deref(),
            Some("/r/pkg:/r/pkg/sub")
        );
    }

    /// E-107
    #[test]
    fn the_root_replaces_the_script_folders() {
        let parts = PathParts {
            root: Some(Path::new("/r")),
            ..shipped()
        };
        assert_eq!(python_path(&parts).as_deref(), Some("/r"));
    }

    /// E-104
    #[test]
    fn shell_tasks_find_the_programs_of_the_environment() {
        let [(_, path), (_, environment)] = shell_variables(Path::new("/e"), Some("/bin"));
        assert_eq!((path.as_str(), environment.as_str()), ("/e/bin:/bin", "/e"));
    }

    /// E-259
    #[test]
    fn the_encoding_is_set_for_an_ascii_locale_alone() {
        assert_eq!(io_encoding(None, Some("C")), Some("utf-8"));
        assert_eq!(io_encoding(Some("latin-1"), Some("C")), None);
        assert_eq!(io_encoding(None, Some("C.UTF-8")), None);
    }
}
