//! Kubernetes: a pod or a job for each task, by the API itself (C-600 to C-647).

mod api;
mod begin;
mod cluster;
mod look;
mod maker;
mod manifest;
mod names;
mod place;
mod ports;
mod refusal;
mod script;
mod state;
#[cfg(test)]
mod state_cases;
mod template;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::container::command::ContainerOptions;

pub use begin::Pods;
pub use cluster::Kubernetes;
pub use ports::PortsMode;
pub use template::{Kind, PodTemplate, PodTemplateError};

/// The text of the configuration of agents in pods, as it is now: keys may be replaced while the glue works.
#[derive(Clone)]
pub struct PodConfiguration(Arc<dyn Fn() -> String + Send + Sync>);

impl PodConfiguration {
    /// Asks `text` for each pod.
    pub fn new(text: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(text))
    }

    fn text(&self) -> String {
        (self.0)()
    }
}

impl fmt::Debug for PodConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PodConfiguration")
    }
}

/// How tasks become pods.
#[derive(Clone, Debug)]
pub struct KubernetesOptions {
    /// Where pods are, unless the template says so.
    pub namespace: String,
    /// What they are made of.
    pub template: PodTemplate,
    /// What their names begin with.
    pub prefix: String,
    /// Images, arguments and scripts.
    pub container: ContainerOptions,
    /// The configuration in them.
    pub configuration: PodConfiguration,
    /// An image with this agent; without it, that of the pod in which the glue runs.
    pub agent_image: Option<String>,
    /// The words of `execute`, but for the task's id.
    pub execute_arguments: String,
    /// For an administrator's script that installs an agent.
    pub install_arguments: String,
    /// The lines of that script.
    pub script: Option<String>,
    /// The image's own entry point runs the task (C-626).
    pub keeps_entry_point: bool,
    /// Reasons of waiting that never pass (C-641).
    pub hopeless: Vec<String>,
    /// For so long pods stay that have ended (C-644).
    pub deletion_delay: Duration,
    /// Each pod has a number.
    pub ports: Option<PortsMode>,
}

/// Why the glue cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesProblem {
    /// Nothing names the API.
    #[error(
        "no Kubernetes is known: {0} (hint: the glue runs in a pod with a service account, or where `KUBECONFIG` or `~/.kube/config` names the cluster)"
    )]
    NoConfiguration(String),
    /// It does not answer.
    #[error(
        "the Kubernetes API does not answer: {0} (hint: `kubectl get pods` as this user says more)"
    )]
    Away(String),
    /// The user may not.
    #[error("{what} (hint: {hint})")]
    NoRight {
        /// What was refused.
        what: String,
        /// What to do.
        hint: String,
    },
    /// There is no such namespace.
    #[error(
        "there is no namespace \"{0}\" (hint: `kubectl create namespace {0}`, or name another one with `--namespace`)"
    )]
    NoNamespace(String),
    /// A pod of the template would not be taken.
    #[error(
        "Kubernetes would not take a pod of this template: {0} (hint: correct the member that it names)"
    )]
    Template(String),
    /// There is no manifest.
    #[error("{0}")]
    NotMade(String),
}
