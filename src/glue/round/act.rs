//! What is done about a task by its verdict.

use super::Glue;
use super::jobs::Jobs;
use crate::api::{ApiError, QueueId, TaskId, TaskStatus};
use crate::glue::cluster::{Cause, Cluster, JobEnd, JobId};
use crate::glue::ledger::{Entry, Phase};
use crate::glue::verdict::{Seen, Standing, Verdict, may_run_again};

impl<C: Cluster> Glue<C> {
    pub(super) async fn act(
        &mut self,
        entry: &Entry,
        (task, standing): (&TaskId, &Standing),
        verdict: Verdict,
        seen: &Seen,
    ) -> Result<(), ApiError> {
        let queue: QueueId = match entry.queue.parse() {
            Ok(queue) => queue,
            Err(error) => {
                tracing::warn!(%error, task = entry.task, "an entry without a queue");
                return Ok(());
            }
        };
        match verdict {
            Verdict::Wait => {}
            Verdict::Say(why) => {
                if entry.said.as_ref() != Some(&why) {
                    let text = self.cluster.waiting(&why);
                    self.holding.say(task, &text).await?;
                    self.put(entry.saying(why));
                }
            }
            Verdict::Hold => {
                let runs = *standing == Standing::Is(TaskStatus::InProgress);
                if runs && !self.options.holds_again {
                    return Ok(());
                }
                self.holding.hold(task, runs).await?;
                if entry.phase == Phase::Taken {
                    self.note(&entry.task, Phase::Held);
                }
            }
            Verdict::Submit => self.submit(task, &queue).await?,
            Verdict::Cancel => {
                if let Some(job) = entry.job() {
                    self.cancel(job, task).await;
                }
            }
            Verdict::Lost(end) => self.is_lost(entry, task, &queue, &end).await?,
            Verdict::Forget => {
                tracing::info!(%task, ?seen, "nothing is under way any more");
                self.forget(&entry.task);
            }
        }
        Ok(())
    }

    /// Back into its queue; who is killed on the way goes on with it.
    pub(super) async fn give_back(
        &mut self,
        task: &TaskId,
        queue: &QueueId,
        why: &str,
    ) -> Result<(), ApiError> {
        self.note(task.as_str(), Phase::Returning(why.to_owned()));
        if let Err(error) = self.holding.give_back(task, queue, why).await {
            if error.refusal().is_none() {
                return Err(error);
            }
            // Its queue is gone, as a rule: it is not to wait for ever.
            let why = format!(
                "{why}; it cannot go back into its queue: {}",
                error.reference_text()
            );
            self.printer
                .line(format!("Task '{task}' has failed: {why}"));
            self.holding.fail(task, &why, "").await?;
            self.state.failed();
        } else {
            self.state.given_back();
        }
        self.forget(task.as_str());
        Ok(())
    }

    pub(super) async fn return_again(
        &mut self,
        entry: &Entry,
        task: &TaskId,
        standing: &Standing,
        why: &str,
    ) -> Result<(), ApiError> {
        let is_on_its_way = matches!(
            standing,
            Standing::Held
                | Standing::Moving
                | Standing::Interrupted
                | Standing::Is(TaskStatus::InProgress | TaskStatus::Stopped)
        );
        if is_on_its_way && let Ok(queue) = entry.queue.parse() {
            return self.give_back(task, &queue, why).await;
        }
        self.forget(&entry.task);
        Ok(())
    }

    /// A task has one job: another one was submitted before somebody put the task into another queue, or without an answer.
    pub(super) async fn cancel_others(&self, entry: &Entry, task: &TaskId, jobs: &Jobs) {
        let Some(own) = entry.job() else {
            return;
        };
        let name = self.cluster.job_name(task);
        for other in jobs.living(&name).iter().filter(|job| job.id != *own) {
            self.cancel(&other.id, task).await;
        }
    }

    pub(super) async fn cancel(&self, job: &JobId, task: &TaskId) {
        self.printer
            .line(format!("Cancelling {} {job} of task '{task}'", C::JOB));
        if let Err(error) = self.cluster.cancel(job).await {
            // It is tried again.
            tracing::warn!(%error, %job, "could not cancel");
        }
    }

    async fn is_lost(
        &mut self,
        entry: &Entry,
        task: &TaskId,
        queue: &QueueId,
        end: &JobEnd,
    ) -> Result<(), ApiError> {
        let job = entry.job().map(JobId::to_string).unwrap_or_default();
        let reason = self.cluster.reason(&job, end);
        if self.options.requeues_lost && may_run_again(end.cause) {
            self.printer
                .line(format!("Task '{task}' goes back into its queue: {reason}"));
            return self.give_back(task, queue, &reason).await;
        }
        self.printer
            .line(format!("Task '{task}' has failed: {reason}"));
        let lines = match entry.job() {
            Some(job) if end.cause == Cause::NeverStarts => {
                self.cancel(job, task).await;
                None
            }
            Some(job) => self.cluster.last_lines(task, job).await,
            None => None,
        };
        let lines = lines.unwrap_or_default();
        self.holding.fail(task, &reason, &lines).await?;
        self.state.failed();
        self.forget(&entry.task);
        Ok(())
    }
}
