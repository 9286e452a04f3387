//! Each call of a task's life meets each fault, one at a time and at random.
//!
//! `FAULT_SCRIPTS=1000 FAULT_SEED=7 cargo test --test it faults::` is the whole of the random part; the tests run a hundred.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::support::{Agent, Fault, FaultProxy, Script, TestContext, number, wait_until};

/// The calls of a task's life, in the order in which they are made, and of the worker's.
const CALLS: [&str; 12] = [
    "queues.get_all",
    "queues.get_next_task",
    "auth.login",
    "tasks.get_by_id",
    "tasks.dequeue",
    "tasks.started",
    "tasks.edit",
    "tasks.get_all",
    "tasks.ping",
    "events.add_batch",
    "tasks.completed",
    "workers.status_report",
];

const FAULTS: [(Fault, &str); 12] = [
    (Fault::Refused, "refused"),
    (Fault::BadRequest, "400"),
    (Fault::Unauthorized, "401"),
    (Fault::TooMany, "429"),
    (Fault::ServerError, "500"),
    (Fault::BadGateway, "502"),
    (Fault::Hang, "hang"),
    (Fault::Garbage, "garbage"),
    (Fault::AnswerCut, "half an answer"),
    (Fault::AnswerDrips, "slow drip"),
    (Fault::AnswerLost, "answer lost"),
    (Fault::Twice, "delivered twice"),
];
/// Lines of each task.
const LINES: usize = 5;
/// So many calls of a script may fail; the others go well.
const FAULTY_CALLS: usize = 40;
/// What stands in place of a line that the server has refused.
const GAP: &str = "clearml-agent: lines of the console that the server refused here: 1 (";
/// Workers with a server each.
const WORLDS: usize = 8;

/// A worker that speaks to its server through the proxy.
struct World {
    context: TestContext,
    proxy: FaultProxy,
    agent: Agent,
    ran: PathBuf,
}

impl World {
    fn new() -> Self {
        let context = TestContext::new();
        let proxy = FaultProxy::start(&context.server.url());
        context.configure(&format!(
            "api.api_server: \"{}\"
             api.http.retries {{ backoff_factor: 0.01, backoff_max: 0.1 }}",
            proxy.url()
        ));
        let agent = context.daemon_with(&[
            ("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "0.05"),
            ("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.2"),
        ]);
        agent.wait_for_output("No tasks in Queues");
        let ran = context.folder().join("ran");
        Self {
            context,
            proxy,
            agent,
            ran,
        }
    }

    fn enqueue(&self) -> String {
        let script = format!(
            "echo $CLEARML_TASK_ID >> {}; for line in $(seq {LINES}); do echo line $line; done",
            self.ran.display()
        );
        self.context.enqueue(Script::shell(&script))
    }

    /// How a task has ended that ran under faults: the lines are there once, and it has run once.
    #[track_caller]
    fn end_of(&self, task: &str, about: &str) -> String {
        let is_over =
            || ["completed", "failed", "stopped"].contains(&self.context.status(task).as_str());
        assert!(
            wait_until(is_over),
            "{about}: {task} is {}",
            self.context.status(task)
        );
        self.context.wait_for_no_runs();
        let status = self.context.status(task);
        let ran = fs::read_to_string(&self.ran).unwrap_or_default();
        let times = ran.lines().filter(|line| *line == task).count();
        let console = self.context.console(task);
        if status != "completed" {
            assert_eq!(times, 0, "{about}:\n{console}");
            return format!("{status}: {}", self.context.reason(task));
        }
        assert_eq!(times, 1, "{about}:\n{console}");
        for line in 1..=LINES {
            let line = format!("line {line}");
            let count = console.lines().filter(|one| *one == line).count();
            assert_eq!(count, 1, "{about}, {line}:\n{console}");
        }
        let end = "Process completed successfully";
        assert_eq!(console.matches(end).count(), 1, "{about}:\n{console}");
        status
    }

    /// What becomes of a task whose first call of this name meets the fault.
    #[track_caller]
    fn outcome(&self, call: &'static str, fault: Fault) -> (String, String) {
        let has_met = Arc::new(AtomicBool::new(false));
        let met = has_met.clone();
        self.proxy.set(move |name| {
            let is_first = name == call && !met.swap(true, Ordering::Relaxed);
            is_first.then_some(fault)
        });
        let task = self.enqueue();
        let end = self.end_of(&task, &format!("{call} {fault:?}"));
        let is_made = wait_until(|| has_met.load(Ordering::Relaxed));
        assert!(is_made, "{call} is not called any more");
        self.proxy.set(|_| None);
        (task, end)
    }

    /// A task whose calls meet faults at random survives them.
    #[track_caller]
    fn assert_survival(&self, seed: u64) {
        let met = Arc::new(Mutex::new(Vec::new()));
        let meets = met.clone();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut left = FAULTY_CALLS;
        let mut refused = HashSet::new();
        self.proxy.set(move |call| {
            let (fault, _) = FAULTS[random.usize(..FAULTS.len())];
            let was_refused = refused.remove(call);
            left = left.checked_sub(1)?;
            // The second refusal of a token, right after a new one was given, is an answer.
            let is_second = fault == Fault::Unauthorized && was_refused;
            // A task that is lost on its way comes back after half a minute: once is enough, above.
            let is_loss = call == "queues.get_next_task"
                && matches!(fault, Fault::AnswerCut | Fault::AnswerLost);
            let is_good = random.u8(..3) != 0;
            // Lines that the server refuses are given up, and the console says so.
            let is_refusal = call == "events.add_batch" && fault == Fault::BadRequest;
            if is_good
                || is_second
                || is_refusal
                || is_loss
                || is_fatal(call, fault)
                || is_no_matter_of_ours(call, fault)
            {
                return None;
            }
            if fault == Fault::Unauthorized {
                refused.insert(call.to_owned());
            }
            meets.lock().unwrap().push(format!("{call}: {fault:?}"));
            Some(fault)
        });
        let task = self.enqueue();
        let end = self.end_of(&task, &format!("script {seed}"));
        self.proxy.set(|_| None);
        let (met, console) = (met.lock().unwrap(), self.context.console(&task));
        assert_eq!(end, "completed", "script {seed}: {met:#?}\n{console}");
    }
}

/// An answer without which the task cannot be begun.
fn is_fatal(call: &str, fault: Fault) -> bool {
    match call {
        "auth.login" | "tasks.get_by_id" | "tasks.started" => fault == Fault::BadRequest,
        _ => false,
    }
}

/// The server takes lines twice, and gives two tasks away, where somebody on the way sends a request again.
fn is_no_matter_of_ours(call: &str, fault: Fault) -> bool {
    fault == Fault::Twice && matches!(call, "events.add_batch" | "queues.get_next_task")
}

/// Does the work of all numbers below `count` in several worlds at once.
fn in_worlds(count: usize, work: impl Fn(&World, usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WORLDS {
            scope.spawn(|| {
                let mut world = World::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    work(&world, number);
                }
                assert_eq!(world.agent.terminate(), 254);
                assert_eq!(world.context.leftovers(), Vec::<String>::new());
            });
        }
    });
}

/// D-166, D-168, D-207, D-222: every call of a task's life and every fault.
#[test]
fn each_call_survives_each_fault() {
    in_worlds(CALLS.len() * FAULTS.len(), |world, number| {
        let call = CALLS[number / FAULTS.len()];
        let (fault, name) = FAULTS[number % FAULTS.len()];
        if is_no_matter_of_ours(call, fault) {
            return;
        }
        let expected = if is_fatal(call, fault) {
            "failed: worker execution exit code 1"
        } else {
            "completed"
        };
        let (task, end) = world.outcome(call, fault);
        // The reason has the call's own words behind it.
        assert!(end.starts_with(expected), "{call}, {name}: {end}");
        if (call, fault) == ("events.add_batch", Fault::BadRequest) {
            let console = world.context.console(&task);
            assert!(console.contains(GAP), "{console}");
        }
    });
}

/// The same, many at once, in an order by chance.
#[test]
fn tasks_survive_scripts_of_faults() {
    let seed = number("FAULT_SEED", 1);
    let count = usize::try_from(number("FAULT_SCRIPTS", 100)).unwrap();
    in_worlds(count, |world, number| {
        world.assert_survival(seed * 1_000_000 + number as u64);
    });
}
