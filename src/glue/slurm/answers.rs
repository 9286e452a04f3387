//! What Slurm's programs say.

use std::collections::HashMap;

use super::programs::{Answered, NoAnswer};
use crate::glue::cluster::{Cause, Job, JobEnd, JobId, JobState, NotSubmitted};

/// Id, state, reason, name; a name is ours and holds no bar.
pub(super) const FORMAT: &str = "--format=%A|%T|%r|%j";
/// Id, state.
pub(super) const ENDS_FORMAT: &str = "--format=JobIDRaw,State";
/// So many fit into one argument of a program.
pub(super) const MOST_NAMES: usize = 1000;

/// What `sbatch` says when Slurm takes no jobs at present, and takes them later.
const LATER: [&str; 6] = [
    "Unable to contact slurm controller",
    "Connection refused",
    "Connection timed out",
    "Slurm temporarily unable to accept job",
    "Resource temporarily unavailable",
    "job submit limit",
];

/// What it says when Slurm may have taken the job.
const UNKNOWN: &str = "Socket timed out";

/// The job of an `sbatch --parsable`: `ID` or `ID;CLUSTER`.
pub(super) fn submitted(answered: Result<Answered, NoAnswer>) -> Result<JobId, NotSubmitted> {
    let text = match answered {
        Ok(Answered { text }) => text,
        Err(error @ NoAnswer::NotStarted { .. }) => {
            return Err(NotSubmitted::Later(error.to_string()));
        }
        Err(error @ NoAnswer::TooLate(_)) => return Err(NotSubmitted::Unknown(error.to_string())),
        Err(NoAnswer::Failed(why)) if why.contains(UNKNOWN) => {
            return Err(NotSubmitted::Unknown(why));
        }
        Err(NoAnswer::Failed(why)) if LATER.iter().any(|word| why.contains(word)) => {
            return Err(NotSubmitted::Later(why));
        }
        Err(NoAnswer::Failed(why)) => {
            return Err(NotSubmitted::Refused(format!(
                "Slurm refuses the job: {why}"
            )));
        }
    };
    let id = text.lines().next().unwrap_or_default();
    let id = id.split(';').next().unwrap_or_default().trim();
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotSubmitted::Unknown(format!(
            "sbatch said `{}`",
            text.trim()
        )));
    }
    Ok(JobId(id.to_owned()))
}

/// The lines of `squeue` with [`FORMAT`].
pub(super) fn jobs(text: &str) -> Vec<Job> {
    let job = |line: &str| {
        let mut fields = line.splitn(4, '|');
        let mut next = || fields.next().map(str::trim);
        let (id, state, reason, name) = (next()?, next()?, next()?, next()?);
        Some(Job {
            id: JobId(id.to_owned()),
            name: name.to_owned(),
            state: job_state(state, reason),
        })
    };
    text.lines().filter_map(job).collect()
}

/// The lines of `sacct` with [`ENDS_FORMAT`]: `7|CANCELLED by 0`. The first one of a job counts.
pub(super) fn ends(text: &str) -> HashMap<JobId, JobEnd> {
    let mut ends = HashMap::new();
    for line in text.lines() {
        let Some((id, state)) = line.split_once('|') else {
            continue;
        };
        if let JobState::Ended(end) = job_state(state.trim(), "") {
            ends.entry(JobId(id.trim().to_owned())).or_insert(end);
        }
    }
    ends
}

fn job_state(state: &str, reason: &str) -> JobState {
    let cause = match state.split_whitespace().next().unwrap_or_default() {
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED"
        | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => return JobState::Pending(pending(reason)),
        "CANCELLED" | "REVOKED" => Cause::Cancelled,
        "OUT_OF_MEMORY" => Cause::OutOfMemory,
        "TIMEOUT" | "DEADLINE" => Cause::TimeLimit,
        "NODE_FAIL" | "BOOT_FAIL" => Cause::NodeFailed,
        "PREEMPTED" => Cause::Preempted,
        "COMPLETED" | "FAILED" => Cause::Done,
        "COMPLETING" | "SIGNALING" | "STAGE_OUT" => return JobState::Ending,
        // What is stopped or suspended holds its nodes.
        _ => return JobState::Running,
    };
    let word = if reason.is_empty() || reason == "None" {
        state.to_owned()
    } else {
        format!("{state} ({reason})")
    };
    JobState::Ended(JobEnd { cause, word })
}

/// Slurm's word, and what it means where that is not plain; empty where it has none.
fn pending(reason: &str) -> String {
    let meaning = match reason {
        // Slurm has not considered it yet.
        "None" => return String::new(),
        "Resources" => "the resources that it asks for are in use",
        "Priority" => "other jobs come first",
        "PartitionTimeLimit" => {
            "it asks for more time than its partition gives; it will never begin"
        }
        "PartitionDown" | "PartitionInactive" => "its partition takes no jobs",
        "QOSMaxJobsPerUserLimit" | "AssocMaxJobsLimit" | "QOSGrpNodeLimit" => "a quota is used up",
        "PartitionConfig" | "BadConstraints" => {
            "it asks for what its partition does not have; it will never begin"
        }
        "JobHeldAdmin" | "JobHeldUser" => "somebody holds it",
        _ => return reason.to_owned(),
    };
    format!("{reason}: {meaning}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(state: &str, reason: &str) -> Option<Cause> {
        match job_state(state, reason) {
            JobState::Ended(end) => Some(end.cause),
            JobState::Pending(_) | JobState::Running | JobState::Ending => None,
        }
    }

    /// C-680
    #[test]
    fn each_state_of_slurm_means_something_for_a_task() {
        assert_eq!(ended("CANCELLED by 0", "None"), Some(Cause::Cancelled));
        assert_eq!(
            ended("OUT_OF_MEMORY", "OutOfMemory"),
            Some(Cause::OutOfMemory)
        );
        assert_eq!(ended("TIMEOUT", "TimeLimit"), Some(Cause::TimeLimit));
        assert_eq!(ended("NODE_FAIL", "NodeDown"), Some(Cause::NodeFailed));
        assert_eq!(ended("PREEMPTED", "None"), Some(Cause::Preempted));
        assert_eq!(ended("FAILED", "NonZeroExitCode"), Some(Cause::Done));
        assert_eq!(job_state("COMPLETING", "None"), JobState::Ending);
        assert_eq!(job_state("SUSPENDED", "None"), JobState::Running);
        assert!(matches!(
            job_state("PENDING", "Priority"),
            JobState::Pending(_)
        ));
        let unconsidered = JobState::Pending(String::new());
        assert_eq!(job_state("PENDING", "None"), unconsidered);
    }

    #[test]
    fn jobs_are_read_from_their_lines() {
        let jobs = jobs(
            "7|PENDING|Resources|clearml-id-a\n8|FAILED|NonZeroExitCode|clearml-id-b\n\nnonsense\n",
        );
        assert_eq!(jobs.len(), 2);
        let waits = "Resources: the resources that it asks for are in use".to_owned();
        assert_eq!(jobs[0].state, JobState::Pending(waits));
        assert_eq!(
            (jobs[1].id.0.as_str(), jobs[1].name.as_str()),
            ("8", "clearml-id-b")
        );
    }

    /// C-645
    #[test]
    fn ends_are_read_from_their_lines() {
        let ends = ends("7|CANCELLED by 0\n8|RUNNING\n7|COMPLETED\nnonsense\n");
        assert_eq!(ends.len(), 1);
        assert_eq!(ends[&JobId("7".to_owned())].cause, Cause::Cancelled);
    }

    #[test]
    fn an_answer_to_a_submission_is_a_job_or_a_reason() {
        let said = |text: &str| {
            Ok(Answered {
                text: text.to_owned(),
            })
        };
        assert_eq!(submitted(said("12\n")), Ok(JobId("12".to_owned())));
        assert_eq!(submitted(said("12;east\n")), Ok(JobId("12".to_owned())));
        assert!(matches!(
            submitted(said("what?")),
            Err(NotSubmitted::Unknown(_))
        ));
        let failed = |why: &str| submitted(Err(NoAnswer::Failed(why.to_owned())));
        let away = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)";
        assert!(matches!(failed(away), Err(NotSubmitted::Later(_))));
        let slow =
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation";
        assert!(matches!(failed(slow), Err(NotSubmitted::Unknown(_))));
        let partition = "sbatch: error: invalid partition specified: gpu";
        assert!(matches!(failed(partition), Err(NotSubmitted::Refused(_))));
    }
}
