//! The gap between two tasks that need different environments, each made for the first time: idle GPU time.

use anyhow::Context;
use serde_json::Value;

use super::life::{self, FIRST, LAST};
use super::{Measurement, row};
use crate::world::World;

/// How a setting is overruled by a variable; the official agent has none of that name.
const SWITCH: &str = "CLEARML_AGENT__AGENT__PREFETCH__ENABLED";
/// Another release of a package of 60 MB for each task.
const WITH: [&str; 4] = ["2.2.0", "2.2.1", "2.2.2", "2.2.3"];
const WITHOUT: [&str; 4] = ["2.1.0", "2.1.1", "2.1.2", "2.1.3"];
/// It runs for some time, as tasks do.
const PROGRAM: &str = "
import time, numpy
print('bench-first', time.time(), flush=True)
time.sleep(30)
print('bench-last', time.time())
";

pub(super) const MEASUREMENTS: &[Measurement] = &[Measurement {
    name: "prefetch",
    rows: &[
        row(
            "new environments, tasks of 30 s: last line printed -> first line of the next task",
            "s",
        ),
        row("the same without prefetch (this agent)", "s"),
    ],
    // A second round would find the environments.
    rounds: 1,
    round: |world| {
        let with = gaps(world, &WITH, "true")?;
        let without = gaps(world, &WITHOUT, "false")?;
        let pairs = with.into_iter().zip(without);
        Ok(pairs.map(|(with, without)| vec![with, without]).collect())
    },
}];

fn gaps(world: &World, versions: &[&str], prefetches: &str) -> anyhow::Result<Vec<f64>> {
    let script =
        |version: &&str| -> Value { life::python(PROGRAM, &format!("numpy=={version}\n")) };
    let tasks: Vec<String> = versions
        .iter()
        .map(|version| world.enqueue(&script(version)).map(|(task, _)| task))
        .collect::<anyhow::Result<_>>()?;
    let _daemon = world.daemon_with(&[], &[(SWITCH, prefetches.as_ref())])?;
    let mut times = Vec::new();
    for task in &tasks {
        let settled = world.wait_for("tasks.completed", |requests| {
            life::arrival(requests, |request| {
                life::is_about(request, task, "tasks.completed")
            })
        });
        settled.with_context(|| format!("task {task}"))?;
        let console: String = world
            .server
            .requests()
            .iter()
            .map(|request| life::console(request, task))
            .collect();
        times.push((
            life::printed_at(&console, FIRST)?,
            life::printed_at(&console, LAST)?,
        ));
    }
    let neighbours = times.iter().zip(&times[1..]);
    Ok(neighbours.map(|(this, next)| next.0 - this.1).collect())
}
