//! The cluster as the glue asks it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::Utc;
use serde_json::Value;

use super::api::{Api, Collection, Fault};
use super::look::{Listed, followed};
use super::maker::{Maker, NotMade};
use super::place::LOOKS;
use super::state::Object;
use super::watch::Followed;
use super::{names, refusal};
use crate::api::TaskId;
use crate::glue::cluster::{
    Cause, Cluster, Job, JobEnd, JobId, JobState, Known, NotSubmitted, Unreachable, Waiting, Work,
};

/// So much of what a pod has printed stands in the console of a task that it has lost.
const LAST_LINES: usize = 20;
/// User properties by which a glue knows its tasks again (C-619).
const QUEUE_PROPERTY: &str = "k8s-queue";
const AGENT_PROPERTY: &str = "k8s-agent";

/// A cluster, by its API.
#[derive(Debug)]
pub struct Kubernetes {
    pub(super) maker: Maker,
    pub(super) api: Api,
    /// Where its objects are.
    pub(super) followed: Vec<Followed>,
    /// What the last look has found: pods, and jobs where tasks become jobs.
    pub(super) listed: RefCell<Listed>,
    /// Why pods were ended from outside, until they are asked for.
    pub(super) ends: RefCell<BTreeMap<String, JobEnd>>,
    /// The numbers of pods (C-616).
    pub(super) numbers: RefCell<BTreeMap<String, u32>>,
}

impl Kubernetes {
    /// A cluster of which nothing is known yet.
    pub(super) fn new(maker: Maker, api: Api) -> Self {
        Self {
            followed: followed(&maker),
            maker,
            api,
            listed: RefCell::default(),
            ends: RefCell::default(),
            numbers: RefCell::default(),
        }
    }
}

impl Cluster for Kubernetes {
    const JOB: &'static str = "Kubernetes pod";
    const UNIT: &'static str = "pod";

    fn job_name(&self, task: &TaskId) -> String {
        format!("{}{task}", self.maker.options.prefix)
    }

    /// C-612
    fn announcement(&self, task: &TaskId) -> Vec<String> {
        vec![
            format!("Pulling task {task} launching on kubernetes cluster"),
            format!("Pushing task {task} into temporary pending queue"),
            format!("Kubernetes scheduling task id={task}"),
        ]
    }

    fn marks(&self, queue_name: &str) -> Vec<(String, String)> {
        vec![
            (QUEUE_PROPERTY.to_owned(), queue_name.to_owned()),
            (AGENT_PROPERTY.to_owned(), self.maker.owner.clone()),
        ]
    }

    fn marked(&self, properties: &[(String, String)]) -> Option<String> {
        let value = |wanted: &str| {
            let mut properties = properties.iter();
            properties.find_map(|(name, value)| (name == wanted).then_some(value))
        };
        (value(AGENT_PROPERTY)? == &self.maker.owner).then(|| value(QUEUE_PROPERTY).cloned())?
    }

    fn properties(&self, job: &JobId) -> Vec<(String, String)> {
        let Some(mode) = &self.maker.options.ports else {
            return Vec::new();
        };
        let numbers = self.numbers.borrow();
        let number = numbers.get(&job.0);
        number.map_or_else(Vec::new, |number| mode.properties(*number, numbers.len()))
    }

    async fn submit(&self, work: &Work) -> Result<JobId, NotSubmitted> {
        let number = self.number()?;
        let mode = self.maker.options.ports.as_ref();
        let label = number.zip(mode).map(|(number, mode)| mode.label(number));
        let more: Vec<(String, String)> = label.into_iter().collect();
        let made = self
            .maker
            .make(work, &more)
            .await
            .map_err(|error| match error {
                // It is asked again.
                NotMade::Server(error) if error.is_transient() => {
                    NotSubmitted::NotYet(error.to_string())
                }
                error => NotSubmitted::Refused(error.to_string()),
            })?;
        let name = self.job_name(&work.task);
        let namespace = made.namespace.as_str();
        for _ in 0..LOOKS {
            let created =
                self.api
                    .create::<Object>(self.collection(), namespace, &made.manifest, false);
            match created.await {
                Ok(object) => {
                    self.has_made(&object);
                    self.seal(&made, &object).await?;
                    self.maker.tell(work, &made).await;
                    let id = format!("{namespace}/{name}");
                    if let Some(number) = number {
                        self.numbers.borrow_mut().insert(id.clone(), number);
                    }
                    return Ok(JobId(id));
                }
                Err(Fault::Refused { reason, .. }) if reason == "AlreadyExists" => {
                    self.clear_place(&name, namespace).await?;
                }
                Err(fault) => return Err(refusal::not_submitted(&fault, namespace)),
            }
        }
        Err(NotSubmitted::NotYet(format!(
            "the last pod of the task, {namespace}/{name}, has not ended yet"
        )))
    }

    /// A container that runs, or has run, has had its secret.
    fn may_lack(&self, job: &JobId) -> bool {
        self.pod_of(job).is_none_or(|pod| !pod.has_begun())
    }

    async fn complete(&self, work: &Work, job: &JobId) -> bool {
        let Some((namespace, name)) = job.0.split_once('/') else {
            return true;
        };
        let object = self
            .api
            .get::<Object>(self.collection(), namespace, name)
            .await;
        let object = match object {
            Ok(object) => object,
            Err(fault) => return fault.is(404),
        };
        let made = match self.maker.make(work, &[]).await {
            Ok(made) => made,
            Err(error) => return !matches!(error, NotMade::Server(_)),
        };
        let prefix = format!("{name}-");
        let secret = self.pod_of(job).or_else(|| Some(object.clone()));
        let secret = secret.as_ref().and_then(|pod| pod.secret(&prefix));
        if let Some(secret) = secret {
            let secret = made.secret(secret, name, &object.metadata.uid);
            let created = self
                .api
                .create::<Value>(Collection::Secrets, namespace, &secret, false);
            if let Err(fault) = created.await {
                // As a rule it is there.
                let is_there =
                    matches!(&fault, Fault::Refused { reason, .. } if reason == "AlreadyExists");
                if !is_there {
                    tracing::warn!(%fault, %job, "could not make the secret of a pod");
                }
                return is_there;
            }
        }
        true
    }

    async fn known(&self) -> Result<Vec<Known>, Unreachable> {
        self.list().await?;
        let listed = self.listed.borrow();
        let known = listed.of(self.collection()).iter().filter_map(|object| {
            Some(Known {
                task: object.task()?.parse().ok()?,
                queue: object.label(names::QUEUE)?.parse().ok()?,
                job: JobId(object.id()),
            })
        });
        Ok(known.collect())
    }

    async fn jobs(&self, names: &[String]) -> Result<Vec<Job>, Unreachable> {
        self.list().await?;
        let names: HashSet<&str> = names.iter().map(String::as_str).collect();
        let mut ends = self.ends.borrow_mut();
        ends.retain(|id, _| {
            let name = id.rsplit('/').next().unwrap_or_default();
            names.contains(name)
        });
        // Also of those that are gone by now.
        for (id, end) in self.disruptions() {
            let name = id.0.rsplit('/').next().unwrap_or_default();
            if names.contains(name) {
                ends.insert(id.0, end);
            }
        }
        let all = self.all().into_iter();
        let jobs = all.filter(|(_, name, _)| names.contains(name.as_str()));
        let jobs = jobs.map(|(id, name, state)| Job { id, name, state });
        Ok(jobs.collect())
    }

    fn may_be_old(&self) -> bool {
        self.followed.iter().any(Followed::is_followed)
    }

    fn look_anew(&self) {
        self.followed.iter().for_each(Followed::distrust);
    }

    async fn ends_of(&self, jobs: &[JobId]) -> HashMap<JobId, JobEnd> {
        let ends = self.ends.borrow();
        let end = |job: &JobId| {
            ends.get(&job.0).cloned().unwrap_or_else(|| JobEnd {
                cause: Cause::Gone,
                word: "somebody has deleted it".to_owned(),
            })
        };
        jobs.iter().map(|job| (job.clone(), end(job))).collect()
    }

    async fn cancel(&self, job: &JobId) -> Result<(), Unreachable> {
        let Some((namespace, name)) = job.0.split_once('/') else {
            return Ok(());
        };
        let collection = self.collection();
        let object = match self.api.get::<Object>(collection, namespace, name).await {
            Err(fault) if fault.is(404) => return Ok(()),
            object => object?,
        };
        let place = (name, object.metadata.uid.as_str());
        Ok(self.api.delete(collection, namespace, place).await?)
    }

    /// C-644
    async fn clear(&self, kept: &[JobId]) {
        let now = Utc::now();
        let delay = self.maker.options.deletion_delay;
        let over: Vec<Object> = {
            let listed = self.listed.borrow();
            let objects = listed.of(self.collection());
            let all = self.all().into_iter();
            let over: HashSet<JobId> = all
                .filter(|(_, _, state)| matches!(state, JobState::Ended(_)))
                .map(|(id, ..)| id)
                .collect();
            let kept: HashSet<&JobId> = kept.iter().collect();
            let has_rested = |id: &JobId, object: &Object| {
                let pod = self.pod_of(id);
                let finished = pod.as_ref().unwrap_or(object).finished();
                finished.is_none_or(|finished| {
                    let since = (now - finished).to_std().unwrap_or_default();
                    since >= delay
                })
            };
            let objects = objects.iter().filter(|object| {
                let id = JobId(object.id());
                over.contains(&id) && !kept.contains(&id) && has_rested(&id, object)
            });
            objects.cloned().collect()
        };
        for object in over {
            let metadata = &object.metadata;
            let place = (metadata.name.as_str(), metadata.uid.as_str());
            let deleted = self
                .api
                .delete(self.collection(), &metadata.namespace, place);
            match deleted.await {
                Ok(()) => tracing::info!(pod = object.id(), "deleted what has ended"),
                Err(fault) => tracing::warn!(%fault, pod = object.id(), "could not delete"),
            }
        }
    }

    async fn last_lines(&self, _task: &TaskId, job: &JobId) -> Option<String> {
        let pod = self.pod_of(job)?;
        let container = pod.telling_container()?;
        let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
        let lines = self.api.last_lines(namespace, name, container, LAST_LINES);
        let mut lines = lines.await.ok().filter(|lines| !lines.is_empty())?;
        if !lines.ends_with('\n') {
            lines.push('\n');
        }
        Some(lines)
    }

    /// C-642
    fn waiting(&self, why: &str) -> Waiting {
        Waiting {
            status: format!("K8S glue status: {why}"),
            console: format!("Kubernetes Pod status: {why}"),
        }
    }

    fn reason(&self, job: &str, end: &JobEnd) -> String {
        let advice = self.advice(end.cause);
        match end.cause {
            // C-641
            Cause::NeverStarts => format!("K8S glue error: {}{advice}", end.word),
            _ => format!("{} {job} ended: {}{advice}", Self::JOB, end.word),
        }
    }

    fn hint(&self, cause: Cause) -> Option<&'static str> {
        Some(match cause {
            Cause::OutOfMemory => "ask for more in `resources.limits.memory` of the template",
            Cause::OutOfRoom => {
                "ask for more in `resources.limits.ephemeral-storage`, or give the pod a volume"
            }
            Cause::TimeLimit => "ask for more in `activeDeadlineSeconds` of the template",
            Cause::NodeFailed | Cause::Preempted => {
                "enqueue the task again; `agent.requeue_on_agent_loss: true` does that by itself"
            }
            Cause::Done => {
                "the pod ended before its agent could say how; its last lines are in the console"
            }
            Cause::NeverStarts => {
                "check the name of the image, and `imagePullSecrets` in the template"
            }
            Cause::Cancelled | Cause::Gone => return None,
        })
    }
}
