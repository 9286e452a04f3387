//! How far a pod is, and how it has ended, by what the API says of it (C-641, C-642, C-645).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::names;
use crate::glue::cluster::{Cause, JobEnd, JobState};

/// As much of a pod or job as the glue looks at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Object {
    pub(super) metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) resource_version: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    creation_timestamp: Option<String>,
    deletion_timestamp: Option<String>,
    owner_references: Vec<Owner>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Owner {
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    restart_policy: Option<String>,
    containers: Vec<Container>,
    volumes: Vec<Volume>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    image: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Volume {
    secret: Option<SecretVolume>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecretVolume {
    secret_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    conditions: Vec<Condition>,
    init_container_statuses: Vec<ContainerStatus>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    name: String,
    state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    waiting: Option<Word>,
    terminated: Option<Word>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Word {
    reason: Option<String>,
    message: Option<String>,
    exit_code: Option<i64>,
    finished_at: Option<String>,
}

impl Word {
    /// `REASON (MESSAGE)`
    fn text(&self) -> Option<String> {
        let reason = self.reason.as_deref().filter(|text| !text.is_empty())?;
        Some(with_message(reason, self.message.as_deref()))
    }
}

fn with_message(reason: &str, message: Option<&str>) -> String {
    match message.map(str::trim).filter(|text| !text.is_empty()) {
        Some(message) => format!("{reason} ({message})"),
        None => reason.to_owned(),
    }
}

impl Object {
    /// `NAMESPACE/NAME`
    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.metadata.name)
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.metadata.labels.get(name).map(String::as_str)
    }

    pub(super) fn task(&self) -> Option<&str> {
        self.label(names::TASK)
    }

    /// The first that it belongs to.
    pub(super) fn owner(&self) -> Option<&str> {
        let owner = self.metadata.owner_references.first()?;
        Some(&owner.name)
    }

    /// Its volumes were there once.
    pub(super) fn has_begun(&self) -> bool {
        let phase = self.status.phase.as_deref();
        matches!(phase, Some("Running" | "Succeeded" | "Failed"))
    }

    pub(super) fn is_of(&self, owner: &str) -> bool {
        let mut owners = self.metadata.owner_references.iter();
        owners.any(|one| one.name == owner)
    }

    /// The image of its first container.
    pub(super) fn image(&self) -> Option<&str> {
        self.spec.containers.first().map(|one| one.image.as_str())
    }

    /// Its first container, which is the task's.
    pub(super) fn container(&self) -> Option<&str> {
        self.spec.containers.first().map(|one| one.name.as_str())
    }

    /// The secret that begins with its name.
    pub(super) fn secret(&self, prefix: &str) -> Option<&str> {
        let mut secrets = self.spec.volumes.iter();
        secrets.find_map(|volume| {
            let name = volume.secret.as_ref()?.secret_name.as_str();
            name.starts_with(prefix).then_some(name)
        })
    }

    pub(super) fn created(&self) -> Option<&str> {
        self.metadata.creation_timestamp.as_deref()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// A container that has failed before the others could begin, else the task's.
    pub(super) fn telling_container(&self) -> Option<&str> {
        let mut first = self.status.init_container_statuses.iter();
        let failed = first.find(|status| {
            let terminated = status.state.terminated.as_ref();
            terminated.is_some_and(|word| word.exit_code != Some(0))
        });
        failed
            .map(|status| status.name.as_str())
            .or_else(|| self.container())
    }

    /// When its last container has ended, or when it was made where none has begun.
    pub(super) fn finished(&self) -> Option<DateTime<Utc>> {
        let ends = self.statuses().filter_map(|status| {
            let end = status.state.terminated.as_ref()?.finished_at.as_deref()?;
            moment(end)
        });
        ends.max().or_else(|| moment(self.created()?))
    }

    /// The state of a pod. Reasons of `hopeless` never pass (C-641).
    pub(super) fn state(&self, hopeless: &[String]) -> JobState {
        match self.status.phase.as_deref() {
            Some("Succeeded" | "Failed") => JobState::Ended(self.end()),
            _ if self.is_ending() => JobState::Ending,
            Some("Running") if self.main_has_ended() => JobState::Ended(self.end()),
            Some("Running" | "Unknown") => JobState::Running,
            _ => self.pending(hopeless),
        }
    }

    /// The state of a job whose newest pod is `pod`.
    pub(super) fn state_of_job(&self, pod: Option<&Self>, hopeless: &[String]) -> JobState {
        let is_over = self.status.conditions.iter().find(|condition| {
            let ends = matches!(condition.kind.as_str(), "Complete" | "Failed");
            ends && condition.status == "True"
        });
        match (pod.map(|pod| pod.state(hopeless)), is_over) {
            (Some(state @ JobState::Ended(_)), Some(_)) => state,
            (_, Some(condition)) => JobState::Ended(JobEnd {
                cause: match condition.reason.as_deref() {
                    Some("DeadlineExceeded") => Cause::TimeLimit,
                    _ => Cause::Done,
                },
                word: with_message(
                    condition.reason.as_deref().unwrap_or(&condition.kind),
                    condition.message.as_deref(),
                ),
            }),
            (_, None) if self.is_ending() => JobState::Ending,
            // Its controller has not seen that yet, or makes another pod.
            (Some(JobState::Ended(end)), None) if end.cause != Cause::NeverStarts => {
                JobState::Running
            }
            (Some(state), None) => state,
            (None, None) => JobState::Pending("the job has no pod yet".to_owned()),
        }
    }

    fn pending(&self, hopeless: &[String]) -> JobState {
        let waiting = || self.statuses().filter_map(|one| one.state.waiting.as_ref());
        let lost = waiting().find(|word| {
            let reason = word.reason.as_ref();
            reason.is_some_and(|reason| hopeless.contains(reason))
        });
        if let Some(word) = lost.and_then(Word::text) {
            return JobState::Ended(JobEnd {
                cause: Cause::NeverStarts,
                word,
            });
        }
        let unplaced = self.status.conditions.iter().find_map(|condition| {
            let is_so = condition.kind == "PodScheduled" && condition.status == "False";
            let reason = condition.reason.as_deref().filter(|_| is_so)?;
            Some(with_message(reason, condition.message.as_deref()))
        });
        let why = unplaced.or_else(|| waiting().find_map(Word::text));
        JobState::Pending(why.unwrap_or_else(|| "Pending".to_owned()))
    }

    /// The task's container has ended, and one beside it goes on.
    fn main_has_ended(&self) -> bool {
        let is_once = self.spec.restart_policy.as_deref() == Some("Never");
        is_once && self.main_end().is_some()
    }

    fn main_end(&self) -> Option<&Word> {
        let name = self.container()?;
        let mut statuses = self.status.container_statuses.iter();
        let main = statuses.find(|status| status.name == name)?;
        main.state.terminated.as_ref()
    }

    fn statuses(&self) -> impl Iterator<Item = &ContainerStatus> {
        let first = self.status.init_container_statuses.iter();
        first.chain(&self.status.container_statuses)
    }

    /// Why it was, or is being, ended from outside, where that is known.
    pub(super) fn disruption(&self) -> Option<JobEnd> {
        let status = &self.status;
        let word = |reason: &str| with_message(reason, status.message.as_deref());
        if let Some(reason) = status.reason.as_deref() {
            let cause = match reason {
                "Evicted" if is_own_fault(status.message.as_deref()) => Some(Cause::OutOfRoom),
                "Evicted" | "Preempting" => Some(Cause::Preempted),
                "DeadlineExceeded" => Some(Cause::TimeLimit),
                "NodeLost" | "NodeShutdown" | "Shutdown" | "Terminated" => Some(Cause::NodeFailed),
                _ => None,
            };
            if let Some(cause) = cause {
                let word = word(reason);
                return Some(JobEnd { cause, word });
            }
        }
        let condition = status.conditions.iter();
        let mut condition =
            condition.filter(|one| one.kind == "DisruptionTarget" && one.status == "True");
        let condition = condition.next()?;
        let reason = condition.reason.as_deref()?;
        let cause = match reason {
            "DeletionByTaintManager" | "DeletionByPodGC" => Cause::NodeFailed,
            _ => Cause::Preempted,
        };
        let word = with_message(reason, condition.message.as_deref());
        Some(JobEnd { cause, word })
    }

    fn end(&self) -> JobEnd {
        if let Some(end) = self.disruption() {
            return end;
        }
        let failed = |status: &&ContainerStatus| {
            let word = status.state.terminated.as_ref();
            word.is_some_and(|word| word.exit_code != Some(0))
        };
        let first = self.status.init_container_statuses.iter().find(failed);
        let first = first.and_then(|status| status.state.terminated.as_ref());
        let any = || self.statuses().find(failed)?.state.terminated.as_ref();
        let Some(word) = first.or_else(|| self.main_end()).or_else(any) else {
            let reason = self.status.reason.as_deref();
            let reason = reason.or(self.status.phase.as_deref()).unwrap_or("ended");
            return JobEnd {
                cause: Cause::Done,
                word: with_message(reason, self.status.message.as_deref()),
            };
        };
        let reason = word.text().unwrap_or_else(|| "ended".to_owned());
        let code = word.exit_code.unwrap_or_default();
        JobEnd {
            cause: if word.reason.as_deref() == Some("OOMKilled") {
                Cause::OutOfMemory
            } else {
                Cause::Done
            },
            word: format!("{reason}, exit code {code}"),
        }
    }
}

/// An eviction that the pod has brought on itself comes again wherever it runs.
fn is_own_fault(message: Option<&str>) -> bool {
    let message = message.unwrap_or_default();
    message.contains("exceeds the") || message.contains("exceeded its local ephemeral storage")
}

fn moment(text: &str) -> Option<DateTime<Utc>> {
    let moment = DateTime::parse_from_rfc3339(text).ok()?;
    Some(moment.with_timezone(&Utc))
}
