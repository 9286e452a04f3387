//! Environments that containers of one image leave for the next, on the real engine.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::code::offline_packages;
use super::support::containers::{containers, daemon, distant_engine, docker};
use super::support::{Agent, Script, TestContext, images};

pub(super) const PROGRAM: &str = "import tinydep\nprint('answer', tinydep.answer)\n";
pub(super) const HIT: &str = "::: Using Cached environment /.clearml-store/";
pub(super) const ADDED: &str = "Adding venv into cache: ";

/// A machine whose containers get `tinydep` from a folder, and a worker for its queue.
pub(super) struct Machine {
    pub(super) context: TestContext,
    wheels: String,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self::with(TestContext::new())
    }

    /// One whose server this is.
    pub(super) fn with(context: TestContext) -> Self {
        let wheels = offline_packages(&context).folder().to_owned();
        Self { context, wheels }
    }

    fn daemon(&self) -> Agent {
        daemon(&self.context, "unused:1", &[])
    }

    /// A task with `tinydep` in a container of `image`, in its queue.
    pub(super) fn enqueue(&self, image: &str, arguments: &str) -> String {
        let context = &self.context;
        let task = context.create(Script::python(PROGRAM, "tinydep==1.0"));
        let container = self.container(image, arguments);
        context.call("tasks.edit", json!({"task": task, "container": container}));
        let queue = context.queue();
        context.call("tasks.enqueue", json!({"task": task, "queue": queue}));
        task
    }

    /// The container of such a task.
    pub(super) fn container(&self, image: &str, arguments: &str) -> Value {
        let (folder, wheels) = (self.context.folder().display(), &self.wheels);
        let arguments = format!(
            "--network host -v {folder}:{folder} -e PIP_NO_INDEX=1 -e PIP_FIND_LINKS={wheels} {arguments}"
        );
        json!({"image": image, "arguments": arguments})
    }

    /// Its console, once it has done what it is to do.
    #[track_caller]
    pub(super) fn completed(&self, task: &str) -> String {
        self.context.wait_for_status(task, "completed");
        let console = self.context.console(task);
        assert!(console.contains("\nanswer 42\n"), "{console}");
        assert!(!console.contains("WARNING"), "{console}");
        console
    }

    #[track_caller]
    pub(super) fn run(&self, image: &str, arguments: &str) -> String {
        let task = self.enqueue(image, arguments);
        self.completed(&task)
    }

    /// What containers keep on this machine.
    pub(super) fn store(&self) -> PathBuf {
        self.context.home().join(".clearml/store/containers")
    }

    /// Nobody can install `tinydep` any more.
    pub(super) fn remove_wheel(&self) {
        fs::remove_file(Path::new(&self.wheels).join("tinydep-1.0-py3-none-any.whl")).unwrap();
    }
}

/// Another image with the same files.
struct Copy(String);

impl Copy {
    fn of(image: &str) -> Self {
        let name = format!("clearml-agent-test-copy-{}:1", std::process::id());
        let made = docker(&["create", image, "true"]);
        docker(&["commit", "--change", "ENV COPIED=1", made.trim(), &name]);
        docker(&["rm", made.trim()]);
        Self(name)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rmi", "--force", &self.0])
            .output();
    }
}

/// E-239, E-243, E-245: the second task calls no pip, and one of another image is not served by what does not fit.
#[test]
fn the_next_container_of_an_image_finds_the_environment() {
    let machine = Machine::new();
    let _daemon = machine.daemon();
    let image = images::python();
    let first = machine.run(&image, "");
    assert!(first.contains(ADDED) && !first.contains(HIT), "{first}");
    let copy = Copy::of(&image);
    let other = machine.run(&copy.0, "");
    assert!(other.contains(ADDED) && !other.contains(HIT), "{other}");
    machine.remove_wheel();
    let second = machine.run(&image, "");
    assert!(second.contains(HIT), "{second}");
    for word in ["Successfully installed", "Processing ", "Looking in links"] {
        assert!(!second.contains(word), "{word}: {second}");
    }
    assert!(second.contains("- tinydep==1.0\n"), "{second}");
    // The one after it takes the packages where the last has left them.
    let rooms = || -> Vec<PathBuf> {
        let rooms = fs::read_dir(machine.store().join("all/0/rooms")).unwrap();
        rooms.map(|room| room.unwrap().path()).collect()
    };
    let before = rooms();
    let third = machine.run(&image, "");
    assert!(third.contains(HIT), "{third}");
    assert_eq!(rooms(), before);
    // No other user of this machine gets there.
    let store = machine.store();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&store), 0o700);
    assert_eq!(mode(&store.join("all")), 0o1777);
    assert_eq!(mode(&store.join("all/0")), 0o700);
}

/// E-247: what containers keep is named on the machine, and nothing follows the links that they may put there.
#[test]
fn what_containers_keep_is_named_and_not_entered() {
    let machine = Machine::new();
    let context = &machine.context;
    let stranger = machine.store().join("all/x");
    fs::create_dir_all(&stranger).unwrap();
    let victim = context.folder().join("victim");
    fs::create_dir_all(victim.join("folder")).unwrap();
    for name in ["entries", "temporary", "rooms"] {
        std::os::unix::fs::symlink(&victim, stranger.join(name)).unwrap();
    }
    for words in [&["cache", "list"][..], &["cache", "prune", "--all"]] {
        let finished = context.run(words);
        assert_eq!(finished.code, 0, "{words:?}: {}", finished.stderr);
        let hint = format!("hint: `rm -rf {}`", machine.store().display());
        assert!(finished.stdout.contains(&hint), "{}", finished.stdout);
    }
    let left: Vec<_> = fs::read_dir(&victim).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].file_name() == "folder");
}

/// E-250: a folder that cannot be used costs time and nothing else; so does one that is switched off, or that the engine does
/// not see.
#[test]
fn without_the_folder_each_container_makes_its_environment() {
    let machine = Machine::new();
    let image = images::python();
    let context = &machine.context;
    let all = machine.store().join("all");
    {
        let _daemon = machine.daemon();
        // Somebody has been there before.
        fs::create_dir_all(all.join("0")).unwrap();
        std::os::unix::fs::chown(all.join("0"), Some(54321), None).unwrap();
        let task = machine.enqueue(&image, "");
        context.wait_for_status(&task, "completed");
        let console = context.console(&task);
        assert!(console.contains("is another user's"), "{console}");
        assert!(
            console.contains("\nanswer 42\n") && !console.contains(ADDED),
            "{console}"
        );
        assert!(fs::read_dir(all.join("0")).unwrap().next().is_none());
        fs::remove_dir(all.join("0")).unwrap();
    }
    {
        let _daemon = machine.daemon();
        let (user, home) = ("--user 54321", "-e HOME=/tmp");
        for is_second in [false, true] {
            let console = machine.run(&image, &format!("{user} {home}"));
            assert_eq!(console.contains(HIT), is_second, "{console}");
        }
        assert!(all.join("54321/entries").is_dir());
    }
    let variables = [("DOCKER_HOST", format!("tcp://{}", distant_engine()))];
    let variables = variables
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    fs::remove_dir_all(machine.store()).unwrap();
    {
        let _daemon = daemon(context, "unused:1", &variables);
        let console = machine.run(&image, "");
        assert!(
            !console.contains(ADDED) && !console.contains(HIT),
            "{console}"
        );
    }
    context.configure("agent.store.containers: false");
    let _daemon = machine.daemon();
    let console = machine.run(&image, "");
    assert!(
        !console.contains(ADDED) && !console.contains(HIT),
        "{console}"
    );
    assert!(!machine.store().exists());
}

/// E-250: what the engine does not mount costs the environment that is kept, and not the task. It says so when the container is
/// made where the task has a mount of its own at this place, and when it is started where it finds a file for the folder.
#[test]
fn an_engine_that_does_not_mount_the_folder_runs_the_task_without() {
    let machine = Machine::new();
    let context = &machine.context;
    let image = images::python();
    let refused = |task: &str, folder: &Path, words: &str| {
        let console = machine.completed(task);
        let notices = console.lines().filter(|line| line.starts_with("NOTICE: "));
        let notices: Vec<&str> = notices.collect();
        let start = format!(
            "NOTICE: the container engine does not mount the store of environments `{}`, and the container makes its \
             environment itself: ",
            folder.display()
        );
        assert_eq!(notices.len(), 1, "{console}");
        assert!(notices[0].starts_with(&start), "{console}");
        assert!(notices[0].contains(words), "{console}");
        assert!(!console.contains(ADDED), "{console}");
        assert_eq!(console.matches("Executing: ").count(), 1, "{console}");
        context.wait_for_no_runs();
        assert_eq!(containers(task), Vec::<String>::new());
    };
    {
        let _daemon = machine.daemon();
        let own = context.folder().join("own");
        let arguments = format!(
            "--name own-{} -v {}:/.clearml-store",
            std::process::id(),
            own.display()
        );
        let task = machine.enqueue(&image, &arguments);
        refused(
            &task,
            &machine.store().join("all"),
            "Duplicate mount point: /.clearml-store",
        );
        assert!(fs::read_dir(own).unwrap().next().is_none());
    }
    // The agent sees a folder where the engine sees a file.
    let away = tempfile::tempdir().unwrap();
    let away = away.path();
    fs::write(away.join("store"), "").unwrap();
    context.configure(&format!("agent.store.path: \"{}/store\"", away.display()));
    let mut command = context.beside_agent("unshare");
    let words = [
        "--mount",
        "sh",
        "-ec",
        "mount -t tmpfs none \"$0\"; exec \"$@\"",
    ];
    command
        .args(words)
        .arg(away)
        .arg(env!("CARGO_BIN_EXE_clearml-agent"));
    command.args(["daemon", "--queue", "default", "--foreground", "--cpu-only"]);
    command.args(["--docker", "unused:1"]);
    let _daemon = context.start_command(command);
    let task = machine.enqueue(&image, &format!("--name away-{}", std::process::id()));
    refused(&task, &away.join("store/containers/all"), "not a directory");
}

/// E-243, E-249: several at once, of which one alone has something to install.
#[test]
fn containers_use_the_folder_at_the_same_time() {
    const AT_ONCE: usize = 3;
    let machine = Machine::new();
    let image = images::python();
    let tasks: Vec<String> = (0..AT_ONCE).map(|_| machine.enqueue(&image, "")).collect();
    let daemons: Vec<Agent> = tasks.iter().map(|_| machine.daemon()).collect();
    for task in &tasks {
        machine.completed(task);
    }
    machine.remove_wheel();
    let tasks: Vec<String> = (0..AT_ONCE).map(|_| machine.enqueue(&image, "")).collect();
    for task in &tasks {
        let console = machine.completed(task);
        assert!(console.contains(HIT), "{console}");
    }
    drop(daemons);
    let entries = fs::read_dir(machine.store().join("all/0/entries")).unwrap();
    assert_eq!(entries.count(), 2, "one environment and what it began with");
    let left = fs::read_dir(machine.store().join("all/0/temporary")).unwrap();
    assert_eq!(left.count(), 0);
}
