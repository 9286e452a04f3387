//! Bad input and trouble: one clear line, the final status and exit code of the reference, no task left running.

use serde_json::json;

use super::code::{NO_ENVIRONMENT, Repository, offline_packages};
use super::support::{Finished, Script, TestContext, wait_until};

const NO_SERVER: &str = "\nclearml_agent: ERROR: Could not find host server definition (missing `~/clearml.conf` or Environment CLEARML_API_HOST)\n\
    To get started with ClearML: setup your own `clearml-server`, or create a free account at https://app.clear.ml and run `clearml-agent init`\n\
    hint: run `clearml-agent init`\n";

const COMMANDS: [&[&str]; 2] = [
    &["daemon", "--queue", "default", "--foreground"],
    &["execute", "--id", "0123456789abcdef0123456789abcdef"],
];

/// The call failed as D-065 has it: blank line, error, hint, blank line, on stdout alone.
#[track_caller]
fn assert_fails(finished: &Finished, error: &str) {
    let Finished {
        code,
        stdout,
        stderr,
        ..
    } = finished;
    assert_eq!((*code, stderr.as_str()), (1, ""), "{stdout}");
    let expected = format!("\nclearml_agent: ERROR: {error}\nhint: ");
    assert!(
        stdout.contains(&expected) && stdout.ends_with("\n\n"),
        "{expected}\nis not in\n{stdout}"
    );
}

/// Runs the task under a daemon to its failure; what the server has as its console then.
#[track_caller]
fn failed_console(
    context: &TestContext,
    script: Script,
    variables: &[(&str, &str)],
    reason: &str,
) -> String {
    let task = context.enqueue(script);
    failed_task_console(context, &task, variables, reason)
}

#[track_caller]
fn failed_task_console(
    context: &TestContext,
    task: &str,
    variables: &[(&str, &str)],
    reason: &str,
) -> String {
    let words = ["daemon", "--queue", "default", "--foreground"];
    let mut daemon = context.start_with(&words, variables);
    daemon.wait_for_output("DONE: Running task");
    // The reason comes twice where the preparation has one of its own.
    wait_until(|| context.runs().is_empty());
    assert_eq!(context.status(task), "failed");
    assert_eq!(context.reason(task), reason);
    let console = context.console(task);
    // The agent's own output has the same lines.
    for line in console.lines().filter(|line| line.contains("ERROR")) {
        assert!(
            daemon.output().contains(line),
            "{line}\n{}",
            daemon.output()
        );
    }
    assert_eq!(daemon.terminate(), 254);
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert!(context.runs().is_empty());
    console
}

/// A-001, D-056, D-069, F-002
#[test]
fn without_a_configuration_nothing_starts() {
    let context = TestContext::new();
    let file = context.home().join("clearml.conf");
    std::fs::remove_file(&file).unwrap();
    for words in COMMANDS {
        let finished = context.run(words);
        assert_eq!((finished.code, finished.stderr.as_str()), (1, ""));
        assert!(
            finished.stdout.starts_with(NO_SERVER),
            "{}",
            finished.stdout
        );
    }
    // A folder of that name is no file either.
    std::fs::create_dir(&file).unwrap();
    let finished = context.run(COMMANDS[0]);
    assert!(
        finished.stdout.starts_with(NO_SERVER),
        "{}",
        finished.stdout
    );
    assert!(context.server.requests().is_empty());
}

/// F-005, D-014
#[test]
fn a_named_configuration_must_be_a_file() {
    let context = TestContext::new();
    for path in [context.home(), context.folder().join("nosuch.conf")] {
        let finished = context.run(&["--config-file", path.to_str().unwrap(), "config"]);
        assert_fails(
            &finished,
            &format!("Could not open configuration file: {}", path.display()),
        );
    }
}

/// F-020, F-021, F-022
#[test]
fn a_syntax_error_names_file_and_line() {
    let context = TestContext::new();
    let file = context.home().join("clearml.conf");
    std::fs::write(&file, "agent {\n  git_user: me\n  git_pass: @x\n}\n").unwrap();
    for words in [COMMANDS[0], COMMANDS[1], &["config"]] {
        let finished = context.run(words);
        assert_eq!((finished.code, finished.stderr.as_str()), (1, ""));
        let start = format!(
            "\nclearml_agent: ERROR: Failed parsing {} (Parse",
            file.display()
        );
        assert!(finished.stdout.starts_with(&start), "{}", finished.stdout);
        assert!(
            finished.stdout.contains("line:3, col:"),
            "{}",
            finished.stdout
        );
        assert!(
            finished.stdout.contains("\nhint: look at line 3"),
            "{}",
            finished.stdout
        );
    }
    std::fs::write(&file, "a: 1\nb: ${nowhere}\n").unwrap();
    let finished = context.run(&["config"]);
    let text = "Cannot resolve variable ${nowhere} (line: 2, col: 4)";
    assert!(
        finished
            .stdout
            .starts_with(&format!("Failed loading {}: {text}\n", file.display())),
        "{}",
        finished.stdout
    );
    assert_fails(&finished, text);
}

/// A-023, D-069, and no secret on the way
#[test]
fn wrong_credentials_are_refused() {
    let context = TestContext::new();
    let variables = [
        ("CLEARML_API_ACCESS_KEY", "WRONGACCESSKEY"),
        ("CLEARML_API_SECRET_KEY", "wrong-secret-wrong-secret"),
    ];
    let error = format!(
        "Failed getting token (error 401 from {}): Unauthorized (invalid credentials) (failed to locate provided credentials)",
        context.server.url()
    );
    for words in COMMANDS {
        let finished = context.run_with(words, &variables);
        assert!(
            finished.stdout.starts_with(
                "Using environment access key CLEARML_API_ACCESS_KEY=WRONGACCESSKEY\n\
                 Using environment secret key CLEARML_API_SECRET_KEY=********\n\nclearml_agent: ERROR:"
            ),
            "{}",
            finished.stdout
        );
        assert_fails(&finished, &error);
        assert!(!finished.stdout.contains("wrong-secret"));
    }
    assert_eq!(context.calls(), ["auth.login", "auth.login"]);
}

/// D-069
#[test]
fn a_server_that_is_down_at_the_start_is_named() {
    let context = TestContext::new();
    context.server.stop_listening().unwrap();
    let once = [("CLEARML_AGENT_INITIAL_CONNECT_RETRY_OVERRIDE", "1")];
    let error = format!(
        "Connection Error: it seems *api_server* is misconfigured. Is this the ClearML API server {} ?",
        context.server.url()
    );
    for words in COMMANDS {
        assert_fails(&context.run_with(words, &once), &error);
    }
}

/// who wants a task run waits for the server.
#[test]
fn execute_waits_for_a_server_that_is_down() {
    let context = TestContext::new();
    let task = context.create(Script::shell("echo ran"));
    context.server.stop_listening().unwrap();
    let mut agent = context.start(&["execute", "--id", &task]);
    agent.wait_for_output("Retrying (2)");
    context.server.resume().unwrap();
    assert_eq!(agent.wait(), 0, "{}", agent.output());
    assert_eq!(context.status(&task), "completed");
}

/// the address of the web page instead of the API's.
#[test]
fn the_address_of_another_server_is_named() {
    let context = TestContext::new();
    let web = context.server.web_url();
    let finished = context.run_with(COMMANDS[0], &[("CLEARML_API_HOST", &web)]);
    assert_eq!(finished.code, 1);
    assert!(finished.stdout.contains(&web), "{}", finished.stdout);
    assert!(
        finished.stdout.contains("port 8008"),
        "no hint:\n{}",
        finished.stdout
    );
}

/// D-107, D-109, D-110
#[test]
fn a_queue_must_exist_and_be_the_only_one() {
    let context = TestContext::new();
    let finished = context.run(&["daemon", "--queue", "nosuch", "--foreground"]);
    assert_fails(&finished, "Could not find queue with name/id \"nosuch\"");
    let expected = "\nclearml_agent: ERROR: Could not find queue with name/id \"nosuch\"\nhint: ";
    assert!(finished.stdout.starts_with(expected), "{}", finished.stdout);
    assert_eq!(context.calls(), ["auth.login", "queues.get_all"]);

    let id = "0123456789abcdef0123456789abcdef";
    let finished = context.run(&["daemon", "--queue", id]);
    assert_fails(
        &finished,
        &format!("Could not find queue with name/id \"{id}\""),
    );

    let ids = ["gpu-small", "gpu-large"].map(|name| {
        let queue = context.call("queues.create", json!({ "name": name }));
        queue["id"].as_str().unwrap().to_owned()
    });
    let finished = context.run(&["daemon", "--queue", "default", "gpu"]);
    assert_fails(
        &finished,
        &format!(
            "Could not find queue with name/id \"gpu\". Did you mean this?\n* ({}) gpu-large\n* ({}) gpu-small",
            ids[1], ids[0]
        ),
    );
    assert_eq!(context.count("workers.register"), 0);
}

/// E-020, D-113: nothing is said about a task that is not there.
#[test]
fn a_task_must_exist() {
    let context = TestContext::new();
    let id = "0123456789abcdef0123456789abcdef";
    for shape in [
        &[] as &[&str],
        &["--disable-monitoring"],
        &["--full-monitoring"],
        &["--clone"],
    ] {
        let finished = context.run(&[&["execute", "--id", id], shape].concat());
        assert_fails(
            &finished,
            &format!(
                "Could not find task id={id} (for host: {})",
                context.server.url()
            ),
        );
    }
    let one = ["auth.login", "tasks.get_by_id"];
    assert_eq!(context.calls(), one.repeat(4));
    assert_eq!(context.count("workers.status_report"), 0);
    assert_eq!(context.leftovers(), Vec::<String>::new());
    assert!(context.runs().is_empty());
}

/// E-016, D-241
#[test]
fn a_task_without_a_script_fails() {
    let context = TestContext::new();
    let text = "Could not parse task execution info: can not run task without script information";
    let create = || {
        let task = context.call(
            "tasks.create",
            json!({ "name": "empty", "type": "training" }),
        );
        task["id"].as_str().unwrap().to_owned()
    };
    let task = create();
    let queue = context.queue();
    context.call("tasks.enqueue", json!({ "task": task, "queue": queue }));
    let why = format!("exit code 1: {text} (hint: give the task a script, or enqueue another one)");
    let reason = format!("worker execution {why}");
    let console = failed_task_console(&context, &task, &[], &reason);
    assert!(
        console.contains(&format!("\nclearml_agent: ERROR: {text}\nhint: ")),
        "{console}"
    );
    assert!(
        console.ends_with(&format!("Process failed, {why}")),
        "{console}"
    );

    let task = create();
    let finished = context.run(&["execute", "--id", &task]);
    assert_fails_at_the_end(&finished, text);
    assert_eq!(context.status(&task), "failed");
    assert_eq!(context.reason(&task), text);
}

/// As [`assert_fails`], after other output.
#[track_caller]
fn assert_fails_at_the_end(finished: &Finished, error: &str) {
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    let expected = format!("\nclearml_agent: ERROR: {error}\nhint: ");
    assert!(
        finished.stdout.contains(&expected),
        "{expected}\nis not in\n{}",
        finished.stdout
    );
}

/// What E-080 says after a repository has failed.
fn repository_error(repository: &str, branch: &str, commit: &str) -> String {
    format!(
        "\nclearml_agent: ERROR: Failed cloning repository. \n\
         1) Make sure you pushed the requested commit:\n\
         (repository='{repository}', branch='{branch}', commit_id='{commit}', tag='', docker_cmd=None, entry_point='main.sh', working_dir='.')\n\
         2) Check if remote-worker has valid credentials [see worker configuration file]\n"
    )
}

/// E-017, E-080
#[test]
fn a_repository_must_exist() {
    let context = TestContext::new();
    let url = format!("file://{}/nosuch", context.folder().display());
    let script = Script::shell("")
        .with("repository", url.as_str())
        .with("branch", "main");
    let why = format!(
        "could not fetch `{url}`: '{}/nosuch' does not exist (hint: check the task's repository, and who may read it (no credentials are needed on this machine))",
        context.folder().display()
    );
    let reason = format!("worker execution exit code 1: code: {why}");
    let console = failed_console(&context, script, NO_ENVIRONMENT, &reason);
    assert_eq!(
        console.matches("Repository cloning failed: ").count(),
        1,
        "{console}"
    );
    assert!(
        console.contains(&repository_error(&url, "main", "")),
        "{console}"
    );
    assert!(
        console.contains("\nhint: check the task's repository"),
        "{console}"
    );
    let failed: Vec<_> = context
        .server
        .requests()
        .into_iter()
        .filter(|request| request.endpoint == "tasks.failed")
        .map(|request| request.body["status_reason"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(failed, ["failed cloning repository", &reason]);
}

/// E-017, E-080
#[test]
fn a_commit_must_exist() {
    let context = TestContext::new();
    let repository = Repository::new(&context, "demo");
    repository.commit(&[("main.sh", "echo committed")]);
    let commit = "0123456789012345678901234567890123456789";
    let script = Script::shell("")
        .with("repository", repository.url())
        .with("branch", "master")
        .with("version_num", commit);
    let url = repository.url();
    let reason = format!(
        "worker execution exit code 1: code: there is no commit `{commit}` in `{url}` (hint: make sure you pushed the requested commit)"
    );
    let console = failed_console(&context, script, NO_ENVIRONMENT, &reason);
    assert!(
        console.contains(&repository_error(&repository.url(), "master", commit)),
        "{console}"
    );
    assert!(
        console.contains(&format!(
            "Repository cloning failed: there is no commit `{commit}` in "
        )),
        "{console}"
    );
    assert!(
        console.contains("\nhint: make sure you pushed the requested commit\n"),
        "{console}"
    );
}

/// E-077
#[test]
fn a_diff_must_apply() {
    let context = TestContext::new();
    let repository = Repository::new(&context, "demo");
    repository.commit(&[("main.sh", "echo committed\n")]);
    let diff = "diff --git a/main.sh b/main.sh\n--- a/main.sh\n+++ b/main.sh\n@@ -1 +1 @@\n-echo other\n+echo changed\n";
    let script = Script::shell(diff)
        .with("repository", repository.url())
        .with("branch", "master");
    let console = failed_console(
        &context,
        script,
        NO_ENVIRONMENT,
        "worker execution exit code 1: code: failed applying git diff: error: patch failed: main.sh:1 (hint: the uncommitted \
         changes were made on another commit than the one checked out)",
    );
    assert!(
        console.contains("\nApplying uncommitted changes\n"),
        "{console}"
    );
    assert!(
        console.contains(&format!(
            "\nclearml_agent: ERROR: Failed applying git diff:\n{diff}\n\nERROR! Failed applying git diff, see diff above.\n"
        )),
        "{console}"
    );
    assert!(
        console.contains("\nhint: the uncommitted changes were made on another commit"),
        "{console}"
    );
    assert!(!console.contains("Starting Task Execution"), "{console}");
}

/// E-094
#[test]
fn a_working_folder_must_exist() {
    let context = TestContext::new();
    let repository = Repository::new(&context, "demo");
    repository.commit(&[("main.sh", "echo committed")]);
    let script = Script::shell("")
        .with("repository", repository.url())
        .with("working_dir", "nosuch");
    let console = failed_console(
        &context,
        script,
        NO_ENVIRONMENT,
        "worker execution exit code 1: code: Working dir \"nosuch\" does not exist in the repository (hint: check the task's \
         working directory)",
    );
    assert!(
        console.contains(
            "\nclearml_agent: ERROR: Working dir \"nosuch\" does not exist in the repository\nhint: check the task's working directory\n"
        ),
        "{console}"
    );
}

/// E-132, and the transcript of a bad requirement
#[test]
fn a_requirement_must_exist() {
    let context = TestContext::new();
    let packages = offline_packages(&context);
    let script = Script::python("print('x')\n", "this-package-does-not-exist-xyz==1.0\n");
    let console = failed_console(
        &context,
        script,
        &packages.variables(),
        "worker execution exit code 1: environment: Could not install task requirements! (hint: \
         `this-package-does-not-exist-xyz==1.0` cannot be installed; the installer's lines say why)",
    );
    assert!(
        console.contains(
            "ERROR: installing pip requirements failed, requirements.txt:\nthis-package-does-not-exist-xyz==1.0\n"
        ),
        "{console}"
    );
    assert!(
        console.contains(
            "\nclearml_agent: ERROR: Could not install task requirements!\nCommand '['"
        ) && console.contains("returned non-zero exit status 1.\nhint: `this-package-does-not-exist-xyz==1.0` cannot be installed"),
        "{console}"
    );
}

/// E-085, D-241: what the interpreter says is all there is to say.
#[test]
fn a_script_must_exist() {
    let context = TestContext::new();
    let script = Script::shell("").with("entry_point", "nosuch.sh");
    let console = failed_console(&context, script, &[], "worker execution exit code 127");
    assert!(
        console.contains(
            "WARNING: running a task without repository or literal script in `script.diff`"
        ),
        "{console}"
    );
    assert!(
        console.contains("nosuch.sh: No such file or directory\n"),
        "{console}"
    );
    assert!(
        console.ends_with("Process failed, exit code 127"),
        "{console}"
    );
}

/// D-241
#[test]
fn a_script_may_be_killed() {
    let context = TestContext::new();
    let script = Script::shell("echo before; kill -9 $$");
    let console = failed_console(&context, script, &[], "worker execution exit code -9");
    assert!(
        console.ends_with("before\nProcess failed, exit code -9"),
        "{console}"
    );
}

/// D-077, E-269: nobody takes a task from its queue that is bound to fail.
#[test]
fn the_temporary_folders_must_be_writable() {
    let context = TestContext::new();
    let task = context.enqueue(Script::shell("echo ran"));
    let file = context.folder().join("file");
    std::fs::write(&file, "").unwrap();
    let inside = file.join("folder");
    let inside = inside.to_str().unwrap();
    for variable in ["TMPDIR", "CLEARML_AGENT_TEMP_STDOUT_FILE_DIR"] {
        for words in [COMMANDS[0], &["execute", "--id", &task]] {
            let finished = context.run_with(words, &[(variable, inside)]);
            assert_fails(
                &finished,
                &format!("could not write to the folder `{inside}`: Not a directory (os error 20)"),
            );
        }
    }
    assert_eq!(context.status(&task), "queued");
    let own = context.folder().join("new/folder");
    let variables = [("CLEARML_AGENT_TEMP_STDOUT_FILE_DIR", own.to_str().unwrap())];
    let finished = context.run_with(&["execute", "--id", &task], &variables);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let stored = format!(
        "Storing stdout and stderr log into [{}/.clearml_agent_out.",
        own.display()
    );
    assert!(finished.stdout.contains(&stored), "{}", finished.stdout);
    assert_eq!(std::fs::read_dir(own).unwrap().count(), 0);
}

/// C-801, D-077: what a task of a daemon reads lies beside what it prints.
#[test]
fn the_configuration_of_a_task_lies_in_the_folder_for_its_files() {
    let context = TestContext::new();
    let task = context.enqueue(Script::shell("echo \"configured by $CLEARML_CONFIG_FILE\""));
    let own = context.folder().join("own");
    let variables = [("CLEARML_AGENT_TEMP_STDOUT_FILE_DIR", own.to_str().unwrap())];
    context.run_one_task(&variables);
    let console = context.console(&task);
    let expected = format!("configured by {}/.clearml_agent.", own.display());
    assert!(console.contains(&expected), "{console}");
    assert_eq!(std::fs::read_dir(own).unwrap().count(), 0);
}

/// D-098, D-104: nobody takes a task that cannot have an environment.
#[test]
fn the_environments_folder_must_be_usable() {
    let file = "a file in the way";
    for (folder, expected) in [
        (
            format!("{file}/venvs").replace(' ', "-"),
            "Could not create directory \"<folder>\": Not a directory (os error 20)",
        ),
        (
            "with blank".to_owned(),
            "directories may not contain whitespace (char: ' ', position: <position>)",
        ),
    ] {
        let context = TestContext::new();
        std::fs::write(context.folder().join(file.replace(' ', "-")), "").unwrap();
        let folder = context.folder().join(folder);
        let folder = folder.to_str().unwrap();
        context.configure(&format!("agent.venvs_dir: \"{folder}\""));
        let refused = context.run(&["daemon", "--detached"]);
        assert_eq!(refused.code, 1, "{}", refused.stdout);
        let position = folder.find(' ').unwrap_or_default().to_string();
        let expected = expected
            .replace("<folder>", folder)
            .replace("<position>", &position);
        let line = format!(
            "clearml_agent: ERROR: Invalid config key \"agent.venvs_dir\": {expected}\nhint: it comes from: {}",
            context.home().display()
        );
        assert!(refused.stdout.contains(&line), "{}", refused.stdout);
        assert_eq!(context.leftovers(), Vec::<String>::new());
    }
}
