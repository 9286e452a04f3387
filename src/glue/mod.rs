//! Queues whose tasks run on a cluster that has a scheduler of its own: each task is submitted as a job, in which
//! `clearml-agent execute --full-monitoring --require-queue` runs it.
//!
//! Here is what all clusters have in common: the queues, the holding queue in which a task waits for its job, the ledger of what
//! was submitted, and what becomes of a task whose job ends, disappears or waits. What is special is behind [`Cluster`].

mod cluster;
mod holding;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod ledger;
mod round;
mod slurm;
mod state;
mod under_way;
mod verdict;
mod watched;

pub use cluster::{
    Cause, Cluster, JOB_PREFIX, Job, JobEnd, JobId, JobState, Known, NotSubmitted, Unreachable,
    Waiting, Work,
};
pub use holding::Holding;
#[cfg(feature = "kubernetes")]
pub use kubernetes::{
    Kind, Kubernetes, KubernetesOptions, KubernetesProblem, PodConfiguration, PodTemplate,
    PodTemplateError, Pods, PortsMode,
};
pub use ledger::{Ledger, LedgerError};
pub use round::{Glue, GlueEnd, GlueOptions};
pub use slurm::{BatchTemplate, Slurm, SlurmOptions, TemplateError};
pub use state::GlueState;
