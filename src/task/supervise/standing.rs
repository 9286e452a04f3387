//! What has become of a task while nobody watched over its run.

use super::{Inherited, Supervision};
use crate::api::{ApiError, Task, TaskStatus};
use crate::process::Moment;
use crate::task::definition::register_secrets;
use crate::task::journal::Phase;
use crate::task::outcome::{Outcome, StopReason};
use crate::task::watch::{is_stopped, taken};

/// The messages of the task while a run of it has only been announced.
pub(super) const ANNOUNCEMENTS: [&str; 2] = ["pulled by agent", "launch by agent"];

/// Whose the task is, and what there is to be said of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// This run's, as far as is known.
    Ours,
    /// This run's, and somebody has asked for its end.
    Aborted,
    /// Nobody's: it has a final status of somebody else's.
    Ended(TaskStatus),
    /// It was reset, queued again, or runs elsewhere.
    Others,
}

impl Supervision {
    /// Asks the server for the task of a run that is taken over, and lets go of what is not this run's any more.
    pub(super) async fn caught_up(&self, inherited: Inherited) -> (Inherited, Standing) {
        let task = match self.server.fetch().await {
            Ok(task) => task,
            Err(error) => {
                tracing::debug!(%error, "what has become of the task is not known");
                return (inherited, Standing::Ours);
            }
        };
        // What the task's own URLs hold was known to the process that died, and must not be in what is left to be sent.
        register_secrets(&task);
        let standing = match self.standing(&task).await {
            Ok(standing) => standing,
            Err(error) => {
                tracing::debug!(%error, "where the task waits is not known");
                Standing::Ours
            }
        };
        let inherited = match (&standing, inherited) {
            (Standing::Others, _) => {
                self.let_go();
                Inherited::Outcome(Outcome::Stopped(StopReason::StatusChanged))
            }
            (Standing::Aborted, Inherited::Outcome(outcome)) if outcome.loss().is_some() => {
                let outcome = Outcome::Stopped(StopReason::Stopped);
                self.enter(Phase::Ended {
                    outcome: outcome.clone(),
                });
                Inherited::Outcome(outcome)
            }
            (_, inherited) => inherited,
        };
        (inherited, standing)
    }

    /// Not a word more about the task, whoever comes next.
    fn let_go(&self) {
        if let Some(fence) = self.server.fence() {
            fence.close();
        }
        tracing::warn!("{}", taken(self.server.task()));
        let outcome = Outcome::Stopped(StopReason::StatusChanged);
        self.journal.update(|entry| {
            entry.is_told = true;
            entry.phase = Phase::Ended { outcome };
        });
    }

    async fn standing(&self, task: &Task) -> Result<Standing, ApiError> {
        let Some(fence) = self.server.fence() else {
            return Ok(Standing::Ours);
        };
        let entry = self.journal.entry();
        let is_untold = entry.phase == Phase::Pulled;
        let is_ours = match task.status {
            // It was taken from its queue, and nothing more was said.
            Some(TaskStatus::Queued) => {
                entry.started.is_none() && !self.server.is_waiting(task).await?
            }
            _ if self.journal.folder().has_living_sibling(&entry.task) => false,
            Some(TaskStatus::InProgress) => {
                !(fence.is_begun_by_another(task)
                    || is_untold && entry.started.is_none() && !is_announced(task))
            }
            Some(TaskStatus::Created) => false,
            // The server has it queued where it has given it to this run.
            _ if is_untold => false,
            _ => entry.started.is_none() || !fence.is_begun_by_another(task),
        };
        if !is_ours {
            return Ok(Standing::Others);
        }
        fence.look(Moment::now(), task);
        Ok(match &task.status {
            Some(TaskStatus::InProgress) if is_stopped(Some(task)) => Standing::Aborted,
            Some(TaskStatus::Queued | TaskStatus::InProgress) | None => Standing::Ours,
            // The status may be this run's own.
            _ if matches!(entry.phase, Phase::Announced { .. }) => Standing::Ours,
            Some(TaskStatus::Stopped) if entry.way_back.is_some() => Standing::Ours,
            Some(status) => Standing::Ended(status.clone()),
        })
    }
}

/// What a run says before it begins (D-162, D-207).
fn is_announced(task: &Task) -> bool {
    let message = task.status_message.as_deref();
    message.is_some_and(|message| ANNOUNCEMENTS.contains(&message))
}
