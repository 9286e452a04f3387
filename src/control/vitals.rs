//! What is known and counted of every worker, from its start on.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::protocol::{QueueStatus, TaskStatus, WorkerStatus};
use crate::REFERENCE_VERSION;
use crate::monitor::{Exposition, MetricKind};
use crate::process::since_epoch;

/// So many status reports may fail before the worker is not well.
const MISSED_REPORTS: u32 = 3;
/// For the way to the server, and for the first report, which takes its time (D-173).
const SLACK: Duration = Duration::from_secs(5);

/// Plain values, as they are at one moment; clones are told together to take no more tasks.
#[derive(Clone, Debug)]
pub struct Vitals {
    started: Instant,
    /// Looks at the queues.
    polls: u64,
    /// Questions to a queue that had no answer, or a refusal.
    poll_errors: u64,
    /// When the server last answered.
    contact: Option<Instant>,
    /// When it last took a report.
    report: Option<Instant>,
    /// When the queues are asked again; none while they are asked, and while there is no reason to.
    next_poll: Option<Instant>,
    is_registered: bool,
    /// Cancelled where no more tasks are taken.
    draining: CancellationToken,
    /// Without a task, up to `idle_since`.
    idle: Duration,
    /// Without a task from then on.
    idle_since: Option<Instant>,
}

impl Vitals {
    /// Of a worker that begins now, without a task.
    #[must_use]
    pub fn begin() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            polls: 0,
            poll_errors: 0,
            contact: None,
            report: None,
            next_poll: None,
            is_registered: false,
            draining: CancellationToken::new(),
            idle: Duration::ZERO,
            idle_since: Some(now),
        }
    }

    /// The server knows the worker.
    pub fn is_registered(&self) -> bool {
        self.is_registered
    }

    /// It takes no more tasks.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Cancelled from [`Self::drain`] on.
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// The server has answered.
    pub fn contacted(&mut self) {
        self.contact = Some(Instant::now());
    }

    /// The server has registered the worker.
    pub fn registered(&mut self) {
        self.is_registered = true;
        self.contacted();
    }

    /// The server has taken a report, which registers as well (D-105).
    pub fn report_taken(&mut self) {
        self.registered();
        self.report = self.contact;
    }

    /// A look at the queues begins.
    pub fn poll_begins(&mut self) {
        self.polls += 1;
        self.next_poll = None;
    }

    /// A queue was asked.
    pub fn asked(&mut self, has_answered: bool) {
        if has_answered {
            self.contacted();
        } else {
            self.poll_errors += 1;
        }
    }

    /// When the queues are asked again; none while there is no reason to.
    pub fn rests_until(&mut self, next_poll: Option<Instant>) {
        self.next_poll = next_poll;
    }

    /// The worker has tasks, or none.
    pub fn has_tasks(&mut self, has_tasks: bool) {
        if has_tasks {
            self.idle = self.idle();
            self.idle_since = None;
        } else {
            self.idle_since.get_or_insert_with(Instant::now);
        }
    }

    /// It takes no more tasks from now on.
    pub fn drain(&mut self) {
        self.draining.cancel();
        self.next_poll = None;
    }

    /// How long the worker has had no task, all in all.
    fn idle(&self) -> Duration {
        let since = self.idle_since.map(|since| since.elapsed());
        self.idle + since.unwrap_or_default()
    }

    /// The process answers, so it lives; it is of use while the server takes its reports, of which there is one each `interval`.
    pub fn health(&self, interval: Duration) -> Result<(), String> {
        let silence = self.report.unwrap_or(self.started).elapsed();
        if silence <= interval * MISSED_REPORTS + SLACK {
            return Ok(());
        }
        Err(format!(
            "the server has taken no status report for {} s",
            silence.as_secs()
        ))
    }

    /// What the worker of this id says when it is asked what it does; what is not common to all workers is left out.
    pub fn status(
        &self,
        worker: &str,
        queues: Vec<QueueStatus>,
        tasks: Vec<TaskStatus>,
    ) -> WorkerStatus {
        let now = Instant::now();
        let next_poll = self.next_poll;
        WorkerStatus {
            worker: worker.to_owned(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            reference_version: REFERENCE_VERSION.to_owned(),
            queues,
            spool_bytes: tasks.iter().map(|task| task.spool_bytes).sum(),
            tasks,
            uptime_seconds: seconds(self.started.elapsed()),
            last_server_contact_seconds: self.contact.map(|contact| seconds(contact.elapsed())),
            draining: self.is_draining(),
            next_poll_seconds: next_poll.map(|next| seconds(next.saturating_duration_since(now))),
            container_engine: None,
            cluster: None,
            limit: None,
        }
    }

    /// The figures that all workers have, these tasks among them by their phases.
    #[expect(
        clippy::cast_precision_loss,
        reason = "figures of Prometheus are floats"
    )]
    pub fn figures<'a>(
        &self,
        worker: &str,
        phases: impl IntoIterator<Item = &'a str>,
        tasks: &[TaskStatus],
    ) -> Exposition {
        use MetricKind::{Counter, Gauge};
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("reference_version", REFERENCE_VERSION),
            ("worker", worker),
        ];
        let mut text = Exposition::default()
            .family("clearml_agent_build_info", Gauge, "The agent; always 1.")
            .labelled(&labels, 1.0)
            .figure(
                "clearml_agent_uptime_seconds",
                Gauge,
                "Since the worker began.",
                self.started.elapsed().as_secs_f64(),
            )
            .figure(
                "clearml_agent_polls_total",
                Counter,
                "Looks at the queues.",
                self.polls as f64,
            )
            .figure(
                "clearml_agent_poll_errors_total",
                Counter,
                "Questions to a queue that were not answered, or refused.",
                self.poll_errors as f64,
            )
            .figure(
                "clearml_agent_idle_seconds_total",
                Counter,
                "Time in which the worker had no task.",
                self.idle().as_secs_f64(),
            )
            .figure(
                "clearml_agent_draining",
                Gauge,
                "1 while the worker takes no more tasks and waits for the end of those that it has.",
                f64::from(u8::from(self.is_draining())),
            );
        if let Some(contact) = self.contact {
            let time = since_epoch().saturating_sub(contact.elapsed());
            text = text.figure(
                "clearml_agent_last_server_contact_timestamp_seconds",
                Gauge,
                "When the server last answered the worker.",
                time.as_secs_f64(),
            );
        }
        text = text.family(
            "clearml_agent_tasks",
            Gauge,
            "Tasks that the worker has, by where they are.",
        );
        for phase in phases {
            let count = tasks.iter().filter(|task| task.phase == phase).count();
            text = text.labelled(&[("phase", phase)], count as f64);
        }
        text
    }
}

/// To the millisecond.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_well_as_long_as_its_reports_are_taken() {
        let mut vitals = Vitals::begin();
        let interval = Duration::from_secs(30);
        assert_eq!(vitals.health(interval), Ok(()));
        let Some(begin) = Instant::now().checked_sub(Duration::from_secs(100)) else {
            // The machine has just started.
            return;
        };
        vitals.started = begin;
        let silent = "the server has taken no status report for 100 s";
        assert_eq!(vitals.health(interval), Err(silent.to_owned()));
        vitals.report_taken();
        assert_eq!(vitals.health(interval), Ok(()));
        assert!(vitals.is_registered());
    }

    #[test]
    fn a_worker_idles_while_it_has_no_task() {
        let mut vitals = Vitals::begin();
        assert!(vitals.idle_since.is_some());
        vitals.has_tasks(true);
        let idle = vitals.idle();
        assert_eq!(idle, vitals.idle());
        vitals.has_tasks(false);
        assert!(vitals.idle_since.is_some() && vitals.idle() >= idle);
    }

    #[test]
    fn a_worker_that_drains_asks_no_queue() {
        let mut vitals = Vitals::begin();
        vitals.rests_until(Some(Instant::now() + Duration::from_mins(1)));
        let status = vitals.status("w", Vec::new(), Vec::new());
        assert!(status.next_poll_seconds.is_some_and(|next| next > 50.0));
        vitals.drain();
        let status = vitals.status("w", Vec::new(), Vec::new());
        assert_eq!((status.next_poll_seconds, status.draining), (None, true));
    }
}
