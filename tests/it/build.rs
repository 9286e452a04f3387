//! `build`: the environment of a task in a folder, without a word to the server.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::code::{NO_ENVIRONMENT, Packages, Repository, offline_packages};
use super::custom_build::place;
use super::existing::python;
use super::support::{Finished, Script, TestContext};
use super::uv::assert_order;

const SCRIPT: &str = "import tinydep\nprint('answer', tinydep.answer)\n";

/// A task that needs `tinydep`, with a change that is not committed, in the queue `default`.
fn enqueue(context: &TestContext) -> String {
    let repository = Repository::new(context, "project");
    repository.commit(&[("main.py", SCRIPT), ("tool.py", "value = 1\n")]);
    let change = "diff --git a/tool.py b/tool.py\n--- a/tool.py\n+++ b/tool.py\n@@ -1 +1 @@\n-value = 1\n+value = 2\n";
    let lists = json!({"pip": "tinydep==1.0\n", "org_pip": "nothing-of-this-name==9\n"});
    let script = Script::python(change, "")
        .with("requirements", lists)
        .with("repository", repository.url())
        .with("branch", "master");
    context.enqueue(script)
}

#[track_caller]
fn build(context: &TestContext, packages: &Packages, words: &[&str]) -> Finished {
    let finished = context.run_with(
        &[&["build", "--cpu-only"], words].concat(),
        &packages.variables(),
    );
    assert_only_read(context);
    finished
}

/// Nothing was changed on the server, and nothing reported.
#[track_caller]
pub(crate) fn assert_only_read(context: &TestContext) {
    for request in context.server.requests() {
        let endpoint = request.endpoint.as_str();
        let of_task = endpoint.starts_with("tasks.") && !endpoint.starts_with("tasks.get_");
        let is_report = endpoint.starts_with("events.") || endpoint.starts_with("workers.");
        assert!(!of_task && !is_report, "{endpoint}");
    }
}

/// What the interpreter of the environment prints.
fn answer(environment: &Path, words: &[&str]) -> String {
    let interpreter = environment.join("bin/python");
    let output = Command::new(interpreter).args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// E-281, E-282, E-284: all is in the folder, and for the server nothing has happened; the list of the task counts, not the
/// original one (E-128).
#[test]
fn the_environment_of_a_task_is_made_in_a_folder() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    context.configure("agent.package_manager.force_original_requirements: true");
    let task = enqueue(&context);
    let before = context.call("tasks.get_by_id", json!({ "task": task }));
    let finished = build(
        &context,
        &packages,
        &["--id", &task, "--target", "made/here"],
    );
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let target = context.folder().canonicalize().unwrap().join("made/here");
    let code = target.join("task_repository/project");
    let texts = [
        "\nagent.venvs_dir = ",
        &format!("\nExecuting task id [{task}]:\nrepository = "),
        "\nentry_point = main.py\n",
        &format!("\nRestoring running environment of task id [{task}]:\n"),
        "\nSummary - installed python packages:\npip:\n- tinydep==1.0\n",
        &format!("\nVirtual environment: {}\n", target.join("bin").display()),
        &format!("\nSource code: {}\n", code.display()),
        &format!("\nEntry point: {}\n", code.join("main.py").display()),
        "\nCommit: ",
    ];
    assert_order(&finished.stdout, &texts);
    let main = code.join("main.py").display().to_string();
    assert_eq!(answer(&target, &[&main]), "answer 42\n");
    let tool = std::fs::read_to_string(code.join("tool.py")).unwrap();
    assert_eq!(tool, "value = 2\n");
    assert_eq!(
        context.call("tasks.get_by_id", json!({ "task": task })),
        before
    );
    let kept = std::fs::read_dir(context.home().join(".clearml/store/entries"));
    assert_eq!(kept.into_iter().flatten().count(), 0);
    assert!(!finished.stdout.contains("Adding venv into cache"));
}

/// E-119, E-282: it is made anew without anything of the one before; and one that is kept for tasks is used.
#[test]
fn an_environment_that_is_there_is_made_anew() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let task = enqueue(&context);
    let words = ["--id", &task, "--target", "made"];
    assert_eq!(build(&context, &packages, &words).code, 0);
    let place = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let target = context.folder().join("made");
    let site = answer(&target, &["-c", place]);
    let other = Path::new(site.trim()).join("of_another_task.py");
    std::fs::write(&other, "").unwrap();
    let finished = build(&context, &packages, &words);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    assert!(!other.exists());
    assert!(!finished.stdout.contains("Using Cached environment"));
    assert_eq!(answer(&target, &["-c", SCRIPT]), "answer 42\n");
}

/// E-282: without a folder it is that of the tasks, and an environment that a task has left is taken.
#[test]
fn without_a_folder_it_is_that_of_tasks() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let task = context.enqueue(Script::python(SCRIPT, "tinydep==1.0\n"));
    context.run_one_task(&packages.variables());
    assert_eq!(context.status(&task), "completed");
    let words = ["build", "--cpu-only", "--id", &task];
    let finished = context.run_with(&words, &packages.variables());
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let builds = context.home().join(".clearml/venvs-builds/3.");
    let texts = [
        "\n::: Using Cached environment ",
        &format!("\nVirtual environment: {}", builds.display()),
        "/bin\n",
        &format!("\nSource code: {}", builds.display()),
        "/code/main.py\n",
        "/code/main.py\n",
    ];
    assert_order(&finished.stdout, &texts);
    assert_eq!(context.status(&task), "completed");
}

/// E-283: the packages are where the interpreter's own are.
#[test]
fn packages_go_into_the_interpreter_itself() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let base = context.folder().join("base");
    python(&["-m", "venv"], &base);
    // Nothing but it: the interpreter of this machine is not to be touched.
    let interpreter = base.join("bin/python").display().to_string();
    context.configure(&format!("agent.python_binary: \"{interpreter}\""));
    context.configure("agent.ignore_requested_python_version: true");
    let task = enqueue(&context);
    let finished = build(&context, &packages, &["--id", &task, "--install-globally"]);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    assert_eq!(answer(&base, &["-c", SCRIPT]), "answer 42\n");
    let bin = format!("\nVirtual environment: {}\n", base.join("bin").display());
    assert!(finished.stdout.contains(&bin), "{}", finished.stdout);
    let builds = context.home().join(".clearml/venvs-builds");
    let folder = std::fs::read_dir(builds).unwrap().next().unwrap().unwrap();
    assert!(
        folder
            .path()
            .join("task_repository/project/main.py")
            .exists()
    );
}

/// E-281, E-284: what fails is said in one line, and changes no status.
#[test]
fn what_fails_changes_no_status() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let missing = context
        .folder()
        .join("no-such-repository")
        .display()
        .to_string();
    let repository = Script::python("", "").with("repository", format!("file://{missing}"));
    let package = Script::python(SCRIPT, "nothing-of-this-name==9\n");
    for (script, words) in [
        (repository, "no-such-repository"),
        (package, "nothing-of-this-name"),
    ] {
        let task = context.enqueue(script);
        let finished = build(&context, &packages, &["--id", &task, "--target", "made"]);
        assert_eq!(finished.code, 1, "{}", finished.stdout);
        let mut lines = finished.stdout.lines();
        let error = lines.find(|line| line.starts_with("clearml_agent: ERROR: "));
        assert!(error.is_some(), "{}", finished.stdout);
        assert!(finished.stdout.contains(words), "{}", finished.stdout);
        assert_eq!(context.status(&task), "queued");
    }
    let unknown = "0".repeat(32);
    let finished = build(&context, &packages, &["--id", &unknown]);
    assert_eq!(finished.code, 1);
    let text = format!("\nclearml_agent: ERROR: Could not find task id={unknown} (for host: ");
    assert!(finished.stdout.contains(&text), "{}", finished.stdout);
}

/// E-285
#[test]
fn a_build_needs_a_task() {
    let context = TestContext::new();
    let finished = context.run(&["build", "--id", ""]);
    assert_eq!(finished.code, 1);
    let error = "\nclearml_agent: ERROR: Worker build must have valid task id\nhint: ";
    assert!(finished.stdout.starts_with(error), "{}", finished.stdout);
}

/// E-119, E-282: nothing of anybody else is removed for it.
#[test]
fn a_folder_with_other_things_is_left_alone() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let task = enqueue(&context);
    let folder = context.folder().join("mine");
    std::fs::create_dir_all(folder.join("code")).unwrap();
    std::fs::write(folder.join("code/work.py"), "").unwrap();
    for name in ["code", "thesis.tex"] {
        let finished = build(&context, &packages, &["--id", &task, "--target", "mine"]);
        assert_eq!(finished.code, 1, "{}", finished.stdout);
        let error = format!("could not use the folder `mine`: it holds `{name}`");
        assert!(finished.stdout.contains(&error), "{}", finished.stdout);
        assert!(folder.join("code/work.py").exists());
        // Now it looks like somebody's own environment.
        std::fs::write(folder.join("pyvenv.cfg"), "").unwrap();
        std::fs::write(folder.join("thesis.tex"), "").unwrap();
    }
}

/// E-286: the switches that skip work hold; what is for images alone is no error.
#[test]
fn switches_of_execute_hold() {
    let context = TestContext::new();
    let task = context.create(Script::python(SCRIPT, "nothing-of-this-name==9\n"));
    let words = ["build", "--id", &task, "--target", "made"];
    let words = [&words as &[&str], &["--entry-point", "clone_task"]].concat();
    let finished = context.run_with(&words, NO_ENVIRONMENT);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    assert!(context.folder().join("made/code/main.py").exists());
    let text = "\nNo freeze information available\n";
    assert!(finished.stdout.contains(text), "{}", finished.stdout);
}

/// E-234, E-236, E-286: the script of the site makes the environment of a build too, from the code in its folder.
#[test]
fn the_script_of_the_site_makes_the_environment() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let body = "printf '{\"binary\":\"%s\",\"entry_point\":\"%s\",\"working_dir\":\"%s\"}' \
        \"$(command -v python3)\" \"$CLEARML_GIT_ROOT/tool.py\" \"$CLEARML_GIT_ROOT\" > \"$CLEARML_CUSTOM_BUILD_OUTPUT\"";
    let script = place(&context, body);
    context.configure(&format!("agent.custom_build_script: \"{script}\""));
    let task = enqueue(&context);
    let finished = build(&context, &packages, &["--id", &task, "--target", "made"]);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let code = context.folder().canonicalize().unwrap();
    let code = code.join("made/task_repository/project");
    let texts = [
        &format!("\nRunning custom build script {script}\n"),
        "\nNo freeze information available\nVirtual environment: /",
        &format!("\nSource code: {}\n", code.display()),
        &format!("\nEntry point: {}\n", code.join("tool.py").display()),
    ];
    assert_order(&finished.stdout, &texts);
    assert!(!context.folder().join("made/bin").exists());
}

/// E-283: uv and poetry give a project an environment of its own, so it cannot be in the interpreter itself.
#[test]
fn a_project_does_not_go_into_the_interpreter_itself() {
    for (tool, file) in [("uv", "uv.lock"), ("poetry", "pyproject.toml")] {
        let context = TestContext::new();
        let packages = offline_packages(&context);
        context.configure(&format!("agent.package_manager.type: {tool}"));
        let repository = Repository::new(&context, "project");
        repository.commit(&[("main.py", SCRIPT), (file, "")]);
        let script = Script::python("", "tinydep==1.0\n")
            .with("repository", repository.url())
            .with("branch", "master");
        let task = context.create(script);
        let finished = build(&context, &packages, &["--id", &task, "--install-globally"]);
        assert_eq!(finished.code, 1, "{}", finished.stdout);
        let error = "\nclearml_agent: ERROR: could not install the project of `";
        let texts = [
            error,
            &format!(
                "/task_repository/project/{file}` into the interpreter itself: {tool} gives it"
            ),
            "\nhint: ",
        ];
        assert_order(&finished.stdout, &texts);
        assert!(
            !finished.stdout.contains("tinydep-1.0"),
            "{}",
            finished.stdout
        );
    }
}
