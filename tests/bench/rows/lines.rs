//! A task that prints as fast as it can.

use std::fs;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};

use super::life::{FIRST, LAST, arrival, console, is_about, printed_at, seconds, shell};
use super::{Measurement, row};
use crate::daemon::Daemon;
use crate::processes;
use crate::world::{PATIENCE, World};

/// Lines between the first and the last one.
const LINES: u64 = 200_000;
const SCRIPT: &str = r#"echo "bench-first $EPOCHREALTIME"; seq -f "bench line %.0f" 200000; echo "bench-last $EPOCHREALTIME""#;
const LINE: &str = "bench line ";
/// Programs of the task, which are not the agent's.
const PROGRAMS: [&str; 5] = ["bash", "seq", "head", "tr", "fold"];
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(50);

pub(super) const MEASUREMENTS: &[Measurement] = &[Measurement {
    name: "lines",
    rows: &[
        row(
            "200,000 lines: first line printed -> last line at the server",
            "s",
        ),
        row("200,000 lines: first line printed -> final status", "s"),
        row("200,000 lines: missing, doubled or out of place", ""),
        row(
            "200,000 lines: most memory of the agent's processes (RSS)",
            "MiB",
        ),
    ],
    rounds: 3,
    round: |world| lines(world).map(|values| vec![values]),
}];

fn lines(world: &World) -> anyhow::Result<Vec<f64>> {
    let daemon = world.daemon()?;
    let before = world.server.requests().len();
    let (task, _) = world.enqueue(&shell(SCRIPT))?;
    let deadline = SystemTime::now() + PATIENCE;
    let mut most = 0.0_f64;
    let settled = loop {
        most = most.max(memory(&daemon));
        let requests = world.server.requests();
        let is_end = |request: &_| is_about(request, &task, "tasks.completed");
        if let Some(settled) = arrival(&requests[before..], is_end) {
            break settled;
        }
        if SystemTime::now() > deadline {
            bail!("{}: the task does not end", world.contender.name);
        }
        drop(requests);
        thread::sleep(LOOK);
    };
    let requests = world.server.requests();
    let requests = &requests[before..];
    let last = arrival(requests, |request| console(request, &task).contains(LAST));
    let last = last.context("the last line was not received")?;
    let log: String = requests
        .iter()
        .map(|request| console(request, &task))
        .collect();
    let first = printed_at(&log, FIRST)?;
    let numbers = log
        .lines()
        .filter_map(|line| line.strip_prefix(LINE)?.parse().ok());
    Ok(vec![
        seconds(last) - first,
        seconds(settled) - first,
        misplaced(numbers),
        most,
    ])
}

/// How many numbers from 1 on are missing, or are not where they belong.
fn misplaced(numbers: impl Iterator<Item = u64>) -> f64 {
    let mut next = 1;
    let mut wrong = 0_u32;
    for number in numbers {
        if number == next {
            next += 1;
        } else {
            wrong += 1;
        }
    }
    let missing = u32::try_from(LINES + 1 - next).unwrap_or(u32::MAX);
    f64::from(wrong) + f64::from(missing)
}

/// What the agent's processes have now, MiB.
pub(super) fn memory(daemon: &Daemon) -> f64 {
    let agents: Vec<i32> = daemon
        .processes()
        .into_iter()
        .filter(|pid| is_of_agent(*pid))
        .collect();
    processes::usage(&agents).resident
}

fn is_of_agent(pid: i32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    !PROGRAMS.contains(&name.trim_end())
}
