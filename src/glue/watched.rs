//! What a glue says of itself to those who ask: what it does, its figures, whether it is well, whether it takes tasks.

use std::time::Instant;

use super::state::GlueState;
use super::under_way::PHASES;
use crate::control::{QueueStatus, Watched, WorkerStatus};
use crate::monitor::MetricKind;

impl Watched for GlueState {
    async fn status(&self) -> WorkerStatus {
        let tasks = self.tasks();
        let about = self.about();
        let queues = about.queues.iter();
        let queues = queues.map(|(id, name)| QueueStatus::new(id, Some(name)));
        let known = self.known();
        let not_asked = || Err("it has not been asked yet".to_owned());
        let cluster = known.cluster.clone().unwrap_or_else(not_asked);
        let worker = about.worker.as_str();
        WorkerStatus {
            cluster: Some(cluster.into()),
            limit: about.limit,
            ..known.vitals.status(worker, queues.collect(), tasks)
        }
    }

    fn drain(&self) {
        Self::drain(self);
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "figures of Prometheus are floats"
    )]
    async fn metrics(&self) -> String {
        use MetricKind::{Counter, Gauge};
        let tasks = self.tasks();
        let about = self.about();
        let known = self.known();
        let mut text = known
            .vitals
            .figures(about.worker.as_str(), PHASES, &tasks)
            .figure(
                "clearml_agent_jobs_submitted_total",
                Counter,
                "Tasks that have become jobs of the cluster.",
                known.submitted as f64,
            )
            .figure(
                "clearml_agent_tasks_failed_total",
                Counter,
                "Tasks that this worker has set to failed: the cluster has refused them, or their jobs were lost.",
                known.failed as f64,
            )
            .figure(
                "clearml_agent_tasks_given_back_total",
                Counter,
                "Tasks that this worker has put back into their queues.",
                known.given_back as f64,
            );
        if let Some(limit) = about.limit {
            text = text.figure(
                "clearml_agent_tasks_limit",
                Gauge,
                "Most tasks that the worker has at once.",
                limit as f64,
            );
        }
        if let Some(cluster) = &known.cluster {
            text = text.figure(
                "clearml_agent_cluster_up",
                Gauge,
                "1 while the cluster answers, as of the last look at it.",
                f64::from(u8::from(cluster.is_ok())),
            );
        }
        text.into_text()
    }

    fn health(&self) -> Result<(), String> {
        let known = self.known();
        known.vitals.health(self.about().report_interval)
    }

    fn readiness(&self) -> Result<(), String> {
        obstacle(self).map_or(Ok(()), Err)
    }
}

/// Why no task is taken.
fn obstacle(state: &GlueState) -> Option<String> {
    let known = state.known();
    let is_refused = known
        .refused_until
        .is_some_and(|until| Instant::now() < until);
    let text = if known.vitals.is_draining() {
        "it drains"
    } else if !known.vitals.is_registered() {
        "the server does not know this worker yet"
    } else if !state.about().session.is_answering() {
        "the server does not answer"
    } else if known.cluster.is_none() {
        "the cluster has not been asked yet"
    } else if let Some(Err(why)) = &known.cluster {
        return Some(format!("the cluster does not answer: {why}"));
    } else if is_refused {
        "the cluster takes no job at present"
    } else {
        return None;
    };
    Some(text.to_owned())
}
