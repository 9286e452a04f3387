//! What a daemon has found out about itself before its first look at a queue, and in which order options are judged.

use std::process::Command;

use nix::unistd::gethostname;

use super::support::TestContext;

/// D-090, D-114: login comes first, under a version of the API; options and variables are in the printed configuration, with
/// the names of host and interpreter where nobody has set others.
#[test]
fn the_configuration_is_complete_before_the_banner() {
    let context = TestContext::new();
    let mut command = context.command(&["daemon", "--foreground", "--cpu-only"]);
    command
        .env_remove("CLEARML_WORKER_NAME")
        .env("CLEARML_AGENT__AGENT__GIT_USER", "somebody")
        .env("CUDA_VERSION", "12.4");
    let mut daemon = context.start_command(command);
    daemon.wait_for_output("No tasks in Queues");
    let requests = context.server.requests();
    assert_eq!(requests[0].endpoint, "auth.login");
    assert_eq!(requests[0].headers["authorization"], "Basic");
    assert!(requests[1].path.starts_with("/v2."), "{}", requests[1].path);
    assert_eq!(requests[1].headers["authorization"], "Bearer");
    let host = gethostname().unwrap().into_string().unwrap();
    let program = "import sys; print('%d.%d' % sys.version_info[:2])";
    let python = Command::new("python3").args(["-c", program]).output();
    let python = String::from_utf8(python.unwrap().stdout).unwrap();
    let output = daemon.output();
    let (configuration, rest) = output.split_once("\nWorker \"").expect("a banner");
    for line in [
        format!("\nagent.worker_name = {host}\n"),
        format!("\nagent.default_python = {}\n", python.trim()),
        "\nagent.git_user = somebody\n".to_owned(),
        // Without GPUs the version of the machine's toolkit does not matter.
        "\nagent.cuda_version = 0\n".to_owned(),
        "\nagent.cudnn_version = 0\n".to_owned(),
    ] {
        assert!(configuration.contains(&line), "{line} in {output}");
    }
    let id = format!("{host}:cpu:0\" - Listening to queues:\n");
    assert!(rest.starts_with(&id), "{output}");
    assert_eq!(daemon.terminate(), 254);
}

/// D-052, D-092: `--stop` comes before the queues, these before `--status`, and that before a place is taken.
#[test]
fn options_are_judged_in_the_order_of_the_reference() {
    let context = TestContext::new();
    let run = |words: &[&str]| {
        let finished = context.run(&[&["daemon"], words].concat());
        (finished.code, finished.stdout)
    };
    let (code, said) = run(&["--stop", "--status", "--queue", "nosuch"]);
    assert_eq!(code, 1);
    assert!(
        said.starts_with("Could not find a running clearml-agent instance"),
        "{said}"
    );
    assert!(context.server.requests().is_empty());
    let (code, said) = run(&["--status", "--queue", "nosuch"]);
    assert_eq!(code, 1);
    assert!(
        said.contains("ERROR: Could not find queue with name/id \"nosuch\"\n"),
        "{said}"
    );

    context.configure("agent.worker_id: only-one");
    let mut daemon = context.daemon();
    daemon.wait_for_output("No tasks in Queues");
    let (code, said) = run(&["--status"]);
    assert!(
        code == 0 && said.contains("  - Listening to queue 'default'\n"),
        "{said}"
    );
    let (code, said) = run(&["--foreground"]);
    assert_eq!(code, 1);
    let refused = "ERROR: Instance with the same WORKER_ID [only-one] is already running\n";
    assert!(
        said.contains(refused) && !said.contains("Listening to queues"),
        "{said}"
    );
    assert_eq!(context.count("workers.register"), 1);
    assert_eq!(daemon.terminate(), 254);
}
