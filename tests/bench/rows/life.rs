//! A task from its queue to its final status, by the server's record and the program's own clock.

use std::ffi::OsStr;
use std::time::SystemTime;

use anyhow::Context;
use local_server::RecordedRequest;
use serde_json::{Value, json};

use super::{Measurement, Row, row};
use crate::world::World;

/// Runs of one turn that count: one before them warms the caches, one behind them ends the last gap.
const RUNS: usize = 3;
/// Words before the times that a program prints.
pub(super) const FIRST: &str = "bench-first ";
pub(super) const LAST: &str = "bench-last ";

pub(super) const SHELL: &str =
    r#"echo "bench-first $EPOCHREALTIME"; echo "bench-last $EPOCHREALTIME""#;
pub(super) const PYTHON: &str = "
import time
print('bench-first', time.time())
print('bench-last', time.time())
";

/// The rows of [`lives`].
macro_rules! rows {
    ($task:literal) => {
        &[
            row(concat!($task, ": in progress -> first line printed"), "s"),
            row(concat!($task, ": launched -> first line printed"), "s"),
            row(
                concat!($task, ": launched -> first line at the server"),
                "s",
            ),
            row(concat!($task, ": launched -> final status"), "s"),
            row(concat!($task, ": last line printed -> final status"), "s"),
            row(
                concat!($task, ": last line printed -> first line of the next task"),
                "s",
            ),
        ]
    };
}

pub(super) use rows;

const SHELL_ROWS: &[Row] = rows!("shell script");
const PYTHON_ROWS: &[Row] = rows!("Python without packages");
const CACHED_ROWS: &[Row] = rows!("Python with a cached environment");

pub(super) const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "shell",
        rows: SHELL_ROWS,
        rounds: 2,
        round: |world| lives(world, &shell(SHELL), &[]),
    },
    Measurement {
        name: "python",
        rows: PYTHON_ROWS,
        rounds: 2,
        round: |world| lives(world, &python(PYTHON, ""), &[]),
    },
    Measurement {
        name: "cached",
        rows: CACHED_ROWS,
        rounds: 2,
        round: |world| lives(world, &python(PYTHON, "six==1.17.0\n"), &[]),
    },
];

/// A script that needs no Python environment.
pub(super) fn shell(text: &str) -> Value {
    json!({ "binary": "/bin/bash", "entry_point": "main.sh", "working_dir": ".", "diff": text })
}

/// A program that needs packages of this list.
pub(super) fn python(text: &str, requirements: &str) -> Value {
    json!({
        "binary": "python3",
        "entry_point": "main.py",
        "working_dir": ".",
        "diff": text,
        "requirements": { "pip": requirements },
    })
}

/// Times of one task, in seconds since the epoch.
pub(super) struct Life {
    pub(super) in_progress: f64,
    launched: f64,
    pub(super) first_printed: f64,
    first_received: f64,
    pub(super) last_printed: f64,
    pub(super) settled: f64,
}

/// All tasks wait in the queue when the daemon starts, so that no run waits for the next look at it.
pub(super) fn lives(
    world: &World,
    script: &Value,
    variables: &[(&str, &OsStr)],
) -> anyhow::Result<Vec<Vec<f64>>> {
    let tasks: Vec<String> = (0..RUNS + 2)
        .map(|_| world.enqueue(script).map(|(task, _)| task))
        .collect::<anyhow::Result<_>>()?;
    let _daemon = world.daemon_with(&[], variables)?;
    let lives: Vec<Life> = tasks
        .iter()
        .map(|task| life(world, task))
        .collect::<anyhow::Result<_>>()?;
    let neighbours = lives.iter().zip(&lives[1..]).skip(1);
    Ok(neighbours
        .map(|(this, next)| {
            vec![
                this.first_printed - this.in_progress,
                this.first_printed - this.launched,
                this.first_received - this.launched,
                this.settled - this.launched,
                this.settled - this.last_printed,
                next.first_printed - this.last_printed,
            ]
        })
        .collect())
}

/// Waits for the end of the task.
pub(super) fn life(world: &World, task: &str) -> anyhow::Result<Life> {
    let settled = world.wait_for("tasks.completed", |requests| {
        arrival(requests, |request| {
            is_about(request, task, "tasks.completed")
        })
    })?;
    let requests = world.server.requests();
    let in_progress = arrival(&requests, |request| {
        is_about(request, task, "tasks.started")
    });
    let launched = arrival(&requests, |request| {
        is_about(request, task, "tasks.started")
            && request.body["status_message"] == "launch by agent"
    });
    let first_received = arrival(&requests, |request| console(request, task).contains(FIRST));
    let console: String = requests
        .iter()
        .map(|request| console(request, task))
        .collect();
    Ok(Life {
        in_progress: seconds(in_progress.context("`tasks.started` was not received")?),
        launched: seconds(launched.context("`launch by agent` was not received")?),
        first_printed: printed_at(&console, FIRST)?,
        first_received: seconds(first_received.context("the first line was not received")?),
        last_printed: printed_at(&console, LAST)?,
        settled: seconds(settled),
    })
}

/// When the first such request arrived.
pub(super) fn arrival(
    requests: &[RecordedRequest],
    wanted: impl Fn(&RecordedRequest) -> bool,
) -> Option<SystemTime> {
    requests
        .iter()
        .find(|request| wanted(request))
        .map(|request| request.at)
}

/// Whether this is that call for this task.
pub(super) fn is_about(request: &RecordedRequest, task: &str, endpoint: &str) -> bool {
    request.endpoint == endpoint && request.body["task"] == task
}

/// The console of the task that this request brings.
pub(super) fn console(request: &RecordedRequest, task: &str) -> String {
    let events = request.body["__json_lines__"]
        .as_array()
        .into_iter()
        .flatten();
    events
        .filter(|event| event["task"] == task && event["type"] == "log")
        .filter_map(|event| event["msg"].as_str())
        .collect()
}

/// The time behind the word, seconds since the epoch.
pub(super) fn printed_at(console: &str, word: &str) -> anyhow::Result<f64> {
    let (_, rest) = console
        .split_once(word)
        .with_context(|| format!("no `{word}` in {console}"))?;
    let time = rest.split_whitespace().next().unwrap_or_default();
    time.parse()
        .with_context(|| format!("`{word}` is followed by `{time}`"))
}

/// Since the epoch.
pub(super) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
