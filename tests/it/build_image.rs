//! `build --docker` on the real engine: what is in the image, what it runs, and that no failure becomes one.

use std::process::Command;

use aho_corasick::AhoCorasick;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::build::assert_only_read;
use super::code::{Repository, offline_packages};
use super::support::containers::{HeldEngine, daemon, docker, image_line};
use super::support::{Agent, Finished, Script, TestContext, images, wait_until};
use super::uv::assert_order;

/// An image that goes with its test.
struct Image(String);

impl Image {
    fn of(task: &str) -> Self {
        Self(format!("clearml-agent-test-build-{task}:made"))
    }

    fn exists(&self) -> bool {
        let mut inspect = Command::new("docker");
        inspect.args(["image", "inspect", &self.0]);
        inspect.output().unwrap().status.success()
    }

    fn configuration(&self) -> Value {
        let text = docker(&["image", "inspect", &self.0]);
        let found: Value = serde_json::from_str(&text).unwrap();
        found[0]["Config"].clone()
    }

    /// Runs it on the network of this machine.
    fn run(&self, words: &[&str]) -> Finished {
        let output = Command::new("docker")
            .args(["run", "--rm", "--network", "host"])
            .args(words)
            .arg(&self.0)
            .output()
            .unwrap();
        Finished {
            pid: 0,
            code: output.status.code().unwrap(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rmi", "--force", &self.0])
            .output();
    }
}

/// Builds from `line`; nothing is said to the server, and no container is left.
#[track_caller]
fn build(context: &TestContext, task: &str, words: &[&str], line: &str) -> Finished {
    let words = [
        &["build", "--cpu-only", "--id", task],
        words,
        &["--docker", line],
    ]
    .concat();
    let finished = context.run(&words);
    assert_only_read(context);
    assert_eq!(containers(context), "");
    finished
}

/// Containers that see the test's folder.
fn containers(context: &TestContext) -> String {
    let volume = format!("volume={}", context.folder().display());
    docker(&["ps", "--all", "--quiet", "--filter", &volume])
}

/// C-234, C-401, C-402, C-403, C-404, C-405, C-406, C-407, C-408: packages, code and program are in the image, and it runs
/// the task without its network, by what was baked in or by what is mounted.
#[test]
fn an_image_runs_its_task() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let repository = Repository::new(&context, "project");
    let script = "import tinydep\nprint('answer', tinydep.answer)\n";
    let commit = repository.commit(&[("main.py", script)]);
    let script = Script::python("", "tinydep==1.0\n")
        .with("repository", repository.url())
        .with("branch", "master");
    let task = context.create(script);
    let image = Image::of(&task);
    let line = format!(
        "{} -e PIP_NO_INDEX=1 -e PIP_FIND_LINKS={}",
        image_line(&context, &images::python()),
        packages.folder()
    );
    let words = ["--target", &image.0, "--entry-point", "reuse_task"];
    let finished = build(&context, &task, &words, &line);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let texts = [
        "Running in Docker mode (v19.03 and above) - using default docker image: ",
        &format!(
            "\nBuilding Task {task} inside docker image: {} ",
            images::python()
        ),
        "\nStarting docker build\n",
        &format!("\nExecuting task id [{task}]:"),
        "\nDocker build done\n",
        &format!("\nCommitting docker container to: {}\nsha256:", image.0),
    ];
    assert_order(&finished.stdout, &texts);
    let configuration = image.configuration();
    // What containers leave for each other is no part of it.
    let variables = configuration["Env"].to_string();
    assert!(!variables.contains("CONTAINER_STORE"), "{variables}");
    assert!(!context.home().join(".clearml/store/containers").exists());
    assert_eq!(configuration["Labels"]["clearml-task-id"], json!(task));
    assert_eq!(
        configuration["Labels"]["clearml-task-commit"],
        json!(commit)
    );
    let words = configuration["Cmd"].as_array();
    assert!(words.is_none_or(Vec::is_empty), "{words:?}");
    assert_eq!(context.status(&task), "created");
    let ran = image.run(&[]);
    let printed = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(context.status(&task), "completed", "{printed}");
    assert!(context.console(&task).contains("answer 42\n"), "{printed}");
    // Another configuration takes the place of that in the image.
    context.call("tasks.reset", json!({"task": task, "force": true}));
    context.configure("agent.worker_id: mounted");
    let mount = format!(
        "{}/clearml.conf:/tmp/clearml.conf:ro",
        context.home().display()
    );
    let ran = image.run(&["-v", &mount]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let message = context.field(&task, "status_message");
    assert_eq!(message, json!("Changed by clearml-agent mounted"));
}

/// C-405: the task itself stays as it is.
#[test]
fn an_image_runs_a_clone_of_its_task() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo \"I am $CLEARML_TASK_ID\""));
    let image = Image::of(&task);
    let words = ["--target", &image.0, "--entry-point", "clone_task"];
    let line = image_line(&context, &images::python());
    let finished = build(&context, &task, &words, &line);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let ran = image.run(&[]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let (_, new) = ran
        .stdout
        .split_once("Task cloned, new task id=")
        .expect("a clone");
    let new = new.lines().next().unwrap().trim();
    assert_eq!(context.status(new), "completed");
    assert!(context.console(new).contains(&format!("I am {new}\n")));
    assert_eq!(context.status(&task), "created");
}

/// C-400, C-401, C-405, C-408: an image for other tasks runs nothing by itself; the task's container counts unless told
/// otherwise.
#[test]
fn an_image_without_an_entry_point_is_one_for_tasks() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo never"));
    let container = json!({
        "image": images::python(),
        "arguments": "--network host",
        "setup_shell_script": "echo from the task > /made; exit",
    });
    context.call("tasks.edit", json!({"task": task, "container": container}));
    let image = Image(format!("task_id_{task}"));
    let line = image_line(&context, &images::python());
    // The script of the task ends the container, which is no success.
    let finished = build(&context, &task, &[], &line);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    let text = format!(
        "\nIgnoring default docker image, using task docker image {}\n",
        images::python()
    );
    assert!(finished.stdout.contains(&text), "{}", finished.stdout);
    assert!(!image.exists());
    let finished = build(&context, &task, &["--force-docker"], &line);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let text = format!(
        "\nIgnoring any task container info, using docker image {}\n",
        images::python()
    );
    assert!(finished.stdout.contains(&text), "{}", finished.stdout);
    assert!(!finished.stdout.contains("from the task"));
    let configuration = image.configuration();
    assert!(
        configuration["Entrypoint"]
            .as_array()
            .is_none_or(Vec::is_empty)
    );
    assert_eq!(configuration["Cmd"], json!(["sh"]));
    let ran = image.run(&[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
}

/// C-408: one line and the exit code 1; nothing is committed, and an image of the name stays as it was.
#[test]
fn a_build_that_fails_makes_no_image() {
    let context = TestContext::new();
    let missing = context.folder().join("no-such-repository");
    let url = format!("file://{}", missing.display());
    let task = context.create(Script::python("", "").with("repository", url));
    let image = Image::of(&task);
    let line = image_line(&context, &images::python());
    let finished = build(&context, &task, &["--target", &image.0], &line);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    let error = "\nclearml_agent: ERROR: the build in the container ended with code 1\nhint: ";
    assert!(finished.stdout.contains(error), "{}", finished.stdout);
    assert!(
        !finished.stdout.contains("Committing"),
        "{}",
        finished.stdout
    );
    assert!(!image.exists());
    assert_eq!(context.status(&task), "created");
    let finished = build(&context, &task, &["--target", "./Not-A-Name"], &line);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    assert!(
        finished.stdout.contains("./Not-A-Name"),
        "{}",
        finished.stdout
    );
    assert!(
        !finished.stdout.contains("Starting docker build"),
        "{}",
        finished.stdout
    );
}

/// A build that does not end by itself, up to the script of its container.
fn begin(context: &TestContext) -> (Agent, Image) {
    let (agent, image) = begin_on(context, None);
    agent.wait_for_output("\nbegun");
    (agent, image)
}

/// The same, on the engine behind this socket.
fn begin_on(context: &TestContext, engine: Option<&HeldEngine>) -> (Agent, Image) {
    let task = context.create(Script::shell("echo never"));
    let container = json!({
        "image": images::python(),
        "arguments": image_line(context, "").trim(),
        "setup_shell_script": "echo begun; exec sleep 1000",
    });
    context.call("tasks.edit", json!({"task": task, "container": container}));
    let image = Image::of(&task);
    let words = [
        "build",
        "--cpu-only",
        "--id",
        &task,
        "--target",
        &image.0,
        "--docker",
    ];
    let mut command = context.command(&words);
    command.envs(engine.map(|engine| ("DOCKER_HOST", engine.host())));
    (context.start_command(command), image)
}

/// Folders of builds that are there.
fn builds(context: &TestContext) -> usize {
    let builds = context.home().join(".local/state/clearml-agent/builds");
    std::fs::read_dir(builds).unwrap().count()
}

/// C-408: the container goes with who has started it.
#[test]
fn a_build_that_is_stopped_leaves_nothing() {
    let context = TestContext::new();
    let (mut agent, image) = begin(&context);
    assert_ne!(containers(&context), "");
    assert_eq!(agent.terminate(), 254);
    assert!(wait_until(|| containers(&context).is_empty()));
    assert!(!image.exists());
    assert_eq!(builds(&context), 0);
}

/// C-408: what a build leaves that was killed goes with the next one, or with a worker; one that lives keeps all.
#[test]
fn what_a_killed_build_leaves_goes_with_the_next_agent() {
    let context = TestContext::new();
    let count = || containers(&context).lines().count();
    let (mut killed, _) = begin(&context);
    let (mut living, _) = begin(&context);
    killed.kill();
    assert_eq!((count(), builds(&context)), (2, 2));
    let (mut next, _) = begin(&context);
    assert_eq!((count(), builds(&context)), (2, 2));
    next.kill();
    let mut daemon = daemon(&context, &images::python(), &[]);
    assert!(wait_until(|| count() == 1 && builds(&context) == 1));
    assert!(!living.has_ended());
    assert_eq!(living.terminate(), 254);
    assert!(wait_until(|| count() == 0));
    assert_eq!(builds(&context), 0);
    daemon.terminate();
}

/// C-408: the engine makes what it was asked for, also where nobody waits for it any more.
#[test]
fn a_container_that_is_made_after_its_build_was_stopped_does_not_stay() {
    let context = TestContext::new();
    let engine = HeldEngine::start();
    let (mut agent, _) = begin_on(&context, Some(&engine));
    engine.wait_for_request();
    agent.signal(Signal::SIGINT);
    engine.release();
    assert_eq!(agent.wait(), 254);
    assert!(wait_until(|| containers(&context).is_empty()));
    assert_eq!(builds(&context), 0);
}

/// C-408: an engine is not asked for what another one has.
#[test]
fn a_killed_build_is_looked_for_on_its_own_engine() {
    let context = TestContext::new();
    let engine = HeldEngine::holding(&[]);
    let (mut killed, _) = begin_on(&context, Some(&engine));
    killed.wait_for_output("\nbegun");
    killed.kill();
    let task = context.create(Script::shell("echo never"));
    let missing = context.run(&["build", "--id", &task, "--docker", "localhost:1/no:image"]);
    assert_eq!(missing.code, 1, "{}", missing.stdout);
    assert_eq!(containers(&context).lines().count(), 1);
    assert_eq!(builds(&context), 1);
    let host = engine.host();
    let mut daemon = daemon(&context, &images::python(), &[("DOCKER_HOST", &host)]);
    assert!(wait_until(
        || containers(&context).is_empty() && builds(&context) == 0
    ));
    assert_eq!(daemon.terminate(), 254);
}

/// Images of builds that have no name yet.
fn nameless() -> String {
    docker(&[
        "images",
        "--all",
        "--quiet",
        "--filter",
        "dangling=true",
        "--filter",
        "label=clearml-agent-build",
    ])
}

/// C-408: what was to become an image goes with the build that has failed, or with the next one after one that was killed.
#[test]
fn a_build_without_credentials_that_fails_at_its_end_leaves_no_image() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo never"));
    let image = Image::of(&task);
    // The image gets its name with the second commit.
    let engine = HeldEngine::holding(&["repo="]);
    let start = || {
        let mut command = context.command(&["build", "--cpu-only", "--id", &task]);
        command.args(["--target", &image.0, "--without-credentials", "--docker"]);
        command.arg(image_line(&context, &images::python()));
        command.env("DOCKER_HOST", engine.host());
        let agent = context.start_command(command);
        agent.wait_for_output("\nCommitting docker container to: ");
        agent
    };
    let mut killed = start();
    engine.wait_for_request();
    killed.kill();
    assert_ne!(nameless(), "");
    engine.hang_up();
    let mut failing = start();
    assert_eq!(failing.wait(), 1, "{}", failing.output());
    assert_eq!(nameless(), "");
    assert!(!image.exists());
    assert_eq!((&*containers(&context), builds(&context)), ("", 0));
}

/// All that is in an image: its files, its configuration, its history.
fn saved(image: &Image) -> Vec<u8> {
    let mut save = Command::new("docker");
    save.args(["image", "save", &image.0]);
    save.output().unwrap().stdout
}

fn has(bytes: &[u8], text: &str) -> bool {
    AhoCorasick::new([text]).unwrap().is_match(bytes)
}

/// C-405, C-406, C-408: no layer, variable or line of the history has a secret of the agent; who runs the image names them.
#[test]
fn an_image_without_credentials_has_none() {
    let context = TestContext::new();
    context.configure("agent { git_user: bob, git_pass: hush-git }");
    context.configure("sdk.aws.s3 { key: hush-key, secret: hush-aws }");
    let home = context.home();
    std::fs::create_dir(home.join(".ssh")).unwrap();
    for (name, text) in [
        (".ssh/id_ed25519", "hush-ssh"),
        (".git-credentials", "https://bob:hush-file@nowhere.example"),
    ] {
        std::fs::write(home.join(name), format!("{text}\n")).unwrap();
    }
    let repository = Repository::new(&context, "project");
    repository.commit(&[("main.py", "print('open to all')\n")]);
    let script = Script::python("", "")
        .with("repository", repository.url())
        .with("branch", "master");
    let task = context.create(script);
    let container = json!({
        "image": images::python(),
        "arguments": format!("{} -e MY_TOKEN=hush-variable", image_line(&context, "").trim()),
        "setup_shell_script": "export OTHER=hush-script; test -s ~/.ssh/id_ed25519; test -s ~/.git-credentials",
    });
    context.call("tasks.edit", json!({"task": task, "container": container}));
    let image = Image::of(&task);
    let words = [
        "--target",
        &image.0,
        "--entry-point",
        "reuse_task",
        "--without-credentials",
    ];
    let finished = build(&context, &task, &words, &images::python());
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let line = "\nLeft out of the image: MY_TOKEN\n";
    assert!(finished.stdout.contains(line), "{}", finished.stdout);
    let bytes = saved(&image);
    // It is searched as it is.
    assert!(has(&bytes, "open to all"));
    let configuration = context.server.configuration();
    let quoted: Vec<&str> = configuration.split('"').collect();
    let [_, "access_key", _, access, _, "secret_key", _, secret, _] = quoted[..] else {
        panic!("{configuration}");
    };
    for secret in [access, secret, "hush-"] {
        assert!(!has(&bytes, secret), "{secret}");
    }
    let ran = image.run(&[]);
    assert_ne!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(context.status(&task), "created");
    let mount = format!(
        "{}/clearml.conf:/tmp/clearml.conf:ro",
        context.home().display()
    );
    let ran = image.run(&["-v", &mount]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(context.status(&task), "completed");
    context.call("tasks.reset", json!({"task": task, "force": true}));
    let variables = [
        format!("CLEARML_API_ACCESS_KEY={access}"),
        format!("CLEARML_API_SECRET_KEY={secret}"),
    ];
    let ran = image.run(&["-e", &variables[0], "-e", &variables[1]]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(context.status(&task), "completed");
}
