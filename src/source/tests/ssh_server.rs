//! A real ssh server: Debian's `sshd`, one process a connection, with keys and settings of its own.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// A running server, which lets in whoever has its one key.
#[derive(Debug)]
pub(super) struct SshServer {
    folder: PathBuf,
    port: u16,
    user: String,
}

impl SshServer {
    /// Keeps its files in `folder`; with `command`, it runs that whatever a client asks for.
    pub(super) fn start(folder: &Path, command: Option<&str>) -> Self {
        let program = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"]
            .map(Path::new)
            .into_iter()
            .find(|path| path.is_file())
            .expect("sshd is missing: apt-get install openssh-server");
        fs::create_dir_all(folder).expect("made");
        for key in ["host", "key", "stranger"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(folder.join(key))
                .status()
                .expect("ssh-keygen is missing: apt-get install openssh-client");
            assert!(made.success());
        }
        let path = std::env::var("PATH").expect("PATH is set");
        let at = |name: &str| folder.join(name).display().to_string();
        let command = command.map(|command| format!("ForceCommand {command}\n"));
        let settings = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nAuthenticationMethods publickey\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nPidFile none\nSetEnv PATH={path}\n{}",
            at("host"),
            at("key.pub"),
            command.unwrap_or_default()
        );
        fs::write(folder.join("sshd_config"), settings).expect("written");
        // The server's own part without rights wants this empty folder; for others than root it does without.
        let _ = fs::create_dir_all("/run/sshd");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (program, settings, log) = (
            program.to_owned(),
            folder.join("sshd_config"),
            folder.join("sshd.log"),
        );
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (input, output) = (
                    OwnedFd::from(client.try_clone().ok()?),
                    OwnedFd::from(client),
                );
                let child = Command::new(&program)
                    .args(["-i", "-f"])
                    .arg(&settings)
                    .arg("-E")
                    .arg(&log)
                    .stdin(Stdio::from(input))
                    .stdout(Stdio::from(output))
                    .stderr(Stdio::null())
                    .spawn();
                thread::spawn(move || child.ok()?.wait().ok());
            }
            Some(())
        });
        let output = Command::new("id").arg("-un").output().expect("id runs");
        let user = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let server = Self {
            folder: folder.to_owned(),
            port,
            user,
        };
        server.write_client("ssh", "key");
        server.write_client("strange-ssh", "stranger");
        server
    }

    /// A folder with an `ssh` that has the key, for `PATH`.
    pub(super) fn client(&self) -> PathBuf {
        self.folder.join("ssh")
    }

    /// The same with a key that the server does not know.
    pub(super) fn strange_client(&self) -> PathBuf {
        self.folder.join("strange-ssh")
    }

    /// The address of a repository at this path.
    pub(super) fn url(&self, path: &Path) -> String {
        format!(
            "ssh://{}@127.0.0.1:{}{}",
            self.user,
            self.port,
            path.display()
        )
    }

    /// What the server has noted.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("sshd.log")).unwrap_or_default()
    }

    fn write_client(&self, name: &str, key: &str) {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).expect("made");
        let public = fs::read_to_string(self.folder.join("host.pub")).expect("read");
        let known = folder.join("known_hosts");
        fs::write(&known, format!("[127.0.0.1]:{} {public}", self.port)).expect("written");
        let settings = folder.join("config");
        let text = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nGlobalKnownHostsFile none\nStrictHostKeyChecking yes\n",
            self.folder.join(key).display(),
            known.display()
        );
        fs::write(&settings, text).expect("written");
        let real = std::env::split_paths(&std::env::var_os("PATH").expect("PATH is set"))
            .map(|folder| folder.join("ssh"))
            .find(|ssh| ssh.is_file())
            .expect("ssh is missing: apt-get install openssh-client");
        let program = folder.join("ssh");
        let text = format!(
            "#!/bin/sh\nexec '{}' -F '{}' \"$@\"\n",
            real.display(),
            settings.display()
        );
        fs::write(&program, text).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("allowed");
    }
}
