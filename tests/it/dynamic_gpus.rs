//! Dynamic GPUs: tasks get GPUs of a pool, and none is given twice.

mod containers;
mod endings;

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::official::official;
use super::support::{Agent, Gate, NvmlStandIn, Script, TestContext, number, wait_until};

/// A machine with a pool of GPUs.
struct Machine {
    context: TestContext,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            context: TestContext::new(),
        };
        fs::create_dir(machine.used()).unwrap();
        machine
    }

    /// Where tasks lock the GPUs that they use.
    fn used(&self) -> PathBuf {
        self.context.folder().join("used")
    }

    fn queue(&self, name: &str) -> String {
        let queue = self.context.call("queues.create", json!({ "name": name }));
        queue["id"].as_str().expect("an id").to_owned()
    }

    /// A worker over a pool.
    fn start(&self, gpus: &str, queues: &[&str]) -> Agent {
        self.start_with(gpus, queues, &[])
    }

    fn start_with(&self, gpus: &str, queues: &[&str], variables: &[(&str, &str)]) -> Agent {
        let mut words = vec!["daemon", "--foreground", "--dynamic-gpus", "--queue"];
        words.extend(queues);
        if !gpus.is_empty() {
            words.extend(["--gpus", gpus]);
        }
        let mut command = self.context.command(&words);
        command.envs(variables.iter().copied());
        self.context.start_command(command)
    }

    /// A task that fails where somebody else uses one of its GPUs at the same time, and does `then` in between.
    fn task(&self, queue: &str, then: &str) -> String {
        let used = self.used().display().to_string();
        let script = format!(
            "for gpu in ${{CUDA_VISIBLE_DEVICES//,/ }}; do\n\
               exec {{lock}}>>'{used}/'$gpu\n\
               flock -n $lock || {{ echo $gpu >> '{used}/twice'; exit 9; }}\n\
             done\n\
             echo \"$CLEARML_TASK_ID $CLEARML_WORKER_ID $CUDA_VISIBLE_DEVICES\" >> '{used}/all'\n\
             echo started; {then}\n\
             echo over\n"
        );
        self.context.enqueue_to(queue, Script::shell(&script))
    }

    /// A task that waits.
    fn held(&self, queue: &str, name: &str) -> (String, Gate) {
        let gate = self.context.gate(name);
        (self.task(queue, &gate.wait()), gate)
    }

    /// What a task has written down: its worker and its GPUs.
    fn place_of(&self, task: &str) -> Option<(String, String)> {
        let all = fs::read_to_string(self.used().join("all")).unwrap_or_default();
        let line = all.lines().find_map(|line| line.strip_prefix(task))?;
        let (worker, gpus) = line.trim().split_once(' ')?;
        Some((worker.to_owned(), gpus.to_owned()))
    }

    #[track_caller]
    fn wait_for_place(&self, task: &str) -> (String, String) {
        let has_begun = wait_until(|| self.place_of(task).is_some());
        assert!(has_begun, "{task} is {}", self.context.status(task));
        self.place_of(task).unwrap()
    }

    #[track_caller]
    fn assert_no_gpu_was_used_twice(&self) {
        let twice = fs::read_to_string(self.used().join("twice")).unwrap_or_default();
        assert_eq!(twice, "", "GPUs that were used twice");
    }

    /// The workers that have files, without the slots.
    fn files(&self) -> Vec<String> {
        let files = self.context.leftovers().into_iter().filter_map(|name| {
            name.strip_prefix(".clearmlagent_")?;
            let content = fs::read_to_string(self.context.temporary().join(&name)).ok()?;
            Some(content.lines().next()?.to_owned())
        });
        let mut files: Vec<_> = files.collect();
        files.sort();
        files
    }

    #[track_caller]
    fn wait_for_files(&self, expected: &[&str]) {
        let are = wait_until(|| self.files() == expected);
        assert!(are, "{:?} and not {expected:?}", self.files());
    }

    fn journal(&self, task: &str) -> Value {
        let journals = self.context.runs().into_iter().filter_map(|run| {
            let bytes = fs::read(run.join("journal.json")).ok()?;
            serde_json::from_slice::<Value>(&bytes).ok()
        });
        let mut of_task = journals.filter(|journal| journal["task"] == task);
        of_task.next().unwrap_or_default()
    }

    fn supervisor(&self, task: &str) -> Pid {
        let pid = self.journal(task)["supervisor"]["pid"].as_i64();
        Pid::from_raw(pid.expect("a supervisor").try_into().expect("a pid"))
    }
}

/// D-120, D-136, D-264, D-265, D-269, D-271, D-272, D-275
#[test]
fn each_task_gets_gpus_and_a_worker_of_its_own() {
    let machine = Machine::new();
    let context = &machine.context;
    let (pair, some) = (machine.queue("pair"), machine.queue("some"));
    let (first, first_gate) = machine.held(&pair, "first");
    let (second, second_gate) = machine.held(&some, "second");
    let mut daemon = machine.start("0-3", &["pair=2", "some=-3"]);
    assert_eq!(
        machine.wait_for_place(&first),
        ("host:gpu0,1".to_owned(), "0,1".to_owned())
    );
    assert_eq!(
        machine.wait_for_place(&second),
        ("host:gpu2,3".to_owned(), "2,3".to_owned())
    );
    daemon.wait_for_output("Worker \"host:dgpu0-3\" - Listening to queues:");
    daemon.wait_for_output("All GPUs allocated, sleeping for 0.2 seconds\n");
    let output = daemon.output();
    for line in [
        "| gpus (min, max)  |",
        "| pair | ",
        "| (2.0, 2.0)       |",
        "| (1.0, 3.0)       |",
    ] {
        assert!(output.contains(line), "`{line}` is not in {output}");
    }
    let files = [
        "host:dgpu0-3",
        "host:gpu0,1",
        "host:gpu2,3",
        "host:lease:gpu0,1",
        "host:lease:gpu2,3",
    ];
    machine.wait_for_files(&files);
    let third = machine.task(&some, "");
    second_gate.open();
    context.wait_for_status(&third, "completed");
    assert_eq!(machine.place_of(&third).unwrap().1, "2,3");
    first_gate.open();
    for task in [&first, &second] {
        context.wait_for_status(task, "completed");
    }
    assert_eq!(context.field(&first, "last_worker"), "host:gpu0,1");
    daemon.wait_for_output("No tasks in Queues, sleeping for 0.2 seconds\n");
    machine.wait_for_files(&["host:dgpu0-3"]);
    machine.assert_no_gpu_was_used_twice();
    assert_eq!(daemon.terminate(), 254);
    assert_eq!(context.workers(), [] as [&str; 0]);
    assert!(context.leftovers().is_empty(), "{:?}", context.leftovers());
}

/// D-270: it waits at the head until there are enough.
#[test]
fn a_large_task_holds_up_smaller_ones_until_it_has_its_gpus() {
    let machine = Machine::new();
    let context = &machine.context;
    let (large, small) = (machine.queue("large"), machine.queue("small"));
    let (first, gate) = machine.held(&small, "first");
    let mut daemon = machine.start("0,1", &["large=2", "small=1"]);
    machine.wait_for_place(&first);
    let big = machine.task(&large, "");
    daemon.wait_for_output("Not enough free GPUs 1/2, sleeping for 0.2 seconds\n");
    let behind = machine.task(&small, "");
    let before = daemon.output().len();
    let says_so_again = || daemon.output()[before..].matches("Not enough free").count() > 2;
    assert!(wait_until(says_so_again), "{}", daemon.output());
    assert_eq!(context.status(&behind), "queued");
    assert_eq!(context.status(&big), "queued");
    gate.open();
    for task in [&first, &big, &behind] {
        context.wait_for_status(task, "completed");
    }
    let all = fs::read_to_string(machine.used().join("all")).unwrap();
    let order: Vec<&str> = all.lines().map(|line| &line[..32]).collect();
    assert_eq!(order, [&first, &big, &behind]);
    assert_eq!(machine.place_of(&big).unwrap().1, "0,1");
    machine.assert_no_gpu_was_used_twice();
    assert_eq!(daemon.terminate(), 254);
}

/// D-264, D-265, D-266
#[test]
fn what_cannot_be_given_is_refused_at_once() {
    let machine = Machine::new();
    for (gpus, queue, expected) in [
        (
            "",
            "default=1",
            "--gpus must be provided, in one of two ways: comma separated '0,1,2,3' or range '0-3'\nhint: ",
        ),
        (
            "0,a",
            "default=1",
            "Failed parsing --gpus \"0,a\". --dynamic_gpus must be use with specific gpus for example \"0-7\" or \
             \"0,1,2,3\" or \"0:0,0:1,1:0,1:1\"\nhint: ",
        ),
        (
            "0-1",
            "default",
            "using --dynamic-gpus, --queue [['default']], queue must be in format <queue_name>=<num_gpus>\nhint: ",
        ),
        (
            "0-1",
            "default=0",
            "Parsing min/max number of gpus <= 0 is not allowed: \"default=0\"\nhint: ",
        ),
        (
            "0-1",
            "default=0.5",
            "parts of a GPU cannot be given to tasks: \"default=0.5\"\nhint: give whole GPUs",
        ),
        (
            "0-1",
            "default=4",
            "queue \"default\" needs 4 GPUs at once, and there are 2\nhint: ",
        ),
        (
            "0-1",
            "nobody=1",
            "Could not find queue with name/id \"nobody\"",
        ),
    ] {
        let mut daemon = machine.start(gpus, &[queue]);
        assert_eq!(daemon.wait(), 1, "{}", daemon.output());
        let expected = format!("clearml_agent: ERROR: {expected}");
        assert!(daemon.output().contains(&expected), "{}", daemon.output());
    }
    // One queue, by its name and by its id.
    let id = machine.context.queue();
    let mut daemon = machine.start("0-1", &["default=1", &format!("{id}=2")]);
    assert_eq!(daemon.wait(), 1, "{}", daemon.output());
    let expected = format!("queue \"{id}\" is given two different numbers of GPUs\nhint: ");
    assert!(daemon.output().contains(&expected), "{}", daemon.output());
    let words = ["daemon", "--dynamic-gpus", "--cpu-only", "--queue"];
    let finished = machine.context.run(&[&words[..], &["default=1"]].concat());
    let expected = "--dynamic-gpus gives out GPUs, and there is none with --cpu-only\nhint: ";
    assert_eq!(finished.code, 1);
    assert!(finished.stdout.contains(expected), "{}", finished.stdout);
}

/// D-264: outside of dynamic mode a range is a list.
#[test]
fn a_range_is_a_list_for_a_worker_that_has_its_gpus() {
    let machine = Machine::new();
    let task = machine.task(&machine.context.queue(), "");
    let words = ["daemon", "--foreground", "--gpus", "1-3"];
    let mut daemon = machine.context.start(&words);
    let place = machine.wait_for_place(&task);
    assert_eq!(place, ("host:gpu1,2,3".to_owned(), "1,2,3".to_owned()));
    assert_eq!(daemon.terminate(), 254);
}

/// D-264: parts that MIG has made are GPUs like others.
#[test]
fn a_pool_may_have_parts_of_gpus() {
    let machine = Machine::new();
    let queue = machine.context.queue();
    let (first, gate) = machine.held(&queue, "first");
    let mut daemon = machine.start("0:0,0:1", &["default=1"]);
    let place = machine.wait_for_place(&first);
    assert_eq!(place, ("host:gpu0.0".to_owned(), "0:0".to_owned()));
    let second = machine.task(&queue, "");
    let place = machine.wait_for_place(&second);
    assert_eq!(place, ("host:gpu0.1".to_owned(), "0:1".to_owned()));
    gate.open();
    machine.context.wait_for_status(&first, "completed");
    assert_eq!(daemon.terminate(), 254);
}

/// D-264, D-314: variables of the agent are as good as the option.
#[test]
fn a_pool_may_come_from_a_variable() {
    let machine = Machine::new();
    let task = machine.task(&machine.context.queue(), "");
    let variable = [("CUDA_VISIBLE_DEVICES", "2,3")];
    let mut daemon = machine.start_with("", &["default=-8"], &variable);
    let place = machine.wait_for_place(&task);
    assert_eq!(place, ("host:gpu2,3".to_owned(), "2,3".to_owned()));
    daemon.wait_for_output("Worker \"host:dgpu2,3\" - Listening to queues:");
    machine.context.wait_for_status(&task, "completed");
    assert_eq!(daemon.terminate(), 254);
}

/// D-269: without `--gpus` the pool is what the driver lists; programs of tasks have their GPUs, and with
/// `agent.gpu_idle_threshold` those of others and a load have them as well.
#[test]
fn a_gpu_that_is_in_use_is_not_given() {
    let machine = Machine::new();
    let context = &machine.context;
    let uses = context.folder().join("uses");
    let definition = format!("USE_FILE=\"{}\"", uses.display());
    let library = NvmlStandIn::new(context, &["GPUS=3", "LOAD=3", &definition]);
    let mut of_task = context.beside_agent("sleep");
    let mut of_task = of_task
        .arg("600")
        .env("CLEARML_TASK_ID", "t")
        .spawn()
        .unwrap();
    let mut of_nobody = context.beside_agent("sleep").arg("600").spawn().unwrap();
    let queue = context.queue();
    let given = |threshold: &str, text: &str| {
        fs::write(&uses, text).unwrap();
        let variables = [
            library.variable(),
            ("CLEARML_AGENT__AGENT__GPU_IDLE_THRESHOLD", threshold),
        ];
        let task = machine.task(&queue, "");
        let mut daemon = machine.start_with("", &["default=-3"], &variables);
        daemon.wait_for_output("Worker \"host:dgpuall\" - Listening to queues:");
        let (_, gpus) = machine.wait_for_place(&task);
        context.wait_for_status(&task, "completed");
        assert_eq!(daemon.terminate(), 254);
        gpus
    };
    let (task, nobody) = (of_task.id(), of_nobody.id());
    let in_use = format!("0 0 {task}\n1 99 {nobody}\n2 99 0\n");
    assert_eq!(given("", &in_use), "1,2");
    assert_eq!(given("", ""), "0,1,2");
    assert_eq!(given("50", &format!("0 0 {nobody}\n1 50 0\n2 51 0\n")), "1");
    assert_eq!(given("2", "1 1 0\n"), "1");
    for process in [&mut of_task, &mut of_nobody] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

/// `agent.gpu_idle_threshold` without a driver: nobody knows, so nothing is given, and that is said once.
#[test]
fn without_a_driver_no_gpu_is_known_to_be_idle() {
    let machine = Machine::new();
    let task = machine.task(&machine.context.queue(), "");
    let threshold = [("CLEARML_AGENT__AGENT__GPU_IDLE_THRESHOLD", "50")];
    let mut daemon = machine.start_with("0", &["default=1"], &threshold);
    let rests = || daemon.output().matches("All GPUs allocated").count() > 2;
    assert!(wait_until(rests), "{}", daemon.output());
    let warning =
        "nobody knows which GPUs are idle, so that none is given (`agent.gpu_idle_threshold`): ";
    assert_eq!(daemon.output().matches(warning).count(), 1);
    assert_eq!(machine.context.status(&task), "queued");
    assert_eq!(daemon.terminate(), 254);
}

/// D-269: a worker of the machine's name that has no file here, as one in a container.
#[test]
fn a_gpu_of_a_worker_that_is_registered_is_not_given() {
    let machine = Machine::new();
    let context = &machine.context;
    let queue = context.queue();
    let other = json!({ "worker": "host:gpu0", "queues": [] });
    context.call("workers.register", other.clone());
    let mut daemon = machine.start("0,1", &["default=1-2"]);
    let first = machine.task(&queue, "");
    context.wait_for_status(&first, "completed");
    assert_eq!(machine.place_of(&first).unwrap().1, "1");
    context.call("workers.unregister", other);
    // A round that had asked for the workers before that may still be under way.
    let looks = || context.requests("workers.get_all").len();
    let before = looks();
    assert!(wait_until(|| looks() > before + 1));
    let second = machine.task(&queue, "");
    context.wait_for_status(&second, "completed");
    assert_eq!(machine.place_of(&second).unwrap().1, "0,1");
    assert_eq!(daemon.terminate(), 254);
}

/// D-267, D-268: told to a server that wants to know; the open-source one refuses, and nobody hears of it.
#[test]
fn the_server_is_told_which_gpus_are_free() {
    for (context, tells) in [
        (TestContext::enterprise(), true),
        (TestContext::new(), false),
    ] {
        let machine = Machine { context };
        fs::create_dir(machine.used()).unwrap();
        let context = &machine.context;
        let mut daemon = machine.start("0-1", &["default=1"]);
        let told = || -> Vec<Value> {
            let requests = context.requests("workers.set_runtime_properties");
            requests.into_iter().map(|request| request.body).collect()
        };
        daemon.wait_for_output("No tasks in Queues");
        let expected = json!({
            "worker": "host:dgpu0-1",
            "runtime_properties": [{ "key": "available_gpus", "value": "0_,1_" }],
        });
        assert_eq!(told(), [expected]);
        let (task, gate) = machine.held(&context.queue(), "gate");
        machine.wait_for_place(&task);
        let is_told = || told().last().unwrap()["runtime_properties"][0]["value"] == "1_";
        if tells {
            assert!(wait_until(is_told), "{:?}", told());
        }
        gate.open();
        context.wait_for_status(&task, "completed");
        machine.wait_for_files(&["host:dgpu0-1"]);
        if tells {
            let is_told = || told().last().unwrap()["runtime_properties"][0]["value"] == "0_,1_";
            assert!(wait_until(is_told), "{:?}", told());
        } else {
            assert_eq!(told().len(), 1);
            assert!(!daemon.output().contains("not supported"));
        }
        assert_eq!(daemon.terminate(), 254);
    }
}

/// D-270: a queue that cannot be looked at costs one warning, a look each round, and nothing else.
#[test]
fn a_queue_that_cannot_be_looked_at_is_no_hot_loop() {
    let machine = Machine::new();
    let context = &machine.context;
    let lost = machine.queue("lost");
    let mut daemon = machine.start("0", &["lost=1", "default=1"]);
    daemon.wait_for_output("No tasks in Queues");
    context.call("queues.delete", json!({ "queue": lost, "force": true }));
    let warning = format!("Warning: Could not access task queue [{lost}], error: ");
    daemon.wait_for_output(&warning);
    let task = machine.task(&context.queue(), "");
    context.wait_for_status(&task, "completed");
    let before = daemon.output().matches("sleeping for").count();
    let rests = || daemon.output().matches("sleeping for").count() > before + 2;
    assert!(wait_until(rests));
    let output = daemon.output();
    assert_eq!(output.matches(&warning).count(), 1, "{output}");
    let looks = context.requests("queues.get_by_id").into_iter();
    let looks = looks.filter(|look| look.body["queue"] == lost).count();
    let rounds = output.matches("sleeping for").count();
    assert!(looks <= rounds + 3, "{looks} looks in {rounds} rounds");
    assert_eq!(daemon.terminate(), 254);
}

/// D-269, D-274, D-275: two workers of ours over the same GPUs and an official agent with one of them, and no GPU is
/// ever used by two tasks. `GPU_TASKS` says how many tasks; 200 are what a release is held to.
#[test]
fn no_gpu_is_used_twice_by_two_workers_and_an_official_agent() {
    let machine = Machine::new();
    let context = &machine.context;
    let count = number("GPU_TASKS", 20);
    let foreign = machine.queue("foreign");
    let queues = [
        machine.queue("quad"),
        machine.queue("dual"),
        machine.queue("small"),
    ];
    let words = [
        "daemon",
        "--queue",
        "foreign",
        "--gpus",
        "1",
        "--foreground",
    ];
    let mut official = context.start_command(official(context, &words));
    assert!(
        wait_until(|| machine.files() == ["host:gpu1"]),
        "{}",
        official.output()
    );
    let mut tasks: Vec<String> = (0..count)
        .map(|number| {
            let number = usize::try_from(number).unwrap();
            let queue = if number % 20 == 7 {
                &foreign
            } else {
                &queues[number % 3]
            };
            machine.task(queue, &format!("sleep 0.{}", number % 4))
        })
        .collect();
    // Each worker has a task that no other may take, so that both work, and one whose supervisor is killed.
    let (victim, _never) = machine.held(&machine.queue("mine"), "victim");
    let (kept, opened) = machine.held(&machine.queue("theirs"), "kept");
    let demands = ["quad=4", "dual=2", "small=1-4"];
    let mut own = machine.start("0-7", &[&demands[..], &["mine=1"]].concat());
    let name = [("CLEARML_WORKER_NAME", "other")];
    let mut other = machine.start_with("0-7", &[&demands[..], &["theirs=1"]].concat(), &name);
    assert!(machine.wait_for_place(&victim).0.starts_with("host:gpu"));
    assert!(machine.wait_for_place(&kept).0.starts_with("other:gpu"));
    kill(machine.supervisor(&victim), Signal::SIGKILL).unwrap();
    while !tasks.is_empty() {
        let before = tasks.len();
        let goes_on = wait_until(|| {
            tasks.retain(|task| context.status(task) != "completed");
            tasks.len() < before
        });
        machine.assert_no_gpu_was_used_twice();
        assert!(goes_on, "{} tasks are left", tasks.len());
    }
    context.wait_for_status(&victim, "failed");
    opened.open();
    context.wait_for_status(&kept, "completed");
    machine.assert_no_gpu_was_used_twice();
    let all = fs::read_to_string(machine.used().join("all")).unwrap();
    let of_official = all.lines().filter(|line| line.contains(" host:gpu1 "));
    assert_eq!(of_official.count() as u64, count.div_ceil(20));
    assert_eq!(official.terminate(), 254);
    // What the official agent had is free as soon as it has gone.
    other.terminate();
    let last = machine.task(&queues[2], "");
    context.wait_for_status(&last, "completed");
    assert_eq!(own.terminate(), 254);
}
