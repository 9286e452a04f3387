//! `execute` in each of its shapes, ended by a signal.

use std::net::TcpListener;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::execute::{LONG_PROGRAM, assert_gone, child_of_program};
use super::support::{Agent, Script, TestContext, wait_until};

/// E-277, E-278
#[test]
fn signals_end_the_plain_shape_with_its_program() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let context = TestContext::new();
        let task = context.create(Script::shell(LONG_PROGRAM));
        let mut agent = context.start(&["execute", "--id", &task]);
        agent.wait_for_output("ready\n");
        agent.signal(signal);
        assert_eq!(agent.wait(), 254, "{signal}");
        assert_gone(child_of_program(&agent.output()));
        context.wait_for_silence();
        assert_eq!(context.status(&task), "stopped", "{signal}");
        assert!(
            agent
                .output()
                .contains(&format!("\nUser abort - stopping task {task}\n")),
            "{}",
            agent.output()
        );
        assert!(
            context
                .console(&task)
                .ends_with("ready\nProcess terminated by user")
        );
        assert_eq!(context.calls().last().unwrap(), "workers.unregister");
        assert_eq!(context.leftovers(), Vec::<String>::new());
        assert!(context.runs().is_empty());
    }
}

/// E-277 to E-279: whatever runs while the task is prepared ends with the agent.
#[test]
fn signals_end_the_preparation() {
    for (shape, signal, code, status) in [
        (None, Signal::SIGTERM, 254, "stopped"),
        (None, Signal::SIGINT, 254, "stopped"),
        (
            Some("--disable-monitoring"),
            Signal::SIGINT,
            254,
            "in_progress",
        ),
        (
            Some("--disable-monitoring"),
            Signal::SIGTERM,
            -15,
            "in_progress",
        ),
    ] {
        let context = TestContext::new();
        // An index that takes connections and never answers.
        let index = TcpListener::bind("127.0.0.1:0").unwrap();
        index.set_nonblocking(true).unwrap();
        let address = format!("http://{}/simple", index.local_addr().unwrap());
        let task = context.create(Script::python("print('ran')", "tinydep==1.0\n"));
        let words = [&["execute", "--id", &task], shape.as_slice()].concat();
        let variables = [("PIP_INDEX_URL", address.as_str()), ("PIP_FIND_LINKS", "")];
        let mut agent = context.start_with(&words, &variables);
        let mut installer = None;
        let asked = wait_until(|| {
            installer = index.accept().ok();
            installer.is_some()
        });
        assert!(asked, "{}", agent.output());
        agent.signal(signal);
        assert_eq!(agent.wait(), code, "{shape:?} {signal}: {}", agent.output());
        context.wait_for_silence();
        assert_eq!(context.status(&task), status, "{shape:?} {signal}");
        assert!(!agent.output().contains("Starting Task Execution"));
        assert!(context.runs().is_empty());
    }
}

/// D-300: a person presses Ctrl-C while the server is away, and does not wait for it for ever.
#[test]
fn a_server_that_is_away_does_not_hold_ctrl_c_up() {
    let context = TestContext::new();
    let task = context.create(Script::shell(LONG_PROGRAM));
    let mut agent = context.start(&["execute", "--id", &task]);
    agent.wait_for_output("ready\n");
    context.server.stop_listening().unwrap();
    agent.signal(Signal::SIGINT);
    assert_eq!(agent.wait_at_most(Duration::from_secs(20)), 254);
    assert_gone(child_of_program(&agent.output()));
    let said = "the server could not be told how the task ended";
    assert!(agent.output().contains(said), "{}", agent.output());
}

/// E-278: a scheduler tells all processes of a job to end, in any order; it was not the program that failed.
#[test]
fn a_scheduler_ends_agent_and_program_at_once() {
    let context = TestContext::new();
    let task = context.create(Script::shell(LONG_PROGRAM));
    let mut agent = context.start(&["execute", "--full-monitoring", "--id", &task]);
    agent.wait_for_output("ready\n");
    let program = &context.journal()["phase"]["Running"]["program"]["pid"];
    let program = program.as_i64().and_then(|pid| pid.try_into().ok());
    kill(Pid::from_raw(program.unwrap()), Signal::SIGTERM).unwrap();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.wait(), 254);
    assert_eq!(context.status(&task), "stopped");
    assert_eq!(context.reason(&task), "user abort");
}

/// E-001, E-278: signals reach the program itself.
#[test]
fn without_monitoring_the_program_has_the_signals() {
    let context = TestContext::new();
    for (program, expected) in [
        ("echo ready; kill -TERM $$", -15),
        ("trap 'exit 7' INT; echo ready; kill -INT $$; exit 1", 7),
        ("kill -PIPE $$", -13),
        ("exit 0", 0),
    ] {
        let task = context.create(Script::shell(program));
        let words = ["execute", "--disable-monitoring", "--id", &task];
        assert_eq!(context.run(&words).code, expected, "{program}");
        assert_eq!(context.status(&task), "in_progress");
    }
}

/// E-277, E-278: SIGTERM is for the worker, Ctrl-C for its task.
#[test]
fn signals_end_full_monitoring_with_its_program() {
    for (signal, code) in [(Signal::SIGINT, 0), (Signal::SIGTERM, 254)] {
        let context = TestContext::new();
        let task = context.create(Script::shell(LONG_PROGRAM));
        let mut agent: Agent = context.start(&["execute", "--full-monitoring", "--id", &task]);
        agent.wait_for_output("ready\n");
        agent.signal(signal);
        assert_eq!(agent.wait(), code, "{signal}");
        assert_gone(child_of_program(&agent.output()));
        context.wait_for_silence();
        assert_eq!(context.status(&task), "stopped", "{signal}");
        assert_eq!(context.reason(&task), "user abort");
        assert!(
            context
                .console(&task)
                .ends_with("ready\nProcess terminated by user")
        );
        assert_eq!(context.calls().last().unwrap(), "workers.unregister");
        assert_eq!(context.leftovers(), Vec::<String>::new());
        assert!(context.runs().is_empty());
    }
}
