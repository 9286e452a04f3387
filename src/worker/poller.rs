//! One look at the queues (D 3.1).

use tokio_util::sync::CancellationToken;

use crate::api::{QueueId, Session, TaskId, WorkerId};
use crate::ui::Printer;

/// Asks the queues in their order.
#[derive(Debug)]
pub(super) struct Poller {
    session: Session,
    worker: WorkerId,
    queues: Vec<QueueId>,
    runtime_properties: RuntimeProperties,
    /// Idle messages are printed (D-137).
    pub(super) is_talkative: bool,
    printer: Printer,
    /// Cancelled when the daemon leaves: no queue is asked from then on.
    pub(super) leaving: CancellationToken,
}

/// Whether the server keeps properties of workers (D-156).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RuntimeProperties {
    Supported,
    Unsupported,
}

/// A task that has left its queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pulled {
    /// Task.
    pub(super) task: TaskId,
    /// Queue.
    pub(super) queue: QueueId,
}

impl Poller {
    /// A poller that has not asked yet.
    pub(super) fn new(
        session: Session,
        worker: WorkerId,
        queues: Vec<QueueId>,
        is_talkative: bool,
    ) -> Self {
        let runtime_properties = RuntimeProperties::Supported;
        Self {
            session,
            worker,
            queues,
            runtime_properties,
            is_talkative,
            printer: Printer,
            leaving: CancellationToken::new(),
        }
    }

    /// The first task of the first queue that has one (D-155, D-164).
    ///
    /// A queue that cannot be asked costs a warning, and the others their turn (D-159, D-171).
    pub(super) async fn round(&mut self) -> Option<Pulled> {
        if let Err(error) = self.session.queues().tags(&self.queues).await {
            self.printer.line(format!(
                "Warning: Could not read the tags of the queues: {}",
                error.reference_text()
            ));
        }
        self.ask_for_properties().await;
        for queue in &self.queues {
            if self.leaving.is_cancelled() {
                return None;
            }
            match self.session.queues().next_task(queue, false).await {
                Ok(Some(next)) => {
                    return Some(Pulled {
                        task: next.entry.task,
                        queue: queue.clone(),
                    });
                }
                Ok(None) if self.is_talkative => {
                    self.printer.line(format!("No tasks in queue {queue}"));
                }
                Ok(None) => {}
                Err(error) => self.printer.line(format!(
                    "Warning: Could not access task queue [{queue}], error: {}",
                    error.reference_text()
                )),
            }
        }
        None
    }

    async fn ask_for_properties(&mut self) {
        if self.runtime_properties == RuntimeProperties::Unsupported {
            return;
        }
        if let Err(error) = self
            .session
            .workers()
            .runtime_properties(&self.worker)
            .await
            && error.refusal().is_some()
        {
            self.runtime_properties = RuntimeProperties::Unsupported;
        }
    }
}
