//! Containers in which the static build of the agent runs.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::TestContext;
use super::images::{docker, must};
use super::python_packages::{cache, package_folder};
use super::static_runner::static_runner;

/// A uv that needs no library, from PyPI.
pub(crate) fn static_uv() -> PathBuf {
    let folder = cache().join("uv-static-0.9.5");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let uv = folder.join("uv");
    if !uv.exists() {
        let script = "set -e; cd \"$0\"\n\
             \"$1/python\" -m pip download --quiet --no-deps --only-binary :all: --platform \"musllinux_1_1_$(uname -m)\" --dest . uv==0.9.5\n\
             \"$1/python\" -m zipfile --extract uv-*.whl wheel\n\
             chmod 755 wheel/uv-*.data/scripts/uv; mv wheel/uv-*.data/scripts/uv uv";
        let mut fetch = Command::new("sh");
        fetch
            .args(["-c", script])
            .arg(&folder)
            .arg(package_folder("pip"));
        must(&mut fetch, "give the machine a way to PyPI");
    }
    uv
}

/// A container with the runner and the configuration of `context`, as the agent will start one.
pub(crate) struct Boot<'a> {
    context: &'a TestContext,
    folder: PathBuf,
    words: Vec<String>,
}

impl<'a> Boot<'a> {
    pub(crate) fn new(context: &'a TestContext) -> Self {
        let folder = context.folder().join("runner");
        fs::create_dir_all(&folder).unwrap();
        // A container's user is anybody.
        for path in [context.folder(), &context.home()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::copy(static_runner(), folder.join("clearml-agent")).unwrap();
        let configuration = context.home().join("clearml.conf");
        fs::set_permissions(&configuration, fs::Permissions::from_mode(0o644)).unwrap();
        let boot = Self {
            context,
            folder,
            words: Vec::new(),
        };
        boot.volume(&configuration, "/tmp/clearml.conf")
            .variable("CLEARML_CONFIG_FILE", "/tmp/clearml.conf")
    }

    /// uv is beside the runner.
    pub(crate) fn with_uv(self) -> Self {
        fs::copy(static_uv(), self.folder.join("uv")).unwrap();
        self
    }

    pub(crate) fn volume(mut self, from: &Path, to: &str) -> Self {
        self.words.push(format!("--volume={}:{to}", from.display()));
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.words.push(format!("--env={name}={value}"));
        self
    }

    /// Runs `SHELL -c TEXT` in this image to its end.
    pub(crate) fn run(&self, image: &str, shell: &str, text: &str) -> (Option<i32>, String) {
        let runner = format!("--volume={}:/.clearml-agent:ro", self.folder.display());
        let mut run = docker(&["run", "--rm", "--network=host", &runner]);
        let output: Output = run
            .args(&self.words)
            .args([image, shell, "-c", text])
            .output()
            .unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        assert!(
            self.context.folder().exists() && output.status.code() != Some(125),
            "{printed}"
        );
        (output.status.code(), printed)
    }
}
