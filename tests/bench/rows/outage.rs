//! A task whose server, or agent, is away for a while: what is lost, what comes twice, and when the task has its final status.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::life::{arrival, console, seconds, shell};
use super::{Measurement, Row, row};
use crate::support::{Fault, FaultProxy};
use crate::world::World;

/// The program prints a line each tenth of a second, so many.
const LINES: usize = 200;
/// The trouble begins when the server has this line.
const BEGIN: usize = 50;
/// A task without a final status after this time is stuck.
const LIMIT: Duration = Duration::from_mins(2);

/// What happens while the task runs.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// Requests meet this fault for so many seconds.
    Fault(Fault, u64),
    /// Each second request with lines of the console does, to the end.
    Lines(Fault),
    /// The process that was started is killed, and started again after five seconds.
    AgentKilled,
    /// All processes below it as well.
    AllKilled,
}

macro_rules! trouble {
    ($word:literal, $title:literal, $trouble:expr) => {{
        const ROWS: &[Row] = &[
            row(concat!($title, ": lines lost"), ""),
            row(concat!($title, ": lines doubled"), ""),
            row(
                concat!($title, ": tasks without a final status two minutes later"),
                "",
            ),
            row(concat!($title, ": all well again -> final status"), "s"),
        ];
        Measurement {
            name: concat!("outage-", $word),
            rows: ROWS,
            rounds: 1,
            round: |world| Ok(vec![meet(world, $trouble)?]),
        }
    }};
}

pub(super) const MEASUREMENTS: &[Measurement] = &[
    trouble!(
        "refused",
        "server away for 10 s",
        Trouble::Fault(Fault::Refused, 10)
    ),
    trouble!(
        "end",
        "server away for 30 s, over the program's end",
        Trouble::Fault(Fault::Refused, 30)
    ),
    trouble!(
        "gateway",
        "gateway answers 502 for 10 s",
        Trouble::Fault(Fault::BadGateway, 10)
    ),
    trouble!(
        "silent",
        "server does not answer for 10 s",
        Trouble::Fault(Fault::Hang, 10)
    ),
    trouble!(
        "answers",
        "each second answer about lines lost",
        Trouble::Lines(Fault::AnswerLost)
    ),
    trouble!(
        "agent",
        "agent killed, and started again after 5 s",
        Trouble::AgentKilled
    ),
    trouble!(
        "all",
        "all processes killed, agent started again after 5 s",
        Trouble::AllKilled
    ),
];

fn meet(world: &World, trouble: Trouble) -> anyhow::Result<Vec<f64>> {
    let proxy = FaultProxy::start(&world.server.url());
    let url = proxy.url();
    let variables = [("CLEARML_API_HOST", OsStr::new(&url))];
    let mut daemon = world.daemon_with(&[], &variables)?;
    let count = world.file("count");
    let script = format!(
        "for line in $(seq {LINES}); do echo \"line $line.\"; echo $line > {}; sleep 0.1; done",
        count.display()
    );
    let (task, _) = world.enqueue(&shell(&script))?;
    let begin = line(BEGIN);
    world.wait_for("line of the program", |requests| {
        arrival(requests, |request| console(request, &task).contains(&begin))
    })?;
    match trouble {
        Trouble::Fault(fault, length) => {
            proxy.set(move |_| Some(fault));
            thread::sleep(Duration::from_secs(length));
            proxy.set(|_| None);
        }
        Trouble::Lines(fault) => {
            let mut requests = 0_u32;
            proxy.set(move |call| {
                requests += u32::from(call == "events.add_batch");
                (call == "events.add_batch" && requests.is_multiple_of(2)).then_some(fault)
            });
        }
        Trouble::AgentKilled | Trouble::AllKilled => {
            let mut victims = daemon.processes();
            if matches!(trouble, Trouble::AgentKilled) {
                victims.truncate(1);
            }
            for pid in victims {
                // It may have ended already.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            thread::sleep(Duration::from_secs(5));
            drop(daemon);
            daemon = world.daemon_with(&[], &variables)?;
        }
    }
    let over = SystemTime::now();
    let settled = settled(world, &task, &count)?;
    drop(daemon);
    let requests = world.server.requests();
    let log: String = requests
        .iter()
        .map(|request| console(request, &task))
        .collect();
    let (mut lost, mut doubled) = (0_u32, 0_u32);
    for number in 1..=printed(&count)? {
        match log.matches(&line(number)).count() {
            0 => lost += 1,
            1 => {}
            _ => doubled += 1,
        }
    }
    let well = over.max(fs::metadata(&count)?.modified()?);
    Ok(vec![
        f64::from(lost),
        f64::from(doubled),
        if settled.is_some() { 0.0 } else { 1.0 },
        settled.map_or(f64::NAN, |time| seconds(time) - seconds(well)),
    ])
}

/// As the program prints it.
fn line(number: usize) -> String {
    format!("line {number}.\n")
}

/// How many lines the program has printed.
fn printed(count: &Path) -> anyhow::Result<usize> {
    Ok(fs::read_to_string(count)?.trim().parse()?)
}

/// When the task got its final status; none where it is stuck.
fn settled(world: &World, task: &str, count: &Path) -> anyhow::Result<Option<SystemTime>> {
    let mut last = (printed(count)?, Instant::now());
    loop {
        let answer = world
            .server
            .call("tasks.get_by_id", json!({ "task": task }))?;
        let status = answer["task"]["status"].as_str().unwrap_or_default();
        if ["completed", "failed", "stopped"].contains(&status) {
            return Ok(Some(SystemTime::now()));
        }
        let lines = printed(count).unwrap_or(last.0);
        if lines != last.0 {
            last = (lines, Instant::now());
        }
        if last.1.elapsed() > LIMIT {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(20));
    }
}
