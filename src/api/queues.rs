//! Calls of the service `queues`.

use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::error::ApiError;
use super::id::{QueueId, TaskId, UserId};
use super::lenient;
use super::names::{NameMatch, pattern};
use super::session::Session;

const GET_ALL: Endpoint = Endpoint::new("queues.get_all").version(2, 5);
const GET_DEFAULT: Endpoint = Endpoint::new("queues.get_default").version(2, 5);
const GET_BY_ID: Endpoint = Endpoint::new("queues.get_by_id").version(2, 5);
const CREATE: Endpoint = Endpoint::new("queues.create").version(2, 5).once();
const GET_NEXT_TASK: Endpoint = Endpoint::new("queues.get_next_task").version(2, 14).once();
const REMOVE_TASK: Endpoint = Endpoint::new("queues.remove_task").version(2, 5).once();
const ADD_TASK: Endpoint = Endpoint::new("queues.add_task").version(2, 14).once();
const MOVE_TO_FRONT: Endpoint = Endpoint::new("queues.move_task_to_front").version(2, 14);

/// A queue; only the asked fields are filled.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Queue {
    /// The queue's id.
    pub id: QueueId,
    /// The queue's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// The users' tags; `force_workers:on` and `force_workers:off` override working hours.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub tags: Vec<String>,
    /// The server's tags.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub system_tags: Vec<String>,
    /// What waits, the next first.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub entries: Vec<QueueEntry>,
}

/// A waiting task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct QueueEntry {
    /// The task.
    pub task: TaskId,
    /// When it was put there, as ISO 8601 text.
    #[serde(default, deserialize_with = "lenient::text")]
    pub added: Option<String>,
}

/// A task taken from a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextTask {
    /// The entry, which is no longer in the queue.
    pub entry: QueueEntry,
    /// Whose task it is, where that was asked for and the server knows.
    pub owner: Option<TaskOwner>,
}

/// Whose task it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TaskOwner {
    /// The company.
    #[serde(default, deserialize_with = "lenient::text")]
    pub company: Option<String>,
    /// The user.
    #[serde(default, deserialize_with = "lenient::id")]
    pub user: Option<UserId>,
}

/// The calls about queues.
#[derive(Debug, Clone, Copy)]
pub struct Queues<'a>(&'a Session);

#[derive(Deserialize)]
struct QueueList {
    #[serde(default, deserialize_with = "lenient::or_default")]
    queues: Vec<Queue>,
}

#[derive(Serialize)]
struct ByIds<'a> {
    id: &'a [QueueId],
    #[serde(skip_serializing_if = "Option::is_none")]
    only_fields: Option<[&'a str; 2]>,
}

#[derive(Serialize)]
struct ByName<'a> {
    name: String,
    only_fields: [&'a str; 2],
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct NewQueue<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    system_tags: &'a [&'a str],
}

#[derive(Serialize)]
struct OneQueue<'a> {
    queue: &'a QueueId,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    get_task_info: bool,
}

#[derive(Serialize)]
struct TaskInQueue<'a> {
    queue: &'a QueueId,
    task: &'a TaskId,
}

#[derive(Deserialize)]
struct Changed {
    #[serde(default, deserialize_with = "lenient::count")]
    removed: u64,
    #[serde(default, deserialize_with = "lenient::count")]
    added: u64,
}

impl Session {
    /// The calls about queues.
    pub fn queues(&self) -> Queues<'_> {
        Queues(self)
    }
}

impl Queues<'_> {
    /// `queues.get_all` by name: the queue with this name in any case, and what to suggest if none has it (D-108).
    pub async fn by_name(&self, name: &str) -> Result<NameMatch<Queue>, ApiError> {
        let arguments = ByName {
            name: pattern(name),
            only_fields: ["name", "id"],
        };
        let found: QueueList = self.0.call(&GET_ALL, &arguments).await?;
        Ok(NameMatch::among(found.queues, name, |queue| {
            queue.name.as_deref()
        }))
    }

    /// `queues.get_all` by ids, with all fields; queues that do not exist are missing in the answer.
    pub async fn by_ids(&self, ids: &[QueueId]) -> Result<Vec<Queue>, ApiError> {
        let arguments = ByIds {
            id: ids,
            only_fields: None,
        };
        let found: QueueList = self.0.call(&GET_ALL, &arguments).await?;
        Ok(found.queues)
    }

    /// `queues.get_all` for ids and tags: the question of every poll round (D-156).
    pub async fn tags(&self, ids: &[QueueId]) -> Result<Vec<Queue>, ApiError> {
        let arguments = ByIds {
            id: ids,
            only_fields: Some(["id", "tags"]),
        };
        let found: QueueList = self.0.call(&GET_ALL, &arguments).await?;
        Ok(found.queues)
    }

    /// `queues.get_default`; see [`super::Reason::NoDefaultQueue`] and `SeveralDefaultQueues`.
    pub async fn default_queue(&self) -> Result<Queue, ApiError> {
        self.0.call(&GET_DEFAULT, &Nothing {}).await
    }

    /// `queues.get_by_id`: one queue with what waits in it, without taking it.
    pub async fn by_id(&self, id: &QueueId) -> Result<Queue, ApiError> {
        #[derive(Deserialize)]
        struct Data {
            queue: Queue,
        }
        let arguments = OneQueue {
            queue: id,
            get_task_info: false,
        };
        let data: Data = self.0.call(&GET_BY_ID, &arguments).await?;
        Ok(data.queue)
    }

    /// `queues.create`. Not repeated after an ambiguous failure: names need not be unique.
    pub async fn create(&self, name: &str, system_tags: &[&str]) -> Result<QueueId, ApiError> {
        #[derive(Deserialize)]
        struct Data {
            id: QueueId,
        }
        let arguments = NewQueue { name, system_tags };
        let data: Data = self.0.call(&CREATE, &arguments).await?;
        Ok(data.id)
    }

    /// `queues.get_next_task`: takes the first task out of the queue; none where it is empty.
    ///
    /// After an ambiguous failure it is not repeated: the server may have taken a task out. `with_owner`
    /// asks for [`NextTask::owner`].
    pub async fn next_task(
        &self,
        queue: &QueueId,
        with_owner: bool,
    ) -> Result<Option<NextTask>, ApiError> {
        #[derive(Deserialize)]
        struct Data {
            #[serde(default)]
            entry: Option<QueueEntry>,
            #[serde(default)]
            task_info: Option<TaskOwner>,
        }
        let arguments = OneQueue {
            queue,
            get_task_info: with_owner,
        };
        let data: Data = self.0.call(&GET_NEXT_TASK, &arguments).await?;
        Ok(data.entry.map(|entry| NextTask {
            entry,
            owner: data.task_info,
        }))
    }

    /// `queues.remove_task`; false where it was not there.
    pub async fn remove_task(&self, queue: &QueueId, task: &TaskId) -> Result<bool, ApiError> {
        let changed: Changed = self
            .0
            .call(&REMOVE_TASK, &TaskInQueue { queue, task })
            .await?;
        Ok(changed.removed > 0)
    }

    /// `queues.add_task`, at the end.
    pub async fn add_task(&self, queue: &QueueId, task: &TaskId) -> Result<bool, ApiError> {
        let changed: Changed = self.0.call(&ADD_TASK, &TaskInQueue { queue, task }).await?;
        Ok(changed.added > 0)
    }

    /// `queues.move_task_to_front`.
    pub async fn move_task_to_front(&self, queue: &QueueId, task: &TaskId) -> Result<(), ApiError> {
        let arguments = TaskInQueue { queue, task };
        self.0
            .call::<serde_json::Value>(&MOVE_TO_FRONT, &arguments)
            .await
            .map(drop)
    }
}
