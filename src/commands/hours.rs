//! When a daemon takes tasks: from options and settings to a schedule, and the time of day.

use chrono::{Datelike, Timelike};

use super::Failed;
use crate::cli::Daemon;
use crate::settings::AgentSettings;
use crate::worker::{Hour, Schedule};

/// When tasks are taken: the command line's hours, else those of the configuration (D-034, D-281).
pub(super) fn schedule(agent: &AgentSettings, arguments: &Daemon) -> Result<Schedule, Failed> {
    fn hours<'a>(
        option: &'static str,
        given: Option<&'a Vec<String>>,
        key: &'static str,
        configured: Option<&'a Vec<String>>,
    ) -> (&'static str, &'a [String]) {
        match given {
            Some(entries) => (option, entries),
            None => (key, configured.map_or(&[], Vec::as_slice)),
        }
    }
    let uptime = hours(
        "--uptime",
        arguments.uptime.as_ref(),
        "agent.uptime",
        agent.uptime.as_ref(),
    );
    let downtime = hours(
        "--downtime",
        arguments.downtime.as_ref(),
        "agent.downtime",
        agent.downtime.as_ref(),
    );
    Schedule::parse(uptime, downtime)
        .map_err(|error| Failed::new(error, Some("an entry looks like \"9-17,20-22 MON-FRI\"")))
}

/// The hour on this machine's clocks.
pub(super) fn local_hour() -> Hour {
    let now = chrono::Local::now();
    Hour {
        day: now.weekday().num_days_from_sunday() as usize,
        hour: u8::try_from(now.hour()).unwrap_or_default(),
    }
}
