//! How long verbs take that print something and end.

use std::process::Stdio;
use std::time::Instant;

use anyhow::ensure;

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
];

/// The first run fills the caches of the disk and does not count.
fn wall_times(world: &World, words: &[&str]) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut times = Vec::new();
    for _ in 0..=RUNS {
        let mut command = world.command(words)?;
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let begin = Instant::now();
        let status = command.status()?;
        times.push(vec![begin.elapsed().as_secs_f64() * 1e3]);
        ensure!(
            status.success(),
            "{} {words:?}: {status}",
            world.contender.name
        );
    }
    Ok(times.split_off(1))
}
