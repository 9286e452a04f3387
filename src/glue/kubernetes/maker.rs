//! From a task to its manifest and its secret; the cluster is not asked.

use serde_json::{Map, Value, json};

use super::KubernetesOptions;
use super::manifest::{CONFIGURATION, POD_FOLDER, Parts, manifest};
use super::names;
use super::script::{own_script, scripts};
use crate::api::{ApiError, Session, TaskOwner, WorkerId};
use crate::container::command::{CommandError, PodContainer};
use crate::glue::cluster::Work;
use crate::task::{TaskServer, container_facts, tell_container};
use crate::ui::Printer;

/// Length of what tells the secrets of a task's pods apart.
const MARK: usize = 6;

/// Why there is no pod for a task.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotMade {
    /// The ClearML server has not said what it depends on.
    #[error("the ClearML server: {0}")]
    Server(#[from] ApiError),
    /// What the task asks for cannot be.
    #[error("{0} (hint: {hint})", hint = .0.hint())]
    Container(#[from] CommandError),
    /// The task would act as nobody.
    #[error("the server has not said whose task it is, and `--use-owner-token` is given")]
    NoOwner,
    /// Nothing names an image with this agent.
    #[error(
        "no image with the agent is known (hint: name it with `--agent-image`, or with `CLEARML_K8S_GLUE_AGENT_IMAGE`)"
    )]
    NoAgentImage,
}

/// What a task becomes.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) namespace: String,
    pub(super) manifest: Value,
    pub(super) secret: String,
    /// Its members and their texts.
    data: Map<String, Value>,
    labels: Map<String, Value>,
    /// Of what was chosen.
    container: PodContainer,
}

impl Made {
    /// The secret, which goes with its owner: the pod or job of this name and id.
    pub(super) fn secret(&self, secret: &str, name: &str, uid: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": secret,
                "namespace": self.namespace,
                "labels": self.labels,
                "ownerReferences": [{
                    "apiVersion": self.manifest["apiVersion"],
                    "kind": self.manifest["kind"],
                    "name": name,
                    "uid": uid,
                }],
            },
            "type": "Opaque",
            "immutable": true,
            "stringData": self.data,
        })
    }
}

/// Makes manifests.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    pub(super) options: KubernetesOptions,
    pub(super) session: Session,
    pub(super) worker: WorkerId,
    pub(super) owner: String,
    pub(super) agent_image: Option<String>,
}

impl Maker {
    /// Where pods are made (C-617).
    pub(super) fn namespace(&self) -> &str {
        let own = self.options.template.namespace();
        own.unwrap_or(&self.options.namespace)
    }

    /// The manifest of a task, with these labels beside its own.
    pub(super) async fn make(
        &self,
        work: &Work,
        more: &[(String, String)],
    ) -> Result<Made, NotMade> {
        let options = &self.options;
        let agent_image = self.agent_image.as_deref().ok_or(NotMade::NoAgentImage)?;
        let task = &work.task;
        let server = self.server(work);
        let queue = Some(&work.queue);
        let (facts, _) = container_facts(&server, &options.container, queue).await?;
        let worker = format!("{}:{task}", self.worker);
        let words = format!("execute {} --id {task}", options.execute_arguments);
        let container = PodContainer::of(&options.container, &facts, &worker, words)?;
        let name = format!("{}{task}", options.prefix);
        let mark: String = std::iter::repeat_with(fastrand::lowercase)
            .take(MARK)
            .collect();
        let secret = format!("{name}-{mark}");
        let mut variables: Vec<(String, Value)> = container
            .variables
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        let configuration = format!("{POD_FOLDER}/{CONFIGURATION}");
        for (name, value) in [
            ("CLEARML_WORKER_ID", worker.as_str()),
            ("CLEARML_CONFIG_FILE", &configuration),
            ("CLEARML_DOCKER_IMAGE", &container.image),
            ("CLEARML_TASK_ID", task.as_str()),
        ] {
            variables.push((name.to_owned(), value.into()));
        }
        let mut data = Map::new();
        data.insert(
            CONFIGURATION.to_owned(),
            options.configuration.text().into(),
        );
        match &options.script {
            Some(lines) => own_script(lines, task, &container.boot, options, &mut data),
            None => scripts(&container.boot, &mut data),
        }
        if let Some(token) = self.owner_token(work).await? {
            data.insert("token".to_owned(), token.into());
            let source = json!({"secretKeyRef": {"name": secret, "key": "token"}});
            variables.push(("CLEARML_AUTH_TOKEN".to_owned(), source));
        }
        let labels = self.labels(work, more);
        let manifest = manifest(
            &options.template,
            &Parts {
                name: &name,
                namespace: self.namespace(),
                labels: labels.clone(),
                image: &container.image,
                variables,
                keeps_entry_point: options.keeps_entry_point,
                pulls_first: container.pulls_first,
                secret: &secret,
                agent_image,
            },
        );
        Ok(Made {
            namespace: self.namespace().to_owned(),
            manifest,
            secret,
            data,
            labels: labels
                .into_iter()
                .map(|(name, value)| (name, value.into()))
                .collect(),
            container,
        })
    }

    /// The server and the log of the glue are told of the choice (C-615, C-623).
    pub(super) async fn tell(&self, work: &Work, made: &Made) {
        for line in &made.container.lines {
            Printer::default().line(line);
        }
        for line in tell_container(&self.server(work), &made.container.told()).await {
            tracing::warn!("{line}");
        }
    }

    fn server(&self, work: &Work) -> TaskServer {
        TaskServer::new(self.session.clone(), work.task.clone(), self.worker.clone())
    }

    /// C-620, C-802
    fn labels(&self, work: &Work, more: &[(String, String)]) -> Vec<(String, String)> {
        let parent = work.fields.get("parent").and_then(Value::as_str);
        let parent = parent.filter(|parent| !parent.is_empty());
        let own = [
            (names::OWNER, Some(self.owner.as_str())),
            (names::TASK, Some(work.task.as_str())),
            (names::QUEUE, Some(work.queue.as_str())),
            (names::QUEUE_NAME, Some(work.queue_name.as_str())),
            (names::PARENT, parent),
        ];
        let own = own.into_iter();
        own.filter_map(|(name, value)| Some((name.to_owned(), names::label(value?))))
            .chain(more.iter().cloned())
            .collect()
    }

    async fn owner_token(&self, work: &Work) -> Result<Option<String>, NotMade> {
        if !self.options.container.uses_owner_token {
            return Ok(None);
        }
        let text = |value: Option<&Value>| {
            let value = value?;
            let text = value.as_str().or_else(|| value.get("id")?.as_str());
            text.map(str::to_owned)
        };
        let owner = TaskOwner {
            company: text(work.fields.get("company")),
            user: text(work.fields.get("user")).and_then(|user| user.parse().ok()),
        };
        let token = self.session.owner_token(&owner).await?;
        let token = token.ok_or(NotMade::NoOwner)?;
        Ok(Some(token.expose().to_owned()))
    }
}
