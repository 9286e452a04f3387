//! Tasks that the server took out of a queue for an answer that never came: nobody has them (D-172).
//!
//! They are looked for after such an answer only. What is called queued, is in no queue and in no run of this machine
//! at two looks, some time apart, was not given to another worker either, unless that could not say so for all that time.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::poller::Pulled;
use crate::api::{ApiError, QueueId, Session, TaskFilter, TaskId, TaskStatus};
use crate::storage::Places;
use crate::task::RunFolder;
use crate::ui::Printer;

/// How long another worker may take between its answer and the first word about its task.
const BETWEEN_LOOKS: Duration = Duration::from_secs(30);
/// How often it is tried to put a task back.
const TRIES: usize = 3;
/// Between two of these tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells of queues whose last answer was lost.
#[derive(Clone, Debug)]
pub(super) struct Suspects {
    sender: mpsc::UnboundedSender<QueueId>,
    open: Rc<Cell<usize>>,
}

/// Looks for what has got lost.
#[derive(Debug)]
pub(super) struct Search {
    session: Session,
    places: Places,
    suspected: mpsc::UnboundedReceiver<QueueId>,
    open: Rc<Cell<usize>>,
    looks: HashMap<QueueId, Look>,
}

#[derive(Debug)]
struct Look {
    due: Instant,
    /// What the first look has found.
    seen: Option<HashSet<TaskId>>,
}

impl Suspects {
    /// An answer of this queue has not come.
    pub(super) fn suspect(&self, queue: &QueueId) {
        // The search ends with the worker.
        if self.sender.send(queue.clone()).is_ok() {
            self.open.set(self.open.get() + 1);
        }
    }

    /// It is not known yet whether a task got lost.
    pub(super) fn are_open(&self) -> bool {
        self.open.get() > 0
    }
}

impl Search {
    /// A search that has not begun, and those who tell it where to look.
    pub(super) fn new(session: Session, places: Places) -> (Suspects, Self) {
        let (sender, suspected) = mpsc::unbounded_channel();
        let open = Rc::new(Cell::new(0));
        let search = Self {
            session,
            places,
            suspected,
            open: open.clone(),
            looks: HashMap::new(),
        };
        (Suspects { sender, open }, search)
    }

    /// Looks as long as somebody may suspect a queue.
    pub(super) async fn run(mut self) {
        loop {
            let due = self.looks.values().map(|look| look.due).min();
            let is_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                queue = self.suspected.recv() => {
                    let Some(queue) = queue else { return };
                    self.look_again(queue, Duration::ZERO, None);
                }
                () = is_due => self.look().await,
            }
            self.open.set(self.looks.len() + self.suspected.len());
        }
    }

    fn look_again(&mut self, queue: QueueId, pause: Duration, seen: Option<HashSet<TaskId>>) {
        let due = Instant::now() + pause;
        self.looks.insert(queue, Look { due, seen });
    }

    async fn look(&mut self) {
        let now = Instant::now();
        let due = self.looks.iter().filter(|(_, look)| look.due <= now);
        let queues: Vec<QueueId> = due.map(|(queue, _)| queue.clone()).collect();
        for queue in queues {
            let seen = self.looks.remove(&queue).and_then(|look| look.seen);
            if let Err(error) = self.look_at(&queue, seen).await {
                tracing::info!(%error, %queue, "could not look for lost tasks");
                self.look_again(queue, BETWEEN_LOOKS, None);
            }
        }
    }

    async fn look_at(
        &mut self,
        queue: &QueueId,
        seen: Option<HashSet<TaskId>>,
    ) -> Result<(), ApiError> {
        let missing = self.missing(queue).await?;
        let Some(seen) = seen else {
            if !missing.is_empty() {
                self.look_again(queue.clone(), BETWEEN_LOOKS, Some(missing));
            }
            return Ok(());
        };
        for task in seen.intersection(&missing) {
            Printer::default().warning(&format!(
                "task '{task}' had left queue {queue} with an answer that never came; it goes back"
            ));
            let pulled = Pulled {
                task: task.clone(),
                queue: queue.clone(),
                owner: None,
                lease: None,
            };
            give_back(&self.session, &pulled).await?;
        }
        Ok(())
    }

    /// Tasks that were put into the queue, wait, and are neither in it nor in a run of this machine.
    async fn missing(&self, queue: &QueueId) -> Result<HashSet<TaskId>, ApiError> {
        let filter = TaskFilter {
            status: vec![TaskStatus::Queued],
            search_hidden: true,
            only_fields: vec!["id".to_owned(), "execution.queue".to_owned()],
            ..TaskFilter::default()
        };
        let waiting = self.session.tasks().all(&filter).await?;
        let waiting = waiting
            .into_iter()
            .filter(|task| task.execution.queue.as_ref() == Some(queue));
        let mut missing: HashSet<TaskId> = waiting.filter_map(|task| task.id).collect();
        if !missing.is_empty() {
            for entry in self.session.queues().by_id(queue).await?.entries {
                missing.remove(&entry.task);
            }
            // Last, so that what was taken meanwhile is known here.
            for run in RunFolder::all(&self.places) {
                if let Ok(entry) = run.read() {
                    missing.retain(|task| task.as_str() != entry.task);
                }
            }
        }
        Ok(missing)
    }
}

/// Puts a task back that an earlier worker has pulled, and nobody has begun, unless somebody else has it by now. False, and
/// said, where it may not be in its queue.
pub(super) async fn return_left(session: &Session, pulled: &Pulled) -> bool {
    match is_nobodys(session, pulled).await {
        Ok(true) => return_to_queue(session, pulled).await,
        Ok(false) => true,
        Err(error) => {
            tracing::info!(%error, task = %pulled.task, "where the task is, is not known");
            false
        }
    }
}

/// True where the server takes the task for queued, and it is in no queue.
async fn is_nobodys(session: &Session, pulled: &Pulled) -> Result<bool, ApiError> {
    let filter = TaskFilter {
        id: vec![pulled.task.clone()],
        status: vec![TaskStatus::Queued],
        search_hidden: true,
        only_fields: vec!["id".to_owned(), "execution.queue".to_owned()],
    };
    let found = session.tasks().all(&filter).await?;
    let Some(task) = found.into_iter().next() else {
        return Ok(false);
    };
    let Some(queue) = task.execution.queue else {
        return Ok(true);
    };
    let entries = session.queues().by_id(&queue).await?.entries;
    Ok(entries.iter().all(|entry| entry.task != pulled.task))
}

/// Puts a task that nobody has begun back to the front of its queue; false, and said, where it may not be there.
pub(super) async fn return_to_queue(session: &Session, pulled: &Pulled) -> bool {
    let Err(error) = give_back(session, pulled).await else {
        return true;
    };
    Printer::default().warning(&format!(
        "could not put task '{}' back into queue {}: {}; it must be enqueued again",
        pulled.task,
        pulled.queue,
        error.reference_text()
    ));
    false
}

async fn give_back(session: &Session, pulled: &Pulled) -> Result<(), ApiError> {
    let queues = session.queues();
    let mut tries = 0;
    while let Err(error) = queues.add_task(&pulled.queue, &pulled.task).await {
        // An answer may have got lost; a second try is refused then.
        let queue = queues.by_id(&pulled.queue).await;
        let is_there = |task: &TaskId| *task == pulled.task;
        if queue.is_ok_and(|queue| queue.entries.iter().any(|entry| is_there(&entry.task))) {
            break;
        }
        tries += 1;
        if tries == TRIES {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
    }
    // Behind the others it is not lost.
    if let Err(error) = queues.move_task_to_front(&pulled.queue, &pulled.task).await {
        tracing::info!(%error, task = %pulled.task, "a task is not at the front of its queue");
    }
    Ok(())
}
