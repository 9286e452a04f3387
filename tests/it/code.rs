//! Tasks with a repository, and tasks with packages, through the whole agent.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::support::{Script, TestContext};

/// The agent's own interpreter and no packages: what is tested is the code.
pub(crate) const NO_ENVIRONMENT: &[(&str, &str)] =
    &[("CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL", "1")];

/// A repository that the tests write.
pub(crate) struct Repository {
    repository: git2::Repository,
    path: PathBuf,
}

impl Repository {
    /// An empty one; its first branch is `master`.
    pub(crate) fn new(context: &TestContext, name: &str) -> Self {
        let path = context.folder().join("repositories").join(name);
        let mut options = git2::RepositoryInitOptions::new();
        options.initial_head("master").mkpath(true);
        let repository = git2::Repository::init_opts(&path, &options).unwrap();
        Self { repository, path }
    }

    /// Address for a task.
    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.path.display())
    }

    /// Commits exactly these files to the present branch.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> String {
        let mut index = self.repository.index().unwrap();
        for (name, text) in files {
            let path = self.path.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            index.add_path(Path::new(name)).unwrap();
        }
        let tree = self
            .repository
            .find_tree(index.write_tree().unwrap())
            .unwrap();
        index.write().unwrap();
        let author = git2::Signature::now("Author", "author@example.com").unwrap();
        let parent = self
            .repository
            .head()
            .ok()
            .map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        self.repository
            .commit(Some("HEAD"), &author, &author, "message", &tree, &parents)
            .unwrap()
            .to_string()
    }

    /// Makes a branch of the present commit and goes to it.
    pub(crate) fn branch(&self, name: &str) {
        let head = self.repository.head().unwrap().peel_to_commit().unwrap();
        self.repository.branch(name, &head, false).unwrap();
        self.repository
            .set_head(&format!("refs/heads/{name}"))
            .unwrap();
    }
}

/// A folder of wheels that stands for the package index.
pub(crate) struct Packages {
    folder: String,
}

impl Packages {
    /// The folder.
    pub(crate) fn folder(&self) -> &str {
        &self.folder
    }

    /// What makes pip look nowhere else.
    pub(crate) fn variables(&self) -> [(&str, &str); 2] {
        [("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", &self.folder)]
    }
}

/// The wheels that the interpreter brings itself, and `tinydep` 1.0; pip may stay as it is.
pub(crate) fn offline_packages(context: &TestContext) -> Packages {
    let folder = context.folder().join("wheels");
    std::fs::create_dir_all(&folder).unwrap();
    let program = r#"
import ensurepip, glob, os, shutil, sys, zipfile
folder = sys.argv[1]
for place in (os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"), "/usr/share/python-wheels"):
    for wheel in glob.glob(os.path.join(place, "*.whl")):
        shutil.copy(wheel, folder)
info = "tinydep-1.0.dist-info/"
with zipfile.ZipFile(os.path.join(folder, "tinydep-1.0-py3-none-any.whl"), "w") as wheel:
    wheel.writestr("tinydep.py", "answer = 42\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: tinydep\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", "tinydep.py,,\n" + "".join(info + name + ",,\n" for name in ("METADATA", "WHEEL", "RECORD")))
"#;
    let status = Command::new("python3")
        .args(["-c", program])
        .arg(&folder)
        .status();
    assert!(status.unwrap().success());
    context.configure("agent.package_manager.pip_version: \">=20\"");
    Packages {
        folder: folder.to_str().unwrap().to_owned(),
    }
}

/// Runs the task under a daemon to its end; what the server has as its console then.
#[track_caller]
fn run(context: &TestContext, script: Script, variables: &[(&str, &str)]) -> (String, String) {
    let task = context.enqueue(script);
    let console = run_enqueued(context, &task, variables);
    (task, console)
}

#[track_caller]
fn run_enqueued(context: &TestContext, task: &str, variables: &[(&str, &str)]) -> String {
    let words = ["daemon", "--queue", "default", "--foreground"];
    let mut daemon = context.start_with(&words, variables);
    daemon.wait_for_output("DONE: Running task");
    context.wait_for_status(task, "completed");
    assert_eq!(daemon.terminate(), 254);
    assert_eq!(context.leftovers(), Vec::<String>::new());
    context.console(task)
}

/// What the program has printed.
#[track_caller]
fn printed(console: &str) -> &str {
    let start = "Starting Task Execution:\n\n";
    let at = console
        .find(start)
        .unwrap_or_else(|| panic!("never started:\n{console}"));
    let text = &console[at + start.len()..];
    text.strip_suffix("Process completed successfully")
        .expect(text)
}

/// E-033, E-034, E-035, E-071, E-083
#[test]
fn a_commit_is_checked_out() {
    let context = TestContext::new();
    let repository = Repository::new(&context, "demo");
    let first = repository.commit(&[("main.sh", "cat version; pwd"), ("version", "one\n")]);
    repository.commit(&[("version", "two\n")]);
    let script = Script::shell("")
        .with("repository", repository.url())
        .with("branch", "master")
        .with("version_num", first.as_str());
    let (task, console) = run(&context, script, NO_ENVIRONMENT);
    let root = context
        .home()
        .join(".clearml/venvs-builds/task_repository/demo");
    assert_eq!(printed(&console), format!("one\n{}\n", root.display()));
    let info = format!(
        "type: git\nurl: {}\nbranch: HEAD\ncommit: {first}\nroot: {}\n",
        repository.url(),
        root.display()
    );
    assert!(console.contains(&info), "{console}");
    assert!(
        console.contains(&format!("\ncloning: {}\n", repository.url()))
            && console.contains("\npulling git\n")
            && console.contains("\npulling git completed\n"),
        "{console}"
    );
    assert_eq!(
        context.field(&task, "script")["version_num"],
        first.as_str()
    );
    assert_eq!(
        context.count("tasks.edit"),
        1,
        "the host is recorded, the commit is not"
    );
}

/// E-033, E-083: the commit is written back, and nothing else of the script.
#[test]
fn a_branch_or_none_is_resolved_to_its_commit() {
    let context = TestContext::new();
    let repository = Repository::new(&context, "demo");
    let master = repository.commit(&[("main.sh", "cat version"), ("version", "one\n")]);
    repository.branch("feature");
    let feature = repository.commit(&[("version", "two\n")]);
    for (branch, commit, expected) in [("feature", feature, "two\n"), ("", master, "one\n")] {
        let script = Script::shell("")
            .with("repository", repository.url())
            .with("branch", branch);
        let (task, console) = run(&context, script, NO_ENVIRONMENT);
        assert_eq!(printed(&console), expected);
        let script = context.field(&task, "script");
        assert_eq!(script["version_num"], commit.as_str());
        assert_eq!(script["branch"], branch);
        assert_eq!(script["entry_point"], "main.sh");
    }
}

/// E-060, E-075: on a second run the changes are there once.
#[test]
fn uncommitted_changes_are_applied() {
    let context = TestContext::new();
    let repository = Repository::new(&context, "demo");
    repository.commit(&[
        ("main.sh", "cat a.txt\ncat b.txt\n"),
        ("a.txt", "committed\n"),
    ]);
    let diff = "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1,2 @@\n committed\n+changed\n\
        diff --git a/b.txt b/b.txt\nnew file mode 100644\n--- /dev/null\n+++ b/b.txt\n@@ -0,0 +1 @@\n+new\n";
    for round in 1..=2 {
        let script = Script::shell(diff).with("repository", repository.url());
        let (_, console) = run(&context, script, NO_ENVIRONMENT);
        assert_eq!(printed(&console), "committed\nchanged\nnew\n");
        assert!(
            console.contains("\nApplying uncommitted changes\n"),
            "{console}"
        );
        let cached = console.contains("\nUsing cached repository in \"");
        assert_eq!(cached, round == 2, "{console}");
    }
}

/// E-011, E-093, E-095, E-098, E-099, E-105
#[test]
fn entry_points_are_found_in_the_working_folder() {
    let context = TestContext::new();
    let repository = Repository::new(&context, "demo");
    let show =
        "import os, sys\nprint(os.path.relpath(os.getcwd(), os.environ['ROOT']), sys.argv[1:])\n";
    let helper = "from package import helper\nprint(helper.NAME)\n";
    repository.commit(&[
        ("main.py", show),
        ("tools/my tool.py", show),
        ("package/__init__.py", ""),
        ("package/helper.py", "NAME = 'helper'\n"),
        ("package/__main__.py", show),
        ("use.py", helper),
    ]);
    let root = context
        .home()
        .join(".clearml/venvs-builds/task_repository/demo");
    let variables = [NO_ENVIRONMENT[0], ("ROOT", root.to_str().unwrap())];
    let tasks = [
        (".", "main.py", ". []\n"),
        ("", "main.py", ". []\n"),
        ("package", "../main.py", "package []\n"),
        (".", "tools/my tool.py", ". []\n"),
        ("tools", "my tool.py", "tools []\n"),
        (
            ".",
            "main.py --url http://a/b 'two words'",
            ". ['--url', 'http://a/b', 'two words']\n",
        ),
        (".", "-m package --flag", ". ['--flag']\n"),
        (".", "use.py", "helper\n"),
    ]
    .map(|(folder, entry_point, expected)| {
        let script = Script::python("", "")
            .with("repository", repository.url())
            .with("working_dir", folder)
            .with("entry_point", entry_point);
        (context.enqueue(script), expected)
    });
    let words = ["daemon", "--queue", "default", "--foreground"];
    let mut daemon = context.start_with(&words, &variables);
    for (task, expected) in tasks {
        context.wait_for_status(&task, "completed");
        let console = context.console(&task);
        assert_eq!(printed(&console), expected, "{console}");
    }
    assert_eq!(daemon.terminate(), 254);
}

/// E-086: a script of the task beside the files of the repository.
#[test]
fn a_literal_script_may_use_a_repository() {
    let context = TestContext::new();
    let repository = Repository::new(&context, "demo");
    repository.commit(&[("data/file.txt", "data\n")]);
    let script = Script::shell("cat file.txt")
        .with("repository", repository.url())
        .with("working_dir", "data");
    let (_, console) = run(&context, script, NO_ENVIRONMENT);
    assert_eq!(printed(&console), "data\n");
}

/// A folder for `PATH` with what a shell script needs, and no git.
pub(crate) fn programs_without_git(context: &TestContext) -> std::path::PathBuf {
    let programs = context.folder().join("bin");
    std::fs::create_dir(&programs).unwrap();
    // A `python3` of a version switcher would look for its own programs.
    let find = "import os, shutil, sys; print(os.path.realpath(sys.executable), shutil.which('bash'), shutil.which('cat'))";
    let found = Command::new("python3").args(["-c", find]).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    for (name, program) in ["python3", "bash", "cat"]
        .into_iter()
        .zip(found.split_whitespace())
    {
        std::os::unix::fs::symlink(program, programs.join(name)).unwrap();
    }
    programs
}

/// E-072 for those who need no network: libgit2 is enough.
#[test]
fn a_local_repository_needs_no_git_program() {
    let context = TestContext::new();
    let repository = Repository::new(&context, "demo");
    repository.commit(&[
        ("main.sh", "command -v git || echo none; cat a.txt"),
        ("a.txt", "one\n"),
    ]);
    let programs = programs_without_git(&context);
    let variables = [NO_ENVIRONMENT[0], ("PATH", programs.to_str().unwrap())];
    let diff = "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1,2 @@\n one\n+two\n";
    for url in [repository.url(), repository.url().replace("file://", "")] {
        let script = Script::shell(diff).with("repository", url);
        let (_, console) = run(&context, script, &variables);
        assert_eq!(printed(&console), "none\none\ntwo\n");
    }
}

/// E-197, E-199, E-243, E-245: packages are installed once, reported each time, and the user's list is kept once.
#[test]
fn requirements_are_installed_reported_and_cached() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let requirements = "tinydep==1.0\n";
    let script = Script::python(
        "import tinydep\nprint('answer', tinydep.answer)\n",
        requirements,
    );
    let (task, console) = run(&context, script, &packages.variables());
    assert_eq!(printed(&console), "answer 42\n");
    assert!(
        !console.contains("::: Using Cached environment"),
        "{console}"
    );
    assert!(console.contains("\nAdding venv into cache: "), "{console}");
    assert!(
        console.contains("\nSummary - installed python packages:\npip:\n"),
        "{console}"
    );
    assert!(console.contains("\n- tinydep==1.0\n"), "{console}");
    let reported = context.field(&task, "script")["requirements"].clone();
    assert_eq!(reported["org_pip"], requirements);
    let list = reported["pip"].as_array().expect("a list");
    assert!(list.contains(&json!("tinydep==1.0")), "{list:?}");

    context.call("tasks.reset", json!({ "task": task }));
    let queue = context.queue();
    context.call("tasks.enqueue", json!({ "task": task, "queue": queue }));
    let console = run_enqueued(&context, &task, &packages.variables());
    assert_eq!(printed(&console), "answer 42\n");
    let cache = context.home().join(".clearml/store/entries");
    let hit = format!("::: Using Cached environment {}/", cache.display());
    assert!(console.contains(&hit), "{console}");
    assert_eq!(context.field(&task, "script")["requirements"], reported);
}
