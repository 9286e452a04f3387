//! A program that prints without end: the memory of its supervisor stays as it is, and the disk holds no more than the server
//! does not have yet.
//!
//! `OUTPUT_BYTES=1000000000 cargo test --test it large_output::` is the full size; the test prints 64 MB.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::support::{FaultProxy, Script, TestContext, number, wait_until};

/// Behind the number of each line, so that a line has a hundred bytes.
const FILLING: &str =
    "of a program that prints as fast as it can, and never asks whether anybody listens";
const LINE: u64 = 100;
/// What is on the disk beside what the server does not have: what is given back in one piece, a request that was just
/// acknowledged, and what the file system takes in advance.
const DISK_SLACK: u64 = 3 << 20;
/// Resident memory of a supervisor, KiB. The code of a build for debugging is several times as large.
const MOST_MEMORY: u64 = if cfg!(debug_assertions) { 64 } else { 24 } << 10;
/// What the peak may grow by after the first eighth, KiB: a leak of one byte in a hundred is more at the full size.
const MOST_GROWTH: u64 = 6 << 10;

/// The server's side: it counts lines and keeps none.
#[derive(Debug, Default)]
struct Lines {
    /// What has not got its line feed yet.
    open: String,
    /// Numbered lines that have arrived, each in its place.
    count: u64,
    /// The first one that was missing, doubled, out of its place or changed.
    wrong: Option<String>,
    /// Lines that are not the program's.
    others: String,
    last_time: u64,
}

#[derive(Deserialize)]
struct Event {
    msg: String,
    timestamp: u64,
}

impl Lines {
    /// Takes the body of an `events.add_batch`.
    fn take(&mut self, body: &[u8]) -> Value {
        let mut added = 0;
        for event in body.split(|byte| *byte == b'\n') {
            let event: Event = serde_json::from_slice(event).expect("an event");
            if event.timestamp <= self.last_time {
                self.wrong.get_or_insert(format!(
                    "time {} behind {}",
                    event.timestamp, self.last_time
                ));
            }
            self.last_time = event.timestamp;
            self.open.push_str(&event.msg);
            added += 1;
        }
        let whole = self.open.rfind('\n').map_or(0, |at| at + 1);
        let open = self.open.split_off(whole);
        for line in std::mem::replace(&mut self.open, open).lines() {
            self.line(line);
        }
        json!({ "added": added, "errors": 0, "errors_info": {} })
    }

    fn line(&mut self, line: &str) {
        let Some(numbered) = line.strip_prefix("line ") else {
            self.others.push_str(line);
            self.others.push('\n');
            return;
        };
        let is_next = numbered
            .split_once(' ')
            .is_some_and(|(number, rest)| number.parse() == Ok(self.count + 1) && rest == FILLING);
        if is_next {
            self.count += 1;
        } else {
            self.wrong
                .get_or_insert(format!("behind line {}: {line}", self.count));
        }
    }
}

fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().expect("nobody has panicked")
}

/// The most resident memory that the process has had until now, KiB.
fn peak_memory(pid: u64) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.split_whitespace().next()?.parse().ok());
    peak.unwrap_or_else(|| panic!("{status}"))
}

/// What the run takes while it prints.
#[derive(Debug, Default)]
struct Taken {
    /// Bytes that the program has printed.
    printed: u64,
    /// Bytes of the output file on the disk, now and at most.
    disk: u64,
    most_disk: u64,
    /// The most resident memory of the supervisor, KiB; how much of it after the first eighth of the lines.
    memory: u64,
    early_memory: Option<u64>,
}

impl Taken {
    /// Looks once; `is_early` in the first eighth of the lines.
    #[track_caller]
    fn look(&mut self, context: &TestContext, is_early: bool) {
        // What it says of the log is older than what the file then is: the bound is never too low.
        let journal = context.journal();
        let (Some(output), Some(supervisor)) = (
            journal["output"].as_str(),
            journal["supervisor"]["pid"].as_u64(),
        ) else {
            return;
        };
        let file = fs::metadata(output).expect("there while the program runs");
        let acknowledged = journal["progress"]["acknowledged"].as_u64().unwrap_or(0);
        let waiting = file.len() - acknowledged;
        self.printed = file.len();
        self.disk = file.blocks() * 512;
        self.most_disk = self.most_disk.max(self.disk);
        assert!(self.disk <= waiting + DISK_SLACK, "{waiting}: {self:?}");
        self.memory = peak_memory(supervisor);
        if !is_early {
            self.early_memory.get_or_insert(self.memory);
        }
        let most = self
            .early_memory
            .map_or(MOST_MEMORY, |early| MOST_MEMORY.min(early + MOST_GROWTH));
        assert!(self.memory <= most, "more than {most} KiB: {self:?}");
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the figures are for who runs the full size"
)]
fn report(text: &str) {
    println!("{text}");
}

/// D-263, D-222, D-224: each line once and in its place, memory flat, and the disk given back while the program prints.
#[test]
fn output_without_end_costs_neither_memory_nor_disk() {
    let count = number("OUTPUT_BYTES", 64_000_000) / LINE;
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    let lines = Arc::new(Mutex::new(Lines::default()));
    let taker = lines.clone();
    proxy.take("events.add_batch", move |body| lock(&taker).take(body));
    let gate = context.gate("gate");
    let print = format!("seq -f 'line %011.0f {FILLING}' {count}");
    let task = context.enqueue(Script::shell(&format!("{print}; {}", gate.wait())));
    // Its own console has a reader who takes everything.
    let mut daemon = context.command(&["daemon", "--queue", "default", "--foreground"]);
    let mut daemon = daemon.stdout(Stdio::null()).spawn().expect("started");
    context.wait_for_status(&task, "in_progress");
    let started = Instant::now();
    let (mut taken, mut arrived) = (Taken::default(), 0);
    while arrived < count {
        let before = arrived;
        let goes_on = wait_until(|| {
            taken.look(&context, arrived < count / 8);
            let lines = lock(&lines);
            assert_eq!(lines.wrong, None);
            arrived = lines.count;
            arrived > before
        });
        assert!(goes_on, "{arrived} of {count} lines: {taken:?}");
    }
    let took = started.elapsed();
    // The program is still there, and has nothing left that the server does not have.
    let is_given_back = wait_until(|| {
        taken.look(&context, false);
        taken.disk <= DISK_SLACK
    });
    assert!(is_given_back, "{taken:?}");
    report(&format!("{count} lines in {took:.1?}: {taken:?}"));
    gate.open();
    context.wait_for_status(&task, "completed");
    context.wait_for_no_runs();
    let lines = lock(&lines);
    assert_eq!((lines.count, &lines.wrong), (count, &None));
    let rest = format!("{}{}", lines.others, lines.open);
    assert!(rest.ends_with("Process completed successfully"), "{rest}");
    daemon.kill().expect("it runs");
    daemon.wait().expect("it has ended");
}
