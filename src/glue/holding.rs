//! The server's side: the holding queue in which a task waits for its job, and what the server is told of it (C-613, C-614).

use std::cell::RefCell;

use crate::api::{
    ApiError, Dequeue, Enqueue, LogEvent, LogLevel, QueueId, Session, StatusChange, TaskFilter,
    TaskId, TaskStatus, WorkerId, json_lines,
};
use crate::secrets;
use crate::task::USER_ABORT;

use super::cluster::Waiting;
use super::verdict::Standing;

/// So many tasks are asked for at once.
const BATCH: usize = 500;

/// The holding queue, and the worker that speaks of it.
#[derive(Debug)]
pub struct Holding {
    session: Session,
    worker: WorkerId,
    queue: RefCell<QueueId>,
    /// What that queue is made with.
    name: String,
    tags: Vec<String>,
    /// Stands in the reasons of statuses: `slurm`.
    cluster: &'static str,
}

impl Holding {
    /// Through `session`, in the name of `worker`; the queue is found or made by name and tags.
    pub fn new(
        session: Session,
        worker: WorkerId,
        (queue, name, tags): (QueueId, &str, &[&str]),
        cluster: &'static str,
    ) -> Self {
        Self {
            session,
            worker,
            queue: RefCell::new(queue),
            name: name.to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            cluster,
        }
    }

    fn queue(&self) -> QueueId {
        self.queue.borrow().clone()
    }

    /// Somebody has deleted it (C-613).
    async fn make_again(&self) -> Result<(), ApiError> {
        let tags: Vec<&str> = self.tags.iter().map(String::as_str).collect();
        let queue = self.session.queues().create(&self.name, &tags).await?;
        *self.queue.borrow_mut() = queue;
        Ok(())
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// How each of these tasks stands, in their order.
    pub(super) async fn standings(&self, tasks: &[TaskId]) -> Result<Vec<Standing>, ApiError> {
        let mut standings = Vec::with_capacity(tasks.len());
        for ids in tasks.chunks(BATCH) {
            let filter = TaskFilter {
                id: ids.to_vec(),
                search_hidden: true,
                only_fields: ["id", "status", "status_reason"].map(str::to_owned).into(),
                ..TaskFilter::default()
            };
            let found = self.session.tasks().all(&filter).await?;
            let waiting = self.waiting().await?;
            standings.extend(ids.iter().map(|id| {
                let task = found.iter().find(|task| task.id.as_ref() == Some(id));
                let reason = task.and_then(|task| task.status_reason.as_deref());
                let is_moving = reason == Some(self.moving().as_str());
                match task.and_then(|task| task.status.clone()) {
                    None => Standing::Deleted,
                    Some(TaskStatus::Stopped) if is_moving => Standing::Moving,
                    Some(TaskStatus::Stopped) if reason == Some(USER_ABORT) => {
                        Standing::Interrupted
                    }
                    Some(TaskStatus::Queued) if waiting.contains(id) => Standing::Held,
                    Some(TaskStatus::Queued) => Standing::QueuedElsewhere,
                    Some(status) => Standing::Is(status),
                }
            }));
        }
        Ok(standings)
    }

    fn moving(&self) -> String {
        format!("moving to {} pending queue", self.cluster)
    }

    pub(super) async fn waiting(&self) -> Result<Vec<TaskId>, ApiError> {
        let queue = match self.session.queues().by_id(&self.queue()).await {
            Err(error) if error.is_unknown_queue() => return Ok(Vec::new()),
            queue => queue?,
        };
        Ok(queue.entries.into_iter().map(|entry| entry.task).collect())
    }

    /// Puts a task into the holding queue, from wherever it is (C-613). Of one that runs only the glue knows that it does not
    /// any more: the server would wait for its worker.
    pub(super) async fn hold(&self, task: &TaskId, runs: bool) -> Result<(), ApiError> {
        let tasks = self.session.tasks();
        let stop = StatusChange::forced(task.clone()).reason(self.moving());
        if runs {
            tasks.stopped(&stop).await?;
        } else {
            tasks.stop(&stop).await?;
        }
        // As a rule it is not in there.
        let _ = self.session.queues().remove_task(&self.queue(), task).await;
        let enqueued = self.enqueue(task).await;
        match enqueued {
            Err(error) if error.is_unknown_queue() => {
                self.make_again().await?;
                self.enqueue(task).await
            }
            enqueued => enqueued,
        }
    }

    async fn enqueue(&self, task: &TaskId) -> Result<(), ApiError> {
        let mut enqueue = Enqueue::new(task.clone(), self.queue());
        enqueue.status_reason = Some(format!("{} pending scheduler", self.cluster));
        let tasks = self.session.tasks();
        tasks.enqueue(&enqueue).await.map(drop)
    }

    /// Puts a task back into the queue that it came from, for this reason (C-614, C-616).
    pub(super) async fn give_back(
        &self,
        task: &TaskId,
        queue: &QueueId,
        reason: &str,
    ) -> Result<(), ApiError> {
        let tasks = self.session.tasks();
        let reason = secrets::mask(reason);
        let stop = StatusChange::forced(task.clone()).reason(reason.as_str());
        tasks.stopped(&stop).await?;
        let _ = self.session.queues().remove_task(&self.queue(), task).await;
        let mut enqueue = Enqueue::new(task.clone(), queue.clone());
        enqueue.status_reason = Some(reason);
        tasks.enqueue(&enqueue).await?;
        // Behind the others it is not lost.
        let queues = self.session.queues();
        let _ = queues.move_task_to_front(queue, task).await;
        Ok(())
    }

    /// The task has failed; `lines` are the last ones of its console (C-618, C-645).
    pub(super) async fn fail(
        &self,
        task: &TaskId,
        reason: &str,
        lines: &str,
    ) -> Result<(), ApiError> {
        let reason = secrets::mask(reason);
        self.log(task, LogLevel::Error, &format!("{lines}{reason}\n"))
            .await?;
        let tasks = self.session.tasks();
        // In the holding queue it would be taken for one that waits.
        let _ = tasks.dequeue(&Dequeue::new(task.clone())).await;
        let change = StatusChange::forced(task.clone())
            .reason(reason)
            .message(format!("Changed by clearml-agent {}", self.worker));
        tasks.failed(&change).await.map(drop)
    }

    /// The task's status and console say why it waits (C-642).
    pub(super) async fn say(&self, task: &TaskId, text: &Waiting) -> Result<(), ApiError> {
        let status = secrets::mask(&text.status);
        self.session.tasks().update(task, &status, None).await?;
        let console = format!("{}\n", text.console);
        self.log(task, LogLevel::Info, &console).await
    }

    /// Writes user properties of the task (C-619). Its run does not depend on them.
    pub(super) async fn mark(&self, task: &TaskId, properties: &[(String, String)]) {
        if properties.is_empty() {
            return;
        }
        let tasks = self.session.tasks();
        if let Err(error) = tasks.set_properties(task, properties).await {
            tracing::warn!(%error, %task, "could not write the user properties");
        }
    }

    async fn log(&self, task: &TaskId, level: LogLevel, text: &str) -> Result<(), ApiError> {
        let text = secrets::mask(text);
        let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        let now = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or_default();
        let event = LogEvent::new(level, task, &self.worker, &text, now);
        let events = self.session.events();
        events.add_batch(json_lines(&[event])).await.map(drop)
    }
}
