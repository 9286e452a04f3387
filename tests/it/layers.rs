//! What the configuration does to a worker and its tasks: its sections, the server's vaults, a second reading.

use std::fs;

use super::support::{Agent, Fault, FaultProxy, Script, TestContext, wait_until};

/// The printout of the configuration at the start of a task's console holds this line.
#[track_caller]
fn assert_configured(context: &TestContext, task: &str, line: &str) {
    let console = context.console(task);
    assert!(
        console.lines().any(|known| known == line),
        "{line}\n{console}"
    );
}

fn run(context: &TestContext, text: &str) -> String {
    let task = context.enqueue(Script::shell(text));
    context.wait_for_status(&task, "completed");
    task
}

/// F-090, F-091, F-092, F-095, D-091: worker and task see the variables and the files.
#[test]
fn the_sections_reach_worker_and_task() {
    let context = TestContext::new();
    let file = context.folder().join("made");
    context.configure(&format!(
        "environment {{ FROM_SECTION: yes, OTHER: true, AWS_ACCESS_KEY_ID: x }}
         files.made {{ path: \"{}\", contents: \"from the section\" }}",
        file.display()
    ));
    // Who only looks makes nothing.
    assert_eq!(context.run(&["daemon", "--status"]).code, 0);
    assert!(!file.exists());
    let daemon = context.daemon();
    let variables = "Environment variables set from configuration: ['FROM_SECTION', 'OTHER', 'AWS_ACCESS_KEY_ID']";
    let saved = format!("Saved [made]: {}", file.display());
    daemon.wait_for_output("No tasks in Queues");
    let output = daemon.output();
    let at = |text: &str| {
        output
            .find(text)
            .unwrap_or_else(|| panic!("no {text} in {output}"))
    };
    assert!(at(variables) < at("Creating files from configuration"));
    assert!(at(&saved) < at("Current configuration ("));
    assert!(output.contains("\nsdk.aws.s3.key = \n"), "{output}");
    fs::remove_file(&file).unwrap();

    let task = run(
        &context,
        &format!(
            "echo $FROM_SECTION $OTHER $AWS_ACCESS_KEY_ID; cat {}",
            file.display()
        ),
    );
    let console = context.console(&task);
    assert!(
        console.contains("\nyes True x\nfrom the section"),
        "{console}"
    );
    assert!(
        console.contains(variables) && console.contains(&saved),
        "{console}"
    );
    assert!(!console.contains("Error"), "{console}");
}

/// F-010, F-012, F-100, F-101, F-102, A-013
#[test]
fn a_vault_of_the_server_reaches_the_tasks() {
    let context = TestContext::enterprise();
    context.configure("agent { git_user: file, git_pass: \"of the file\" }");
    let vault = "agent { git_user: vault, worker_name: theirs }, environment.FROM_VAULT: there, api.http.default_method: post";
    context.server.add_vault("my vault", vault).unwrap();
    let daemon = context.daemon();
    let task = run(&context, "echo $FROM_VAULT");
    assert!(context.console(&task).contains("\nthere\n"));
    assert_configured(&context, &task, "agent.git_user = vault");
    let output = daemon.output();
    assert!(output.contains("Loaded user vault for user "), "{output}");
    let ignored = "Ignoring vault value for 'agent.worker_name' (agent config takes precedence), using 'host'";
    assert!(output.contains(ignored), "{output}");
    assert!(output.contains("Worker \"host:0\""), "{output}");
    // The method changes for the session that is open already.
    assert!(
        context
            .requests("queues.get_next_task")
            .iter()
            .all(|look| look.method == "POST")
    );
    let requests = context.requests("users.get_vaults");
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].method, "GET");
    assert_eq!(
        requests[0].path,
        "/users.get_vaults?enabled=true&types=config&types=config"
    );
}

/// F-100
#[test]
fn vaults_can_be_switched_off() {
    let context = TestContext::enterprise();
    context
        .server
        .add_vault("v", "agent.git_user: vault")
        .unwrap();
    let variable = ("CLEARML_AGENT_DISABLE_VAULT_SUPPORT", "1");
    let daemon = context.daemon_with(&[variable]);
    daemon.wait_for_output("No tasks in Queues");
    assert!(daemon.output().contains("Vault support is disabled\n"));
    assert!(context.requests("users.get_vaults").is_empty());
}

/// F-100: the open-source server is not asked.
#[test]
fn the_open_source_server_is_not_asked_for_vaults() {
    let context = TestContext::new();
    let daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    assert!(context.requests("users.get_vaults").is_empty());
}

/// F-101
#[test]
fn vaults_that_cannot_be_had_are_no_reason_to_end() {
    let context = TestContext::enterprise();
    context.configure("api.http.retries { total: 1, status: 1, backoff_factor: 0.01 }");
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    proxy.set(|call| {
        call.starts_with("users.get_vaults")
            .then_some(Fault::ServerError)
    });
    let daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    let output = daemon.output();
    assert!(output.contains("Failed getting vaults: "), "{output}");
}

/// F-015
#[test]
fn a_changed_configuration_is_for_the_next_task() {
    let context = TestContext::new();
    let file = context.home().join("clearml.conf");
    context.configure("agent { reload_config: true, git_host: one, git_user: deleted }");
    let text = fs::read_to_string(&file).unwrap();
    let daemon = context.daemon_with(&[("CLEARML_AGENT__AGENT__GIT_HOST_X", "dynamic")]);
    let first = run(&context, "true");
    assert_configured(&context, &first, "agent.git_host = one");
    let change = |text: &str| {
        let fresh = file.with_extension("new");
        fs::write(&fresh, text).unwrap();
        fs::rename(&fresh, &file).unwrap();
        polls(&context, 2);
    };
    change("agent { reload_config: true, broken");
    daemon.wait_for_output("the configuration was not read again: Failed parsing ");
    change(&text.replace("git_host: one, git_user: deleted", "git_host: two"));
    let second = run(&context, "true");
    assert_configured(&context, &second, "agent.git_host = two");
    assert!(!context.console(&second).contains("agent.git_user"));
    // The registered variable, the dynamic one and what was found out at the start are still there.
    assert_configured(&context, &second, "agent.worker_name = host");
    assert_configured(&context, &second, "agent.git_host_x = dynamic");
    assert_eq!(said(&daemon), 1);
}

fn said(daemon: &Agent) -> usize {
    daemon.output().matches("was not read again").count()
}

/// Waits until the queues were looked at so many times.
#[track_caller]
fn polls(context: &TestContext, times: usize) {
    let looks = || context.requests("queues.get_next_task").len();
    let before = looks();
    assert!(wait_until(|| looks() >= before + times));
}

///
#[test]
fn a_forced_version_of_the_api_is_said() {
    let context = TestContext::new();
    let daemon = context.daemon_with(&[("CLEARML_AGENT_FORCE_MAX_API_VERSION", "2.23")]);
    daemon.wait_for_output("No tasks in Queues");
    let output = daemon.output();
    assert!(
        output.contains("Using forced API version 2.23\n"),
        "{output}"
    );
    let newer = context.requests("queues.get_all");
    assert!(newer.iter().all(|request| !request.path.contains("v2.34")));
}

///
#[test]
fn config_opens_no_session() {
    let context = TestContext::new();
    let mut config = context.start(&["config"]);
    assert_eq!(config.wait(), 0, "{}", config.output());
    assert!(context.server.requests().is_empty());
}

///
#[test]
fn a_certificate_that_is_not_checked_is_a_warning() {
    let context = TestContext::new();
    context.configure("api.verify_certificate: false");
    let daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    let warning = "InsecureRequestWarning: Certificate verification is disabled!";
    assert_eq!(
        daemon.output().matches(warning).count(),
        1,
        "{}",
        daemon.output()
    );
}

/// the user's netrc is for other programs; here it would replace the token.
#[test]
fn netrc_is_not_read_for_the_api() {
    let context = TestContext::new();
    let netrc = "machine 127.0.0.1 login other password of-netrc\nmachine localhost login other password of-netrc\n";
    fs::write(context.home().join(".netrc"), netrc).unwrap();
    let _daemon = context.daemon();
    run(&context, "echo works");
}

/// A-042, D-066: the server's own mistake is one line, and with `--debug` also where the server made it.
#[test]
fn an_error_of_the_server_is_one_line() {
    let context = TestContext::new();
    let proxy = FaultProxy::start(&context.server.url());
    context.configure(&format!("api.api_server: \"{}\"", proxy.url()));
    proxy.set(|call| (call == "workers.get_all").then_some(Fault::ServerError));
    let line = "\nclearml_agent: ERROR: APIError: code 500/100: General data error\n";
    let traceback = "Server traceback:\nTraceback of the server\n";
    for (words, is_debug) in [(&["list"] as &[&str], false), (&["--debug", "list"], true)] {
        let list = context.run(words);
        assert_eq!(list.code, 1);
        assert!(list.stdout.contains(line), "{}", list.stdout);
        assert_eq!(list.stderr.contains(traceback), is_debug, "{}", list.stderr);
        assert!(!list.stdout.contains(traceback));
    }
}

/// D-070, D-071, D-114, D-123, D-125
#[test]
fn variables_name_the_worker() {
    for (variable, value, worker) in [
        ("CLEARML_WORKER_ID", "rack:me", "rack:me"),
        ("TRAINS_WORKER_ID", "old", "old"),
        ("CLEARML_WORKER_NAME", "rack1:box", "rack1:box:0"),
    ] {
        let context = TestContext::new();
        let daemon = context.daemon_with(&[(variable, value)]);
        daemon.wait_for_output(&format!("Worker \"{worker}\" - Listening to queues:"));
        let task = run(&context, "echo $CLEARML_WORKER_ID $TRAINS_WORKER_ID");
        let console = context.console(&task);
        assert!(
            console.contains(&format!("\n{worker} {worker}\n")),
            "{console}"
        );
        assert_eq!(context.workers(), [worker]);
    }
}

/// D-036, D-078, D-182, D-279
#[test]
fn tags_are_reported_and_handed_on() {
    for (words, variable) in [
        (
            &["daemon", "--foreground", "--child-report-tags", "a", "b c"] as &[&str],
            "other",
        ),
        (&["daemon", "--foreground"], "a 'b c'"),
    ] {
        let context = TestContext::new();
        let mut command = context.command(words);
        command.env("CLEARML_WORKER_TAGS", variable);
        let _daemon = context.start_command(command);
        let task = run(
            &context,
            "echo \"tags: $CLEARML_WORKER_TAGS $TRAINS_WORKER_TAGS\"",
        );
        let console = context.console(&task);
        assert!(console.contains("\ntags: a 'b c' a 'b c'\n"), "{console}");
        let reports = context.requests("workers.status_report");
        assert!(!reports.is_empty());
        assert!(
            reports
                .iter()
                .all(|report| report.body["tags"] == serde_json::json!(["a", "b c"]))
        );
    }
}
