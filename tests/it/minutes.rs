//! How often this agent asks, minute by minute, beside recordings of the official one: idle, busy, services, dynamic GPUs.
//!
//! A stream may be as quick as it was recorded, and slower. What is quicker, or was not recorded, is in a list with its
//! reason.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use local_server::RecordedRequest;
use serde_json::Value;

use super::official::official;
use super::support::{Agent, NvmlStandIn, Script, TestContext, wait_until};

/// What the clock may do to a pause of five seconds.
const TOLERANCE: f64 = 0.9;

/// A kind of request whose times are looked at.
type Kind = &'static str;

/// A kind that is meant to come sooner than it was recorded, or was not recorded at all.
struct Quicker {
    kind: Kind,
    /// The least seconds between two of them.
    pause: f64,
    #[expect(dead_code, reason = "for the reader")]
    reason: &'static str,
}

/// The seconds between the requests of each kind.
#[derive(Debug)]
struct Pace(BTreeMap<Kind, Vec<f64>>);

impl Pace {
    fn of<'a>(requests: impl Iterator<Item = (f64, &'a str, &'a Value)>) -> Self {
        let mut times: BTreeMap<Kind, Vec<f64>> = BTreeMap::new();
        for (time, endpoint, body) in requests {
            if let Some(kind) = kind(endpoint, body) {
                times.entry(kind).or_default().push(time);
            }
        }
        let pauses = |(kind, times): (Kind, Vec<f64>)| {
            let pauses = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            (kind, pauses)
        };
        Self(times.into_iter().map(pauses).collect())
    }

    /// Of a recording, from `begin` to `end` seconds.
    fn recorded(name: &str, begin: f64, end: f64) -> Self {
        Self::recorded_of(name, begin, end, |_| true)
    }

    /// The same of requests with such bodies.
    fn recorded_of(name: &str, begin: f64, end: f64, is_meant: fn(&Value) -> bool) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/transcripts");
        let text = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let requests = lines.iter().map(|line| {
            let endpoint = line["path"].as_str().unwrap().rsplit('/').next().unwrap();
            (line["t"].as_f64().unwrap(), endpoint, &line["request"])
        });
        let is_meant = |time: &f64, body| (begin..end).contains(time) && is_meant(body);
        Self::of(requests.filter(|(time, _, body)| is_meant(time, body)))
    }

    /// What was sent to a server from `begin` on.
    fn sent(requests: &[RecordedRequest], begin: SystemTime) -> Self {
        let since = |request: &RecordedRequest| {
            let since = request.at.duration_since(begin).ok()?;
            Some(since.as_secs_f64())
        };
        Self::of(
            requests
                .iter()
                .filter_map(|request| Some((since(request)?, &*request.endpoint, &request.body))),
        )
    }

    /// The middle one of the pauses.
    fn pause(&self, kind: Kind) -> Option<f64> {
        let mut pauses = self.0.get(kind)?.clone();
        pauses.sort_by(f64::total_cmp);
        pauses.get(pauses.len() / 2).copied()
    }

    /// Nothing comes sooner than it did, but for what is meant to.
    #[track_caller]
    fn assert_no_quicker_than(&self, recorded: &Self, meant: &[Quicker]) {
        for kind in self.0.keys() {
            let Some(ours) = self.pause(kind) else {
                // Once is as seldom as can be.
                continue;
            };
            let meant = meant.iter().find(|quicker| quicker.kind == *kind);
            let least = match meant {
                Some(quicker) => Some(quicker.pause),
                None => recorded.pause(kind),
            };
            assert!(
                least.is_some_and(|least| ours >= least * TOLERANCE),
                "{kind}: {ours} s instead of {least:?} s in {self:?}"
            );
        }
    }
}

/// Requests that come again and again; none where it is one of a task's own steps.
fn kind(endpoint: &str, body: &Value) -> Option<Kind> {
    let asks_for = |field: &str| {
        let fields = body["only_fields"].as_array();
        fields.is_some_and(|fields| fields.iter().any(|name| name == field))
    };
    Some(match endpoint {
        "events.add_batch" => "log",
        "queues.get_all" if asks_for("tags") => "tags",
        "queues.get_by_id" => "entries",
        "queues.get_next_task" => "next task",
        "tasks.get_all" if asks_for("status") => "status of the task",
        "tasks.ping" => "ping",
        "workers.get_all" => "workers",
        "workers.get_runtime_properties" => "properties",
        "workers.set_runtime_properties" => "free GPUs",
        "workers.status_report" if body["machine_stats"].is_object() => "figures",
        _ => return None,
    })
}

/// A daemon at the pace of a day, which the other tests do not wait for.
fn unhurried(context: &TestContext, mut command: Command) -> Agent {
    command.env_remove("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC");
    context.start_command(command)
}

const DAEMON: [&str; 4] = ["daemon", "--queue", "default", "--foreground"];

fn count(context: &TestContext, wanted: Kind) -> usize {
    let requests = context.server.requests();
    let kinds = requests
        .iter()
        .filter_map(|request| kind(&request.endpoint, &request.body));
    kinds.filter(|kind| *kind == wanted).count()
}

/// D-155, D-156, D-157, D-158, D-160, D-161, D-173: as many looks at the queue as the official agent, and as many reports.
#[test]
fn an_idle_minute_has_no_more_requests_than_the_official_agents() {
    let context = TestContext::new();
    let begin = SystemTime::now();
    let _agent = unhurried(&context, context.command(&DAEMON));
    assert!(wait_until(|| count(&context, "figures") >= 2));
    let ours = Pace::sent(&context.server.requests(), begin);
    // Reports are too far apart for the short recording.
    let mut recorded = Pace::recorded("02-daemon-task-git", 0.0, 20.2);
    let long = Pace::recorded_of("20-services-mode", 0.0, 60.0, |body| {
        body["worker"] == "vm:cpu:0"
    });
    recorded.0.insert("figures", long.0["figures"].clone());
    ours.assert_no_quicker_than(&recorded, &[]);
    assert!(ours.0["next task"].len() >= 5, "{ours:?}");
    assert!(
        !ours.0.contains_key("log") && !ours.0.contains_key("ping"),
        "{ours:?}"
    );
}

/// D-185, D-228: a task that prints a line a second; the lines come sooner, everything else as recorded.
#[test]
fn a_busy_minute_asks_no_more_than_the_official_agent() {
    let context = TestContext::new();
    let text = "for i in $(seq 21); do echo tick $i; read -t 1 <> <(:); done; echo over; sleep 600";
    let task = context.enqueue(Script::shell(text));
    let _agent = unhurried(&context, context.command(&DAEMON));
    context.wait_for_console(&task, "tick 1\n");
    let begin = SystemTime::now();
    context.wait_for_console(&task, "over\n");
    let ours = Pace::sent(&context.server.requests(), begin);
    let recorded = Pace::recorded("06b-task-reset-while-running", 10.0, 20.31);
    let meant = [Quicker {
        kind: "log",
        pause: 0.5,
        reason: "a line is on the page when it was printed, in at most two requests a second",
    }];
    ours.assert_no_quicker_than(&recorded, &meant);
    let looks = ours.0["status of the task"].len();
    assert!(looks >= 3, "{ours:?}");
    // While the worker has its task, it asks no queue.
    assert!(!ours.0.contains_key("next task"), "{ours:?}");
}

/// D-256, D-257, D-260: a worker with services asks as often as without; each service reports as a worker of its own.
#[test]
fn a_minute_of_services_mode_asks_no_more_than_the_official_agent() {
    let context = TestContext::new();
    let begin = SystemTime::now();
    let words = [&DAEMON[..], &["--services-mode"]].concat();
    let _agent = unhurried(&context, context.command(&words));
    let task = context.enqueue(Script::shell("echo up; sleep 600"));
    context.wait_for_console(&task, "up\n");
    assert!(wait_until(|| count(&context, "status of the task") >= 4));
    let requests = context.server.requests();
    let is_of_task = |request: &RecordedRequest| request.body.to_string().contains(&task);
    let (of_task, of_worker): (Vec<_>, Vec<_>) = requests.into_iter().partition(is_of_task);
    let recorded = Pace::recorded("20-services-mode", 35.2, 50.4);
    let ours = Pace::sent(&of_worker, begin);
    let meant = [Quicker {
        kind: "figures",
        pause: 30.0,
        reason: "the recorded minute has one such report of each worker",
    }];
    ours.assert_no_quicker_than(&recorded, &meant);
    assert!(ours.0["next task"].len() >= 2, "{ours:?}");
    // One service of the two that are recorded: its looks, and its lines.
    let ours = Pace::sent(&of_task, begin);
    let meant = [
        Quicker {
            kind: "log",
            pause: 0.0,
            reason: "there is output at the start only, which comes as it is printed",
        },
        Quicker {
            kind: "ping",
            pause: 5.0,
            reason: "recorded once, when the task had printed nothing yet",
        },
    ];
    let recorded = Pace::recorded("20-services-mode", 36.0, 46.4);
    ours.assert_no_quicker_than(&recorded, &meant);
}

/// A worker over two GPUs of a stand-in, on a server that lets the official one work: it has no other mode there.
fn over_two_gpus(command: impl Fn(&TestContext, &[&str]) -> Command) -> (TestContext, Agent) {
    let context = TestContext::enterprise();
    let words = [
        "daemon",
        "--foreground",
        "--dynamic-gpus",
        "--gpus",
        "0,1",
        "--queue",
        "default=1",
    ];
    let agent = unhurried(&context, command(&context, &words));
    assert!(wait_until(|| count(&context, "entries") >= 4));
    (context, agent)
}

/// What one idle round asks, in its order.
fn round_of(context: &TestContext) -> Vec<Kind> {
    let requests = context.server.requests();
    let kinds: Vec<Kind> = requests
        .iter()
        .filter_map(|request| kind(&request.endpoint, &request.body))
        .filter(|kind| *kind != "figures")
        .collect();
    let ends: Vec<usize> = (0..kinds.len())
        .filter(|place| kinds[*place] == "entries")
        .collect();
    kinds[ends[1] + 1..=ends[2]].to_vec()
}

/// D-267, D-269, D-270: there is no recording of this mode, which only the commercial server has: the official agent works beside
/// ours, each for a server of its own.
#[test]
fn a_minute_of_dynamic_gpus_asks_no_more_than_the_official_agent() {
    let (theirs, _official) = over_two_gpus(official);
    let (context, _agent) = over_two_gpus(|context, words| {
        let mut command = context.command(words);
        let driver = NvmlStandIn::new(context, &["GPUS=2"]);
        let (name, value) = driver.variable();
        command.env(name, value);
        command
    });
    let (official, ours) = (round_of(&theirs), round_of(&context));
    for kind in &ours {
        let asked = |round: &[Kind]| round.iter().filter(|other| *other == kind).count();
        assert!(
            asked(&ours) <= asked(&official),
            "{ours:?} beside {official:?}"
        );
    }
    let pace = |context: &TestContext| {
        let begin = SystemTime::UNIX_EPOCH;
        Pace::sent(&context.server.requests(), begin)
    };
    let (official, ours) = (pace(&theirs), pace(&context));
    let [official, ours] = [official, ours].map(|pace| pace.pause("entries"));
    assert!(
        ours >= official.map(|official| official * TOLERANCE),
        "{ours:?} beside {official:?}"
    );
}
