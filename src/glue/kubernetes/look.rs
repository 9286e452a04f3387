//! What there is on the cluster: one list of all objects of this glue for each round (C-610, C-640).

use super::Kind;
use super::api::{Collection, Fault};
use super::cluster::Kubernetes;
use super::names;
use super::state::Object;
use crate::glue::cluster::{JobId, JobState};

/// What one look has found: pods, and jobs where tasks become jobs.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) pods: Vec<Object>,
    pub(super) jobs: Vec<Object>,
}

impl Listed {
    /// The objects that tasks have become.
    pub(super) fn of(&self, collection: Collection) -> &[Object] {
        match collection {
            Collection::Jobs => &self.jobs,
            Collection::Pods | Collection::Secrets => &self.pods,
        }
    }
}

impl Kubernetes {
    pub(super) fn collection(&self) -> Collection {
        match self.maker.options.template.kind {
            Kind::Pod => Collection::Pods,
            Kind::Job => Collection::Jobs,
        }
    }

    /// Asks for all objects of this glue, also where the template has another namespace (C-610, C-646).
    pub(super) async fn list(&self) -> Result<(), Fault> {
        let own = self.maker.namespace();
        let other = Some(self.maker.options.namespace.as_str()).filter(|other| *other != own);
        let label = format!("{}%3D{}", names::OWNER, self.maker.owner);
        let mut listed = Listed::default();
        for namespace in [Some(own), other].into_iter().flatten() {
            let is_optional = namespace != own;
            let pods = self.api.list(Collection::Pods, namespace, &label).await;
            match pods {
                Ok(pods) => listed.pods.extend::<Vec<Object>>(pods),
                Err(fault) if is_optional && (fault.is(403) || fault.is(404)) => continue,
                Err(fault) => return Err(fault),
            }
            if self.collection() == Collection::Jobs {
                let jobs = self.api.list(Collection::Jobs, namespace, &label).await?;
                listed.jobs.extend::<Vec<Object>>(jobs);
            }
        }
        // The oldest first.
        let by_age = |a: &Object, b: &Object| a.created().cmp(&b.created());
        listed.pods.sort_by(by_age);
        if let Some(mode) = &self.maker.options.ports {
            let range = mode.first..mode.first.saturating_add(mode.count);
            let number = |pod: &Object| {
                let mut numbers = range.clone();
                numbers.find(|number| {
                    let (name, value) = mode.label(*number);
                    pod.label(&name) == Some(&value)
                })
            };
            let pods = listed.pods.iter();
            let found = pods.filter_map(|pod| Some((pod.id(), number(pod)?)));
            *self.numbers.borrow_mut() = found.collect();
        }
        *self.listed.borrow_mut() = listed;
        Ok(())
    }

    /// All jobs, by the last list.
    pub(super) fn all(&self) -> Vec<(JobId, String, JobState)> {
        let listed = self.listed.borrow();
        let hopeless = &self.maker.options.hopeless;
        let seen = |object: &Object, state: JobState| {
            (JobId(object.id()), object.metadata.name.clone(), state)
        };
        let of_job = |job: &Object| {
            let mut pods = listed.pods.iter();
            let pod = pods.rfind(|pod| pod.is_of(&job.metadata.name));
            seen(job, job.state_of_job(pod, hopeless))
        };
        if self.collection() == Collection::Jobs {
            listed.jobs.iter().map(of_job).collect()
        } else {
            let pods = listed.pods.iter();
            pods.map(|pod| seen(pod, pod.state(hopeless))).collect()
        }
    }

    /// The pod of a job.
    pub(super) fn pod_of(&self, job: &JobId) -> Option<Object> {
        let listed = self.listed.borrow();
        let (_, name) = job.0.split_once('/')?;
        let mut pods = listed.pods.iter();
        match self.collection() {
            Collection::Jobs => pods.rfind(|pod| pod.is_of(name)).cloned(),
            _ => pods.find(|pod| pod.id() == job.0).cloned(),
        }
    }
}
