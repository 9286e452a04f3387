//! A running glue is watched and told as a daemon is: `--status --json`, `--stop`, `--drain`, metrics, the service manager, lines
//! for programs.

#![expect(clippy::float_cmp, reason = "what is counted is whole")]

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::control::status;
use super::kubernetes::{Site, TEMPLATE, refusal};
use super::log_format::objects;
use super::metrics::Watched;
use super::service::Manager;
use super::slurm;
use super::support::kubernetes::NAMESPACE;
use super::support::{Agent, Script, wait_until};

const LISTEN: [&str; 2] = ["--metrics-listen", "127.0.0.1:0"];

/// What the glue says of this task; null where it says nothing.
fn of(site: &Site, task: &str) -> Value {
    let tasks = status(&site.context)[0]["tasks"].clone();
    let mut tasks = tasks.as_array().expect("a list").iter();
    tasks
        .find(|one| one["task"] == task)
        .cloned()
        .unwrap_or_default()
}

fn phases(site: &Site, tasks: &[String; 2]) -> [Value; 2] {
    tasks.each_ref().map(|task| of(site, task)["phase"].clone())
}

/// What the agent in the task's pod does last.
fn end(site: &Site, task: &str) {
    site.context
        .call("tasks.completed", json!({ "task": task }));
    let terminated = json!({"reason": "Completed", "exitCode": 0});
    site.cluster.end(task, "Succeeded", &terminated);
}

/// Its first task runs, its second one waits for its pod to begin.
fn with_two_tasks(site: &Site, words: &[&str]) -> (Agent, [String; 2]) {
    let glue = site.glue(words);
    let tasks = [site.enqueue("echo first"), site.enqueue("echo second")];
    for task in &tasks {
        site.cluster.wait_for_pod(task);
    }
    site.begin(&tasks[0]);
    let is_seen = || phases(site, &tasks) == ["running", "waiting"];
    assert!(wait_until(is_seen), "{:?}", status(&site.context));
    (glue, tasks)
}

fn daemon_says(site: &Site, words: &[&str]) -> (i32, String) {
    let all: Vec<&str> = ["daemon"].iter().chain(words).copied().collect();
    let finished = site.context.run(&all);
    (finished.code, finished.stdout)
}

#[test]
fn a_glue_says_what_it_does_also_without_its_cluster_and_its_server() {
    let site = Site::still();
    let (mut glue, tasks) = with_two_tasks(&site, &["--max-pods", "3"]);
    let workers = status(&site.context);
    assert_eq!(workers.len(), 1, "{workers:?}");
    let worker = &workers[0];
    assert_eq!(worker["worker"], "host:k8s");
    assert_eq!(worker["pid"], glue.pid());
    assert_eq!(worker["version"], "0.1.0");
    assert_eq!(worker["reference_version"], "3.0.3");
    assert_eq!(worker["queues"][0]["name"], "default");
    assert_eq!(worker["queues"][0]["id"], site.context.queue());
    assert_eq!(worker["draining"], false);
    assert_eq!(worker["limit"], 3);
    assert_eq!(worker["cluster"], json!({"answers": true, "reason": null}));
    assert_eq!(worker["container_engine"], Value::Null);
    assert!(worker["uptime_seconds"].as_f64().unwrap() > 0.0);
    assert!(worker["last_server_contact_seconds"].as_f64().unwrap() >= 0.0);
    for (index, name) in tasks.iter().enumerate() {
        let task = &worker["tasks"][index];
        assert_eq!(task["task"], **name);
        assert_eq!(task["queue"], worker["queues"][0]["id"]);
        assert_eq!(task["job"], format!("{NAMESPACE}/clearml-id-{name}"));
        let since = task["since"].as_str().unwrap();
        assert!(since.starts_with("20") && since.ends_with('Z'), "{since}");
    }
    let since = of(&site, &tasks[0])["since"].clone();
    site.cluster.go_away(true);
    let is_away = || status(&site.context)[0]["cluster"]["answers"] == false;
    assert!(wait_until(is_away), "{:?}", status(&site.context));
    let reason = &status(&site.context)[0]["cluster"]["reason"];
    assert!(reason.as_str().is_some_and(|why| !why.is_empty()));
    site.context.server.stop_listening().unwrap();
    assert_eq!(of(&site, &tasks[0])["since"], since);
    site.context.server.resume().unwrap();
    site.cluster.go_away(false);
    assert!(wait_until(|| !is_away()), "{:?}", status(&site.context));
    assert_eq!(of(&site, &tasks[0])["since"], since);

    // The next one knows them from its ledger.
    glue.kill();
    assert_eq!(status(&site.context), Vec::<Value>::new());
    let mut next = site.glue(&["--max-pods", "2"]);
    let is_seen = || phases(&site, &tasks) == ["running", "waiting"];
    assert!(wait_until(is_seen), "{:?}", status(&site.context));
    // There is no reason to ask a queue.
    let rests = || status(&site.context)[0]["next_poll_seconds"] == Value::Null;
    assert!(wait_until(rests), "{:?}", status(&site.context));
    end(&site, &tasks[0]);
    let is_gone = || of(&site, &tasks[0]).is_null() && !rests();
    assert!(wait_until(is_gone), "{:?}", status(&site.context));
    assert_eq!(next.terminate(), 254);
    assert_eq!(status(&site.context), Vec::<Value>::new());
}

/// Jobs inherit the glue's variables, but not its service manager.
#[test]
fn a_glue_of_slurm_says_the_same_and_its_jobs_do_not_speak_for_it() {
    let site = slurm::Site::new();
    let gate = site.context.gate("gate");
    let script = format!("echo sees \"[$NOTIFY_SOCKET]\"\n{}", gate.wait());
    let task = site.context.enqueue(Script::shell(&script));
    let words = [LISTEN.as_slice(), &["--max-jobs", "1"]].concat();
    let variables = [("NOTIFY_SOCKET", "/nowhere")];
    let glue = Watched::of(site.glue_with(slurm::TEMPLATE, &words, &variables));
    site.context.wait_for_console(&task, "sees []\n");
    let of_task = || status(&site.context)[0]["tasks"][0].clone();
    assert!(wait_until(|| of_task()["phase"] == "running"));
    assert_eq!(of_task()["job"], site.cluster.job(&task));
    assert_eq!(status(&site.context)[0]["worker"], "host:slurm");
    assert!(glue.is_ok("/readyz"), "{:?}", glue.get("/readyz"));
    gate.open();
    site.context.wait_for_status(&task, "completed");
    let is_over = || status(&site.context)[0]["tasks"] == json!([]);
    assert!(wait_until(is_over), "{:?}", status(&site.context));
}

#[test]
fn a_glue_that_drains_ends_with_its_last_task() {
    let site = Site::still();
    let (mut glue, tasks) = with_two_tasks(&site, &[]);
    // Nobody means it who does not name it.
    let (code, said) = daemon_says(&site, &["--stop", "--drain"]);
    assert!(code == 1 && said.contains("Could not find"), "{said}");
    let (code, said) = daemon_says(&site, &["--stop", "--drain", "host:k8s"]);
    let line = format!(
        "Draining clearml-agent worker_id=host:k8s pid={}: 2 tasks under way\n",
        glue.pid()
    );
    assert!(code == 0 && said.contains(&line), "{said}");
    let third = site.enqueue("echo third");
    assert_eq!(status(&site.context)[0]["draining"], true);
    for task in &tasks {
        if *task == tasks[1] {
            site.begin(task);
        }
        site.wait_for_looks();
        assert!(!glue.has_ended(), "{}", glue.output());
        end(&site, task);
    }
    assert_eq!(glue.wait(), 0);
    let output = glue.output();
    assert!(
        output.ends_with("Drained: nothing is under way any more, and no task is taken\n"),
        "{output}"
    );
    assert!(!output.contains("limit reached"), "{output}");
    assert_eq!(site.context.status(&third), "queued");
    assert_eq!(site.queued("default"), 1);
    assert_eq!(site.cluster.pod(&third), None);
    assert_eq!(site.context.workers(), Vec::<String>::new());
}

/// Its tasks go on.
#[test]
fn a_glue_is_stopped_by_its_name() {
    let site = Site::still();
    let (mut glue, tasks) = with_two_tasks(&site, &[]);
    let (code, said) = daemon_says(&site, &["--stop"]);
    assert!(code == 1 && said.contains("Could not find"), "{said}");
    let (code, said) = daemon_says(&site, &["--stop", "host:k8s"]);
    let line = format!(
        "Terminating clearml-agent worker_id=host:k8s pid={}\n",
        glue.pid()
    );
    assert!(code == 0 && said.contains(&line), "{said}");
    assert_eq!(glue.wait(), 254);
    assert!(site.cluster.pod(&tasks[1]).is_some());
}

#[test]
fn a_glue_without_a_task_drains_at_once() {
    let site = Site::still();
    let mut glue = site.glue(&LISTEN);
    assert_eq!(daemon_says(&site, &["--stop", "--drain", "host:k8s"]).0, 0);
    assert_eq!(glue.wait(), 0);
}

#[test]
fn prometheus_reads_what_a_glue_counts() {
    let site = Site::still();
    let words = [LISTEN.as_slice(), &["--max-pods", "7"]].concat();
    let glue = Watched::of(site.glue(&words));
    assert!(
        wait_until(|| glue.is_ok("/readyz")),
        "{:?}",
        glue.get("/readyz")
    );
    assert!(glue.is_ok("/healthz"));
    let tasks = [site.enqueue("echo"), site.enqueue("echo")];
    for task in &tasks {
        site.cluster.wait_for_pod(task);
    }
    site.begin(&tasks[0]);
    let of = |name: &str| glue.samples()[name];
    let phase = |phase: &str| of(&format!("clearml_agent_tasks[phase={phase}]"));
    let is_seen = || (phase("running"), phase("waiting")) == (1.0, 1.0);
    assert!(wait_until(is_seen), "{:?}", glue.samples());
    assert!(wait_until(
        || of("clearml_agent_jobs_submitted_total[]") == 2.0
    ));
    let samples = glue.samples();
    let info = "clearml_agent_build_info[reference_version=3.0.3,version=0.1.0,worker=host:k8s]";
    assert_eq!(samples[info], 1.0);
    for (name, value) in [
        ("clearml_agent_jobs_submitted_total[]", 2.0),
        ("clearml_agent_tasks_failed_total[]", 0.0),
        ("clearml_agent_tasks_given_back_total[]", 0.0),
        ("clearml_agent_tasks_limit[]", 7.0),
        ("clearml_agent_cluster_up[]", 1.0),
        ("clearml_agent_draining[]", 0.0),
        ("clearml_agent_poll_errors_total[]", 0.0),
        ("clearml_agent_tasks[phase=held]", 0.0),
    ] {
        assert_eq!(samples[name], value, "{name}");
    }
    assert!(samples["clearml_agent_polls_total[]"] >= 3.0);
    assert!(samples["clearml_agent_last_server_contact_timestamp_seconds[]"] > 1.7e9);
    let idle = samples["clearml_agent_idle_seconds_total[]"];
    assert!(idle < samples["clearml_agent_uptime_seconds[]"]);

    let refused = refusal("pods", 422, "Invalid", "spec: no such thing");
    site.cluster.inject(refused);
    let bad = site.enqueue("echo");
    site.context.wait_for_status(&bad, "failed");
    assert!(wait_until(
        || of("clearml_agent_tasks_failed_total[]") == 1.0
    ));
    let busy = refusal("pods", 403, "Forbidden", "exceeded quota: gpus");
    site.cluster.inject(busy);
    let later = site.enqueue("echo");
    let returned = || of("clearml_agent_tasks_given_back_total[]") == 1.0;
    assert!(wait_until(returned), "{:?}", glue.samples());
    let (line, why) = glue.get("/readyz");
    assert!(line.contains("503"), "{line}");
    assert_eq!(why, "the cluster takes no job at present\n");
    site.cluster.wait_for_pod(&later);
    assert!(wait_until(|| glue.is_ok("/readyz")));
    assert!(wait_until(
        || of("clearml_agent_jobs_submitted_total[]") == 3.0
    ));
}

#[test]
fn a_glue_is_not_ready_while_its_cluster_or_its_server_is_away() {
    let site = Site::still();
    let glue = Watched::of(site.glue(&LISTEN));
    let is_ready = || glue.is_ok("/readyz");
    let because = |why: &str| {
        let (line, text) = glue.get("/readyz");
        line == "HTTP/1.1 503 Service Unavailable" && text.starts_with(why)
    };
    assert!(wait_until(is_ready), "{:?}", glue.get("/readyz"));
    site.cluster.go_away(true);
    let away = || because("the cluster does not answer: ");
    assert!(wait_until(away), "{:?}", glue.get("/readyz"));
    assert_eq!(glue.samples()["clearml_agent_cluster_up[]"], 0.0);
    assert!(glue.is_ok("/healthz"));
    site.cluster.go_away(false);
    assert!(wait_until(is_ready), "{:?}", glue.get("/readyz"));
    site.context.server.stop_listening().unwrap();
    let away = || because("the server does not answer\n");
    assert!(wait_until(away), "{:?}", glue.get("/readyz"));
    // A lost answer is one moment; this is an outage.
    glue.daemon.wait_for_output("the server does not answer: ");
    site.context.server.resume().unwrap();
    assert!(wait_until(is_ready), "{:?}", glue.get("/readyz"));
    glue.daemon
        .wait_for_output("The server answers again after ");
    // One line down, one line up, of each.
    let output = glue.daemon.output();
    for line in [
        "the cluster does not answer: ",
        "The cluster answers again: tasks are taken",
        "the server does not answer: ",
        "The server answers again after ",
    ] {
        assert_eq!(output.matches(line).count(), 1, "{line}\n{output}");
    }
}

/// An address that is taken is said before anything is done.
#[test]
fn a_port_in_use_ends_the_start_of_a_glue() {
    let site = Site::still();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut glue = site.started(TEMPLATE, &["--metrics-listen", &address], &[]);
    assert_eq!(glue.wait(), 1);
    let output = glue.output();
    let line = format!("could not listen on `{address}` for `--metrics-listen`: ");
    assert!(output.contains(&line), "{output}");
    assert_eq!(site.context.workers(), Vec::<String>::new());
}

#[test]
fn the_service_manager_is_told_of_a_glue() {
    let site = Site::still();
    let socket = site.context.folder().join("notify");
    let manager = Manager::listen(&socket);
    let variables = [
        ("NOTIFY_SOCKET", socket.to_str().unwrap()),
        ("CLEARML_AGENT_STATUS_REPORT_FREQ_SEC", "0.2"),
    ];
    let mut glue = site.started(TEMPLATE, &[], &variables);
    manager.wait_for("READY=1");
    manager.wait_for("STATUS=host:k8s: no task under way");
    manager.wait_for("WATCHDOG=1");
    let task = site.enqueue("echo");
    manager.wait_for("STATUS=host:k8s: 1 task under way");
    site.cluster.wait_for_pod(&task);
    site.cluster.go_away(true);
    manager.wait_for("STATUS=host:k8s: 1 task under way, the cluster does not answer");
    glue.signal(Signal::SIGTERM);
    manager.wait_for("STOPPING=1");
    assert_eq!(glue.wait(), 254);
}

#[test]
fn what_a_glue_prints_can_be_for_programs() {
    let site = Site::still();
    let mut glue = site.started(TEMPLATE, &["--log-format", "json"], &[]);
    let task = site.enqueue("echo");
    site.cluster.wait_for_pod(&task);
    site.cluster.go_away(true);
    glue.wait_for_output("the cluster does not answer");
    assert_eq!(glue.terminate(), 254);
    let output = glue.output();
    let objects = objects(&output);
    let one = |beginning: &str| {
        let says = |object: &&Value| {
            let message = object["message"].as_str();
            message.is_some_and(|message| message.starts_with(beginning))
        };
        let found: Vec<&Value> = objects.iter().filter(says).collect();
        assert_eq!(found.len(), 1, "`{beginning}`:\n{output}");
        found[0]
    };
    let received = one(&format!("Received task {task} from queue default"));
    assert_eq!(received["worker"], "host:k8s");
    assert_eq!(received["level"], "info");
    assert_eq!(one("the cluster does not answer")["level"], "warning");
}
