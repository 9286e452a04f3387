//! The static build of the agent, which runs in containers.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::images::must;
use super::python_packages::cache;

/// The runner that `RUNNER` names, such as the one of `.ci/release`; else one that cargo makes as it made the caller: the
/// first time that takes some minutes.
pub(crate) fn static_runner() -> PathBuf {
    static RUNNER: OnceLock<PathBuf> = OnceLock::new();
    RUNNER
        .get_or_init(|| match std::env::var_os("RUNNER") {
            Some(named) => fs::canonicalize(named).expect("`RUNNER` names the static runner"),
            None => build(),
        })
        .clone()
}

fn build() -> PathBuf {
    let folder = cache().parent().expect("the target folder").join("runner");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let (profile, built) = if cfg!(debug_assertions) {
        ("dev", "debug")
    } else {
        ("release", "release")
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--locked", "--bin", "clearml-agent"])
        .args(["--no-default-features", "--target", &target])
        .args(["--profile", profile])
        .env("CARGO_TARGET_DIR", &folder)
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    must(&mut cargo, "the same as for the agent: see `.ci/release`");
    folder.join(target).join(built).join("clearml-agent")
}
