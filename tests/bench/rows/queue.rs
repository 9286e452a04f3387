//! A long queue of tasks that have nothing to do: what the agent itself takes for each.

use super::life::{SHELL, arrival, is_about, seconds, shell};
use super::{Measurement, row};
use crate::world::World;

/// Tasks of this agent; the official one takes seconds for each.
const TASKS: usize = 500;
const TASKS_OF_OFFICIAL: usize = 20;

pub(super) const MEASUREMENTS: &[Measurement] = &[Measurement {
    name: "queue",
    rows: &[row(
        "a queue of tasks of 0 s (500; official: 20): time for each",
        "s",
    )],
    rounds: 1,
    round: queue,
}];

fn queue(world: &World) -> anyhow::Result<Vec<Vec<f64>>> {
    let count = if world.contender.is_official() {
        TASKS_OF_OFFICIAL
    } else {
        TASKS
    };
    let script = shell(SHELL);
    let tasks: Vec<String> = (0..count)
        .map(|_| world.enqueue(&script).map(|(task, _)| task))
        .collect::<anyhow::Result<_>>()?;
    let _daemon = world.daemon()?;
    let end_of = |task: &String| {
        world.wait_for("tasks.completed", |requests| {
            arrival(requests, |request| {
                is_about(request, task, "tasks.completed")
            })
        })
    };
    let ends: Vec<f64> = tasks
        .iter()
        .map(|task| end_of(task).map(seconds))
        .collect::<anyhow::Result<_>>()?;
    let whole = ends[count - 1] - ends[0];
    Ok(vec![vec![whole / f64::from(u32::try_from(count - 1)?)]])
}
