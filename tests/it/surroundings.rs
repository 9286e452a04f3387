//! Bad surroundings: a user without rights, a home that is missing or cannot be written, a temporary folder that is
//! full or runs nothing. It works, or says why in one line, and no task is taken for nothing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Uid, User};

use super::support::{Finished, Script, TestContext, environment_cache};

/// The user that nothing belongs to.
const NOBODY: u32 = 65_534;
/// One that the machine does not know, as in containers.
const STRANGER: u32 = 54_321;

const STATE: &str =
    "hint: set `XDG_STATE_HOME`, or `HOME` without it, to a folder that can be written";

/// A user who is not root, with a home and a copy of the program that everybody can read.
struct Other {
    context: TestContext,
    program: PathBuf,
    id: u32,
}

impl Other {
    fn new(id: u32) -> Self {
        let context = TestContext::new();
        let program = context.folder().join("clearml-agent");
        fs::copy(env!("CARGO_BIN_EXE_clearml-agent"), &program).unwrap();
        fs::set_permissions(context.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        for path in [
            context.home(),
            context.home().join("clearml.conf"),
            context.temporary(),
        ] {
            chown(path, Some(id), Some(id))
                .expect("files become another user's: run the tests as root");
        }
        Self {
            context,
            program,
            id,
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.context.beside_agent("setpriv");
        let id = self.id.to_string();
        command
            .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
            .arg(&self.program)
            .args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Finished {
        self.context.finish(self.command(words))
    }
}

/// The agent behind these commands of a shell in a mount namespace; `$1` is the temporary folder, `$2` the home.
fn behind(context: &TestContext, commands: &str, words: &[&str]) -> Finished {
    let mut command = context.beside_agent("unshare");
    command
        .args(["--mount", "bash", "-ec"])
        .arg(format!("{commands}\nshift 2; exec \"$@\""))
        .arg("bash")
        .args([context.temporary(), context.home()])
        .arg(env!("CARGO_BIN_EXE_clearml-agent"))
        .args(words);
    context.finish(command)
}

/// It ended with this reason about this folder, and nothing else was said.
#[track_caller]
fn assert_refused(finished: &Finished, folder: &Path, reason: &str, hint: &str) {
    let line = format!(
        "\nclearml_agent: ERROR: could not write to the folder `{}`: {reason}\n{hint}\n\n",
        folder.display()
    );
    assert_eq!(
        (
            finished.code,
            finished.stdout.as_str(),
            finished.stderr.as_str()
        ),
        (1, line.as_str(), "")
    );
}

/// What starts a worker or a task.
fn calls(task: &str) -> [Vec<&str>; 3] {
    [
        vec!["execute", "--id", task],
        vec!["daemon", "--foreground"],
        vec!["daemon", "--detached"],
    ]
}

#[test]
fn a_user_without_rights_runs_tasks() {
    for id in [NOBODY, STRANGER] {
        let other = Other::new(id);
        let context = &other.context;
        let task = context.enqueue(Script::python("import os; print('user', os.getuid())", ""));
        let mut daemon =
            context.start_command(other.command(&["daemon", "--queue", "default", "--foreground"]));
        context.wait_for_status(&task, "completed");
        context.wait_for_console(&task, &format!("\nuser {id}\n"));
        context.wait_for_no_runs();
        assert_eq!(daemon.terminate(), 254);
        assert_eq!(context.leftovers(), Vec::<String>::new());
    }
}

/// Nothing is done to a task that nobody can run here; `execute` says why.
#[test]
fn a_user_who_may_not_use_the_engine_is_told_so() {
    let other = Other::new(NOBODY);
    let context = &other.context;
    let image = super::support::images::python();
    let no_permission =
        "no permission to use the container engine at `unix:///var/run/docker.sock`";
    let hint = "hint: add this user to the group `docker`, or run the agent as a user who may\n";
    let task = context.enqueue(Script::shell("echo never"));
    let words = [
        "daemon",
        "--queue",
        "default",
        "--foreground",
        "--docker",
        &image,
    ];
    let mut daemon = context.start_command(other.command(&words));
    daemon.wait_for_output(&format!(
        "clearml_agent: Warning: {no_permission}; no task is taken until this is mended\n{hint}"
    ));
    assert_eq!(daemon.terminate(), 254);
    assert_eq!(context.status(&task), "queued");
    let finished = other.run(&["execute", "--id", &task, "--docker", &image]);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    context.wait_for_status(&task, "failed");
    let console = context.console(&task);
    let line = format!("\nclearml_agent: ERROR: {no_permission}\n{hint}");
    assert_eq!(console.matches(&line).count(), 1, "{console}");
    assert_eq!(
        context.reason(&task),
        format!("worker execution exit code 125: {no_permission}")
    );
}

#[test]
fn a_home_that_cannot_be_written_is_named() {
    let other = Other::new(NOBODY);
    let context = &other.context;
    let task = context.enqueue(Script::shell("echo ran"));
    fs::set_permissions(context.home(), fs::Permissions::from_mode(0o555)).unwrap();
    let runs = context.home().join(".local/state/clearml-agent/runs");
    for words in calls(&task) {
        let finished = other.run(&words);
        assert_refused(&finished, &runs, "Permission denied (os error 13)", STATE);
    }
    assert_eq!(context.status(&task), "queued");

    // With other folders for what it keeps, it works.
    let own = context.temporary();
    let own = own.display();
    context.configure(&format!(
        "agent.venvs_dir: \"{own}/venvs\"\nsdk.storage.cache.default_base_dir: \"{own}/cache\""
    ));
    let mut command = other.command(&["execute", "--id", &task]);
    command.env("XDG_STATE_HOME", format!("{own}/state"));
    let finished = context.finish(command);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    assert_eq!(context.status(&task), "completed");
    let left: Vec<_> = fs::read_dir(context.home()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// The agent has worked there before, so that all folders are there.
#[test]
fn a_home_that_became_read_only_is_named() {
    let context = TestContext::new();
    let first = context.create(Script::shell("echo ran"));
    assert_eq!(context.run(&["execute", "--id", &first]).code, 0);
    let task = context.enqueue(Script::shell("echo ran"));
    let commands = "mount --bind \"$2\" \"$2\"; mount -o remount,bind,ro \"$2\"";
    let state = context.home().join(".local/state/clearml-agent");
    for words in calls(&task) {
        let finished = behind(&context, commands, &words);
        let reason = "Read-only file system (os error 30)";
        assert_refused(&finished, &state, reason, STATE);
    }
    assert_eq!(context.status(&task), "queued");
}

#[test]
fn a_temporary_folder_without_room_is_named() {
    let context = TestContext::new();
    let task = context.enqueue(Script::shell("echo ran"));
    let commands =
        "mount -t tmpfs -o size=64k none \"$1\"; cat /dev/zero > \"$1/filler\" 2>&- || true";
    for words in calls(&task) {
        let finished = behind(&context, commands, &words);
        let reason = "No space left on device (os error 28)";
        assert_refused(
            &finished,
            &context.temporary(),
            reason,
            "hint: free space there",
        );
    }
    assert_eq!(context.status(&task), "queued");
}

/// What the agent knows of its runs is in the folder that is full: another one would not have it.
#[test]
fn a_state_folder_without_room_is_named() {
    let context = TestContext::new();
    let task = context.enqueue(Script::shell("echo ran"));
    let state = context.home().join(".local/state/clearml-agent");
    fs::create_dir_all(&state).unwrap();
    let commands = "state=$2/.local/state/clearml-agent; mount -t tmpfs -o size=64k none \"$state\"
        mkdir \"$state/runs\"; cat /dev/zero > \"$state/filler\" 2>&- || true";
    for words in calls(&task) {
        let finished = behind(&context, commands, &words);
        let reason = "No space left on device (os error 28)";
        assert_refused(&finished, &state, reason, "hint: free space there");
    }
    assert_eq!(context.status(&task), "queued");
}

/// The program learns of it as of any full disk; what was printed before is on the server.
#[test]
fn a_temporary_folder_that_becomes_full_fails_the_program() {
    let context = TestContext::new();
    let text = "echo before; head -c 1M /dev/zero > \"$TMPDIR/filler\" || true\n\
        for i in {1..2000}; do echo a line of some length that needs room || exit 7; done";
    let task = context.enqueue(Script::shell(text));
    let commands = "mount -t tmpfs -o size=512k none \"$1\"";
    let finished = behind(&context, commands, &["execute", "--id", &task]);
    assert_eq!(finished.code, 7, "{}", finished.stdout);
    context.wait_for_status(&task, "failed");
    let console = context.console(&task);
    assert!(console.contains("before\n"), "{console}");
    assert!(console.contains("exit code 7"), "{console}");
}

#[test]
fn a_temporary_folder_that_runs_nothing_does_not_matter() {
    let context = TestContext::new();
    context.configure(&format!(
        "agent.store.path: \"{}\"",
        environment_cache().display()
    ));
    let commands = "mount -t tmpfs -o noexec none \"$1\"";
    for script in [
        Script::shell("echo ran"),
        Script::python("print('ran')", ""),
    ] {
        let task = context.enqueue(script);
        let finished = behind(&context, commands, &["execute", "--id", &task]);
        assert_eq!(finished.code, 0, "{}", finished.stdout);
        context.wait_for_console(&task, "ran\nProcess completed successfully");
    }
}

/// F-116
#[test]
fn home_may_be_missing_or_unknown() {
    let other = Other::new(NOBODY);
    let context = &other.context;
    let task = context.enqueue(Script::shell("echo ran"));
    let configuration = context.home().join("clearml.conf");
    let run = |home: Option<&Path>| {
        let mut command = other.command(&["execute", "--id", &task]);
        command.env("CLEARML_CONFIG_FILE", &configuration);
        match home {
            Some(home) => command.env("HOME", home),
            None => command.env_remove("HOME"),
        };
        context.finish(command)
    };
    // What the machine knows of nobody, a folder that nobody may make.
    let known = User::from_uid(Uid::from_raw(NOBODY)).unwrap().unwrap().dir;
    let denied = "Permission denied (os error 13)";
    let runs = |home: &Path| home.join(".local/state/clearml-agent/runs");
    for home in [None, Some(Path::new("")), Some(known.as_path())] {
        let finished = run(home);
        assert!(
            finished.stdout.contains(&format!(
                "could not write to the folder `{}`: {denied}\n{STATE}\n",
                runs(&known).display()
            )),
            "{home:?}: {}",
            finished.stdout
        );
    }
    // One that can be made is made.
    let fresh = context.home().join("not/yet/there");
    let finished = run(Some(&fresh));
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    assert_eq!(context.status(&task), "completed");
    assert!(fresh.join(".local/state").is_dir());
}

/// F-116: a container may run as a number that is in no list of users.
#[test]
fn an_unknown_user_without_home_is_told_what_is_missing() {
    let other = Other::new(STRANGER);
    let task = other.context.enqueue(Script::shell("echo ran"));
    let configuration = other.context.home().join("clearml.conf");
    let mut command = other.command(&["execute", "--id", &task]);
    command
        .env("CLEARML_CONFIG_FILE", &configuration)
        .env_remove("HOME");
    let finished = other.context.finish(command);
    let line = "\nclearml_agent: ERROR: could not use the agent's folders: the user has no home folder\n\
        hint: set `HOME` to a folder that can be written\n";
    assert_eq!(finished.code, 1);
    assert!(finished.stdout.contains(line), "{}", finished.stdout);
    assert_eq!(other.context.status(&task), "queued");
}
