//! Packages from PyPI: virtual environments and pip's downloads, made once for all runs below the target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// `bin` of a virtual environment with this package, such as `virtualenv==20.39.1`.
///
/// The first run installs it from PyPI; where that does not work the test fails and says what it needs.
pub(crate) fn package_folder(package: &str) -> PathBuf {
    let environment = cache().join(package.replace("==", "-"));
    fs::create_dir_all(&environment).unwrap();
    let lock = File::create(environment.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let bin = environment.join("bin");
    let complete = environment.join("complete");
    if !complete.exists() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(&environment);
        must(
            &mut make,
            "install Python 3.9 or newer with its module venv, e.g. `apt install python3-venv`",
        );
        let mut install = Command::new(bin.join("python"));
        install
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                package,
            ])
            .env("PIP_CACHE_DIR", download_cache());
        must(
            &mut install,
            "give the machine a way to PyPI, or name an index in `PIP_INDEX_URL`",
        );
        fs::write(complete, "").unwrap();
    }
    bin
}

/// Where pip keeps what it has downloaded, for `PIP_CACHE_DIR`.
pub(crate) fn download_cache() -> PathBuf {
    cache().join("pip")
}

/// Where agents keep environments for later runs, for `agent.store.path`: installing takes half a minute.
pub(crate) fn environment_cache() -> PathBuf {
    cache().join("environments")
}

/// `PATH` with this folder in front.
pub(crate) fn path_with(folder: &Path) -> String {
    format!(
        "{}:{}",
        folder.display(),
        std::env::var("PATH").unwrap_or_default()
    )
}

pub(crate) fn cache() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("the target folder");
    target.join("test-packages")
}

fn must(command: &mut Command, hint: &str) {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}\nhint: {hint}"));
    assert!(
        status.success(),
        "{command:?}: {status}\n{}{}\nhint: {hint}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
}
