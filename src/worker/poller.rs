//! One look at the queues (D 3.1).

use std::collections::HashSet;

use tokio_util::sync::CancellationToken;

mod with_gpus;

use super::engine::EngineLook;
use super::gpus::{GpuQueues, Lease, Shortage};
use super::room::RoomLook;
use super::schedule::{Clock, Force, Schedule};
use super::state::State;
use super::strays::Suspects;
use crate::api::{
    ApiError, NextTask, Queue, QueueId, Reason, RuntimeProperty, Session, TaskId, TaskOwner,
    WorkerId,
};
use crate::ui::Printer;

/// Asks the queues in their order.
#[derive(Debug)]
pub(super) struct Poller {
    session: Session,
    worker: WorkerId,
    queues: Vec<QueueId>,
    /// Told of answers that did not come.
    pub(super) suspects: Option<Suspects>,
    /// Where tasks run in containers.
    pub(super) engine: Option<EngineLook>,
    /// Where tasks begin on this machine's disks.
    pub(super) room: Option<RoomLook>,
    runtime_properties: RuntimeProperties,
    options: PollOptions,
    /// As they were when the server last told.
    tagged: Vec<Queue>,
    /// What the worker's property `force` said last.
    property: Option<Force>,
    /// Queues that could not be asked, so that it is said once.
    unreachable: HashSet<QueueId>,
    /// The last warning about that property, so that it is said once.
    invalid_property: Option<String>,
    /// The tags cannot be read, which is said once.
    tags_are_missing: bool,
    /// No queue was to be asked in the last round, which is said once.
    is_resting: bool,
    /// Where tasks get GPUs of their own.
    pub(super) gpus: Option<GpuQueues>,
    /// Why the last round has taken no task, where there was one.
    pub(super) shortage: Option<Shortage>,
    /// Where the next round begins; always 0 where the first queue comes first.
    next: usize,
    /// Told what was asked.
    state: State,
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
    /// Asks whose task it is.
    pub with_owner: bool,
}

/// Whether the server keeps properties of workers (D-156).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RuntimeProperties {
    Supported,
    Unsupported,
}

/// A task that has left its queue.
#[derive(Debug)]
pub(super) struct Pulled {
    /// Task.
    pub(super) task: TaskId,
    /// Queue.
    pub(super) queue: QueueId,
    /// Its GPUs, where they are dynamic.
    pub(super) lease: Option<Lease>,
    /// Whose task it is, where that was asked for.
    pub(super) owner: Option<TaskOwner>,
}

impl Poller {
    /// A poller that has not asked yet.
    pub(super) fn new(
        session: Session,
        worker: WorkerId,
        queues: Vec<QueueId>,
        options: PollOptions,
        state: State,
        gpus: Option<GpuQueues>,
        is_talkative: bool,
    ) -> Self {
        Self {
            suspects: None,
            engine: None,
            room: None,
            session,
            worker,
            queues,
            runtime_properties: RuntimeProperties::Supported,
            options,
            tagged: Vec::new(),
            property: None,
            unreachable: HashSet::new(),
            invalid_property: None,
            tags_are_missing: false,
            is_resting: false,
            gpus,
            shortage: None,
            next: 0,
            state,
            is_talkative,
            printer: Printer::default(),
            leaving: CancellationToken::new(),
        }
    }

    /// The first task of the first queue that has one (D-155, D-164); in turn where that is wanted (D-165).
    ///
    /// A queue that cannot be asked costs a warning, and the others their turn (D-159, D-171).
    pub(super) async fn round(&mut self) -> Option<Pulled> {
        self.state.poll_begins();
        self.ask_for_tags().await;
        self.ask_for_properties().await;
        self.say_whether_it_rests();
        if self.room.as_mut().is_some_and(|room| !room.is_there()) || !self.engine_is_there().await
        {
            return None;
        }
        if self.gpus.is_some() {
            return self.round_with_gpus().await;
        }
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
            if let Some(pulled) = self.take(place, queue, None).await {
                return Some(pulled);
            }
        }
        None
    }

    /// The first task of the queue in this place; where they are asked in turn, the next one has the next turn (D-165).
    async fn take(&mut self, place: usize, queue: QueueId, lease: Option<Lease>) -> Option<Pulled> {
        let NextTask { entry, owner } = self.pull(&queue).await?;
        if self.options.is_fair {
            self.next = (place + 1) % self.queues.len();
        }
        Some(Pulled {
            task: entry.task,
            queue,
            owner,
            lease,
        })
    }

    /// Looks at the engine of the containers, which costs the server nothing; true where there are none.
    pub(super) async fn engine_is_there(&mut self) -> bool {
        let Some(engine) = &mut self.engine else {
            return true;
        };
        let answer = engine.ask().await;
        let is_there = answer.is_ok();
        self.state.engine_was_asked(answer);
        is_there
    }

    fn say_whether_it_rests(&mut self) {
        let rests = !self.queues.iter().any(|queue| self.is_active(queue));
        if rests != self.is_resting {
            self.printer.line(if rests {
                "Outside the working hours: no tasks are taken"
            } else {
                "Within the working hours: tasks are taken again"
            });
        }
        self.is_resting = rests;
        if rests {
            self.state.rests_by_schedule();
        }
    }

    fn is_active(&self, queue: &QueueId) -> bool {
        let tagged = self.tagged.iter().find(|tagged| tagged.id == *queue);
        let now = (self.options.clock)();
        self.options.schedule.is_active(tagged, self.property, now)
    }

    /// A worker that asked these queues was killed, perhaps between an answer and its journal.
    pub(super) fn suspect(&self, queues: &[QueueId]) {
        if let Some(suspects) = &self.suspects {
            for queue in queues {
                suspects.suspect(queue);
            }
        }
    }

    async fn pull(&mut self, queue: &QueueId) -> Option<NextTask> {
        let with_owner = self.options.with_owner;
        let answer = self.session.queues().next_task(queue, with_owner).await;
        self.state.asked(answer.is_ok());
        match answer {
            Ok(next) => {
                self.unreachable.remove(queue);
                if next.is_none() && self.is_talkative {
                    self.printer.line(format!("No tasks in queue {queue}"));
                }
                next
            }
            Err(error) => {
                if let (true, Some(suspects)) = (error.is_ambiguous(), &self.suspects) {
                    suspects.suspect(queue);
                }
                self.is_unreachable(queue, &error);
                None
            }
        }
    }

    fn is_unreachable(&mut self, queue: &QueueId, error: &ApiError) {
        if self.unreachable.insert(queue.clone()) {
            self.printer.line(format!(
                "Warning: Could not access task queue [{queue}], error: {}",
                error.reference_text()
            ));
        }
    }

    /// What cannot be read is as it was.
    async fn ask_for_tags(&mut self) {
        match self.session.queues().tags(&self.queues).await {
            Ok(tagged) => {
                self.tagged = tagged;
                self.tags_are_missing = false;
            }
            Err(error) => {
                if !self.tags_are_missing {
                    self.printer.line(format!(
                        "Warning: Could not read the tags of the queues: {}",
                        error.reference_text()
                    ));
                }
                self.tags_are_missing = true;
            }
        }
    }

    async fn ask_for_properties(&mut self) {
        if self.runtime_properties == RuntimeProperties::Unsupported {
            return;
        }
        let workers = self.session.workers();
        match workers.runtime_properties(&self.worker).await {
            Ok(properties) => {
                self.property = match force_of(&properties) {
                    Ok(force) => {
                        self.invalid_property = None;
                        force
                    }
                    Err(warning) => {
                        if self.invalid_property.as_ref() != Some(&warning) {
                            self.printer.line(&warning);
                        }
                        self.invalid_property = Some(warning);
                        None
                    }
                };
            }
            Err(error) if error.reason() == Some(Reason::UnknownCall) => {
                self.runtime_properties = RuntimeProperties::Unsupported;
                self.property = None;
            }
            Err(_) => {}
        }
    }
}

/// The property `force`; a value that means nothing is a warning and does not count (D-280).
pub fn force_of(properties: &[RuntimeProperty]) -> Result<Option<Force>, String> {
    let Some(property) = properties.iter().find(|property| property.key == "force") else {
        return Ok(None);
    };
    Force::of_property(&property.value).map(Some).ok_or_else(|| {
        format!(
            "Warning: invalid runtime_property 'force: {}' supported values are: on, off, ignoring",
            property.value
        )
    })
}
