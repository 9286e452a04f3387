//! At each step of a run somebody is killed: what becomes of the task, and what is left.
//!
//! `UPDATE_DOCS=1 cargo test --test it checkpoints::` writes the table in docs/reliability.md.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::support::{Agent, Counter, TestContext, wait_until};

/// Who is killed while the run stands at its step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Victim {
    Worker,
    Supervisor,
    Program,
    Everybody,
}

/// How the task must end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// As if nothing had happened.
    Completed,
    /// `the agent process was lost`
    Lost,
    /// By the signal.
    Killed,
}

/// A step, what has happened when a run stands there, and how it ends when somebody is killed then.
struct Row {
    step: &'static str,
    meaning: &'static str,
    ends: &'static [(Victim, End)],
}

macro_rules! steps {
    ($($module:ident $step:literal $meaning:literal: $($victim:ident $end:ident),*;)*) => {
        const ROWS: &[Row] = &[$(Row {
            step: $step,
            meaning: $meaning,
            ends: &[$((Victim::$victim, End::$end)),*],
        }),*];

        $(mod $module {
            $(#[test]
            #[allow(non_snake_case, reason = "named as the victim")]
            fn $victim() {
                super::check($step, super::Victim::$victim, super::End::$end);
            })*
        })*
    };
}

steps! {
    pulled "Pulled" "the server has given the task to the worker": Worker Completed, Everybody Completed;
    recorded "Recorded" "the run is in its journal": Worker Completed, Everybody Completed;
    supervised "Supervised" "the supervisor was started": Worker Completed;
    signed "Signed" "the supervisor has signed the journal": Worker Completed, Supervisor Completed, Everybody Completed;
    announced "Announced" "the server calls the task in progress": Worker Completed, Supervisor Completed, Everybody Completed;
    prepared "Prepared" "code and environment are there": Worker Completed, Supervisor Lost, Everybody Lost;
    launched "Launched" "the program runs, the journal does not know": Worker Completed, Supervisor Lost, Everybody Lost;
    running "Running" "the journal knows the program": Worker Completed, Supervisor Lost, Program Killed, Everybody Lost;
    exited "Exited" "the program has ended, the journal does not know": Worker Completed, Supervisor Lost, Everybody Lost;
    ended "Ended" "the journal knows how it has ended": Worker Completed, Supervisor Completed, Everybody Completed;
    delivered "Delivered" "the server has the whole console": Worker Completed, Supervisor Completed, Everybody Completed;
    settled "Settled" "the server has the status": Worker Completed, Supervisor Completed, Everybody Completed;
    removed "Removed" "the journal is gone": Worker Completed, Supervisor Completed, Everybody Completed;
}

/// A run that stands at a step.
struct Parked {
    context: TestContext,
    daemon: Agent,
    counter: Counter,
    task: String,
    folder: PathBuf,
    step: &'static str,
}

impl Parked {
    fn at(step: &'static str) -> Self {
        let context = TestContext::new();
        let folder = context.folder().join("parking");
        fs::create_dir(&folder).unwrap();
        let (counter, script) = Counter::new(&context, "");
        if is_behind(step, "Running") {
            counter.stop();
        }
        let task = context.enqueue(script);
        let wish = format!("{step}:{}", folder.display());
        let daemon = context.daemon_with(&[
            ("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.2"),
            ("CLEARML_AGENT_PARK", &wish),
        ]);
        let is_there = wait_until(|| fs::metadata(folder.join(step)).is_ok_and(|it| it.len() > 0));
        assert!(is_there, "{step} was not reached:\n{}", daemon.output());
        if step == "Running" {
            counter.wait_for(3);
        }
        Self {
            context,
            daemon,
            counter,
            task,
            folder,
            step,
        }
    }

    fn kill(&mut self, victim: Victim) {
        match victim {
            Victim::Worker => self.daemon.kill(),
            Victim::Supervisor => {
                let pid = fs::read_to_string(self.folder.join(self.step)).unwrap();
                send(pid.parse().unwrap());
            }
            Victim::Program => {
                let journal = self.context.journal();
                let pid = journal["phase"]["Running"]["program"]["pid"].as_i64();
                send(pid.expect("it runs").try_into().unwrap());
            }
            Victim::Everybody => {
                // The worker first: it would start another supervisor.
                self.daemon.kill();
                self.context.processes().into_iter().for_each(send);
            }
        }
    }

    /// Lets the run go on, under a new worker where the old one is gone.
    fn go_on(&mut self) {
        fs::write(self.folder.join("go"), "").unwrap();
        if self.daemon.has_ended() {
            self.daemon = self.context.daemon();
        }
        self.counter.stop();
    }

    #[track_caller]
    fn assert_end(&mut self, end: End) {
        let (status, reason, last) = match end {
            End::Completed => (
                "completed",
                "worker execution done",
                "Process completed successfully",
            ),
            End::Lost => (
                "failed",
                "the agent process was lost",
                "Process failed, the agent process was lost",
            ),
            End::Killed => (
                "failed",
                "worker execution exit code -9",
                "Process failed, exit code -9",
            ),
        };
        let context = &self.context;
        context.wait_for_status(&self.task, status);
        assert_eq!(context.reason(&self.task), reason);
        context.wait_for_no_runs();
        let console = context.console(&self.task);
        if self.counter.count() > 0 {
            self.counter.assert_complete(&console, last);
        } else {
            assert!(
                console.ends_with(last) && !console.contains("line 1\n"),
                "{console}"
            );
        }
        assert_eq!(console.matches(last).count(), 1, "{console}");
        let queue = context.call("queues.get_by_id", json!({ "queue": context.queue() }));
        assert_eq!(queue["queue"]["entries"], json!([]));
        self.daemon.wait_for_output("No tasks in Queues, sleeping");
        assert_eq!(self.daemon.terminate(), 254);
        context.wait_for_no_processes();
        assert_eq!(context.leftovers(), Vec::<String>::new());
        assert_eq!(context.workers(), Vec::<String>::new());
    }
}

fn send(pid: i32) {
    // Gone already is as good.
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

fn is_behind(step: &str, other: &str) -> bool {
    let place = |name| ROWS.iter().position(|row| row.step == name);
    place(step) > place(other)
}

fn check(step: &'static str, victim: Victim, end: End) {
    let mut parked = Parked::at(step);
    parked.kill(victim);
    parked.go_on();
    parked.assert_end(end);
}

const VICTIMS: [Victim; 4] = [
    Victim::Worker,
    Victim::Supervisor,
    Victim::Program,
    Victim::Everybody,
];

/// The table of the documentation says what the tests prove.
#[test]
fn the_table_is_in_the_documentation() {
    const BEGIN: &str = "<!-- checkpoints: written by the tests -->\n";
    const END: &str = "<!-- end of checkpoints -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the place of the table");
    let (table, after) = rest.split_once(END).expect("the end of the table");
    let word = |end: End| match end {
        End::Completed => "completed",
        End::Lost => "failed: the agent process was lost",
        End::Killed => "failed: exit code -9",
    };
    let mut expected = "| step | what has happened | worker killed | supervisor killed | program killed | all killed |\n\
                        |---|---|---|---|---|---|\n"
        .to_owned();
    for Row {
        step,
        meaning,
        ends,
    } in ROWS
    {
        let cell = |victim| {
            let found = ends.iter().find(|(killed, _)| *killed == victim);
            found.map_or("", |(_, end)| word(*end))
        };
        let cells = VICTIMS.map(cell).join(" | ");
        expected += &format!("| {step} | {meaning} | {cells} |\n");
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, [before, BEGIN, &expected, END, after].concat()).unwrap();
        return;
    }
    assert_eq!(table, expected, "UPDATE_DOCS=1 writes it");
}
