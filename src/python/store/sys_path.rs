//! `sys.path` of an environment as it came from an entry, so that its interpreter is not started to say it (E-105).
//!
//! It is kept only where nothing but environment and interpreter decides about it: no packages of the system, unless they are
//! in the entry's key, no `*.pth` that may name a folder elsewhere, no module that Python runs at every start.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::storage::write_private;

const NAME: &str = "sys-path.json";
/// They bring import hooks and no folders, and are in nearly every environment.
const HARMLESS: [&str; 2] = ["_virtualenv.pth", "distutils-precedence.pth"];
const AT_EVERY_START: [&str; 2] = ["sitecustomize", "usercustomize"];

/// A folder of `sys.path`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    /// Below the environment.
    Own(String),
    Other(String),
}

#[derive(Debug, Deserialize, Serialize)]
struct SysPath {
    /// Under which it was said.
    variables: Vec<(String, String)>,
    parts: Vec<Part>,
}

/// What was kept with the entry, for an environment in this folder.
pub(in crate::python) fn known_sys_path(
    entry: &Path,
    environment: &Path,
    variables: &[(String, String)],
) -> Option<String> {
    let known: SysPath = serde_json::from_slice(&fs::read(entry.join(NAME)).ok()?).ok()?;
    if known.variables != variables {
        return None;
    }
    let folder = environment.to_str()?;
    let parts = known.parts.iter().map(|part| match part {
        Part::Own(path) => format!("{folder}/{path}"),
        Part::Other(path) => path.clone(),
    });
    Some(parts.collect::<Vec<_>>().join(":"))
}

/// Keeps with the entry what the interpreter of an environment has said, which is as it came from there; with
/// `knows_system` the packages of the system that it sees are in the entry's key.
pub(in crate::python) fn keep_sys_path(
    entry: &Path,
    environment: &Path,
    variables: Vec<(String, String)>,
    said: &str,
    knows_system: bool,
) {
    if !decides_alone(environment, knows_system) {
        return;
    }
    let own = |part: &str| {
        let below = Path::new(part).strip_prefix(environment).ok()?;
        below.to_str().map(str::to_owned)
    };
    let parts: Vec<Part> = said
        .split(':')
        .map(|part| own(part).map_or_else(|| Part::Other(part.to_owned()), Part::Own))
        .collect();
    // An environment that Python knows by another name cannot be told from the rest.
    if !parts.iter().any(|part| matches!(part, Part::Own(_))) {
        return;
    }
    let kept = serde_json::to_vec(&SysPath { variables, parts });
    // The entry may be gone; then the interpreter is asked again.
    let _ = kept.map(|bytes| write_private(&entry.join(NAME), &bytes));
}

fn decides_alone(environment: &Path, knows_system: bool) -> bool {
    let settings = fs::read_to_string(environment.join("pyvenv.cfg")).unwrap_or_default();
    let sees_no_others = settings.lines().any(|line| {
        let (name, value) = line.split_once('=').unwrap_or_default();
        name.trim() == "include-system-site-packages" && value.trim() == "false"
    });
    let folders = fs::read_dir(environment.join("lib"));
    let sites = folders.into_iter().flatten().flatten();
    let sites: Vec<PathBuf> = sites
        .map(|folder| folder.path().join("site-packages"))
        .collect();
    let is_harmless = |name: &str| {
        let (stem, _) = name.split_once('.').unwrap_or((name, ""));
        let names_folders = Path::new(name).extension().is_some_and(|end| end == "pth");
        (!names_folders || HARMLESS.contains(&name)) && !AT_EVERY_START.contains(&stem)
    };
    (sees_no_others || knows_system)
        && sites.iter().all(|site| {
            let names = fs::read_dir(site).into_iter().flatten().flatten();
            names
                .map(|name| name.file_name())
                .all(|name| name.to_str().is_some_and(is_harmless))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "lib/python3.11/site-packages";

    fn environment(folder: &Path) -> PathBuf {
        let environment = folder.join("3.11");
        fs::create_dir_all(environment.join(SITE)).expect("folder");
        let settings = "home = /usr/bin\ninclude-system-site-packages = false\n";
        fs::write(environment.join("pyvenv.cfg"), settings).expect("file");
        fs::write(environment.join(SITE).join("_virtualenv.pth"), "").expect("file");
        environment
    }

    /// E-105
    #[test]
    fn it_is_told_of_an_environment_in_another_place() {
        let folder = tempfile::tempdir().expect("folder");
        let made = environment(folder.path());
        let said = format!(":/usr/lib/python3.11:{}/{SITE}", made.display());
        let home = vec![("PYTHONHOME".to_owned(), "/x".to_owned())];
        keep_sys_path(folder.path(), &made, Vec::new(), &said, false);
        let known = known_sys_path(folder.path(), Path::new("/other"), &[]);
        assert_eq!(known, Some(format!(":/usr/lib/python3.11:/other/{SITE}")));
        assert_eq!(
            known_sys_path(folder.path(), Path::new("/other"), &home),
            None
        );
    }

    #[test]
    fn what_depends_on_anything_else_is_not_kept() {
        let is_kept_where =
            |knows_system, change: &dyn Fn(&Path), site: &dyn Fn(&Path) -> String| {
                let folder = tempfile::tempdir().expect("folder");
                let made = environment(folder.path());
                change(&made);
                keep_sys_path(folder.path(), &made, Vec::new(), &site(&made), knows_system);
                known_sys_path(folder.path(), &made, &[]).is_some()
            };
        let is_kept = |change: &dyn Fn(&Path), site: &dyn Fn(&Path) -> String| {
            is_kept_where(false, change, site)
        };
        let own = |made: &Path| format!("{}/{SITE}", made.display());
        let nothing = |_: &Path| {};
        assert!(is_kept(&nothing, &own));
        assert!(!is_kept(&nothing, &|_| "/elsewhere".to_owned()));
        for name in ["editable.pth", "sitecustomize.py"] {
            let file = |made: &Path| fs::write(made.join(SITE).join(name), "").expect("file");
            assert!(!is_kept(&file, &own), "{name}");
        }
        let system = "include-system-site-packages = true\n";
        let sees_all = |made: &Path| fs::write(made.join("pyvenv.cfg"), system).expect("file");
        assert!(!is_kept(&sees_all, &own));
        assert!(is_kept_where(true, &sees_all, &own));
    }
}
