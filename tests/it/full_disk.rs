//! The disk of a task's output, or that of its journal, is full: nothing is lost without a line that says so, and nothing
//! comes twice.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::recovery::LOST;
use super::support::{Agent, Counter, Disk, Fault, FaultProxy, Script, TestContext, wait_until};

const BEGINNING: &str = "Starting Task Execution:\n\n";
const COMPLETED: &str = "Process completed successfully";
/// What a program of the tests prints again and again, with a number.
const LINE: &str = "of a program that does not ask whether there is room for it";

/// A daemon behind a proxy whose output files lie on a disk of eight megabytes.
struct Small {
    context: TestContext,
    proxy: FaultProxy,
    disk: Disk,
    agent: Agent,
}

impl Small {
    fn new() -> Self {
        let context = TestContext::new();
        let proxy = FaultProxy::start(&context.server.url());
        context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
        let disk = Disk::new(context.folder().join("disk"), "8m");
        let folder = disk.folder().to_str().unwrap();
        let agent = context.daemon_with(&[("TMPDIR", folder)]);
        Self {
            context,
            proxy,
            disk,
            agent,
        }
    }

    /// The line in place of what had no room.
    fn gap(&self) -> String {
        let folder = self.disk.folder().display();
        format!(
            "\nclearml-agent: the disk of `{folder}` was full here: what was printed then may be missing (hint: free space there, \
             or set `CLEARML_AGENT_TEMP_STDOUT_FILE_DIR` to a folder with more)\n"
        )
    }

    /// What the program has printed before the gap, and what the console says behind it.
    #[track_caller]
    fn halves(&self, task: &str) -> (String, String) {
        let console = self.context.console(task);
        let (_, printed) = console.split_once(BEGINNING).expect("it has begun");
        let gap = self.gap();
        let start = &printed[..printed.len().min(200)];
        assert_eq!(printed.matches(&gap).count(), 1, "{start}");
        let (before, behind) = printed.split_once(&gap).expect("there");
        (before.to_owned(), behind.to_owned())
    }
}

/// Each number from 1 on once and in its place; the last line may have been cut.
#[track_caller]
fn assert_numbered(printed: &str) {
    let count = printed.lines().count();
    assert!(count > 50_000, "only {count} lines");
    for (place, line) in printed.lines().enumerate() {
        let whole = format!("{} {LINE}", place + 1);
        let is_it = line == whole || (place + 1 == count && whole.starts_with(line));
        assert!(is_it, "line {}: {line}", place + 1);
    }
}

/// D-263, D-222: a program that goes on has a gap in its console, which says why; before and behind it all is as it was.
#[test]
fn a_gap_in_the_console_says_that_the_disk_was_full() {
    let small = Small::new();
    let context = &small.context;
    let gate = context.gate("gate");
    let filled = context.folder().join("filled");
    let script = format!(
        "echo begun; {0}; seq -f '%.0f {LINE}' 1000000; touch '{1}'; {0}; echo there is room again",
        gate.wait(),
        filled.display()
    );
    let task = context.enqueue(Script::shell(&script));
    context.wait_for_console(&task, "begun\n");
    small.proxy.set(|_| Some(Fault::Refused));
    gate.open();
    assert!(wait_until(|| filled.exists()));
    // It is said where the agent's own lines are, too.
    let warning = format!(
        "the disk of `{}` is full: what the program prints now is lost (hint: free space there)\n",
        small.disk.folder().display()
    );
    small.agent.wait_for_output(&warning);
    small.proxy.set(|_| None);
    context.wait_for_console(&task, &small.gap());
    gate.open();
    context.wait_for_status(&task, "completed");
    let (before, behind) = small.halves(&task);
    assert_eq!(behind, format!("there is room again\n{COMPLETED}"));
    assert_numbered(before.strip_prefix("begun\n").expect("its first line"));
    assert_eq!(small.agent.output().matches(&warning).count(), 1);
    context.wait_for_no_runs();
}

/// D-241, D-263: a program that ends with its failed write has failed for the disk; half a megabyte was kept for it, and is all there.
#[test]
fn a_program_that_a_full_disk_ends_is_told_apart() {
    let mut small = Small::new();
    let context = &small.context;
    let gate = context.gate("gate");
    let text = format!(
        "import itertools\nfor number in itertools.count(1):\n    print(number, \"{LINE}\")"
    );
    let program = context.folder().join("program.py");
    fs::write(&program, text).unwrap();
    let script = format!(
        "echo begun; {}; exec python3 -u '{}'",
        gate.wait(),
        program.display()
    );
    let task = context.enqueue(Script::shell(&script));
    context.wait_for_console(&task, "begun\n");
    small.proxy.set(|_| Some(Fault::Refused));
    gate.open();
    let has_ended = || context.journal()["phase"]["Ended"].is_object();
    assert!(wait_until(has_ended), "{}", context.journal());
    small.proxy.set(|_| None);
    context.wait_for_status(&task, "failed");
    let expected = format!(
        "exit code 1: disk full: no room in `{}` (hint: free space there)",
        small.disk.folder().display()
    );
    assert_eq!(
        context.reason(&task),
        format!("worker execution {expected}")
    );
    let (before, behind) = small.halves(&task);
    assert_eq!(behind, format!("Process failed, {expected}"));
    assert_numbered(before.strip_prefix("begun\n").expect("its first line"));
    context.wait_for_no_runs();
    assert_eq!(small.agent.terminate(), 254);
}

/// D-263: while others fill the disk, a program that prints little does not notice.
#[test]
fn some_room_is_kept_for_what_a_program_prints() {
    let small = Small::new();
    let context = &small.context;
    let gate = context.gate("gate");
    let script = format!(
        "echo begun; {}; for number in $(seq 2000); do echo $number {LINE} || exit 1; done",
        gate.wait()
    );
    let task = context.enqueue(Script::shell(&script));
    context.wait_for_console(&task, "begun\n");
    let output = context.journal()["output"].as_str().unwrap().to_owned();
    let keeps_room = || fs::metadata(&output).is_ok_and(|file| file_blocks(&file) > 256 << 10);
    assert!(wait_until(keeps_room));
    small.disk.fill();
    small
        .proxy
        .set(|call| (call == "events.add_batch").then_some(Fault::Refused));
    gate.open();
    let has_ended = || context.journal()["phase"]["Ended"].is_object();
    assert!(wait_until(has_ended), "{}", context.journal());
    small.proxy.set(|_| None);
    context.wait_for_status(&task, "completed");
    let lines: String = (1..=2000)
        .map(|number| format!("{number} {LINE}\n"))
        .collect();
    let console = context.console(&task);
    assert!(
        console.ends_with(&format!("begun\n{lines}{COMPLETED}")),
        "{console}"
    );
}

fn file_blocks(file: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(file) * 512
}

/// D-222: the journal is kept up to date on a disk that is full, so that a supervisor's successor begins where it has ended.
#[test]
fn a_journal_is_written_on_a_full_disk() {
    let context = TestContext::new();
    let disk = Disk::new(context.folder().join("disk"), "2m");
    let (counter, script) = Counter::new(&context, "");
    let task = context.enqueue(script);
    let mut daemon = context.daemon_with(&[("XDG_STATE_HOME", disk.folder().to_str().unwrap())]);
    context.wait_for_console(&task, "line 5\n");
    let runs = disk.folder().join("clearml-agent/runs");
    let journal = || -> serde_json::Value {
        let run = fs::read_dir(&runs)
            .ok()
            .and_then(|mut runs| runs.next()?.ok());
        let bytes = run.and_then(|run| fs::read(run.path().join("journal.json")).ok());
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    };
    disk.fill();
    let acknowledged = || journal()["progress"]["acknowledged"].as_u64().unwrap_or(0);
    for _ in 0..3 {
        let before = acknowledged();
        assert!(wait_until(|| acknowledged() > before), "{}", journal());
    }
    let supervisor = journal()["supervisor"]["pid"].as_i64().expect("a process");
    kill(
        Pid::from_raw(supervisor.try_into().unwrap()),
        Signal::SIGKILL,
    )
    .expect("it lives");
    context.wait_for_status(&task, "failed");
    assert_eq!(context.reason(&task), "the agent process was lost");
    counter.assert_complete(&context.console(&task), LOST);
    assert!(wait_until(|| fs::read_dir(&runs).unwrap().next().is_none()));
    assert_eq!(daemon.terminate(), 254);
    assert!(
        !daemon.output().contains("could not write the journal"),
        "{}",
        daemon.output()
    );
}

/// D-172: a task that cannot even be written down is failed with the reason, in one line.
#[test]
fn a_task_that_cannot_be_written_down_has_failed() {
    let context = TestContext::new();
    let mut daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    let runs = context.home().join(".local/state/clearml-agent/runs");
    // Nobody makes a folder in a file.
    if runs.exists() {
        fs::remove_dir(&runs).unwrap();
    }
    fs::write(&runs, "").unwrap();
    let task = context.enqueue(Script::shell("echo never"));
    context.wait_for_status(&task, "failed");
    let reason = context.reason(&task);
    let expected = "the agent could not start the task's supervisor: ";
    assert!(reason.starts_with(expected), "{reason}");
    fs::remove_file(&runs).unwrap();
    let next = context.enqueue(Script::shell("echo next"));
    context.wait_for_status(&next, "completed");
    assert_eq!(daemon.terminate(), 254);
    let lines = daemon.output();
    assert_eq!(lines.matches(expected).count(), 1, "{lines}");
}

/// Others can have the task meanwhile.
#[test]
fn a_worker_whose_disk_is_full_takes_no_task() {
    let context = TestContext::new();
    let disk = Disk::new(context.folder().join("disk"), "4m");
    let folder = disk.folder().to_str().unwrap().to_owned();
    let environments = format!("agent.venvs_dir: \"{folder}/not/made/yet\"");
    let places: [(&str, &str); 3] = [
        ("XDG_STATE_HOME", ""),
        ("TMPDIR", ""),
        ("", environments.as_str()),
    ];
    for (variable, setting) in places {
        context.configure(setting);
        let variables = [(variable, folder.as_str())];
        let variables = if variable.is_empty() {
            &[][..]
        } else {
            &variables
        };
        let mut daemon = context.daemon_with(variables);
        daemon.wait_for_output("No tasks in Queues");
        disk.fill();
        let said = "; no task is taken until there is (hint: free space there)";
        daemon.wait_for_output(said);
        let looks = || context.requests("queues.get_all").len();
        let task = context.enqueue(Script::shell("echo done"));
        let before = looks();
        assert!(wait_until(|| looks() > before + 3));
        assert_eq!(context.status(&task), "queued");
        fs::remove_file(disk.folder().join("filler")).unwrap();
        context.wait_for_status(&task, "completed");
        assert_eq!(daemon.terminate(), 254);
        let output = daemon.output();
        assert_eq!(output.matches(said).count(), 1, "{output}");
        assert!(
            output.contains(&format!("no room in `{folder}")),
            "{output}"
        );
        let back = "There is room again: tasks are taken";
        assert_eq!(output.matches(back).count(), 1, "{output}");
    }
}

/// It has less room than an environment needs.
#[test]
fn an_environment_without_room_has_failed_for_the_disk() {
    let context = TestContext::new();
    let disk = Disk::new(context.folder().join("disk"), "4m");
    let folder = disk.folder().display();
    context.configure(&format!("agent.venvs_dir: \"{folder}/venvs\""));
    let task = context.enqueue(Script::python("print('never')", ""));
    let mut daemon = context.daemon();
    context.wait_for_status(&task, "failed");
    let reason = context.reason(&task);
    let expected = format!("disk full: no room in `{folder}");
    assert!(reason.contains(&expected), "{reason}");
    let console = context.console(&task);
    assert!(console.contains(&expected), "{console}");
    assert_eq!(daemon.terminate(), 254);

    let task = context.create(Script::python("print('never')", ""));
    assert_eq!(context.run(&["execute", "--id", &task]).code, 1);
    let reason = context.reason(&task);
    assert!(
        reason.starts_with(&expected) && reason.ends_with("(hint: free space there)"),
        "{reason}"
    );
}
