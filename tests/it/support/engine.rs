//! An engine of the test's own: a second `dockerd` with a small disk, which may fill up, be killed and come back.
//!
//! Its data root is a file system in a file. It has a bridge of its own and changes no rules, so that the machine's engine does
//! not notice; with `--bridge=none` it would remove `docker0`. Its containers take `--network host` or `none`.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::images::{DOCKER, docker, must};
use super::{images, wait_until};

/// Size of its disk: the image takes two of it.
const DISK: u64 = 64 << 20;
const ROOT: &str = "run the tests as root, on a machine with loop devices and ext4";

/// The engine; ended with all that it runs when it goes out of scope.
#[derive(Debug)]
pub(crate) struct OwnEngine {
    folder: TempDir,
    words: Vec<&'static str>,
    daemon: Option<Child>,
}

impl OwnEngine {
    /// An image with busybox and nothing else, under all its names.
    pub(crate) const IMAGE: &'static str = "own:1";

    /// Starts one whose `dockerd` gets these words as well.
    pub(crate) fn start(words: &[&'static str]) -> Self {
        let mut engine = Self::stopped(words);
        engine.begin();
        engine
    }

    /// One that does not run yet.
    pub(crate) fn stopped(words: &[&'static str]) -> Self {
        let folder = tempfile::Builder::new().prefix("engine").tempdir().unwrap();
        let engine = Self {
            folder,
            words: words.to_vec(),
            daemon: None,
        };
        let disk = engine.path("disk");
        File::create(&disk).unwrap().set_len(DISK).unwrap();
        let mut format = Command::new("mkfs.ext4");
        // Nothing is kept back for root: a full disk is full for everybody.
        must(format.args(["-q", "-F", "-m", "0"]).arg(&disk), ROOT);
        fs::create_dir(engine.path("data")).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).arg(&disk);
        must(mount.arg(engine.path("data")), ROOT);
        fs::write(engine.path("daemon.json"), "{}").unwrap();
        let bridge = engine.bridge();
        // Nobody talks over it; addresses of the link need not be unlike.
        for words in [
            &["link", "add", &bridge, "type", "bridge"][..],
            &["address", "add", "169.254.213.1/24", "dev", &bridge],
        ] {
            must(Command::new("ip").args(words), ROOT);
        }
        engine
    }

    /// Its name is as long as the kernel allows.
    fn bridge(&self) -> String {
        let folder = self.folder.path().file_name().expect("a name");
        folder.to_string_lossy().into_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// For `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    /// Starts it, and waits until it answers.
    #[track_caller]
    pub(crate) fn begin(&mut self) {
        assert!(
            self.try_to_begin(),
            "{}",
            fs::read_to_string(self.path("log")).unwrap()
        );
    }

    fn try_to_begin(&mut self) -> bool {
        // Those who wrote them may have been killed; what nobody has waited for looks alive.
        for file in ["pid", "exec/containerd/containerd.pid"] {
            let _ = fs::remove_file(self.path(file));
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"));
        let log = log.unwrap();
        let option = |name: &str, file: &str| format!("--{name}={}", self.path(file).display());
        let mut daemon = Command::new("dockerd");
        daemon
            .arg(format!("--host={}", self.host()))
            .args([
                option("data-root", "data"),
                option("exec-root", "exec"),
                option("pidfile", "pid"),
                option("config-file", "daemon.json"),
            ])
            .args(["--iptables=false", "--ip-masq=false", "--ip-forward=false"])
            .arg(format!("--bridge={}", self.bridge()))
            .args(&self.words)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.daemon = Some(daemon.spawn().expect(DOCKER));
        wait_until(|| {
            let asked = self.command(&["version"]).output();
            asked.is_ok_and(|output| output.status.success())
        })
    }

    /// Ends it with SIGKILL; its containers run on.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
    }

    /// Ends it as the machine does.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
    }

    fn signal(&mut self, signal: Signal) {
        let mut daemon = self.daemon.take().expect("it runs");
        kill(Pid::from_raw(daemon.id().cast_signed()), signal).unwrap();
        daemon.wait().unwrap();
    }

    /// Makes [`Self::IMAGE`].
    #[track_caller]
    pub(crate) fn bring_image(&self) {
        let mut save = docker(&["save", &images::empty()]);
        let mut save = save.stdout(Stdio::piped()).spawn().expect(DOCKER);
        let archive = save.stdout.take().expect("a pipe");
        must(self.command(&["load", "--quiet"]).stdin(archive), DOCKER);
        assert!(save.wait().unwrap().success());
        let install = "/bin/busybox --install -s /bin";
        let empty = images::empty();
        let run = ["run", "--name=made", "--network=none", &empty];
        self.docker(&[&run[..], &["sh", "-c", install]].concat());
        self.docker(&["commit", "made", Self::IMAGE]);
        self.docker(&["rm", "made"]);
    }

    /// A call of its client that works; what it prints.
    #[track_caller]
    pub(crate) fn docker(&self, words: &[&str]) -> String {
        must(&mut self.command(words), DOCKER)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = docker(words);
        command.env("DOCKER_HOST", self.host());
        command
    }

    /// All its containers, with those that have ended.
    pub(crate) fn containers(&self) -> Vec<String> {
        let found = self.docker(&["ps", "--all", "--quiet", "--no-trunc"]);
        found.split_whitespace().map(str::to_owned).collect()
    }

    /// Leaves no room on its disk.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.path("data/filler")).unwrap();
        let full = io::copy(&mut io::repeat(0), &mut file).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }

    /// Makes room again.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.path("data/filler")).unwrap();
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        if self.daemon.is_none() {
            // What a killed one has left running is ended by the next.
            self.words.clear();
            self.try_to_begin();
        }
        let found = self.command(&["ps", "--all", "--quiet"]).output();
        let found = found.map(|output| output.stdout).unwrap_or_default();
        for container in String::from_utf8_lossy(&found).split_whitespace() {
            let _ = self.command(&["rm", "--force", container]).output();
        }
        if let Some(daemon) = &mut self.daemon {
            let _ = kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM);
            let _ = daemon.wait();
        }
        let mut bridge = Command::new("ip");
        let _ = bridge.args(["link", "delete", &self.bridge()]).status();
        for mount in ["exec/netns/default", "data"] {
            let mut unmount = Command::new("umount");
            let _ = unmount.arg("--lazy").arg(self.path(mount)).status();
        }
    }
}
