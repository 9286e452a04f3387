//! Tasks that the server took out of a queue for an answer that never came: nobody has them (D-172).
//!
//! They are looked for after such an answer only. What is called queued and is in no queue at two looks, some
//! time apart, was not given to another worker either: that would have marked it as running by then.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::poller::Pulled;
use crate::api::{ApiError, QueueId, Session, TaskFilter, TaskId, TaskStatus};
use crate::ui::Printer;

/// How long another worker may take between its answer and the first word about its task.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);

/// Queues whose last answer was lost.
#[derive(Debug)]
pub(super) struct Strays {
    session: Session,
    looks: HashMap<QueueId, Look>,
}

#[derive(Debug)]
struct Look {
    due: Instant,
    /// What the first look has found.
    seen: Option<HashSet<TaskId>>,
}

impl Strays {
    /// No queue is suspected.
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            looks: HashMap::new(),
        }
    }

    /// An answer of this queue has not come.
    pub(super) fn suspect(&mut self, queue: &QueueId) {
        let look = Look {
            due: Instant::now(),
            seen: None,
        };
        self.looks.insert(queue.clone(), look);
    }

    /// Takes the looks that are due, and puts back what has got lost.
    pub(super) async fn look(&mut self) {
        let now = Instant::now();
        let due = self.looks.iter().filter(|(_, look)| look.due <= now);
        let queues: Vec<QueueId> = due.map(|(queue, _)| queue.clone()).collect();
        for queue in queues {
            if let Err(error) = self.look_at(&queue).await {
                tracing::info!(%error, %queue, "could not look for lost tasks");
                self.looks.insert(
                    queue,
                    Look {
                        due: now + BETWEEN_LOOKS,
                        seen: None,
                    },
                );
            }
        }
    }

    async fn look_at(&mut self, queue: &QueueId) -> Result<(), ApiError> {
        let missing = self.missing(queue).await?;
        let seen = self.looks.remove(queue).and_then(|look| look.seen);
        let Some(seen) = seen else {
            if !missing.is_empty() {
                let look = Look {
                    due: Instant::now() + BETWEEN_LOOKS,
                    seen: Some(missing),
                };
                self.looks.insert(queue.clone(), look);
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
            if let Err(error) = give_back(&self.session, &pulled).await {
                self.suspect(queue);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Tasks that were put into the queue, wait, and are not in it.
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
        }
        Ok(missing)
    }
}

/// Puts a task that nobody has begun back to the front of its queue.
pub(super) async fn give_back(session: &Session, pulled: &Pulled) -> Result<(), ApiError> {
    let queues = session.queues();
    queues.add_task(&pulled.queue, &pulled.task).await?;
    queues.move_task_to_front(&pulled.queue, &pulled.task).await
}
