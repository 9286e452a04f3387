//! Slurm: `sbatch`, `squeue`, `scancel` and `sacct`, by their forms for programs (C-680).

mod answers;
mod log;
mod programs;
mod template;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use super::cluster::{Cause, Cluster, Job, JobEnd, JobId, NotSubmitted, Unreachable, Work};
use crate::api::TaskId;
use crate::container::command::{ContainerFacts, TextTemplates};
use crate::settings::Settings;
use log::last_lines;
use programs::{Answered, Programs};

pub use template::{BatchTemplate, TemplateError};

/// How tasks become Slurm's jobs.
#[derive(Clone, Debug)]
pub struct SlurmOptions {
    /// The worker, for templates.
    pub worker: String,
    /// The template of queues that have none of their own.
    pub template: BatchTemplate,
    /// Those of some queues, by their names.
    pub by_queue: BTreeMap<String, BatchTemplate>,
    /// What a job runs: this agent, as the compute nodes find it.
    pub agent: PathBuf,
    /// Where jobs print what is not in the console of a task; on a file system that the compute nodes have as well.
    pub log_folder: PathBuf,
    /// Users of ClearML, and the users of the machines with whose rights their tasks run; none: those of this process.
    pub users: Option<BTreeMap<String, String>>,
    /// The configuration file of jobs, where they would not find it by themselves.
    pub configuration: Option<PathBuf>,
    /// For templates.
    pub settings: Settings,
}

/// A Slurm cluster, by the programs on `PATH`.
#[derive(Clone, Debug)]
pub struct Slurm {
    options: SlurmOptions,
    programs: Programs,
}

impl Slurm {
    /// The cluster that the programs know (`SLURM_CONF`).
    pub fn new(options: SlurmOptions) -> Self {
        Self {
            options,
            programs: Programs,
        }
    }

    /// Whether Slurm is there and answers; its version.
    pub async fn version(&self) -> Result<String, Unreachable> {
        let Answered { text, .. } = self.programs.ask("sinfo", &["--version"], "").await?;
        self.programs
            .ask(
                "squeue",
                &["--noheader", "--format=%A", "--name=clearml-id-none"],
                "",
            )
            .await?;
        Ok(text.trim().to_owned())
    }

    /// The batch script of a task, as it would be submitted.
    pub fn render(&self, work: &Work) -> Result<String, TemplateError> {
        let facts = ContainerFacts {
            task: work.task.to_string(),
            fields: work.fields.clone(),
            queue: Some((work.queue.to_string(), Some(work.queue_name.clone()))),
            ..ContainerFacts::default()
        };
        let templates = TextTemplates {
            settings: &self.options.settings,
            facts: &facts,
            worker: &self.options.worker,
        };
        let own = self.options.by_queue.get(&work.queue_name);
        let template = own.unwrap_or(&self.options.template);
        template.fill(&templates, &self.options, &work.task)
    }

    /// The user whose task it is, as the machines know him.
    fn user(&self, work: &Work) -> Result<Option<&str>, NotSubmitted> {
        let Some(users) = &self.options.users else {
            return Ok(None);
        };
        let user = work.fields.get("user").and_then(serde_json::Value::as_str);
        let user = user.unwrap_or_default();
        let known = users.get(user).or_else(|| users.get("default"));
        known.map(|user| Some(user.as_str())).ok_or_else(|| {
            NotSubmitted::Refused(format!(
                "the user {user} of the task is not in `agent.slurm.user_map` (hint: ask the cluster's administrator to add it)"
            ))
        })
    }

    fn log_file(&self, task: &TaskId) -> PathBuf {
        self.options.log_folder.join(format!("{task}.log"))
    }
}

impl Cluster for Slurm {
    const BEGINS_ANEW: bool = true;
    const NAMES_ARE_UNIQUE: bool = false;
    const SETTLING: Duration = Duration::from_secs(30);
    const JOB: &'static str = "Slurm job";

    async fn submit(&self, work: &Work) -> Result<JobId, NotSubmitted> {
        let script = self
            .render(work)
            .map_err(|error| NotSubmitted::Refused(error.to_string()))?;
        let user = self.user(work)?.map(|user| format!("--uid={user}"));
        let name = format!("--job-name={}", self.job_name(&work.task));
        let output = format!("--output={}", self.log_file(&work.task).display());
        let mut words = vec!["--parsable", &name, &output];
        words.extend(user.as_deref());
        let answered = self.programs.ask("sbatch", &words, &script).await;
        answers::submitted(answered)
    }

    async fn jobs(&self, names: &[String]) -> Result<Vec<Job>, Unreachable> {
        let mut jobs = Vec::new();
        for names in names.chunks(answers::MOST_NAMES) {
            let names = format!("--name={}", names.join(","));
            let words = ["--noheader", "--states=all", answers::FORMAT, &names];
            let answered = self.programs.ask("squeue", &words, "").await?;
            jobs.extend(answers::jobs(&answered.text));
        }
        Ok(jobs)
    }

    async fn ends_of(&self, jobs: &[JobId]) -> HashMap<JobId, JobEnd> {
        let mut ends = HashMap::with_capacity(jobs.len());
        for jobs in jobs.chunks(answers::MOST_NAMES) {
            let ids: Vec<&str> = jobs.iter().map(|job| job.0.as_str()).collect();
            let ids = format!("--jobs={}", ids.join(","));
            let words = [
                "--noheader",
                "--parsable2",
                "--allocations",
                answers::ENDS_FORMAT,
                &ids,
            ];
            // Many clusters keep no accounts.
            if let Ok(answered) = self.programs.ask("sacct", &words, "").await {
                ends.extend(answers::ends(&answered.text));
            }
            for job in jobs {
                ends.entry(job.clone()).or_insert_with(|| JobEnd {
                    cause: Cause::Gone,
                    word: "it is not known to Slurm any more".to_owned(),
                });
            }
        }
        ends
    }

    async fn cancel(&self, job: &JobId) -> Result<(), Unreachable> {
        let words = ["--quiet", &job.0];
        self.programs.ask("scancel", &words, "").await?;
        Ok(())
    }

    async fn last_lines(&self, task: &TaskId, _job: &JobId) -> Option<String> {
        let is_of_others = self.options.users.is_some();
        let lines = last_lines(&self.log_file(task), is_of_others).ok()?;
        (!lines.is_empty()).then(|| format!("{lines}\n"))
    }

    fn hint(&self, cause: Cause) -> Option<&'static str> {
        Some(match cause {
            Cause::OutOfMemory => "ask for more with --mem in the template",
            Cause::TimeLimit => "ask for more with --time in the template",
            Cause::NodeFailed | Cause::Preempted => {
                "enqueue the task again; `agent.requeue_on_agent_loss: true` does that by itself"
            }
            Cause::Done => {
                "the job ended before its agent could run the task; its last lines are in the console"
            }
            Cause::Cancelled | Cause::Gone | Cause::NeverStarts | Cause::OutOfRoom => return None,
        })
    }
}
