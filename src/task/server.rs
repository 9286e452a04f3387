//! What a run says to the server about its task: each call with the words of the reference.

use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::fence::{Fence, RUN_FIELDS, SIGNATURE};
use super::journal::Journal;
use super::node::Node;
use super::outcome::FinalStatus;
use super::watch::is_stopped;
use crate::api::{
    ApiError, Dequeue, LogEvent as WireEvent, LogLevel, QueueId, Requirements, Retry, ScriptEdit,
    Session, StatusChange, Task, TaskFilter, TaskId, TaskLogQuery, TaskStatus, WorkerId,
    json_lines,
};
use crate::logs::{EventSink, Level, LogEvent, SinkError};
use crate::process::Moment;
use crate::python::CondaReport;
use crate::secrets;

const HOST_KEY: &str = "_exec_agent_hostname";

/// One task on the server, and the worker that runs it.
#[derive(Clone, Debug)]
pub struct TaskServer {
    session: Session,
    task: TaskId,
    worker: WorkerId,
    node: Node,
    fence: Option<Fence>,
    insists: bool,
}

/// Before a server is asked again that has failed itself.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Between two looks for keys that the server takes.
const KEYS: Duration = Duration::from_secs(1);

impl TaskServer {
    /// The task as `worker` speaks of it.
    pub fn new(session: Session, task: TaskId, worker: WorkerId) -> Self {
        Self {
            session,
            task,
            worker,
            node: Node::default(),
            fence: None,
            insists: false,
        }
    }

    /// The same, where a task that has left its queue is not failed by an answer that says nothing about it: an error of the
    /// server itself, a page of somebody else.
    #[must_use]
    pub fn insisting(self) -> Self {
        Self {
            insists: true,
            ..self
        }
    }

    async fn insist<T>(&self, ask: impl AsyncFn() -> Result<T, ApiError>) -> Result<T, ApiError> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let error = match Box::pin(ask()).await {
                Err(error) if self.insists && error.is_unauthorized() => {
                    // It has left its queue, and nobody else knows. The session says that it waits for other keys.
                    tracing::debug!(%error, "asking again");
                    tokio::time::sleep(KEYS).await;
                    continue;
                }
                Err(error) if self.insists && says_nothing(&error) => error,
                answered => return answered,
            };
            let Some(pause) = pauses.next() else {
                return Err(error);
            };
            tracing::info!(%error, "asking again");
            tokio::time::sleep(pause).await;
        }
    }

    /// The same as one node of several: those behind the first set no status and report no packages (D-253, E-198).
    #[must_use]
    pub fn on(self, node: Node) -> Self {
        Self { node, ..self }
    }

    /// The same for the run of `journal`, which says nothing of its task once another run has begun. Nodes behind the first
    /// say little of it.
    #[must_use]
    pub(super) fn fenced(self, journal: &Journal, interval: Duration) -> Self {
        let fence = || Fence::new(journal.clone(), self.worker.clone(), interval);
        let fence = self.node.is_first().then(fence);
        Self { fence, ..self }
    }

    /// Ends once the server has left a try of a call without an answer.
    pub(super) async fn is_silent(&self) {
        self.session.is_silent().await;
    }

    pub(super) fn fence(&self) -> Option<&Fence> {
        self.fence.as_ref()
    }

    /// True once it is known that the task is another run's.
    pub(super) fn is_taken(&self) -> bool {
        self.fence.as_ref().is_some_and(Fence::is_closed)
    }

    /// The same, and the server is asked where it has said nothing for long.
    pub(super) async fn is_found_taken(&self) -> Result<bool, ApiError> {
        if self.fence.as_ref().is_some_and(Fence::is_in_doubt) {
            self.look_for_others().await?;
        }
        Ok(self.is_taken())
    }

    /// The same as it is now, for a final status.
    pub(super) async fn is_taken_now(&self) -> Result<bool, ApiError> {
        if self.fence.as_ref().is_some_and(Fence::is_stale) {
            self.insist(async || self.look_for_others().await).await?;
        }
        Ok(self.is_taken())
    }

    async fn look_for_others(&self) -> Result<(), ApiError> {
        let Some(fence) = &self.fence else {
            return Ok(());
        };
        let asked = Moment::now();
        match self.standing(&RUN_FIELDS).await {
            Ok(Some(task)) => fence.look(asked, &task),
            Ok(None) => {}
            // A server that refuses to tell has nothing against this run.
            Err(error) if error.refusal().is_some() && !is_server_fault(&error) => {
                tracing::info!(%error, "whose the task is, is not known");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) fn node(&self) -> Node {
        self.node
    }

    /// The task.
    pub fn task(&self) -> &TaskId {
        &self.task
    }

    /// The worker.
    pub fn worker(&self) -> &WorkerId {
        &self.worker
    }

    /// The session behind it.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The same task through a session whose calls end after `limit`.
    #[must_use]
    pub fn with_deadline(&self, limit: Duration) -> Self {
        Self {
            session: self.session.clone().with_deadline(limit),
            ..self.clone()
        }
    }

    /// The same task through a session whose calls end when `token` is cancelled.
    #[must_use]
    pub fn cancelled_by(&self, token: &CancellationToken) -> Self {
        Self {
            session: self.session.clone().with_cancellation(token.clone()),
            ..self.clone()
        }
    }

    /// `tasks.started` with a message: `pulled by agent`, `launch by agent` (D-162, D-207).
    pub async fn started(&self, message: &str) -> Result<(), ApiError> {
        if !self.node.is_first() {
            return Ok(());
        }
        self.start(&StatusChange::forced(self.task.clone()).message(message))
            .await
    }

    /// `tasks.started` with a reason, in the name of this worker (D-212).
    pub async fn started_because(&self, reason: &str) -> Result<(), ApiError> {
        if !self.node.is_first() {
            return Ok(());
        }
        let change = StatusChange::forced(self.task.clone())
            .reason(reason)
            .message(self.signature());
        self.start(&change).await
    }

    async fn start(&self, change: &StatusChange) -> Result<(), ApiError> {
        let tasks = self.session.tasks();
        let started = self.insist(async || tasks.started(change).await).await?;
        if let Some(fence) = &self.fence {
            let started = started.fields.get("started").and_then(Value::as_str);
            fence.begun(started, change.status_message.as_deref());
        }
        Ok(())
    }

    /// Records on which host the task runs (D-206).
    pub async fn record_host(&self, host: &str) -> Result<(), ApiError> {
        self.add_to_runtime([(HOST_KEY, Value::from(host))]).await
    }

    /// Adds to what the task's runtime says already.
    pub(super) async fn add_to_runtime(
        &self,
        members: impl IntoIterator<Item = (impl Into<String>, Value)>,
    ) -> Result<(), ApiError> {
        let tasks = self.session.tasks();
        let Some(mut runtime) = tasks.runtime(&self.task).await? else {
            return Ok(());
        };
        runtime.extend(members.into_iter().map(|(key, value)| (key.into(), value)));
        tasks.edit_runtime(&self.task, &runtime).await.map(drop)
    }

    /// The task with everything that running it needs.
    pub async fn fetch(&self) -> Result<Task, ApiError> {
        let tasks = self.session.tasks();
        self.insist(async || tasks.by_id(&self.task).await).await
    }

    /// Takes the task out of its queue; true where it was in one (E-015).
    ///
    /// What is asked again after a lost answer says that it is in none, where it was taken out before.
    pub async fn dequeue(&self, retry: Retry) -> Result<bool, ApiError> {
        let session = self.session.clone().with_retry(retry);
        let dequeue = Dequeue::into_progress(self.task.clone());
        let dequeued = session.tasks().dequeue(&dequeue).await?;
        if dequeued.updated == 0 {
            return Ok(false);
        }
        if !self.node.is_first() {
            return Ok(true);
        }
        let change = StatusChange::forced(self.task.clone())
            .reason("starting execution soon")
            .message("");
        // It is in progress without that, too.
        if let Err(error) = self.start(&change).await {
            tracing::info!(%error, "could not say that the task begins");
        }
        Ok(true)
    }

    /// State and message alone; none where the task does not exist (D 5.4).
    pub async fn status(&self) -> Result<Option<Task>, ApiError> {
        let with_begin = self.fence.as_ref().is_some_and(Fence::wants_begin);
        let tasks = self.session.tasks();
        let task = tasks.status(&self.task, with_begin).await?;
        if let (Some(fence), Some(task)) = (&self.fence, &task)
            && !is_stopped(Some(task))
            && fence.is_in_doubt_with(task)
        {
            self.look_for_others().await?;
        }
        Ok(task)
    }

    /// The state alone, before an abort is reported (D-243).
    pub async fn status_only(&self) -> Result<Option<Task>, ApiError> {
        self.session.tasks().status_only(&self.task).await
    }

    /// What the program has asked for in case of an abort (D-250).
    pub async fn abort_callback(&self) -> Result<Option<Task>, ApiError> {
        self.session.tasks().abort_callback(&self.task).await
    }

    /// The task is alive (D-202).
    pub async fn ping(&self) -> Result<(), ApiError> {
        self.session.tasks().ping(&self.task).await
    }

    /// Reports what is installed; the user's own list is kept once as `org_pip` (E-197).
    pub async fn report_packages(
        &self,
        frozen: Vec<String>,
        conda: Option<&CondaReport>,
    ) -> Result<(), ApiError> {
        if !self.node.is_first() {
            return Ok(());
        }
        let mut lists: Requirements = self
            .session
            .tasks()
            .requirements(&self.task)
            .await?
            .unwrap_or_default();
        lists.set_installed(frozen);
        if let Some(conda) = conda {
            lists.set("conda", conda.conda.clone());
            if let Some(full) = &conda.full {
                lists.set_text("conda_env_json", full.clone());
            }
        }
        self.session
            .tasks()
            .set_requirements(&self.task, &lists)
            .await
            .map(drop)
    }

    /// Writes the commit back to a task that named none (E-083).
    pub async fn record_commit(&self, commit: &str) -> Result<(), ApiError> {
        let script = ScriptEdit {
            version_num: Some(commit.to_owned()),
        };
        self.session
            .tasks()
            .edit_script(&self.task, &script)
            .await
            .map(drop)
    }

    /// Sets a final status. A refusal is not an error: somebody else has set one (D-247).
    pub async fn settle(&self, status: &FinalStatus) -> Result<(), ApiError> {
        if !self.node.is_first() || self.is_taken_now().await? {
            return Ok(());
        }
        match self.insist(async || self.set(status).await).await {
            Err(error) if error.refusal().is_some() && !is_server_fault(&error) => {
                self.settle_refused(status, &error).await
            }
            told => told,
        }
    }

    /// What the task is called says why the server has refused a final status.
    async fn settle_refused(
        &self,
        status: &FinalStatus,
        refused: &ApiError,
    ) -> Result<(), ApiError> {
        match self.standing(&["status", "execution.queue"]).await? {
            // It has left its queue, and nobody could say so until now (D-207).
            Some(Task {
                status: Some(TaskStatus::Queued),
                execution,
                ..
            }) if !self.is_waiting_in(execution.queue.as_ref()).await? => {
                self.started("pulled by agent").await?;
                self.set(status).await
            }
            // Nobody has set one; without it the task would be in progress for ever.
            Some(Task {
                status: Some(TaskStatus::InProgress),
                ..
            }) => match self.set(status).await {
                Err(error) if error.refusal().is_some() && !is_server_fault(&error) => {
                    tracing::warn!(%error, "the server does not take the status of the task");
                    Ok(())
                }
                told => told,
            },
            _ => {
                tracing::info!(error = %refused, "the server keeps the status that the task has");
                Ok(())
            }
        }
    }

    /// These fields of the task as the server has them; none where the task does not exist.
    pub(super) async fn standing(&self, fields: &[&str]) -> Result<Option<Task>, ApiError> {
        let filter = TaskFilter {
            id: vec![self.task.clone()],
            search_hidden: true,
            only_fields: fields.iter().map(|&field| field.to_owned()).collect(),
            ..TaskFilter::default()
        };
        let found = self.session.tasks().all(&filter).await?;
        Ok(found.into_iter().next())
    }

    /// True where the task waits in the queue that it names.
    pub(super) async fn is_waiting(&self, task: &Task) -> Result<bool, ApiError> {
        self.is_waiting_in(task.execution.queue.as_ref()).await
    }

    /// A task that somebody has put into a queue again is that queue's.
    async fn is_waiting_in(&self, queue: Option<&QueueId>) -> Result<bool, ApiError> {
        let Some(queue) = queue else {
            return Ok(false);
        };
        match self.session.queues().by_id(queue).await {
            Ok(queue) => Ok(queue.entries.iter().any(|entry| entry.task == self.task)),
            // A queue that is gone has nothing in it.
            Err(error) if error.refusal().is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sets a status once, as the state machine allows it.
    pub(super) async fn set(&self, status: &FinalStatus) -> Result<(), ApiError> {
        let change = StatusChange::new(self.task.clone());
        let signed = |reason: &str| {
            change
                .reason(secrets::mask(reason))
                .message(self.signature())
        };
        let tasks = self.session.tasks();
        let answer = match status {
            FinalStatus::Completed(reason) => tasks.completed(&signed(reason)).await,
            FinalStatus::Failed(reason) => tasks.failed(&signed(reason)).await,
            FinalStatus::Stopped(reason) => tasks.stopped(&signed(reason)).await,
        };
        answer.map(drop)
    }

    fn signature(&self) -> String {
        format!("{SIGNATURE}{}", self.worker)
    }
}

/// Log events that are read back at once.
const READ_BACK: u32 = 500;
/// The server's limit of a page.
const LARGEST_READ_BACK: u32 = 8000;

impl EventSink for TaskServer {
    fn awake(&self) {
        if let Some(fence) = &self.fence {
            fence.awake();
        }
    }

    async fn add(&self, events: &[LogEvent]) -> Result<(), SinkError> {
        let unasked = Self {
            session: self.session.clone().with_retry(Retry::Never),
            ..self.clone()
        };
        match unasked.is_found_taken().await {
            Ok(false) => {}
            Ok(true) => return Err(SinkError::Gone),
            Err(error) if error.is_unknown_task() => return Err(SinkError::Gone),
            Err(error) => return Err(SinkError::NotTaken(error.to_string())),
        }
        let wire: Vec<WireEvent<'_>> = events
            .iter()
            .map(|event| {
                WireEvent::new(
                    level(event.level),
                    &self.task,
                    &self.worker,
                    &event.message,
                    event.timestamp,
                )
            })
            .collect();
        let added = unasked
            .session
            .events()
            .add_batch(json_lines(&wire))
            .await
            .map_err(|error| {
                let error = sink_error(&error);
                if let (Some(fence), SinkError::NotTaken(_) | SinkError::Ambiguous(_)) =
                    (&self.fence, &error)
                {
                    fence.doubt();
                }
                error
            })?;
        if added.added < events.len() as u64 {
            return Err(SinkError::Ambiguous(format!(
                "Error ({}) sending events only {} of {} registered",
                added.errors_info,
                added.added,
                events.len()
            )));
        }
        Ok(())
    }

    /// Page by page from the newest back, since others may write to the log as well.
    async fn since(&self, timestamp: u64) -> Result<Vec<LogEvent>, SinkError> {
        let session = self.session.clone().with_retry(Retry::Never);
        let mut query = TaskLogQuery {
            task: self.task.clone(),
            batch_size: READ_BACK,
            navigate_earlier: true,
            from_timestamp: None,
        };
        let mut stored = Vec::new();
        let mut largest = LARGEST_READ_BACK;
        loop {
            let events = match session.events().task_log(&query).await {
                // Events may be long, and a program's own are as long as it likes.
                Err(ApiError::TooLong { .. }) if query.batch_size > 1 => {
                    largest = query.batch_size / 2;
                    query.batch_size = largest;
                    continue;
                }
                page => page.map_err(|error| sink_error(&error))?.events,
            };
            let oldest = events.iter().map(|event| event.timestamp).min();
            let is_full = events.len() >= query.batch_size as usize;
            stored.extend(events.into_iter().map(|event| LogEvent {
                level: Level::Debug,
                message: event.msg.unwrap_or_default(),
                timestamp: event.timestamp,
            }));
            let Some(oldest) = oldest.filter(|oldest| is_full && *oldest >= timestamp) else {
                return Ok(stored);
            };
            // The server begins before this time; the rest of the oldest millisecond must not be missed.
            let next = Some(oldest + 1);
            if query.from_timestamp == next {
                // One millisecond fills a whole page.
                if query.batch_size >= largest {
                    return Ok(stored);
                }
                query.batch_size = (query.batch_size * 2).min(largest);
            }
            query.from_timestamp = next;
        }
    }
}

fn level(level: Level) -> LogLevel {
    match level {
        Level::Debug => LogLevel::Debug,
        Level::Error => LogLevel::Error,
        Level::Info => LogLevel::Info,
        Level::Warning => LogLevel::Warning,
    }
}

/// True where nobody has answered who knows the task.
fn says_nothing(error: &ApiError) -> bool {
    is_server_fault(error) || matches!(error, ApiError::Malformed { .. })
}

/// True where the API itself answered that it has failed: that says nothing about the request.
pub(super) fn is_server_fault(error: &ApiError) -> bool {
    error
        .refusal()
        .is_some_and(|refusal| refusal.code >= SERVER_FAULT)
}

/// From this code on an error is the server's own.
const SERVER_FAULT: u16 = 500;

/// Statuses that a proxy or server gives for a body beyond its limit.
const TOO_LARGE: u16 = 413;

fn sink_error(error: &ApiError) -> SinkError {
    let too_large = match error {
        ApiError::Malformed { status, .. } | ApiError::Server { status, .. } => {
            *status == TOO_LARGE
        }
        error => error
            .refusal()
            .is_some_and(|refusal| refusal.code == TOO_LARGE),
    };
    if too_large {
        SinkError::TooLarge
    } else if error.is_unknown_task() {
        SinkError::Gone
    } else if error.is_ambiguous() || is_server_fault(error) {
        SinkError::Ambiguous(error.to_string())
    } else if error.is_transient() || error.is_unauthorized() || error.is_interrupted() {
        SinkError::NotTaken(error.to_string())
    } else {
        SinkError::Refused(error.to_string())
    }
}
