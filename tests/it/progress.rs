//! What a person sees meanwhile: a line for long work on a terminal, and nothing at all with `--quiet`.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::custom_build::place;
use super::support::{Script, Terminal, TestContext};

const DOING: &str = "... running the site's script, ";
/// What takes the line away.
const ERASE: &str = "\r\u{1b}[K";
const DAEMON: [&str; 4] = ["daemon", "--queue", "default", "--foreground"];

/// A task whose preparation waits for a gate.
fn slow(context: &TestContext) -> (super::support::Gate, String) {
    let gate = context.gate("gate");
    let script = place(context, &gate.wait());
    context.configure(&format!("agent.custom_build_script: \"{script}\""));
    let task = context.enqueue(Script::shell("echo the task itself"));
    (gate, task)
}

fn end(terminal: &mut Terminal) {
    let pid = Pid::from_raw(terminal.pid().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(terminal.wait(), 254);
}

#[test]
fn long_work_is_seen_on_a_terminal_and_nowhere_else() {
    let context = TestContext::new();
    let (gate, task) = slow(&context);
    let mut terminal = Terminal::start(context.command(&DAEMON), "xterm");
    terminal.wait_for(&format!("{DOING}1 s"));
    terminal.wait_for(&format!("{DOING}2 s"));
    gate.open();
    context.wait_for_status(&task, "completed");
    terminal.wait_for("the task itself\r\n");
    let shown = terminal.shown();
    let (_, behind) = shown.rsplit_once(DOING).unwrap();
    let (line, rest) = behind.split_once(ERASE).expect("it is taken away");
    assert!(
        !line.contains('\n') && rest.contains("the task itself"),
        "{shown}"
    );
    assert!(!context.console(&task).contains(DOING));
    end(&mut terminal);
}

#[test]
fn a_terminal_that_cannot_erase_shows_lines_alone() {
    let context = TestContext::new();
    let (gate, task) = slow(&context);
    let mut terminal = Terminal::start(context.command(&DAEMON), "dumb");
    gate.open();
    context.wait_for_status(&task, "completed");
    terminal.wait_for("the task itself");
    let shown = terminal.shown();
    assert!(
        !shown.contains(DOING) && !shown.contains('\u{1b}'),
        "{shown}"
    );
    end(&mut terminal);
}

/// The console is at the server as ever.
#[test]
fn a_quiet_agent_prints_trouble_alone() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo loud"));
    let mut agent = context.start(&["execute", "--quiet", "--id", &task]);
    assert_eq!((agent.wait(), agent.output().as_str()), (0, ""));
    assert!(context.console(&task).contains("loud\n"));
    let mut daemon = context.start(&[&DAEMON[..], &["--quiet"]].concat());
    let task = context.enqueue(Script::shell("echo loud"));
    context.wait_for_status(&task, "completed");
    context.wait_for_no_runs();
    assert_eq!((daemon.terminate(), daemon.output().as_str()), (254, ""));
    let mut unknown = context.start(&[
        "execute",
        "--quiet",
        "--id",
        "0123456789abcdef0123456789abcdef",
    ]);
    assert_ne!(unknown.wait(), 0);
    let said = unknown.output();
    assert!(
        said.contains("clearml_agent: ERROR: ") && said.lines().count() < 5,
        "{said}"
    );
}
