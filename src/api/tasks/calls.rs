//! The calls about tasks, with the versions and arguments that the official agent sends.

use serde::Deserialize;
use serde_json::Value;

use super::requests::{
    ByName, ByReason, Copy, Deletion, Dequeue, DockerCommand, Edit, Enqueue, FieldsFirst,
    HiddenFirst, NewTask, One, Page, Pattern, ScriptEdit, SetRequirements, Several, StatusChange,
    TaskFilter, Update, Updated,
};
use super::requirements::Requirements;
use super::status::TaskStatus;
use super::task::{Container, HyperParameter, Runtime, Task};
use crate::api::endpoint::Endpoint;
use crate::api::error::ApiError;
use crate::api::id::TaskId;
use crate::api::lenient;
use crate::api::names::{NameMatch, pattern};
use crate::api::session::Session;

const GET_BY_ID: Endpoint = Endpoint::new("tasks.get_by_id").version(2, 5);
const GET_ALL: Endpoint = Endpoint::new("tasks.get_all");
const GET_ALL_2_5: Endpoint = GET_ALL.version(2, 5);
const GET_ALL_2_13: Endpoint = GET_ALL.version(2, 13);
const GET_ALL_2_14: Endpoint = GET_ALL.version(2, 14);
const GET_ALL_2_15: Endpoint = GET_ALL.version(2, 15);
const GET_ALL_2_20: Endpoint = GET_ALL.version(2, 20);
const EDIT_HYPER_PARAMS: Endpoint = Endpoint::new("tasks.edit_hyper_params");
const GET_HYPER_PARAMS: Endpoint = Endpoint::new("tasks.get_hyper_params");
const STARTED: Endpoint = Endpoint::new("tasks.started").version(2, 5);
const COMPLETED: Endpoint = Endpoint::new("tasks.completed").version(2, 5);
const FAILED: Endpoint = Endpoint::new("tasks.failed").version(2, 5);
const STOPPED: Endpoint = Endpoint::new("tasks.stopped").version(2, 5);
const STOP: Endpoint = Endpoint::new("tasks.stop").version(2, 5);
const CLOSE: Endpoint = Endpoint::new("tasks.close").version(2, 5);
const RESET: Endpoint = Endpoint::new("tasks.reset").version(2, 5);
const PING: Endpoint = Endpoint::new("tasks.ping").version(2, 5);
/// The section of parameters that people give to tasks on the web page.
const USER_PROPERTIES: &str = "properties";
const EDIT: Endpoint = Endpoint::new("tasks.edit");
const UPDATE: Endpoint = Endpoint::new("tasks.update");
const SET_REQUIREMENTS: Endpoint = Endpoint::new("tasks.set_requirements").version(2, 5);
const DEQUEUE: Endpoint = Endpoint::new("tasks.dequeue");
const ENQUEUE: Endpoint = Endpoint::new("tasks.enqueue").once();
const CLONE: Endpoint = Endpoint::new("tasks.clone").version(2, 5).once();
const CREATE: Endpoint = Endpoint::new("tasks.create").version(2, 5).once();
const DELETE: Endpoint = Endpoint::new("tasks.delete").version(2, 5).once();

/// The calls about tasks.
#[derive(Debug, Clone, Copy)]
pub struct Tasks<'a>(&'a Session);

#[derive(Deserialize)]
struct TaskList {
    #[serde(default, deserialize_with = "lenient::or_default")]
    tasks: Vec<Task>,
}

#[derive(Deserialize)]
struct NewId {
    id: TaskId,
}

impl Session {
    /// The calls about tasks.
    pub fn tasks(&self) -> Tasks<'_> {
        Tasks(self)
    }
}

/// Reading.
impl Tasks<'_> {
    /// `tasks.get_by_id`; [`ApiError::is_unknown_task`] where there is none.
    pub async fn by_id(&self, id: &TaskId) -> Result<Task, ApiError> {
        #[derive(Deserialize)]
        struct Data {
            task: Task,
        }
        let data: Data = self.0.call(&GET_BY_ID, &One { task: id }).await?;
        Ok(data.task)
    }

    /// `tasks.get_all` with any arguments.
    pub async fn all(&self, filter: &TaskFilter) -> Result<Vec<Task>, ApiError> {
        let list: TaskList = self.0.call(&GET_ALL, filter).await?;
        Ok(list.tasks)
    }

    /// The same, page by page, since a server gives a part of a long list only. A task that changes meanwhile may be missed.
    pub async fn all_pages(&self, mut filter: TaskFilter) -> Result<Vec<Task>, ApiError> {
        let mut all = Vec::new();
        for page in 0.. {
            filter.page = Some(Page::of(page));
            let tasks = self.all(&filter).await?;
            let is_last = tasks.len() < Page::LARGEST;
            all.extend(tasks);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    /// Tasks in this state for this reason, word by word, with the queues that they were put into.
    pub async fn with_reason(
        &self,
        status: &TaskStatus,
        reason: &str,
    ) -> Result<Vec<Task>, ApiError> {
        let arguments = ByReason {
            status: [status],
            search_hidden: true,
            only_fields: &[
                "id",
                "status_reason",
                "status_changed",
                "system_tags",
                "execution.queue",
            ],
            all: Pattern {
                fields: &["status_reason"],
                pattern: pattern(reason),
            },
        };
        let list: TaskList = self.0.call(&GET_ALL, &arguments).await?;
        let is_meant = |task: &Task| task.status_reason.as_deref() == Some(reason);
        Ok(list.tasks.into_iter().filter(is_meant).collect())
    }

    /// `tasks.get_all` by name: the task with this name in any case, and what to suggest if none has it (D-040).
    pub async fn by_name(&self, name: &str) -> Result<NameMatch<Task>, ApiError> {
        let arguments = ByName {
            name: pattern(name),
            only_fields: &["name", "id"],
        };
        let list: TaskList = self.0.call(&GET_ALL_2_5, &arguments).await?;
        Ok(NameMatch::among(list.tasks, name, |task| {
            task.name.as_deref()
        }))
    }

    /// State and message: the question of every few seconds while it runs; now and then also which run it is. None where the task
    /// was deleted (D-232).
    pub async fn status(&self, id: &TaskId, with_begin: bool) -> Result<Option<Task>, ApiError> {
        let fields = ["status", "status_message", "started"];
        let asked = if with_begin {
            &fields[..]
        } else {
            &fields[..2]
        };
        self.hidden_first(id, asked).await
    }

    /// The state alone: the question before an abort is reported (D-243).
    pub async fn status_only(&self, id: &TaskId) -> Result<Option<Task>, ApiError> {
        self.hidden_first(id, &["status"]).await
    }

    /// The package lists alone (E-197).
    pub async fn requirements(&self, id: &TaskId) -> Result<Option<Requirements>, ApiError> {
        let task = self.hidden_first(id, &["script.requirements"]).await?;
        Ok(task.map(|task| task.script.unwrap_or_default().requirements))
    }

    /// The container, with what says whether the task needs Python.
    pub async fn contained(&self, id: &TaskId) -> Result<Option<Task>, ApiError> {
        let arguments = FieldsFirst {
            id: [id],
            only_fields: &[
                "container",
                "script.binary",
                "script.repository",
                "script.requirements",
                "hyperparams.properties",
            ],
            search_hidden: true,
        };
        self.first(&GET_ALL_2_14, &arguments).await
    }

    /// The task with every field that its server knows, for templates (C 7.2).
    pub async fn document(&self, id: &TaskId) -> Result<Option<Value>, ApiError> {
        #[derive(Deserialize)]
        struct Data {
            #[serde(default, deserialize_with = "lenient::or_default")]
            tasks: Vec<Value>,
        }
        let arguments = HiddenFirst {
            id: [id],
            search_hidden: true,
            only_fields: &[],
        };
        let data: Data = self.0.call(&GET_ALL_2_20, &arguments).await?;
        Ok(data.tasks.into_iter().next())
    }

    /// The runtime properties alone.
    pub async fn runtime(&self, id: &TaskId) -> Result<Option<Runtime>, ApiError> {
        let arguments = FieldsFirst {
            id: [id],
            only_fields: &["runtime"],
            search_hidden: true,
        };
        let task = self.first(&GET_ALL_2_15, &arguments).await?;
        Ok(task.map(|task| task.runtime))
    }

    /// State, message, and the runtime properties by which a program delays its abort.
    pub async fn abort_callback(&self, id: &TaskId) -> Result<Option<Task>, ApiError> {
        let arguments = FieldsFirst {
            id: [id],
            only_fields: &[
                "status",
                "status_message",
                "runtime._abort_callback_timeout",
                "runtime._abort_poll_freq",
                "runtime._abort_callback_completed",
            ],
            search_hidden: false,
        };
        self.first(&GET_ALL_2_13, &arguments).await
    }

    /// `tasks.get_hyper_params` of one task.
    pub async fn hyper_parameters(&self, id: &TaskId) -> Result<Vec<HyperParameter>, ApiError> {
        #[derive(Deserialize)]
        struct Data {
            #[serde(default, deserialize_with = "lenient::or_default")]
            params: Vec<OfTask>,
        }
        #[derive(Deserialize)]
        struct OfTask {
            #[serde(default, deserialize_with = "lenient::or_default")]
            hyperparams: Vec<HyperParameter>,
        }
        let arguments = Several {
            tasks: std::slice::from_ref(id),
        };
        let data: Data = self.0.call(&GET_HYPER_PARAMS, &arguments).await?;
        Ok(data
            .params
            .into_iter()
            .flat_map(|p| p.hyperparams)
            .collect())
    }

    async fn hidden_first(
        &self,
        id: &TaskId,
        only_fields: &[&str],
    ) -> Result<Option<Task>, ApiError> {
        let arguments = HiddenFirst {
            id: [id],
            search_hidden: true,
            only_fields,
        };
        self.first(&GET_ALL_2_14, &arguments).await
    }

    async fn first(
        &self,
        endpoint: &Endpoint,
        arguments: &impl serde::Serialize,
    ) -> Result<Option<Task>, ApiError> {
        let list: TaskList = self.0.call(endpoint, arguments).await?;
        Ok(list.tasks.into_iter().next())
    }
}

/// Changing.
impl Tasks<'_> {
    /// `tasks.started`.
    pub async fn started(&self, change: &StatusChange) -> Result<Updated, ApiError> {
        self.0.call(&STARTED, change).await
    }

    /// `tasks.completed`.
    pub async fn completed(&self, change: &StatusChange) -> Result<Updated, ApiError> {
        self.0.call(&COMPLETED, change).await
    }

    /// `tasks.failed`.
    pub async fn failed(&self, change: &StatusChange) -> Result<Updated, ApiError> {
        self.0.call(&FAILED, change).await
    }

    /// `tasks.stopped`.
    pub async fn stopped(&self, change: &StatusChange) -> Result<Updated, ApiError> {
        self.0.call(&STOPPED, change).await
    }

    /// `tasks.stop`: what the web page's Abort sends.
    pub async fn stop(&self, change: &StatusChange) -> Result<Updated, ApiError> {
        self.0.call(&STOP, change).await
    }

    /// `tasks.close`.
    pub async fn close(&self, change: &StatusChange) -> Result<Updated, ApiError> {
        self.0.call(&CLOSE, change).await
    }

    /// `tasks.reset`: back to a draft.
    pub async fn reset(&self, change: &StatusChange) -> Result<Updated, ApiError> {
        self.0.call(&RESET, change).await
    }

    /// `tasks.ping`: the task is alive.
    pub async fn ping(&self, id: &TaskId) -> Result<(), ApiError> {
        self.0
            .call::<Value>(&PING, &One { task: id })
            .await
            .map(drop)
    }

    /// `tasks.edit` of the runtime properties, which are replaced as a whole.
    pub async fn edit_runtime(&self, id: &TaskId, runtime: &Runtime) -> Result<Updated, ApiError> {
        let edit = Edit {
            runtime: Some(runtime),
            ..edit_of(id)
        };
        self.0.call(&EDIT, &edit).await
    }

    /// `tasks.edit_hyper_params` of user properties; others keep their values (C-619).
    pub async fn set_properties(
        &self,
        id: &TaskId,
        properties: &[(String, String)],
    ) -> Result<(), ApiError> {
        let properties: Vec<HyperParameter> = properties
            .iter()
            .map(|(name, value)| HyperParameter {
                section: Some(USER_PROPERTIES.to_owned()),
                name: Some(name.clone()),
                value: Some(value.clone()),
                ..HyperParameter::default()
            })
            .collect();
        let arguments = serde_json::json!({ "task": id, "hyperparams": properties });
        let edited = self.0.call::<Value>(&EDIT_HYPER_PARAMS, &arguments).await;
        edited.map(drop)
    }

    /// The user properties of a task.
    pub async fn properties(&self, id: &TaskId) -> Result<Vec<(String, String)>, ApiError> {
        let parameters = self.hyper_parameters(id).await?.into_iter();
        let own = parameters.filter(|one| one.section.as_deref() == Some(USER_PROPERTIES));
        Ok(own
            .filter_map(|one| Some((one.name?, one.value.unwrap_or_default())))
            .collect())
    }

    /// `tasks.edit` of the container; missing members keep their values.
    pub async fn edit_container(
        &self,
        id: &TaskId,
        container: &Container,
    ) -> Result<Updated, ApiError> {
        let edit = Edit {
            container: Some(container),
            ..edit_of(id)
        };
        self.0.call(&EDIT.version(2, 13), &edit).await
    }

    /// `tasks.edit` of the image of old servers (C-020).
    pub async fn edit_docker_command(
        &self,
        id: &TaskId,
        command: &str,
    ) -> Result<Updated, ApiError> {
        let edit = Edit {
            execution: Some(DockerCommand {
                docker_cmd: command,
            }),
            ..edit_of(id)
        };
        self.0.call(&EDIT.version(2, 5), &edit).await
    }

    /// `tasks.edit` of the script; missing members keep their values (A-137, E-083).
    pub async fn edit_script(&self, id: &TaskId, script: &ScriptEdit) -> Result<Updated, ApiError> {
        let edit = Edit {
            script: Some(script),
            ..edit_of(id)
        };
        self.0.call(&EDIT.version(2, 5), &edit).await
    }

    /// `tasks.update` of the message, and of the tags where given.
    pub async fn update(
        &self,
        id: &TaskId,
        status_message: &str,
        tags: Option<&[String]>,
    ) -> Result<Updated, ApiError> {
        let arguments = Update {
            task: id,
            status_message,
            tags,
        };
        self.0.call(&UPDATE, &arguments).await
    }

    /// `tasks.set_requirements`.
    pub async fn set_requirements(
        &self,
        id: &TaskId,
        requirements: &Requirements,
    ) -> Result<Updated, ApiError> {
        let arguments = SetRequirements {
            task: id,
            requirements,
        };
        self.0.call(&SET_REQUIREMENTS, &arguments).await
    }

    /// `tasks.dequeue`; `updated` is 0 where the task was neither queued nor running.
    pub async fn dequeue(&self, dequeue: &Dequeue) -> Result<Updated, ApiError> {
        self.0.call(&DEQUEUE, dequeue).await
    }

    /// `tasks.enqueue`.
    pub async fn enqueue(&self, enqueue: &Enqueue) -> Result<Updated, ApiError> {
        self.0.call(&ENQUEUE, enqueue).await
    }

    /// `tasks.clone`.
    pub async fn duplicate(&self, id: &TaskId, new_name: &str) -> Result<TaskId, ApiError> {
        let arguments = Copy {
            task: id,
            new_task_name: new_name,
        };
        let new: NewId = self.0.call(&CLONE, &arguments).await?;
        Ok(new.id)
    }

    /// `tasks.create`.
    pub async fn create(&self, task: &NewTask) -> Result<TaskId, ApiError> {
        let new: NewId = self.0.call(&CREATE, task).await?;
        Ok(new.id)
    }

    /// `tasks.delete`; `force` for tasks that are not drafts.
    pub async fn delete(&self, id: &TaskId, force: bool) -> Result<(), ApiError> {
        let arguments = Deletion { task: id, force };
        self.0.call::<Value>(&DELETE, &arguments).await.map(drop)
    }
}

fn edit_of(task: &TaskId) -> Edit<'_> {
    Edit {
        task,
        force: true,
        runtime: None,
        container: None,
        script: None,
        execution: None,
    }
}
