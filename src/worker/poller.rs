//! One look at the queues (D 3.1).

use std::collections::HashSet;

use tokio_util::sync::CancellationToken;

use super::schedule::{Clock, Force, Schedule};
use crate::api::{Queue, QueueId, RuntimeProperty, Session, TaskId, WorkerId};
use crate::ui::Printer;

/// Asks the queues in their order.
#[derive(Debug)]
pub(super) struct Poller {
    session: Session,
    worker: WorkerId,
    queues: Vec<QueueId>,
    runtime_properties: RuntimeProperties,
    options: PollOptions,
    /// As they were when the server last told.
    tagged: Vec<Queue>,
    /// What the worker's property `force` said last.
    property: Option<Force>,
    /// Queues that could not be asked, so that it is said once.
    unreachable: HashSet<QueueId>,
    /// Where the next round begins; always 0 where the first queue comes first.
    next: usize,
    /// Idle messages are printed (D-137).
    pub(super) is_talkative: bool,
    printer: Printer,
    /// Cancelled when the daemon leaves: no queue is asked from then on.
    pub(super) leaving: CancellationToken,
}

/// How the queues are asked.
#[derive(Clone, Debug)]
pub struct PollOptions {
    /// In turn instead of by importance (D-165).
    pub is_fair: bool,
    /// When tasks are taken.
    pub schedule: Schedule,
    /// The time.
    pub clock: Clock,
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
        options: PollOptions,
        is_talkative: bool,
    ) -> Self {
        Self {
            session,
            worker,
            queues,
            runtime_properties: RuntimeProperties::Supported,
            options,
            tagged: Vec::new(),
            property: None,
            unreachable: HashSet::new(),
            next: 0,
            is_talkative,
            printer: Printer,
            leaving: CancellationToken::new(),
        }
    }

    /// The first task of the first queue that has one (D-155, D-164); in turn where that is wanted (D-165).
    ///
    /// A queue that cannot be asked costs a warning, and the others their turn (D-159, D-171).
    pub(super) async fn round(&mut self) -> Option<Pulled> {
        self.ask_for_tags().await;
        self.ask_for_properties().await;
        let count = self.queues.len();
        for step in 0..count {
            let place = (self.next + step) % count;
            let queue = self.queues[place].clone();
            if self.leaving.is_cancelled() {
                return None;
            }
            if !self.is_active(&queue) {
                continue;
            }
            if let Some(task) = self.pull(&queue).await {
                if self.options.is_fair {
                    self.next = (place + 1) % count;
                }
                return Some(Pulled { task, queue });
            }
        }
        None
    }

    fn is_active(&self, queue: &QueueId) -> bool {
        let tagged = self.tagged.iter().find(|tagged| tagged.id == *queue);
        let now = (self.options.clock)();
        self.options.schedule.is_active(tagged, self.property, now)
    }

    async fn pull(&mut self, queue: &QueueId) -> Option<TaskId> {
        match self.session.queues().next_task(queue, false).await {
            Ok(next) => {
                self.unreachable.remove(queue);
                if next.is_none() && self.is_talkative {
                    self.printer.line(format!("No tasks in queue {queue}"));
                }
                next.map(|next| next.entry.task)
            }
            Err(error) => {
                if self.unreachable.insert(queue.clone()) {
                    self.printer.line(format!(
                        "Warning: Could not access task queue [{queue}], error: {}",
                        error.reference_text()
                    ));
                }
                None
            }
        }
    }

    /// What cannot be read is as it was.
    async fn ask_for_tags(&mut self) {
        match self.session.queues().tags(&self.queues).await {
            Ok(tagged) => self.tagged = tagged,
            Err(error) => self.printer.line(format!(
                "Warning: Could not read the tags of the queues: {}",
                error.reference_text()
            )),
        }
    }

    async fn ask_for_properties(&mut self) {
        if self.runtime_properties == RuntimeProperties::Unsupported {
            return;
        }
        let workers = self.session.workers();
        match workers.runtime_properties(&self.worker).await {
            Ok(properties) => {
                self.property = force_of(&properties, self.printer);
            }
            Err(error) if error.refusal().is_some() => {
                self.runtime_properties = RuntimeProperties::Unsupported;
            }
            Err(_) => {}
        }
    }
}

/// The property `force`; a value that means nothing is said and does not count (D-280).
pub fn force_of(properties: &[RuntimeProperty], printer: Printer) -> Option<Force> {
    let property = properties.iter().find(|property| property.key == "force")?;
    let force = Force::of_property(&property.value);
    if force.is_none() {
        printer.line(format!(
            "Warning: invalid runtime_property 'force: {}' supported values are: on, off, ignoring",
            property.value
        ));
    }
    force
}
