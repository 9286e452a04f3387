//! Environments that containers leave for the next, where the agent is no ordinary one: of podman, of another user, for
//! several owners of tasks, in a container itself.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::container_inside::Inside;
use super::container_store::{ADDED, HIT, Machine, PROGRAM};
use super::support::{Podman, TestContext, copy_program, images};
use super::{owner, podman};

/// The second container finds what the first has made, and calls no pip.
#[track_caller]
fn assert_second_finds_it(machine: &Machine, image: &str) {
    let first = machine.run(image, "");
    assert!(first.contains(ADDED) && !first.contains(HIT), "{first}");
    machine.remove_wheel();
    let second = machine.run(image, "");
    assert!(second.contains(HIT), "{second}");
    for console in [first, second] {
        assert!(!console.contains("NOTICE"), "{console}");
    }
}

/// E-239, E-243, C-087
#[test]
fn the_next_container_of_podman_finds_the_environment() {
    let machine = Machine::new();
    let engine = Podman::start(&machine.context);
    let _daemon = podman::daemon(&machine.context, &engine);
    assert_second_finds_it(&machine, &engine.image);
    assert!(machine.store().join("all/0/entries").is_dir());
}

/// E-239, E-243: what containers of root keep is below a folder of the agent's user, which no other user enters.
#[test]
fn containers_of_an_agent_that_is_not_root_find_the_environment() {
    const USER: u32 = 54_321;
    let machine = Machine::new();
    let context = &machine.context;
    let program = context.folder().join("clearml-agent");
    copy_program(&program);
    fs::set_permissions(context.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    for path in [
        context.home(),
        context.home().join("clearml.conf"),
        context.temporary(),
    ] {
        chown(path, Some(USER), Some(USER))
            .expect("files become another user's: run the tests as root");
    }
    // As a member of the group `docker`.
    let group = fs::metadata("/var/run/docker.sock")
        .unwrap()
        .gid()
        .to_string();
    let user = USER.to_string();
    let mut command = context.beside_agent("setpriv");
    command
        .args(["--reuid", &user, "--regid", &user, "--groups", &group])
        .arg(program)
        .args(["daemon", "--queue", "default", "--foreground", "--cpu-only"])
        .args(["--docker", "unused:1"]);
    let _daemon = context.start_command(command);
    assert_second_finds_it(&machine, &images::python());
    let owner = |path: PathBuf| {
        let found = fs::metadata(&path).unwrap();
        (found.uid(), found.mode() & 0o7777)
    };
    assert_eq!(owner(machine.store()), (USER, 0o700));
    assert_eq!(owner(machine.store().join("all")), (USER, 0o1777));
    assert_eq!(owner(machine.store().join("all/0")), (0, 0o700));
}

/// D-278: what a task of one owner has made is not what another's runs.
#[test]
fn containers_of_different_owners_share_nothing() {
    let machine = Machine::with(TestContext::enterprise());
    let context = &machine.context;
    let image = images::python();
    let line = format!("{image} --network host");
    let _daemon = owner::daemon(context, &["--cpu-only", "--docker", &line]);
    let run = |user: &str| {
        let script = json!({
            "binary": "python3", "entry_point": "main.py", "working_dir": ".", "diff": PROGRAM,
            "requirements": { "pip": "tinydep==1.0" },
        });
        let task = json!({
            "name": "hers", "type": "training", "script": script, "container": machine.container(&image, ""),
        });
        let call = |endpoint: &str, body| context.server.call_as(user, endpoint, body).unwrap();
        let task = call("tasks.create", task)["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        call(
            "tasks.enqueue",
            json!({ "task": task, "queue": context.queue() }),
        );
        machine.completed(&task)
    };
    let users = [owner::create_user(context), owner::create_user(context)];
    for user in &users {
        let console = run(user);
        assert!(
            console.contains(ADDED) && !console.contains(HIT),
            "{console}"
        );
    }
    machine.remove_wheel();
    for user in &users {
        let console = run(user);
        assert!(console.contains(HIT), "{console}");
        let own = machine.store().join(format!("owner.{user}/0/entries"));
        assert!(own.is_dir(), "{}", own.display());
    }
    assert!(!machine.store().join("all").exists());
}

/// The store of an agent in a container, whose home `outside` is on the machine; `words` say so to the agent, or nobody does.
#[track_caller]
fn assert_found_beside_agent(words: impl FnOnce(&Path) -> Vec<String>) {
    let machine = Machine::new();
    let context = &machine.context;
    let outside = context.folder().join("outside");
    fs::create_dir(&outside).unwrap();
    let mount = format!("{}:/root/.clearml", outside.display());
    let mut all = vec!["--volume".to_owned(), mount];
    all.extend(words(&outside));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let agent = Inside::start(context, &all);
    assert_second_finds_it(&machine, &images::python());
    assert!(outside.join("store/containers/all/0/entries").is_dir());
    agent.stop();
}

/// C-236, E-243
#[test]
fn containers_beside_an_agent_in_a_container_find_the_environment() {
    assert_found_beside_agent(|_| Vec::new());
}

/// C-072, E-243
#[test]
fn containers_beside_an_agent_with_a_host_mount_find_the_environment() {
    assert_found_beside_agent(|outside| {
        let pair = format!(
            "CLEARML_AGENT_K8S_HOST_MOUNT={}:/root/.clearml",
            outside.display()
        );
        vec!["--env".to_owned(), pair]
    });
}
