//! `examples/compose`: the agent works with the words and variables that stand there. Stand-in: no image is built, which would
//! need a registry.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::support::{Script, TestContext, package_folder, wait_until};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/compose")
}

/// The file as another reader of YAML sees it, with another port for the health of the agent.
fn compose() -> Value {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let python = package_folder("PyYAML==6.0.2").join("python");
    let read = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let output = Command::new(python)
        .args(["-c", read])
        .arg(folder().join("compose.yaml"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches(":9105").count(), 2);
    serde_json::from_str(&text.replace(":9105", &format!(":{port}"))).unwrap()
}

#[test]
fn the_agent_of_the_example_runs_a_task_and_is_healthy() {
    let context = TestContext::new();
    let agent = &compose()["services"]["agent"];
    let keys = context.server.credentials();
    fs::remove_file(context.home().join("clearml.conf")).unwrap();
    let words = agent["command"].as_array().unwrap();
    let words: Vec<&str> = words.iter().map(|word| word.as_str().unwrap()).collect();
    let mut command = context.command(&words);
    for (name, value) in agent["environment"].as_object().unwrap() {
        let value = match name.as_str() {
            "CLEARML_API_ACCESS_KEY" => keys.access_key.clone(),
            "CLEARML_API_SECRET_KEY" => keys.secret_key.clone(),
            "CLEARML_API_HOST" => context.server.url(),
            "CLEARML_WEB_HOST" => context.server.web_url(),
            "CLEARML_FILES_HOST" => context.server.files_url(),
            _ => value.as_str().unwrap().to_owned(),
        };
        command.env(name, value);
    }
    let mut daemon = context.start_command(command);
    let task = context.enqueue(Script::python("print('composed')", ""));
    context.wait_for_status(&task, "completed");
    assert!(context.console(&task).contains("composed\n"));
    let test = agent["healthcheck"]["test"].as_array().unwrap();
    let test: Vec<&str> = test.iter().map(|word| word.as_str().unwrap()).collect();
    let (kind, words) = test.split_first().unwrap();
    assert_eq!(*kind, "CMD");
    let is_healthy = || {
        let checked = Command::new(words[0]).args(&words[1..]).output().unwrap();
        checked.status.success()
    };
    assert!(wait_until(is_healthy));
    assert_eq!(daemon.terminate(), 254);
    assert!(!is_healthy());
}

/// What is copied is there, or is made by `.ci/release`.
#[test]
fn the_images_of_the_example_copy_what_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let services = compose()["services"].clone();
    for service in ["server", "agent"] {
        let build = &services[service]["build"];
        assert!(
            folder()
                .join(build["context"].as_str().unwrap())
                .join("Cargo.lock")
                .exists()
        );
        let file = root.join(build["dockerfile"].as_str().unwrap());
        for line in fs::read_to_string(file).unwrap().lines() {
            let Some(words) = line
                .strip_prefix("COPY ")
                .filter(|words| !words.starts_with("--"))
            else {
                continue;
            };
            let source = words.split(' ').next().unwrap();
            assert!(
                source.starts_with("target/dist/") || root.join(source).exists(),
                "{line}"
            );
        }
    }
}
