//! A podman of the test's own: its service, and a store beside docker's with the image that has Python.
//!
//! Debian's podman, as root, on the runtime that docker has as well. Where the kernel mounts no overlays the program does that by
//! which docker helps itself there.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::images::must;
use super::python_packages::cache;
use super::{TestContext, images, wait_until};

const OVERLAYS: &str = "/usr/bin/fuse-overlayfs";
const HINT: &str = "`apt-get install podman`, and run the tests as root";
const LABEL: &str = "clearml-agent-test";

/// A running service, and the containers that were made for one test.
#[derive(Debug)]
pub(crate) struct Podman {
    service: Child,
    folder: PathBuf,
    socket: PathBuf,
    /// The image with Python.
    pub(crate) image: String,
    label: String,
}

impl Podman {
    pub(crate) fn start(context: &TestContext) -> Self {
        let folder = cache().join("podman");
        let image = store(&folder);
        let socket = context.folder().join("podman.sock");
        let mut service = podman(&folder);
        let service = service
            .args(["system", "service", "--time=0"])
            .arg(format!("unix://{}", socket.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let podman = Self {
            service,
            folder,
            image,
            label: format!("{LABEL}={}", context.folder().display()),
            socket,
        };
        let answers = || UnixStream::connect(&podman.socket).is_ok();
        assert!(wait_until(answers), "podman's service does not listen");
        podman
    }

    /// What an agent needs to find it, and the test what the agent has made.
    pub(crate) fn variables(&self) -> [(&str, String); 2] {
        [
            ("DOCKER_HOST", format!("unix://{}", self.socket.display())),
            ("CLEARML_AGENT_EXTRA_DOCKER_LABELS", self.label.clone()),
        ]
    }

    /// The containers of this test, with those that have ended.
    pub(crate) fn containers(&self) -> Vec<String> {
        let filter = format!("label={}", self.label);
        let listed = self.must(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
        listed.split_whitespace().map(str::to_owned).collect()
    }

    /// Calls podman, which works; what it prints.
    #[track_caller]
    pub(crate) fn must(&self, words: &[&str]) -> String {
        must(podman(&self.folder).args(words), HINT)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        for container in self.containers() {
            let words = ["rm", "--force", "--time", "0", &container];
            // It may be gone meanwhile.
            let _ = podman(&self.folder).args(words).output();
        }
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}

/// Makes the store where it is missing; the name of the image in it.
fn store(folder: &Path) -> String {
    let image = images::python();
    fs::create_dir_all(folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let overlays = if Path::new(OVERLAYS).exists() {
        format!("[storage.options.overlay]\nmount_program = \"{OVERLAYS}\"\n")
    } else {
        String::new()
    };
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{0}/root\"\nrunroot = \"{0}/run\"\n{overlays}",
        folder.display()
    );
    fs::write(folder.join("storage.conf"), storage).unwrap();
    // Below the limits of any machine, which podman would raise; its service takes the one for the other where they differ.
    let engine = "[containers]\ndefault_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]\n\
        [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n";
    fs::write(folder.join("containers.conf"), engine).unwrap();
    let is_there = podman(folder).args(["image", "exists", &image]).output();
    let is_there = is_there.unwrap_or_else(|error| panic!("podman: {error}\nhint: {HINT}"));
    if !is_there.status.success() {
        // There is no registry to pull it from.
        let copy = "made=$(docker create \"$0\" true) && docker export \"$made\" | podman import --quiet - \"$0\"; \
             docker rm \"$made\" >/dev/null";
        must(with_store("sh", folder).args(["-c", copy, &image]), HINT);
    }
    image
}

fn podman(folder: &Path) -> Command {
    with_store("podman", folder)
}

/// A program that calls podman, or podman itself.
fn with_store(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("HOME", folder)
        .env("CONTAINERS_CONF", folder.join("containers.conf"))
        .env("CONTAINERS_STORAGE_CONF", folder.join("storage.conf"));
    command
}
