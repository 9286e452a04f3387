//! Which Python a container has: the image's, else one that uv brings, else that of a package (C-238).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::packages::{install, succeeds};
use super::{Place, RUNNER_FOLDER};
use crate::process::{find_program, has_loader};
use crate::settings::env_vars;

/// What uv brings where nothing asks for another (C-505).
const VERSION: &str = "3.12";

/// The answer of an interpreter with a pip that is made for it. Loading all of pip takes half a second where a container is
/// fresh; what breaks a pip is another Python beside it: no `distutils` of its own, or, from 3.12 on, none at all.
const PROBE: &str = "import sys, pip\n\
     from importlib.util import find_spec\n\
     fits = int(pip.__version__.split('.')[0]) >= 23 if sys.version_info >= (3, 12) else find_spec('distutils.cmd')\n\
     print('%d.%d.%d' % tuple(sys.version_info[:3]) if fits else '')";
/// The answer of one without a pip that environments get one from.
const SEED_PROBE: &str = "import sys, venv, ensurepip\n\
     ensurepip.version()\n\
     print('%d.%d.%d' % tuple(sys.version_info[:3]))";
/// The answer of any other.
const PLAIN_PROBE: &str = "import sys\nprint('%d.%d.%d' % tuple(sys.version_info[:3]))";

/// Whence a Python may come where the image has none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bring {
    /// From nowhere.
    Nothing,
    /// By uv.
    WithoutPackages,
    /// By uv, else by a package of the distribution.
    Any,
}

/// What was found.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Found {
    /// `LOCAL_PYTHON`
    pub(super) python: String,
    /// Its folder, where that may not be on `PATH` yet.
    pub(super) folder: Option<PathBuf>,
}

/// The container's Python; one is brought where that is allowed. The console says which.
pub(super) fn find(place: Place<'_>, bring: Bring) -> Found {
    let on_path = |python: PathBuf| Found {
        python: python.to_string_lossy().into_owned(),
        folder: None,
    };
    if let Some(given) = place
        .environment
        .get("LOCAL_PYTHON")
        .filter(|given| !given.is_empty())
    {
        place
            .printer
            .line(format!("Python: {given}, as LOCAL_PYTHON says"));
        let given = PathBuf::from(given);
        return Found {
            folder: given
                .parent()
                .filter(|_| given.is_absolute())
                .map(Path::to_owned),
            ..on_path(given)
        };
    }
    let say = |python: &Path, version: &str, from: &str| {
        let python = python.display();
        place
            .printer
            .line(format!("Python: {version} ({python}), {from}"));
    };
    if let Some((python, version)) = of_image(place) {
        say(&python, &version, "from the image");
        return on_path(python);
    }
    // What can be brought needs a C library; who has none says so where a Python is wanted.
    if bring != Bring::Nothing && has_loader(place.root) {
        if let Some((python, version)) = of_uv(place) {
            say(&python, &version, "brought by uv");
            return Found {
                folder: python.parent().map(Path::to_owned),
                ..on_path(python)
            };
        }
        let packages = |installer: &super::packages::Installer| match installer.program {
            "apt-get" => vec!["python3", "python3-pip", "python3-venv"],
            "apk" => vec!["python3", "py3-pip"],
            _ => vec!["python3", "python3-pip"],
        };
        if bring == Bring::Any
            && install(place, packages)
            && let Some((python, version)) = of_image(place)
        {
            say(&python, &version, "from a package");
            return on_path(python);
        }
    }
    place
        .printer
        .line("Python: none; a task that needs one cannot run in this image");
    on_path("python3".into())
}

/// The newest of the image's interpreters whose pip works (step 9), else the newest that brings one for environments.
fn of_image(place: Place<'_>) -> Option<(PathBuf, String)> {
    let path = place.environment.get("PATH").unwrap_or_default();
    let interpreters: Vec<PathBuf> = (5..=20)
        .rev()
        .map(|minor| format!("python3.{minor}"))
        .chain(["python3".to_owned(), "python".to_owned()])
        .filter_map(|name| find_program(&name, path))
        .collect();
    let first = |version: fn(&Path) -> Option<String>| {
        let mut found = interpreters
            .iter()
            .filter_map(|python| Some((python.clone(), version(python)?)));
        found.next()
    };
    first(with_pip)
        .or_else(|| first(|python| answer(Command::new(python).args(["-c", SEED_PROBE]))))
}

fn with_pip(python: &Path) -> Option<String> {
    if let Some(version) = answer(Command::new(python).args(["-c", PROBE])) {
        return Some(version);
    }
    let version = answer(Command::new(python).args(["-c", PLAIN_PROBE]))?;
    answer(Command::new(python).args(["-m", "pip", "--version"])).map(|_| version)
}

/// What it prints, where it ends well.
fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// An interpreter that uv fetches, from `UV_PYTHON_INSTALL_MIRROR` where that is set.
fn of_uv(place: Place<'_>) -> Option<(PathBuf, String)> {
    let variable = |name: &str| {
        let value = place.environment.get(name);
        value.filter(|value| !value.is_empty())
    };
    let path = variable("PATH").unwrap_or_default();
    let beside = place
        .root
        .join(RUNNER_FOLDER.trim_start_matches('/'))
        .join("uv");
    let candidates = [
        variable(env_vars::BOOTSTRAP_UV_EXEC.name).map(PathBuf::from),
        find_program("uv", path),
        Some(beside),
    ];
    let mut candidates = candidates.into_iter().flatten();
    let uv = candidates.find(|uv| answer(Command::new(uv).arg("--version")).is_some())?;
    let version = variable(env_vars::PYTHON_VERSION.name).unwrap_or(VERSION);
    let command = |words: &[&str]| {
        let mut command = Command::new(&uv);
        command.args(["python"]).args(words).arg(version);
        command
            .env("UV_PYTHON_PREFERENCE", "only-managed")
            .env("UV_NO_PROGRESS", "1")
            // Nobody looks for it in `~/.local/bin`.
            .env("UV_PYTHON_INSTALL_BIN", "0")
            .stdin(Stdio::null());
        // The cache of pip is what the host keeps for the next container.
        if variable("UV_PYTHON_CACHE_DIR").is_none() {
            command.env(
                "UV_PYTHON_CACHE_DIR",
                place.home.join(".cache/pip/uv-python"),
            );
        }
        // The certificates of this container (C-237).
        let bundles = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
        let bundle = bundles.into_iter().find_map(variable);
        if let (None, Some(bundle)) = (variable("SSL_CERT_FILE"), bundle) {
            command.env("SSL_CERT_FILE", bundle);
        }
        command
    };
    place.printer.line(format!(
        "The image has no Python with pip or venv: fetching {version} with uv"
    ));
    if !succeeds(place, &mut command(&["install"])) {
        return None;
    }
    let python = PathBuf::from(answer(&mut command(&["find"]))?);
    let version = answer(Command::new(&python).args(["-c", PLAIN_PROBE]))?;
    Some((python, version))
}
