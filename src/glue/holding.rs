//! The server's side: the holding queue in which a task waits for its job, and what the server is told of it (C-613, C-614).

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use chrono::DateTime;

use crate::api::{
    ApiError, Dequeue, Enqueue, LogEvent, LogLevel, Page, QueueId, Session, StatusChange, Task,
    TaskFilter, TaskId, TaskStatus, WorkerId, json_lines,
};
use crate::process::milliseconds_since_epoch;
use crate::secrets;
use crate::task::USER_ABORT;

use super::cluster::Waiting;
use super::verdict::Standing;

/// What tells how a task stands.
const FIELDS: [&str; 6] = [
    "id",
    "status",
    "status_reason",
    "started",
    "last_worker",
    "last_worker_report",
];
/// A glue whose machine is lost is there again within this time.
const LATELY: chrono::TimeDelta = chrono::TimeDelta::days(1);

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

    pub(super) fn worker(&self) -> &WorkerId {
        &self.worker
    }

    /// How each of these tasks stands, in their order.
    pub(super) async fn standings(&self, tasks: &[TaskId]) -> Result<Vec<Standing>, ApiError> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = HashMap::with_capacity(tasks.len());
        for ids in tasks.chunks(Page::LARGEST) {
            let filter = TaskFilter {
                id: ids.to_vec(),
                search_hidden: true,
                only_fields: FIELDS.map(str::to_owned).into(),
                ..TaskFilter::default()
            };
            let tasks = self.session.tasks().all(&filter).await?.into_iter();
            found.extend(tasks.filter_map(|task| Some((task.id.clone()?, task))));
        }
        let waiting: HashSet<TaskId> = self.waiting().await?.into_iter().collect();
        let moving = self.moving();
        let standing = |id: &TaskId| {
            let task = found.get(id);
            let reason = task.and_then(|task| task.status_reason.as_deref());
            match task.and_then(|task| task.status.clone()) {
                None => Standing::Deleted,
                Some(TaskStatus::Stopped) if reason == Some(moving.as_str()) => Standing::Moving,
                Some(TaskStatus::Stopped) if reason == Some(USER_ABORT) => Standing::Interrupted,
                Some(TaskStatus::Queued) if waiting.contains(id) => Standing::Held,
                Some(TaskStatus::Queued) => Standing::QueuedElsewhere,
                Some(TaskStatus::InProgress) if task.is_some_and(is_anothers) => {
                    Standing::RunsElsewhere
                }
                Some(status) => Standing::Is(status),
            }
        };
        Ok(tasks.iter().map(standing).collect())
    }

    /// Tasks that are between two queues, or were left there, with the queues that they came from.
    pub(super) async fn on_their_way(&self) -> Result<HashMap<TaskId, QueueId>, ApiError> {
        let tasks = self.session.tasks();
        let reason = self.moving();
        let moving = tasks.with_reason(&TaskStatus::Stopped, &reason).await?;
        Ok(moving
            .into_iter()
            .filter(was_left_lately)
            .filter_map(|task| Some((task.id?, task.execution.queue?)))
            .collect())
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
        let text = format!("{lines}{reason}\n");
        if let Err(error) = self.log(task, LogLevel::Error, &text).await {
            if error.refusal().is_none() {
                return Err(error);
            }
            tracing::warn!(%error, %task, "the server takes no line for a task that has failed");
        }
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
        let now = milliseconds_since_epoch();
        let event = LogEvent::new(level, task, &self.worker, &text, now);
        let events = self.session.events();
        events.add_batch(json_lines(&[event])).await.map(drop)
    }
}

/// What lies there for longer was left by somebody who does not come back, and may have been run elsewhere since.
fn was_left_lately(task: &Task) -> bool {
    let changed = task.status_changed.as_deref();
    let changed = changed.and_then(|time| DateTime::parse_from_rfc3339(time).ok());
    let is_archived = task.system_tags.iter().any(|tag| tag == "archived");
    changed.is_some_and(|time| chrono::Utc::now() - time.to_utc() < LATELY) && !is_archived
}

/// Another worker than one in a job of this task, whose id ends with the task's, has reported it since it came into progress.
fn is_anothers(task: &Task) -> bool {
    let time = |text: &Option<String>| DateTime::parse_from_rfc3339(text.as_deref()?).ok();
    let id = task.id.as_ref().map_or("", TaskId::as_str);
    let worker = task.last_worker.as_deref().unwrap_or_default();
    let is_known = !worker.is_empty() && !id.is_empty();
    let (begun, reported) = (time(&task.started), time(&task.last_worker_report));
    is_known && !worker.contains(id) && begun.is_some() && reported >= begun
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BEGIN: &str = "2026-11-21T01:29:56+00:00";
    const BEFORE: &str = "2026-11-21T01:00:00+00:00";

    fn is_run_by_another(worker: &str, reported: &str) -> bool {
        let task = json!({
            "id": "7ad4", "status": "in_progress", "started": BEGIN, "last_worker": worker, "last_worker_report": reported,
        });
        is_anothers(&serde_json::from_value(task).expect("a task"))
    }

    /// Whoever reports a task that is in progress runs it; who did so before has run it before.
    #[test]
    fn a_task_is_anothers_where_another_worker_reports_it() {
        assert!(is_run_by_another("elsewhere:0", BEGIN));
        assert!(!is_run_by_another("elsewhere:0", BEFORE));
        assert!(!is_run_by_another("login1:slurm:7ad4", BEGIN));
        assert!(!is_run_by_another("", BEGIN));
    }
}
