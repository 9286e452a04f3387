//! The worker as a service of systemd: what it says, what its units say, and what stopping and starting means.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::support::{Fault, FaultProxy, Script, TestContext, wait_until};

/// The service manager's end of the line.
pub(crate) struct Manager(UnixDatagram);

impl Manager {
    pub(crate) fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_mins(2)))
            .unwrap();
        Self(socket)
    }

    /// Waits until this is said.
    #[track_caller]
    pub(crate) fn wait_for(&self, wanted: &str) {
        let mut heard = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            let length = self
                .0
                .recv(&mut bytes)
                .unwrap_or_else(|error| panic!("{error}: {heard:?}"));
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return;
            }
            heard.push(text);
        }
    }
}

/// The sequence of `systemctl start`, `stop`, `start`, `stop` with the signals of the units.
#[test]
fn a_unit_is_told_and_its_stop_leaves_the_task_alone() {
    let context = TestContext::new();
    let socket = context.folder().join("notify");
    let manager = Manager::listen(&socket);
    let variables = [
        ("NOTIFY_SOCKET", socket.to_str().unwrap()),
        ("WATCHDOG_USEC", "900000000"),
        ("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.2"),
    ];
    let mut worker = context.daemon_with(&variables);
    manager.wait_for("READY=1");
    manager.wait_for("STATUS=host:0: waiting for tasks");
    manager.wait_for("WATCHDOG=1");
    let gate = context.gate("gate");
    let text = format!(
        "echo sees \"[$NOTIFY_SOCKET$WATCHDOG_USEC]\"; {}; echo done",
        gate.wait()
    );
    let task = context.enqueue(Script::shell(&text));
    manager.wait_for(&format!("STATUS=host:0: running task {task}"));
    context.wait_for_console(&task, "sees []\n");

    worker.signal(Signal::SIGUSR1);
    manager.wait_for("STOPPING=1");
    assert_eq!(worker.wait(), 0);
    assert_eq!(context.status(&task), "in_progress");
    let mut worker = context.daemon_with(&variables);
    manager.wait_for("READY=1");
    manager.wait_for(&format!("STATUS=host:0: running task {task}"));
    gate.open();
    context.wait_for_status(&task, "completed");
    manager.wait_for("STATUS=host:0: waiting for tasks");
    worker.signal(Signal::SIGUSR1);
    assert_eq!(worker.wait(), 0);
    context.wait_for_no_processes();
}

#[test]
fn a_unit_says_that_its_worker_drains() {
    let context = TestContext::new();
    let socket = context.folder().join("notify");
    let manager = Manager::listen(&socket);
    let gate = context.gate("gate");
    let task = context.enqueue(Script::shell(&gate.wait()));
    let mut worker = context.daemon_with(&[("NOTIFY_SOCKET", socket.to_str().unwrap())]);
    manager.wait_for(&format!("STATUS=host:0: running task {task}"));
    assert_eq!(context.run(&["daemon", "--stop", "--drain"]).code, 0);
    manager.wait_for(&format!("STATUS=host:0: draining, running task {task}"));
    gate.open();
    manager.wait_for("STATUS=host:0: draining");
    manager.wait_for("STOPPING=1");
    // No code of a unit that was ended: systemd starts it again only where it is told to.
    assert_eq!(worker.wait(), 0);
}

/// A report that does not arrive feeds nobody.
#[test]
fn the_watchdog_is_fed_by_reports_that_arrive() {
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    proxy.set(|call| (call == "workers.status_report").then_some(Fault::BadGateway));
    let socket = context.folder().join("notify");
    let manager = Manager::listen(&socket);
    let _daemon = context.daemon_with(&[
        ("NOTIFY_SOCKET", socket.to_str().unwrap()),
        ("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.2"),
    ]);
    manager.wait_for("READY=1");
    assert!(wait_until(|| proxy.faults().len() >= 3));
    manager.0.set_nonblocking(true).unwrap();
    let mut bytes = [0; 4096];
    while let Ok(length) = manager.0.recv(&mut bytes) {
        let text = String::from_utf8_lossy(&bytes[..length]);
        assert!(!text.contains("WATCHDOG"), "{text}");
    }
    manager.0.set_nonblocking(false).unwrap();
    proxy.set(|_| None);
    manager.wait_for("WATCHDOG=1");
}

/// The units that are shipped, with this binary in the place of the installed one.
#[test]
fn systemd_understands_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd");
    let mut count = 0;
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let command = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .unwrap();
        let (program, words) = command.split_once(' ').unwrap();
        let unit = folder.path().join(path.file_name().unwrap());
        fs::write(
            &unit,
            text.replace(program, env!("CARGO_BIN_EXE_clearml-agent")),
        )
        .unwrap();
        let scope = if program.starts_with("%h") {
            "--user"
        } else {
            "--system"
        };
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no", scope])
            .arg(&unit)
            .env("XDG_RUNTIME_DIR", folder.path())
            .output()
            .expect("`systemd-analyze` checks the units: apt-get install systemd");
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(verified.status.success() && said.is_empty(), "{said}");

        // The words are those of a daemon; without a server only the login fails.
        let words: Vec<&str> = words
            .split(' ')
            .map(|word| if word == "%i" { "0" } else { word })
            .collect();
        let context = TestContext::new();
        context.configure("api.http.retries.connect: 0");
        context.server.stop_listening().unwrap();
        let started = context.run(&words);
        assert_eq!(started.code, 1);
        assert!(
            started.stdout.contains("Connection Error"),
            "{}",
            started.stdout
        );
        for line in [
            "KillMode=process",
            "KillSignal=SIGUSR1",
            "SuccessExitStatus=254",
            "Type=notify",
        ] {
            assert!(
                text.lines().any(|known| known == line),
                "{line} is not in {}",
                path.display()
            );
        }
        count += 1;
    }
    assert_eq!(count, 3);
}
