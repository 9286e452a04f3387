//! The official agent 3.0.3 and this one run the same task: the program sees the same files, packages and variables, and
//! the task has the same fields afterwards.
//!
//! Every difference that is meant is in a list here, with its reason; any other fails the test.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use super::code::{Packages, Repository, offline_packages};
use super::differential::minor_version;
use super::official::official;
use super::support::{IndexServer, Script, TestContext, package_folder, path_with};

/// Prints what a program sees: its variables, the files of its code, its packages.
const PROBE: &str = r#"
import hashlib, json, os, sys
from importlib.metadata import distributions

def files(root):
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in (".git", "__pycache__", ".venv")]
        for name in names:
            # poetry writes the way from the checkout to a package into it, which is not the same in two homes.
            if name == "poetry.lock":
                continue
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                digest = hashlib.sha256(file.read()).hexdigest()
            found[os.path.relpath(path, root)] = [digest, oct(os.stat(path).st_mode & 0o777)]
    return found

root = os.getcwd()
while os.path.basename(os.path.dirname(root)) != "task_repository" and os.path.basename(root) != "code":
    root = os.path.dirname(root)
print("PROBE " + json.dumps({
    "variables": dict(os.environ),
    "files": files(root),
    "packages": sorted({d.metadata["Name"] + "==" + d.version for d in distributions()}),
    "arguments": sys.argv[1:],
    "folder": os.getcwd(),
}))
"#;

/// What both agents made of one task.
struct Pair {
    theirs: TestContext,
    ours: TestContext,
    packages: Packages,
    path: String,
    variables: Vec<(String, String)>,
}

/// One agent's side of it.
#[derive(Debug)]
struct Side {
    code: i32,
    probe: Value,
    task: Value,
    console: String,
}

impl Pair {
    fn new() -> Self {
        let theirs = TestContext::new();
        let packages = offline_packages(&theirs);
        let ours = TestContext::new();
        ours.configure("agent.package_manager.pip_version: \">=20\"");
        let path = path_with(&package_folder("clearml-agent==3.0.3"));
        Self {
            theirs,
            ours,
            packages,
            path,
            variables: Vec::new(),
        }
    }

    fn configure(&self, text: &str) {
        self.theirs.configure(text);
        self.ours.configure(text);
    }

    fn repository(&self, files: &[(&str, &str)]) -> (Repository, String) {
        let repository = Repository::new(&self.theirs, "code");
        let commit = repository.commit(files);
        (repository, commit)
    }

    /// Runs the same task by both agents, and once more by each where that is wanted.
    fn run(&self, script: &Script) -> (Side, Side) {
        let theirs = self.theirs.create(script.clone());
        let ours = self.ours.create(script.clone());
        self.run_again(&theirs, &ours)
    }

    fn run_again(&self, theirs: &str, ours: &str) -> (Side, Side) {
        let words = ["execute", "--id", theirs];
        let theirs = self.side(&self.theirs, official(&self.theirs, &words), theirs);
        let words = ["execute", "--id", ours];
        let ours = self.side(&self.ours, self.ours.command(&words), ours);
        (theirs, ours)
    }

    fn side(&self, context: &TestContext, mut command: Command, task: &str) -> Side {
        command
            .envs(self.packages.variables())
            .env("PATH", &self.path)
            .env("PYTHONUNBUFFERED", "1")
            .env("PIP_CACHE_DIR", super::support::download_cache())
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        let finished = context.finish(command);
        let known = |text: &str| {
            text.replace(&context.folder().display().to_string(), "<folder>")
                .replace(&self.theirs.folder().display().to_string(), "<folder>")
                .replace(task, "<task>")
                .replace(&format!("host:{}", finished.pid), "<worker>")
                .replace(&context.server.url(), "<server>")
        };
        let console = known(&finished.stdout) + &known(&finished.stderr);
        let probe = console
            .lines()
            .find_map(|line| line.strip_prefix("PROBE "))
            .unwrap_or_else(|| panic!("no probe in {console}"));
        let fields = context.call("tasks.get_by_id", json!({ "task": task }));
        let fields = &fields["task"];
        let kept = [
            "status",
            "status_reason",
            "status_message",
            "script",
            "hyperparams",
            "container",
        ];
        let fields: Map<String, Value> = kept
            .iter()
            .map(|name| ((*name).to_owned(), fields[*name].clone()))
            .collect();
        Side {
            code: finished.code,
            probe: serde_json::from_str(probe).unwrap(),
            task: serde_json::from_str(&known(&json!(fields).to_string())).unwrap(),
            console,
        }
    }

    /// Both ran it to the end, and nothing differs but what is meant.
    #[track_caller]
    fn assert_same(&self, script: &Script) {
        let (theirs, ours) = self.run(script);
        assert_same(theirs, ours, 0);
    }
}

#[track_caller]
fn assert_same(mut theirs: Side, mut ours: Side, code: i32) {
    assert_eq!(theirs.code, code, "{}", theirs.console);
    assert_eq!(ours.code, code, "{}", ours.console);
    for side in [&mut theirs, &mut ours] {
        // Under uv theirs ends with an empty element: the folder in which the program is, which is in it already.
        let path = &mut side.probe["variables"]["PYTHONPATH"];
        *path = path.as_str().unwrap().trim_end_matches(':').into();
    }
    for part in ["variables", "files", "packages", "arguments", "folder"] {
        assert_part(part, &theirs.probe[part], &ours.probe[part]);
    }
    for side in [&mut theirs, &mut ours] {
        // Behind a package stands what poetry says of it: here the way to its file, which is not the same in two homes.
        for line in side.task["script"]["requirements"]["pip"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if let Some((package, _)) = line.as_str().and_then(|line| line.split_once(" # ../")) {
                *line = package.into();
            }
        }
    }
    for (name, theirs) in theirs.task.as_object().unwrap() {
        assert_part(name, theirs, &ours.task[name]);
    }
}

/// One by one, so that a difference can be read.
#[track_caller]
fn assert_part(part: &str, theirs: &Value, ours: &Value) {
    if let (Some(theirs), Some(ours)) = (theirs.as_object(), ours.as_object()) {
        let mut names: Vec<&String> = theirs.keys().chain(ours.keys()).collect();
        names.sort();
        names.dedup();
        let different: Vec<String> = names
            .into_iter()
            .filter(|name| theirs.get(*name) != ours.get(*name))
            .map(|name| {
                let value = |members: &Map<String, Value>| members.get(name).map(Value::to_string);
                format!(
                    "{name}\n  theirs {:?}\n  ours   {:?}",
                    value(theirs),
                    value(ours)
                )
            })
            .collect();
        assert!(different.is_empty(), "{part}: {}", different.join("\n"));
    } else {
        assert_eq!(theirs, ours, "{part}");
    }
}

fn of(repository: &Repository, commit: &str, requirements: &str) -> Script {
    Script::python("", requirements)
        .with("repository", repository.url())
        .with("branch", "master")
        .with("version_num", commit)
}

/// E-060, E-067, E-075, E-105, E-253, E-254, E-255, E-256, E-257, E-258, E-261, E-264, E-290, F-074: the changes are applied, the variables are the same.
#[test]
fn a_repository_with_uncommitted_changes() {
    let pair = Pair::new();
    let (repository, commit) = pair.repository(&[("main.py", PROBE), ("data/a.txt", "one\n")]);
    let diff = "diff --git a/data/a.txt b/data/a.txt\nindex 5626abf..814f4a4 100644\n--- a/data/a.txt\n+++ b/data/a.txt\n@@ -1 +1,2 @@\n one\n+two\n\
                diff --git a/new.txt b/new.txt\nnew file mode 100755\nindex 0000000..3e75765\n--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+new\n";
    pair.assert_same(&of(&repository, &commit, "tinydep==1.0\n").with("diff", diff));
}

/// E-083, E-093
#[test]
fn a_working_folder_inside_the_repository() {
    let pair = Pair::new();
    let (repository, _) = pair.repository(&[("pkg/main.py", PROBE), ("pkg/other.py", "")]);
    let script = of(&repository, "", "tinydep\n").with("working_dir", "pkg");
    pair.assert_same(&script);
}

/// E-095
#[test]
fn a_module_with_arguments() {
    let pair = Pair::new();
    let (repository, commit) = pair.repository(&[("pkg/__init__.py", ""), ("pkg/main.py", PROBE)]);
    let script = of(&repository, &commit, "tinydep==1.0\n")
        .with("entry_point", "-m pkg.main --task $CLEARML_TASK_ID 'a b'");
    pair.assert_same(&script);
}

/// E-131, E-197
#[test]
fn requirements_of_the_repository() {
    let pair = Pair::new();
    let files = [
        ("requirements.txt", "# the root's\n"),
        ("pkg/requirements.txt", "tinydep==1.0\n"),
        ("pkg/main.py", PROBE),
    ];
    let (repository, commit) = pair.repository(&files);
    let script = of(&repository, &commit, "").with("working_dir", "pkg");
    pair.assert_same(&script);
}

/// E-130
#[test]
fn no_requirements_at_all() {
    let pair = Pair::new();
    let (repository, commit) = pair.repository(&[("main.py", PROBE)]);
    pair.assert_same(&of(&repository, &commit, ""));
}

/// E-141
#[test]
fn a_package_from_an_extra_index() {
    let mut pair = Pair::new();
    let index = IndexServer::start();
    let wheel = "tinydep-1.0-py3-none-any.whl";
    let bytes = std::fs::read(Path::new(pair.packages.folder()).join(wheel)).unwrap();
    std::fs::remove_file(Path::new(pair.packages.folder()).join(wheel)).unwrap();
    index.add(&format!("/files/{wheel}"), bytes);
    let page = format!("<a href=\"/files/{wheel}\">{wheel}</a>");
    index.add("/simple/tinydep/", page.clone());
    // Nothing but the extra index has anything.
    index.add("/none/", "");
    pair.variables = [
        ("PIP_NO_INDEX", String::new()),
        ("PIP_INDEX_URL", index.url("/none/")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    pair.configure(&format!(
        "agent.package_manager.extra_index_url: [\"{}\"]",
        index.url("/simple/")
    ));
    let (repository, commit) = pair.repository(&[("main.py", PROBE)]);
    pair.assert_same(&of(&repository, &commit, "tinydep\n"));
}

/// E-275, E-276
#[test]
fn a_task_that_fails() {
    let pair = Pair::new();
    let program = format!("{PROBE}\nsys.exit(3)\n");
    let (repository, commit) = pair.repository(&[("main.py", &program)]);
    let (theirs, ours) = pair.run(&of(&repository, &commit, "tinydep==1.0\n"));
    assert_same(theirs, ours, 3);
}

/// E-244, E-245: the second run takes the environment of the first.
#[test]
fn a_task_that_has_run_before() {
    let pair = Pair::new();
    let (repository, commit) = pair.repository(&[("main.py", PROBE)]);
    let script = of(&repository, &commit, "tinydep==1.0\n");
    let theirs = pair.theirs.create(script.clone());
    let ours = pair.ours.create(script);
    pair.run_again(&theirs, &ours);
    for (context, task) in [(&pair.theirs, &theirs), (&pair.ours, &ours)] {
        context.call("tasks.reset", json!({ "task": task, "force": true }));
    }
    let (theirs, ours) = pair.run_again(&theirs, &ours);
    for side in [&theirs, &ours] {
        assert!(
            side.console.contains("::: Using Cached environment "),
            "{}",
            side.console
        );
    }
    assert_same(theirs, ours, 0);
}

#[test]
fn a_script_without_a_repository() {
    let pair = Pair::new();
    pair.assert_same(&Script::python(PROBE, "tinydep==1.0\n"));
}

/// Builds the package `library` with nothing but Python's own modules.
const BACKEND: &str = r#"
import os, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "library-2.0-py3-none-any.whl"
    info = "library-2.0.dist-info/"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("library.py", "answer = 42\n")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: library\nVersion: 2.0\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "RECORD", "library.py,,\n" + "".join(info + part + ",,\n" for part in ("METADATA", "WHEEL", "RECORD")))
    return name
"#;

/// E-177: a link with `git+https`, which git is told to take from a folder of this machine.
#[test]
fn a_package_from_a_repository() {
    let pair = Pair::new();
    let library = Repository::new(&pair.theirs, "library");
    library.commit(&[
        (
            "pyproject.toml",
            "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
        ),
        ("backend.py", BACKEND),
    ]);
    for context in [&pair.theirs, &pair.ours] {
        let text = format!(
            "[url \"{}\"]\n\tinsteadOf = https://git.example.com/library.git\n",
            library.url()
        );
        std::fs::write(context.home().join(".gitconfig"), text).unwrap();
    }
    let (repository, commit) = pair.repository(&[("main.py", PROBE)]);
    let requirements = "library @ git+https://git.example.com/library.git@master\ntinydep==1.0\n";
    pair.assert_same(&of(&repository, &commit, requirements));
}

/// E-096, E-193: a notebook of the repository, converted by the real nbconvert from PyPI.
#[test]
fn a_notebook() {
    let mut pair = Pair::new();
    pair.variables = vec![("PIP_NO_INDEX".to_owned(), String::new())];
    let cell = json!({ "cell_type": "code", "metadata": {}, "execution_count": null, "outputs": [], "source": PROBE });
    let notebook = json!({ "cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4 });
    let (repository, commit) = pair.repository(&[("main.ipynb", &notebook.to_string())]);
    // Where a task names no minor version, the official agent installs Cython (E-138).
    let python = format!("python3.{}", minor_version(Path::new("python3")));
    let script = of(&repository, &commit, "tinydep==1.0\n")
        .with("entry_point", "main.ipynb")
        .with("binary", python);
    pair.assert_same(&script);
}

/// E-216, E-219: a project that the real poetry installs.
#[test]
fn a_project_of_poetry() {
    let mut pair = Pair::new();
    pair.path = path_of(&[
        package_folder("poetry==2.1.4"),
        package_folder("clearml-agent==3.0.3"),
    ]);
    pair.configure("agent.package_manager.type: poetry");
    let wheel = format!("{}/tinydep-1.0-py3-none-any.whl", pair.packages.folder());
    let project = format!(
        "[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\npython = \">=3.9\"\ntinydep = {{ path = \"{wheel}\" }}\n"
    );
    let (repository, commit) = pair.repository(&[("main.py", PROBE), ("pyproject.toml", &project)]);
    pair.assert_same(&of(&repository, &commit, "other==1.0\n"));
}

/// E-106: uv in the place of pip.
#[test]
fn packages_by_uv() {
    let mut pair = Pair::new();
    pair.path = path_of(&[
        package_folder("uv==0.9.5"),
        package_folder("clearml-agent==3.0.3"),
    ]);
    pair.configure("agent.package_manager { type: uv, uv_replace_pip: true }");
    pair.variables = [
        ("UV_OFFLINE", "1"),
        ("UV_FIND_LINKS", pair.packages.folder()),
        ("UV_PYTHON_DOWNLOADS", "never"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let (repository, commit) = pair.repository(&[("main.py", PROBE)]);
    pair.assert_same(&of(&repository, &commit, "tinydep==1.0\n"));
}

fn path_of(folders: &[PathBuf]) -> String {
    let folders = folders.iter().map(|folder| folder.display().to_string());
    let path = std::env::var("PATH").unwrap();
    folders.chain([path]).collect::<Vec<_>>().join(":")
}
