//! The commands of docs/air-gapped.md, as they stand there, in a network of their own without a way out.

use std::fs;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use super::code::offline_packages;
use super::support::{Finished, Repository, Script, TestContext, path_with};

/// Serves the port of the server by a socket, which belongs to no network, and runs the rest of its words meanwhile.
const BRIDGE: &str = r#"
import socket, subprocess, sys, threading
def copy(reader, writer):
    try:
        while part := reader.recv(65536):
            writer.sendall(part)
        writer.shutdown(socket.SHUT_WR)
    except OSError:
        pass
def serve(listener, path):
    while True:
        client, _ = listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(path)
        for pair in ((client, server), (server, client)):
            threading.Thread(target=copy, args=pair, daemon=True).start()
subprocess.check_call(["ip", "link", "set", "lo", "up"])
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
threading.Thread(target=serve, args=(listener, sys.argv[2]), daemon=True).start()
sys.exit(subprocess.call(sys.argv[3:]))
"#;

/// A machine whose only host is the server.
struct Island {
    context: TestContext,
    socket: PathBuf,
}

impl Island {
    fn new() -> Self {
        let context = TestContext::new();
        let socket = context.folder().join("server.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let address = address(&context);
        thread::spawn(move || {
            for client in listener.incoming() {
                join(client.unwrap(), TcpStream::connect(&address).unwrap());
            }
        });
        Self { context, socket }
    }

    /// Runs these lines of a shell there.
    fn run(&self, lines: &str) -> Finished {
        let port = address(&self.context);
        let port = port.rsplit(':').next().expect("a port");
        let program = Path::new(env!("CARGO_BIN_EXE_clearml-agent"));
        let mut command = self.context.beside_agent("unshare");
        command
            .args(["--net", "python3", "-c", BRIDGE, port])
            .arg(&self.socket)
            .args(["bash", "-ec", lines])
            .env("PATH", path_with(program.parent().unwrap()));
        self.context.finish(command)
    }
}

fn address(context: &TestContext) -> String {
    let url = context.server.url();
    url.trim_start_matches("http://").to_owned()
}

fn join(client: UnixStream, server: TcpStream) {
    let (mut questions, mut answers) = (client.try_clone().unwrap(), client);
    let (mut asked, mut answered) = (server.try_clone().unwrap(), server);
    thread::spawn(move || {
        // Whoever goes away ends both.
        let _ = io::copy(&mut questions, &mut asked);
        let _ = asked.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut answered, &mut answers);
        let _ = answers.shutdown(Shutdown::Both);
    });
}

/// The only line of the page with this text, with `from` replaced.
#[track_caller]
fn line(text: &str, from: &str, to: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/air-gapped.md");
    let page = fs::read_to_string(page).unwrap();
    let mut found = page.lines().filter(|line| line.starts_with(text));
    let line = found.next().expect(text);
    assert!(found.next().is_none() && line.contains(from), "{line}");
    line.replace(from, to)
}

/// Packages from a folder, code from a mirror, and nothing asked of anybody else.
#[test]
fn a_task_runs_with_the_commands_of_the_page() {
    let island = Island::new();
    let context = &island.context;
    let packages = offline_packages(context);
    let wheels = line("export PIP_NO_INDEX", "/srv/wheels", packages.folder());
    let mirror = context.folder().join("mirror");
    let script = "import tinydep\nprint('answer', tinydep.answer)\n";
    let repository = Repository::create(&mirror.join("team/project.git"), &[("main.py", script)]);
    let address = format!("file://{}/", mirror.display());
    let mirrored = line(
        "git config --global url",
        "https://git.example.org/mirror/",
        &address,
    );
    let task = context.create(
        Script::python("", "tinydep==1.0\n")
            .with("repository", "https://github.com/team/project.git")
            .with("version_num", repository.commit())
            .with("branch", "main")
            .with("entry_point", "main.py"),
    );
    let finished = island.run(&format!(
        "{wheels}\n{mirrored}\n\
         clearml-agent doctor --queue default --git https://github.com/team/project.git\n\
         clearml-agent build --id {task} --target ./environment\n\
         clearml-agent execute --id {task}\n"
    ));
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    assert_eq!(context.status(&task), "completed");
    assert!(context.console(&task).contains("answer 42\n"));
}

/// Nothing is set, nothing is there, and nothing is needed.
#[test]
fn a_task_without_packages_needs_no_network() {
    let island = Island::new();
    let context = &island.context;
    for script in [
        Script::shell("echo answer 42"),
        Script::python("print('answer', 42)", ""),
    ] {
        let task = context.create(script);
        let finished = island.run(&format!("clearml-agent execute --id {task}"));
        assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
        assert!(context.console(&task).contains("answer 42\n"));
    }
}
