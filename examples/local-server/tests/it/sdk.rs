//! The `clearml` package against the server: the programs in tests/sdk, run by a Python that has the package.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use local_server::{LocalServer, Options};
use serde_json::{Value, json};

/// The version of the recordings.
const PACKAGE: &str = "clearml==2.1.12";

/// The Python of a virtual environment with the package, made once for all runs below the target folder.
fn python() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let venv = target.join("test-venv").join(PACKAGE.replace("==", "-"));
    fs::create_dir_all(&venv).unwrap();
    let lock = fs::File::create(venv.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let folder = if cfg!(windows) { "Scripts" } else { "bin" };
    let python = venv.join(folder).join("python");
    let complete = venv.join("complete");
    if !complete.exists() {
        let system = if cfg!(windows) { "python" } else { "python3" };
        let made = Command::new(system)
            .args(["-m", "venv", "--clear"])
            .arg(&venv)
            .output()
            .unwrap_or_else(|error| {
                panic!(
                    "this test needs {system} (3.9 or newer) with the module venv, e.g. `apt install python3-venv`: \
                     {error}"
                )
            });
        succeeded("python -m venv", &made);
        let installed = Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                PACKAGE,
            ])
            .output()
            .unwrap();
        succeeded(
            &format!("pip install {PACKAGE} (needs the network)"),
            &installed,
        );
        fs::write(complete, "").unwrap();
    }
    python
}

fn succeeded(what: &str, output: &Output) {
    assert!(
        output.status.success(),
        "{what}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

/// Runs a program of tests/sdk in a home of its own, and gives what it wrote to its output.
fn run(server: &LocalServer, program: &str, task: Option<&str>) -> String {
    let python = python();
    let home = tempfile::tempdir().unwrap();
    let configuration = home.path().join("clearml.conf");
    fs::write(&configuration, server.configuration()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
    let copy = home.path().join(program);
    fs::copy(folder.join(program), &copy).unwrap();
    let mut command = Command::new(python);
    command
        .arg(copy)
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("USERPROFILE", home.path())
        .env("CLEARML_CONFIG_FILE", configuration)
        .env("PYTHONUTF8", "1");
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env_remove(name);
    }
    if let Some(task) = task {
        command
            .env("CLEARML_TASK_ID", task)
            .env("CLEARML_LOG_TASK_TO_BACKEND", "1");
    }
    let output = command.output().unwrap();
    succeeded(program, &output);
    String::from_utf8(output.stdout).unwrap()
}

/// No request of the package may meet a call or a field that the server does not have.
fn nothing_was_missing(server: &LocalServer) {
    for request in server.requests() {
        let status = request.status.unwrap_or(0);
        let expected_refusal =
            request.endpoint == "queues.get_by_id" || request.endpoint == "tasks.get_by_id";
        assert!(
            status == 200 || (status == 400 && expected_refusal),
            "{status} {} {}: {}",
            request.path,
            request.body,
            request.response
        );
    }
}

/// The package's own tasks, drafts for agents, models, artifacts, and its client of the whole API.
#[test]
fn everything_a_user_does() {
    let server = LocalServer::start_blocking(Options::default()).unwrap();
    let output = run(&server, "sdk.py", None);
    let found = output
        .lines()
        .find_map(|line| line.strip_prefix("RESULT "))
        .unwrap();
    let found: Value = serde_json::from_str(found).unwrap();
    nothing_was_missing(&server);

    assert_eq!(found["same"], true);
    assert_eq!(found["status"], "completed");
    assert_eq!(found["tags"], json!(["one", "three", "two words"]));
    assert_eq!(found["comment"], "a comment");
    assert_eq!(
        found["read_parameters"],
        json!({
            "General/lr": "0.1",
            "General/name": "größe",
            "General/nested/depth": "2",
            "properties/owner": "me",
        })
    );
    assert_eq!(found["read_configuration"], json!({"layers": [1, 2]}));
    let loss = &found["scalars"]["loss"]["train"];
    assert_eq!(loss["x"], json!([0, 1, 2, 3, 4]));
    assert_eq!(loss["y"][3], 0.25);
    assert_eq!(
        found["last_scalars"]["loss"]["train"],
        json!({"last": 0.2, "min": 0.2, "max": 1.0})
    );
    assert_eq!(found["single_values"], json!({"accuracy": 0.75}));
    assert_eq!(found["artifact"], json!({"a": 1}));
    assert_eq!(found["models"], json!(["model"]));
    assert_eq!(found["weights"], "weights");
    assert_eq!(found["plots"], 1);
    assert_eq!(found["found_by_tags"], json!([found["id"]]));
    assert_eq!(found["found_by_name"], json!([found["id"]]));
    for line in ["iteration 0", "iteration 4", "explicit text"] {
        assert_eq!(
            found["log"].as_str().unwrap().matches(line).count(),
            1,
            "{line}"
        );
    }

    assert_eq!(found["draft_status"], "queued");
    assert_eq!(
        found["copy_parameters"],
        json!({"Args/rate": "0.5", "General/rate": "0.5"})
    );
    assert_eq!(found["dequeued_status"], "created");
    assert_eq!(found["copy_status"], "created");
    assert_eq!(found["left"], json!([]));
    let draft = server
        .call("tasks.get_by_id", json!({"task": found["draft"]}))
        .unwrap();
    assert_eq!(draft["task"]["container"]["image"], "python:3.11");
    assert_eq!(
        draft["task"]["script"]["requirements"]["pip"],
        "six\nclearml"
    );

    assert_eq!(found["queues"], json!(["default"]));
    assert_eq!(found["queue_tags"], json!(["t"]));
    assert_eq!(found["next_task"], found["copy"]);
    assert_eq!(found["projects"], json!(["team/sdk ä"]));
    assert_eq!(found["workers"], json!(["w:0"]));
    assert_eq!(found["error"], json!([400, 101]));
}

/// A program run by an agent continues its task: parameters come from the server, reports go to it.
#[test]
fn task_init_in_a_running_task() {
    let server = LocalServer::start_blocking(Options::default()).unwrap();
    let body = json!({
        "name": "run by an agent",
        "type": "training",
        "hyperparams": {"General": {"lr": {"section": "General", "name": "lr", "value": "0.5"}}},
    });
    let task = server.call("tasks.create", body).unwrap()["id"].clone();
    server.call("tasks.started", json!({"task": task})).unwrap();
    let output = run(&server, "remote.py", task.as_str());
    nothing_was_missing(&server);
    assert!(output.contains("learning rate 0.5"), "{output}");
    let scalars = server
        .call(
            "events.scalar_metrics_iter_histogram",
            json!({"task": task}),
        )
        .unwrap();
    assert_eq!(scalars["loss"]["train"]["y"], json!([1.0, 0.5, 0.25]));
    let tasks = server
        .call("tasks.get_all", json!({"only_fields": ["name"]}))
        .unwrap();
    assert_eq!(tasks, json!({"tasks": [{"name": "run by an agent"}]}));
}
