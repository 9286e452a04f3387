//! `clearml-agent service`: units that are written, replaced, listed and removed, below a folder of the test.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::{Finished, TestContext};

/// A system of the test's own.
struct System {
    context: TestContext,
    root: PathBuf,
}

impl System {
    fn new() -> Self {
        let context = TestContext::new();
        let root = context.folder().join("root");
        // Neither a server nor a configuration is needed.
        context.server.stop_listening().unwrap();
        fs::remove_file(context.home().join("clearml.conf")).unwrap();
        Self { context, root }
    }

    /// `service WORD --root ROOT OPTIONS`.
    #[track_caller]
    fn run(&self, verb: &str, options: &[&str]) -> Finished {
        let mut words = vec!["service", verb, "--root", self.root.to_str().unwrap()];
        words.extend(options);
        self.context.run(&words)
    }

    /// The same, and it works; what it prints.
    #[track_caller]
    fn must(&self, verb: &str, options: &[&str]) -> String {
        let finished = self.run(verb, options);
        assert_eq!(
            (finished.code, finished.stderr.as_str()),
            (0, ""),
            "{}",
            finished.stdout
        );
        finished.stdout
    }

    /// The same, and it fails with this line.
    #[track_caller]
    fn must_fail(&self, verb: &str, options: &[&str], error: &str) {
        let finished = self.run(verb, options);
        let line = format!("\nclearml_agent: ERROR: {error}");
        assert_eq!(finished.code, 1, "{}", finished.stdout);
        assert!(finished.stdout.starts_with(&line), "{}", finished.stdout);
        assert!(finished.stdout.contains("\nhint: "), "{}", finished.stdout);
        assert!(!finished.stdout.contains("hunter2"), "{}", finished.stdout);
    }

    fn system(&self, file: &str) -> PathBuf {
        self.root.join("etc/systemd/system").join(file)
    }

    fn user(&self, file: &str) -> PathBuf {
        let home = self.context.home();
        let folder = self.root.join(home.strip_prefix("/").unwrap());
        folder.join(".config/systemd/user").join(file)
    }

    /// What systemd has to say of the unit.
    #[track_caller]
    fn verify(&self, unit: &Path, scope: &str) {
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no", scope])
            .arg(unit)
            .env("XDG_RUNTIME_DIR", self.context.folder())
            .env("HOME", self.context.home())
            .output()
            .expect("`systemd-analyze` checks the units: apt-get install systemd");
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(verified.status.success() && said.is_empty(), "{said}");
    }
}

/// An example, with this program in the place of the installed one.
fn example(file: &str, installed: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd");
    let text = fs::read_to_string(folder.join(file)).unwrap();
    assert!(text.contains(installed), "{text}");
    text.replace(installed, env!("CARGO_BIN_EXE_clearml-agent"))
}

#[test]
fn the_three_examples_are_what_is_written() {
    let system = System::new();
    let installed = "/usr/local/bin/clearml-agent";
    let queue = ["--", "--queue", "default"];
    let as_user = ["--system", "--run-as", "clearml"];
    let printed = system.must("install", &[&as_user[..], &queue].concat());
    let root = system.root.display();
    let path = system.system("clearml-agent.service");
    assert_eq!(
        printed,
        format!(
            "Written: {}\nEnable it: systemctl --root={root} enable clearml-agent\n",
            path.display()
        )
    );
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        example("clearml-agent.service", installed)
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o644
    );
    let printed = system.must(
        "install",
        &[&["--gpus", "0", "1"], &as_user[..], &queue].concat(),
    );
    let enable =
        format!("systemctl --root={root} enable clearml-agent-gpu@0 clearml-agent-gpu@1\n");
    assert!(printed.ends_with(&enable), "{printed}");
    let template = system.system("clearml-agent-gpu@.service");
    assert_eq!(
        fs::read_to_string(&template).unwrap(),
        example("clearml-agent-gpu@.service", installed)
    );
    system.must("install", &[&["--user"], &queue[..]].concat());
    let own = system.user("clearml-agent.service");
    assert_eq!(
        fs::read_to_string(&own).unwrap(),
        example("clearml-agent-user.service", "%h/.local/bin/clearml-agent")
    );
    for (unit, scope) in [
        (&path, "--system"),
        (&template, "--system"),
        (&own, "--user"),
    ] {
        system.verify(unit, scope);
    }
    let listed = system.must("status", &[]);
    for unit in [&path, &template, &own] {
        assert!(listed.contains(unit.to_str().unwrap()), "{listed}");
    }
}

/// Units of others stay, and what was enabled is not left pointing nowhere.
#[test]
fn only_units_of_ours_are_removed() {
    let system = System::new();
    let as_user = ["--system", "--run-as", "clearml"];
    system.must("install", &as_user);
    system.must("install", &[&["--gpus"], &as_user[..]].concat());
    system.must("install", &["--user"]);
    let path = system.system("clearml-agent.service");
    let template = system.system("clearml-agent-gpu@.service");
    let own = system.user("clearml-agent.service");
    // Enabled by somebody, beside units of others.
    let wants = system.system("multi-user.target.wants");
    fs::create_dir(&wants).unwrap();
    for (link, unit) in [
        ("clearml-agent.service", &path),
        ("clearml-agent-gpu@0.service", &template),
        ("other.service", &path),
    ] {
        symlink(unit, wants.join(link)).unwrap();
    }
    fs::write(system.system("other.service"), "[Service]\n").unwrap();
    let printed = system.must("uninstall", &["--system"]);
    assert_eq!(
        printed,
        format!(
            "Removed: {}\nRemoved: {}\n",
            template.display(),
            path.display()
        )
    );
    let left = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(left(&wants), ["other.service"]);
    assert_eq!(
        left(&system.system("")),
        ["multi-user.target.wants", "other.service"]
    );
    assert!(own.exists());
    system.must("uninstall", &["--user", "--name", "clearml-agent"]);
    assert!(!own.exists());
    assert!(
        system
            .must("uninstall", &["--user"])
            .starts_with("Nothing to remove")
    );
    assert!(system.must("status", &[]).starts_with("No unit"));
    let other = system.system("other.service");
    system.must_fail(
        "uninstall",
        &["--system", "--name", "other"],
        &format!(
            "`{}` was not written by `clearml-agent service install`",
            other.display()
        ),
    );
    system.must_fail(
        "uninstall",
        &["--system", "--name", "none"],
        "there is no unit",
    );
}

#[test]
fn a_unit_that_differs_is_left_alone_unless_forced() {
    let system = System::new();
    let queue = |name: &'static str| ["--system", "--run-as", "clearml", "--", "--queue", name];
    system.must("install", &queue("a"));
    let path = system.system("clearml-agent.service");
    let before = fs::read_to_string(&path).unwrap();
    let printed = system.must("install", &queue("a"));
    assert!(printed.starts_with("Unchanged: "), "{printed}");
    let number = before
        .lines()
        .position(|line| line.starts_with("ExecStart="))
        .unwrap();
    system.must_fail(
        "install",
        &queue("b"),
        &format!(
            "`{}` is there and differs: line {} has `ExecStart=...` instead of `ExecStart={} daemon --queue b --foreground`\n",
            path.display(),
            number + 1,
            env!("CARGO_BIN_EXE_clearml-agent")
        ),
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    system.must("install", &[&["--force"], &queue("b")[..]].concat());
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        before.replace("--queue a", "--queue b")
    );
    system.must(
        "install",
        &[&["--name", "second"], &queue("c")[..]].concat(),
    );
    assert!(system.system("second.service").exists());
    // What somebody else wrote may hold a secret.
    fs::write(&path, "Environment=A=hunter2\n").unwrap();
    system.must_fail(
        "install",
        &queue("b"),
        &format!(
            "`{}` is there and differs: line 1 has `Environment=...`",
            path.display()
        ),
    );
}

/// The words reach the daemon: systemd takes them apart as they were.
#[test]
fn words_and_paths_with_blanks_are_quoted() {
    let system = System::new();
    let configuration = system.context.folder().join("my own 100%.conf");
    let configuration = configuration.to_str().unwrap();
    let finished = system.context.run(&[
        "--config-file",
        configuration,
        "service",
        "install",
        "--user",
        "--root",
        system.root.to_str().unwrap(),
        "--",
        "--queue",
        "my queue",
        "100%",
        "--uptime",
        "9-17 MON",
        "--foreground",
    ]);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let path = system.user("clearml-agent.service");
    let text = fs::read_to_string(&path).unwrap();
    let command = format!(
        "ExecStart={} --config-file \"{}\" daemon --queue \"my queue\" 100%% --uptime \"9-17 MON\" --foreground\n",
        env!("CARGO_BIN_EXE_clearml-agent"),
        configuration.replace('%', "%%"),
    );
    assert!(text.contains(&command), "{text}");
    system.verify(&path, "--user");
}

/// A link to the newest version stays one, and what is below the home of the user is found there.
#[test]
fn the_program_is_named_as_it_was_called() {
    let system = System::new();
    let bin = system.context.home().join(".local/bin");
    fs::create_dir_all(&bin).unwrap();
    symlink(
        env!("CARGO_BIN_EXE_clearml-agent"),
        bin.join("clearml-agent"),
    )
    .unwrap();
    let search = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut call = system.context.beside_agent("clearml-agent");
    call.args(["service", "install", "--user", "--root"])
        .arg(&system.root)
        .args(["--", "--queue", "default"])
        .env("PATH", search);
    let finished = system.context.finish(call);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    // systemctl knows no way to enable it from outside.
    let enable = "Enable it, once that system runs, as its user: systemctl --user enable --now clearml-agent\n";
    assert!(finished.stdout.ends_with(enable), "{}", finished.stdout);
    let text = fs::read_to_string(system.user("clearml-agent.service")).unwrap();
    let shown = example("clearml-agent-user.service", "%h/.local/bin/clearml-agent");
    let shown = shown.replace(
        env!("CARGO_BIN_EXE_clearml-agent"),
        "%h/.local/bin/clearml-agent",
    );
    assert_eq!(text, shown);
}

#[test]
fn what_cannot_be_a_unit_is_refused() {
    let system = System::new();
    let refused: [(&[&str], &str); 11] = [
        (
            &["--", "--git-user", "me", "--git-pass", "hunter2"],
            "`--git-pass` would stand in the unit, which everybody can read",
        ),
        (
            &["--", "--git-pass=hunter2"],
            "`--git-pass` would stand in the unit, which everybody can read",
        ),
        (&["--", "--detached"], "`--detached` is not for a unit"),
        (&["--", "--stop", "host:0"], "`--stop` is not for a unit"),
        (
            &["--", "--qeue", "default"],
            "what stands behind `--` is no call of `daemon`: unrecognized arguments: --qeue default",
        ),
        (
            &["--gpus", "0", "--", "--gpus", "0,1"],
            "`--gpus` is given before and behind `--`",
        ),
        (
            &["--gpus", "0,1"],
            "`0,1` is no GPU that a unit can have to itself",
        ),
        (&["--name", "../a"], "`../a` is no name for a unit"),
        (
            &["--run-as", "clearml"],
            "a unit of your own runs as you: `--run-as` is for units of the system",
        ),
        (
            &["--run-as", "a\nExecStartPre=/bin/sh"],
            "a unit of your own runs as you",
        ),
        (&["--name", ""], "`` is no name for a unit"),
    ];
    for (options, error) in refused {
        system.must_fail("install", &[&["--user"], options].concat(), error);
    }
    system.must_fail(
        "install",
        &["--system"],
        "a unit of the system needs the user that its tasks run as",
    );
    system.must_fail(
        "install",
        &["--system", "--run-as", "a\nExecStartPre=/bin/sh"],
        "there is no user `a\nExecStartPre=/bin/sh`",
    );
    let words = [
        "service",
        "install",
        "--system",
        "--run-as",
        "nobody-at-all",
    ];
    let finished = system.context.run(&words);
    assert_eq!(finished.code, 1);
    assert!(
        finished
            .stdout
            .contains("there is no user `nobody-at-all` on this machine"),
        "{}",
        finished.stdout
    );
    assert!(!system.root.exists());
    let help = system.context.run(&["service", "install", "--help"]);
    assert!(help.stdout.contains("--run-as"), "{}", help.stdout);
}
