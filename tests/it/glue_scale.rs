//! The glue with many tasks, against the local server, and the stand-in of Kubernetes or a real Slurm: what it asks of both, and
//! what it needs. Small as it stands; docs/scale.md says how to run it with thousands.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{Agent, Script, TestContext, number, wait_until};
use super::{kubernetes, slurm};

/// Tasks that the agent asks for at once.
const BATCH: usize = 500;
/// So many tasks wait in each queue, at most.
const QUEUE: usize = 5000;
/// Requests that have to do with time and not with tasks: tokens, reports of the machine.
const BESIDES: usize = 15;
/// Jobs that stay where they are: no machine here runs a thousand of them.
const HELD: &str = "#SBATCH --hold";

/// How much, from the environment.
struct Size {
    tasks: usize,
    running: usize,
    interval: Duration,
    window: Duration,
}

impl Size {
    fn of_environment() -> Self {
        let size = |name: &str, default| usize::try_from(number(name, default)).unwrap();
        Self {
            tasks: size("GLUE_TASKS", 60),
            running: size("GLUE_RUNNING", 40),
            interval: Duration::from_millis(number("GLUE_INTERVAL_MS", 200)),
            window: Duration::from_secs(number("GLUE_SECONDS", 2)),
        }
    }

    /// Requests of one look at the tasks.
    fn of_look(&self) -> usize {
        self.running.div_ceil(BATCH) + 1
    }
}

/// A glue's server and cluster, whose requests are counted.
trait Counted {
    const CLUSTER: &str;
    const UNIT: &str;

    fn context(&self) -> &TestContext;
    /// Requests to the cluster so far.
    fn calls(&self) -> usize;
    fn start(&self, words: &[&str], variables: &[(&str, &str)]) -> Agent;
    /// All jobs are submitted: they begin, where they can.
    fn begin_all(&self);

    /// Requests so far, to the server and to the cluster.
    fn asked(&self) -> [usize; 2] {
        [self.context().server.request_count(), self.calls()]
    }

    /// How often the glue has asked how its tasks stand.
    fn looks(&self) -> usize {
        let requests = self.context().server.requests().into_iter();
        let looks = requests.filter(|call| call.endpoint == "queues.get_by_id");
        looks.count()
    }
}

impl Counted for kubernetes::Site {
    const CLUSTER: &str = "Kubernetes";
    const UNIT: &str = "pod";

    fn context(&self) -> &TestContext {
        &self.context
    }

    fn calls(&self) -> usize {
        self.cluster.requests().len()
    }

    fn start(&self, words: &[&str], variables: &[(&str, &str)]) -> Agent {
        self.started(kubernetes::TEMPLATE, words, variables)
    }

    fn begin_all(&self) {
        for pod in self.cluster.names("pods") {
            self.begin(pod.trim_start_matches("clearml-id-"));
        }
    }
}

/// A real Slurm, whose programs note that they were called.
struct CountedSlurm {
    site: slurm::Site,
    programs: PathBuf,
}

impl CountedSlurm {
    fn new() -> Self {
        let site = slurm::Site::new();
        let programs = site.context.folder().join("programs");
        let script = r#"mkdir "$1" && for name in sbatch scancel squeue sacct; do
            printf '#!/bin/sh\necho >> "%s/calls"\nexec "%s" "$@"\n' "$1" "$(command -v $name)" > "$1/$name" && chmod 755 "$1/$name"
        done"#;
        let made = std::process::Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(&programs)
            .status();
        assert!(made.unwrap().success());
        Self { site, programs }
    }
}

impl Counted for CountedSlurm {
    const CLUSTER: &str = "Slurm";
    const UNIT: &str = "job";

    fn context(&self) -> &TestContext {
        &self.site.context
    }

    fn calls(&self) -> usize {
        let calls = fs::read(self.programs.join("calls"));
        calls.map_or(0, |calls| calls.len())
    }

    fn start(&self, words: &[&str], variables: &[(&str, &str)]) -> Agent {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.programs.display());
        let mut all = variables.to_vec();
        all.push(("PATH", &path));
        let template = slurm::TEMPLATE.replace("#SBATCH --ntasks=1", HELD);
        self.site.glue_with(&template, words, &all)
    }

    fn begin_all(&self) {}
}

/// Resident memory now and at most in MiB, and the seconds of CPU so far, with those of programs that it has called.
fn needs(glue: &Agent) -> (u64, u64, f64) {
    let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", glue.pid())).unwrap();
    let status = read("status");
    let size = |name: &str| {
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)).unwrap();
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>();
        kib.expect("a number") / 1024
    };
    let times = read("stat");
    let (_, times) = times.rsplit_once(") ").unwrap();
    let times = times.split(' ').skip(11).take(4);
    let ticks: u32 = times.map(|ticks| ticks.parse::<u32>().unwrap()).sum();
    (size("VmRSS:"), size("VmHWM:"), f64::from(ticks) / 100.0)
}

/// Thousands take longer than other tests wait.
#[track_caller]
fn wait_long(glue: &Agent, text: &str) {
    let begun = Instant::now();
    while !glue.output().contains(text) {
        let passed = begun.elapsed();
        assert!(passed < Duration::from_mins(9), "{}", glue.output());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Tasks in queues of some thousands each, the first of them the default one; the names of the others.
fn fill_queues(context: &TestContext, tasks: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut queue = context.queue();
    for number in 0..tasks {
        if number > 0 && number % QUEUE == 0 {
            let name = format!("queue-{}", number / QUEUE);
            let made = context.call("queues.create", json!({ "name": name }));
            made["id"].as_str().expect("an id").clone_into(&mut queue);
            names.push(name);
        }
        context.enqueue_to(&queue, Script::shell("echo"));
    }
    names
}

/// What a glue has asked of server and cluster: in the window at rest, with the number of looks, and to settle after it was killed.
struct Asked {
    looks: usize,
    at_rest: [usize; 2],
    to_settle: [usize; 2],
    queues: usize,
}

/// Says what it measures. The last glue runs on.
fn measure<C: Counted>(site: &C, size: &Size) -> (Asked, Agent) {
    let names = fill_queues(site.context(), size.tasks);
    let (running, limit) = (size.running, size.running.to_string());
    let seconds = size.interval.as_secs_f64().to_string();
    let option = format!("--max-{}s", C::UNIT);
    let start = || {
        let variables = [("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", seconds.as_str())];
        let mut words = vec![option.as_str(), &limit];
        words.extend(names.iter().flat_map(|name| ["--queue", name]));
        site.start(&words, &variables)
    };
    let is_full = format!("Maximum {} limit reached {running}/{running}", C::UNIT);
    let since = |before: [usize; 2]| {
        let [server, cluster] = site.asked();
        [server - before[0], cluster - before[1]]
    };
    let (begun, before) = (Instant::now(), site.asked());
    let mut glue = start();
    wait_long(&glue, &is_full);
    let (took, [server, cluster]) = (begun.elapsed(), since(before));
    say(&format!(
        "{running} of {} tasks submitted in {took:.1?}; requests for each: {:.1} to the server, {:.1} to {}",
        size.tasks,
        ratio(server, running),
        ratio(cluster, running),
        C::CLUSTER,
    ));
    site.begin_all();
    // It has seen all of them as they are.
    let looks = site.looks() + 2;
    assert!(wait_until(|| site.looks() >= looks));
    let (before, (_, _, used)) = (site.asked(), needs(&glue));
    std::thread::sleep(size.window);
    let (at_rest, (resident, most, now)) = (since(before), needs(&glue));
    let looks = site.looks() + 1 - looks;
    let minutes = size.window.as_secs_f64() / 60.0;
    say(&format!(
        "at rest, a look each {:?}: {:.0} requests a minute to the server, {:.0} to {}; CPU {:.1} %; memory {resident} MiB, at most {most} MiB",
        size.interval,
        f64::from(u32::try_from(at_rest[0]).unwrap()) / minutes,
        f64::from(u32::try_from(at_rest[1]).unwrap()) / minutes,
        C::CLUSTER,
        (now - used) / size.window.as_secs_f64() * 100.0,
    ));
    glue.kill();
    let (begun, before) = (Instant::now(), site.asked());
    let glue = start();
    wait_long(&glue, &format!("Taking over {running} tasks"));
    wait_long(&glue, &is_full);
    let (took, to_settle) = (begun.elapsed(), since(before));
    say(&format!(
        "settled {took:.1?} after a restart, with {} requests to the server and {} to {}",
        to_settle[0],
        to_settle[1],
        C::CLUSTER,
    ));
    let asked = Asked {
        looks,
        at_rest,
        to_settle,
        queues: names.len() + 1,
    };
    (asked, glue)
}

impl Asked {
    #[track_caller]
    fn are_few(&self, size: &Size, for_each_look: usize) {
        let [server, cluster] = self.at_rest;
        assert!(
            server <= self.looks * size.of_look() + BESIDES
                && cluster <= self.looks * for_each_look + 2,
            "{server} requests to the server, {cluster} to the cluster in {} looks",
            self.looks
        );
        let [server, cluster] = self.to_settle;
        assert!(
            server <= size.of_look() * 2 + BESIDES * 2 + self.queues,
            "{server} requests to the server"
        );
        assert!(cluster <= BESIDES, "{cluster} requests to the cluster");
    }
}

/// C-640, C-647: at rest the glue asks the same few things however many tasks there are, and after a restart it does not ask
/// for each pod that runs.
#[test]
fn many_pods_need_few_requests() {
    let size = Size::of_environment();
    let site = kubernetes::Site::still();
    let (asked, _glue) = measure(&site, &size);
    // Pods are watched.
    asked.are_few(&size, 0);
    assert_eq!(site.cluster.names("pods").len(), size.running);
}

/// C-680: nor does a glue of Slurm call a program for each job.
#[test]
fn many_jobs_need_few_calls() {
    let size = Size::of_environment();
    let site = CountedSlurm::new();
    let (asked, _glue) = measure(&site, &size);
    asked.are_few(&size, size.running.div_ceil(1000));
    let words = ["--noheader", "--states=all", "--format=%A"];
    let jobs = site.site.cluster.answer("squeue", &words);
    assert_eq!(jobs.lines().count(), size.running);
}

fn ratio(part: usize, whole: usize) -> f64 {
    let number = |number: usize| f64::from(u32::try_from(number).unwrap());
    number(part) / number(whole)
}

#[expect(
    clippy::print_stdout,
    reason = "figures for whoever runs it with thousands"
)]
fn say(text: &str) {
    println!("{text}");
}
