//! Images for containers, made once for all runs from Debian's packages: there is no registry to pull them from.
//!
//! Each has the way out that this machine has: its bundle of certificates as `/etc/ssl/certs/ca-certificates.crt`, which apt
//! and Debian's pip read by themselves, and its index in `/etc/pip.conf`. Other programs (uv, a pip of PyPI, Python's own
//! `requests`) want `--env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt`. A container reaches servers that listen on
//! 127.0.0.1 with `--network host` only; package downloads work with it and with docker's own bridge.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::python_packages::cache;

/// Where images have the machine's certificates.
pub(crate) const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The user of [`non_root`], who has a home and is in no group of note.
pub(crate) const USER: &str = "someone";

const PYTHON: &str = "python3,python3-venv,python3-pip,git,ca-certificates";
pub(super) const DOCKER: &str =
    "start Docker's engine (`apt-get install docker.io`), and let this user call `docker`";
const DEBOOTSTRAP: &str = "`apt-get install debootstrap`, run the tests as root, and give the machine a way to Debian's packages";

/// Debian with Python, its modules venv and pip, and git; root is its user.
pub(crate) fn python() -> String {
    of_debian(PYTHON)
}

/// Debian with what every Debian has: neither Python nor git nor certificates of its own.
pub(crate) fn bare() -> String {
    of_debian("")
}

/// The image with Python, with [`USER`] for its user.
pub(crate) fn non_root() -> String {
    let python = python();
    let name = format!("{python}-as-{USER}");
    once(&name, || {
        let made = must(&mut docker(&["create", &python, "true"]), DOCKER);
        let container = made.trim();
        let user = format!("USER {USER}");
        must(
            &mut docker(&["commit", "--change", &user, container, &name]),
            DOCKER,
        );
        must(&mut docker(&["rm", container]), DOCKER);
    });
    name
}

/// The image with Python and venv, and no pip of its own.
pub(crate) fn without_pip() -> String {
    let python = python();
    let name = format!("{python}-without-pip");
    once(&name, || {
        let remove = "rm -rf /usr/lib/python3/dist-packages/pip /usr/lib/python3/dist-packages/pip-* /usr/bin/pip*";
        let container = format!("clearml-agent-test-without-pip-{}", std::process::id());
        let run = ["run", "--name", &container, &python, "sh", "-c", remove];
        must(&mut docker(&run), DOCKER);
        must(&mut docker(&["commit", &container, &name]), DOCKER);
        must(&mut docker(&["rm", &container]), DOCKER);
    });
    name
}

/// An image with nothing but a shell that needs no library: no libc, no `env`, no users, no certificates.
pub(crate) fn empty() -> String {
    let name = "clearml-agent-test-empty:busybox".to_owned();
    once(&name, || {
        let folder = tempfile::tempdir_in(cache()).unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::create_dir_all(root.join("tmp")).unwrap();
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::copy("/bin/busybox", root.join("bin/busybox"))
            .expect("`apt-get install busybox-static`");
        symlink("busybox", root.join("bin/sh")).unwrap();
        let archive = folder.path().join("archive.tar");
        pack(&root, &archive);
        import(&archive, &name);
    });
    name
}

/// Debian or Ubuntu as this machine has it, so that what is built here runs there, with these packages on top.
pub(super) fn of_debian(packages: &str) -> String {
    let suite = suite();
    let way_out = WayOut::of_this_machine();
    let tag = match packages.replace(',', "-") {
        tag if tag.is_empty() => "minimal".to_owned(),
        tag => tag,
    };
    let name = format!("clearml-agent-test-{suite}:{tag}-{}", way_out.digest());
    once(&name, || {
        let archive = cache().join(format!("{}.tar", name.replace(':', "-")));
        if !archive.exists() {
            make(&suite, packages, &way_out, &archive);
        }
        import(&archive, &name);
    });
    name
}

/// How this machine gets packages.
struct WayOut {
    certificates: Vec<u8>,
    pip: String,
}

impl WayOut {
    fn of_this_machine() -> Self {
        let bundle = std::env::var_os("SSL_CERT_FILE").unwrap_or(CERTIFICATES.into());
        let index = std::env::var("PIP_INDEX_URL").ok();
        let index = index.map(|url| format!("index-url = {url}\n"));
        Self {
            certificates: fs::read(bundle).unwrap_or_default(),
            pip: format!(
                "[global]\ncert = {CERTIFICATES}\n{}",
                index.unwrap_or_default()
            ),
        }
    }

    /// Part of an image's name: another way out makes another image.
    fn digest(&self) -> String {
        let digest = Sha256::new()
            .chain_update(&self.certificates)
            .chain_update(&self.pip)
            .finalize();
        format!("{digest:x}")[..8].to_owned()
    }

    fn write(&self, root: &Path) {
        fs::write(root.join("etc/pip.conf"), &self.pip).unwrap();
        if !self.certificates.is_empty() {
            let bundle = root.join(CERTIFICATES.trim_start_matches('/'));
            fs::create_dir_all(bundle.parent().expect("a folder")).unwrap();
            fs::write(bundle, &self.certificates).unwrap();
        }
    }
}

fn suite() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap();
    let suite = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .expect("the image is made with debootstrap, on Debian and its descendants");
    suite.trim_matches('"').to_owned()
}

/// Makes the image of this name where the engine does not have it.
fn once(name: &str, make: impl FnOnce()) {
    fs::create_dir_all(cache()).unwrap();
    let lock = cache().join(format!("{}.lock", name.replace(':', "-")));
    let lock = File::create(lock).unwrap();
    lock.lock().unwrap();
    let is_there = docker(&["image", "inspect", name]).output();
    if !is_there.is_ok_and(|output| output.status.success()) {
        make();
    }
}

/// Makes the files of a Debian, as an archive.
fn make(suite: &str, packages: &str, way_out: &WayOut, archive: &Path) {
    let folder = tempfile::tempdir_in(cache()).unwrap();
    let root: PathBuf = folder.path().join("root");
    let mut bootstrap = Command::new("debootstrap");
    bootstrap.arg("--variant=minbase");
    if !packages.is_empty() {
        bootstrap.arg(format!("--include={packages}"));
    }
    must(bootstrap.arg(suite).arg(&root), DEBOOTSTRAP);
    way_out.write(&root);
    let mut user = Command::new("chroot");
    user.arg(&root)
        .args(["useradd", "--create-home", "--shell", "/bin/bash", USER]);
    must(&mut user, DEBOOTSTRAP);
    let unfinished = folder.path().join("archive");
    pack(&root, &unfinished);
    fs::rename(unfinished, archive).unwrap();
}

fn pack(root: &Path, archive: &Path) {
    let mut pack = Command::new("tar");
    pack.arg("--create").arg("--file").arg(archive);
    pack.args([
        "--exclude=./dev/*",
        "--exclude=./var/cache/apt",
        "--exclude=./var/lib/apt/lists",
    ]);
    pack.arg("--directory").arg(root).arg(".");
    must(&mut pack, "make room below the target folder");
}

fn import(archive: &Path, name: &str) {
    must(docker(&["import"]).arg(archive).arg(name), DOCKER);
}

/// The engine's own client.
pub(crate) fn docker(words: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(words);
    command
}

/// Runs this; what it prints. Where it fails, so does the test.
#[track_caller]
pub(super) fn must(command: &mut Command, hint: &str) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}\nhint: {hint}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {stdout}{stderr}\nhint: {hint}"
    );
    stdout
}
