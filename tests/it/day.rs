//! A day in short: thousands of looks at the queues, before a server that fails in every way it can, with a clock that jumps.
//!
//! `DAY_ROUNDS=10000 DAY_SEED=7 cargo test --test it day::` is the whole day; the tests run a part of it.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::support::{
    Agent, ClockStandIn, Fault, FaultProxy, Script, TestContext, number, wait_until,
};

/// So many looks for each task.
const ROUNDS_PER_TASK: u64 = 25;
/// One request in so many goes wrong.
const GOOD_FOR_EACH_BAD: u64 = 12;
/// With one request in so many the worker's clock jumps.
const REQUESTS_PER_JUMP: u64 = 40;
/// So far, in seconds, ahead of the right time or behind it: a correction, an hour of summer, a day, a clock that was never set.
const JUMPS: [i64; 8] = [0, 2, -2, 3600, -3600, 86_400, -86_400, -800_000_000];
/// What the worker's memory may grow by, in KiB: what the allocator keeps from its busiest moment.
const GROWTH: u64 = 4 * 1024;

const FAULTS: [Fault; 7] = [
    Fault::AnswerCut,
    Fault::AnswerLost,
    Fault::BadGateway,
    Fault::Hang,
    Fault::Refused,
    Fault::ServerError,
    Fault::Unauthorized,
];

/// Lets requests fail and the clock jump at random, always in the same order; counts the looks at the queue.
fn unreliable(proxy: &FaultProxy, clock: ClockStandIn, seed: u64) -> Arc<AtomicU64> {
    let rounds = Arc::new(AtomicU64::new(0));
    let mut random = fastrand::Rng::with_seed(seed);
    let counter = rounds.clone();
    let mut refused = HashSet::new();
    proxy.set(move |call| {
        if call == "queues.get_next_task" {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if random.u64(..REQUESTS_PER_JUMP) == 0 {
            clock.jump(JUMPS[random.usize(..JUMPS.len())]);
        }
        let fault = FAULTS[random.usize(..FAULTS.len())];
        // The server's own error is an answer: a task whose script cannot be had fails of it, as it should.
        let is_answer = match fault {
            Fault::ServerError => call.starts_with("tasks.") || call == "auth.login",
            Fault::Unauthorized => call == "auth.login",
            _ => false,
        };
        // So is a second refusal of the token, right after a new one was given.
        let was_refused = refused.remove(call);
        let is_refusal = fault == Fault::Unauthorized;
        let is_bad =
            random.u64(0..=GOOD_FOR_EACH_BAD) == 0 && !is_answer && !(is_refusal && was_refused);
        if is_bad && is_refusal {
            refused.insert(call.to_owned());
        }
        is_bad.then_some(fault)
    });
    rounds
}

/// KiB of the process that are in memory and its own.
fn memory(agent: &Agent) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("alive");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.expect("a number")
}

/// D-159, D-166, D-168, D-169, D-171: every task runs once and is completed, whatever becomes of the requests and whatever time it is; the
/// worker lives on, and does not grow.
#[test]
fn a_day_with_a_server_that_fails_at_random() {
    let rounds = number("DAY_ROUNDS", 500);
    let seed = number("DAY_SEED", 1);
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!(
        "api.api_server: \"{}\"
         api.http.retries {{ backoff_factor: 0.01, backoff_max: 0.1 }}",
        proxy.url()
    ));
    let ran = context.folder().join("ran");
    let script = format!("echo $CLEARML_TASK_ID >> {}", ran.display());
    let clock = ClockStandIn::new(&context);
    let mut agent = context.daemon_with(
        &[
            &clock.variables()[..],
            &[
                ("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "0.02"),
                ("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.2"),
            ],
        ]
        .concat(),
    );
    agent.wait_for_output("No tasks in Queues");
    let looks = unreliable(&proxy, clock, seed);
    let mut tasks = Vec::new();
    let mut early = 0;
    let count = rounds / ROUNDS_PER_TASK;
    for number in 1..=count {
        tasks.push(context.enqueue(Script::shell(&script)));
        let due = number * ROUNDS_PER_TASK;
        let reached = wait_until(|| looks.load(Ordering::Relaxed) >= due);
        assert!(reached, "it does not look any more:\n{}", agent.output());
        // Nearly everything that is kept for ever is there by then.
        if number == count.div_ceil(3) {
            early = memory(&agent);
        }
    }
    for task in &tasks {
        context.wait_for_status(task, "completed");
    }
    let late = memory(&agent);
    proxy.set(|_| None);
    context.wait_for_no_runs();
    assert_eq!(agent.terminate(), 254);
    assert!(late < early + GROWTH, "{early} KiB became {late} KiB");

    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    let ran = fs::read_to_string(ran).expect("what has run");
    for task in ran.lines() {
        *times.entry(task).or_default() += 1;
    }
    for task in &tasks {
        assert_eq!(times.get(task.as_str()), Some(&1), "{task}");
    }
    assert!(proxy.faults().len() as u64 > rounds / 10);
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert_eq!(context.processes(), Vec::<i32>::new());
}

/// The clock of the day is one that programs go by.
#[test]
fn the_clock_that_jumps_is_that_of_programs() {
    let context = TestContext::new();
    let clock = ClockStandIn::new(&context);
    let year = || {
        let mut date = context.beside_agent("date");
        date.arg("+%Y").envs(clock.variables());
        let said = context.finish(date).stdout;
        said.trim().parse::<u32>().expect(&said)
    };
    let right = year();
    clock.jump(-800_000_000);
    assert!((right - 26..=right - 25).contains(&year()));
    clock.jump(0);
    assert!((right..=right + 1).contains(&year()));
}

/// D-172, D-207: a task that cannot be marked as running is not left as it is: it fails with the reason, and the worker goes on.
#[test]
fn a_task_that_cannot_be_started_fails() {
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    proxy.set(|call| (call == "tasks.started").then_some(Fault::ServerError));
    let task = context.enqueue(Script::shell("echo never"));
    let mut agent = context.daemon();
    agent.wait_for_output("could not set status=in_progress task id '");
    proxy.set(|_| None);
    context.wait_for_no_runs();
    assert_eq!(context.status(&task), "failed");
    let console = context.console(&task);
    assert!(console.contains("General data error"), "{console}");
    assert!(!console.contains("never"), "{console}");
    let next = context.enqueue(Script::shell("echo next"));
    context.wait_for_status(&next, "completed");
    assert_eq!(agent.terminate(), 254);
}

/// A daemon whose queue has a task, and whose next answer about it is lost.
fn with_a_lost_answer(fault: Fault) -> (TestContext, FaultProxy, Agent, String) {
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    let agent = context.daemon();
    agent.wait_for_output("No tasks in Queues");
    let is_next = |call: &str| call == "queues.get_next_task";
    proxy.set(move |call| is_next(call).then_some(Fault::ServerError));
    // One that was on its way already would bring the task, and its answer.
    assert!(wait_until(|| !proxy.faults().is_empty()));
    let task = context.enqueue(Script::shell("echo here"));
    let mut is_lost = false;
    proxy.set(move |call| {
        let is_first = is_next(call) && !is_lost;
        is_lost |= is_first;
        is_first.then_some(fault)
    });
    assert!(wait_until(|| entries(&context).is_empty()));
    (context, proxy, agent, task)
}

/// What waits in the queue.
fn entries(context: &TestContext) -> Vec<serde_json::Value> {
    let queue = json!({ "queue": context.queue() });
    let queue = context.call("queues.get_by_id", queue);
    queue["queue"]["entries"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

/// D-172: a task that left its queue for an answer that never came goes back, and runs.
#[test]
fn a_task_whose_answer_was_lost_is_not() {
    let (context, _proxy, agent, task) = with_a_lost_answer(Fault::AnswerLost);
    agent.wait_for_output(&format!("task '{task}' had left queue"));
    context.wait_for_status(&task, "completed");
}

/// D-172: a worker that drains stays until it knows that no task got lost, and leaves it to others.
#[test]
fn who_drains_looks_for_what_got_lost() {
    let (context, _proxy, mut agent, task) = with_a_lost_answer(Fault::AnswerCut);
    let drained = context.run(&["daemon", "--stop", "--drain"]);
    assert_eq!(drained.code, 0, "{}", drained.stdout);
    assert_eq!(agent.wait(), 0);
    assert_eq!(context.status(&task), "queued");
    assert_eq!(entries(&context).len(), 1);
}

/// A worker that is told to end says what it does not find out any more.
#[test]
fn who_leaves_says_that_a_task_may_be_lost() {
    let (context, _proxy, mut agent, task) = with_a_lost_answer(Fault::AnswerLost);
    assert_eq!(agent.terminate(), 254);
    let warning = "a task that it has given out meanwhile is in no queue until an agent starts on this machine";
    assert!(agent.output().contains(warning), "{}", agent.output());
    let mut next = context.daemon();
    next.wait_for_output(&format!("task '{task}' had left queue"));
    context.wait_for_status(&task, "completed");
    assert_eq!(next.terminate(), 254);
}
