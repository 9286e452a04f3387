//! A machine whose first process is systemd: a container from an image that is made once for all runs.

use std::process::Output;

use super::images::{self, docker, must};
use super::{TestContext, wait_until};

/// The packages of the image.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,libpam-systemd";

/// Who runs tasks there.
pub(crate) const USER: &str = "agent";
const USER_ID: u32 = 12_345;

/// A running machine; it ends with the test.
#[derive(Debug)]
pub(crate) struct Machine {
    container: String,
}

impl Machine {
    /// Starts one with our program, whose user has the home of `context`; it reaches the machine's own servers.
    pub(crate) fn start(context: &TestContext) -> Self {
        let image = images::of_debian(PACKAGES);
        for path in [context.home(), context.home().join("clearml.conf")] {
            std::os::unix::fs::chown(path, Some(USER_ID), Some(USER_ID))
                .expect("the home is given to another user: run the tests as root");
        }
        let program = env!("CARGO_BIN_EXE_clearml-agent");
        let mut run = docker(&["run", "--detach", "--rm", "--init=false", "--network=host"]);
        run.args([
            "--cgroupns=host",
            "--cap-add=SYS_ADMIN",
            "--env=container=docker",
        ])
        .args([
            "--security-opt=seccomp=unconfined",
            "--security-opt=apparmor=unconfined",
        ])
        .args([
            "--tmpfs=/run:exec",
            "--tmpfs=/run/lock",
            "--tmpfs=/tmp:exec",
        ])
        .arg("--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw")
        .arg(format!(
            "--volume={program}:/usr/local/bin/clearml-agent:ro"
        ))
        .arg(format!(
            "--volume={}:/home/{USER}",
            context.home().display()
        ))
        .args([&image, "/sbin/init"]);
        let machine = Self {
            container: must(&mut run, images::DOCKER).trim().to_owned(),
        };
        let is_up = wait_until(|| {
            let state = machine.call(&["systemctl", "is-system-running"]);
            ["running", "degraded"].contains(&String::from_utf8_lossy(&state.stdout).trim())
        });
        let logs = docker(&["logs", &machine.container]).output();
        assert!(is_up, "systemd does not start: {logs:?}");
        // It ends by itself where a test is killed before it can end it.
        let end = ["--quiet", "--on-active=20min", "systemctl", "poweroff"];
        machine.must(&[&["systemd-run"], &end[..]].concat());
        let id = USER_ID.to_string();
        let home = format!("/home/{USER}");
        machine.must(&[
            "useradd",
            "--uid",
            &id,
            "--no-create-home",
            "--home-dir",
            &home,
            USER,
        ]);
        machine
    }

    /// Runs this as root, to its end.
    pub(crate) fn call(&self, words: &[&str]) -> Output {
        let mut exec = docker(&["exec", &self.container]);
        exec.args(words).output().unwrap()
    }

    /// The same, and it works; what it prints.
    #[track_caller]
    pub(crate) fn must(&self, words: &[&str]) -> String {
        printed(words, &self.call(words))
    }

    /// The same as the user who runs tasks.
    #[track_caller]
    pub(crate) fn must_as_user(&self, words: &[&str]) -> String {
        let runtime = format!("XDG_RUNTIME_DIR=/run/user/{USER_ID}");
        let home = format!("HOME=/home/{USER}");
        let mut exec = docker(&["exec", "--user", USER, "--env", &runtime, "--env", &home]);
        exec.arg(&self.container).args(words);
        printed(words, &exec.output().unwrap())
    }

    /// A property of a unit.
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        let words = ["systemctl", "show", "--value", "--property", name, unit];
        self.must(&words).trim().to_owned()
    }

    /// Waits until a property of a unit has this value.
    #[track_caller]
    pub(crate) fn wait_for(&self, unit: &str, name: &str, value: &str) {
        let is_so = wait_until(|| self.property(unit, name) == value);
        assert!(
            is_so,
            "{name} is `{}`, not `{value}`:\n{}",
            self.property(unit, name),
            self.must(&["journalctl", "--no-pager", "--lines=60"])
        );
    }

    /// Writes a file there.
    #[track_caller]
    pub(crate) fn write(&self, path: &str, text: &str) {
        let script = "mkdir -p \"${1%/*}\" && printf %s \"$2\" > \"$1\"";
        self.must(&["sh", "-c", script, "sh", path, text]);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = docker(&["rm", "--force", "--volumes", &self.container]).output();
    }
}

#[track_caller]
fn printed(words: &[&str], output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {stdout}{stderr}");
    stdout
}
