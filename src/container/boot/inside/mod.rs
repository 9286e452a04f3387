//! What the program does in a container before the task's scripts run (C 2.1, C-505), with nothing of the image but the kernel.

mod files;
mod forget;
mod packages;
mod python;
mod shell;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use files::{configuration, files};
pub use forget::forget;
pub use shell::become_shell;

use self::python::Bring;
use super::{RUNNER_FOLDER, script::quoted};
use crate::settings::{Environment, env_vars};
use crate::ui::Printer;

/// What programs with OpenCV want (step 4).
pub const OPENCV_LIBRARIES: [&str; 4] = ["libsm6", "libxext6", "libxrender-dev", "libglib2.0-0"];

/// Where things are; in tests, elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// `/`
    pub root: &'a Path,
    /// The user's home.
    pub home: &'a Path,
    /// Variables of the container and of the hooks that have run.
    pub environment: &'a Environment,
    /// The console, which is not stdout: what is printed there becomes variables.
    pub printer: Printer,
}

/// What settings and task ask for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the call")]
pub struct PythonWishes {
    /// `--standalone-mode`: nothing is brought.
    pub is_standalone: bool,
    /// `agent.docker_init_bash_script` has done what the agent does for packages.
    pub has_own_script: bool,
    /// `agent.docker_install_opencv_libs`
    pub installs_opencv_libs: bool,
    /// The task is one of a shell alone.
    pub needs_none: bool,
}

/// Finds the container's Python, or brings one, with the packages that were asked for; what the shell is to evaluate (C-204).
pub fn python(place: Place<'_>, wishes: PythonWishes) -> String {
    let text = |name: &str| place.environment.get(name).unwrap_or_default().to_owned();
    let mut exports = Vec::new();
    let mut path = text("PATH");
    let may_install = !place.environment.is_set(&env_vars::SKIP_CONTAINER_APT);
    if !wishes.is_standalone {
        if !wishes.has_own_script {
            if may_install {
                files::keep_archives(place);
            }
            files::own_pip_cache(place);
        }
        exports.push(("DEBIAN_FRONTEND", "noninteractive".to_owned()));
        let mut packages = text("CLEARML_APT_INSTALL");
        if wishes.installs_opencv_libs && !wishes.has_own_script {
            packages = format!("{packages} {}", OPENCV_LIBRARIES.join(" "));
        }
        let packages = packages.trim().to_owned();
        if !packages.is_empty() && !wishes.has_own_script {
            if may_install {
                let words: Vec<&str> = packages.split_whitespace().collect();
                packages::install(place, |_| words.clone());
            } else {
                place.printer.line(format!(
                    "Packages are not installed, as {} says: {packages}",
                    env_vars::SKIP_CONTAINER_APT.name
                ));
            }
        }
        exports.push(("CLEARML_APT_INSTALL", packages));
    }
    let may_bring = match (wishes.is_standalone || wishes.needs_none, may_install) {
        (true, _) => Bring::Nothing,
        (false, false) => Bring::WithoutPackages,
        (false, true) => Bring::Any,
    };
    let found = python::find(place, may_bring);
    if !wishes.is_standalone {
        files::allow_packages(place);
    }
    let is_new = |folder: &PathBuf| std::env::split_paths(&path).all(|known| known != *folder);
    if let Some(folder) = found.folder.filter(is_new) {
        path = format!("{path}:{}", folder.display());
    }
    exports.push(("LOCAL_PYTHON", found.python));
    // `clearml-agent` is a command (C-234); an image's own comes first.
    exports.push(("PATH", format!("{path}:{RUNNER_FOLDER}")));
    let mut lines = String::new();
    for (name, value) in exports {
        lines += &["export ", name, "=", &quoted(&value), "\n"].concat();
    }
    lines
}

/// True where the container has a network, or may have one: what `--network none` leaves is the loopback alone.
pub fn has_network(root: &Path) -> bool {
    let Ok(found) = std::fs::read_dir(root.join("sys/class/net")) else {
        return true;
    };
    let mut names = found.flatten().map(|entry| entry.file_name());
    names.any(|name| name != "lo")
}

/// A path of a setting, in which `~` is the home.
fn expanded(path: &Path, home: &Path) -> PathBuf {
    match path.strip_prefix("~") {
        Ok(below) => home.join(below),
        Err(_) => path.to_owned(),
    }
}
