//! What there is on the cluster: all objects of this glue, as they are known at each round (C-610, C-640).

use std::collections::HashMap;

use super::api::{Collection, Fault};
use super::cluster::Kubernetes;
use super::maker::Maker;
use super::names;
use super::state::Object;
use super::watch::Followed;
use super::{Kind, KubernetesOptions};
use crate::glue::cluster::{JobEnd, JobId, JobState};

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

/// Where a glue of this name has its objects: pods, and jobs where tasks become jobs.
pub(super) fn followed(maker: &Maker) -> Vec<Followed> {
    let own = maker.namespace();
    let other = Some(maker.options.namespace.as_str()).filter(|other| *other != own);
    let label = format!("{}%3D{}", names::OWNER, maker.owner);
    let mut followed = Vec::new();
    for namespace in [Some(own), other].into_iter().flatten() {
        followed.push(Followed::new(Collection::Pods, namespace, &label));
        if collection(&maker.options) == Collection::Jobs {
            followed.push(Followed::new(Collection::Jobs, namespace, &label));
        }
    }
    followed
}

fn collection(options: &KubernetesOptions) -> Collection {
    match options.template.kind {
        Kind::Pod => Collection::Pods,
        Kind::Job => Collection::Jobs,
    }
}

impl Kubernetes {
    pub(super) fn collection(&self) -> Collection {
        collection(&self.maker.options)
    }

    /// All objects of this glue, also where the template has another namespace (C-610, C-646).
    pub(super) async fn list(&self) -> Result<(), Fault> {
        let own = self.maker.namespace();
        let mut listed = Listed::default();
        let mut unknown = None;
        for followed in &self.followed {
            let namespace = followed.namespace();
            if unknown == Some(namespace) {
                continue;
            }
            let is_optional = namespace != own && followed.collection() == Collection::Pods;
            let objects = match followed.objects(&self.api).await {
                Err(fault) if is_optional && (fault.is(403) || fault.is(404)) => {
                    unknown = Some(namespace);
                    continue;
                }
                objects => objects?,
            };
            match followed.collection() {
                Collection::Jobs => listed.jobs.extend(objects),
                Collection::Pods | Collection::Secrets => listed.pods.extend(objects),
            }
        }
        // The oldest first.
        let by_age = |a: &Object, b: &Object| a.created().cmp(&b.created());
        listed.pods.sort_by(by_age);
        listed.jobs.sort_by(by_age);
        if let Some(mode) = &self.maker.options.ports {
            let range = mode.first..mode.first.saturating_add(mode.count);
            let number = |pod: &Object| {
                let mut numbers = range.clone();
                numbers.find(|number| {
                    let (name, value) = mode.label(*number);
                    pod.label(&name) == Some(&value)
                })
            };
            // A job may have no pod yet, and has its number all the same.
            let found = listed.of(self.collection()).iter();
            let found = found.filter_map(|object| Some((object.id(), number(object)?)));
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
        // The newest of each.
        let owned = listed.pods.iter();
        let owned = owned.filter_map(|pod| Some((pod.owner()?, pod)));
        let owned: HashMap<&str, &Object> = owned.collect();
        let of_job = |job: &Object| {
            let pod = owned.get(job.metadata.name.as_str()).copied();
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
        let (namespace, name) = job.0.split_once('/')?;
        let mut pods = listed.pods.iter();
        match self.collection() {
            Collection::Jobs => pods.rfind(|pod| pod.is_of(name)).cloned(),
            _ => pods
                .find(|pod| pod.metadata.namespace == namespace && pod.metadata.name == name)
                .cloned(),
        }
    }

    /// It was just made.
    pub(super) fn has_made(&self, object: &Object) {
        let namespace = object.metadata.namespace.as_str();
        let mut followed = self.followed.iter();
        let followed = followed
            .find(|one| one.collection() == self.collection() && one.namespace() == namespace);
        if let Some(followed) = followed {
            followed.has_made(object.clone());
        }
    }

    /// Why pods are ended from outside, by the job that each belongs to; also of pods that are gone since the last look.
    pub(super) fn disruptions(&self) -> HashMap<JobId, JobEnd> {
        let listed = self.listed.borrow();
        let is_job = self.collection() == Collection::Jobs;
        let mut gone: Vec<Object> = Vec::new();
        for followed in &self.followed {
            let objects = followed.gone();
            if followed.collection() == Collection::Pods {
                gone.extend(objects);
            }
        }
        let pods = gone.iter().chain(&listed.pods).filter_map(|pod| {
            let name = if is_job {
                pod.owner()?
            } else {
                &pod.metadata.name
            };
            let id = JobId(format!("{}/{name}", pod.metadata.namespace));
            Some((id, pod.disruption()))
        });
        // Of several pods of one job the newest counts.
        let newest: HashMap<JobId, Option<JobEnd>> = pods.collect();
        let ends = newest.into_iter();
        ends.filter_map(|(id, end)| Some((id, end?))).collect()
    }
}
