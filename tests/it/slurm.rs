//! Queues whose tasks run as jobs of a real Slurm.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::support::slurm::SlurmCluster;
use super::support::{Agent, Counter, Script, TestContext, wait_until};

pub(crate) const TEMPLATE: &str = "#!/bin/bash
#SBATCH --partition=one
#SBATCH --time=0:10:00
#SBATCH --ntasks=1
${CLEARML_PRE_SETUP}
${CLEARML_AGENT_EXECUTE}
${CLEARML_POST_SETUP}
";

/// A cluster, and a server with the queue `default`.
pub(crate) struct Site {
    // Dropped before the folder of its processes.
    pub(crate) cluster: SlurmCluster,
    pub(crate) context: TestContext,
}

impl Site {
    pub(crate) fn new() -> Self {
        let context = TestContext::new();
        let cluster = SlurmCluster::start(&context);
        Self { cluster, context }
    }

    pub(crate) fn glue(&self, template: &str, words: &[&str]) -> Agent {
        self.glue_with(template, words, &[])
    }

    pub(crate) fn glue_with(
        &self,
        template: &str,
        words: &[&str],
        variables: &[(&str, &str)],
    ) -> Agent {
        let file = self.context.folder().join("job.sbatch");
        fs::write(&file, template).unwrap();
        let file = file.display().to_string();
        let mut all = vec!["slurm", "--queue", "default", "--template-files", &file];
        all.extend(words);
        let mut command = self.context.command(&all);
        let (name, value) = self.cluster.variable();
        command.env(name, value).envs(variables.iter().copied());
        let glue = self.context.start_command(command);
        glue.wait_for_output("listening to queues: default");
        glue
    }

    /// A task whose node dies in the middle of its program.
    fn lose_the_node_of(
        &mut self,
        script: &Script,
        template: &str,
        words: &[&str],
    ) -> (Agent, String) {
        let glue = self.glue(template, words);
        let task = self.context.enqueue(script.clone());
        self.context.wait_for_console(&task, "line 5\n");
        let job = |cluster: &SlurmCluster| cluster.states(&task);
        self.cluster
            .lose_node("a", |cluster| job(cluster) != ["RUNNING"]);
        (glue, task)
    }

    /// The job of a task gives way to a job of Slurm's own, which ends when `is_off`.
    fn preempt(&self, task: &str) -> String {
        let job = self.cluster.job(task);
        let script = "--wrap=sleep 600";
        let words = [
            "--parsable",
            "--partition=urgent",
            "--output=/dev/null",
            "--exclusive",
            script,
        ];
        let urgent = self.cluster.answer("sbatch", &words).trim().to_owned();
        let waits = || {
            let job = format!("--jobs={job}");
            let words = ["--noheader", "--states=all", "--format=%T", &job];
            let state = self.cluster.answer("squeue", &words);
            ["PENDING", "PREEMPTED"].contains(&state.trim())
        };
        assert!(wait_until(waits), "{:?}", self.cluster.states(task));
        urgent
    }

    pub(crate) fn queued(&self, name: &str) -> usize {
        let queues = self.context.call("queues.get_all", json!({ "name": name }));
        queues["queues"][0]["entries"]
            .as_array()
            .map_or(0, Vec::len)
    }
}

/// C-610, C-612, C-613, C-627, C-680
#[test]
fn tasks_run_as_jobs_and_say_all_themselves() {
    let site = Site::new();
    let mut glue = site.glue(TEMPLATE, &[]);
    let tasks: Vec<String> = (0..4)
        .map(|number| {
            let script = Script::shell(&format!("echo number {number}; echo $SLURM_JOB_ID"));
            site.context.enqueue(script)
        })
        .collect();
    for (number, task) in tasks.iter().enumerate() {
        site.context.wait_for_status(task, "completed");
        let console = site.context.console(task);
        let job = site.cluster.job(task);
        assert!(
            console.contains(&format!("number {number}\n{job}\n")),
            "{console}"
        );
    }
    assert_eq!(site.queued("slurm_scheduler"), 0);
    glue.signal(Signal::SIGTERM);
    assert_eq!(glue.wait(), 254);
    assert_eq!(site.context.workers(), Vec::<String>::new());
}

/// C-643: whether it waits for its job, or runs.
#[test]
fn an_abort_ends_a_job() {
    let site = Site::new();
    let template = TEMPLATE.replace("--ntasks=1", "--ntasks=2");
    let _glue = site.glue(&template, &[]);
    let (counter, script) = Counter::new(&site.context, "");
    let running = site.context.enqueue(script);
    site.context.wait_for_console(&running, "line 5\n");
    let waiting = site.context.enqueue(Script::shell("echo never"));
    let said = || site.context.console(&waiting);
    assert!(
        wait_until(|| said().contains("Slurm job waits: Resources: ")),
        "{}",
        said()
    );
    assert_eq!(site.context.status(&waiting), "queued");
    for task in [&waiting, &running] {
        site.context.call("tasks.stop", json!({ "task": task }));
        site.context.wait_for_status(task, "stopped");
    }
    let states = || (site.cluster.states(&waiting), site.cluster.states(&running));
    let are_over = || {
        let (waiting, running) = states();
        waiting == ["CANCELLED"] && running == ["COMPLETED"]
    };
    assert!(wait_until(are_over), "{:?}", states());
    assert!(counter.count() > 0);
}

/// C-645: the agent in the job dies without a word.
#[test]
fn a_job_that_is_killed_has_failed_its_task_with_the_reason() {
    let site = Site::new();
    let _glue = site.glue(TEMPLATE, &[]);
    let (_, script) = Counter::new(&site.context, "");
    let task = site.context.enqueue(script);
    site.context.wait_for_console(&task, "line 5\n");
    let job = site.cluster.job(&task);
    for pid in site.context.processes() {
        let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if words.contains("execute") {
            kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
        }
    }
    site.context.wait_for_status(&task, "failed");
    let reason = site.context.reason(&task);
    assert!(
        reason.starts_with(&format!(
            "Slurm job {job} ended: FAILED (NonZeroExitCode) (hint: "
        )),
        "{reason}"
    );
    let console = site.context.console(&task);
    // What the job itself has printed.
    assert!(console.contains("Killed"), "{console}");
}

/// C-645: its agent is told to end, and says so; the reason is the limit.
#[test]
fn a_job_that_has_used_its_time_up_has_failed_its_task() {
    let site = Site::new();
    let template = TEMPLATE.replace("0:10:00", "0:01:00");
    let _glue = site.glue(&template, &[]);
    let (_, script) = Counter::new(&site.context, "");
    let task = site.context.enqueue(script);
    site.context.wait_for_console(&task, "line 5\n");
    let is_over = || site.cluster.states(&task) == ["TIMEOUT"];
    assert!(wait_until(is_over) || wait_until(is_over));
    site.context.wait_for_status(&task, "failed");
    let reason = site.context.reason(&task);
    assert!(
        reason.contains("ended: TIMEOUT (TimeLimit) (hint: ask for more"),
        "{reason}"
    );
}

/// C-644, C-645: the machine fails. Slurm begins the job again, or the task goes back into its queue, or it has failed.
#[test]
fn a_task_whose_node_has_failed_runs_again_where_that_is_wanted() {
    let mut site = Site::new();
    let (counter, script) = Counter::new(&site.context, "");
    let (mut glue, task) = site.lose_the_node_of(&script, TEMPLATE, &[]);
    let is_held = || site.queued("slurm_scheduler") == 1;
    assert!(wait_until(is_held), "{}", glue.output());
    let begins = || {
        // Slurm lets a machine that has failed rest for two minutes.
        let job = format!("jobid={}", site.cluster.job(&task));
        let words = ["update", &job, "starttime=now"];
        site.cluster.answer("scontrol", &words);
        site.context.console(&task).matches("line 1\n").count()
    };
    assert!(
        wait_until(|| begins() == 2),
        "{:?}, {}, {}\n{}",
        site.cluster.states(&task),
        site.context.status(&task),
        site.context.reason(&task),
        glue.output()
    );
    counter.stop();
    site.context.wait_for_status(&task, "completed");
    assert_eq!(site.cluster.states(&task).len(), 1);
    glue.signal(Signal::SIGTERM);
    assert_eq!(glue.wait(), 254);
    counter.go_on();
    let once = TEMPLATE.replace("--ntasks=1", "--no-requeue");
    let (mut glue, task) = site.lose_the_node_of(&script, &once, &[]);
    site.context.wait_for_status(&task, "failed");
    let reason = site.context.reason(&task);
    assert!(reason.contains("ended: NODE_FAIL"), "{reason}");
    glue.signal(Signal::SIGTERM);
    assert_eq!(glue.wait(), 254);
}

/// The glue is killed between any two steps; jobs go on, and the next one knows them.
#[test]
fn a_glue_that_is_killed_loses_no_task() {
    let site = Site::new();
    let mut glue = site.glue(TEMPLATE, &[]);
    let (counter, script) = Counter::new(&site.context, "");
    let task = site.context.enqueue(script);
    site.context.wait_for_console(&task, "line 5\n");
    glue.kill();
    counter.wait_for(5);
    let next = site.context.enqueue(Script::shell("echo next"));
    let glue = site.glue(TEMPLATE, &[]);
    glue.wait_for_output("Taking over 1 tasks that are under way");
    site.context.wait_for_status(&next, "completed");
    counter.stop();
    site.context.wait_for_status(&task, "completed");
    assert_eq!(site.cluster.states(&task).len(), 1);
    assert!(!glue.output().contains("has failed"), "{}", glue.output());
}

/// C-614: nobody holds a task for ever that Slurm does not take.
#[test]
fn a_job_that_slurm_refuses_has_failed_its_task() {
    let site = Site::new();
    let template = TEMPLATE.replace("--partition=one", "--partition=none");
    let _glue = site.glue(&template, &[]);
    let task = site.context.enqueue(Script::shell("echo never"));
    site.context.wait_for_status(&task, "failed");
    let reason = site.context.reason(&task);
    assert!(
        reason.starts_with("Slurm refuses the job: ") && reason.contains("partition"),
        "{reason}"
    );
    assert_eq!(site.queued("slurm_scheduler"), 0);
}

/// C-616: the task is anybody's meanwhile.
#[test]
fn tasks_stay_in_their_queue_while_slurm_is_away() {
    let mut site = Site::new();
    let glue = site.glue(TEMPLATE, &[]);
    site.cluster.kill_controller();
    let task = site.context.enqueue(Script::shell("echo done"));
    glue.wait_for_output("Warning: the cluster takes no job at present: ");
    assert!(wait_until(|| site.queued("default") == 1));
    site.cluster.start_controller();
    glue.wait_for_output("The cluster takes jobs again");
    site.context.wait_for_status(&task, "completed");
}

/// C-611, C-7.2: templates know the task, and a limit holds.
#[test]
fn a_batch_script_is_shown_with_the_values_of_the_task() {
    let site = Site::new();
    let file = site.context.folder().join("job.sbatch");
    let text = TEMPLATE.replace(
        "--ntasks=1",
        "--comment=${CLEARML_TASK.name|lower} --account=${CLEARML_QUEUE_NAME}",
    );
    fs::write(&file, text).unwrap();
    let task = site.context.create(Script::shell("echo"));
    let words = ["slurm", "--queue", "default", "--render", &task];
    let mut command = site.context.command(&words);
    command.arg("--template-files").arg(&file);
    let mut agent = site.context.start_command(command);
    assert_eq!(agent.wait(), 0);
    let output = agent.output();
    assert!(output.contains("--account=default\n"), "{output}");
    assert!(
        output.contains(&format!(
            "execute --full-monitoring --require-queue --id {task}\n"
        )),
        "{output}"
    );
    assert!(
        output.contains("export CLEARML_WORKER_ID='host:slurm:"),
        "{output}"
    );
}

/// C-644, C-645, C-680: Slurm does not begin it again.
#[test]
fn a_task_whose_job_gave_way_for_good_is_queued_again_where_that_is_set() {
    let once = TEMPLATE.replace("--ntasks=1", "--no-requeue");
    let site = Site::new();
    let mut glue = site.glue(&once, &[]);
    let (counter, script) = Counter::new(&site.context, "");
    let task = site.context.enqueue(script.clone());
    site.context.wait_for_console(&task, "line 5\n");
    let urgent = site.preempt(&task);
    site.context.wait_for_status(&task, "failed");
    let reason = site.context.reason(&task);
    assert!(reason.contains("ended: PREEMPTED"), "{reason}");
    assert!(reason.contains("requeue_on_agent_loss"), "{reason}");
    site.cluster.answer("scancel", &[&urgent]);
    assert_eq!(glue.terminate(), 254);
    site.context.configure("agent.requeue_on_agent_loss: true");
    let glue = site.glue(&once, &[]);
    let task = site.context.enqueue(script);
    site.context.wait_for_console(&task, "line 5\n");
    let urgent = site.preempt(&task);
    glue.wait_for_output("goes back into its queue: ");
    site.cluster.answer("scancel", &[&urgent]);
    let begins = || site.context.console(&task).matches("line 1\n").count();
    assert!(wait_until(|| begins() == 2), "{}", glue.output());
    counter.stop();
    site.context.wait_for_status(&task, "completed");
    assert_eq!(site.cluster.states(&task).len(), 2);
}

/// C-680: a second glue of the same name says so and ends; one of another name shares the work.
#[test]
fn two_glues_on_one_queue_do_not_run_a_task_twice() {
    let site = Site::new();
    let glue = site.glue(TEMPLATE, &[]);
    let file = site.context.folder().join("job.sbatch");
    let words = ["slurm", "--queue", "default", "--template-files"];
    let command = || {
        let mut command = site.context.command(&words);
        let (name, value) = site.cluster.variable();
        command.arg(&file).env(name, value);
        command
    };
    let mut twin = site.context.start_command(command());
    assert_eq!(twin.wait(), 1);
    let output = twin.output();
    assert!(
        output.contains("a glue of this name works on this machine"),
        "{output}"
    );
    assert!(output.contains("hint: "), "{output}");
    let mut other = command();
    other.env("CLEARML_WORKER_ID", "other");
    let other = site.context.start_command(other);
    other.wait_for_output("listening to queues: default");
    let tasks: Vec<String> = (0..6)
        .map(|number| {
            site.context
                .enqueue(Script::shell(&format!("echo number {number}")))
        })
        .collect();
    for (number, task) in tasks.iter().enumerate() {
        site.context.wait_for_status(task, "completed");
        assert_eq!(site.cluster.states(task).len(), 1);
        let console = site.context.console(task);
        assert_eq!(console.matches(&format!("number {number}\n")).count(), 1);
    }
    let taken = format!("{}{}", glue.output(), other.output());
    for task in &tasks {
        assert_eq!(taken.matches(&format!("Received task {task}")).count(), 1);
    }
}

/// C-305, C-680: each node runs the program with its rank, and the first alone says how it went.
#[test]
fn a_job_of_two_nodes_runs_its_task_on_both() {
    let site = Site::new();
    let template = TEMPLATE
        .replace("=one", "=both")
        .replace("--ntasks=1", "--nodes=2 --ntasks-per-node=1")
        .replace("${CLEARML_AGENT_EXECUTE}", "srun ${CLEARML_AGENT_EXECUTE}");
    let _glue = site.glue(&template, &[]);
    let ran = site.context.folder().join("ran");
    let text = format!(
        "echo $SLURM_PROCID of $SLURM_NTASKS on $SLURMD_NODENAME >> '{}'",
        ran.display()
    );
    let task = site.context.enqueue(Script::shell(&text));
    site.context.wait_for_status(&task, "completed");
    let is_over = || site.cluster.states(&task) == ["COMPLETED"];
    assert!(
        wait_until(is_over),
        "{:?}\n{}",
        site.cluster.states(&task),
        fs::read_to_string(
            site.context
                .home()
                .join(format!(".clearml/slurm/{task}.log"))
        )
        .unwrap_or_default()
    );
    let text = fs::read_to_string(&ran).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0 of 2 on a", "1 of 2 on b"]);
    let ends = site.context.requests("tasks.completed");
    assert_eq!(ends.len(), 1);
}

/// C-680: whose task it is decides; nobody's tasks run with the rights of the glue by accident.
#[test]
fn a_task_of_a_user_who_is_not_in_the_map_is_refused() {
    let site = Site::new();
    site.context
        .configure("agent.slurm.user_map { somebody: root }");
    let mut glue = site.glue(TEMPLATE, &[]);
    let task = site.context.enqueue(Script::shell("echo never"));
    site.context.wait_for_status(&task, "failed");
    let reason = site.context.reason(&task);
    assert!(
        reason.contains("is not in `agent.slurm.user_map`") && reason.contains("(hint: "),
        "{reason}"
    );
    assert_eq!(site.queued("slurm_scheduler"), 0);
    assert_eq!(site.cluster.states(&task), Vec::<String>::new());
    assert_eq!(glue.terminate(), 254);
    site.context
        .configure("agent.slurm.user_map { default: root }");
    let _glue = site.glue(TEMPLATE, &[]);
    let task = site.context.enqueue(Script::shell("echo done as $USER"));
    site.context.wait_for_status(&task, "completed");
}

/// C-680, C-7.2: what is in the manual works; resources are those of the task's user properties.
#[test]
fn the_examples_become_batch_scripts() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo"));
    let gpus = json!({ "section": "properties", "name": "gpus", "value": "3" });
    let image = json!({ "image": "ubuntu:22.04" });
    let edit = json!({ "task": task, "hyperparams": [gpus] });
    context.call("tasks.edit_hyper_params", edit);
    context.call("tasks.edit", json!({ "task": task, "container": image }));
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/slurm");
    for (name, wanted) in [
        ("job", "#SBATCH --gres=gpu:3\n"),
        ("apptainer", "\"docker://ubuntu:22.04\" \\\n"),
        ("pyxis", "--container-image=\"ubuntu:22.04\""),
    ] {
        let file = folder.join(name).with_extension("sbatch");
        let words = ["slurm", "--queue", "default", "--render", &task];
        let mut command = context.command(&words);
        command.arg("--template-files").arg(&file);
        let mut agent = context.start_command(command);
        assert_eq!(agent.wait(), 0, "{}", agent.output());
        let output = agent.output();
        assert!(output.contains(wanted), "{output}");
        let at = output.find("#!/bin/bash").unwrap();
        let parsed = std::process::Command::new("bash")
            .args(["-n", "-c", &output[at..]])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&parsed.stderr);
        assert!(
            parsed.status.success() && said.is_empty(),
            "{said}\n{output}"
        );
    }
}
