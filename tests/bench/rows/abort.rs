//! A task that is stopped on the server while it runs.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use serde_json::json;

use super::life::{FIRST, arrival, console, is_about, printed_at, seconds, shell};
use super::{Measurement, row};
use crate::processes;
use crate::world::{PATIENCE, World};

/// Prints its time and its process id, and lives on in that process.
const SCRIPT: &str = r#"echo "bench-first $EPOCHREALTIME $$"; exec sleep 600"#;
/// When the task comes behind a look at the queue, and the abort behind its first line: spread evenly over the five seconds of
/// both agents' intervals, as they are in life.
const DELAYS: [Duration; 4] = [
    Duration::from_millis(625),
    Duration::from_millis(1875),
    Duration::from_millis(3125),
    Duration::from_millis(4375),
];

pub(super) const MEASUREMENTS: &[Measurement] = &[Measurement {
    name: "abort",
    rows: &[
        row("idle daemon: task enqueued -> in progress", "s"),
        row("running task: line printed -> at the server", "s"),
        row("running task: abort set at the server -> program dead", "s"),
    ],
    rounds: 2,
    round: |world| {
        let _daemon = world.daemon()?;
        DELAYS.iter().map(|delay| abort(world, *delay)).collect()
    },
}];

fn abort(world: &World, delay: Duration) -> anyhow::Result<Vec<f64>> {
    let before = world.server.requests().len();
    world.wait_for("look at the queue", |requests| {
        arrival(&requests[before..], |request| {
            request.endpoint == "queues.get_next_task"
        })
    })?;
    thread::sleep(delay);
    let (task, enqueued) = world.enqueue(&shell(SCRIPT))?;
    let has_line = |request: &_| console(request, &task).contains(FIRST);
    let received = world.wait_for("first line", |requests| arrival(requests, has_line))?;
    let requests = world.server.requests();
    let started = arrival(&requests, |request| {
        is_about(request, &task, "tasks.started")
    });
    let waited = started
        .context("`tasks.started` was not received")?
        .duration_since(enqueued)?;
    let log: String = requests
        .iter()
        .map(|request| console(request, &task))
        .collect();
    let printed = printed_at(&log, FIRST)?;
    let pid = log
        .split_once(FIRST)
        .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok())
        .context("no process id in the console")?;
    // Behind the first line itself, however long it was on its way.
    let abort_at = UNIX_EPOCH + Duration::from_secs_f64(printed) + delay;
    thread::sleep(
        abort_at
            .duration_since(SystemTime::now())
            .unwrap_or_default(),
    );
    let begin = Instant::now();
    world.server.call("tasks.stop", json!({ "task": task }))?;
    while processes::is_alive(pid) {
        if begin.elapsed() > PATIENCE {
            bail!(
                "{}: the program lives on after the abort",
                world.contender.name
            );
        }
        thread::sleep(Duration::from_millis(5));
    }
    let dead = begin.elapsed().as_secs_f64();
    world.wait_for("final status", |requests| {
        arrival(requests, |request| {
            is_about(request, &task, "tasks.stopped")
        })
    })?;
    Ok(vec![
        waited.as_secs_f64(),
        seconds(received) - printed,
        dead,
    ])
}
