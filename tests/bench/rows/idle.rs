//! What a daemon costs that has nothing to do.

use std::thread;
use std::time::{Duration, SystemTime};

use super::{Measurement, row};
use crate::processes;
use crate::world::World;

/// Until start-up is over.
const SETTLING: Duration = Duration::from_secs(10);
/// How long is looked at.
const WINDOW: Duration = Duration::from_mins(1);

pub(super) const MEASUREMENTS: &[Measurement] = &[Measurement {
    name: "idle",
    rows: &[
        row("idle daemon, resident memory (RSS) after 70 s", "MiB"),
        row("idle daemon, own share of memory (PSS) after 70 s", "MiB"),
        row("idle daemon, processor time a minute", "ms"),
        row("idle daemon, requests a minute", ""),
    ],
    rounds: 1,
    round: idle,
}];

fn idle(world: &World) -> anyhow::Result<Vec<Vec<f64>>> {
    let daemon = world.daemon()?;
    thread::sleep(SETTLING);
    let (begin, before) = (SystemTime::now(), processes::usage(&daemon.processes()));
    thread::sleep(WINDOW);
    let after = processes::usage(&daemon.processes());
    let requests = world.server.requests();
    let received = requests
        .iter()
        .filter(|request| request.at >= begin)
        .count();
    let processor = after.processor.saturating_sub(before.processor);
    Ok(vec![vec![
        after.resident,
        after.proportional,
        processor.as_secs_f64() * 1e3,
        f64::from(u32::try_from(received)?),
    ]])
}
