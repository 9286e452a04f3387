//! A script of the site makes the environment of a task.

use std::os::unix::fs::PermissionsExt;

use super::code::Repository;
use super::support::{Script, TestContext};

/// A repository with a build script of this body and a shell script as the task's own.
fn repository(context: &TestContext, body: &str) -> Repository {
    let repository = Repository::new(context, "demo");
    let script = format!("#!/bin/sh\n{body}\n");
    repository.commit(&[("build.sh", &script), ("main.py", "print('own')\n")]);
    repository
}

/// Runs the task; its status and console.
fn run(context: &TestContext, script: Script, variables: &[(&str, &str)]) -> (String, String, u8) {
    let task = context.create(script);
    let mut agent = context.start_with(&["execute", "--id", &task], variables);
    let code = agent.wait();
    (
        context.status(&task),
        agent.output(),
        u8::try_from(code).unwrap(),
    )
}

/// An executable script of this body.
pub(crate) fn place(context: &TestContext, body: &str) -> String {
    let path = context.folder().join("build.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// E-234, E-235, E-236, E-195: its answer is what runs; nothing is made, installed or reported.
#[test]
fn the_answer_of_the_script_is_run() {
    let context = TestContext::new();
    let body = "echo \"built $CLEARML_TASK_SCRIPT_ENTRY $CLEARML_TASK_WORKING_DIR\"\n\
        echo \"$CLEARML_CUSTOM_BUILD_TASK_CONFIG_JSON\" | grep -c '\"entry_point\":\"main.py\"'\n\
        printf 'print(\"from the build\")\\n' > \"$CLEARML_GIT_ROOT/other.py\"\n\
        python=$(command -v python3)\n\
        printf '{\"binary\":\"%s\",\"entry_point\":\"%s\",\"working_dir\":\"%s\"}' \"$python\" \
        \"$CLEARML_GIT_ROOT/other.py\" \"$CLEARML_GIT_ROOT\" > \"$CLEARML_CUSTOM_BUILD_OUTPUT\"";
    let script = place(&context, body);
    let demo = repository(&context, "");
    context.configure(&format!("agent.custom_build_script: \"{script}\""));
    let task = Script::python("", "nothing-of-this-name==9\n")
        .with("repository", demo.url())
        .with("branch", "master")
        .with("entry_point", "main.py");
    let (status, console, _) = run(&context, task, &[]);
    assert_eq!(status, "completed", "{console}");
    for text in [
        format!("\nRunning custom build script {script}\nbuilt main.py .\n1\n"),
        "\nNo freeze information available\n".to_owned(),
        "\nfrom the build\n".to_owned(),
    ] {
        assert!(console.contains(&text), "{text}\n{console}");
    }
    let venv = context.home().join(".clearml/venvs-builds/3/bin");
    assert!(!venv.exists());
}

/// E-237: the code of the script is that of the agent.
#[test]
fn a_script_that_fails_ends_the_task() {
    let context = TestContext::new();
    let script = place(&context, "exit 7");
    let variables = [("CLEARML_AGENT_CUSTOM_BUILD_SCRIPT", script.as_str())];
    let (status, console, code) = run(&context, Script::python("print(1)", ""), &variables);
    assert_eq!((status.as_str(), code), ("failed", 7), "{console}");
    assert!(
        console.contains("Custom build script failed with return code 7"),
        "{console}"
    );
}

/// E-238: no answer, and no repository either: the normal flow, from an empty folder.
#[test]
fn without_an_answer_everything_goes_its_usual_way() {
    let context = TestContext::new();
    let script = place(&context, "true");
    let variables = [("CLEARML_AGENT_CUSTOM_BUILD_SCRIPT", script.as_str())];
    let (status, console, _) = run(&context, Script::shell("echo usual way"), &variables);
    assert_eq!(status, "completed", "{console}");
    let warning = format!("\nWarning: Build script {script} did not return any output\n");
    assert!(console.contains(&warning), "{console}");
    assert!(console.contains("\nusual way\n"), "{console}");
}
