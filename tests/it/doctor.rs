//! `doctor`: what is well, what is not, and what to do about it; nothing is changed by looking.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::code::{Repository, programs_without_git};
use super::support::{GitServer, TestContext};

/// The findings about one subject, each with its state, its text and its hint.
fn findings(context: &TestContext, words: &[&str], variables: &[(&str, &str)]) -> (i32, Value) {
    let words = [&["doctor", "--json"], words].concat();
    let finished = context.run_with(&words, variables);
    assert_eq!(finished.stderr, "", "{}", finished.stdout);
    let answer: Value = serde_json::from_str(&finished.stdout).expect("nothing but JSON");
    assert_eq!(answer["ok"], finished.code == 0);
    (finished.code, answer["checks"].clone())
}

#[track_caller]
fn of<'a>(checks: &'a Value, subject: &str) -> &'a Value {
    let mut checks = checks.as_array().expect("a list").iter();
    let found = checks.find(|check| check["subject"] == subject);
    found.unwrap_or_else(|| panic!("nothing about {subject}"))
}

#[track_caller]
fn assert_says(check: &Value, state: &str, text: &str, hint: &str) {
    assert_eq!(check["state"], state, "{check}");
    assert!(check["text"].as_str().unwrap().contains(text), "{check}");
    let said = check["hint"].as_str().unwrap_or_default();
    assert!(said.contains(hint), "{check}");
}

fn files(folder: &Path, all: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            files(&entry.path(), all);
        }
        all.insert(entry.path());
    }
}

#[test]
fn a_machine_that_is_well_is_left_as_it_is() {
    let context = TestContext::new();
    let configuration = context.home().join("clearml.conf");
    fs::set_permissions(&configuration, fs::Permissions::from_mode(0o600)).unwrap();
    let tree = || {
        let mut all = BTreeSet::new();
        files(&context.home(), &mut all);
        files(&context.temporary(), &mut all);
        all
    };
    let before = tree();
    let finished = context.run(&["doctor"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
    assert!(
        finished.stdout.contains("\nok    login: "),
        "{}",
        finished.stdout
    );
    assert!(
        finished.stdout.ends_with(" 0 failed\n"),
        "{}",
        finished.stdout
    );
    assert_eq!(tree(), before);
    let called: BTreeSet<String> = context
        .server
        .requests()
        .into_iter()
        .map(|request| request.endpoint)
        .filter(|endpoint| !endpoint.contains(".get_"))
        .collect();
    assert_eq!(called, BTreeSet::from(["auth.login".to_owned()]));
    let (code, checks) = findings(&context, &["--queue", "default"], &[]);
    assert_eq!(code, 0);
    for subject in [
        "configuration",
        "folders",
        "git",
        "Python",
        "network",
        "login",
        "clock",
    ] {
        assert_says(of(&checks, subject), "ok", "", "");
    }
    assert_says(of(&checks, "queue"), "ok", "default: 0 tasks wait", "");
}

#[test]
fn what_is_wrong_with_the_server_is_told_apart() {
    let context = TestContext::new();
    let with = |variables: &[(&str, &str)]| {
        let (code, checks) = findings(&context, &[], variables);
        assert_eq!(code, 1);
        checks
    };
    let away = with(&[("CLEARML_API_HOST", "http://127.0.0.1:9")]);
    assert_says(of(&away, "network"), "fail", "127.0.0.1:9", "port");
    let unknown = with(&[("CLEARML_API_HOST", "http://no-such-host.invalid:8008")]);
    assert_says(
        of(&unknown, "network"),
        "fail",
        "no-such-host.invalid",
        "api.api_server",
    );
    let keys = with(&[
        ("CLEARML_API_ACCESS_KEY", "nobody"),
        ("CLEARML_API_SECRET_KEY", "wrong-secret-key"),
    ]);
    assert_says(
        of(&keys, "login"),
        "fail",
        "does not accept these keys",
        "new credentials",
    );
    assert!(!keys.to_string().contains("wrong-secret-key"), "{keys}");
    // A file server, or any other page.
    let other = GitServer::start(context.folder(), "me", "password");
    let other = format!("http://{}", other.address());
    let page = with(&[("CLEARML_API_HOST", &other)]);
    assert_says(of(&page, "network"), "ok", "", "");
    assert_says(of(&page, "login"), "fail", &other, "");
}

#[test]
fn an_unknown_queue_is_said_with_those_that_look_like_it() {
    let context = TestContext::new();
    context.call("queues.create", json!({ "name": "training" }));
    let (code, checks) = findings(&context, &["--queue", "train"], &[]);
    assert_eq!(code, 1);
    let check = of(&checks, "queue");
    assert_says(check, "fail", "Could not find queue", "name a queue");
    assert!(
        check["text"].as_str().unwrap().contains("training"),
        "{check}"
    );
}

#[test]
fn a_repository_is_read_with_the_credentials_of_tasks() {
    const PASSWORD: &str = "p@ss/of doctor";
    let context = TestContext::new();
    let repository = Repository::new(&context, "demo");
    repository.commit(&[("main.py", "pass")]);
    let server = GitServer::start(&context.folder().join("repositories"), "me", PASSWORD);
    let url = server.url("127.0.0.1", "demo/.git");
    let words = ["--git", url.as_str()];
    let (code, checks) = findings(&context, &words, &[]);
    assert_eq!(code, 1);
    assert_says(of(&checks, "repository"), "fail", "demo", "credentials");
    let pair = [
        ("CLEARML_AGENT_GIT_USER", "me"),
        ("CLEARML_AGENT_GIT_PASS", PASSWORD),
    ];
    let (code, checks) = findings(&context, &words, &pair);
    assert_eq!(code, 0, "{checks}");
    assert_says(of(&checks, "repository"), "ok", "default branch master", "");
    assert!(!checks.to_string().contains(PASSWORD), "{checks}");
    let missing = format!("file://{}/nothing", context.folder().display());
    let (code, checks) = findings(&context, &["--git", &missing], &[]);
    assert_eq!(code, 1);
    assert_says(of(&checks, "repository"), "fail", "nothing", "repository");
}

/// Tasks fetch without a git program too, so its lack is no failure.
#[test]
fn a_machine_without_git_is_no_failure() {
    let context = TestContext::new();
    let path = programs_without_git(&context).display().to_string();
    let words = ["--git", "https://git.example.com/team/project.git"];
    let (code, checks) = findings(&context, &words, &[("PATH", path.as_str())]);
    assert_eq!(code, 0, "{checks}");
    assert_says(of(&checks, "git"), "warn", "no git program", "install git");
    assert_says(of(&checks, "repository"), "warn", "was not looked at", "");
}

#[test]
fn an_engine_that_is_away_fails_where_it_is_wanted() {
    let context = TestContext::new();
    let away = [("DOCKER_HOST", "unix:///nowhere/docker.sock")];
    let (code, checks) = findings(&context, &[], &away);
    assert_eq!(code, 0);
    assert_says(of(&checks, "containers"), "ok", "--docker", "");
    let (code, checks) = findings(&context, &["--docker"], &away);
    assert_eq!(code, 1);
    assert_says(
        of(&checks, "containers"),
        "fail",
        "/nowhere/docker.sock",
        "start",
    );
    let (code, checks) = findings(&context, &["--docker"], &[]);
    assert_eq!(code, 0);
    assert_says(of(&checks, "containers"), "ok", "API 1.", "");
}

/// C-050: what a daemon says when it starts.
#[test]
fn gpus_that_containers_ask_for_and_the_machine_lacks_are_said() {
    if Path::new("/proc/driver/nvidia").exists() {
        return;
    }
    let context = TestContext::new();
    let (code, checks) = findings(&context, &["--docker"], &[]);
    assert_eq!(code, 0, "{checks}");
    let gpus = of(&checks, "GPUs in containers");
    assert_says(gpus, "warn", "this machine has none", "`--cpu-only`");
    let subjects = |words: &[&str], variables: &[(&str, &str)]| {
        findings(&context, words, variables).1.to_string()
    };
    for (words, variables) in [
        (
            &["--docker"][..],
            &[("CLEARML_DOCKER_SKIP_GPUS_FLAG", "1")][..],
        ),
        (&["--docker"], &[("NVIDIA_VISIBLE_DEVICES", "none")]),
        (&[], &[]),
    ] {
        let said = subjects(words, variables);
        assert!(!said.contains("GPUs in containers"), "{said}");
    }
}

#[test]
fn keys_that_others_can_read_and_keys_that_mean_nothing_are_said() {
    let context = TestContext::new();
    let configuration = context.home().join("clearml.conf");
    fs::set_permissions(&configuration, fs::Permissions::from_mode(0o644)).unwrap();
    context.configure("agent.git_usr: me");
    let (code, checks) = findings(&context, &[], &[]);
    assert_eq!(code, 0);
    let said: Vec<&Value> = checks
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["subject"] == "configuration")
        .collect();
    assert_says(said[0], "warn", "can be read by other users", "chmod 600");
    assert_says(said[1], "warn", "agent.git_usr", "spelt");
}
