//! What a daemon says of itself to those who ask: what it does, its figures, whether it is well, whether it takes tasks.

use super::state::{Known, State};
use super::tasks::tasks;
use crate::control::{QueueStatus, TaskStatus, Watched, WorkerStatus};
use crate::monitor::MetricKind;
use crate::task::{Ending, Phase};

impl Watched for State {
    async fn status(&self) -> WorkerStatus {
        let tasks = of_journals(self).await;
        let (about, known) = (self.about(), self.known());
        let queues = about.queues.iter();
        let queues = queues.map(|(id, name)| QueueStatus::new(id, name.as_deref()));
        let worker = about.worker.as_str();
        WorkerStatus {
            container_engine: known.engine.map(Into::into),
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
        let tasks = of_journals(self).await;
        let known = self.known();
        let worker = self.about().worker.as_str();
        let spool: u64 = tasks.iter().map(|task| task.spool_bytes).sum();
        let mut text = known
            .vitals
            .figures(worker, Phase::NAMES, &tasks)
            .figure(
                "clearml_agent_spool_bytes",
                Gauge,
                "Output of tasks that the server does not have yet.",
                spool as f64,
            )
            .family(
                "clearml_agent_tasks_total",
                Counter,
                "Tasks that have ended, by how they did.",
            );
        for (ending, count) in Ending::ALL.iter().zip(known.endings) {
            text = text.labelled(&[("outcome", ending.name())], count as f64);
        }
        if !known.gpus.is_empty() {
            text = text.family(
                "clearml_agent_gpu_idle_seconds_total",
                Counter,
                "Time in which no program of a task of this worker ran that could use the GPU.",
            );
            for gpu in &known.gpus {
                text = text.labelled(&[("gpu", gpu)], known.gpu_idle.as_secs_f64());
            }
        }
        if let Some(engine) = &known.engine {
            text = text.figure(
                "clearml_agent_container_engine_up",
                Gauge,
                "1 while the engine of the containers answers, as of the last look at the queues.",
                f64::from(u8::from(engine.is_ok())),
            );
        }
        text.into_text()
    }

    fn health(&self) -> Result<(), String> {
        self.known().vitals.health(self.about().report_interval)
    }

    fn readiness(&self) -> Result<(), String> {
        obstacle(&self.known()).map_or(Ok(()), |why| Err(why.to_owned()))
    }
}

async fn of_journals(state: &State) -> Vec<TaskStatus> {
    let runs = state.known().runs.into_iter().map(|known| known.run);
    tasks(runs.collect()).await
}

/// Why no task is taken.
fn obstacle(known: &Known) -> Option<&'static str> {
    if known.vitals.is_draining() {
        Some("it drains")
    } else if !known.vitals.is_registered() {
        Some("the server does not know this worker yet")
    } else if known.has_no_engine() {
        Some("the container engine does not answer")
    } else if !known.has_polled {
        Some("no queue has answered yet")
    } else {
        None
    }
}
