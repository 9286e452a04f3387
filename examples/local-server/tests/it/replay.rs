//! Replays what the official agent and the SDK sent to a real server 2.3.0, and compares every answer with the
//! recorded one: status, subcode, message and data. Ids, times and names of users are mapped; all else must be equal.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use local_server::{LocalServer, Options};
use reqwest::{
    Method,
    blocking::{Client, RequestBuilder},
    header::CONTENT_TYPE,
};
use serde_json::{Value, json};

/// The user of the recorded server.
const RECORDED_USER: &str = "__tests__";
const RECORDED_USER_NAME: &str = "tests";

/// What somebody else did to the server before the request with this number; the recordings hold the agent's part alone.
type Outside = (u64, &'static str, &'static str);

/// Replays one recording.
fn replay(name: &str, outside: &[Outside]) {
    Replay::new(name).run(outside, true);
}

struct Replay {
    name: String,
    lines: Vec<Value>,
    server: LocalServer,
    client: Client,
    token: String,
    /// Recorded id to ours.
    ours: BTreeMap<String, String>,
}

impl Replay {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
        let text = fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(!lines.is_empty(), "{name} is empty");
        let server = LocalServer::start_blocking(Options::default()).unwrap();
        let mut replay = Self {
            name: name.to_owned(),
            lines,
            server,
            client: super::client().build().unwrap(),
            token: String::new(),
            ours: BTreeMap::new(),
        };
        replay.make_queues();
        replay.make_tasks();
        replay
    }

    /// The queues of the recorded server, by their names.
    fn make_queues(&mut self) {
        let created: Vec<_> = self
            .lines
            .iter()
            .filter(|line| endpoint(line) == "queues.create")
            .map(|line| line["request"]["name"].clone())
            .collect();
        let mut names = BTreeMap::new();
        for line in &self.lines {
            let data = &line["response"]["data"];
            for queue in data["queues"].as_array().into_iter().flatten() {
                if let Some(queue_name) = queue["name"].as_str()
                    && !created.contains(&queue["name"])
                {
                    names.insert(text(&queue["id"]), queue_name.to_owned());
                }
            }
            if endpoint(line) == "queues.get_default" {
                names.insert(text(&data["id"]), text(&data["name"]));
            }
        }
        // A queue that only a task names is the default one.
        for line in &self.lines {
            if let Some(queue) = line["response"]["data"]["task"]["execution"]["queue"].as_str() {
                names
                    .entry(queue.to_owned())
                    .or_insert_with(|| "default".to_owned());
            }
        }
        for (id, name) in names {
            let ours = if name == "default" {
                self.server.call("queues.get_default", json!({}))
            } else {
                self.server.call("queues.create", json!({"name": name}))
            };
            self.ours.insert(id, text(&ours.unwrap()["id"]));
        }
    }

    /// The tasks of the recorded server as they were before the first request.
    fn make_tasks(&mut self) {
        let cloned: Vec<_> = self
            .lines
            .iter()
            .filter(|line| endpoint(line) == "tasks.clone")
            .map(|line| text(&line["response"]["data"]["id"]))
            .collect();
        let mut projects = BTreeMap::new();
        for line in &self.lines {
            let project = &line["response"]["data"]["project"];
            if let Some(project_name) = project["name"].as_str() {
                projects.insert(text(&project["id"]), project_name.to_owned());
            }
        }
        let mut first_sight = BTreeMap::new();
        for line in &self.lines {
            let task = &line["response"]["data"]["task"];
            if task.is_object() {
                first_sight
                    .entry(text(&task["id"]))
                    .or_insert_with(|| task.clone());
            }
        }
        for line in &self.lines {
            // Of a task that is never read, only the id matters.
            let id = line["response"]["data"]["entry"]["task"].as_str();
            if let Some(id) = id {
                first_sight
                    .entry(id.to_owned())
                    .or_insert_with(|| json!({"id": id, "name": "unseen", "type": "training"}));
            }
        }
        for (id, task) in first_sight {
            if cloned.contains(&id) {
                continue;
            }
            let mut body = json!({});
            for member in [
                "name",
                "type",
                "script",
                "container",
                "hyperparams",
                "tags",
                "system_tags",
            ] {
                if !task[member].is_null() {
                    body[member] = task[member].clone();
                }
            }
            if let Some(project) = task["project"].as_str() {
                let project_name = projects
                    .get(project)
                    .cloned()
                    .unwrap_or_else(|| format!("project {project}"));
                let ours = match self.ours.get(project) {
                    Some(ours) => ours.clone(),
                    None => text(
                        &self
                            .server
                            .call("projects.create", json!({"name": project_name}))
                            .unwrap()["id"],
                    ),
                };
                self.ours.insert(project.to_owned(), ours.clone());
                body["project"] = ours.into();
            }
            let made = self.server.call("tasks.create", body).unwrap();
            self.ours.insert(id, text(&made["id"]));
        }
    }

    fn run(&mut self, outside: &[Outside], good_keys: bool) {
        let lines = std::mem::take(&mut self.lines);
        let mut done = 0;
        for line in &lines {
            let number = line["n"].as_u64().unwrap();
            for (_, call, body) in outside.iter().filter(|(before, _, _)| *before == number) {
                let mut body: Value = serde_json::from_str(body).unwrap();
                body["task"] = self.ours[&task_of(line)].clone().into();
                self.server.call(call, body).unwrap();
                done += 1;
            }
            self.fill_queues(line);
            let (status, answer) = self.send(line, good_keys);
            self.compare(line, status, &answer);
        }
        assert_eq!(
            done,
            outside.len(),
            "{}: not everything was done from outside",
            self.name
        );
    }

    /// Enqueues what the recorded answer shows as waiting: somebody did that before the request.
    fn fill_queues(&self, line: &Value) {
        let data = &line["response"]["data"];
        let mut waiting = Vec::new();
        if let Some(task) = data["entry"]["task"].as_str() {
            waiting.push((text(&line["request"]["queue"]), task));
        }
        for queue in data["queues"].as_array().into_iter().flatten() {
            for entry in queue["entries"].as_array().into_iter().flatten() {
                waiting.push((text(&queue["id"]), entry["task"].as_str().unwrap()));
            }
        }
        for (queue, task) in waiting {
            let body = json!({"task": self.ours[task], "queue": self.ours[&queue]});
            match self.server.call("tasks.enqueue", body) {
                Ok(_) => {}
                // Already there.
                Err(refusal) if refusal.subcode == 706 => {}
                Err(refusal) => panic!("{}: {refusal}", self.name),
            }
        }
    }

    fn send(&mut self, line: &Value, good_keys: bool) -> (u16, Value) {
        let method: Method = line["method"].as_str().unwrap().parse().unwrap();
        let url = format!("{}{}", self.server.url(), line["path"].as_str().unwrap());
        let request = self.client.request(method, url);
        let request = if endpoint(line) == "auth.login" {
            let keys = self.server.credentials();
            let secret = if good_keys {
                keys.secret_key.as_str()
            } else {
                "wrong"
            };
            request.basic_auth(&keys.access_key, Some(secret))
        } else {
            request.bearer_auth(&self.token)
        };
        let response = self.with_body(request, &line["request"]).send().unwrap();
        let status = response.status().as_u16();
        let answer: Value = response.json().unwrap();
        if let Some(token) = answer["data"]["token"].as_str() {
            token.clone_into(&mut self.token);
        }
        // What the request made has one id there and another here.
        if let (Some(recorded), Some(ours)) = (
            line["response"]["data"]["id"].as_str(),
            answer["data"]["id"].as_str(),
        ) {
            self.ours.insert(recorded.to_owned(), ours.to_owned());
        }
        (status, answer)
    }

    fn with_body(&self, request: RequestBuilder, body: &Value) -> RequestBuilder {
        let translated = |value: &Value| {
            self.ours
                .iter()
                .fold(value.to_string(), |text, (recorded, ours)| {
                    text.replace(recorded, ours)
                })
        };
        if body.is_null() {
            request
        } else if let Some(lines) = body["__json_lines__"].as_array() {
            let lines: Vec<_> = lines.iter().map(translated).collect();
            request
                .header(CONTENT_TYPE, "application/json-lines")
                .body(lines.join("\n"))
        } else {
            request
                .header(CONTENT_TYPE, "application/json")
                .body(translated(body))
        }
    }

    fn compare(&self, line: &Value, status: u16, answer: &Value) {
        let place = format!("{} n={} {}", self.name, line["n"], line["path"]);
        assert_eq!(line["status"], status, "{place}: {answer}");
        let owner = self
            .server
            .call("users.get_current_user", json!({}))
            .unwrap();
        let mut text = json!({
            "code": answer["meta"]["result_code"],
            "subcode": answer["meta"]["result_subcode"],
            "message": answer["meta"]["result_msg"],
            "data": answer["data"],
        })
        .to_string()
        .replace(owner["user"]["id"].as_str().unwrap(), RECORDED_USER)
        .replace(owner["user"]["name"].as_str().unwrap(), RECORDED_USER_NAME);
        for (recorded, ours) in &self.ours {
            text = text.replace(ours, recorded);
        }
        let mut here: Value = serde_json::from_str(&text).unwrap();
        let mut there = json!({
            "code": line["response"]["meta"]["result_code"],
            "subcode": line["response"]["meta"]["result_subcode"],
            "message": line["response"]["meta"]["result_msg"],
            "data": line["response"]["data"],
        });
        blur(&mut here);
        blur(&mut there);
        let difference = difference("data", &here, &there);
        assert!(
            difference.is_none(),
            "{place}: {}",
            difference.unwrap_or_default()
        );
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn endpoint(line: &Value) -> &str {
    line["path"].as_str().unwrap().rsplit('/').next().unwrap()
}

/// The task that a request is about.
fn task_of(line: &Value) -> String {
    let request = &line["request"];
    let candidates = [
        &request["task"],
        &request["id"][0],
        &request["__json_lines__"][0]["task"],
    ];
    text(
        candidates
            .into_iter()
            .find(|value| value.is_string())
            .unwrap(),
    )
}

/// Replaces what differs from run to run by its kind.
fn blur(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match name.as_str() {
                    "token" => *member = json!("<token>"),
                    // Whole seconds that the recorded agent needed and the replay does not.
                    "active_duration" if member.is_i64() => *member = json!("<seconds>"),
                    _ => blur(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(blur),
        Value::String(text) => {
            // 2026-11-21T01:29:56.371771+00:00
            let digits = text.chars().filter(char::is_ascii_digit).count();
            if text.len() == 32
                && digits == 24
                && text.ends_with("+00:00")
                && text.as_bytes()[10] == b'T'
            {
                "<time>".clone_into(text);
            }
        }
        _ => {}
    }
}

/// The first place where two answers differ. The order of members means nothing.
fn difference(place: &str, here: &Value, there: &Value) -> Option<String> {
    match (here, there) {
        (Value::Object(left), Value::Object(right)) => {
            let names: BTreeSet<_> = left.keys().chain(right.keys()).collect();
            names.into_iter().find_map(|name| {
                let place = format!("{place}.{name}");
                match (left.get(name), right.get(name)) {
                    (Some(left), Some(right)) => difference(&place, left, right),
                    (left, right) => Some(format!("{place}: here {left:?}, recorded {right:?}")),
                }
            })
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .enumerate()
            .find_map(|(number, (left, right))| {
                difference(&format!("{place}[{number}]"), left, right)
            }),
        (left, right) => (left != right).then(|| format!("{place}: here {left}, recorded {right}")),
    }
}

/// A-190 to A-195: an idle daemon, a task, the end.
#[test]
fn daemon_with_a_task() {
    replay("02-daemon-task-git", &[]);
}

/// A-194
#[test]
fn failing_tasks() {
    replay("04-task-fails", &[]);
}

/// A-162: the user asks the agent to stop.
#[test]
fn stop_of_a_running_task() {
    replay("05-abort-tasks-stop", &[(31, "tasks.stop", "{}")]);
}

/// A-163: somebody else ends the task.
#[test]
fn running_task_ended_from_outside() {
    let body =
        r#"{"force": true, "status_reason": "external", "status_message": "stopped by test"}"#;
    replay("06-abort-tasks-stopped", &[(31, "tasks.stopped", body)]);
    let body = r#"{"force": true, "status_reason": "x", "status_message": "y"}"#;
    replay("06d-task-failed-externally", &[(31, "tasks.failed", body)]);
}

/// A-163
#[test]
fn running_task_reset() {
    replay(
        "06b-task-reset-while-running",
        &[(31, "tasks.reset", r#"{"force": true}"#)],
    );
}

/// A-163, A-043: events of a deleted task are refused.
#[test]
fn running_task_deleted() {
    replay(
        "06c-task-deleted-while-running",
        &[(30, "tasks.delete", r#"{"force": true}"#)],
    );
}

/// A-195
#[test]
fn daemon_ends_while_a_task_runs() {
    replay("06e-daemon-sigterm-while-running", &[]);
    replay("06f-daemon-sigint-while-running", &[]);
}

/// A-193, A-143, A-139
#[test]
fn execute() {
    replay("07-execute-id", &[]);
    replay("08-execute-id-clone", &[]);
    replay("09-execute-require-queue", &[(5, "tasks.enqueue", "{}")]);
    replay("20b-execute-sigint", &[]);
}

/// A-043, A-161: unknown ids, and tasks that have been run before.
#[test]
fn execute_bad_ids() {
    replay(
        "09b-execute-bad-ids",
        &[
            (18, "tasks.started", "{}"),
            (18, "tasks.completed", "{}"),
            (32, "tasks.started", "{}"),
        ],
    );
}

/// A-125, A-137
#[test]
fn parameters_and_script_edits() {
    replay("10e-hyperparams-env-container", &[]);
    replay("10f-git-task-caches-warm", &[]);
}

/// A-119, A-196
#[test]
fn list_of_workers() {
    replay("11-list", &[]);
}

/// A-105 to A-107
#[test]
fn queues() {
    replay("13-queue-nosuch", &[]);
    replay("14-create-queue", &[]);
    replay("14b-two-queues", &[]);
}

/// A-100: keys that nobody has.
#[test]
fn wrong_credentials() {
    Replay::new("16-wrong-credentials").run(&[], false);
    Replay::new("01b-init-wrong-credentials").run(&[], false);
}

/// The SDK inside a task: parameters, runtime properties, scalars.
#[test]
fn sdk_in_a_task() {
    replay("19-sdk-task", &[]);
}

/// A-118: what the open-source server does not have.
#[test]
fn services_mode() {
    replay("20-services-mode", &[]);
}

#[test]
fn build() {
    replay("25-build-venv", &[]);
}
