//! A day of a glue between queues and a real Slurm: many tasks, and everybody is ended once.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;

use super::slurm::{Site, TEMPLATE};
use super::support::{Agent, Counter, Script, wait_until};

const TASKS: usize = 20;
const LIMIT: usize = 3;

/// Tasks of two queues, each queue with a partition of its own.
struct Day {
    site: Site,
    tasks: Vec<String>,
}

impl Day {
    fn new() -> Self {
        let site = Site::new();
        let context = &site.context;
        let second = context.call("queues.create", json!({ "name": "second" }));
        let second = second["id"].as_str().expect("an id").to_owned();
        let runs = context.folder().join("runs");
        let task = |number: usize| {
            let script = format!(
                "echo number {number} in $SLURM_JOB_PARTITION; echo {number} >> '{}'",
                runs.display()
            );
            let script = Script::shell(&script);
            match number % 2 {
                0 => context.enqueue(script),
                _ => context.enqueue_to(&second, script),
            }
        };
        let tasks = (0..TASKS).map(task).collect();
        Self { site, tasks }
    }

    fn glue(&self) -> Agent {
        let second = self.site.context.folder().join("second.sbatch");
        fs::write(&second, TEMPLATE.replace("partition=one", "partition=two")).unwrap();
        let second = format!("second={}", second.display());
        let limit = LIMIT.to_string();
        let words = [&second, "--queue", "second", "--max-jobs", &limit];
        self.site.glue(TEMPLATE, &words)
    }

    fn completed(&self) -> usize {
        let statuses = self.tasks.iter().map(|task| self.site.context.status(task));
        statuses.filter(|status| status == "completed").count()
    }

    /// Until so many tasks are completed; never are there more jobs than the limit.
    #[track_caller]
    fn wait_for(&self, glue: &Agent, number: usize) {
        let reached = wait_until(|| {
            let jobs = self.site.cluster.answer(
                "squeue",
                &["--noheader", "--states=PENDING,RUNNING", "--format=%i"],
            );
            assert!(jobs.lines().count() <= LIMIT, "{jobs}");
            self.completed() >= number
        });
        let shown = self.site.cluster.answer("scontrol", &["show", "job"]);
        assert!(
            reached,
            "{} of {number}: {:#?}\n{shown}\n{}",
            self.completed(),
            self.states(),
            glue.output()
        );
    }

    /// Each task's status with its reason, and its jobs.
    fn states(&self) -> Vec<String> {
        let context = &self.site.context;
        let state = |task: &String| {
            let (status, reason) = (context.status(task), context.reason(task));
            let jobs = self.site.cluster.states(task);
            let log = context.home().join(format!(".clearml/slurm/{task}.log"));
            let log = fs::read_to_string(log).unwrap_or_default();
            let end = log.len().saturating_sub(600);
            format!(
                "{task} {status} ({reason}) {jobs:?}\n{}",
                log.get(end..).unwrap_or_default()
            )
        };
        self.tasks.iter().map(state).collect()
    }
}

/// C-612, C-642, C-645, C-647: no task is lost, runs twice or is left in a wrong status.
#[test]
fn twenty_tasks_over_two_partitions_outlive_controller_and_glue() {
    let mut day = Day::new();
    let mut glue = day.glue();
    day.wait_for(&glue, 3);
    // Jobs run on, and are known to the next one.
    day.site.cluster.stop_controller();
    glue.wait_for_output("the cluster does not answer: ");
    day.site.cluster.start_controller();
    glue.wait_for_output("The cluster answers again");
    day.wait_for(&glue, 8);
    glue.kill();
    glue = day.glue();
    day.wait_for(&glue, 14);
    assert_eq!(glue.terminate(), 254);
    glue = day.glue();
    day.wait_for(&glue, TASKS);
    let context = &day.site.context;
    let runs = fs::read_to_string(context.folder().join("runs")).unwrap();
    let numbers: BTreeSet<&str> = runs.lines().collect();
    assert_eq!((runs.lines().count(), numbers.len()), (TASKS, TASKS));
    for (number, task) in day.tasks.iter().enumerate() {
        let console = context.console(task);
        let partition = ["one", "two"][number % 2];
        let line = format!("number {number} in {partition}\n");
        assert_eq!(console.matches(&line).count(), 1, "{console}");
        assert_eq!(day.site.cluster.states(task), ["COMPLETED"]);
    }
    assert_eq!(day.site.queued("slurm_scheduler"), 0);
    assert_eq!(glue.terminate(), 254);
    assert_eq!(context.workers(), Vec::<String>::new());
}

/// C-642: a job that Slurm has put back, and begins again before anybody has looked, finds its task.
#[test]
fn a_job_that_begins_again_at_once_waits_for_its_task() {
    let site = Site::new();
    let context = &site.context;
    let mut glue = site.glue(&TEMPLATE.replace("--ntasks=1", "--requeue"), &[]);
    let (counter, script) = Counter::new(context, "");
    let task = context.enqueue(script);
    context.wait_for_console(&task, "line 5\n");
    glue.signal(Signal::SIGSTOP);
    let job = site.cluster.job(&task);
    site.cluster.answer("scontrol", &["requeue", &job]);
    context.wait_for_status(&task, "stopped");
    let id = format!("JobId={job}");
    // It would wait for two minutes. In the second of its end its node does not take it again.
    let start = chrono::Local::now() + chrono::TimeDelta::seconds(2);
    let start = format!("StartTime={}", start.format("%Y-%m-%dT%H:%M:%S"));
    let runs = || {
        let words = ["update", &id, &start];
        site.cluster.answer("scontrol", &words);
        site.cluster.states(&task) == ["RUNNING"]
    };
    let shown = || site.cluster.answer("scontrol", &["show", "job"]);
    let log = context.home().join(format!(".clearml/slurm/{task}.log"));
    let log = || fs::read_to_string(&log).unwrap_or_default();
    assert!(wait_until(runs), "{}\n{}", shown(), log());
    counter.stop();
    glue.signal(Signal::SIGCONT);
    context.wait_for_status(&task, "completed");
    let is_over = wait_until(|| site.cluster.states(&task) == ["COMPLETED"]);
    assert!(is_over, "{:?}", site.cluster.states(&task));
    assert_eq!(site.queued("slurm_scheduler"), 0);
    assert_eq!(glue.terminate(), 254);
}
