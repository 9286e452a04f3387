//! What a worker does about tasks that got lost between a queue and itself (D-172), and about those that an earlier worker has left.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::mpsc;

use super::poller::Pulled;
use crate::api::{ApiError, QueueId, Session, TaskFilter, TaskStatus};
use crate::storage::Places;
use crate::task::{RunFolder, Strays, put_back};
use crate::ui::Printer;

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
    strays: Strays,
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
            strays: Strays::default(),
        };
        (Suspects { sender, open }, search)
    }

    /// Looks as long as somebody may suspect a queue.
    pub(super) async fn run(mut self) {
        loop {
            let due = self.strays.due();
            let is_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                queue = self.suspected.recv() => {
                    let Some(queue) = queue else { return };
                    self.strays.suspect(queue);
                }
                () = is_due => self.look().await,
            }
            self.open.set(self.strays.count() + self.suspected.len());
        }
    }

    async fn look(&mut self) {
        let runs = || {
            let runs = RunFolder::all(&self.places).into_iter();
            runs.filter_map(|run| Some(run.read().ok()?.task)).collect()
        };
        self.strays.put_lost_back(&self.session, runs).await;
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
        ..TaskFilter::default()
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
    let Err(error) = put_back(session, &pulled.queue, &pulled.task).await else {
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
