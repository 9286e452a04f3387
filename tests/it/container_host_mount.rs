//! Files that containers get by way of a host mount: in a folder that others may enter, and that stays when a run goes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::support::containers::{containers, daemon};
use super::support::{Agent, Registry, Script, TestContext, images, wait_until};

/// The folder that agent and engine have under the same name, open to every user of the machine.
fn shared(context: &TestContext) -> PathBuf {
    let folder = context.folder().join("shared");
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn start(context: &TestContext, image: &str) -> Agent {
    start_with(context, image, &shared(context))
}

/// The same, if the engine had it as `outside`.
fn start_with(context: &TestContext, image: &str, outside: &Path) -> Agent {
    let mount = format!("{}:{}", outside.display(), shared(context).display());
    daemon(
        context,
        image,
        &[("CLEARML_AGENT_DOCKER_HOST_MOUNT", &mount)],
    )
}

/// What was made for containers (C-074).
fn of_containers(context: &TestContext) -> Vec<PathBuf> {
    let files = fs::read_dir(shared(context)).unwrap().flatten();
    let is_one = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(".clearml_agent.")
    };
    files.map(|file| file.path()).filter(is_one).collect()
}

fn enqueue(context: &TestContext, image: &str) -> String {
    let task = context.create(Script::shell("echo never"));
    let container = json!({ "image": image });
    context.call("tasks.edit", json!({"task": task, "container": container}));
    let queue = context.queue();
    context.call("tasks.enqueue", json!({"task": task, "queue": queue}));
    task
}

fn keys_of_ssh(context: &TestContext) {
    let folder = context.home().join(".ssh");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("id_ed25519"), "key").unwrap();
    fs::write(context.home().join(".gitconfig"), "[user]\n").unwrap();
}

/// True where nobody but its owner gets to the content of the file.
fn is_private(file: &Path) -> bool {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    let place = fs::canonicalize(file).unwrap();
    [&*place, place.parent().unwrap()]
        .iter()
        .any(|path| mode(path).trailing_zeros() >= 6)
}

/// C-074, C-074a, C-124: every user of the image reads them, no user of the machine, and they go with the container.
#[test]
fn files_of_a_container_are_private_below_a_host_mount() {
    let context = TestContext::new();
    keys_of_ssh(&context);
    let gate = context.gate("gate");
    for (path, mode) in [
        (context.folder().to_owned(), 0o711),
        (context.folder().join("gate"), 0o644),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let text = format!(
        "grep -c access_key \"$CLEARML_CONFIG_FILE\"; id -un; {}",
        gate.wait()
    );
    let task = context.enqueue(Script::shell(&text));
    let mut agent = start(&context, &images::non_root());
    context.wait_for_console(&task, &format!("\n1\n{}\n", images::USER));
    let made = of_containers(&context);
    for name in ["cfg", "gitconfig", "ssh"] {
        let file = shared(&context).join(format!(".clearml_agent.host%3Acpu%3A0.{name}"));
        assert!(made.contains(&file), "{name}: {made:?}");
        assert!(is_private(&file), "{name}");
    }
    gate.open();
    context.wait_for_status(&task, "completed");
    context.wait_for_no_runs();
    assert_eq!(of_containers(&context), [] as [PathBuf; 0]);
    assert_eq!(agent.terminate(), 254);
}

/// C-074a, C-114
#[test]
fn an_image_that_does_not_come_leaves_no_files() {
    let context = TestContext::new();
    keys_of_ssh(&context);
    let task = enqueue(&context, "localhost:1/no/such:image");
    let mut agent = start(&context, "unused:1");
    context.wait_for_status(&task, "failed");
    context.wait_for_no_runs();
    assert_eq!(of_containers(&context), [] as [PathBuf; 0]);
    assert_eq!(agent.terminate(), 254);
}

/// C-074a, C-114: also where nobody is left to remove them.
#[test]
fn agents_that_are_killed_while_the_image_comes_leave_no_files() {
    let context = TestContext::new();
    keys_of_ssh(&context);
    let registry = Registry::start();
    registry.hold();
    let login = context.home().join(".docker");
    fs::create_dir_all(&login).unwrap();
    fs::write(login.join("config.json"), registry.logins()).unwrap();
    let task = enqueue(&context, &registry.image());
    let mut agent = start(&context, "unused:1");
    assert!(wait_until(|| registry.is_asked_for_layer()));
    let supervisor = context.journal()["supervisor"]["pid"].as_i64().unwrap();
    agent.kill();
    kill(
        Pid::from_raw(supervisor.try_into().unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    assert_eq!(of_containers(&context), [] as [PathBuf; 0]);
    let mut agent = start(&context, "unused:1");
    context.wait_for_status(&task, "failed");
    context.wait_for_no_runs();
    assert_eq!(containers(&task), Vec::<String>::new());
    assert_eq!(agent.terminate(), 254);
}

/// C-072: the engine has the agent's files elsewhere, or not at all.
#[test]
fn a_host_mount_that_is_wrong_is_named() {
    let context = TestContext::new();
    let elsewhere = context.folder().join("elsewhere");
    let task = context.enqueue(Script::shell("echo never"));
    let mut agent = start_with(&context, &images::python(), &elsewhere);
    context.wait_for_status(&task, "failed");
    let why = format!(
        "the host mount `{}:{}` is wrong: the container engine has no `{}/",
        elsewhere.display(),
        shared(&context).display(),
        elsewhere.display()
    );
    let console = context.console(&task);
    let error = format!("\nclearml_agent: ERROR: {why}");
    assert_eq!(console.matches(&error).count(), 1, "{console}");
    let hint =
        "\nhint: name in `CLEARML_AGENT_DOCKER_HOST_MOUNT` the folder of the engine's machine";
    assert!(console.contains(hint), "{console}");
    let reason = context.reason(&task);
    let expected = format!("worker execution exit code 125: {why}");
    assert!(reason.starts_with(&expected), "{reason}");
    assert!(!elsewhere.exists(), "the engine has made folders");
    assert_eq!(agent.terminate(), 254);
}
