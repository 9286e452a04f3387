//! What is said of a task that has ended: to its console, to whoever watches, and to the server.

use std::time::Duration;

use super::standing::Standing;
use super::{Shape, Supervision};
use crate::api::{ApiError, QueueId, TaskStatus};
use crate::logs::Level;
use crate::process::{Step, reached};
use crate::task::journal::Phase;
use crate::task::outcome::{FinalStatus, Outcome, Settlement, StopReason};
use crate::task::requeue::{self, Seen, WayBack};
use crate::task::streams::Streams;
use crate::task::watch::{has_completed_callback, taken};

/// Whether a final status that somebody has set while the run was nobody's stays. A program may mark its own task completed
/// before it ends (D-233).
fn is_kept(status: &TaskStatus, outcome: &Outcome) -> bool {
    *status != TaskStatus::Completed || outcome.loss().is_some()
}

impl Supervision {
    /// Says everything that is to be said about the end, the status last.
    pub(super) async fn settle(
        &self,
        outcome: &Outcome,
        standing: Standing,
        streams: &Streams,
    ) -> Result<(), ApiError> {
        // Before what is left of the console: it may be another run's by now.
        let is_taken = self.journal.entry().is_told || self.server.is_taken_now().await?;
        streams.log.drain().await;
        if self.journal.entry().is_told {
            return Ok(());
        }
        if is_taken {
            streams.echo.say(taken(self.server.task()));
            return Ok(());
        }
        if matches!(self.journal.entry().phase, Phase::Announced { .. }) {
            let call = self.settlement(outcome).call;
            return self.bring_about(outcome, call, streams).await;
        }
        let outcome = &self.seen_with_callback(outcome).await;
        let ended = match standing {
            Standing::Ended(status) if is_kept(&status, outcome) => Some(status),
            _ => None,
        };
        let queue = self.queue_to_return_to(outcome).filter(|_| ended.is_none());
        let seen = match queue {
            Some(_) => requeue::seen(&self.server).await,
            None => Seen::Running,
        };
        let outcome = match seen {
            Seen::Aborted => &Outcome::Stopped(StopReason::Stopped),
            Seen::Running | Seen::Ended => outcome,
        };
        let mut settlement = self.settlement(outcome);
        if let Some(queue) = queue.filter(|_| seen != Seen::Aborted) {
            self.journal
                .update(|entry| entry.way_back = Some(WayBack::Wanted));
            if seen == Seen::Running {
                settlement.event = Some(requeue::announcement(outcome, &queue));
            }
        }
        if let Some(status) = ended {
            if let Some(loss) = outcome.loss() {
                settlement.event = Some(format!(
                    "Process failed, {loss}; the task was {status} already"
                ));
            }
            settlement.call = None;
        }
        if *outcome == Outcome::Stopped(StopReason::Stopped) && self.failed_meanwhile().await {
            settlement.event = Some("Process aborted by user - Task status was Failed".to_owned());
            settlement.call = None;
        }
        if *outcome == Outcome::Aborted && self.shape == Shape::Plain {
            streams.echo.say(format!(
                "\nUser abort - stopping task {}",
                self.server.task()
            ));
        }
        if self.shape != Shape::Plain {
            streams.echo.say(format!(
                "DONE: Running task '{}'{}",
                self.server.task(),
                settlement.exit
            ));
        }
        if let Some(event) = settlement.event {
            let event = event + &self.server.node().suffix();
            // Whoever looks at this console has read why the task was not started, with the hint.
            let is_said =
                self.shape == Shape::Plain && matches!(outcome, Outcome::NotStarted { .. });
            // Among the lines of several tasks nobody would know which one is meant.
            if !is_said && self.shape != Shape::Service {
                streams.echo.say(event.as_str());
            }
            streams.log.notice(Level::Debug, event);
            streams.log.drain().await;
        }
        if !self.give_up.is_cancelled() && settlement.call.is_some() {
            self.enter(Phase::Announced {
                outcome: outcome.clone(),
            });
        }
        reached(Step::Delivered);
        let told = self.bring_about(outcome, settlement.call, streams).await;
        reached(Step::Settled);
        told
    }

    /// Where a task goes that was lost with its agent; none where it stays here.
    fn queue_to_return_to(&self, outcome: &Outcome) -> Option<QueueId> {
        let is_wanted =
            self.requeues_lost && outcome.loss().is_some() && self.server.node().is_first();
        self.journal
            .entry()
            .queue
            .parse()
            .ok()
            .filter(|_| is_wanted)
    }

    /// Sets the status, or puts the task back into its queue where that was announced.
    async fn bring_about(
        &self,
        outcome: &Outcome,
        call: Option<FinalStatus>,
        streams: &Streams,
    ) -> Result<(), ApiError> {
        let entry = self.journal.entry();
        if let (Some(_), Some(loss), Ok(queue)) =
            (entry.way_back, outcome.loss(), entry.queue.parse())
        {
            let Err(refusal) = requeue::put_back(&self.server, &self.journal, &queue, loss).await?
            else {
                return Ok(());
            };
            let why = requeue::refused(&queue, &refusal);
            streams.echo.say(why.as_str());
            streams.log.notice(Level::Warning, why);
            streams.log.drain().await;
            self.journal.update(|entry| entry.way_back = None);
        }
        match call {
            Some(call) => self.server.settle(&call).await,
            None => Ok(()),
        }
    }

    /// A program that its own abort callback has killed was aborted, it has not failed (D-238).
    async fn seen_with_callback(&self, outcome: &Outcome) -> Outcome {
        if matches!(outcome, Outcome::Exited(-9 | 137))
            && let Ok(Some(task)) = self.server.abort_callback().await
            && has_completed_callback(&task)
        {
            return Outcome::Stopped(StopReason::Stopped);
        }
        outcome.clone()
    }

    /// In the plain shape nobody else knows why a task was not started, so the status says it (E-008).
    fn settlement(&self, outcome: &Outcome) -> Settlement {
        let settlement = outcome.settlement();
        match (self.shape, outcome) {
            (Shape::Plain, Outcome::NotStarted { message, reason }) => Settlement {
                event: Some(format!("clearml_agent: ERROR: {message}")),
                call: Some(FinalStatus::Failed(reason.clone())),
                ..settlement
            },
            _ => settlement,
        }
    }

    /// The program may have marked its own task failed while it was stopped (D-243).
    async fn failed_meanwhile(&self) -> bool {
        let task = self
            .server
            .with_deadline(Duration::from_secs(5))
            .status_only()
            .await;
        task.is_ok_and(|task| task.is_some_and(|task| task.status == Some(TaskStatus::Failed)))
    }
}
