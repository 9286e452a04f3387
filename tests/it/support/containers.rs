//! Agents that run their tasks in containers, and what is left of these on the engine.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use tempfile::TempDir;

use super::{Agent, TestContext, wait_until};

/// Starts a daemon whose containers are of `image`, share the machine's network and see the test's folder.
pub(crate) fn daemon(context: &TestContext, image: &str, variables: &[(&str, &str)]) -> Agent {
    let mut command = context.command(&["daemon", "--queue", "default", "--foreground"]);
    command.args(["--cpu-only", "--docker", &image_line(context, image)]);
    command.envs(variables.iter().copied());
    context.start_command(command)
}

/// The word behind `--docker`.
pub(crate) fn image_line(context: &TestContext, image: &str) -> String {
    let folder = context.folder().display();
    format!("{image} --network host -v {folder}:{folder}")
}

/// The containers of a task, with those that have ended.
pub(crate) fn containers(task: &str) -> Vec<String> {
    docker(&[
        "ps",
        "--all",
        "--quiet",
        "--no-trunc",
        "--filter",
        &format!("label=clearml-agent-task={task}"),
    ])
    .split_whitespace()
    .map(str::to_owned)
    .collect()
}

/// Calls docker, which works; what it prints.
#[track_caller]
pub(crate) fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(words).output();
    let output = output.expect("docker is installed (`apt-get install docker.io`)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "docker {words:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// The machine's engine behind an address of TCP, as if it were far away.
pub(crate) fn distant_engine() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let engine = UnixStream::connect("/var/run/docker.sock").unwrap();
            let pairs = (client.try_clone().unwrap(), engine.try_clone().unwrap());
            thread::spawn(move || {
                let (mut from, mut to) = (client, engine);
                // Either side may go first.
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            thread::spawn(move || copy_back(pairs.1, pairs.0));
        }
    });
    address
}

/// The machine's engine behind another socket; requests of some kinds wait until the test lets them through.
#[derive(Debug)]
pub(crate) struct HeldEngine {
    folder: TempDir,
    state: Arc<(Mutex<Held>, Condvar)>,
}

#[derive(Debug, Default)]
struct Held {
    is_asked: bool,
    fate: Option<Fate>,
}

/// What becomes of requests that were held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Passed,
    Lost,
}

impl HeldEngine {
    /// One that makes no containers.
    pub(crate) fn start() -> Self {
        Self::holding(&["/containers/create"])
    }

    /// One that holds the requests in which one of these texts is.
    pub(crate) fn holding(kinds: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let state = Arc::<(Mutex<Held>, Condvar)>::default();
        let held = Self {
            folder,
            state: state.clone(),
        };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let engine = UnixStream::connect("/var/run/docker.sock").unwrap();
                let back = (engine.try_clone().unwrap(), client.try_clone().unwrap());
                let state = state.clone();
                thread::spawn(move || forward(client, engine, &state, kinds));
                thread::spawn(move || {
                    let (mut engine, mut client) = back;
                    let _ = io::copy(&mut engine, &mut client);
                    let _ = client.shutdown(Shutdown::Write);
                });
            }
        });
        held
    }

    /// For `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Waits until one of them has come.
    #[track_caller]
    pub(crate) fn wait_for_request(&self) {
        assert!(wait_until(|| self.state.0.lock().unwrap().is_asked));
    }

    /// Lets them through, whether anybody waits for the answer or not.
    pub(crate) fn release(&self) {
        self.end(Fate::Passed);
    }

    /// Hangs up on who has sent them.
    pub(crate) fn hang_up(&self) {
        self.end(Fate::Lost);
    }

    fn end(&self, fate: Fate) {
        self.state.0.lock().unwrap().fate = Some(fate);
        self.state.1.notify_all();
    }
}

fn forward(
    mut client: UnixStream,
    mut engine: UnixStream,
    state: &(Mutex<Held>, Condvar),
    kinds: &[&str],
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        let piece = &buffer[..count];
        let text = String::from_utf8_lossy(piece);
        if kinds.iter().any(|kind| text.contains(kind)) {
            let mut held = state.0.lock().unwrap();
            held.is_asked = true;
            let held = state.1.wait_while(held, |held| held.fate.is_none());
            if held.unwrap().fate == Some(Fate::Lost) {
                let _ = client.shutdown(Shutdown::Both);
                break;
            }
        }
        if engine.write_all(piece).is_err() {
            break;
        }
    }
    let _ = engine.shutdown(Shutdown::Write);
}

fn copy_back(mut engine: UnixStream, mut client: TcpStream) {
    let _ = io::copy(&mut engine, &mut client);
    let _ = client.shutdown(Shutdown::Write);
}
