//! At each step of a run somebody is killed: what becomes of the task, and what is left.
//!
//! `UPDATE_DOCS=1 cargo test --test it checkpoints::` writes the table in docs/reliability.md.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::recovery::LOST;
use super::support::containers::{self, docker};
use super::support::{Agent, Counter, TestContext, images, wait_until};

/// Who is killed while the run stands at its step. The container is one of everybody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Victim {
    Worker,
    Supervisor,
    Program,
    Container,
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

/// Where the program runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Machine,
    Container,
}

/// A step, what has happened when a run stands there, and how it ends when somebody is killed then.
struct Row {
    step: &'static str,
    meaning: &'static str,
    ends: &'static [(Victim, End)],
}

macro_rules! steps {
    ($table:ident $place:ident: $($module:ident $step:literal $meaning:literal: $($victim:ident $end:ident),*;)*) => {
        const $table: &[Row] = &[$(Row {
            step: $step,
            meaning: $meaning,
            ends: &[$((Victim::$victim, End::$end)),*],
        }),*];

        $(mod $module {
            $(#[test]
            #[allow(non_snake_case, reason = "named as the victim")]
            fn $victim() {
                use super::{End, Place, Victim, check};
                check(Place::$place, $step, Victim::$victim, End::$end);
            })*
        })*
    };
}

steps! {
    ON_MACHINE Machine:
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

steps! {
    IN_CONTAINER Container:
    contained_copied "Copied" "the files for the container are there, the engine is not asked yet": Worker Completed, Supervisor Lost, Everybody Lost;
    contained_created "Created" "the engine has made the container, the journal does not know which": Worker Completed, Supervisor Lost, Everybody Lost;
    contained_started "Started" "the container runs": Worker Completed, Supervisor Completed, Container Killed, Everybody Killed;
    contained_exited "Exited" "the container has ended, the journal does not know": Worker Completed, Supervisor Completed, Everybody Completed;
    contained_ended "Ended" "the journal knows how it has ended": Worker Completed, Supervisor Completed, Everybody Completed;
    contained_delivered "Delivered" "the server has the whole console": Worker Completed, Supervisor Completed, Everybody Completed;
    contained_settled "Settled" "the server has the status": Worker Completed, Supervisor Completed, Everybody Completed;
    contained_removed "Removed" "the journal is gone": Worker Completed, Supervisor Completed, Everybody Completed;
}

/// A run that stands at a step.
struct Parked {
    context: TestContext,
    daemon: Agent,
    counter: Counter,
    task: String,
    folder: PathBuf,
    place: Place,
    step: &'static str,
}

impl Parked {
    fn at(place: Place, step: &'static str) -> Self {
        let context = TestContext::new();
        let folder = context.folder().join("parking");
        fs::create_dir(&folder).unwrap();
        let (counter, script) = Counter::new(&context, "");
        let (rows, runs) = match place {
            Place::Machine => (ON_MACHINE, "Running"),
            Place::Container => (IN_CONTAINER, "Started"),
        };
        if is_behind(rows, step, runs) {
            counter.stop();
        }
        let task = context.enqueue(script);
        let wish = format!("{step}:{}", folder.display());
        let variables = [
            ("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.2"),
            ("CLEARML_AGENT_PARK", &wish),
        ];
        let daemon = daemon(&context, place, &variables);
        let is_there = wait_until(|| fs::metadata(folder.join(step)).is_ok_and(|it| it.len() > 0));
        assert!(is_there, "{step} was not reached:\n{}", daemon.output());
        if step == runs {
            counter.wait_for(3);
        }
        Self {
            context,
            daemon,
            counter,
            task,
            folder,
            place,
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
            Victim::Container => self.kill_containers(),
            Victim::Everybody => {
                // The worker first: it would start another supervisor.
                self.daemon.kill();
                self.context.processes().into_iter().for_each(send);
                self.kill_containers();
            }
        }
    }

    fn kill_containers(&self) {
        for container in containers::containers(&self.task) {
            if docker(&["inspect", "--format", "{{.State.Running}}", &container]).trim() == "true" {
                docker(&["kill", &container]);
            }
        }
    }

    /// Lets the run go on, under a new worker where the old one is gone.
    fn go_on(&mut self) {
        fs::write(self.folder.join("go"), "").unwrap();
        if self.daemon.has_ended() {
            self.daemon = daemon(&self.context, self.place, &[]);
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
            End::Lost => ("failed", "the agent process was lost", LOST),
            End::Killed if self.place == Place::Container => (
                "failed",
                "worker execution exit code 137: somebody has ended the container by its engine, with SIGKILL",
                "\nclearml_agent: ERROR: somebody has ended the container by its engine, with SIGKILL\n\
                 hint: an abort of the task on the server ends its container as well, and the status says that it was aborted\n\
                 Process failed, exit code 137: somebody has ended the container by its engine, with SIGKILL",
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
        assert_eq!(containers::containers(&self.task), Vec::<String>::new());
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

fn daemon(context: &TestContext, place: Place, variables: &[(&str, &str)]) -> Agent {
    match place {
        Place::Machine => context.daemon_with(variables),
        Place::Container => containers::daemon(context, &images::python(), variables),
    }
}

fn is_behind(rows: &[Row], step: &str, other: &str) -> bool {
    let place = |name| rows.iter().position(|row| row.step == name);
    place(step) > place(other)
}

fn check(place: Place, step: &'static str, victim: Victim, end: End) {
    let mut parked = Parked::at(place, step);
    parked.kill(victim);
    parked.go_on();
    parked.assert_end(end);
}

/// The table of the documentation says what the tests prove.
#[test]
fn the_table_is_in_the_documentation() {
    const BEGIN: &str = "<!-- checkpoints: written by the tests -->\n";
    const END: &str = "<!-- end of checkpoints -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the place of the table");
    let (table, after) = rest.split_once(END).expect("the end of the table");
    let expected = [
        "A program on the machine:\n\n",
        &table_of(ON_MACHINE, ("program", Victim::Program), "-9"),
        "\nA container; what comes before is the same:\n\n",
        &table_of(IN_CONTAINER, ("container", Victim::Container), "137"),
    ]
    .concat();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, [before, BEGIN, &expected, END, after].concat()).unwrap();
        return;
    }
    assert_eq!(table, expected, "UPDATE_DOCS=1 writes it");
}

/// What becomes of a run that is killed: what runs the program is called by a word, and its end by a code.
fn table_of(rows: &[Row], (word, killed): (&str, Victim), code: &str) -> String {
    let mut table = format!(
        "| step | what has happened | worker killed | supervisor killed | {word} killed | all killed |\n\
         |---|---|---|---|---|---|\n"
    );
    for row in rows {
        let cell = |victim| match row.ends.iter().find(|(killed, _)| *killed == victim) {
            None => String::new(),
            Some((_, End::Completed)) => "completed".to_owned(),
            Some((_, End::Lost)) => "failed: the agent process was lost".to_owned(),
            Some((_, End::Killed)) => format!("failed: exit code {code}"),
        };
        let victims = [
            Victim::Worker,
            Victim::Supervisor,
            killed,
            Victim::Everybody,
        ];
        table += &format!(
            "| {} | {} | {} |\n",
            row.step,
            row.meaning,
            victims.map(cell).join(" | ")
        );
    }
    table
}
