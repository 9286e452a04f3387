//! How long verbs take that print something and end.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::life::{PYTHON, python};
use super::{Measurement, row};
use crate::world::World;

/// Runs in one turn.
const RUNS: usize = 10;

pub(super) const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "version",
        rows: &[row("`clearml-agent --version`, wall time", "ms")],
        rounds: 2,
        round: |world| wall_times(world, &["--version"]),
    },
    Measurement {
        name: "help",
        rows: &[row("`clearml-agent --help`, wall time", "ms")],
        rounds: 2,
        round: |world| wall_times(world, &["--help"]),
    },
    Measurement {
        name: "config",
        rows: &[row("`clearml-agent config`, wall time", "ms")],
        rounds: 2,
        round: |world| wall_times(world, &["config"]),
    },
    Measurement {
        name: "list",
        rows: &[row("`clearml-agent list`, wall time", "ms")],
        rounds: 2,
        round: |world| wall_times(world, &["list"]),
    },
    Measurement {
        name: "execute",
        rows: &[row(
            "`clearml-agent execute --id`, Python with a cached environment, wall time",
            "s",
        )],
        rounds: 2,
        round: executions,
    },
];

/// Tasks of one turn, one before them not counted: it fills the cache.
const TASKS: usize = 3;

/// Each run is one of a task of its own, as after an enqueue.
fn executions(world: &World) -> anyhow::Result<Vec<Vec<f64>>> {
    let script = python(PYTHON, "six==1.17.0\n");
    let mut times = Vec::new();
    for _ in 0..=TASKS {
        let task = world.create(&script)?;
        let words = ["execute", "--id", &task];
        times.push(vec![wall_time(world, &words)?.as_secs_f64()]);
    }
    Ok(times.split_off(1))
}

/// The first run fills the caches of the disk and does not count.
fn wall_times(world: &World, words: &[&str]) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut times = Vec::new();
    for _ in 0..=RUNS {
        times.push(vec![wall_time(world, words)?.as_secs_f64() * 1e3]);
    }
    Ok(times.split_off(1))
}

/// Of one call, which has to succeed.
fn wall_time(world: &World, words: &[&str]) -> anyhow::Result<Duration> {
    let mut command = world.command(words)?;
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    let status = command.status()?;
    let time = begin.elapsed();
    ensure!(
        status.success(),
        "{} {words:?}: {status}",
        world.contender.name
    );
    Ok(time)
}
