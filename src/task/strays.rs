//! Tasks that the server took out of a queue for an answer that never came: nobody has them (D-172).
//!
//! They are looked for after such an answer only. What is called queued, is in no queue and in nobody's hands here
//! at two looks, some time apart, was not given to another worker either, unless that could not say so for all that time.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::api::{ApiError, QueueId, Session, TaskFilter, TaskId, TaskStatus};
use crate::ui::Printer;

/// How long another worker may take between its answer and the first word about its task.
const BETWEEN_LOOKS: Duration = Duration::from_secs(30);
/// How often it is tried to put a task back.
const TRIES: usize = 3;
/// Between two of these tries.
const PAUSE: Duration = Duration::from_secs(1);

/// The queues from which a task may have got lost.
#[derive(Debug, Default)]
pub struct Strays {
    looks: HashMap<QueueId, Look>,
}

#[derive(Debug)]
struct Look {
    due: Instant,
    /// What the first look has found.
    seen: Option<HashSet<TaskId>>,
    /// It was suspected again meanwhile.
    again: bool,
}

impl Strays {
    /// An answer of this queue has not come: it is looked at as soon as somebody asks.
    pub fn suspect(&mut self, queue: QueueId) {
        match self.looks.get_mut(&queue) {
            // Its second look is not put off.
            Some(look) => look.again = true,
            None => self.look_again(queue, Duration::ZERO, None),
        }
    }

    /// When the next look is due; none where no queue is suspected.
    pub fn due(&self) -> Option<Instant> {
        self.looks.values().map(|look| look.due).min()
    }

    /// How many queues are suspected.
    pub fn count(&self) -> usize {
        self.looks.len()
    }

    /// Looks at the queues that are due, and puts the tasks back that got lost, with a warning for each; how many are back.
    /// `held` says what is in somebody's hands here; it is called last, so that what was taken meanwhile is known. Where the
    /// server does not answer, another look follows.
    pub async fn put_lost_back(
        &mut self,
        session: &Session,
        held: impl Fn() -> HashSet<String>,
    ) -> usize {
        let mut count = 0;
        for (queue, task) in self.look(session, held).await {
            Printer::default().warning(&format!(
                "task '{task}' had left queue {queue} with an answer that never came; it goes back"
            ));
            match put_back(session, &queue, &task).await {
                Ok(()) => count += 1,
                Err(error) => {
                    tracing::info!(%error, %queue, "could not put a lost task back");
                    self.look_again(queue, BETWEEN_LOOKS, None);
                }
            }
        }
        count
    }

    /// The tasks that got lost, with the queues that they were in.
    async fn look(
        &mut self,
        session: &Session,
        held: impl Fn() -> HashSet<String>,
    ) -> Vec<(QueueId, TaskId)> {
        let now = Instant::now();
        let due = self.looks.iter().filter(|(_, look)| look.due <= now);
        let queues: Vec<QueueId> = due.map(|(queue, _)| queue.clone()).collect();
        if queues.is_empty() {
            return Vec::new();
        }
        let missing = missing(session, &queues, held).await;
        let mut missing = match missing {
            Ok(missing) => missing,
            Err(error) => {
                tracing::info!(%error, "could not look for lost tasks");
                for queue in queues {
                    self.look_again(queue, BETWEEN_LOOKS, None);
                }
                return Vec::new();
            }
        };
        let mut lost = Vec::new();
        for queue in queues {
            let look = self.looks.remove(&queue);
            let again = look.as_ref().is_some_and(|look| look.again);
            let seen = look.and_then(|look| look.seen);
            let missing = missing.remove(&queue).unwrap_or_default();
            if let Some(seen) = seen {
                let both = seen.intersection(&missing);
                lost.extend(both.map(|task| (queue.clone(), task.clone())));
                if again {
                    self.look_again(queue, Duration::ZERO, None);
                }
            } else if !missing.is_empty() {
                self.look_again(queue, BETWEEN_LOOKS, Some(missing));
            }
        }
        lost
    }

    fn look_again(&mut self, queue: QueueId, pause: Duration, seen: Option<HashSet<TaskId>>) {
        let due = Instant::now() + pause;
        let again = false;
        self.looks.insert(queue, Look { due, seen, again });
    }
}

/// Tasks that were put into one of the queues, wait, and are neither in it nor in anybody's hands here.
async fn missing(
    session: &Session,
    queues: &[QueueId],
    held: impl Fn() -> HashSet<String>,
) -> Result<HashMap<QueueId, HashSet<TaskId>>, ApiError> {
    let filter = TaskFilter {
        status: vec![TaskStatus::Queued],
        search_hidden: true,
        only_fields: vec!["id".to_owned(), "execution.queue".to_owned()],
        ..TaskFilter::default()
    };
    let waiting = session.tasks().all_pages(filter).await?;
    let mut missing: HashMap<QueueId, HashSet<TaskId>> = HashMap::new();
    for task in waiting {
        if let (Some(id), Some(queue)) = (task.id, task.execution.queue)
            && queues.contains(&queue)
        {
            missing.entry(queue).or_default().insert(id);
        }
    }
    for (queue, tasks) in &mut missing {
        match session.queues().by_id(queue).await {
            Ok(queue) => queue.entries.iter().for_each(|entry| {
                tasks.remove(&entry.task);
            }),
            // There is no way back.
            Err(error) if error.is_unknown_queue() => tasks.clear(),
            Err(error) => return Err(error),
        }
    }
    missing.retain(|_, tasks| !tasks.is_empty());
    if !missing.is_empty() {
        let held = held();
        for tasks in missing.values_mut() {
            tasks.retain(|task| !held.contains(task.as_str()));
        }
    }
    Ok(missing)
}

/// Puts a task that nobody has begun back to the front of its queue.
pub async fn put_back(session: &Session, queue: &QueueId, task: &TaskId) -> Result<(), ApiError> {
    let queues = session.queues();
    let mut tries = 0;
    while let Err(error) = queues.add_task(queue, task).await {
        // An answer may have got lost; a second try is refused then.
        let found = queues.by_id(queue).await;
        if found.is_ok_and(|found| found.entries.iter().any(|entry| entry.task == *task)) {
            break;
        }
        tries += 1;
        if tries == TRIES {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
    }
    // Behind the others it is not lost.
    if let Err(error) = queues.move_task_to_front(queue, task).await {
        tracing::info!(%error, %task, "a task is not at the front of its queue");
    }
    Ok(())
}
