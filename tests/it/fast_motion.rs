//! Normal life in fast motion: short tasks through four workers, with kills, outages and aborts at random; then the audit.
//!
//! `LIFE_TASKS=2000 LIFE_SEED=7 cargo test --test it fast_motion::` is the whole; the tests run a part of it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::support::{Agent, Fault, FaultProxy, Script, TestContext, number, wait_until};

const WORKERS: usize = 4;
/// Lines of each task, and how long each takes: enough for something to happen meanwhile.
const LINES: usize = 12;
/// Requests that fail in an outage.
const OUTAGE: u64 = 40;
/// What waits in the queue at most: the order in which things happen depends on the seed as far as can be.
const WAITING: usize = 8;

/// What was done to a task, and so how it may end beside as it would have ended.
#[derive(Clone, Copy, Debug, Default)]
struct Suffered {
    abort: bool,
    supervisor: bool,
    program: bool,
}

struct Task {
    id: String,
    code: u64,
    notes: PathBuf,
}

struct Life {
    context: TestContext,
    proxy: FaultProxy,
    /// Requests that are still to fail.
    outage: Arc<AtomicU64>,
    workers: Vec<Agent>,
    tasks: Vec<Task>,
    suffered: HashMap<String, Suffered>,
    random: fastrand::Rng,
}

impl Life {
    fn begin(seed: u64) -> Self {
        let context = TestContext::new();
        let proxy = FaultProxy::start(&context.server.url());
        context.configure(&format!(
            "api.api_server: \"{}\"
             api.http.retries {{ backoff_factor: 0.01, backoff_max: 0.1 }}",
            proxy.url()
        ));
        let outage = Arc::new(AtomicU64::new(0));
        let left = outage.clone();
        proxy.set(move |_| {
            let was_open = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
            was_open.is_ok().then_some(Fault::Refused)
        });
        let mut life = Self {
            context,
            proxy,
            outage,
            workers: Vec::new(),
            tasks: Vec::new(),
            suffered: HashMap::new(),
            random: fastrand::Rng::with_seed(seed),
        };
        for place in 0..WORKERS {
            let worker = life.worker(place);
            life.workers.push(worker);
        }
        life
    }

    fn worker(&self, place: usize) -> Agent {
        let mut command = self
            .context
            .command(&["daemon", "--queue", "default", "--foreground"]);
        command
            .env("CLEARML_WORKER_NAME", format!("w{place}"))
            .env("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "0.1")
            .env("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.5");
        self.context.start_command(command)
    }

    fn enqueue(&mut self) {
        let number = self.tasks.len();
        let notes = self.context.folder().join(format!("notes-{number}"));
        let code = if self.random.u64(..5) == 0 { 3 } else { 0 };
        let script = format!(
            "echo begun >> {0}
             for line in $(seq {LINES}); do
                 echo \"task {number} line $line\"
                 echo $line >> {0}
                 sleep 0.03
             done
             exit {code}",
            notes.display()
        );
        let id = self.context.enqueue(Script::shell(&script));
        self.tasks.push(Task { id, code, notes });
    }

    /// Something happens, or nothing.
    fn happen(&mut self) {
        match self.random.u64(..12) {
            0 => {
                let place = self.random.usize(..WORKERS);
                self.workers[place].kill();
                self.workers[place] = self.worker(place);
            }
            1 => self.kill_one(
                |suffered| &mut suffered.supervisor,
                |run| &run["supervisor"],
            ),
            2 => self.kill_one(
                |suffered| &mut suffered.program,
                |run| &run["phase"]["Running"]["program"],
            ),
            3 => {
                if let Some(run) = self.a_run() {
                    let task = run["task"].as_str().unwrap_or_default().to_owned();
                    self.suffered.entry(task.clone()).or_default().abort = true;
                    let arguments = json!({ "task": task, "status_reason": "fast motion" });
                    // It may have ended meanwhile.
                    let _ = self.context.server.call("tasks.stop", arguments);
                }
            }
            4 => self.outage.store(OUTAGE, Ordering::Relaxed),
            _ => {}
        }
    }

    fn a_run(&mut self) -> Option<Value> {
        let runs = self.context.runs();
        if runs.is_empty() {
            return None;
        }
        let run = &runs[self.random.usize(..runs.len())];
        // It may be over meanwhile.
        serde_json::from_slice(&fs::read(run.join("journal.json")).ok()?).ok()
    }

    fn kill_one(&mut self, mark: fn(&mut Suffered) -> &mut bool, process: fn(&Value) -> &Value) {
        let Some(run) = self.a_run() else { return };
        let pid = process(&run)["pid"].as_i64();
        let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) else {
            return;
        };
        let task = run["task"].as_str().unwrap_or_default().to_owned();
        *mark(self.suffered.entry(task).or_default()) = true;
        // It may be gone already.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }

    /// How many tasks have not begun.
    fn waiting(&self) -> usize {
        self.tasks
            .iter()
            .filter(|task| !task.notes.exists())
            .count()
    }

    #[track_caller]
    fn audit(&self) {
        let context = &self.context;
        for (number, task) in self.tasks.iter().enumerate() {
            let suffered = self.suffered.get(&task.id).copied().unwrap_or_default();
            let status = context.status(&task.id);
            let reason = context.reason(&task.id);
            let about = format!("task {number}, {suffered:?}: {status}, {reason}");
            let is_natural = match task.code {
                0 => status == "completed",
                code => {
                    status == "failed" && reason == format!("worker execution exit code {code}")
                }
            };
            let is_explained = status == "stopped" && suffered.abort
                || status == "failed"
                    && (suffered.supervisor && reason == "the agent process was lost"
                        || suffered.program && reason == "worker execution exit code -9");
            assert!(is_natural || is_explained, "{about}");
            let console = context.console(&task.id);
            let printed: Vec<&str> = console
                .lines()
                .filter(|line| line.starts_with(&format!("task {number} line ")))
                .collect();
            let expected: Vec<String> = (1..=printed.len())
                .map(|line| format!("task {number} line {line}"))
                .collect();
            assert_eq!(printed, expected, "{about}");
            let (begun, noted) = noted(&task.notes);
            assert!(begun <= 1, "{about}: it has run {begun} times");
            // One that was killed may have printed a line that it could not note any more.
            let whole = if is_natural {
                LINES..=LINES
            } else {
                noted..=noted + 1
            };
            assert!(whole.contains(&printed.len()), "{about}:\n{console}");
        }
    }
}

/// How often a program has begun, and how many lines it has noted.
fn noted(notes: &Path) -> (usize, usize) {
    let text = fs::read_to_string(notes).unwrap_or_default();
    let begun = text.lines().filter(|line| *line == "begun").count();
    (begun, text.lines().count() - begun)
}

#[test]
fn every_task_ends_once_with_its_whole_console() {
    let count = number("LIFE_TASKS", 60);
    let mut life = Life::begin(number("LIFE_SEED", 1));
    while u64::try_from(life.tasks.len()).unwrap() < count {
        life.enqueue();
        life.happen();
        assert!(
            wait_until(|| life.waiting() < WAITING),
            "nobody takes tasks"
        );
    }
    life.outage.store(0, Ordering::Relaxed);
    let is_over = |task: &Task| {
        ["completed", "failed", "stopped"].contains(&life.context.status(&task.id).as_str())
    };
    for task in &life.tasks {
        assert!(
            wait_until(|| is_over(task)),
            "task {} is {}",
            task.id,
            life.context.status(&task.id)
        );
    }
    life.context.wait_for_no_runs();
    life.audit();
    assert!(!life.proxy.faults().is_empty());
    // Those that were killed are not in the server's list any more.
    let are_alone = wait_until(|| life.context.workers().len() == WORKERS);
    assert!(are_alone, "{:?}", life.context.workers());
    for worker in &mut life.workers {
        worker.wait_for_output("No tasks in Queues");
        assert_eq!(worker.terminate(), 254);
    }
    life.context.wait_for_no_processes();
    assert_eq!(life.context.leftovers(), Vec::<String>::new());
    assert_eq!(life.context.workers(), Vec::<String>::new());
}
