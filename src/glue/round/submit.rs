//! From a queue to a job.

use super::{Glue, REST};
use crate::api::{ApiError, QueueId, TaskId};
use crate::glue::cluster::{Cluster, NotSubmitted, Work};
use crate::glue::ledger::{Entry, Phase};

impl<C: Cluster> Glue<C> {
    /// The first task of the first queue that has one (C-612); false where there is none.
    pub(super) async fn schedule_next(&mut self) -> Result<bool, ApiError> {
        for (queue, name) in self.options.queues.clone() {
            let queues = self.holding.session().queues();
            let next = queues.next_task(&queue, false).await;
            if next.as_ref().is_err_and(ApiError::is_ambiguous) {
                self.strays.suspect(queue.clone());
            }
            let Some(next) = next? else {
                continue;
            };
            let task = next.entry.task;
            self.printer
                .line(format!("Received task {task} from queue {name}"));
            for line in self.cluster.announcement(&task) {
                self.printer.line(line);
            }
            let before = self.ledger.entry(task.as_str());
            if let Some(job) = before.and_then(Entry::job) {
                // Somebody has put it into this queue while its job waited.
                self.cancel(job, &task).await;
            }
            self.put(Entry::new(&task, &queue));
            self.holding.mark(&task, &self.cluster.marks(&name)).await;
            self.holding.hold(&task, false).await?;
            self.note(task.as_str(), Phase::Held);
            self.submit(&task, &queue).await?;
            return Ok(true);
        }
        Ok(false)
    }

    pub(super) async fn work(
        &self,
        task: &TaskId,
        queue: &QueueId,
    ) -> Result<Option<Work>, ApiError> {
        let fields = self.holding.session().tasks().document(task).await?;
        let mut queues = self.options.queues.iter();
        let name = queues.find(|(id, _)| id == queue);
        Ok(fields.map(|fields| Work {
            task: task.clone(),
            fields,
            queue: queue.clone(),
            queue_name: name.map_or_else(|| queue.to_string(), |(_, name)| name.clone()),
        }))
    }

    pub(super) async fn submit(&mut self, task: &TaskId, queue: &QueueId) -> Result<(), ApiError> {
        let Some(work) = self.work(task, queue).await? else {
            self.forget(task.as_str());
            return Ok(());
        };
        match self.cluster.submit(&work).await {
            Ok(job) => {
                self.state.submitted();
                if self.rests_until.take().is_some() {
                    self.printer.line("The cluster takes jobs again");
                }
                self.printer
                    .line(format!("Task '{task}' is {} {job}", C::JOB));
                let properties = self.cluster.properties(&job);
                self.note(task.as_str(), Phase::Submitted(job));
                self.holding.mark(task, &properties).await;
            }
            Err(NotSubmitted::NotYet(why)) => {
                tracing::info!(%task, why, "an older job is in the way");
            }
            Err(NotSubmitted::Refused(why)) => {
                self.printer
                    .line(format!("Task '{task}' has failed: {why}"));
                self.holding.fail(task, &why, "").await?;
                self.state.failed();
                self.forget(task.as_str());
            }
            Err(NotSubmitted::Later(why)) => {
                let until = tokio::time::Instant::now() + self.options.interval * REST;
                if self.rests_until.replace(until).is_none() {
                    self.printer.warning(&format!(
                        "the cluster takes no job at present: {why}; it is asked again from time to time"
                    ));
                }
                self.give_back(task, queue, &why).await?;
            }
            // It is found by its name, or submitted again.
            Err(NotSubmitted::Unknown(why)) => self.is_away(&why),
        }
        Ok(())
    }
}
