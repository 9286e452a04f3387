//! A program that prints a thousand lines a second for a minute, and one that prints a gigabyte.

use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use serde_json::json;

use super::life::{self, arrival, console, is_about, python, seconds};
use super::lines::memory;
use super::{Measurement, row};
use crate::world::World;

const LINE: &str = "bench line ";
const LINES: usize = 60_000;
/// Each line has its own time.
const STEADY: &str = "
import sys, time
begin = time.time()
for number in range(60000):
    time.sleep(max(0, begin + number / 1000 - time.time()))
    print('bench line', number, time.time(), flush=True)
print('bench-last', time.time())
";
/// The longest that a gigabyte may take.
const PATIENCE: Duration = Duration::from_mins(20);
/// Between two looks at memory and state of the task.
const LOOK: Duration = Duration::from_millis(100);

pub(super) const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "steady",
        rows: &[
            row(
                "1,000 lines a second for a minute: line printed -> at the server, median",
                "s",
            ),
            row("the same, worst", "s"),
            row("the same: missing lines", ""),
        ],
        rounds: 1,
        round: steady,
    },
    Measurement {
        name: "gigabyte",
        rows: &[
            row(
                "1 GB in lines of 1,000 characters: first line printed -> final status",
                "s",
            ),
            row(
                "the same: most memory of the agent's processes (RSS)",
                "MiB",
            ),
        ],
        rounds: 1,
        round: gigabyte,
    },
];

fn steady(world: &World) -> anyhow::Result<Vec<Vec<f64>>> {
    let _daemon = world.daemon()?;
    let before = world.server.requests().len();
    let (task, _) = world.enqueue(&python(STEADY, ""))?;
    world.wait_for("tasks.completed", |requests| {
        arrival(&requests[before..], |request| {
            is_about(request, &task, "tasks.completed")
        })
    })?;
    let mut delays = Vec::new();
    for request in &world.server.requests()[before..] {
        let arrived = seconds(request.at);
        let text = console(request, &task);
        let times = text.lines().filter_map(|line| {
            let (_, time) = line.strip_prefix(LINE)?.split_once(' ')?;
            time.parse::<f64>().ok()
        });
        delays.extend(times.map(|time| arrived - time));
    }
    delays.sort_by(f64::total_cmp);
    let missing = u32::try_from(LINES.saturating_sub(delays.len()))?;
    let worst = delays.last().context("no line was received")?;
    Ok(vec![vec![
        delays[delays.len() / 2],
        *worst,
        f64::from(missing),
    ]])
}

/// On a server that keeps no record, which would be as large.
fn gigabyte(world: &World) -> anyhow::Result<Vec<Vec<f64>>> {
    let world = world.unrecorded()?;
    let begun = world.file("begun");
    let script = format!(
        "date +%s.%N > '{}'; head -c 1000000000 /dev/zero | tr '\\0' x | fold -w 999",
        begun.display()
    );
    let daemon = world.daemon_unseen()?;
    let (task, _) = world.enqueue(&life::shell(&script))?;
    let deadline = Instant::now() + PATIENCE;
    let mut most = 0.0_f64;
    while world
        .server
        .call("tasks.get_by_id", json!({ "task": task }))?["task"]["status"]
        != "completed"
    {
        if Instant::now() > deadline {
            bail!("{}: the task does not end", world.contender.name);
        }
        most = most.max(memory(&daemon));
        thread::sleep(LOOK);
    }
    let ended = seconds(SystemTime::now());
    let begun: f64 = fs::read_to_string(begun)?.trim().parse()?;
    Ok(vec![vec![ended - begun, most]])
}
