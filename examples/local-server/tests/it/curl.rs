//! A plain HTTP client, as curl would be: authentication, envelope, refusals, states, batches, files.

mod states;

use std::time::Duration;

use local_server::{Edition, LocalServer, Options};
use reqwest::{
    Method,
    blocking::{Client, Response},
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE},
};
use serde_json::{Value, json};

/// A client with a token.
struct Caller {
    server: LocalServer,
    client: Client,
    token: String,
}

impl Caller {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let server = LocalServer::start_blocking(options).unwrap();
        let client = super::client().build().unwrap();
        let mut caller = Self {
            server,
            client,
            token: String::new(),
        };
        caller.login()["data"]["token"]
            .as_str()
            .unwrap()
            .clone_into(&mut caller.token);
        caller
    }

    fn login(&self) -> Value {
        let keys = self.server.credentials();
        self.client
            .get(format!("{}/auth.login", self.server.url()))
            .basic_auth(&keys.access_key, Some(&keys.secret_key))
            .send()
            .unwrap()
            .json()
            .unwrap()
    }

    fn send(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let mut request = self
            .client
            .request(method, format!("{}/{path}", self.server.url()))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().unwrap()
    }

    /// The whole answer.
    fn call(&self, path: &str, body: Value) -> Value {
        self.send(Method::GET, path, Some(body)).json().unwrap()
    }

    /// The `data` member; the call must succeed.
    fn data(&self, path: &str, body: Value) -> Value {
        let mut answer = self.call(path, body);
        assert_eq!(answer["meta"]["result_code"], 200, "{path}: {answer}");
        answer["data"].take()
    }

    /// Code and subcode of a refusal.
    fn refusal(&self, path: &str, body: Value) -> (u64, u64) {
        let response = self.send(Method::GET, path, Some(body));
        let status = u64::from(response.status().as_u16());
        let answer: Value = response.json().unwrap();
        assert_eq!(answer["meta"]["result_code"], status);
        assert_eq!(answer["data"], json!({}));
        (status, answer["meta"]["result_subcode"].as_u64().unwrap())
    }

    fn new_task(&self) -> String {
        let answer = self.data("tasks.create", json!({"name": "t", "type": "training"}));
        answer["id"].as_str().unwrap().to_owned()
    }

    fn status(&self, task: &str) -> Value {
        self.data("tasks.get_by_id", json!({"task": task}))["task"]["status"].clone()
    }
}

/// A-040
#[test]
fn every_answer_has_the_envelope() {
    let caller = Caller::new();
    let answer = caller.call(
        "v2.5/tasks.get_by_id",
        json!({"task": "0123456789abcdef0123456789abcdef"}),
    );
    let meta = &answer["meta"];
    assert_eq!(meta["id"].as_str().unwrap().len(), 32);
    assert_eq!(meta["id"], meta["trx"]);
    assert_eq!(
        meta["endpoint"],
        json!({"name": "tasks.get_by_id", "requested_version": "2.5", "actual_version": "1.0"})
    );
    assert_eq!(meta["result_code"], 400);
    assert_eq!(meta["result_subcode"], 101);
    assert_eq!(
        meta["result_msg"],
        "Invalid task id: ids=(0123456789abcdef0123456789abcdef)"
    );
    assert_eq!(meta["error_stack"], Value::Null);
    assert_eq!(meta["error_data"], json!({}));
    assert_eq!(answer["data"], json!({}));
}

/// A-100: each way to get it wrong has its own subcode.
#[test]
fn wrong_credentials_are_refused() {
    let caller = Caller::new();
    let url = format!("{}/auth.login", caller.server.url());
    let subcode = |header: Option<&str>| {
        let mut request = caller.client.get(&url);
        if let Some(header) = header {
            request = request.header(AUTHORIZATION, header);
        }
        let response = request.send().unwrap();
        assert_eq!(response.status(), 401);
        response.json::<Value>().unwrap()["meta"]["result_subcode"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(subcode(None), 20);
    assert_eq!(subcode(Some("Digest x")), 10);
    assert_eq!(subcode(Some("Basic !!!")), 21);
    assert_eq!(subcode(Some("Basic YTpi")), 22);
    assert_eq!(subcode(Some("Bearer abc")), 30);
    let forged = format!("{}x", caller.token);
    assert_eq!(subcode(Some(&format!("Bearer {forged}"))), 30);
}

/// A-060, A-062: the client may ask for the life of its token, in the query; a token ends.
#[test]
fn tokens_expire() {
    let caller = Caller::with(Options {
        token_lifetime: Duration::ZERO,
        ..Options::default()
    });
    assert_eq!(caller.refusal("queues.get_all", json!({})), (401, 30));
    let keys = caller.server.credentials();
    let answer: Value = caller
        .client
        .get(format!(
            "{}/auth.login?expiration_sec=60",
            caller.server.url()
        ))
        .basic_auth(&keys.access_key, Some(&keys.secret_key))
        .send()
        .unwrap()
        .json()
        .unwrap();
    let caller = Caller {
        token: answer["data"]["token"].as_str().unwrap().to_owned(),
        ..caller
    };
    caller.data("queues.get_all", json!({}));
    assert_eq!(
        caller.data("auth.validate_token", json!({"token": caller.token}))["valid"],
        true
    );
    assert_eq!(
        caller.data("auth.validate_token", json!({"token": "x"}))["valid"],
        false
    );
    caller.server.block_tokens().unwrap();
    assert_eq!(caller.refusal("queues.get_all", json!({})), (401, 31));
}

/// A-177
#[test]
fn unknown_calls_and_versions_are_refused() {
    let caller = Caller::new();
    assert_eq!(caller.refusal("tasks.no_such", json!({})), (404, 0));
    assert_eq!(caller.refusal("v9.9/tasks.get_all", json!({})), (404, 0));
    assert_eq!(caller.refusal("v2.x/tasks.get_all", json!({})), (400, 2));
    assert_eq!(
        caller.refusal("v2.5/tasks.get_hyper_params", json!({"tasks": ["x"]})),
        (404, 0)
    );
    assert_eq!(caller.refusal("users.get_vaults", json!({})), (404, 0));
}

/// Nothing malformed is accepted in silence.
#[test]
fn malformed_fields_are_refused() {
    let caller = Caller::new();
    for (path, body) in [
        ("tasks.get_by_id", json!({})),
        ("tasks.get_by_id", json!({"task": null})),
        ("tasks.get_by_id", json!({"task": 5})),
        ("tasks.create", json!({"name": "x", "type": "nonsense"})),
        (
            "tasks.create",
            json!({"name": "x", "type": "training", "script": {"entrypoint": "x"}}),
        ),
        (
            "tasks.create",
            json!({"name": "x", "type": "training", "tags": "x"}),
        ),
        ("workers.status_report", json!({"worker": "w"})),
        ("tasks.get_all", json!({"page_size": -1})),
    ] {
        assert_eq!(
            caller.refusal(path, body.clone()),
            (400, 12),
            "{path} {body}"
        );
    }
    assert_eq!(
        caller.refusal("tasks.get_all", json!({"name": "("})),
        (400, 21)
    );
    assert_eq!(
        caller.refusal(
            "tasks.create",
            json!({"name": "x", "type": "training", "project": "p"})
        ),
        (400, 401)
    );
}

/// A-011, A-012, A-178
#[test]
fn methods_and_bodies() {
    let caller = Caller::new();
    for method in [Method::GET, Method::POST, Method::PUT] {
        assert_eq!(
            caller
                .send(method, "queues.get_default", Some(json!({})))
                .status(),
            200
        );
    }
    assert_eq!(
        caller
            .send(Method::GET, "users.get_current_user", None)
            .status(),
        200
    );
    let request = || {
        caller
            .client
            .post(format!("{}/queues.get_all", caller.server.url()))
            .bearer_auth(&caller.token)
    };
    let plain = request()
        .header(CONTENT_TYPE, "text/plain")
        .body(r#"{"name": "nosuch"}"#)
        .send()
        .unwrap();
    assert_eq!(plain.json::<Value>().unwrap()["data"]["queues"], json!([]));
    assert_eq!(request().body("{").send().unwrap().status(), 400);
    let packed = request()
        .header(CONTENT_ENCODING, "gzip")
        .body("x")
        .send()
        .unwrap();
    assert_eq!(packed.status(), 415);
}

/// A-014: answers are packed if the client can read that.
#[test]
fn answers_are_compressed() {
    let caller = Caller::new();
    let client = super::client().gzip(false).build().unwrap();
    let response = client
        .get(format!("{}/queues.get_all", caller.server.url()))
        .bearer_auth(&caller.token)
        .header("accept-encoding", "gzip, deflate")
        .send()
        .unwrap();
    assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(
        caller.data("queues.get_all", json!({}))["queues"][0]["name"],
        "default"
    );
}

/// Nothing that a client sends makes the server stumble.
#[test]
fn strange_requests_are_answered() {
    let caller = Caller::new();
    let task = caller.new_task();
    for (path, body) in [
        ("projects.create", json!({"name": "a/".repeat(100_000)})),
        (
            "tasks.get_all_ex",
            json!({"parent": ["x"], "order_by": ["-no.such"], "only_fields": ["a.b", "."]}),
        ),
        (
            "tasks.get_all",
            json!({"page": i64::MAX, "page_size": i64::MAX}),
        ),
        (
            "tasks.edit",
            json!({"task": task, "hyperparams": {"a": 1}, "models": {"output": 5}}),
        ),
        ("tasks.get_hyper_params", json!({"tasks": [task]})),
        ("tasks.publish", json!({"task": task, "force": true})),
        ("tasks.clone", json!({"task": task})),
        ("tasks.reset", json!({"task": task, "force": true})),
        (
            "workers.status_report",
            json!({"worker": "w", "timestamp": u64::MAX}),
        ),
        (
            "workers.status_report",
            json!({"worker": "w", "timestamp": i64::MAX}),
        ),
        (
            "workers.register",
            json!({"worker": "w", "timeout": i64::MAX}),
        ),
        (
            "events.clear_task_log",
            json!({"task": task, "threshold_sec": i64::MAX}),
        ),
        (
            "events.get_task_log",
            json!({"task": task, "from_timestamp": 1e300}),
        ),
        ("auth.login", json!({"expiration_sec": i64::MAX})),
    ] {
        let code = caller.call(path, body)["meta"]["result_code"]
            .as_u64()
            .unwrap();
        assert!(code == 200 || code == 400, "{path}: {code}");
    }
    let answer = batch(
        &caller,
        &[json!(5), json!({}), json!({"type": "log", "task": 5})],
    );
    assert_eq!(answer["meta"]["result_subcode"], 131);
}

fn batch(caller: &Caller, lines: &[Value]) -> Value {
    let body: Vec<_> = lines.iter().map(Value::to_string).collect();
    caller
        .client
        .post(format!("{}/events.add_batch", caller.server.url()))
        .bearer_auth(&caller.token)
        .header(CONTENT_TYPE, "application/json-lines")
        .body(body.join("\n"))
        .send()
        .unwrap()
        .json()
        .unwrap()
}

/// A-015, A-150: lines are kept as they were sent, as often as they were sent.
#[test]
fn console_lines() {
    let caller = Caller::new();
    let task = caller.new_task();
    let line = json!({"type": "log", "level": "DEBUG", "task": task, "worker": "w", "msg": "ä\r\u{1b}[0m\n", "timestamp": 5});
    let lines = [
        line.clone(),
        line.clone(),
        json!({"type": "log", "task": "none", "msg": "x"}),
    ];
    let answer = batch(&caller, &lines);
    assert_eq!(
        answer["data"],
        json!({"added": 2, "errors": 1, "errors_info": {"Invalid task id none": 1}})
    );
    let refused = batch(&caller, &lines[2..]);
    assert_eq!(refused["meta"]["result_subcode"], 131);
    assert_eq!(
        refused["meta"]["result_msg"],
        "Events not added: Invalid task id none=1"
    );
    let log = caller.data(
        "events.get_task_log",
        json!({"task": task, "navigate_earlier": false}),
    );
    assert_eq!((&log["returned"], &log["total"]), (&json!(2), &json!(2)));
    assert_eq!(log["events"][0]["msg"], "ä\r\u{1b}[0m\n");
    assert_eq!(log["events"][0]["level"], "DEBUG");
    assert_eq!(caller.refusal("events.add_batch", json!({})), (400, 17));
}

/// Of a long list five hundred are given at once, as a real server does, whatever is asked for.
#[test]
fn long_lists_come_in_pages() {
    let caller = Caller::new();
    let names = (0..501).map(|number| json!({"name": format!("q{number}")}));
    for name in names {
        caller.data("queues.create", name);
    }
    let count = |arguments: Value| {
        let page = caller.data("queues.get_all", arguments);
        page["queues"].as_array().unwrap().len()
    };
    // The default queue is there as well.
    let all = 502;
    assert_eq!(count(json!({})), 500);
    assert_eq!(count(json!({"page": 0, "page_size": 1000})), 500);
    assert_eq!(count(json!({"page": 1, "page_size": 1000})), all - 500);
    assert_eq!(count(json!({"page": 1})), all - 500);
    assert_eq!(count(json!({"size": 1000})), 500);
}

/// A reader who goes on from the last time stamp reads every line once, whatever the size of its batches.
#[test]
fn console_pages() {
    let caller = Caller::new();
    let task = caller.new_task();
    let lines: Vec<_> = (0..10)
        .map(|number| json!({"type": "log", "task": task, "msg": format!("{number}\n"), "timestamp": 100 + number / 3}))
        .collect();
    batch(&caller, &lines);
    let mut read = String::new();
    let mut from = json!(null);
    loop {
        let request = json!({"task": task, "navigate_earlier": false, "batch_size": 2, "from_timestamp": from});
        let page = caller.data("events.get_task_log", request);
        let events = page["events"].as_array().unwrap();
        let Some(last) = events.last() else { break };
        // Those with the time stamp of the second one come along, and no others.
        assert!(events.len() <= 4, "{page}");
        from = last["timestamp"].clone();
        for event in events {
            read.push_str(event["msg"].as_str().unwrap());
        }
    }
    assert_eq!(read, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
}

/// What the tests do to the server is seen by its clients, and the other way round.
#[test]
fn the_hand_on_the_server() {
    let caller = Caller::new();
    let task = caller
        .server
        .call("tasks.create", json!({"name": "ä/b", "type": "training"}))
        .unwrap();
    let found = caller.data(
        "tasks.get_all",
        json!({"id": [task["id"]], "only_fields": ["name"]}),
    );
    assert_eq!(found, json!({"tasks": [{"name": "ä/b"}]}));
    let refusal = caller
        .server
        .call("tasks.get_by_id", json!({"task": "none"}))
        .unwrap_err();
    assert_eq!((refusal.code, refusal.subcode), (400, 101));
    let requests = caller.server.requests();
    let last = requests.last().unwrap();
    assert_eq!(last.endpoint, "tasks.get_all");
    assert_eq!(last.body["only_fields"], json!(["name"]));
    assert_eq!(last.headers["authorization"], "Bearer");
    assert_eq!(last.status, Some(200));
}

/// A server that is away refuses connections and comes back on the same port with all it knew.
#[test]
fn away_and_back() {
    let caller = Caller::new();
    let task = caller.new_task();
    caller.server.stop_listening().unwrap();
    assert!(
        caller
            .client
            .get(caller.server.url())
            .send()
            .unwrap_err()
            .is_connect()
    );
    caller
        .server
        .call("tasks.started", json!({"task": task}))
        .unwrap();
    caller.server.resume().unwrap();
    assert_eq!(caller.status(&task), "in_progress");
}

/// The file of a database holds everything, keys included.
#[test]
fn a_database_file_survives() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options {
        database: local_server::Database::File(folder.path().join("db.sqlite")),
        ..Options::default()
    };
    let caller = Caller::with(options());
    let task = caller.new_task();
    let keys = caller.server.credentials().clone();
    let token = caller.token.clone();
    drop(caller);
    let mut caller = Caller::with(options());
    assert_eq!(caller.server.credentials(), &keys);
    caller.token = token;
    assert_eq!(caller.status(&task), "created");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = folder
            .path()
            .join("db.sqlite")
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0);
    }
}

/// A-118, A-101, A-065: the enterprise edition.
#[test]
fn enterprise() {
    let caller = Caller::with(Options {
        edition: Edition::Enterprise,
        ..Options::default()
    });
    let property = json!([{"key": "force", "value": "off"}]);
    let request = json!({"worker": "w", "runtime_properties": property});
    assert_eq!(
        caller.data("workers.set_runtime_properties", request),
        json!({})
    );
    assert_eq!(
        caller.data("workers.get_runtime_properties", json!({"worker": "w"})),
        json!({"runtime_properties": property})
    );
    caller
        .server
        .add_vault("mine", "agent { git_user: jane }")
        .unwrap();
    let vaults = caller.data(
        "users.get_vaults?enabled=true&types=config&types=config",
        json!({}),
    );
    assert_eq!(vaults["vaults"][0]["data"], "agent { git_user: jane }");
    let user = caller.data("auth.create_user", json!({"name": "Jane"}))["id"].clone();
    let impersonated: Value = caller
        .client
        .get(format!("{}/v2.5/auth.login", caller.server.url()))
        .bearer_auth(&caller.token)
        .header("X-Clearml-Impersonate-As", user.as_str().unwrap())
        .json(&json!({"expiration_sec": 60}))
        .send()
        .unwrap()
        .json()
        .unwrap();
    let jane = Caller {
        token: impersonated["data"]["token"].as_str().unwrap().to_owned(),
        ..caller
    };
    assert_eq!(
        jane.data("users.get_current_user", json!({}))["user"]["name"],
        "Jane"
    );
}

/// A-065: the open-source server lets nobody be somebody else.
#[test]
fn no_impersonation_in_open_source() {
    let caller = Caller::new();
    let answer = caller
        .client
        .get(format!("{}/v2.5/auth.login", caller.server.url()))
        .bearer_auth(&caller.token)
        .header("X-Clearml-Impersonate-As", "u7")
        .send()
        .unwrap()
        .json::<Value>()
        .unwrap();
    assert_eq!(answer["meta"]["result_code"], 400);
    assert_eq!(answer["meta"]["result_subcode"], 6);
}

/// The file store keeps what artifacts are made of.
#[test]
fn files() {
    let caller = Caller::new();
    let url = caller.server.files_url();
    let part =
        reqwest::blocking::multipart::Part::bytes(vec![0, 1, 255]).file_name("p/t.1/a b.bin");
    let form = reqwest::blocking::multipart::Form::new().part("p/t.1/a b.bin", part);
    assert_eq!(
        caller
            .client
            .post(&url)
            .multipart(form)
            .send()
            .unwrap()
            .status(),
        200
    );
    let file = format!("{url}/p/t.1/a%20b.bin");
    assert_eq!(caller.client.head(&file).send().unwrap().status(), 200);
    let content = caller.client.get(&file).send().unwrap().bytes().unwrap();
    assert_eq!(content.as_ref(), [0, 1, 255]);
    assert_eq!(caller.client.delete(&file).send().unwrap().status(), 200);
    assert_eq!(caller.client.get(&file).send().unwrap().status(), 404);
}
